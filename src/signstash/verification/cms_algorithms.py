"""Signature algorithms of CMS, by OID. Digest algorithms come from asn1crypto, which names them as hashlib does."""

from __future__ import annotations

from typing import Any, Final

from .algorithms import SignatureAlgorithm
from .report import NotJudgedError

_PSS: Final = "1.2.840.113549.1.1.10"
_SIGNATURES: Final[dict[str, tuple[str, str]]] = {
    "1.2.840.113549.1.1.1": ("rsa", ""),
    "1.2.840.113549.1.1.4": ("rsa", "md5"),
    "1.2.840.113549.1.1.5": ("rsa", "sha1"),
    "1.3.14.3.2.29": ("rsa", "sha1"),
    "1.2.840.113549.1.1.14": ("rsa", "sha224"),
    "1.2.840.113549.1.1.11": ("rsa", "sha256"),
    "1.2.840.113549.1.1.12": ("rsa", "sha384"),
    "1.2.840.113549.1.1.13": ("rsa", "sha512"),
    "1.2.840.113549.1.1.15": ("rsa", "sha512_224"),
    "1.2.840.113549.1.1.16": ("rsa", "sha512_256"),
    **{f"2.16.840.1.101.3.4.3.{13 + i}": ("rsa", f"sha3_{size}") for i, size in enumerate((224, 256, 384, 512))},
    "1.2.840.10045.2.1": ("ecdsa", ""),
    "1.2.840.10045.4.1": ("ecdsa", "sha1"),
    **{f"1.2.840.10045.4.3.{1 + i}": ("ecdsa", f"sha{size}") for i, size in enumerate((224, 256, 384, 512))},
    **{f"2.16.840.1.101.3.4.3.{9 + i}": ("ecdsa", f"sha3_{size}") for i, size in enumerate((224, 256, 384, 512))},
    "1.2.840.10040.4.3": ("dsa", "sha1"),
    "2.16.840.1.101.3.4.3.1": ("dsa", "sha224"),
    "2.16.840.1.101.3.4.3.2": ("dsa", "sha256"),
    "1.3.101.112": ("eddsa", ""),
    "1.3.101.113": ("eddsa", ""),
}
"""Families and digests by OID; without a digest, it is the signer's (RFC 8017, 5480, 8419 and NIST's registry)."""


def signature_algorithm(algorithm: Any, hash_name: str) -> SignatureAlgorithm:
    """Read a signer's signature algorithm, which may leave open the digest: it is that of the signer then."""
    oid = algorithm["algorithm"].dotted
    if oid == _PSS:
        parameters = algorithm["parameters"]
        if parameters.native is None:
            raise NotJudgedError("its RSA-PSS parameters are missing")
        mask = parameters["mask_gen_algorithm"]
        return SignatureAlgorithm(
            kind="pss",
            hash_name=parameters["hash_algorithm"]["algorithm"].native,
            mgf_hash=mask["parameters"]["algorithm"].native,
            salt_length=parameters["salt_length"].native,
        )
    if oid not in _SIGNATURES:
        raise NotJudgedError(f"the signature algorithm {oid} is not supported")
    kind, own_hash = _SIGNATURES[oid]
    return SignatureAlgorithm(kind=kind, hash_name="" if kind == "eddsa" else own_hash or hash_name)  # type: ignore[arg-type]  # one of the literals

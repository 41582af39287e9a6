"""Digest and signature algorithms of XML signatures, by URI (RFC 9231)."""

from __future__ import annotations

from typing import Any, Final

from .algorithms import SignatureAlgorithm, digest
from .report import NotJudgedError
from .xml_document import DS

_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_MORE_2007: Final = "http://www.w3.org/2007/05/xmldsig-more#"
_MORE_2021: Final = "http://www.w3.org/2021/04/xmldsig-more#"
_PSS: Final = f"{{{_MORE_2007}}}"
_OTHERS: Final = {
    "http://www.w3.org/2000/09/xmldsig#rsa-sha1": ("rsa", "sha1"),
    "http://www.w3.org/2000/09/xmldsig#dsa-sha1": ("dsa", "sha1"),
    "http://www.w3.org/2009/xmldsig11#dsa-sha256": ("dsa", "sha256"),
    f"{_MORE_2021}eddsa-ed25519": ("eddsa", ""),
    f"{_MORE_2021}eddsa-ed448": ("eddsa", ""),
}
_DIGESTS: Final = {
    "http://www.w3.org/2001/04/xmldsig-more#md5": "md5",
    "http://www.w3.org/2000/09/xmldsig#sha1": "sha1",
    "http://www.w3.org/2001/04/xmldsig-more#sha224": "sha224",
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
    **{f"http://www.w3.org/2007/05/xmldsig-more#sha3-{size}": f"sha3_{size}" for size in (224, 256, 384, 512)},
}
"""Digest algorithms by URI (RFC 9231, 2.1, and XML Encryption 1.1, 5.8)."""
_HASHES: Final = {uri.partition("#")[2]: name for uri, name in _DIGESTS.items()}
"""The same by the names that they have in the URIs of signature algorithms, such as `rsa-sha256`."""


def hash_of(method: Any) -> str:
    """The digest algorithm of a DigestMethod element.

    Raises:
        NotJudgedError: If it is not supported.
    """
    algorithm = None if method is None else method.get("Algorithm")
    if algorithm not in _DIGESTS:
        raise NotJudgedError(f"the digest algorithm {algorithm} is not supported")
    return _DIGESTS[algorithm]


def signature_algorithm(method: Any) -> SignatureAlgorithm:
    """Read a SignatureMethod element.

    Raises:
        NotJudgedError: If the algorithm is not supported.
    """
    name = method.get("Algorithm", "")
    if name == f"{_MORE_2007}rsa-pss":
        return _pss_algorithm(method)
    plain = name.removeprefix(_MORE).removeprefix(_MORE_2007).removeprefix(_MORE_2021)
    kind, hash_name = _OTHERS.get(name, ("", ""))
    if name != plain and plain.endswith("-rsa-MGF1"):
        hash_name = _HASHES.get(plain.removesuffix("-rsa-MGF1"), "")
        if hash_name:  # RFC 9231, 2.3.10: salt and mask of the same digest
            length = len(digest(hash_name, b""))
            return SignatureAlgorithm(kind="pss", hash_name=hash_name, mgf_hash=hash_name, salt_length=length)
    elif name != plain and plain.partition("-")[0] in ("rsa", "ecdsa"):
        kind, _, hash_name = plain.partition("-")
        hash_name = _HASHES.get(hash_name, "")
    if not kind or not (hash_name or kind == "eddsa"):
        raise NotJudgedError(f"the signature algorithm {name} is not supported")
    return SignatureAlgorithm(kind=kind, hash_name=hash_name, raw=True)  # type: ignore[arg-type]  # one of the literals


def _pss_algorithm(method: Any) -> SignatureAlgorithm:
    """RSA-PSS with its parameters; the defaults are of RFC 9231, 2.3.9."""
    parameters = method.find(f"{_PSS}RSAPSSParams")
    hash_name = mask = "sha256"
    salt = None
    if parameters is not None:
        own = parameters.find(f"{DS}DigestMethod")
        hash_name = mask = "sha256" if own is None else hash_of(own)
        generation = parameters.find(f"{_PSS}MaskGenerationFunction/{DS}DigestMethod")
        mask = mask if generation is None else hash_of(generation)
        salt = parameters.findtext(f"{_PSS}SaltLength")
    length = len(digest(hash_name, b"")) if salt is None else int(salt)
    return SignatureAlgorithm(kind="pss", hash_name=hash_name, mgf_hash=mask, salt_length=length)

"""Digest and signature algorithms, whatever the format of a signature calls them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable
from typing import Final, Literal

import attrs
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key

from .report import Findings, NotJudgedError

_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "md5": hashes.MD5(),  # noqa: S303 - judged, and reported as unreliable
    "sha1": hashes.SHA1(),  # noqa: S303 - as above
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
    "sha512_224": hashes.SHA512_224(),
    "sha512_256": hashes.SHA512_256(),
    "sha3_224": hashes.SHA3_224(),
    "sha3_256": hashes.SHA3_256(),
    "sha3_384": hashes.SHA3_384(),
    "sha3_512": hashes.SHA3_512(),
}
"""Digest algorithms by the names that hashlib and asn1crypto share. `xml_algorithms` has their URIs."""
_UNRELIABLE: Final = {"md5": "MD5", "sha1": "SHA-1"}
_MIN_BITS: Final = 1900
_MIN_CURVE_BITS: Final = 224


@attrs.frozen(kw_only=True)
class SignatureAlgorithm:
    """A signature algorithm with its parameters.

    Attributes:
        kind: Its family.
        hash_name: The digest that is signed, by hashlib's name; "" for EdDSA, which signs the data itself.
        mgf_hash: The digest of the mask generation function, for RSA-PSS.
        salt_length: Bytes of salt, for RSA-PSS.
        raw: Whether an ECDSA or DSA value is r and s side by side, as XML has it, and not a DER sequence.
    """

    kind: Literal["rsa", "pss", "ecdsa", "dsa", "eddsa"]
    hash_name: str
    mgf_hash: str = ""
    salt_length: int = 0
    raw: bool = False


def known_hash(name: str) -> str:
    """The name, if the digest algorithm is known."""
    if name not in _HASHES:
        raise NotJudgedError(f"the digest algorithm {name} is not supported")
    return name


def digest(name: str, data: bytes) -> bytes:
    """The digest of data."""
    return digest_of_blocks(name, (data,))


def digest_of_blocks(name: str, blocks: Iterable[bytes]) -> bytes:
    """The digest of data that is too large for memory."""
    made = hashlib.new(known_hash(name), usedforsecurity=False)
    for block in blocks:
        made.update(block)
    return made.digest()


def _cached(digest_of: Callable[[str], bytes]) -> Callable[[str], bytes]:
    return functools.cache(digest_of)


@attrs.frozen
class Content:
    """The content that a signature covers.

    Attributes:
        digest: Gives its digest by the name of an algorithm, and keeps it.
        octets: The content itself, if it is at hand.
        name: What it is called in messages.
    """

    digest: Callable[[str], bytes] = attrs.field(converter=_cached)
    octets: bytes | None = None
    name: str = "the content"

    @classmethod
    def of(cls, octets: bytes, *, name: str = "the content") -> Content:
        """Content in memory."""
        return cls(lambda algorithm: digest(algorithm, octets), octets, name)


def unreliable(name: str) -> str | None:
    """What is wrong with relying on a digest algorithm, or None."""
    return f"rests on {_UNRELIABLE[name]}, which cannot be relied on" if name in _UNRELIABLE else None


def judge_strength(public_key: bytes, hash_names: Iterable[str], findings: Findings) -> None:
    """Report a key, or else a digest algorithm, that cannot be relied on (ETSI TS 119 312, 6.2 and 5.2)."""
    problem = next((problem for name in hash_names if (problem := unreliable(name))), None)
    key = _key(public_key)
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey):
        least = _MIN_CURVE_BITS if isinstance(key, ec.EllipticCurvePublicKey) else _MIN_BITS
        if key.key_size < least:
            problem = f"rests on a key of {key.key_size} bits, which cannot be relied on"
    if problem:
        findings.indeterminate(f"{findings.label} {problem}")


def _key(public_key: bytes) -> object:
    try:
        return load_der_public_key(public_key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotJudgedError("the certificate's public key is not supported") from error


def matches(public_key: bytes, algorithm: SignatureAlgorithm, value: bytes, content: Content) -> bool:
    """Whether a signature value was made with the private key for what is signed.

    Args:
        public_key: The public key, as SubjectPublicKeyInfo in DER.
        algorithm: The algorithm.
        value: The signature value.
        content: What is signed.
    """
    key = _key(public_key)
    try:
        _verify(key, algorithm, value, content)
    except (InvalidSignature, OverflowError):
        return False
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotJudgedError(f"the signature algorithm is not supported with this key ({error})") from error
    return True


def _verify(key: object, algorithm: SignatureAlgorithm, value: bytes, content: Content) -> None:
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and algorithm.kind == "eddsa":
        if content.octets is None:
            raise NotJudgedError("EdDSA without signed attributes is not supported")
        key.verify(value, content.octets)
        return
    prehashed = utils.Prehashed(_HASHES[known_hash(algorithm.hash_name)])
    made = content.digest(algorithm.hash_name)
    if isinstance(key, rsa.RSAPublicKey) and algorithm.kind == "rsa":
        key.verify(value, made, padding.PKCS1v15(), prehashed)
    elif isinstance(key, rsa.RSAPublicKey) and algorithm.kind == "pss":
        mask = padding.MGF1(_HASHES[known_hash(algorithm.mgf_hash)])
        key.verify(value, made, padding.PSS(mask, algorithm.salt_length), prehashed)
    elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm.kind == "ecdsa":
        key.verify(_as_der(value) if algorithm.raw else value, made, ec.ECDSA(prehashed))
    elif isinstance(key, dsa.DSAPublicKey) and algorithm.kind == "dsa":
        key.verify(_as_der(value) if algorithm.raw else value, made, prehashed)
    else:
        # Someone else's key, not an unknown algorithm: no value of this algorithm fits it.
        raise InvalidSignature


def _as_der(value: bytes) -> bytes:
    half = len(value) // 2
    if not half or len(value) % 2:
        raise InvalidSignature
    return utils.encode_dss_signature(int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big"))

"""CMS signed data (RFC 5652), which PAdES and CAdES signatures and timestamps are made of."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
from asn1crypto import cms, core, parser, tsp, x509
from cryptography.x509 import load_der_x509_certificate

from .algorithms import SignatureAlgorithm, digest, matches, unreliable, weakness
from .report import Findings, NotJudgedError
from .trust import judge_trust

_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
_TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"
_ATTRIBUTES: Final = {
    "content type": "1.2.840.113549.1.9.3",
    "message digest": "1.2.840.113549.1.9.4",
    "signing time": "1.2.840.113549.1.9.5",
    "signing certificate": "1.2.840.113549.1.9.16.2.12",
    "signing certificate v2": "1.2.840.113549.1.9.16.2.47",
    "signature timestamp": "1.2.840.113549.1.9.16.2.14",
    "countersignature": "1.2.840.113549.1.9.6",
}
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
_MAX_SIGNERS: Final = 100
_MAX_CERTIFICATES: Final = 1000
_MAX_ATTRIBUTES: Final = 64 * 1024
"""Bytes of signed attributes that are encoded anew."""
_MESSAGE_DIGEST: Final = core.ObjectIdentifier(_ATTRIBUTES["message digest"]).dump()
_COUNTERSIGNATURE: Final = core.ObjectIdentifier(_ATTRIBUTES["countersignature"]).dump()
_parse: Any = parser.parse  # its annotation is wrong
_PSS: Final = "1.2.840.113549.1.1.10"


class _SignedData(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    _fields = [  # noqa: RUF012 - of asn1crypto
        ("version", core.Integer),
        ("digest_algorithms", cms.DigestAlgorithms),
        ("encap_content_info", core.Any),
        ("certificates", cms.CertificateSet, {"implicit": 0, "optional": True}),
        ("crls", cms.RevocationInfoChoices, {"implicit": 1, "optional": True}),
        ("signer_infos", cms.SignerInfos),
    ]


@attrs.frozen
class Content:
    """The content that a CMS signature covers.

    Attributes:
        digest: Gives its digest by the name of an algorithm.
        octets: The content itself, if it is at hand.
        name: What it is called in messages.
    """

    digest: Callable[[str], bytes]
    octets: bytes | None = None
    name: str = "the content"

    @classmethod
    def of(cls, octets: bytes) -> Content:
        """Content in memory."""
        return cls(lambda name: digest(name, octets), octets)


@attrs.frozen
class SignedData:
    """A parsed CMS message.

    Attributes:
        signers: Its signer infos.
        certificates: Its certificates.
        digests: The digest algorithms that it lists.
        content_type: OID of its content; empty for a countersignature, which states none.
        content: The content, or None if it is detached.
        length: Bytes of its encoding.
    """

    signers: list[Any]
    certificates: list[x509.Certificate]
    digests: list[str]
    content_type: str
    content: bytes | None
    length: int


def parse(encoded: bytes) -> SignedData:
    """Parse a CMS message in DER or BER; what follows it is ignored.

    Raises:
        ValueError: If it is broken.
        NotJudgedError: If it is something else than signed data.
    """
    length = parser.peek(encoded)
    message_type, message = _content_info(encoded[:length])
    if message_type != _SIGNED_DATA or message is None:
        raise NotJudgedError("its CMS message is not signed data")
    signed: Any = _SignedData.load(message)
    most = max(len(signed["signer_infos"]), encoded[:length].count(_COUNTERSIGNATURE))
    if most > _MAX_SIGNERS or len(signed["certificates"] or ()) > _MAX_CERTIFICATES:
        raise NotJudgedError(f"it has more than {_MAX_SIGNERS} signers or {_MAX_CERTIFICATES} certificates")
    content_type, content = _content_info(signed["encap_content_info"].dump())
    return SignedData(
        signers=list(signed["signer_infos"]),
        certificates=[item.chosen for item in signed["certificates"] or () if item.name == "certificate"],
        digests=[item["algorithm"].native for item in signed["digest_algorithms"]],
        content_type=content_type,
        content=None if content is None else _octets(content),
        length=length,
    )


def _content_info(encoded: bytes) -> tuple[str, bytes | None]:
    """The OID and the encoded content of a ContentInfo of any type."""
    contents = _parse(encoded)[4]
    length = parser.peek(contents)
    oid = str(core.ObjectIdentifier.load(contents[:length]).native)
    if length == len(contents):
        return oid, None
    class_, _, tag, _, content, _ = _parse(contents[length:])
    if (class_, tag) != (2, 0):
        raise ValueError("its content is not tagged [0]")
    return oid, bytes(content)


def _octets(encoded: bytes) -> bytes:
    """The octets that are digested: those of an octet string, or in PKCS #7 of any type, without tag and length."""
    class_, method, tag, _, contents, _ = _parse(encoded)
    if (class_, method, tag) == (0, 1, 4):
        return b"".join(_chunks(memoryview(contents)))
    return bytes(contents)


def _chunks(contents: memoryview) -> Iterator[memoryview]:
    """The chunks of a constructed octet string (X.690, 8.7.3); asn1crypto takes quadratic time for many."""
    place = 0
    while place < len(contents):
        tag, length = contents[place], contents[place + 1]
        start = place + 2
        if tag != 4 or length == 0x80:
            raise NotJudgedError("its content consists of nested chunks, which are not supported")
        if length > 0x80:
            start += length - 0x80
            length = int.from_bytes(contents[place + 2 : start], "big")
        place = start + length
        yield contents[start:place]


def judge_signers(
    data: SignedData, content: Content, roots: list[x509.Certificate], label: str, findings: Findings
) -> None:
    """Judge every signer of a message.

    Args:
        data: The message.
        content: What it signs.
        roots: Trusted certificates.
        label: What messages call the signature.
        findings: Takes the result.
    """
    content = attrs.evolve(content, digest=functools.cache(content.digest))
    for certificate in data.certificates:
        try:
            _ = certificate.native  # parsed as a whole, also if no signer needs it
            load_der_x509_certificate(certificate.dump())  # which tolerates no unknown fields
        except (ValueError, TypeError, KeyError):
            findings.indeterminate(f"a certificate in {label} cannot be read, so other software may reject it")
    for number, signer in enumerate(data.signers, 1):
        name = label if len(data.signers) == 1 else f"{label} by signer {number}"
        findings.include(_findings_about(data, signer, content, roots, name))


def _findings_about(
    data: SignedData, signer: Any, content: Content, roots: list[x509.Certificate], label: str
) -> Findings:
    found = Findings()
    try:
        _judge_signer(data, signer, content, roots, label, found)
    except NotJudgedError as error:
        found.indeterminate(f"{label} cannot be judged: {error}")
    except (ValueError, TypeError, KeyError) as error:
        found.indeterminate(f"{label} cannot be read ({str(error).splitlines()[0]})")
    return found


def _judge_signer(
    data: SignedData, signer: Any, content: Content, roots: list[x509.Certificate], label: str, found: Findings
) -> None:
    certificate = _certificate(data, signer)
    found.signed_by(certificate)
    signed = signer["signed_attrs"]
    try:
        found.signed_at = next(_values(signed, "signing time"), None)
    except ValueError:
        found.note(f"the claimed time of {label} cannot be read")
    hash_name = signer["digest_algorithm"]["algorithm"].native
    if data.content_type and hash_name not in data.digests:  # software may then reject it (RFC 5652, 5.1)
        found.indeterminate(f"{label} does not list its digest algorithm")
    made = content.digest(hash_name)
    if len(signed):
        stated = list(_values(signed, "message digest"))
        stated_type = list(_values(signed, "content type", native=False))
        if len(stated) != 1 or len(stated_type) != bool(data.content_type):  # RFC 5652, 11.1, 11.2 and 11.4
            raise NotJudgedError("its signed attributes lack the content type or the message digest, or repeat them")
        if stated != [made]:
            found.invalid(f"{content.name} was changed after {label} was made: its digest differs")
        if stated_type not in ([], [data.content_type]):
            found.invalid(f"the content is not of the type that {label} states")
    elif content.octets is not None and content.octets[:1] == b"\x31" and _MESSAGE_DIGEST in content.octets:
        raise NotJudgedError("its content may be the signed attributes of another signature")
    algorithm = _algorithm(signer["signature_algorithm"], hash_name)
    if not _fits(signer, certificate, algorithm, content):
        if algorithm.hash_name not in ("", hash_name):
            raise NotJudgedError(f"its digest algorithms are {hash_name} and {algorithm.hash_name}")
        found.invalid(f"the value of {label} does not match what it signs and its certificate")
    weak = weakness(certificate.public_key.dump(), hash_name, algorithm.hash_name)
    if weak:
        found.indeterminate(f"{label} {weak}")
    if not _names(signed, certificate):
        found.indeterminate(f"{label} names another certificate than the one that it holds")
    others = [other for other in data.certificates if other.dump() != certificate.dump()]
    judge_trust(certificate, others, roots, label, found)
    value = signer["signature"].native
    for token in _values(signer["unsigned_attrs"], "signature timestamp", native=False):
        judge_timestamp(token, Content.of(value), f"the timestamp of {label}", found)
    found.compare_times(label)
    _judge_countersignatures(data, signer, label, found)


def _judge_countersignatures(data: SignedData, signer: Any, label: str, findings: Findings) -> None:
    """Judge the signatures of the signature value (RFC 5652, 11.4); the trust in their signers is not judged."""
    about = attrs.evolve(Content.of(signer["signature"].native), name="the signature value")
    encoded = list(_values(signer["unsigned_attrs"], "countersignature", native=False))
    if len(encoded) > _MAX_SIGNERS:
        raise NotJudgedError(f"it has more than {_MAX_SIGNERS} countersignatures")
    for item in encoded:
        found = _findings_about(attrs.evolve(data, content_type=""), cms.SignerInfo.load(item), about, [], "it")
        if findings.include_attached(found, f"the countersignature of {label}"):
            findings.note(f"{label} is countersigned by {found.report().signer}")


def judge_timestamp(token: bytes, about: Content, label: str, findings: Findings) -> None:
    """Judge a timestamp (RFC 3161); the trust in its authority is not judged.

    Args:
        token: Its token.
        about: The content that it should cover.
        label: What messages call it.
        findings: Takes the time, and what is wrong.
    """
    inner = Findings()
    try:
        data = parse(token)
        if data.content_type != _TST_INFO or data.content is None:
            raise NotJudgedError("it is not a timestamp token")
        info = tsp.TSTInfo.load(data.content)
        hash_name = info["message_imprint"]["hash_algorithm"]["algorithm"].native
        if info["message_imprint"]["hashed_message"].native != about.digest(hash_name):
            inner.invalid("it is about something else: its digest differs")
        weak = unreliable(hash_name)
        if weak:
            inner.indeterminate(f"it {weak}")
        judge_signers(data, Content.of(data.content), [], "it", inner)
        time: dt.datetime = info["gen_time"].native
    except NotJudgedError as error:
        findings.note(f"{label} cannot be judged: {error}")
        return
    except (ValueError, TypeError, KeyError):
        findings.note(f"{label} cannot be read")
        return
    if findings.include_attached(inner, label):
        findings.timestamped_at = min(time, findings.timestamped_at or time)


def _certificate(data: SignedData, signer: Any) -> x509.Certificate:
    sid = signer["sid"]
    for certificate in data.certificates:
        if sid.name == "subject_key_identifier":
            if certificate.key_identifier == sid.chosen.native:
                return certificate
        elif (
            certificate.serial_number == sid.chosen["serial_number"].native
            and certificate.issuer == sid.chosen["issuer"]
        ):
            return certificate
    raise NotJudgedError("it does not hold the signer's certificate")


def _values(attributes: Any, name: str, *, native: bool = True) -> Iterator[Any]:
    for attribute in attributes:
        if attribute["type"].dotted != _ATTRIBUTES[name]:
            continue
        for value in attribute["values"]:
            if native:
                yield value.native
            else:
                yield value.dotted if isinstance(value, core.ObjectIdentifier) else value.dump()


def _algorithm(algorithm: Any, hash_name: str) -> SignatureAlgorithm:
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


def _fits(signer: Any, certificate: x509.Certificate, algorithm: SignatureAlgorithm, content: Content) -> bool:
    key, value = certificate.public_key.dump(), signer["signature"].native
    signed = signer["signed_attrs"]
    if not len(signed):
        made = content.digest(algorithm.hash_name) if algorithm.hash_name else b""
        return matches(key, algorithm, value, content.octets, made)
    # Signed is the DER encoding (RFC 5652, 5.4); not all software orders the attributes as it asks for.
    parts = [attribute.dump() for attribute in signed]
    forms: list[Callable[[], list[bytes]]] = [lambda: parts, lambda: sorted(parts), lambda: sorted(map(_as_der, parts))]
    for form in forms if sum(map(len, parts)) <= _MAX_ATTRIBUTES else forms[:2]:
        encoded = parser.emit(0, 1, 17, b"".join(form()))
        made = digest(algorithm.hash_name, encoded) if algorithm.hash_name else b""
        if matches(key, algorithm, value, encoded, made):
            return True
    return False


def _as_der(encoded: bytes) -> bytes:
    """What is encoded in BER with definite lengths."""
    class_, method, tag, _, contents, _ = _parse(encoded)
    if method:
        parts = []
        while contents:
            length = parser.peek(contents)
            parts.append(_as_der(contents[:length]))
            contents = contents[length:]
        contents = b"".join(parts)
    return bytes(parser.emit(class_, method, tag, contents))


def _names(signed: Any, certificate: x509.Certificate) -> bool:
    """Whether the signing certificate attributes, if there are any, are about the certificate (RFC 5035, 3 and 4)."""
    for name in ("signing certificate v2", "signing certificate"):
        for value in _values(signed, name):
            reference = value["certs"][0]
            algorithm = reference.get("hash_algorithm")
            hash_name = algorithm["algorithm"] if algorithm else "sha1"
            if reference["cert_hash"] != digest(hash_name, certificate.dump()):
                return False
    return True

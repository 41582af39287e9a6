"""The parts of a CMS message with signed data (RFC 5652): signers, certificates and content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs
from asn1crypto import cms, core, parser, x509

from .report import NotJudgedError

_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
ATTRIBUTES: Final = {
    "content type": "1.2.840.113549.1.9.3",
    "message digest": "1.2.840.113549.1.9.4",
    "signing time": "1.2.840.113549.1.9.5",
    "signing certificate": "1.2.840.113549.1.9.16.2.12",
    "signing certificate v2": "1.2.840.113549.1.9.16.2.47",
    "signature timestamp": "1.2.840.113549.1.9.16.2.14",
    "countersignature": "1.2.840.113549.1.9.6",
}
"""Signed and unsigned attributes by OID (RFC 5652, 11, RFC 5035 and RFC 3161, appendix A)."""
MAX_SIGNERS: Final = 100
_MAX_CERTIFICATES: Final = 1000
_COUNTERSIGNATURE: Final = core.ObjectIdentifier(ATTRIBUTES["countersignature"]).dump()
_parse: Any = parser.parse  # its annotation is wrong


class _SignedData(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    # asn1crypto's own class does not keep the encoding of content of any type (RFC 5652, 5.2.1).
    _fields = [  # noqa: RUF012 - of asn1crypto
        ("version", core.Integer),
        ("digest_algorithms", cms.DigestAlgorithms),
        ("encap_content_info", core.Any),
        ("certificates", cms.CertificateSet, {"implicit": 0, "optional": True}),
        ("crls", cms.RevocationInfoChoices, {"implicit": 1, "optional": True}),
        ("signer_infos", cms.SignerInfos),
    ]


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
    if most > MAX_SIGNERS or len(signed["certificates"] or ()) > _MAX_CERTIFICATES:
        raise NotJudgedError(f"it has more than {MAX_SIGNERS} signers or {_MAX_CERTIFICATES} certificates")
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


def values_of(attributes: Any, name: str, *, native: bool = True) -> Iterator[Any]:
    """The values of a type of attribute, as Python values, or else encoded, with OIDs dotted."""
    for attribute in attributes:
        if attribute["type"].dotted != ATTRIBUTES[name]:
            continue
        for value in attribute["values"]:
            if native:
                yield value.native
            else:
                yield value.dotted if isinstance(value, core.ObjectIdentifier) else value.dump()


def as_der(encoded: bytes) -> bytes:
    """What is encoded in BER with definite lengths."""
    class_, method, tag, _, contents, _ = _parse(encoded)
    if method:
        parts = []
        while contents:
            length = parser.peek(contents)
            parts.append(as_der(contents[:length]))
            contents = contents[length:]
        contents = b"".join(parts)
    return bytes(parser.emit(class_, method, tag, contents))

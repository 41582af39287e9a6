"""The properties that XAdES adds to an XML signature (ETSI EN 319 132-1, clause 5)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

from asn1crypto import x509
from lxml import etree

from .algorithms import Content, digest
from .cms import judge_timestamp
from .report import Findings
from .xml_algorithms import DS, Canonicalization, digest_algorithm
from .xml_document import XmlDocument, binary

_PROPERTIES: Final = f"{DS}Object/{{*}}QualifyingProperties"
_UNSIGNED: Final = f"{_PROPERTIES}/{{*}}UnsignedProperties/{{*}}UnsignedSignatureProperties"


def judge_claimed_time(signature: Any, findings: Findings) -> None:
    """Take the time of signing that the signer claims, if there is one (5.2.1)."""
    properties = signature.find(f"{_PROPERTIES}/{{*}}SignedProperties")
    if properties is None:
        findings.note(f"{findings.label} is a plain XML signature without the properties of XAdES")
        return
    text = properties.findtext("{*}SignedSignatureProperties/{*}SigningTime")
    try:
        time = None if text is None else dt.datetime.fromisoformat(text.strip())
    except ValueError:
        findings.note(f"the claimed time of {findings.label} cannot be read")
        return
    findings.signed_at = time.replace(tzinfo=dt.UTC) if time and time.tzinfo is None else time


def names_certificate(signature: Any, certificate: x509.Certificate) -> bool:
    """Whether the signed properties, if they name certificates, name this one (5.2.2)."""
    digests = [
        (digest_algorithm(item.find(f"{DS}DigestMethod")), binary(item.find(f"{DS}DigestValue")))
        for name in ("SigningCertificate", "SigningCertificateV2")
        for holder in signature.iterfind(f"{DS}Object//{{*}}SignedProperties//{{*}}{name}")
        for item in holder.iterfind("{*}Cert/{*}CertDigest")
    ]
    return not digests or any(value == digest(name, certificate.dump()) for name, value in digests)


def judge_timestamps(document: XmlDocument, signature: Any, findings: Findings) -> None:
    """Judge the timestamps of the signature value (5.3)."""
    value = signature.find(f"{DS}SignatureValue")
    for stamp in signature.iterfind(f"{_UNSIGNED}/{{*}}SignatureTimeStamp"):
        method = stamp.find(f"{DS}CanonicalizationMethod")
        canonicalization = Canonicalization() if method is None else Canonicalization.of(method)
        name = f"the timestamp of {findings.label}"
        if canonicalization is None:
            findings.note(f"{name} cannot be judged: its canonicalization is not supported")
            continue
        octets = document.subtree(value).canonical(canonicalization)
        for token in stamp.iterfind("{*}EncapsulatedTimeStamp"):
            judge_timestamp(binary(token), Content.of(octets), name, findings)


def countersignatures(signature: Any) -> Iterator[Any]:
    """The signatures of the signature value (5.2.7)."""
    yield from signature.iterfind(f"{_UNSIGNED}/{{*}}CounterSignature/{DS}Signature")


def is_countersignature(signature: Any) -> bool:
    """Whether a signature belongs to another one, and says nothing about the document."""
    return any(etree.QName(item).localname == "UnsignedProperties" for item in signature.iterancestors())

"""XAdES signatures, and plain XML signatures: which a document has, and what they say together."""

from __future__ import annotations

from typing import Any, Final

from lxml import etree

from .._content.snapshots import read
from .report import Findings, NotJudgedError
from .signed_file import SignedFile, limit_size
from .xml_algorithms import DS
from .xml_comparison import judge_sent
from .xml_coverage import judge_coverage
from .xml_document import MAX_BYTES, NodeSet, XmlDocument, binary
from .xml_properties import is_countersignature
from .xml_signature import judge_signature

_MAX_OCTETS: Final = 512 * 1024**2
"""Bound of the work for all signatures and references: their number times the document's bytes."""


def verify_xml(signed: SignedFile, findings: Findings) -> None:
    """Judge the signatures of an XML document; signer and time are those of the last."""
    limit_size(signed.size, MAX_BYTES, "XML is")
    document = XmlDocument(signed.file.read())
    signatures = [element for element in document.root.iter(f"{DS}Signature") if not is_countersignature(element)]
    if not signatures:
        findings.invalid("it holds no signature")
        return
    sent = None if signed.original is None else read(signed.original)
    before = None if sent is None else _document_or_none(sent, findings)
    present = set() if before is None else {_signature_value(item) for item in before.root.iter(f"{DS}Signature")}
    new = [signature for signature in signatures if _signature_value(signature) not in present]
    if not new:
        findings.invalid("it was not signed anew: its signatures were in what was sent")
    if len(list(document.root.iter(f"{DS}Reference", f"{DS}Signature"))) * signed.size > _MAX_OCTETS:
        raise NotJudgedError("it has too many signatures or references for its size")
    covered: list[NodeSet] = []
    complete = True
    for number, signature in enumerate(signatures, 1):
        found = Findings("the signature" if len(signatures) == 1 else f"signature {number}")
        nodes = judge_signature(document, signature, sent, signed.roots if signature in new else [], found)
        if signature in new:
            findings.include(found)
            covered += nodes or ()
            complete = complete and nodes is not None
        else:
            findings.include_earlier(found)
    if new and complete:
        judge_coverage(document, signatures, covered, findings)
    if new and sent is not None:
        judge_sent(document, new, before, sent, findings)


def _document_or_none(content: bytes, findings: Findings) -> XmlDocument | None:
    try:
        return XmlDocument(content)
    except etree.XMLSyntaxError:
        return None
    except NotJudgedError as error:
        findings.indeterminate(f"what was sent cannot be compared: {error}")
        return None


def _signature_value(signature: Any) -> bytes:
    """The signature value, by which a signature that was in the original is recognized."""
    try:
        return binary(signature.find(f"{DS}SignatureValue"))
    except NotJudgedError:  # reported where the signature is judged
        return b""

"""XAdES signatures, and plain XML signatures."""

from __future__ import annotations

import binascii
import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

import attrs
from asn1crypto import x509
from lxml import etree

from .._content.contents import Contents
from .._content.snapshots import read
from .algorithms import SignatureAlgorithm, digest, matches, weakness
from .cms import Content, judge_timestamp
from .report import Findings, NotJudgedError
from .trust import judge_trust
from .xml_algorithms import signature_algorithm
from .xml_document import MAX_BYTES, Canonicalization, NodeSet, XmlDocument, binary, remove
from .xml_references import DS, Reference, hash_of

_ETSI: Final = "http://uri.etsi.org/01903/"
_STRUCTURE: Final = (f"{{{_ETSI}", DS, "{http://www.w3.org/2009/xmldsig11#}")
"""Namespaces of what a signature itself consists of."""
_UNSIGNED: Final = f"{DS}Object/{{*}}QualifyingProperties/{{*}}UnsignedProperties/{{*}}UnsignedSignatureProperties"
_MANIFEST: Final = "http://www.w3.org/2000/09/xmldsig#Manifest"
_MAX_OCTETS: Final = 512 * 1024**2
"""Bound of the work for all signatures and references: their number times the document's bytes."""


def verify_xml(
    file: BinaryIO, size: int, original: Contents | None, roots: list[x509.Certificate], findings: Findings
) -> None:
    """Judge the signatures of an XML document; signer and time are those of the last.

    Args:
        file: The document.
        size: Its length in bytes.
        original: What was sent to be signed, if it is known.
        roots: Trusted certificates.
        findings: Takes the result.

    Raises:
        NotJudgedError: If it cannot be judged.
    """
    if size > MAX_BYTES:
        raise NotJudgedError(f"it has {size} bytes; XML is judged up to {MAX_BYTES}")
    document = XmlDocument(file.read())
    signatures = [element for element in document.root.iter(f"{DS}Signature") if not _is_countersignature(element)]
    if not signatures:
        findings.invalid("it holds no signature")
        return
    sent = None if original is None else read(original)
    before = None if sent is None else _document_or_none(sent, findings)
    present = set() if before is None else {_form(item) for item in before.root.iter(f"{DS}Signature")}
    new = [signature for signature in signatures if _form(signature) not in present]
    if not new:
        findings.invalid("it was not signed anew: its signatures were in what was sent")
    if len(list(document.root.iter(f"{DS}Reference", f"{DS}Signature"))) * size > _MAX_OCTETS:
        raise NotJudgedError("it has too many signatures or references for its size")
    covered: list[NodeSet] = []
    complete = True
    for number, signature in enumerate(signatures, 1):
        label = "the signature" if len(signatures) == 1 else f"signature {number}"
        found = Findings()
        judged = _judge_guarded(document, signature, sent, roots if signature in new else [], label, found)
        if signature in new:
            findings.include(found)
            covered += judged or ()
            complete = complete and judged is not None
        else:
            earlier = Findings()
            earlier.include_as_notes(found)
            for problem in earlier.report().notes:
                findings.note(f"{label} was in what was sent, and {problem}")
    if new and complete:
        _judge_coverage(document, signatures, covered, findings)
    if new and sent is not None and not _is_detached(document, new):
        _compare(document, new, before, sent, findings)


def _is_countersignature(element: Any) -> bool:
    return any(etree.QName(item).localname == "UnsignedProperties" for item in element.iterancestors())


def _document_or_none(content: bytes, findings: Findings) -> XmlDocument | None:
    try:
        return XmlDocument(content)
    except etree.XMLSyntaxError:
        return None
    except NotJudgedError as error:
        findings.indeterminate(f"what was sent cannot be compared: {error}")
        return None


def _form(signature: Any) -> bytes:
    try:
        return binary(signature.find(f"{DS}SignatureValue"))
    except NotJudgedError:  # reported where the signature is judged
        return b""


def _judge_guarded(
    document: XmlDocument,
    signature: Any,
    original: bytes | None,
    roots: list[x509.Certificate],
    label: str,
    findings: Findings,
) -> list[NodeSet] | None:
    try:
        return _judge(document, signature, original, roots, label, findings)
    except NotJudgedError as error:
        findings.indeterminate(f"{label} cannot be judged: {error}")
    except Exception as error:  # noqa: BLE001 - a broken signature must not hide what is known of the others
        findings.indeterminate(f"{label} cannot be read ({type(error).__name__}: {error})")
    return None


def _judge(
    document: XmlDocument,
    signature: Any,
    original: bytes | None,
    roots: list[x509.Certificate],
    label: str,
    findings: Findings,
) -> list[NodeSet] | None:
    """Judge one signature, and return what it covers, or None if that is not known."""
    (signed_info,) = signature.findall(f"{DS}SignedInfo")
    method = signed_info.find(f"{DS}CanonicalizationMethod")
    canonicalization = Canonicalization.of(method)
    if canonicalization is None:
        raise NotJudgedError(f"the canonicalization {method.get('Algorithm')} is not supported")
    octets = document.subtree(signed_info, comments=True).canonical(canonicalization)
    algorithm = signature_algorithm(signed_info.find(f"{DS}SignatureMethod"))
    certificates = [x509.Certificate.load(item) for item in _certificates(signature)]
    if not certificates:
        raise NotJudgedError("it does not hold the signer's certificate")
    before = len(findings.problems)
    signer = _judge_value(signature, certificates, algorithm, octets, label, findings)
    _judge_properties(signature, label, findings)
    references = [
        Reference(element, document, signature, original) for element in signed_info.findall(f"{DS}Reference")
    ]
    covered = [document.subtree(signed_info), *_judge_references(references, label, findings)]
    complete = len(findings.problems) == before
    names = (reference.hash_name for reference in references if _has_known_hash(reference))
    if weak := weakness(signer.public_key.dump(), algorithm.hash_name, *names):
        findings.indeterminate(f"{label} {weak}")
    others = [item for item in certificates if item.dump() != signer.dump()]
    judge_trust(signer, others, roots, label, findings)
    _judge_timestamps(document, signature, label, findings)
    findings.compare_times(label)
    _judge_countersignatures(document, signature, label, findings)
    return covered if complete else None


def _has_known_hash(reference: Reference) -> bool:
    try:
        return bool(reference.hash_name)
    except NotJudgedError:  # it is reported where its digest is judged
        return False


def _certificates(signature: Any) -> Iterator[bytes]:
    for name in (f"{DS}KeyInfo//{DS}X509Certificate", ".//{*}EncapsulatedX509Certificate"):
        for item in signature.iterfind(name):
            yield binary(item)


def _judge_value(
    signature: Any,
    certificates: list[x509.Certificate],
    algorithm: SignatureAlgorithm,
    octets: bytes,
    label: str,
    findings: Findings,
) -> x509.Certificate:
    """Judge the signature value, and return the certificate that it was made with."""
    value = binary(signature.find(f"{DS}SignatureValue"))
    made = digest(algorithm.hash_name, octets) if algorithm.hash_name else b""
    fitting = [item for item in certificates if matches(item.public_key.dump(), algorithm, value, octets, made)]
    if not fitting:
        findings.invalid(f"the value of {label} does not match what it signs and its certificate")
        fitting = certificates
    named = [item for item in fitting if _is_named(signature, item)]
    if not named:
        findings.indeterminate(f"{label} names another certificate than the one that it holds")
    signer = (named or fitting)[0]
    findings.signed_by(signer)
    return signer


def _is_named(signature: Any, certificate: x509.Certificate) -> bool:
    """Whether the signed properties, if they name certificates, name this one (ETSI EN 319 132-1, 5.2.2)."""
    digests = [
        (hash_of(item.find(f"{DS}DigestMethod")), binary(item.find(f"{DS}DigestValue")))
        for name in ("SigningCertificate", "SigningCertificateV2")
        for holder in signature.iterfind(f"{DS}Object//{{*}}SignedProperties//{{*}}{name}")
        for item in holder.iterfind("{*}Cert/{*}CertDigest")
    ]
    return not digests or any(value == digest(name, certificate.dump()) for name, value in digests)


def _judge_references(references: list[Reference], label: str, findings: Findings) -> Iterator[NodeSet]:
    """Judge the digests, and yield what is covered by those that hold."""
    if len([reference for reference in references if reference.is_external]) > 1:
        findings.indeterminate(f"{label} is about several files, which cannot be judged together")
        return
    for reference in references:
        try:
            if not reference.holds():
                findings.invalid(f"{_part(reference)} was changed after {label} was made: its digest differs")
                continue
            nodes = reference.nodes()
        except NotJudgedError as error:
            findings.indeterminate(f"{label} cannot be judged: {error}")
            continue
        if nodes is not None:
            yield nodes
        target = reference.target()
        if reference.element.get("Type") == _MANIFEST and target is not None:
            inner = [attrs.evolve(reference, element=element) for element in target.iter(f"{DS}Reference")]
            yield from _judge_references(inner, label, findings)


def _part(reference: Reference) -> str:
    element = reference.target()
    if reference.is_external:
        return "the original is another file, or"
    if element is None or element is reference.document.root:
        return "the document"
    name = etree.QName(element).localname
    return {"SignedProperties": "the signature's SignedProperties", "KeyInfo": "the signature's KeyInfo"}.get(
        name, f"the element {name} ({reference.uri})"
    )


def _judge_properties(signature: Any, label: str, findings: Findings) -> None:
    properties = signature.find(f"{DS}Object/{{*}}QualifyingProperties/{{*}}SignedProperties")
    if properties is None:
        findings.note(f"{label} is a plain XML signature without the properties of XAdES")
        return
    text = properties.findtext("{*}SignedSignatureProperties/{*}SigningTime")
    if text is not None:
        try:
            time = dt.datetime.fromisoformat(text.strip())
        except ValueError:
            findings.note(f"the claimed time of {label} cannot be read")
            return
        findings.signed_at = time if time.tzinfo is not None else time.replace(tzinfo=dt.UTC)


def _judge_timestamps(document: XmlDocument, signature: Any, label: str, findings: Findings) -> None:
    """Judge the timestamps of the signature value (ETSI EN 319 132-1, 5.3)."""
    value = signature.find(f"{DS}SignatureValue")
    for stamp in signature.iterfind(f"{_UNSIGNED}/{{*}}SignatureTimeStamp"):
        method = stamp.find(f"{DS}CanonicalizationMethod")
        canonicalization = Canonicalization() if method is None else Canonicalization.of(method)
        name = f"the timestamp of {label}"
        if canonicalization is None:
            findings.note(f"{name} cannot be judged: its canonicalization is not supported")
            continue
        octets = document.subtree(value).canonical(canonicalization)
        for token in stamp.iterfind("{*}EncapsulatedTimeStamp"):
            judge_timestamp(binary(token), Content.of(octets), name, findings)


def _judge_countersignatures(document: XmlDocument, signature: Any, label: str, findings: Findings) -> None:
    """Judge the signatures of the signature value (ETSI EN 319 132-1, 5.2.7); trust in their signers is not judged."""
    value = document.index[signature.find(f"{DS}SignatureValue")]
    for element in signature.iterfind(f"{_UNSIGNED}/{{*}}CounterSignature/{DS}Signature"):
        found = Findings()
        covered = _judge_guarded(document, element, None, [], "it", found)
        if covered is not None and not any(nodes.included[value] for nodes in covered):
            found.invalid("it does not cover the signature value")
        if findings.include_attached(found, f"the countersignature of {label}"):
            findings.note(f"{label} is countersigned by {found.report().signer}")


def _judge_coverage(document: XmlDocument, signatures: list[Any], covered: list[NodeSet], findings: Findings) -> None:
    """Report what is not signed."""
    signed = document.subtrees([])
    for nodes in covered:
        signed = signed.union(nodes)
    for signature in signatures:
        start = document.index[signature]
        signed.included[start] |= not _has_text(signature)
        for number in range(start + 1, document.ends[start]):
            element = document.elements[number]
            signed.included[number] |= _is_structure(signature, element) or (
                element.tag == f"{DS}Object" and _holds_only_signed(document, element, signed)
            )
    unsigned = [
        document.elements[number]
        for number, here in enumerate(signed.included)
        if not here and (number == 0 or signed.included[document.parents[number]])
    ]
    wrappers = [item for item in unsigned if not item.attrib and _holds_only_signed(document, item, signed)]
    if len(unsigned) > len(wrappers):
        findings.invalid(f"not all of it is signed: {_listed(item for item in unsigned if item not in wrappers)}")
    elif wrappers:
        findings.indeterminate(f"the element around what is signed is not signed: {_listed(wrappers)}")
    if not signed.outer and document.outer(etree.ProcessingInstruction):
        findings.invalid("not all of it is signed: there are processing instructions outside of the root element")
    if not signed.comments:
        inner = list(document.root.iter(etree.Comment))
        if any(_divides_text(comment) for comment in inner):
            findings.indeterminate("a comment that is not signed is within text, which other software may cut there")
        elif inner or document.outer(etree.Comment):
            findings.note("its comments are not signed")


def _divides_text(comment: Any) -> bool:
    parent, previous = comment.getparent(), comment.getprevious()
    before = parent.text if previous is None else previous.tail
    return not parent.tag.startswith(DS) and bool((before or "").strip() or (comment.tail or "").strip())


def _is_structure(signature: Any, element: Any) -> bool:
    """Whether an element of a signature is known, and need not be signed: its value, key and unsigned properties."""
    path = [element, *element.iterancestors()]
    path = path[: path.index(signature)][::-1]
    names = [etree.QName(item).localname for item in path]
    if not all(item.tag.startswith(_STRUCTURE) for item in path):
        return False
    if names[:1] in (["SignatureValue"], ["KeyInfo"]) or names[2:3] == ["UnsignedProperties"]:
        return True
    if names == ["Object"]:
        return len(element) == len(element.findall("{*}QualifyingProperties")) > 0 and not _has_text(element)
    return names == ["Object", "QualifyingProperties"] and not _has_text(element)


def _has_text(element: Any) -> bool:
    """Whether there is text directly in an element."""
    return any((text or "").strip() for text in (element.text, *(child.tail for child in element)))


def _holds_only_signed(document: XmlDocument, element: Any, signed: NodeSet) -> bool:
    """Whether an element holds nothing of its own but elements that are signed."""
    children = list(element.iterchildren("*"))
    return bool(children) and not _has_text(element) and all(signed.included[document.index[item]] for item in children)


def _listed(elements: Iterable[Any]) -> str:
    names = [etree.QName(element).localname for element in elements]
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more elements"


def _is_detached(document: XmlDocument, signatures: list[Any]) -> bool:
    """Whether the document is a signature of something outside of it; then the original was judged by its digest."""
    return document.root in signatures and any(
        not (item.get("URI") == "" or item.get("URI", "-").startswith("#"))
        for item in document.root.iterfind(f"{DS}SignedInfo/{DS}Reference")
    )


def _compare(
    document: XmlDocument, new: list[Any], before: XmlDocument | None, sent: bytes, findings: Findings
) -> None:
    """Judge whether the document without its new signatures is what was sent, or a signature around it holds that."""
    if document.root in new:
        if any(_is_in(item, before, sent) for item in document.root.iterfind(f"{DS}Object")):
            return
    elif before is not None:
        expected = before.whole().canonical(Canonicalization(exclusive=True))
        for added in (new, [_with_wrappers(signature) for signature in new]):
            numbers = [document.index[element] for element in added]
            for spaces in ("kept", "before", "after"):
                root = document.copy()
                elements = list(root.iter("*"))
                for number in numbers:
                    if spaces != "kept":
                        _drop_blanks(elements[number], spaces)
                    remove(elements[number])
                if _written(root) == expected:
                    return
            if _written(_without_blanks(root)) == _written(_without_blanks(before.copy())):
                findings.indeterminate("it differs from what was sent in blanks between its elements")
                return
    elif findings.problems:
        return  # it could not be compared
    findings.invalid("it is not what was sent")


def _written(root: Any) -> bytes:
    return bytes(etree.tostring(root.getroottree(), method="c14n", exclusive=True, with_comments=False))


def _with_wrappers(signature: Any) -> Any:
    """A signature with the elements around it that hold nothing else, which signing software may add."""
    element = signature
    while (parent := element.getparent()).getparent() is not None:
        if len(parent) > 1 or parent.attrib or _has_text(parent):
            break
        element = parent
    return element


def _without_blanks(root: Any) -> Any:
    for item in root.iter():
        if not (item.text or "").strip() and isinstance(item.tag, str):
            item.text = None
        if not (item.tail or "").strip():
            item.tail = None
    return root


def _drop_blanks(signature: Any, side: str) -> None:
    """Drop the blanks on one side of a signature, which signing software may add."""
    previous, parent = signature.getprevious(), signature.getparent()
    if side == "after":
        if not (signature.tail or "").strip():
            signature.tail = None
    elif previous is not None:
        if not (previous.tail or "").strip():
            previous.tail = None
    elif not (parent.text or "").strip():
        parent.text = None


def _is_in(holder: Any, before: XmlDocument | None, sent: bytes) -> bool:
    """Whether an Object holds what was sent, as XML, as text or in base64."""
    text = holder.text or ""
    if len(holder) == 1 and before is not None:
        held = XmlDocument(etree.tostring(holder[0], with_tail=False)).whole()
        exclusive = Canonicalization(exclusive=True)
        return held.canonical(exclusive) == before.subtree(before.root).canonical(exclusive)
    try:
        return text.encode() == sent or binascii.a2b_base64(text.encode()) == sent
    except (binascii.Error, ValueError):
        return False

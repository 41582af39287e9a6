"""One XML signature: its value, its references, and who made it (XML Signature, 3.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs
from asn1crypto import x509
from lxml import etree

from .algorithms import Content, SignatureAlgorithm, judge_strength, matches
from .report import Findings, NotJudgedError
from .trust import judge_trust
from .xml_algorithms import DS, Canonicalization, signature_algorithm
from .xml_document import NodeSet, XmlDocument, binary
from .xml_properties import countersignatures, judge_claimed_time, judge_timestamps, names_certificate
from .xml_references import Reference, is_external

_MANIFEST: Final = "http://www.w3.org/2000/09/xmldsig#Manifest"


def judge_signature(
    document: XmlDocument, signature: Any, original: bytes | None, roots: list[x509.Certificate], findings: Findings
) -> list[NodeSet] | None:
    """Judge a signature with its timestamps and countersignatures.

    Returns:
        What it covers, or None if that is not known.
    """
    with findings.judging():
        return _judge(document, signature, original, roots, findings)
    return None  # the judging ended early


def _judge(
    document: XmlDocument, signature: Any, original: bytes | None, roots: list[x509.Certificate], findings: Findings
) -> list[NodeSet] | None:
    (signed_info,) = signature.findall(f"{DS}SignedInfo")
    method = signed_info.find(f"{DS}CanonicalizationMethod")
    canonicalization = Canonicalization.of(method)
    if canonicalization is None:
        raise NotJudgedError(f"the canonicalization {method.get('Algorithm')} is not supported")
    content = Content.of(document.subtree(signed_info, comments=True).canonical(canonicalization))
    algorithm = signature_algorithm(signed_info.find(f"{DS}SignatureMethod"))
    certificates = list(_certificates(signature))
    if not certificates:
        raise NotJudgedError("it does not hold the signer's certificate")
    before = len(findings.problems)
    signer = _judge_value(signature, certificates, algorithm, content, findings)
    judge_claimed_time(signature, findings)
    references = [
        Reference(element, document, signature, original) for element in signed_info.findall(f"{DS}Reference")
    ]
    covered = [document.subtree(signed_info), *_judge_references(references, findings)]
    complete = len(findings.problems) == before
    names = (reference.hash_name for reference in references if _has_known_hash(reference))
    judge_strength(signer.public_key.dump(), (algorithm.hash_name, *names), findings)
    judge_trust(signer, certificates, roots, findings)
    judge_timestamps(document, signature, findings)
    findings.compare_times()
    for element in countersignatures(signature):
        _judge_countersignature(document, signature, element, findings)
    return covered if complete else None


def _has_known_hash(reference: Reference) -> bool:
    try:
        return bool(reference.hash_name)
    except NotJudgedError:  # it is reported where its digest is judged
        return False


def _certificates(signature: Any) -> Iterator[x509.Certificate]:
    for name in (f"{DS}KeyInfo//{DS}X509Certificate", ".//{*}EncapsulatedX509Certificate"):
        for item in signature.iterfind(name):
            yield x509.Certificate.load(binary(item))


def _judge_value(
    signature: Any,
    certificates: list[x509.Certificate],
    algorithm: SignatureAlgorithm,
    content: Content,
    findings: Findings,
) -> x509.Certificate:
    """Judge the signature value, and return the certificate that it was made with."""
    value = binary(signature.find(f"{DS}SignatureValue"))
    fitting = [item for item in certificates if matches(item.public_key.dump(), algorithm, value, content)]
    if not fitting:
        findings.value_differs()
        fitting = certificates
    named = [item for item in fitting if names_certificate(signature, item)]
    if not named:
        findings.certificate_differs()
    signer = (named or fitting)[0]
    findings.signed_by(signer)
    return signer


def _judge_references(references: list[Reference], findings: Findings) -> Iterator[NodeSet]:
    """Judge the digests, and yield what is covered by those that hold."""
    if sum(is_external(reference.element) for reference in references) > 1:
        findings.indeterminate(f"{findings.label} is about several files, which cannot be judged together")
        return
    for reference in references:
        try:
            octets, nodes = reference.dereferenced()
            if not reference.holds(octets):
                findings.digest_differs(_part(reference))
                continue
        except NotJudgedError as error:
            findings.indeterminate(f"{findings.label} cannot be judged: {error}")
            continue
        if nodes is not None:
            yield nodes
        target = reference.target()
        if reference.element.get("Type") == _MANIFEST and target is not None:
            inner = [attrs.evolve(reference, element=element) for element in target.iter(f"{DS}Reference")]
            yield from _judge_references(inner, findings)


def _part(reference: Reference) -> str:
    element = reference.target()
    if is_external(reference.element):
        return "the original is another file, or"
    if element is None or element is reference.document.root:
        return "the document"
    name = etree.QName(element).localname
    return {"SignedProperties": "the signature's SignedProperties", "KeyInfo": "the signature's KeyInfo"}.get(
        name, f"the element {name} ({reference.uri})"
    )


def _judge_countersignature(document: XmlDocument, signature: Any, element: Any, findings: Findings) -> None:
    """Judge a signature of a signature's value; the trust in its signer is not judged."""
    value = document.index[signature.find(f"{DS}SignatureValue")]
    found = Findings()
    covered = judge_signature(document, element, None, [], found)
    if covered is not None and not any(nodes.included[value] for nodes in covered):
        found.invalid("it does not cover the signature value")
    findings.include_countersignature(found)

"""Whether the signatures of an XML document cover all of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from lxml import etree

from .report import Findings
from .xml_algorithms import DS
from .xml_document import NodeSet, XmlDocument, has_text

_ETSI: Final = "http://uri.etsi.org/01903/"
_STRUCTURE: Final = (f"{{{_ETSI}", DS, "{http://www.w3.org/2009/xmldsig11#}")
"""Namespaces of what a signature itself consists of."""


def judge_coverage(document: XmlDocument, signatures: list[Any], covered: list[NodeSet], findings: Findings) -> None:
    """Report what is not signed, other than the signatures themselves."""
    signed = document.subtrees([])
    for nodes in covered:
        signed = signed.union(nodes)
    for signature in signatures:
        start = document.index[signature]
        signed.included[start] |= not has_text(signature)
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
        return len(element) == len(element.findall("{*}QualifyingProperties")) > 0 and not has_text(element)
    return names == ["Object", "QualifyingProperties"] and not has_text(element)


def _holds_only_signed(document: XmlDocument, element: Any, signed: NodeSet) -> bool:
    """Whether an element holds nothing of its own but elements that are signed."""
    children = list(element.iterchildren("*"))
    return bool(children) and not has_text(element) and all(signed.included[document.index[item]] for item in children)


def _listed(elements: Iterable[Any]) -> str:
    names = [etree.QName(element).localname for element in elements]
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more elements"

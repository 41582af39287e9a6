"""Whether an XML document without its new signatures is what was sent to be signed."""

from __future__ import annotations

import binascii
from typing import Any, Final

from lxml import etree

from .report import Findings
from .xml_algorithms import DS, Canonicalization
from .xml_document import XmlDocument, has_text, remove
from .xml_references import is_external

_C14N: Final = Canonicalization(exclusive=True)


def judge_sent(
    document: XmlDocument, new: list[Any], before: XmlDocument | None, sent: bytes, findings: Findings
) -> None:
    """Judge whether the document without its new signatures is what was sent, or a signature around it holds that.

    What was sent comes as bytes, and as a document if it is XML.
    """
    if _is_detached(document, new):
        return
    if document.root in new:
        if any(_is_in(item, before, sent) for item in document.root.iterfind(f"{DS}Object")):
            return
    elif before is not None:
        expected = before.whole().canonical(_C14N)
        for added in (new, [_with_wrappers(signature) for signature in new]):
            numbers = [document.index[element] for element in added]
            for spaces in ("kept", "before", "after"):
                root = document.copy()
                elements = list(root.iter("*"))
                for number in numbers:
                    if spaces != "kept":
                        _drop_blanks(elements[number], spaces)
                    remove(elements[number])
                if _C14N.canonicalize(root) == expected:
                    return
            if _C14N.canonicalize(_without_blanks(root)) == _C14N.canonicalize(_without_blanks(before.copy())):
                findings.indeterminate("it differs from what was sent in blanks between its elements")
                return
    elif findings.problems:
        return  # it could not be compared
    findings.invalid("it is not what was sent")


def _is_detached(document: XmlDocument, signatures: list[Any]) -> bool:
    """Whether the document is a signature of something outside of it; then the original was judged by its digest."""
    return document.root in signatures and any(
        is_external(item) for item in document.root.iterfind(f"{DS}SignedInfo/{DS}Reference")
    )


def _with_wrappers(signature: Any) -> Any:
    """A signature with the elements around it that hold nothing else, which signing software may add."""
    element = signature
    while (parent := element.getparent()).getparent() is not None:
        if len(parent) > 1 or parent.attrib or has_text(parent):
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
        return held.canonical(_C14N) == before.subtree(before.root).canonical(_C14N)
    try:
        return text.encode() == sent or binascii.a2b_base64(text.encode()) == sent
    except (binascii.Error, ValueError):
        return False

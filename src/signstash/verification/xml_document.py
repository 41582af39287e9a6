"""XML documents of bounded size, sets of their nodes, and the canonical form of these."""

from __future__ import annotations

import binascii
import operator
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

import attrs
from lxml import etree

from .report import NotJudgedError
from .signed_file import limit_size
from .xml_algorithms import Canonicalization

MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes that an XML document may have; it is held in memory."""
MAX_WORK: Final = 100_000_000
"""Bound of the work that an XML document may take: some 300,000 elements, or 10,000 attributes in one element."""

_BLOCK: Final = 64 * 1024
_PROLOG_BLOCK: Final = 256
_PARSING: Final[dict[str, Any]] = {"resolve_entities": False, "no_network": True, "huge_tree": True}
_ELEMENT_WORK: Final = 320
"""Work of an element; two attributes of the same element, which are compared, are one unit."""
_MARKUP: Final = (b"<!", b"<?", b"<\0!", b"<\0?")
"""What begins comments and processing instructions, also in UTF-16."""
_BESIDE_TEXT: Final = {"Id", "ID", "id", "MimeType", "Encoding"}
"""Attributes of an element in base64 that need not be signed."""


class XmlDocument:
    """A parsed document.

    Args:
        content: The document.

    Raises:
        NotJudgedError: If it is too large, takes too much work, or has a DOCTYPE.
        lxml.etree.XMLSyntaxError: If it is not well-formed.
    """

    def __init__(self, content: bytes) -> None:
        limit_size(len(content), MAX_BYTES, "XML is")
        _reject_doctype(content)
        self._content = content
        self.size: int = len(content)
        self.root: Any = _parse(content)
        self.tree: Any = self.root.getroottree()
        self.elements: list[Any] = list(self.root.iter("*"))
        self.index: dict[Any, int] = {element: number for number, element in enumerate(self.elements)}

    @cached_property
    def parents(self) -> list[int]:
        """The index of each element's parent; -1 for the root."""
        return [self.index.get(element.getparent(), -1) for element in self.elements]

    @cached_property
    def ends(self) -> list[int]:
        """For each element, the index after its last descendant; elements are in document order."""
        ends = list(range(1, len(self.elements) + 1))
        for number in range(len(ends) - 1, 0, -1):
            parent = self.parents[number]
            ends[parent] = max(ends[parent], ends[number])
        return ends

    @cached_property
    def depth(self) -> int:
        """How deep its elements are nested."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(1 if parent < 0 else depths[parent] + 1)
        return max(depths)

    def outer(self, kind: Any) -> list[Any]:
        """The comments or processing instructions before and after the root element."""
        return [*self.root.itersiblings(kind, preceding=True), *self.root.itersiblings(kind)]

    def copy(self) -> Any:
        """The root of a fresh copy."""
        return etree.fromstring(self._content, etree.XMLParser(**_PARSING))

    def whole(self, *, comments: bool = False) -> NodeSet:
        """All nodes."""
        return NodeSet(self, bytearray(b"\1") * len(self.elements), outer=True, comments=comments)

    def subtree(self, element: Any, *, comments: bool = False) -> NodeSet:
        """An element with all that it holds."""
        return self.subtrees([element], comments=comments)

    def subtrees(self, elements: Iterable[Any], *, comments: bool = False) -> NodeSet:
        """Elements with all that they hold."""
        included = bytearray(len(self.elements))
        for element in elements:
            start = self.index[element]
            included[start : self.ends[start]] = b"\1" * (self.ends[start] - start)
        return NodeSet(self, included, outer=False, comments=comments)


def _reject_doctype(content: bytes) -> None:
    """Refuse a DOCTYPE before anything is expanded without the parser's own bounds."""
    parser = etree.XMLPullParser(events=("start",), resolve_entities=False, no_network=True)
    for start in range(0, len(content), _PROLOG_BLOCK):
        parser.feed(content[start : start + _PROLOG_BLOCK])
        element: Any
        for _, element in parser.read_events():
            if element.getroottree().docinfo.internalDTD is not None:
                raise NotJudgedError("it has a DOCTYPE, which can change what other software reads")
            return


def _parse(content: bytes) -> Any:
    """Parse a document in blocks, as far as its nodes do not exceed the bound of the work."""
    parser = etree.XMLPullParser(events=("start", "start-ns", "end-ns"), **_PARSING)
    work = _ELEMENT_WORK * sum(map(content.count, _MARKUP))
    namespaces = 0
    element: Any
    for start in range(0, len(content), _BLOCK):
        parser.feed(content[start : start + _BLOCK])
        for event, element in parser.read_events():
            if event == "start":
                work += _ELEMENT_WORK + len(element.attrib) ** 2 + namespaces**2
            else:
                namespaces += 1 if event == "start-ns" else -1
        if work > MAX_WORK:
            raise NotJudgedError("it has too many nodes, or attributes or namespaces in one element")
    return parser.close()


@attrs.frozen(eq=False)
class NodeSet:
    """Whole elements of a document: each with its attributes, namespaces and text.

    Attributes:
        document: The document.
        included: For each of its elements, whether it is in the set.
        outer: Whether what is before and after the root element is in it.
        comments: Whether comments are in it.
    """

    document: XmlDocument
    included: bytearray
    outer: bool
    comments: bool

    def without(self, element: Any) -> NodeSet:
        """The set without an element and all that it holds."""
        return self.intersection(self.document.subtree(element).complement())

    def complement(self) -> NodeSet:
        """The other elements."""
        return attrs.evolve(
            self, included=bytearray(self.included.translate(_SWAPPED)), outer=not self.outer, comments=True
        )

    def intersection(self, other: NodeSet) -> NodeSet:
        """What is in both."""
        return self._combined(other, operator.and_)

    def union(self, other: NodeSet) -> NodeSet:
        """What is in one of the two."""
        return self._combined(other, operator.or_)

    def _combined(self, other: NodeSet, operation: Any) -> NodeSet:
        one, two = (int.from_bytes(nodes.included, "big") for nodes in (self, other))
        included = bytearray(operation(one, two).to_bytes(len(self.included), "big"))
        outer, comments = operation(self.outer, other.outer), operation(self.comments, other.comments)
        return attrs.evolve(self, included=included, outer=outer, comments=comments)

    def text(self) -> str:
        """The text of an element, as the base64 transform takes it."""
        number = max(self.included.find(1), 0)
        element = self.document.elements[number]
        if self.document.ends[number] != number + 1 or set(element.attrib) - _BESIDE_TEXT:
            raise NotJudgedError("its base64 is mixed with elements or attributes, which are not signed")
        return str(element.xpath("string()"))

    def canonical(self, method: Canonicalization) -> bytes:
        """The canonical form."""
        method = attrs.evolve(method, comments=method.comments and self.comments)
        try:
            return b"".join(method.canonicalize(part) for part in self._standalone(method))
        except etree.C14NError as error:
            raise NotJudgedError(f"it cannot be canonicalized ({error})") from error

    def _standalone(self, method: Canonicalization) -> list[Any]:
        """The roots of documents of their own for the topmost elements of the set, without what is not in the set."""
        document, included = self.document, self.included
        if self.outer and 0 not in included:
            return [document.root]
        tops = self._tops()
        excluded = self._excluded(tops)
        if not excluded and not self.outer:
            return [method.cut_out(document.elements[number]) for number in tops]
        if self.outer and tops != [0]:
            raise NotJudgedError("its XPath leaves out the root element")
        root = document.copy()
        copies = {number: item for number, item in enumerate(root.iter("*")) if number in excluded or number in tops}
        for number in excluded:
            remove(copies[number])
        return [root] if self.outer else [method.cut_out(copies[number]) for number in tops]

    def _tops(self) -> list[int]:
        """The elements of the set whose parents are not in it."""
        tops = []
        number = self.included.find(1)
        while number >= 0:
            tops.append(number)
            number = self.included.find(1, self.document.ends[number])
        return tops

    def _excluded(self, tops: list[int]) -> set[int]:
        """The topmost elements below some of the set that are not in it."""
        excluded = set()
        for top in tops:
            number = self.included.find(0, top, self.document.ends[top])
            while number >= 0:
                after = self.document.ends[number]
                if self.included.find(1, number, after) >= 0:
                    raise NotJudgedError("its XPath selects parts of what it leaves out")
                excluded.add(number)
                number = self.included.find(0, after, self.document.ends[top])
        return excluded


_SWAPPED: Final = bytes([1, 0]) + bytes(range(2, 256))


def binary(element: Any) -> bytes:
    """The bytes that an element holds in base64; comments do not divide it."""
    return decoded("" if element is None else element.xpath("string()"))


def decoded(text: str) -> bytes:
    """The bytes of base64."""
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError as error:
        raise NotJudgedError(f"a value is not base64 ({error})") from error


def remove(element: Any) -> None:
    """Remove an element, and leave the text that follows it."""
    parent, before, tail = element.getparent(), element.getprevious(), element.tail or ""
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    element.tail = None
    parent.remove(element)


def has_text(element: Any) -> bool:
    """Whether there is text directly in an element."""
    return any((text or "").strip() for text in (element.text, *(child.tail for child in element)))

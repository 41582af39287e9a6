"""Canonicalization algorithms of XML signatures, by URI (RFC 9231, 2.4)."""

from __future__ import annotations

from typing import Any, Final

import attrs
from lxml import etree

from .report import NotJudgedError

_XML: Final = "{http://www.w3.org/XML/1998/namespace}"
_EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_INCLUSIVE: Final = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_INCLUSIVE_1_1: Final = "http://www.w3.org/2006/12/xml-c14n11"


@attrs.frozen
class Canonicalization:
    """A canonicalization algorithm.

    Attributes:
        exclusive: Whether it leaves out namespaces that are not used.
        comments: Whether it keeps comments.
        version_1_1: Whether it is version 1.1, which inherits fewer attributes.
        prefixes: Prefixes that exclusive canonicalization treats like the inclusive one.
    """

    exclusive: bool = False
    comments: bool = False
    version_1_1: bool = False
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, method: Any) -> Canonicalization | None:
        """Read the algorithm of a CanonicalizationMethod or Transform element, or None if it is something else."""
        name = method.get("Algorithm", "")
        comments = name.endswith("WithComments")
        plain = name.removesuffix("WithComments") if comments else name
        if plain == _EXCLUSIVE:
            listed = method.find(f"{{{_EXCLUSIVE}}}InclusiveNamespaces")
            prefixes = () if listed is None else tuple(listed.get("PrefixList", "").split())
            return cls(exclusive=True, comments=comments, prefixes=prefixes)
        if plain.removesuffix("#") in (_INCLUSIVE, _INCLUSIVE_1_1) and plain.endswith("#") == comments:
            return cls(comments=comments, version_1_1=plain.startswith(_INCLUSIVE_1_1))
        return None

    def written(self, root: Any) -> bytes:
        """The canonical form of a document with a root element; what is before and after that element is part of it."""
        return bytes(
            etree.tostring(
                root.getroottree(),
                method="c14n",
                exclusive=self.exclusive,
                with_comments=self.comments,
                inclusive_ns_prefixes=list(self.prefixes) if self.exclusive else None,
            )
        )

    def cut_out(self, element: Any) -> Any:
        """The root of a document of its own for an element, with all that its canonical form there depends on."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
        root = etree.fromstring(etree.tostring(element, with_tail=False), parser)
        if self.exclusive:
            return root
        inherited: dict[str, str] = {}
        for ancestor in element.iterancestors():
            for name, value in ancestor.attrib.items():
                if name.startswith(_XML):
                    inherited.setdefault(name, value)
        if self.version_1_1:
            inherited.pop(f"{_XML}id", None)
            if f"{_XML}base" in inherited:
                raise NotJudgedError("canonicalization 1.1 of an element that inherits xml:base is not supported")
        for name, value in inherited.items():
            if name not in root.attrib:
                root.set(name, value)
        return root

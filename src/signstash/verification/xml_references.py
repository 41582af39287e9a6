"""References of XML signatures: what they refer to, their transforms, and whether their digests match."""

from __future__ import annotations

import re
from typing import Any, Final

import attrs
from lxml import etree

from .algorithms import digest
from .report import NotJudgedError
from .xml_algorithms import DS, Canonicalization, digest_algorithm
from .xml_document import NodeSet, XmlDocument, binary, decoded

_ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_BASE64: Final = "http://www.w3.org/2000/09/xmldsig#base64"
_XPATH: Final = "http://www.w3.org/TR/1999/REC-xpath-19991116"
_XPATH_2: Final = "http://www.w3.org/2002/06/xmldsig-filter2"
_IDS: Final = (
    "Id",
    "ID",
    "id",
    "{http://www.w3.org/XML/1998/namespace}id",
    "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}Id",
)
_POINTER: Final = re.compile(r"""#xpointer\(\s*id\(\s*(['"])(.*?)\1\s*\)\s*\)""")
_WIDE: Final = re.compile(
    r"//|\b(?:descendant|descendant-or-self|following|preceding)\s*::|\b(?:following|preceding)-s"
    r"|/(?!\s*(?:/|(?:ancestor|ancestor-or-self|parent|self|attribute)\s*::|@|\.\.))"
)
"""What makes an XPath visit many nodes from each node."""
_COMPARISON: Final = re.compile(r"""(?:(?:local-)?name\(\)|namespace-uri\(\)|@[\w:.-]+)\s*!?=\s*(?:'[^']*'|"[^"]*")""")
_STRUCTURAL: Final = re.compile(
    r"(?:\b(?:not|and|or|count|boolean|true|false|here|node|text)\(|(?<![\w-])\(|[^('\"=<>])*"
)
"""An XPath without functions and comparisons that take the text of nodes."""
_MAX_STEPS: Final = 20_000_000
"""Bound of the nodes that an XPath may visit, estimated."""


def is_external(reference: Any) -> bool:
    """Whether a Reference element refers to something outside the document, as in a detached signature."""
    uri = reference.get("URI")
    return uri is None or not (uri == "" or uri.startswith("#"))


@attrs.frozen
class Reference:
    """A digest reference of a signature.

    Attributes:
        element: The Reference element.
        document: The document that holds it.
        signature: The Signature element that it belongs to.
        original: What was sent to be signed, if it is known: an external reference is taken to be about it, whatever
            its URI, which names a place of the signer's.
    """

    element: Any
    document: XmlDocument
    signature: Any
    original: bytes | None

    @property
    def uri(self) -> str | None:
        """What it refers to."""
        uri: str | None = self.element.get("URI")
        return uri

    @property
    def hash_name(self) -> str:
        """The digest algorithm."""
        return digest_algorithm(self.element.find(f"{DS}DigestMethod"))

    def holds(self, octets: bytes) -> bool:
        """Whether the digest is that of the octets that it refers to."""
        return binary(self.element.find(f"{DS}DigestValue")) == digest(self.hash_name, octets)

    def dereferenced(self) -> tuple[bytes, NodeSet | None]:
        """The octets that are digested, and the nodes of the document that are signed by that."""
        value: NodeSet | bytes
        if not is_external(self.element):
            value = self._target()
        elif self.original is None:
            raise NotJudgedError(f"it is about {self.uri or 'something'} outside of it: give the original")
        else:
            value = self.original
        nodes, keeps_comments = None, False
        for transform in self.element.findall(f"{DS}Transforms/{DS}Transform"):
            if isinstance(value, NodeSet):
                nodes, method = value, Canonicalization.of(transform)
                keeps_comments = method is not None and method.comments
            value = self._transformed(value, transform)
        if isinstance(value, NodeSet):
            nodes, keeps_comments = value, False
            value = value.canonical(Canonicalization())
        return value, nodes and attrs.evolve(nodes, comments=nodes.comments and keeps_comments)

    def target(self) -> Any:
        """The element that the URI refers to, or None if it is the document or outside of it."""
        if not self.uri or is_external(self.element) or self.uri == "#xpointer(/)":
            return None
        pointer = _POINTER.fullmatch(self.uri)
        name = pointer[2] if pointer else self.uri[1:]
        if not pointer and "(" in name:
            raise NotJudgedError(f"the reference {self.uri} is not supported")
        found = [item for item in self.document.elements if any(item.get(key) == name for key in _IDS)]
        if len(found) != 1:
            count = f"{len(found)} elements have" if found else "no element has"
            raise NotJudgedError(f"{count} the ID that the reference {self.uri} names")
        return found[0]

    def _target(self) -> NodeSet:
        element, comments = self.target(), (self.uri or "").startswith("#xpointer(")
        if element is None:
            return self.document.whole(comments=comments)
        return self.document.subtree(element, comments=comments)

    def _transformed(self, value: NodeSet | bytes, transform: Any) -> NodeSet | bytes:
        algorithm = transform.get("Algorithm")
        if algorithm == _BASE64:
            return decoded(value.decode() if isinstance(value, bytes) else value.text())
        nodes = XmlDocument(value).whole(comments=True) if isinstance(value, bytes) else value
        canonicalization = Canonicalization.of(transform)
        if canonicalization is not None:
            return nodes.canonical(canonicalization)
        if nodes.document is not self.document:
            raise NotJudgedError(f"the transform {algorithm} after others is not supported")
        if algorithm == _ENVELOPED:
            return nodes.without(self.signature)
        if algorithm == _XPATH:
            (expression,) = transform.findall(f"{DS}XPath")
            return _filtered(nodes, expression)
        if algorithm == _XPATH_2:
            kept = self.document.whole(comments=True)
            for expression in transform.findall(f"{{{_XPATH_2}}}XPath"):
                kept = _step(kept, expression)
            return nodes.intersection(kept)
        raise NotJudgedError(f"the transform {algorithm} is not supported")


def _compiled(expression: Any, template: str, document: XmlDocument, *, per_node: int) -> Any:
    """Evaluate a signed XPath expression in a template, in the namespaces and with the functions that it may use."""
    text = expression.text or ""
    if len(expression):
        raise NotJudgedError("its XPath holds elements")
    nodes = max(len(document.elements), document.size // 32)
    steps = (nodes * document.depth) ** per_node * nodes ** _width(text)
    if not _STRUCTURAL.fullmatch(re.sub(r"\s+\(", "(", _COMPARISON.sub("", text))):  # it takes the text of nodes
        steps *= 1 + document.size // 512
    if len(text) > 4096 or steps > _MAX_STEPS:
        raise NotJudgedError("its XPath takes too much work for this document")
    if re.search(r"\b(?:position|last)\s*\(\s*\)", text) and per_node:
        raise NotJudgedError("its XPath depends on positions")
    options: dict[str, Any] = {
        "namespaces": {prefix: name for prefix, name in expression.nsmap.items() if prefix},
        "extensions": {(None, "here"): lambda _: [expression]},
        "regexp": False,
    }
    try:
        etree.XPath(text, **options)  # on its own first: it must not reach out of the template
        return etree.XPath(template.replace("EXPRESSION", f"boolean({text})" if per_node else text), **options)(
            document.tree
        )
    except etree.XPathError as error:
        raise NotJudgedError(f"its XPath cannot be evaluated ({error})") from error


def _width(text: str) -> int:
    """How many axes that visit many nodes are nested in the widest alternative of an expression."""
    return max(len(_WIDE.findall(part)) for part in text.split("|"))  # "//" of the document itself counts, too


def _filtered(nodes: NodeSet, expression: Any) -> NodeSet:
    """Keep the nodes for which an expression is true (XML Signature, 6.6.3)."""
    document = nodes.document
    kept = _compiled(expression, "//*[EXPRESSION]", document, per_node=1)
    included = bytearray(len(document.elements))
    for element in kept:
        included[document.index[element]] = 1
    # A set of whole elements is what can be canonicalized here: what hangs on an element is in or out with it.
    differs = "boolean(self::node()[EXPRESSION]) != boolean(parent::*[EXPRESSION])"
    leaves = " or ".join(f"{kind}[{differs}]" for kind in ("@*", "namespace::*", "text()", "processing-instruction()"))
    left_out = "[not(self::node()[EXPRESSION])]"
    if _compiled(
        expression, f"boolean(//*[{leaves}]) or boolean(/processing-instruction(){left_out})", document, per_node=1
    ):
        raise NotJudgedError("its XPath selects parts of elements, which is not supported")
    comments = nodes.comments and not _compiled(
        expression, f"boolean(//*[comment(){left_out}]) or boolean(/comment(){left_out})", document, per_node=1
    )
    return nodes.intersection(NodeSet(document, included, outer=True, comments=comments))


def _step(kept: NodeSet, expression: Any) -> NodeSet:
    """Apply one step of an XPath filter (XML-Signature XPath Filter 2.0, 3.3)."""
    document, text = kept.document, (expression.text or "").strip()
    if not all(re.match(r"\(*\s*(?:/|here\s*\()", part.strip()) for part in text.split("|")):
        raise NotJudgedError("its XPath is relative, which is not supported")
    found = _compiled(expression, "EXPRESSION", document, per_node=0)
    if text == "/" or not isinstance(found, list) or not all(item in document.index for item in found):
        raise NotJudgedError("its XPath selects something else than elements, which is not supported")
    selected = document.subtrees(found, comments=True)
    operation = expression.get("Filter")
    if operation == "intersect":
        return kept.intersection(selected)
    if operation == "subtract":
        return kept.intersection(selected.complement())
    if operation == "union":
        return kept.union(selected)
    raise NotJudgedError(f"the XPath filter {operation} is not supported")

"""XAdES: enveloped in an XML document."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
from typing import Any, Final
from xml.parsers import expat

from lxml import etree
from signxml.algorithms import CanonicalizationMethod, SignatureConstructionMethod
from signxml.signer import SignatureReference
from signxml.util import ds_tag, xades_tag
from signxml.xades.xades import XAdESSigner

from ...models import AdvancedSignatureInfo, CanonicalTransform, SignatureInfo, SignatureTransform
from .signer import CannotSignError, Seal

MAX_ATTRIBUTES: Final = 1_000
"""Attributes and namespace declarations of one element; canonicalization takes quadratic time for them."""

MAX_DEPTH: Final = 1_000
"""Levels of nested elements."""

_EXCLUSIVE: Final = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
_WITH_COMMENTS: Final = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0_WITH_COMMENTS
_XPATH: Final = "http://www.w3.org/TR/1999/REC-xpath-19991116"
_XPATH_FILTER_2: Final = "http://www.w3.org/2002/06/xmldsig-filter2"


class _Signer(XAdESSigner):
    """Signs a whole document under a chosen transform, in place.

    signxml leaves out processing instructions outside the root element, and includes comments, although `URI=""` covers
    the former and not the latter (XMLDSig core, 4.4.3.3). It makes the enveloped transform only, and does not name the
    canonicalization of its other references.
    """

    def __init__(self, transform: str, canonical: CanonicalizationMethod, holder: Any) -> None:
        super().__init__(method=SignatureConstructionMethod.enveloped, c14n_algorithm=canonical)
        self._transform = transform
        self._holder = holder

    def _unpack(self, data: Any, references: Any) -> Any:  # noqa: ARG002 - signxml's signature
        covered = copy.deepcopy(data)
        if self._transform != SignatureTransform.ENVELOPED:
            etree.strip_elements(covered, ds_tag("Signature"), with_tail=False)
        canonical = etree.tostring(covered, method="c14n", exclusive=True, with_comments=False)
        signature = etree.SubElement(self._holder, ds_tag("Signature"), nsmap=self.namespaces)
        return signature, data.getroot(), [canonical], [SignatureReference(URI="")]

    def _c14n(self, nodes: Any, algorithm: Any, inclusive_ns_prefixes: Any = None) -> bytes:
        return nodes if isinstance(nodes, bytes) else super()._c14n(nodes, algorithm, inclusive_ns_prefixes)

    def _build_transforms_for_reference(self, *, transforms_node: Any, **options: Any) -> None:
        super()._build_transforms_for_reference(transforms_node=transforms_node, **options)
        transform = transforms_node[0]
        if self._transform == SignatureTransform.XPATH:
            transform.set("Algorithm", _XPATH)
            etree.SubElement(transform, ds_tag("XPath")).text = "not(ancestor-or-self::ds:Signature)"
        elif self._transform == SignatureTransform.XPATH2_FILTER:
            transform.set("Algorithm", _XPATH_FILTER_2)
            tag, prefix = etree.QName(_XPATH_FILTER_2, "XPath"), {"filter": _XPATH_FILTER_2}
            etree.SubElement(transform, tag, {"Filter": "subtract"}, prefix).text = "/descendant::ds:Signature"

    def _add_reference_to_signed_info(self, sig_root: Any, node_to_reference: Any, **attributes: Any) -> None:
        super()._add_reference_to_signed_info(sig_root, node_to_reference, **attributes)  # type: ignore[no-untyped-call]
        signed_info = sig_root.find(ds_tag("SignedInfo"))
        transforms = etree.Element(ds_tag("Transforms"))
        etree.SubElement(transforms, ds_tag("Transform"), Algorithm=self.c14n_alg.value)
        signed_info[-1].insert(0, transforms)


def sign_xml(content: bytes, info: SignatureInfo, seal: Seal) -> bytes:
    """Sign an XML document with an enveloped signature.

    Raises:
        CannotSignError: If it is not well-formed, or cannot be signed as requested.
    """
    advanced = info.advanced_signature_info or AdvancedSignatureInfo()
    transform = str(advanced.signature_transform or SignatureTransform.ENVELOPED)
    # Exclusive unless requested otherwise: the inclusive one would depend on attributes such as xml:lang of the root.
    with_comments = advanced.canonical_transform == CanonicalTransform.EXCLUSIVE_WITH_COMMENTS
    canonical = _WITH_COMMENTS if with_comments else _EXCLUSIVE
    tree = _parse(content)
    holder = tree.getroot()
    if advanced.signature_location:
        holder = _element(holder, advanced.signature_location)
    signer = _Signer(transform, canonical, holder)
    signer.sign(tree, key=seal.identity.key, cert=[seal.identity.certificate])
    if info.apply_timestamp:
        _add_timestamp(holder[-1], seal, canonical)
    return bytes(etree.tostring(tree, xml_declaration=True, encoding="UTF-8"))


def _parse(content: bytes) -> Any:
    _check_bounds(content)
    # Bounded above, so that long texts need no bound; entities that a document defines itself are replaced.
    options: Any = {"resolve_entities": "internal", "no_network": True, "huge_tree": True}
    try:
        return etree.fromstring(content, etree.XMLParser(**options)).getroottree()
    except etree.XMLSyntaxError as error:
        raise CannotSignError(f"the document is not well-formed XML: {error}") from error


def _check_bounds(content: bytes) -> None:
    """Refuse what would take quadratic time or exponential memory. Expat takes linear time, and bounds entities."""
    depth = 0

    def start(_: str, attributes: list[str]) -> None:
        nonlocal depth
        depth += 1
        if len(attributes) > 2 * MAX_ATTRIBUTES:
            raise CannotSignError(f"an element of the XML document has more than {MAX_ATTRIBUTES} attributes")
        if depth > MAX_DEPTH:
            raise CannotSignError(f"the XML document nests more than {MAX_DEPTH} elements")

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.ordered_attributes = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError) as error:
        raise CannotSignError(f"the document is not well-formed XML: {error}") from error


def _element(root: Any, location: str) -> Any:
    """The first element of a name, anywhere in the document."""
    name = location.rpartition(":")[2]
    found = next((element for element in root.iter("*") if etree.QName(element).localname == name), None)
    if found is None:
        raise CannotSignError(f"the document has no element {location!r} for the signature")
    return found


def _add_timestamp(signature: Any, seal: Seal, canonical: CanonicalizationMethod) -> None:
    """Add a timestamp of the signature value, which makes level B-T of B-B (ETSI EN 319 132-1, 5.3)."""
    (properties,) = signature.iter(xades_tag("QualifyingProperties"))
    value = signature.find(ds_tag("SignatureValue"))
    digest = hashlib.sha256(etree.tostring(value, method="c14n", exclusive=True, with_comments=False)).digest()
    token = asyncio.run(seal.timestamper.async_timestamp(digest, "sha256")).dump()
    unsigned = etree.SubElement(properties, xades_tag("UnsignedProperties"))
    of_signature = etree.SubElement(unsigned, xades_tag("UnsignedSignatureProperties"))
    timestamp = etree.SubElement(of_signature, xades_tag("SignatureTimeStamp"))
    etree.SubElement(timestamp, ds_tag("CanonicalizationMethod"), Algorithm=canonical.value)
    etree.SubElement(timestamp, xades_tag("EncapsulatedTimeStamp")).text = base64.b64encode(token).decode()

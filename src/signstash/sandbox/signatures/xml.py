"""XAdES: enveloped in an XML document."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

from lxml import etree
from signxml.algorithms import CanonicalizationMethod, SignatureConstructionMethod
from signxml.util import ds_tag, xades_tag
from signxml.xades.xades import XAdESSigner

from ...models import AdvancedSignatureInfo, SignatureInfo, SignatureTransform
from .signer import CannotSignError, Seal

_CANONICAL = {
    "EXCLUSIVE": CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    "EXCLUSIVE_WITH_COMMENTS": CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0_WITH_COMMENTS,
}


class _Signer(XAdESSigner):
    """Names the canonicalisation of each reference: signxml leaves it out, and its verifier then takes another."""

    def _add_reference_to_signed_info(self, sig_root: Any, node_to_reference: Any, **attributes: Any) -> None:
        super()._add_reference_to_signed_info(sig_root, node_to_reference, **attributes)  # type: ignore[no-untyped-call]
        (signed_info,) = sig_root.iter(ds_tag("SignedInfo"))
        if signed_info[-1][0].tag == ds_tag("Transforms"):
            return
        transforms = etree.Element(ds_tag("Transforms"))
        etree.SubElement(transforms, ds_tag("Transform"), Algorithm=self.c14n_alg.value)
        signed_info[-1].insert(0, transforms)


def sign_xml(content: bytes, info: SignatureInfo, seal: Seal) -> bytes:
    """The document with its signature in it.

    Raises:
        CannotSignError: If it is no XML, or cannot be signed as it is asked for.
    """
    advanced = info.advanced_signature_info or AdvancedSignatureInfo()
    if advanced.signature_transform and advanced.signature_transform != SignatureTransform.ENVELOPED:
        raise CannotSignError(f"the sandbox makes no {advanced.signature_transform} transform, only ENVELOPED")
    try:
        root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise CannotSignError(f"it is no XML: {error}") from error
    if advanced.signature_location:
        holder = _holder(root, advanced.signature_location)
        etree.SubElement(holder, ds_tag("Signature"), {"Id": "placeholder"}, nsmap={"ds": _DS})
    canonical = _CANONICAL.get(str(advanced.canonical_transform), CanonicalizationMethod.CANONICAL_XML_1_1)
    signer = _Signer(method=SignatureConstructionMethod.enveloped, c14n_algorithm=canonical)
    signed = signer.sign(root, key=seal.identity.key, cert=[seal.identity.certificate])
    if info.apply_timestamp:
        _add_timestamp(signed, seal, canonical)
    return bytes(etree.tostring(signed, xml_declaration=True, encoding="UTF-8"))


_DS = "http://www.w3.org/2000/09/xmldsig#"


def _holder(root: Any, location: str) -> Any:
    """The element that is to hold the signature: the first of that name, wherever it is."""
    name = location.rpartition(":")[2]
    found = next((element for element in root.iter("*") if etree.QName(element).localname == name), None)
    if found is None:
        raise CannotSignError(f"the document has no element {location!r} for the signature")
    return found


def _add_timestamp(signed: Any, seal: Seal, canonical: CanonicalizationMethod) -> None:
    """Add the timestamp of the signature's value, which makes level B-T of B-B (ETSI EN 319 132-1, 5.3)."""
    (properties,) = signed.iter(xades_tag("QualifyingProperties"))
    (value,) = signed.iter(ds_tag("SignatureValue"))
    exclusive = canonical != CanonicalizationMethod.CANONICAL_XML_1_1
    digest = hashlib.sha256(etree.tostring(value, method="c14n", exclusive=exclusive, with_comments=False)).digest()
    token = asyncio.run(seal.timestamper.async_timestamp(digest, "sha256")).dump()
    unsigned = etree.SubElement(properties, xades_tag("UnsignedProperties"))
    of_signature = etree.SubElement(unsigned, xades_tag("UnsignedSignatureProperties"))
    timestamp = etree.SubElement(of_signature, xades_tag("SignatureTimeStamp"))
    etree.SubElement(timestamp, ds_tag("CanonicalizationMethod"), Algorithm=canonical.value)
    etree.SubElement(timestamp, xades_tag("EncapsulatedTimeStamp")).text = base64.b64encode(token).decode()

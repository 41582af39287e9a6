"""Checks what the sandbox has signed itself, for its page. `signstash.verification` judges documents of any origin."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from asn1crypto import cms, x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_cms_signature, async_validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

_NAMESPACES = {"ds": "http://www.w3.org/2000/09/xmldsig#"}


async def check_signature(signed: bytes, root_certificate: bytes) -> Sequence[tuple[str, bool]]:
    """Check the newest signature of a document.

    Args:
        signed: The document.
        root_certificate: The root to trust, in PEM.

    Returns:
        What was checked, each with its result.
    """
    try:
        if signed.startswith(b"%PDF-"):
            return await _check_pdf(signed, root_certificate)
        if signed.startswith(b"<"):
            return await asyncio.to_thread(_check_xml, signed, root_certificate)
        return await _check_cms(signed, root_certificate)
    except Exception as error:  # noqa: BLE001 - the page says so instead of failing
        return [(f"The signature can be read ({type(error).__name__}: {error})", False)]


def _trust(root_certificate: bytes) -> ValidationContext:
    der = x509.load_pem_x509_certificate(root_certificate).public_bytes(Encoding.DER)
    root = asn1_x509.Certificate.load(der)
    return ValidationContext(trust_roots=[root], allow_fetching=False)


async def _check_pdf(signed: bytes, root_certificate: bytes) -> Sequence[tuple[str, bool]]:
    reader = PdfFileReader(BytesIO(signed), strict=False)
    if reader.encrypted:
        reader.decrypt("")
    status = await async_validate_pdf_signature(
        reader.embedded_regular_signatures[-1], _trust(root_certificate), skip_diff=True
    )
    whole = status.coverage is not None and status.coverage.name == "ENTIRE_FILE"
    return [*_checks(status), ("It covers the whole file", whole)]


async def _check_cms(signed: bytes, root_certificate: bytes) -> Sequence[tuple[str, bool]]:
    message = cms.ContentInfo.load(signed)["content"]
    return _checks(await async_validate_cms_signature(message, validation_context=_trust(root_certificate)))


def _checks(status: Any) -> list[tuple[str, bool]]:
    return [
        ("The content is unchanged", bool(status.intact)),
        ("The signature value is valid", bool(status.valid)),
        ("The certificate was issued by this sandbox", bool(status.trusted)),
    ]


def _check_xml(signed: bytes, root_certificate: bytes) -> Sequence[tuple[str, bool]]:
    tree = etree.fromstring(signed, etree.XMLParser(no_network=True, huge_tree=True)).getroottree()
    found: Any = tree.xpath("(//ds:Signature)[last()]", namespaces=_NAMESPACES)
    signature = found[0]
    info = signature.find("ds:SignedInfo", _NAMESPACES)
    unchanged = all(_digest(reference, tree, signature) for reference in info.iterfind("ds:Reference", _NAMESPACES))
    der = base64.b64decode(signature.findtext(".//ds:X509Certificate", namespaces=_NAMESPACES))
    certificate = x509.load_der_x509_certificate(der)
    value = base64.b64decode(signature.findtext("ds:SignatureValue", namespaces=_NAMESPACES))
    key = certificate.public_key()
    return [
        ("The content is unchanged", unchanged),
        ("The signature value is valid", isinstance(key, rsa.RSAPublicKey) and _holds(key, value, _canonical(info))),
        ("The certificate was issued by this sandbox", _issued(certificate, root_certificate)),
    ]


def _digest(reference: Any, tree: Any, signature: Any) -> bool:
    uri = reference.get("URI")
    covered: Any = (
        signature.xpath("descendant-or-self::*[@Id=$id]", id=uri[1:])[0] if uri else _without(tree, signature)
    )
    expected = base64.b64decode(reference.findtext("ds:DigestValue", namespaces=_NAMESPACES))
    return hashlib.sha256(_canonical(covered)).digest() == expected


def _without(tree: Any, signature: Any) -> Any:
    index = list(tree.iter(signature.tag)).index(signature)
    rest: Any = copy.deepcopy(tree)
    list(rest.iter(signature.tag))[index].tag = "removed"
    etree.strip_elements(rest, "removed", with_tail=False)
    return rest


def _canonical(node: Any) -> bytes:
    return etree.tostring(node, method="c14n", exclusive=True, with_comments=False)


def _holds(key: rsa.RSAPublicKey, value: bytes, data: bytes) -> bool:
    try:
        key.verify(value, data, PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _issued(certificate: x509.Certificate, root_certificate: bytes) -> bool:
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(root_certificate))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True

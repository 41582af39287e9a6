"""Signs for real, with the sandbox's test certificate: PAdES, XAdES and CAdES at level B-B."""

from __future__ import annotations

import asyncio
import base64
from io import BytesIO

from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from lxml import etree
from PIL import Image
from pyhanko.pdf_utils.images import PdfImage
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.stamp import StaticStampStyle, TextStampStyle
from pyhanko_certvalidator.registry import SimpleCertificateStore
from signxml.algorithms import SignatureConstructionMethod
from signxml.xades.xades import XAdESSigner

from ..models import SignatureInfo, SignatureType, VisibleSignatureInfo, VisibleSignatureLocationType
from .certificate import COMMON_NAME, Identity
from .placing import DEFAULT_AREA, numbers


class CannotSignError(Exception):
    """What is asked for cannot be done.

    Attributes:
        sign_error: The service's `signError` for it.
    """

    def __init__(self, why: str, *, sign_error: str = "SIGN_OPERATION_INTERNAL_ERROR") -> None:
        super().__init__(why)
        self.sign_error = sign_error


class _Signer(signers.Signer):
    """Keeps its key loaded: pyHanko's SimpleSigner loads it anew, twice for each signature."""

    def __init__(self, identity: Identity) -> None:
        certificate, root = (
            asn1_x509.Certificate.load(item.public_bytes(serialization.Encoding.DER))
            for item in (identity.certificate, identity.root)
        )
        super().__init__(signing_cert=certificate, cert_registry=SimpleCertificateStore.from_certs([root]))
        self._key = identity.key

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        if digest_algorithm != "sha256":
            raise CannotSignError(f"the sandbox signs SHA-256 only, not {digest_algorithm}")
        return bytes(self._key.key_size // 8) if dry_run else self._key.sign(data, PKCS1v15(), hashes.SHA256())


class SignatureMaker:
    """Signs documents with one identity. Its methods work on the CPU: call them in a thread.

    Args:
        identity: Key and certificate to sign with.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._signer = _Signer(identity)

    def sign(self, content: bytes, info: SignatureInfo) -> bytes:
        """The signed document.

        Args:
            content: The document.
            info: What is asked for.

        Raises:
            CannotSignError: If it cannot be signed in that way.
        """
        if info.apply_timestamp:
            raise CannotSignError("the sandbox has no timestamp server yet", sign_error="TIMESTAMP_SIGN_ERROR")
        if info.signature_type == SignatureType.PADES:
            return self._sign_pdf(content, info)
        if info.signature_type == SignatureType.XADES:
            return self._sign_xml(content, info)
        if info.signature_type != SignatureType.CADES:
            raise CannotSignError(f"there is no signature type {info.signature_type}")
        made = self._signer.async_sign_general_data(content, "sha256", detached=False, use_cades=True)
        return bytes(asyncio.run(made).dump())

    def _sign_pdf(self, content: bytes, info: SignatureInfo) -> bytes:
        try:
            writer = IncrementalPdfFileWriter(BytesIO(content), strict=False)
            taken = {name for name, _, _ in fields.enumerate_sig_fields(writer)}
            open_fields = {name for name, value, _ in fields.enumerate_sig_fields(writer) if value is None}
            name, box, page = _place(info.visible_signature_info or None, taken, open_fields)
            signer = signers.PdfSigner(
                signers.PdfSignatureMetadata(
                    field_name=name,
                    reason=info.reason or None,
                    location=info.location or None,
                    subfilter=fields.SigSeedSubFilter.PADES,
                    md_algorithm="sha256",
                ),
                self._signer,
                stamp_style=_looks(info.visible_signature_info) if info.visible_signature_info else None,
                new_field_spec=None if name in taken else fields.SigFieldSpec(name, on_page=page, box=box),
            )
            return bytes(asyncio.run(signer.async_sign_pdf(writer)).getvalue())
        except CannotSignError:
            raise
        except Exception as error:  # whatever a broken PDF brings up in its parser is this document's own failure
            raise CannotSignError(f"{type(error).__name__}: {error}") from error

    def _sign_xml(self, content: bytes, info: SignatureInfo) -> bytes:
        if info.advanced_signature_info:
            raise CannotSignError("the sandbox does not know advanced XML options yet")
        key = self._identity.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
        except etree.XMLSyntaxError as error:
            raise CannotSignError(str(error)) from error
        signer = XAdESSigner(method=SignatureConstructionMethod.enveloped)
        certificate = self._identity.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return bytes(
            etree.tostring(signer.sign(root, key=key, cert=certificate), xml_declaration=True, encoding="UTF-8")
        )


def _place(
    visible: VisibleSignatureInfo | None, taken: set[str], open_fields: set[str]
) -> tuple[str, tuple[int, int, int, int] | None, int]:
    """Field name, box and page (from 0) of a signature."""
    free = next(name for number in range(1, len(taken) + 2) if (name := f"Signature{number}") not in taken)
    if visible is None:
        return free, None, 0
    if visible.location_type == VisibleSignatureLocationType.SIGN_FIELD:
        # pyHanko would make a new, invisible field of that name.
        if visible.location_value not in open_fields:
            raise CannotSignError(f"the document has no unsigned field {visible.location_value!r}")
        return visible.location_value, None, 0
    if visible.location_type == VisibleSignatureLocationType.PLACEHOLDER:
        raise CannotSignError("the sandbox does not look for placeholders yet")
    place = numbers(visible.location_value, "page", "x", "y")
    area = numbers(visible.area or DEFAULT_AREA, "width", "height")
    x, y = round(place["x"]), round(place["y"])
    return free, (x, y, x + round(area["width"]), y + round(area["height"])), int(place["page"]) - 1


def _looks(visible: VisibleSignatureInfo) -> StaticStampStyle | TextStampStyle:
    picture = PdfImage(Image.open(BytesIO(base64.b64decode(visible.image_value)))) if visible.image_value else None
    text = visible.one_off_template or "Digitally signed by $certificate.getCommonName()"
    shown = text.replace("$certificate.getCommonName()", COMMON_NAME).replace("%", "%%")
    return TextStampStyle(stamp_text=shown, background=picture, border_width=0)

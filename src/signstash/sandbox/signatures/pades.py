"""PAdES: in a PDF, visible on request."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from PIL import Image
from pyhanko.pdf_utils.font.basic import SimpleFontEngineFactory
from pyhanko.pdf_utils.generic import ArrayObject, NumberObject, StreamObject, pdf_name
from pyhanko.pdf_utils.images import PdfImage
from pyhanko.pdf_utils.layout import BoxConstraints
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.text import TextBoxStyle
from pyhanko.sign import fields, signers
from pyhanko.stamp import TextStamp, TextStampStyle

from ...models import SignatureInfo, VisibleSignatureInfo, VisibleSignatureLocationType
from ..certificate import COMMON_NAME
from ..visible_signature import DEFAULT_AREA, DEFAULT_FONT_SIZE, colour, font_size, numbers
from .pdf_page import page_view, resolved
from .pdf_writer import PdfWriter, without_preamble
from .signer import CannotSignError, Seal

_DEFAULT_TEXT: Final = "Digitally signed by $certificate.getCommonName()"
_COMMON_NAME: Final = re.compile(
    r"\$!?certificate\.getCommonName\(\)|\$!?\{certificate\.getCommonName\(\)\}|\$!?\{?certificate\.commonName\b\}?"
)
"""How Velocity templates refer to it. Other references stay as they are, as unknown ones do in Velocity."""

_RESERVED: Final = 8192
_RESERVED_WITH_TIMESTAMP: Final = 16384
"""Hexadecimal digits reserved for the signature; without them pyHanko signs twice, first to measure it."""

_TURNED: Final = {90: (0, 1, -1, 0, 0, 0), 180: (-1, 0, 0, -1, 0, 0), 270: (0, -1, 1, 0, 0, 0)}
"""The matrix that turns an appearance upright, by the page's rotation."""


@dataclass(frozen=True)
class _Field:
    """The signature field to fill."""

    name: str
    page: int = 0
    box: tuple[int, int, int, int] | None = None
    rotation: int = 0
    exists: bool = False


def sign_pdf(content: bytes, info: SignatureInfo, seal: Seal) -> bytes:
    """Sign a PDF with an incremental update. What precedes its header is left out.

    Raises:
        CannotSignError: If it cannot be signed as requested.
    """
    content = without_preamble(content)
    writer = PdfWriter(content)
    visible = info.visible_signature_info or None
    field = _signature_field(visible, writer, content)
    signer = signers.PdfSigner(
        signers.PdfSignatureMetadata(
            field_name=field.name,
            reason=info.reason or None,
            location=info.location or None,
            subfilter=fields.SigSeedSubFilter.PADES,
            md_algorithm="sha256",
        ),
        seal.signer,
        timestamper=seal.timestamper if info.apply_timestamp else None,
        stamp_style=_style(visible, field.rotation) if visible else None,
        new_field_spec=None if field.exists else fields.SigFieldSpec(field.name, on_page=field.page, box=field.box),
    )
    reserved = _RESERVED_WITH_TIMESTAMP if info.apply_timestamp else _RESERVED
    return bytes(asyncio.run(signer.async_sign_pdf(writer, bytes_reserved=reserved)).getvalue())


def _signature_field(visible: VisibleSignatureInfo | None, writer: PdfWriter, content: bytes) -> _Field:
    empty = {name: (value is None, ref) for name, value, ref in fields.enumerate_sig_fields(writer)}
    taken = {*empty, *_field_names(writer)}
    free = next(name for number in range(1, len(taken) + 2) if (name := f"Signature{number}") not in taken)
    if visible is None:
        return _Field(free)
    if visible.location_type == VisibleSignatureLocationType.SIGN_FIELD:
        is_empty, reference = empty.get(visible.location_value, (False, None))
        if not is_empty or reference is None:
            raise CannotSignError(f"the document has no unsigned signature field {visible.location_value!r}")
        field: Any = reference.get_object()
        rotation = page_view(resolved(field, "/P")).rotation
        return _Field(visible.location_value, rotation=rotation, exists=True)
    if visible.location_type == VisibleSignatureLocationType.PLACEHOLDER:
        from .placeholder import find_word  # loads PDFium, which is rarely needed

        page, *corner = find_word(visible.location_value, content)
        view = page_view(_page(writer, page))
        x, y = view.locate(*corner)  # starting there is the sandbox's choice
    else:
        place = numbers(visible.location_value, "page", "x", "y")
        page, x, y = int(place["page"]) - 1, place["x"], place["y"]
        view = page_view(_page(writer, page))
    area = numbers(visible.area or DEFAULT_AREA, "width", "height")
    return _Field(free, page, view.place(x, y, area["width"], area["height"]), view.rotation)


def _field_names(writer: PdfWriter) -> set[str]:
    """Names of the form's fields: a new one must not have the name of a text field either."""
    try:
        return {str(field.get_object()["/T"]) for field in writer.root["/AcroForm"]["/Fields"]}
    except (KeyError, TypeError, AttributeError):
        return set()


def _page(writer: PdfWriter, index: int) -> Any:
    try:
        return writer.find_page_for_modification(index)[0].get_object()  # type: ignore[no-untyped-call]
    except (PdfError, IndexError, ValueError) as error:
        raise CannotSignError(f"the document has no page {index + 1} for the signature", error_code="2.2.1") from error


@dataclass(frozen=True)
class _Style(TextStampStyle):
    """A stamp with a colour behind it, upright on a page that is turned."""

    fill: tuple[float, float, float] | None = None
    rotation: int = 0

    def create_stamp(self, writer: Any, box: BoxConstraints, text_params: dict[str, Any]) -> TextStamp:
        if self.rotation % 180:
            box = BoxConstraints(width=box.height, height=box.width)
        return _Stamp(writer=writer, style=self, box=box, text_params=text_params)


class _Stamp(TextStamp):
    def render(self) -> bytes:
        drawn: bytes = super().render()  # type: ignore[no-untyped-call]
        if self.style.fill is None:
            return drawn
        return b"q %g %g %g rg 0 0 %g %g re f Q " % (*self.style.fill, self.box.width, self.box.height) + drawn

    def as_form_xobject(self) -> StreamObject:
        form = super().as_form_xobject()
        if self.style.rotation in _TURNED:
            form[pdf_name("/Matrix")] = ArrayObject(map(NumberObject, _TURNED[self.style.rotation]))
        return form


def _style(visible: VisibleSignatureInfo, rotation: int) -> _Style:
    picture = PdfImage(Image.open(BytesIO(base64.b64decode(visible.image_value)))) if visible.image_value else None
    text = _COMMON_NAME.sub(COMMON_NAME, visible.one_off_template or _DEFAULT_TEXT)
    text = text.encode("latin-1", "replace").decode("latin-1")  # the characters of PDF's standard fonts
    size = font_size(visible.font) if visible.font else DEFAULT_FONT_SIZE
    return _Style(
        stamp_text=text.replace("%", "%%"),
        text_box_style=TextBoxStyle(font=SimpleFontEngineFactory("Helvetica", 0.5), font_size=round(size)),
        background=picture,
        border_width=0,
        fill=colour(visible.area_background_color) if visible.area_background_color else None,
        rotation=rotation,
    )

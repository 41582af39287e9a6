"""PAdES: in a PDF, visible if it is asked for."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from PIL import Image
from pyhanko.pdf_utils.font.basic import SimpleFontEngineFactory
from pyhanko.pdf_utils.images import PdfImage
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.layout import BoxConstraints
from pyhanko.pdf_utils.text import TextBoxStyle
from pyhanko.sign import fields, signers
from pyhanko.stamp import TextStamp, TextStampStyle

from ...models import SignatureInfo, VisibleSignatureInfo, VisibleSignatureLocationType
from ..certificate import COMMON_NAME
from ..placing import DEFAULT_AREA, DEFAULT_FONT_SIZE, colour, font_size, numbers
from .signer import CannotSignError, Seal

_DEFAULT_TEXT: Final = "Digitally signed by $certificate.getCommonName()"
_COMMON_NAME: Final = re.compile(
    r"\$!?certificate\.getCommonName\(\)|\$!?\{certificate\.getCommonName\(\)\}|\$!?\{?certificate\.commonName\b\}?"
)
"""The ways in which Velocity can ask for it. What else begins with a dollar stays as it is, as in Velocity."""

_RESERVED: Final = 8192
_RESERVED_WITH_TIMESTAMP: Final = 16384
"""Room for the signature in hexadecimal; without it pyHanko signs twice, first only to see how long it gets."""


def sign_pdf(content: bytes, info: SignatureInfo, seal: Seal) -> bytes:
    """The document with its signature in it.

    Raises:
        CannotSignError: If it cannot be signed as it is asked for.
    """
    visible = info.visible_signature_info or None
    writer = IncrementalPdfFileWriter(BytesIO(content), strict=False)
    present = {name: value is not None for name, value, _ in fields.enumerate_sig_fields(writer)}
    name, box, page = _place(visible, present, content)
    signer = signers.PdfSigner(
        signers.PdfSignatureMetadata(
            field_name=name,
            reason=info.reason or None,
            location=info.location or None,
            subfilter=fields.SigSeedSubFilter.PADES,
            md_algorithm="sha256",
        ),
        seal.signer,
        timestamper=seal.timestamper if info.apply_timestamp else None,
        stamp_style=_looks(visible) if visible else None,
        new_field_spec=None if name in present else fields.SigFieldSpec(name, on_page=page, box=box),
    )
    reserved = _RESERVED_WITH_TIMESTAMP if info.apply_timestamp else _RESERVED
    return bytes(asyncio.run(signer.async_sign_pdf(writer, bytes_reserved=reserved)).getvalue())


def _place(
    visible: VisibleSignatureInfo | None, present: dict[str, bool], content: bytes
) -> tuple[str, tuple[int, int, int, int] | None, int]:
    """Field name, box and page (from 0) of a signature.

    Args:
        visible: What is asked for.
        present: The document's signature fields, and whether each is filled.
        content: The document.
    """
    free = next(name for number in range(1, len(present) + 2) if (name := f"Signature{number}") not in present)
    if visible is None:
        return free, None, 0
    if visible.location_type == VisibleSignatureLocationType.SIGN_FIELD:
        # pyHanko would make a new, invisible field of that name.
        if present.get(visible.location_value, True):
            raise CannotSignError(f"the document has no unsigned field {visible.location_value!r}")
        return visible.location_value, None, 0
    if visible.location_type == VisibleSignatureLocationType.PLACEHOLDER:
        from .placeholder import find_word  # loads PDFium, which is seldom needed

        page, x, y = find_word(visible.location_value, content)  # that it begins there is the sandbox's choice
    else:
        place = numbers(visible.location_value, "page", "x", "y")
        page, x, y = int(place["page"]) - 1, round(place["x"]), round(place["y"])
    area = numbers(visible.area or DEFAULT_AREA, "width", "height")
    return free, (x, y, x + round(area["width"]), y + round(area["height"])), page


@dataclass(frozen=True)
class _Style(TextStampStyle):
    """A stamp with a colour behind it."""

    fill: tuple[float, float, float] | None = None

    def create_stamp(self, writer: Any, box: BoxConstraints, text_params: dict[str, Any]) -> TextStamp:
        return _Stamp(writer=writer, style=self, box=box, text_params=text_params)


class _Stamp(TextStamp):
    def render(self) -> bytes:
        drawn: bytes = super().render()  # type: ignore[no-untyped-call]
        if self.style.fill is None:
            return drawn
        return b"q %g %g %g rg 0 0 %g %g re f Q " % (*self.style.fill, self.box.width, self.box.height) + drawn


def _looks(visible: VisibleSignatureInfo) -> _Style:
    picture = PdfImage(Image.open(BytesIO(base64.b64decode(visible.image_value)))) if visible.image_value else None
    text = _COMMON_NAME.sub(COMMON_NAME, visible.one_off_template or _DEFAULT_TEXT)
    text = text.encode("latin-1", "replace").decode("latin-1")  # what the standard fonts of PDF can show
    size = font_size(visible.font) if visible.font else DEFAULT_FONT_SIZE
    return _Style(
        stamp_text=text.replace("%", "%%"),
        text_box_style=TextBoxStyle(font=SimpleFontEngineFactory("Helvetica", 0.5), font_size=round(size)),
        background=picture,
        border_width=0,
        fill=colour(visible.area_background_color) if visible.area_background_color else None,
    )

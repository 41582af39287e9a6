"""Options of a signature: its type and visible form, and what the service does with the signed documents."""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import UnionType
from typing import Any, Final, Literal, TypedDict, TypeVar, get_args

import attrs

from . import models
from ._arguments import IterableNotStr, text_problem
from .errors import InvalidDocumentError
from .models import Unset

Choice = TypeVar("Choice", bound=StrEnum)

IMAGE_TYPES: Final[Mapping[bytes, models.VisibleImageType]] = {
    b"\x89PNG\r\n\x1a\n": models.VisibleImageType.IMAGE_PNG,
    b"\xff\xd8\xff": models.VisibleImageType.IMAGE_JPG,
}
"""The first bytes of the image formats that the service accepts."""


@attrs.frozen(kw_only=True)
class VisibleSignature:
    """A signature that is visible on a page of a PDF (source: the vendor's wiki, "visible signature").

        VisibleSignature(page=1, x=70, y=100, size=(155, 50), text="Signed by $certificate.getCommonName()")
        VisibleSignature(field="Signature1")
        VisibleSignature(placeholder="SIGN-HERE", image=Path("stamp.png").read_bytes())

    Give its position in one of these three ways.

    Attributes:
        x: Pixels from the left edge of the page.
        y: Pixels from the lower edge of the page.
        page: Number of the page, from 1.
        field: Name of a signature field that the document has.
        placeholder: A word of the document; its first occurrence counts. If the word is missing, the service does not
            sign.
        size: Width and height in pixels, or None for the service's default.
        text: Its text, a Velocity template. None uses the template of the client service.
        image: A PNG or JPG picture, or None.
        background: `#RRGGBB` or `transparent`, or None for the service's default.
        font_size: Size of the text, or None for the service's default. The service prints black only.

    Raises:
        InvalidDocumentError: If its position is not given in exactly one way.
    """

    x: int | None = None
    y: int | None = None
    page: int | None = None
    field: str | None = None
    placeholder: str | None = None
    size: tuple[int, int] | None = None
    text: str | None = None
    image: bytes | None = attrs.field(default=None, repr=False)
    background: str | None = None
    font_size: int | None = None

    def __attrs_post_init__(self) -> None:
        coordinates = (self.x, self.y, self.page) != (None, None, None)
        if [coordinates, self.field is not None, self.placeholder is not None].count(True) != 1 or (
            coordinates and (self.x is None or self.y is None)
        ):
            problem = "The position of the visible signature is not given in one way."
            raise InvalidDocumentError(problem, "Give x and y (and page), or field, or placeholder.")


class SignatureOptions(TypedDict, total=False):
    """Keyword arguments of `Document.pdf`, `.xml` and `.binary`. All of them are optional, and may be None.

    Attributes:
        name: File name of the document. By default the name of the file.
        external_reference: Unique reference of the document at the service. By default one is made from the client
            service's alias, the document's name and random digits.
        content_type: Media type. By default that of the kind of document.
        signature_type: `PAdES`, `XAdES` or `CAdES`. By default that of the kind of document.
        reason: Why it is signed.
        location: Where it is signed.
        timestamp: Whether a qualified timestamp is added, for archiving (charged separately).
        visible_signature: Position and appearance of a visible signature. PDF only.
        signature_location: Element that takes the signature. XML only.
        signature_transform: How the signature refers to the document. XML only.
        canonical_transform: How the XML is made canonical. XML only.
        signature: The service's own model, instead of all the signature options above.
    """

    name: str | None
    external_reference: str | None
    content_type: models.ContentType | str | None
    signature_type: models.SignatureType | Literal["PAdES", "XAdES", "CAdES"] | None
    reason: str | None
    location: str | None
    timestamp: bool | None
    visible_signature: VisibleSignature | models.VisibleSignatureInfo | None
    signature_location: str | None
    signature_transform: models.SignatureTransform | Literal["ENVELOPED", "XPATH", "XPATH2_FILTER"] | None
    canonical_transform: models.CanonicalTransform | Literal["EXCLUSIVE", "EXCLUSIVE_WITH_COMMENTS"] | None
    signature: models.SignatureInfo | None


_SIGNATURE: Final = (
    "signature_type", "reason", "location", "timestamp", "visible_signature",
    "signature_location", "signature_transform", "canonical_transform",
)  # fmt: skip
_ADVANCED: Final = ("signature_location", "signature_transform", "canonical_transform")


def signature_from(options: SignatureOptions, default: models.SignatureType, content_type: str) -> models.SignatureInfo:
    """The signature that the options ask for, as the service's own model, or of a default type.

    Raises:
        InvalidDocumentError: If they contradict each other, or ask for what the service cannot do.
    """
    if options.keys() <= {"name", "external_reference"}:  # most documents: what is made for a kind is possible
        return models.SignatureInfo(signature_type=default, apply_timestamp=False)
    given = [name for name in _SIGNATURE if options.get(name) is not None]
    _require_types(
        visible_signature=(options.get("visible_signature"), VisibleSignature | models.VisibleSignatureInfo),
        signature_location=(options.get("signature_location"), str),
        signature=(options.get("signature"), models.SignatureInfo),
    )
    model = copy.deepcopy(options.get("signature"))
    if model is not None and given:
        raise InvalidDocumentError(
            f"signature was given together with {', '.join(given)}.", "Set these fields in the model, or leave it out."
        )
    if model is None:
        model = models.SignatureInfo(signature_type=_choice(models.SignatureType, "signature_type", options, default))
        model.apply_timestamp = options.get("timestamp") or False
        if (reason := options.get("reason")) is not None:
            model.reason = reason
        if (location := options.get("location")) is not None:
            model.location = location
        if (visible := options.get("visible_signature")) is not None:
            model.visible_signature_info = (
                _visible_info(visible) if isinstance(visible, VisibleSignature) else copy.deepcopy(visible)
            )
        if any(name in given for name in _ADVANCED):
            model.advanced_signature_info = advanced = models.AdvancedSignatureInfo()
            if (element := options.get("signature_location")) is not None:
                advanced.signature_location = element
            if "signature_transform" in given:
                advanced.signature_transform = _choice(models.SignatureTransform, "signature_transform", options)
            if "canonical_transform" in given:
                advanced.canonical_transform = _choice(models.CanonicalTransform, "canonical_transform", options)
    _require_possible(model, content_type)
    return model


def _visible_info(given: VisibleSignature) -> models.VisibleSignatureInfo:
    """The same as the service's own model."""
    location_type = models.VisibleSignatureLocationType
    if given.field is not None:
        model = models.VisibleSignatureInfo(location_type=location_type.SIGN_FIELD, location_value=given.field)
    elif given.placeholder is not None:
        model = models.VisibleSignatureInfo(location_type=location_type.PLACEHOLDER, location_value=given.placeholder)
    else:
        place = f"page={1 if given.page is None else given.page},x={given.x},y={given.y}"
        model = models.VisibleSignatureInfo(location_type=location_type.COORDINATE, location_value=place)
    _require_types(text=(given.text, str), background=(given.background, str), image=(given.image, bytes))
    if given.text is not None:
        model.template_type = models.VisibleSignatureTemplateType.ONE_OFF
        model.one_off_template = given.text
    if given.size is not None:
        is_pair = isinstance(given.size, Sequence) and len(given.size) == 2
        model.area = "width={},height={}".format(*given.size) if is_pair else f"size={given.size}"
    if given.background is not None:
        model.area_background_color = given.background
    if given.font_size is not None:
        model.font = f"color=#000000,size={given.font_size}"
    if given.image is not None:
        kinds = [kind for start, kind in IMAGE_TYPES.items() if given.image.startswith(start)]
        if not kinds:
            raise InvalidDocumentError("image is neither a PNG nor a JPG.", "Give the bytes of one of these.")
        model.image_type = kinds[0]
        model.image_value = base64.b64encode(given.image).decode()
    return model


def _choice(kind: type[Choice], name: str, options: Mapping[str, object], default: Choice | None = None) -> Choice:
    value = options.get(name) or default
    if value not in kind.__members__.values():
        raise InvalidDocumentError(f"{name} is {value!r}.", f"Give one of {', '.join(kind)}.")
    return kind(str(value))


def _require_possible(model: models.SignatureInfo, content_type: str) -> None:
    is_pdf, is_xml = content_type == models.ContentType.APPLICATIONPDF, content_type.endswith("xml")
    kind, visible, advanced = model.signature_type, model.visible_signature_info, model.advanced_signature_info
    try:
        model.to_dict()
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidDocumentError(f"signature cannot be written: {error}.", "Give the types that it names.") from error
    if kind not in models.SignatureType.__members__.values():
        raise InvalidDocumentError(f"signature_type is {kind!r}.", f"Give one of {', '.join(models.SignatureType)}.")
    _require_types(
        reason=(model.reason or None, str),
        location=(model.location or None, str),
        timestamp=(model.apply_timestamp or None, bool),
    )
    for name, text in (("reason", model.reason), ("location", model.location)):
        if isinstance(text, str) and (problem := text_problem(text)):
            raise InvalidDocumentError(f"{name} {text!r} {problem}.", "Remove them, or give another text.")
    fits = {models.SignatureType.PADES: is_pdf, models.SignatureType.XADES: is_xml}
    if not fits.get(kind, True):
        raise InvalidDocumentError(
            f"signature_type {kind} does not fit {content_type}.", "Use PAdES for PDF, XAdES for XML, else CAdES."
        )
    if visible and not (is_pdf and kind == models.SignatureType.PADES):
        problem = f"visible_signature does not fit a {kind} signature of {content_type}."
        raise InvalidDocumentError(problem, "Only a PAdES signature of a PDF can be seen; leave it out.")
    if advanced and kind != models.SignatureType.XADES:
        problem = f"{', '.join(_ADVANCED)} do not fit a {kind} signature of {content_type}."
        raise InvalidDocumentError(problem, "They are for XAdES signatures of XML; leave them out.")
    if visible:
        _require_possible_form(visible)


def _require_types(**given: tuple[object, type | UnionType]) -> None:
    """Check the types of values, which would be sent as they are otherwise. None is always allowed."""
    for name, (value, kind) in given.items():
        if value is not None and not isinstance(value, kind):
            kinds: tuple[Any, ...] = get_args(kind) or (kind,)
            wanted = " or ".join(item.__name__ for item in kinds)
            raise InvalidDocumentError(f"{name} is {value!r}.", f"Give a value of type {wanted}.")


_FORMS: Final = {
    "font": (
        r"(?!(.*,)?size=(?![1-9]\d*(,|$)))[a-z]+=[^,=]+(,[a-z]+=[^,=]+)*",
        "Give a size above 0: 'color=#000000,size=11'.",
    ),
    "area": (r"width=[1-9]\d*,height=[1-9]\d*", "Give whole pixels above 0: 'width=155,height=50'."),
    "background": (r"#[0-9A-Fa-f]{6}|transparent", "Give '#RRGGBB' or 'transparent'."),
}
_COORDINATE: Final = r"page=[1-9]\d*,x=\d+,y=\d+"


def _require_possible_form(visible: models.VisibleSignatureInfo) -> None:
    place, template = visible.location_value, visible.one_off_template
    given = {"font": visible.font, "area": visible.area, "background": visible.area_background_color}
    _require_types(place=(place, str), template=(template or None, str), font=(visible.font or None, str))
    if visible.location_type == models.VisibleSignatureLocationType.COORDINATE and not re.fullmatch(_COORDINATE, place):
        raise InvalidDocumentError(
            f"The place of the visible signature is {place!r}.",
            "Coordinates are whole numbers of pixels from the lower left corner, on pages from 1: 'page=1,x=70,y=100'.",
        )
    if not place.strip():
        raise InvalidDocumentError("The place of the visible signature is empty.", "Name the field or the word.")
    if visible.template_type == models.VisibleSignatureTemplateType.ONE_OFF and not template:
        raise InvalidDocumentError(
            "The visible signature's template type is ONE_OFF, but it has no template.",
            "Give its text, or use the client service's template with SERVICE_CUSTOMIZATION.",
        )
    if template and visible.template_type != models.VisibleSignatureTemplateType.ONE_OFF:
        raise InvalidDocumentError(
            "The visible signature has a template that its template type does not use.", "Set the type to ONE_OFF."
        )
    for name, (form, hint) in _FORMS.items():
        value = given[name]
        if isinstance(value, str) and not re.fullmatch(form, value):
            raise InvalidDocumentError(f"The {name} of the visible signature is {value!r}.", hint)
    if isinstance(visible.image_type, Unset) != isinstance(visible.image_value, Unset):
        raise InvalidDocumentError(
            "The visible signature has only one of image type and image value.", "Give both, or neither."
        )


@attrs.frozen(kw_only=True)
class Preservation:
    """Preservation and delivery of the signed documents of a request.

        Preservation(deliver_to=["ana@example.pt"], attach_documents=True)

    Attributes:
        preserve: Whether they are kept for long-term preservation.
        alias: Name under which they are kept, or None.
        deliver_to: E-mail addresses that are notified.
        attach_documents: Whether the documents are attached to the e-mails.
    """

    preserve: bool = True
    alias: str | None = None
    deliver_to: IterableNotStr[str] = ()
    attach_documents: bool = False


def require_addresses(name: str, addresses: IterableNotStr[str]) -> None:
    """Check e-mail addresses."""
    if isinstance(addresses, str) or not isinstance(addresses, Iterable):
        raise InvalidDocumentError(f"{name} is not a list.", "Give a list of e-mail addresses.")
    for address in addresses:
        if not isinstance(address, str) or not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
            raise InvalidDocumentError(f"{name} has {address!r}.", "Give e-mail addresses, such as ana@example.pt.")


def preservation_from(given: Preservation | models.PreservationInfo | None) -> models.PreservationInfo | None:
    """Preservation and delivery as the service's own model."""
    _require_types(preservation=(given, Preservation | models.PreservationInfo))
    if not isinstance(given, Preservation):
        return given
    require_addresses("deliver_to", given.deliver_to)
    if given.attach_documents and not given.deliver_to:
        raise InvalidDocumentError(
            "attach_documents is set, but deliver_to is empty.", "Give e-mail addresses, or leave it out."
        )
    model = models.PreservationInfo(preserve_content=given.preserve)
    if given.alias is not None:
        model.alias = given.alias
    if given.deliver_to:
        receivers = [models.Person(email=address) for address in given.deliver_to]
        model.delivery_info = models.DeliveryInfo(person_receiver=receivers, attach_documents=given.attach_documents)
    return model

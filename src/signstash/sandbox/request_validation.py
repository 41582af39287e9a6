"""Validates signing requests against the API definition and its prose, and chooses the error code."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from .definition import load_maintained_definition
from .error_responses import RejectedError, rejected
from .visible_signature import DEFAULT_AREA, colour, font_size, numbers

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

_IMAGE_FORMATS: Final = {"IMAGE_PNG": "PNG", "IMAGE_JPG": "JPEG"}

_MANDATORY: Final = ("externalReference", "name", "base64Content")

_WHERE: Final = "signRequest"

MAX_DOCUMENTS: Final = 1_000
MAX_CHARACTERS: Final = 4_000
"""Characters of a name, a reference, or a description. What the service allows is not published."""
MAX_LEVELS: Final = 100
"""Levels of nesting in JSON."""
MAX_PIXELS: Final = 25_000_000
"""Pixels of a picture."""
_MAX_ERRORS: Final = 100
"""Number of errors after which validation stops."""


class Validation:
    """Validates against the schemas of `openapi/signstash.json`.

    Attributes:
        files_part: Name of the files in a multipart body.
        request_part: Name of the request in it.
    """

    def __init__(self) -> None:
        definition = load_maintained_definition()
        self._components = definition["components"]
        self.files_part: str
        self.request_part: str
        self.files_part, self.request_part = _part_names(definition)
        self._validators: dict[str, Draft202012Validator] = {}

    def sign_request(self, fields: Any, schema: str) -> dict[str, Any]:
        """Validate a signing request and remove its nulls.

        Args:
            fields: Its JSON.
            schema: Name of the schema.

        Raises:
            RejectedError: With `0.0.2` if a field is missing, `0.0.4` if one is too long, `0.0.6` if one is not valid,
                and `2.2.1` if a visible signature does not fit.
        """
        given: dict[str, Any] = self.valid(fields, {"$ref": f"#/components/schemas/{schema}"}, schema)
        if not given["documents"]:
            raise _missing("documents")
        if len(given["documents"]) > MAX_DOCUMENTS:
            raise rejected("0.0.4", f"{_WHERE}.documents has more than {MAX_DOCUMENTS} items")
        for number, item in enumerate(given["documents"]):
            where = f"documents[{number}]"
            _check_text(item["documentRequest"], f"{where}.documentRequest", *_MANDATORY)
            _check_signature_info(item["signatureInfo"], f"{where}.signatureInfo")
        _check_text(given, "", "externalReference", "description")
        return given

    def valid(self, value: Any, schema: Mapping[str, Any], name: str, where: str = _WHERE) -> Any:
        """Validate a value and remove its nulls.

        Args:
            value: The value.
            schema: The schema.
            name: Name of the schema.
            where: Name of the value in error messages.

        Raises:
            RejectedError: With `0.0.2` if a field is missing, `0.0.6` if one is not valid.
        """
        # Imported here, so that sandboxes start quickly.
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match

        if name not in self._validators:
            self._validators[name] = Draft202012Validator({**schema, "components": self._components})
        given = _without_nulls(value)
        errors = list(islice(self._validators[name].iter_errors(given), _MAX_ERRORS))
        lacking = [error for error in errors if error.validator == "required"]
        if lacking:
            raise _missing(_path(lacking[0], str(lacking[0].message).split("'")[1]))
        if errors:
            raise rejected("0.0.6", _wrong(best_match(errors) or errors[0], where))
        return given


def _part_names(definition: Mapping[str, Any]) -> list[str]:
    operations = (operation for item in definition["paths"].values() for operation in item.values())
    multipart = next(item for item in operations if item["operationId"] == "signDocumentBatchBinary")
    return list(multipart["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"])


def _path(error: ValidationError, *names: str) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in [*error.absolute_path, *names]]
    return "".join(steps).removeprefix(".")


def _wrong(error: ValidationError, where: str) -> str:
    where = ".".join(filter(None, (where, _path(error))))
    if error.validator == "enum":
        return f"{where} is not one of {error.validator_value}"
    return f"{where} is not of type {error.validator_value}"  # the value itself may be secret or large


def _missing(what: str) -> RejectedError:
    return rejected("0.0.2", f"missing {_WHERE}.{what}")


def _check_text(fields: Mapping[str, Any], where: str, *names: str) -> None:
    for name in names:
        if name in fields and not fields[name].strip():
            raise _missing(f"{where}.{name}".removeprefix("."))
        if name != "base64Content" and len(fields.get(name, "")) > MAX_CHARACTERS:
            path = f"{where}.{name}".removeprefix(".")
            raise rejected("0.0.4", f"{_WHERE}.{path} has more than {MAX_CHARACTERS} characters")


def _without_nulls(value: Any, levels: int = MAX_LEVELS) -> Any:
    """Remove nulls: they mean the same as a missing field."""
    if not levels:
        raise rejected("0.0.2", f"malformed JSON: it has more than {MAX_LEVELS} levels")
    if isinstance(value, dict):
        return {key: _without_nulls(item, levels - 1) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item, levels - 1) for item in value]
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise rejected("0.0.6", f"{_WHERE} contains half of a surrogate pair") from error
    return value


def _check_signature_info(info: Mapping[str, Any], where: str) -> None:
    visible = info.get("visibleSignatureInfo")
    if info["signatureType"] == "PAdES" and info.get("advancedSignatureInfo"):
        raise rejected("0.0.6", f"{where}.advancedSignatureInfo is for XML only")
    if visible is None:
        return
    where += ".visibleSignatureInfo"
    if info["signatureType"] != "PAdES":
        raise rejected("0.0.6", f"{where} is for PDF only")
    _check_text(visible, where, "locationValue")
    if visible.get("templateType") == "ONE_OFF" and not visible.get("oneOffTemplate"):
        raise _missing(f"{where}.oneOffTemplate")
    _check(where, visible, "area", lambda text: numbers(text, "width", "height"))
    _check(where, visible, "areaBackgroundColor", colour)
    _check(where, visible, "font", font_size)
    if visible["locationType"] == "COORDINATE":
        _check(where, visible, "locationValue", lambda text: numbers(text, "page", "x", "y"))
    if visible.get("imageValue"):
        _check_image(visible, where)


def _check(where: str, fields: Mapping[str, Any], name: str, read: Callable[[str], object]) -> None:
    try:
        if fields.get(name):
            read(fields[name])
    except ValueError as error:
        raise rejected("0.0.6", f"{where}.{name}: {error}") from error


def _check_image(visible: Mapping[str, Any], where: str) -> None:
    if not visible.get("imageType"):
        raise _missing(f"{where}.imageType")
    try:
        with Image.open(BytesIO(base64.b64decode(visible["imageValue"], validate=True))) as image:
            kind, (width, height) = image.format, image.size
    except (ValueError, OSError, Image.DecompressionBombError) as error:
        raise rejected("0.0.6", f"{where}.imageValue is not a picture in base64") from error
    if width * height > MAX_PIXELS:
        raise rejected("0.0.4", f"{where}.imageValue has more than {MAX_PIXELS} pixels")
    if kind != _IMAGE_FORMATS[visible["imageType"]]:
        raise rejected("0.0.6", f"{where}.imageValue is not of type {visible['imageType']}")
    area = numbers(visible.get("area") or DEFAULT_AREA, "width", "height")
    if visible["locationType"] != "SIGN_FIELD" and (width > area["width"] or height > area["height"]):
        raise rejected("2.2.1", f"the picture has {width} x {height} pixels, which is more than the area")

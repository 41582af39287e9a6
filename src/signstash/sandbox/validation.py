"""Whether a signing request is what the API definition and its prose ask for, and with which code it is refused."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from .definition import load_maintained_definition
from .placing import DEFAULT_AREA, colour, font_size, numbers
from .refusals import RefusedError, refused

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

_IMAGE_FORMATS: Final = {"IMAGE_PNG": "PNG", "IMAGE_JPG": "JPEG"}

_MANDATORY: Final = ("externalReference", "name", "base64Content")

_WHERE: Final = "signRequest"


class Validation:
    """Validates against the schemas of `openapi/signstash.json`."""

    def __init__(self) -> None:
        self._components = load_maintained_definition()["components"]
        self._validators: dict[str, Draft202012Validator] = {}

    def sign_request(self, fields: Any, schema: str) -> dict[str, Any]:
        """A signing request without what is null.

        Args:
            fields: Its JSON.
            schema: Name of the schema.

        Raises:
            RefusedError: With `0.0.2` for what is missing, `0.0.6` for what is wrong, `2.2.1` for what does not fit.
        """
        given: dict[str, Any] = self.valid(fields, {"$ref": f"#/components/schemas/{schema}"}, schema)
        if not given["documents"]:
            raise _missing("documents")
        for number, item in enumerate(given["documents"]):
            where = f"documents[{number}]"
            _refuse_empty(item["documentRequest"], f"{where}.documentRequest", *_MANDATORY)
            _refuse_what_does_not_fit(item["signatureInfo"], f"{where}.signatureInfo")
        _refuse_empty(given, "", "externalReference", "description")
        return given

    def valid(self, value: Any, schema: Mapping[str, Any], name: str, where: str = _WHERE) -> Any:
        """A value without what is null, if it fits a schema.

        Args:
            value: The value.
            schema: The schema.
            name: Name of the schema.
            where: What the value is, for the answer.

        Raises:
            RefusedError: With `0.0.2` for what is missing, `0.0.6` for what is wrong.
        """
        # Imported here, so that sandboxes start quickly.
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match

        if name not in self._validators:
            self._validators[name] = Draft202012Validator({**schema, "components": self._components})
        given = _without_nulls(value)
        errors = list(self._validators[name].iter_errors(given))
        lacking = [error for error in errors if error.validator == "required"]
        if lacking:
            raise _missing(_path(lacking[0], str(lacking[0].message).split("'")[1]))
        if errors:
            raise refused("0.0.6", _wrong(best_match(errors) or errors[0], where))
        return given


def _path(error: ValidationError, *names: str) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in [*error.absolute_path, *names]]
    return "".join(steps).removeprefix(".")


def _wrong(error: ValidationError, where: str) -> str:
    where = ".".join(filter(None, (where, _path(error))))
    if error.validator == "enum":
        return f"{where} is none of {error.validator_value}"
    return f"{where} is no {error.validator_value}"  # what it is may be a secret or large


def _missing(what: str) -> RefusedError:
    return refused("0.0.2", f"missing {_WHERE}.{what}")


def _refuse_empty(fields: Mapping[str, Any], where: str, *names: str) -> None:
    for name in names:
        if name in fields and not fields[name].strip():
            raise _missing(f"{where}.{name}".removeprefix("."))


def _without_nulls(value: Any) -> Any:
    """What is null counts as left out."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise refused("0.0.6", f"{_WHERE} holds half a character") from error
    return value


def _refuse_what_does_not_fit(info: Mapping[str, Any], where: str) -> None:
    visible = info.get("visibleSignatureInfo")
    if info["signatureType"] == "PAdES" and info.get("advancedSignatureInfo"):
        raise refused("0.0.6", f"{where}.advancedSignatureInfo is for XML only")
    if visible is None:
        return
    where += ".visibleSignatureInfo"
    if info["signatureType"] != "PAdES":
        raise refused("0.0.6", f"{where} is for PDF only")
    _refuse_empty(visible, where, "locationValue")
    if visible.get("templateType") == "ONE_OFF" and not visible.get("oneOffTemplate"):
        raise _missing(f"{where}.oneOffTemplate")
    _check(where, visible, "area", lambda text: numbers(text, "width", "height"))
    _check(where, visible, "areaBackgroundColor", colour)
    _check(where, visible, "font", font_size)
    if visible["locationType"] == "COORDINATE":
        _check(where, visible, "locationValue", lambda text: numbers(text, "page", "x", "y"))
    if visible.get("imageValue"):
        _refuse_image(visible, where)


def _check(where: str, fields: Mapping[str, Any], name: str, read: Callable[[str], object]) -> None:
    try:
        if fields.get(name):
            read(fields[name])
    except ValueError as error:
        raise refused("0.0.6", f"{where}.{name}: {error}") from error


def _refuse_image(visible: Mapping[str, Any], where: str) -> None:
    if not visible.get("imageType"):
        raise _missing(f"{where}.imageType")
    try:
        with Image.open(BytesIO(base64.b64decode(visible["imageValue"], validate=True))) as image:
            kind, (width, height) = image.format, image.size
    except (ValueError, OSError, Image.DecompressionBombError) as error:
        raise refused("0.0.6", f"{where}.imageValue is no picture in base64") from error
    if kind != _IMAGE_FORMATS[visible["imageType"]]:
        raise refused("0.0.6", f"{where}.imageValue is no {visible['imageType']}")
    area = numbers(visible.get("area") or DEFAULT_AREA, "width", "height")
    if visible["locationType"] != "SIGN_FIELD" and (width > area["width"] or height > area["height"]):
        raise refused("2.2.1", f"the picture has {width} x {height} pixels, the area less")

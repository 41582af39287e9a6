"""Command-line options for the signature."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..documents import Document
from ..errors import ConfigurationError
from ..options import VisibleSignature
from .plan import MakeDocument

_PLACES: Final = ("x", "y", "page", "width", "height", "field", "placeholder")


def add_signature_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe the signature."""
    add = parser.add_argument_group("signature").add_argument
    add("--reason", metavar="TEXT", help="why the documents are signed")
    add("--location", metavar="TEXT", help="where they are signed")
    add("--description", metavar="TEXT", help="what they are about, shown in the backoffice")
    add("--timestamp", action="store_true", help="add a qualified timestamp")
    add("--visible", type=_place, metavar="PLACE",
        help="on PDF: page=1,x=60,y=50 or field=NAME or placeholder=WORD")  # fmt: skip
    add("--visible-text", metavar="TEXT", help="visible text, such as 'Signed by $certificate.getCommonName()'")
    add("--visible-image", type=Path, metavar="FILE", help="visible image, PNG or JPG")
    add("--xml-element", metavar="NAME", help="on XML: element that contains the signature")


def _place(text: str) -> dict[str, Any]:
    place: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in _PLACES or not value:
            raise argparse.ArgumentTypeError(f"{part!r} is not one of {', '.join(_PLACES)} with a value")
        if name in place:
            raise argparse.ArgumentTypeError(f"{name} is given twice")
        try:
            place[name] = value if name in ("field", "placeholder") else int(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{name} is {value!r}, not a whole number") from None
    return place


def _visible_signature(given: argparse.Namespace) -> VisibleSignature | None:
    if given.visible is None:
        if given.visible_text is not None or given.visible_image is not None:
            raise ConfigurationError("The visible signature has no position.", "Give it with --visible.")
        return None
    place = dict(given.visible)
    width, height = place.pop("width", None), place.pop("height", None)
    if (width is None) != (height is None):
        raise ConfigurationError("The visible signature has only one of width and height.", "Give both or neither.")
    try:
        image = None if given.visible_image is None else given.visible_image.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{given.visible_image} cannot be read: {error.strerror}.", "Check --visible-image."
        ) from error
    return VisibleSignature(
        **place, size=None if width is None else (width, height), text=given.visible_text, image=image
    )


def signature_options(given: argparse.Namespace) -> Mapping[MakeDocument, Mapping[str, Any]]:
    """Return the arguments of each kind of document.

    Args:
        given: The command's options.

    Raises:
        ConfigurationError: If options contradict each other, or the image cannot be read.
    """
    common = {"reason": given.reason, "location": given.location, "timestamp": given.timestamp}
    visible = {"visible_signature": _visible_signature(given)}
    return {
        Document.pdf: {**common, **visible},
        Document.xml: {**common, "signature_location": given.xml_element},
        Document.binary: common,
    }

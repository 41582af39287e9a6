"""Parses the text fields that say where a visible signature goes and how it looks."""

from __future__ import annotations

import math
import re
from typing import Final

DEFAULT_AREA: Final = "width=155,height=50"
DEFAULT_FONT_SIZE: Final = 11.0

_COLOUR: Final = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")


def named_values(text: str) -> dict[str, str]:
    """Parse a text such as `page=1,x=70,y=100`.

    Raises:
        ValueError: If it has another form.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name.strip() and separator for name, separator, _ in pairs):
        raise ValueError("it does not have the form name=value,name=value")
    return {name.strip(): value.strip() for name, _, value in pairs}


def numbers(text: str, *names: str) -> dict[str, float]:
    """Parse the numbers of these names.

    Raises:
        ValueError: If one is missing, negative, or not a number.
    """
    values = named_values(text)
    found = {}
    for name in names:
        if name not in values:
            raise ValueError(f"{name} is missing")
        try:
            found[name] = float(values[name])
        except ValueError:
            raise ValueError(f"{name} is not a number") from None
        if not 0 <= found[name] <= 1_000_000 or (name == "page" and not (found[name] >= 1 and found[name] % 1 == 0)):
            raise ValueError(f"{name} is out of range")
    return found


def font_size(text: str) -> float:
    """Parse the size in a text such as `color=#000000,size=11,name=arial`.

    Raises:
        ValueError: If the size is not a number, or the colour is not black, the only one there is.
    """
    values = named_values(text)
    if values.get("color", "#000000") != "#000000":
        raise ValueError("only black is supported: color=#000000")
    size = float(values.get("size", DEFAULT_FONT_SIZE))
    if not (math.isfinite(size) and 0 < size <= 1000):
        raise ValueError("size is out of range")
    return size


def colour(text: str) -> tuple[float, float, float] | None:
    """Parse a colour such as `#FFFFFF` to red, green, and blue from 0 to 1; `transparent` to None.

    Raises:
        ValueError: If it is neither.
    """
    if text == "transparent":
        return None
    match = _COLOUR.fullmatch(text)
    if match is None:
        raise ValueError("it is neither #RRGGBB nor transparent")
    red, green, blue = (int(part, 16) / 255 for part in match.groups())
    return red, green, blue

"""Where a visible signature is on a page: from coordinates as a reader sees them to the page's user space.

Coordinates count in points from the lower left corner of the page as it is displayed: the part within its CropBox,
turned by its `/Rotate`. The service does not publish how it counts; on pages without either all conventions agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs
from pyhanko.pdf_utils.generic import ArrayObject, DictionaryObject

from .signer import CannotSignError

_LETTER: Final = (0.0, 0.0, 612.0, 792.0)
"""What readers show if a page has no MediaBox."""

_DEPTH: Final = 100
"""How many levels of a page tree are searched for inherited attributes."""

Box = tuple[float, float, float, float]
"""Left, bottom, right, and top."""


@attrs.frozen
class PageView:
    """What a reader displays of a page.

    Attributes:
        box: The displayed part, in user space.
        rotation: By how many degrees it is turned clockwise: 0, 90, 180, or 270.
    """

    box: Box
    rotation: int = 0

    @property
    def size(self) -> tuple[float, float]:
        """Width and height as displayed."""
        left, bottom, right, top = self.box
        return (top - bottom, right - left) if self.rotation % 180 else (right - left, top - bottom)

    def place(self, x: float, y: float, width: float, height: float) -> tuple[int, int, int, int]:
        """A rectangle in user space.

        Args:
            x: Left edge, in points as displayed.
            y: Lower edge.
            width: Width of the rectangle.
            height: Height of the rectangle.

        Raises:
            CannotSignError: If a part of it is outside the displayed page.
        """
        across, up = self.size
        if x < 0 or y < 0 or x + width > across + 1 or y + height > up + 1:
            raise CannotSignError(
                f"the visible signature at x={x:g}, y={y:g} of {width:g} x {height:g} is not within the page,"
                f" which shows {across:g} x {up:g}",
                error_code="2.2.1",
            )
        corners = [self._to_user_space(x, y), self._to_user_space(x + width, y + height)]
        (left, right), (bottom, top) = (sorted(values) for values in zip(*corners, strict=True))
        return round(left), round(bottom), round(right), round(top)

    def locate(self, x: float, y: float) -> tuple[float, float]:
        """Coordinates as displayed, of a point in user space."""
        left, bottom, right, top = self.box
        return {
            0: (x - left, y - bottom),
            90: (y - bottom, right - x),
            180: (right - x, top - y),
            270: (top - y, x - left),
        }[self.rotation]

    def _to_user_space(self, x: float, y: float) -> tuple[float, float]:
        left, bottom, right, top = self.box
        return {
            0: (left + x, bottom + y),
            90: (right - y, bottom + x),
            180: (right - x, top - y),
            270: (left + y, top - x),
        }[self.rotation]


def page_view(page: Any) -> PageView:
    """What a reader displays of a page.

    Args:
        page: The page's dictionary.
    """
    media = _box(page, "/MediaBox") or _LETTER
    crop = _box(page, "/CropBox") or media
    shown = max(media[0], crop[0]), max(media[1], crop[1]), min(media[2], crop[2]), min(media[3], crop[3])
    if shown[0] >= shown[2] or shown[1] >= shown[3]:
        shown = media
    rotation = next((value for value in _inherited(page, "/Rotate") if isinstance(value, int)), 0)
    return PageView(shown, rotation % 360 if rotation % 90 == 0 else 0)


def _box(page: Any, name: str) -> Box | None:
    for value in _inherited(page, name):
        try:
            left, bottom, right, top = (float(item.get_object()) for item in value)
        except (AttributeError, TypeError, ValueError):
            continue
        if left != right and bottom != top:
            return min(left, right), min(bottom, top), max(left, right), max(bottom, top)
    return None


def _inherited(page: Any, name: str) -> Iterator[Any]:
    """The values of an attribute from a page upwards."""
    for _ in range(_DEPTH):
        if not isinstance(page, DictionaryObject):
            return
        value = resolved(page, name)
        if isinstance(value, ArrayObject | int):
            yield value
        page = resolved(page, "/Parent")


def resolved(dictionary: Any, name: str) -> Any:
    """The value of an entry, or None; `get` of pyHanko does not follow references."""
    return dictionary[name] if name in dictionary else None  # noqa: SIM401 - `get` does not resolve references

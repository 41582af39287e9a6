"""Validates arguments whose wrong values would do harm without an error."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeVar

from .errors import ConfigurationError, InvalidDocumentError

_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONE_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")

Item = TypeVar("Item", covariant=True)


class IterableNotStr(Protocol[Item]):
    """A collection, such as a list or a set. Type checkers reject a single text, although it can be iterated."""

    def __iter__(self) -> Iterator[Item]: ...

    def __contains__(self, item: object, /) -> bool: ...


def require_flags(**flags: object) -> None:
    """Check that values are booleans: a text such as "no" would count as True."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name} is {value!r}.", "Give True or False.")


def require_seconds(name: str, value: object, *, allow_zero: bool = False) -> None:
    """Check that a value is a number of seconds above 0, or 0 if that is allowed."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
    if not is_number or (value == 0 and not allow_zero):
        which = "0 or more" if allow_zero else "above 0"
        raise ConfigurationError(f"{name} is {value!r}.", f"Give a finite number of seconds, {which}.")


def require_count(name: str, value: object) -> None:
    """Check that a value is a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} is {value!r}.", "Give a whole number above 0.")


def require_known_options(function: str, options: Mapping[str, object], known: type) -> None:
    """Check the names of keyword arguments that a `TypedDict` describes."""
    if unknown := options.keys() - known.__annotations__.keys():
        raise TypeError(f"{function} got an unexpected option {', '.join(sorted(unknown))}")


def require_path(name: str, value: object) -> Path:
    """An argument as a path. An empty one is an error: files would be written to the current folder."""
    with contextlib.suppress(TypeError, ValueError):  # UnicodeError is one
        if isinstance(value, str | os.PathLike) and value != "" and b"\0" not in os.fsencode(value):
            return value if isinstance(value, Path) else Path(value)  # copying one takes longer than the checks
    raise ConfigurationError(f"{name} is {value!r}.", "Give a path.")


def require_text(name: str, value: object) -> None:
    """Check that a value is a text that can be written in a request."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidDocumentError(f"{name} is {value!r}.", "Give a text that is not empty.")
    if problem := text_problem(value):
        raise InvalidDocumentError(f"{name} {value!r} {problem}.", "Remove them, or give another text.")


def text_problem(value: str) -> str | None:
    """Why a text cannot be sent, if it cannot: the one rule for every text of a request."""
    if _LONE_SURROGATES.search(value):
        return "has characters that are not valid UTF-8 on disk"
    return "contains control characters" if _CONTROL_CHARACTERS.search(value) else None

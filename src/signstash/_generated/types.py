"""Contains some shared types for properties"""

import re
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import IO, Any, BinaryIO, Generic, Literal, TypeVar
from urllib.parse import quote

from attrs import define, fields


class Unset:
    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        # Copies and pickles are the one UNSET again, so that `is UNSET` goes on telling the truth.
        return "UNSET"


UNSET: Unset = Unset()

# The types that `httpx.Client(files=)` can accept, copied from that library.
FileContent = IO[bytes] | bytes | str
FileTypes = (
    # (filename, file (or bytes), content_type)
    tuple[str | None, FileContent, str | None]
    # (filename, file (or bytes), content_type, headers)
    | tuple[str | None, FileContent, str | None, Mapping[str, str]]
)
RequestFiles = list[tuple[str, FileTypes]]


@define
class File:
    """Contains information for file uploads"""

    payload: BinaryIO
    file_name: str | None = None
    mime_type: str | None = None

    def to_tuple(self) -> FileTypes:
        """Return a tuple representation that httpx will accept for multipart/form-data"""
        return self.file_name, self.payload, self.mime_type


def importer(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package that imports these names, or the modules of that name, when they are used"""

    @cache
    def import_name(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(modules[name], package)
        return getattr(module, name, module)

    return import_name


def without_null(source: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """A copy of a received object in which these fields are absent where they were null"""
    return {name: value for name, value in source.items() if value is not None or name not in names}


def parse_datetime(value: object) -> datetime:
    """Read a moment as the service may write it, and make it aware

    ISO 8601 with or without `T`, colons and fraction; without a zone it is Lisbon's time. Numbers count
    from 1970, in milliseconds, or in seconds where milliseconds would be a date before March 1973.
    """
    if isinstance(value, str) and not value.strip().lstrip("-").isdecimal():
        moment = datetime.fromisoformat(value.strip().removesuffix("[UTC]"))
        if moment.tzinfo is None:
            from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

            try:
                moment = moment.replace(tzinfo=ZoneInfo("Europe/Lisbon"))
            except ZoneInfoNotFoundError:
                # Without a time zone database (Windows without tzdata) an hour's error beats a lost answer.
                moment = moment.replace(tzinfo=UTC)
        return moment
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError(f"a date cannot be read from {type(value).__name__}")
    number = float(value)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        seconds=number / 1000 if abs(number) >= 1e11 else number
    )


def show_without_contents(self: Any) -> str:
    """The repr of every model, without the contents of documents and pictures"""
    names = [
        field.name
        for field in fields(type(self))
        if not (
            str(field.type).startswith("str") and ("content" in field.name or "image" in field.name)
        )
    ]
    return (
        f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"
    )


_CONTROL_CHARACTERS = "[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]"


def path_segment(value: object) -> str:
    """Quote one path parameter, refusing what would make the request reach another path"""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if text in ("", ".", "..") or re.search(_CONTROL_CHARACTERS, text):
        raise ValueError("a path parameter is empty, a dot segment, or holds control characters")
    return quote(text, safe="")


T = TypeVar("T")


def read_answer(parse: Callable[..., T], *, client: Any, response: Any) -> T:
    """What an answer holds; an answer that knows how is asked for the error if it cannot be read"""
    try:
        return parse(client=client, response=response)
    except Exception as error:
        if not hasattr(response, "unreadable"):
            raise
        failure = error
    raise response.unreadable(failure)


@define
class Response(Generic[T]):
    """A response from an endpoint"""

    status_code: int
    content: bytes
    headers: MutableMapping[str, str]
    parsed: T


__all__ = [
    "UNSET",
    "File",
    "FileTypes",
    "RequestFiles",
    "Response",
    "Unset",
    "importer",
    "parse_datetime",
    "path_segment",
    "read_answer",
    "show_without_contents",
    "without_null",
]

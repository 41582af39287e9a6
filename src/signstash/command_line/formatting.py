"""Text for people: sizes, counts, tables, and paths that are safe to print."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TextIO


def printable(path: Path | str) -> str:
    """Return a path on one line, with control characters escaped so that they cannot change the terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in str(path)
    )


def count_of_documents(number: int) -> str:
    """Return a number of documents in words, such as `1 document`."""
    return f"{number:,} document{'' if number == 1 else 's'}"


def size_of(content_bytes: int) -> str:
    """Return a number of bytes in kB or MB."""
    return f"{content_bytes / 1e6:.1f} MB" if content_bytes >= 1e6 else f"{content_bytes / 1e3:.1f} kB"


def status_column(status: str) -> str:
    """Return a status as the first column of a line."""
    return f"{status.replace('_', ' '):<13}"


def wrapped(line: str, *, indent: int = 13, stream: TextIO | None = None) -> str:
    """Return a line broken at words to fit the terminal, or as it is where there is none."""
    if not (stream or sys.stdout).isatty():
        return line
    width = shutil.get_terminal_size().columns
    return textwrap.fill(line, width, subsequent_indent=" " * indent, break_on_hyphens=False, drop_whitespace=True)


_OF_THE_COMMAND: Final = (
    (re.compile(r"overwrite=True"), "--force"),
    (re.compile(r", or with `requeue`, `settle` or `drop`( of the journal)?"), ""),
    (re.compile(r", then save it from `signed`"), ""),
    (re.compile(r"or use Document\.binary"), "or give it another extension and use --binary"),
    (re.compile(r" If you chose its external reference [^.]*\."), ""),  # the command lets nobody choose one
)
"""What errors say of the package, and what it is in the command."""


def of_the_command(message: str) -> str:
    """Return an error message that names options of the command instead of arguments of the package."""
    for pattern, replacement in _OF_THE_COMMAND:
        message = pattern.sub(replacement, message)
    return message


def duration(seconds: float | None) -> str:
    """Return a time in minutes and seconds, such as `3:05`, with hours if there are any."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def table(rows: Sequence[Sequence[object]]) -> str:
    """Return rows with aligned columns."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)

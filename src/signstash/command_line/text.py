"""Text for people: sizes, counts, tables, and paths that are safe to print."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path


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


def wrapped(line: str, *, indent: int = 13) -> str:
    """Return a line broken at words to fit the terminal, or as it is where there is none."""
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return textwrap.fill(line, width, subsequent_indent=" " * indent, break_on_hyphens=False, drop_whitespace=True)


def table(rows: Sequence[Sequence[object]]) -> str:
    """Return rows with aligned columns."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)

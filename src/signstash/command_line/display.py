"""How a command shows its results: as lines for people, as JSON lines for programs, with a bar on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol, TextIO


class Display(Protocol):
    """Where results are shown while a command works."""

    def result(self, text: str, fields: Mapping[str, Any], *, content_bytes: int = 0) -> None:
        """Show one result.

        Args:
            text: It, for people.
            fields: The same, for programs.
            content_bytes: Length of the document that it is about.
        """
        ...

    def note(self, text: str) -> None:
        """Say something beside the results, to the person at the terminal."""
        ...


class Lines:
    """One line for each result, for people or for programs."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def result(self, text: str, fields: Mapping[str, Any], *, content_bytes: int = 0) -> None:  # noqa: ARG002
        """See `Display`."""
        if self._as_json:
            text = json.dumps(fields, ensure_ascii=sys.stdout is None or sys.stdout.encoding.lower() != "utf-8")
        _write(sys.stdout, text)

    def note(self, text: str) -> None:
        """See `Display`."""
        _write(sys.stderr, text)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # it was closed before the command began
        return
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except OSError:
        # Who read it has gone, as `head` does, or the disk is full. What was begun is finished all the same, or
        # documents would be lost.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def shown(path: Path) -> str:
    """A path in one line, without what would change the terminal."""
    return "".join(item if item.isprintable() else item.encode("unicode_escape").decode() for item in str(path))


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows with their columns aligned."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)


def length(content_bytes: int) -> str:
    """A number of bytes as people read it."""
    return f"{content_bytes / 1e6:.1f} MB" if content_bytes >= 1e6 else f"{content_bytes / 1e3:.1f} kB"


def open_display(*, as_json: bool, documents: int, content_bytes: int) -> AbstractContextManager[Display]:
    """Where the results of a run are shown, for as long as it lasts.

    Args:
        as_json: Whether JSON lines are wanted.
        documents: How many documents there are.
        content_bytes: Their length in all.
    """
    if as_json or not all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr)):
        return nullcontext(Lines(as_json=as_json))
    try:
        from .bar import Bar
    except ImportError:  # without the extra `cli` there are lines
        return nullcontext(Lines(as_json=False))
    return Bar(documents=documents, content_bytes=content_bytes)

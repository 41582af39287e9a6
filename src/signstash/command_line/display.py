"""Shows results: as text lines, as JSON lines, or with a progress bar on a terminal."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol, TextIO


class Display(Protocol):
    """Where a command shows what happens while it works."""

    def result(self, text: str, fields: Mapping[str, Any]) -> None:
        """Show one result.

        Args:
            text: The result for people.
            fields: The same for programs.
        """
        ...

    def progress(self, *, done: int, signed: int, skipped: int, content_bytes: int, problems: Sequence[str]) -> None:
        """Show how far the command is.

        Args:
            done: Documents with a result.
            signed: Those of them that were signed.
            skipped: Those of them that had been signed before.
            content_bytes: Size of the documents with a result.
            problems: One line for each cause of failure so far.
        """
        ...

    def note(self, text: str) -> None:
        """Show a remark that is not a result."""
        ...


class Lines:
    """One line for each result: text, or JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def result(self, text: str, fields: Mapping[str, Any]) -> None:
        """See `Display`."""
        if self._as_json:
            text = json.dumps(fields, ensure_ascii=sys.stdout.encoding.lower() != "utf-8")
        _write(sys.stdout, text)

    def progress(self, *, done: int, signed: int, skipped: int, content_bytes: int, problems: Sequence[str]) -> None:
        """See `Display`. Lines show results only."""

    def note(self, text: str) -> None:
        """See `Display`."""
        _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except OSError as error:
        # The reader has gone, as `head` does, or the disk is full. The command goes on, or documents would be lost.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not isinstance(error, BrokenPipeError):
            _unwritable.append(error)


_unwritable: Final[list[OSError]] = []


def lost_output() -> OSError | None:
    """Return why output was lost since the last call, or None. A reader that has gone wants no more."""
    error = _unwritable[0] if _unwritable else None
    _unwritable.clear()
    return error


def open_display(
    *, as_json: bool, documents: int, content_bytes: int, clock: Callable[[], float] = time.monotonic
) -> AbstractContextManager[Display]:
    """Return the display for a run.

    Args:
        as_json: Whether to write JSON lines.
        documents: Number of documents in the run.
        content_bytes: Their size in all.
        clock: Monotonic clock, in seconds.
    """
    if as_json or not (sys.stdout.isatty() and sys.stderr.isatty()):
        return nullcontext(Lines(as_json=as_json))
    try:
        from .bar import Bar
    except ImportError:  # the extra `cli` is not installed
        return nullcontext(Lines(as_json=False))
    return Bar(documents=documents, content_bytes=content_bytes, clock=clock)

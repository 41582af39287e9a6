"""Shows results: as text lines, as JSON lines, or with a progress bar on a terminal."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Final, Protocol, TextIO

from .formatting import wrapped
from .progress import RunProgress

_PROGRESS_INTERVAL: Final = 60.0
"""Seconds between two progress lines when no progress bar is shown."""


class Display(Protocol):
    """Where a command shows what happens while it works."""

    def result(self, text: str, fields: Mapping[str, Any]) -> None:
        """Show one result.

        Args:
            text: The result for people.
            fields: The same for programs.
        """
        ...

    def progress(self, progress: RunProgress) -> None:
        """Show how far the command is."""
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

    def progress(self, progress: RunProgress) -> None:
        """See `Display`. Lines show results only."""

    def note(self, text: str) -> None:
        """See `Display`."""
        _write(sys.stderr, wrapped(text, indent=0, stream=sys.stderr))


class LinesWithProgress(Lines):
    """Lines, and on standard error once a minute how far a run is.

    Args:
        as_json: Whether to write JSON lines.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, *, as_json: bool, clock: Callable[[], float]) -> None:
        super().__init__(as_json=as_json)
        self._clock = clock
        self._started = self._shown = clock()

    def progress(self, progress: RunProgress) -> None:
        """See `Display`."""
        now = self._clock()
        if now - self._shown >= _PROGRESS_INTERVAL:
            self._shown = now
            self.note(progress.text(now - self._started))


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except OSError as error:
        # The reader has gone, as `head` does, or the disk is full. The command continues, or documents would be lost.
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
    if not as_json and sys.stdout.isatty() and sys.stderr.isatty():
        with suppress(ImportError):  # the extra `cli` is not installed
            from .progress_bar import ProgressBar

            return ProgressBar(RunProgress(documents=documents, total_bytes=content_bytes), clock=clock)
    return nullcontext(LinesWithProgress(as_json=as_json, clock=clock))

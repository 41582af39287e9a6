"""The progress bar of a run on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .display import length


class Bar:
    """Shows how far a run has come, and above it what went wrong. See `display.Display`.

    Args:
        documents: How many documents there are.
        content_bytes: Their length in all.
    """

    def __init__(self, *, documents: int, content_bytes: int) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._content_bytes, self._done_bytes = content_bytes, 0
        self._progress = Progress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("documents, {task.fields[size]}, {task.fields[rate]} a second"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._progress.add_task("", total=documents, size=length(0), rate="-")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def result(self, text: str, fields: Mapping[str, Any], *, content_bytes: int = 0) -> None:
        """See `display.Display`. What was signed only moves the bar."""
        if fields["status"] != "signed":
            self.note(text)
        self._done_bytes += content_bytes
        (task,) = self._progress.tasks
        done = f"{length(self._done_bytes)} of {length(self._content_bytes)}"
        rate = f"{task.speed:.1f}" if task.speed is not None else "-"
        self._progress.update(self._task, advance=1, size=done, rate=rate)

    def note(self, text: str) -> None:
        """See `display.Display`."""
        self._console.print(text, markup=False)

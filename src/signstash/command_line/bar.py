"""The progress bar of a run on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from .text import size_of

_SHOWN_PROBLEMS: Final = 5


class Bar:
    """Shows how far a run is, its rate, the remaining time, and one line for each cause of failure.

    Args:
        documents: Number of documents in the run.
        content_bytes: Their size in all.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, *, documents: int, content_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._documents, self._content_bytes = documents, content_bytes
        self._clock, self._started = clock, clock()
        self._columns = Progress(BarColumn(bar_width=None), TextColumn("{task.description}", markup=False), expand=True)
        self._problems: Sequence[str] = ()
        self._live = Live(console=self._console, get_renderable=self._render)
        self._task = self._columns.add_task("", total=documents)
        self.progress(done=0, signed=0, skipped=0, content_bytes=0, problems=())

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._problems = ()  # the summary that follows lists them
        self._live.stop()

    def result(self, text: str, fields: Mapping[str, Any]) -> None:
        """See `display.Display`. A signed document only moves the bar."""
        if fields["status"] != "signed":
            self.note(text)

    def progress(self, *, done: int, signed: int, skipped: int, content_bytes: int, problems: Sequence[str]) -> None:
        """See `display.Display`."""
        seconds = self._clock() - self._started
        # Over the whole run, as in the summary: batches end in bursts, in which any shorter window shows nonsense.
        rate = f"{signed / seconds:.1f}/s" if signed and seconds else "-/s"
        remaining = (self._documents - done) * seconds / (done - skipped) if done > skipped else None
        description = ", ".join(
            (
                f"{done:,} of {self._documents:,}",
                f"{size_of(content_bytes)} of {size_of(self._content_bytes)}",
                rate,
                f"{_duration(remaining)} left",
            )
        )
        self._problems = problems
        self._columns.update(self._task, completed=done, description=description)

    def note(self, text: str) -> None:
        """See `display.Display`."""
        self._console.print(text, markup=False)

    def _render(self) -> Group:
        shown = [Text(line, no_wrap=True, overflow="ellipsis") for line in self._problems[:_SHOWN_PROBLEMS]]
        return Group(self._columns, *shown)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

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

from .progress import RunProgress

_SHOWN_PROBLEMS: Final = 5


class ProgressBar:
    """Shows how far a run is, its rate, the remaining time, and one line for each cause of failure.

    Args:
        progress: The run before its first result.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, progress: RunProgress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._clock, self._started = clock, clock()
        self._columns = Progress(BarColumn(bar_width=None), TextColumn("{task.description}", markup=False), expand=True)
        self._problems: Sequence[str] = ()
        self._live = Live(console=self._console, get_renderable=self._render)
        self._task = self._columns.add_task("", total=progress.documents)
        self.progress(progress)

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

    def progress(self, progress: RunProgress) -> None:
        """See `display.Display`."""
        self._problems = progress.problems
        text = progress.text(self._clock() - self._started)
        self._columns.update(self._task, completed=progress.done, description=text)

    def note(self, text: str) -> None:
        """See `display.Display`."""
        self._console.print(text, markup=False)

    def _render(self) -> Group:
        shown = [Text(line, no_wrap=True, overflow="ellipsis") for line in self._problems[:_SHOWN_PROBLEMS]]
        if more := len(self._problems) - len(shown):
            shown.append(Text(f"and {more} more", no_wrap=True))
        return Group(self._columns, *shown)

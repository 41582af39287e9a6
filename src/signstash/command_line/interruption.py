"""Ctrl-C and SIGTERM: the first one finishes what is in flight, the second one stops at once."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Self

from ..errors import SignStashError
from .causes import without_names
from .display import Display


class Interruption:
    """Handles SIGINT and SIGTERM while it is entered.

    Args:
        display: Where it says what happens.
        on_first: Called at the first signal, in the event loop.

    Attributes:
        asked: Whether there was a signal.
    """

    def __init__(self, display: Display, on_first: Callable[[], None] = lambda: None) -> None:
        self.asked: bool = False
        self._display = display
        self._on_first = on_first
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def __enter__(self) -> Self:
        for number in self._before:
            signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(self._interrupt))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self) -> None:
        if self.asked and self._task is not None:
            self._task.cancel()
        elif not self.asked:
            self.asked = True
            self._display.note("Finishing what is in flight. Press Ctrl-C again to stop now.")
            self._on_first()


class RetryNotes(logging.Handler):
    """Says why nothing happens: which failure is being retried, once until something succeeds."""

    def __init__(self, display: Display) -> None:
        super().__init__(logging.INFO)
        self._display = display
        self.addFilter(lambda record: record.module == "retries")
        self._logger = logging.getLogger("signstash")
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        cause = record.args[-1] if isinstance(record.args, tuple) and record.args else None
        text = without_names(cause.problem if isinstance(cause, SignStashError) else record.getMessage(), ())
        if text not in self._shown:
            self._shown.add(text)
            self._display.note(f"Trying again in {getattr(record, 'pause', 0):.0f} s: {text}")

    def succeeded(self) -> None:
        """Show the next failure again, although it was shown before."""
        self._shown.clear()

    def __enter__(self) -> Self:
        self._before = self._logger.level
        self._logger.addHandler(self)
        self._logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._before)

"""How many requests may be in flight at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

QUICK: Final = 0.1
"""Seconds for a document that are no sign of an overload, however quick the service was before."""


class ConcurrencyLimiter:
    """How many requests may be in flight: fewer when the service is overloaded, slowly more when it is not.

    Args:
        most: Requests that may be in flight at best.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = float(most)
        self._usual: float | None = None
        self._busy = 0
        self._changed = asyncio.Condition()

    @property
    def open(self) -> int:
        """Requests that may be in flight now."""
        return max(int(self._now), 1)

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A lane, as soon as one is free, for as long as the block lasts."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._busy < self.open)
            self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            async with self._changed:
                self._changed.notify_all()

    def overloaded(self) -> None:
        """Halve: the service refused for the number of requests."""
        self._now = max(self._now / 2, 1.0)

    def answered(self, seconds: float) -> None:
        """Take note of an answer, and of the seconds that it took for each document."""
        if self._usual is None:
            self._usual = seconds
        if seconds > max(3 * self._usual, QUICK):
            self.overloaded()
        else:
            self._now = min(self._now + 0.5 / self._now, float(self._most))
        # The usual time follows slowly, so that a service that gets slower is not taken for a slow one.
        self._usual += 0.1 * (min(seconds, 3 * self._usual) - self._usual)

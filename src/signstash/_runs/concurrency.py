"""Limits how many requests are in flight at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

QUICK: Final = 0.1
"""Seconds for a document that never count as a sign of overload, however fast the service was before."""


class ConcurrencyLimiter:
    """Limits the requests in flight: fewer when the service is overloaded, slowly more again when it is not."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = float(most)
        self._usual: float | None = None
        self._busy = 0
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return max(int(self._now), 1)

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot for one request, as soon as one is free, until the block ends."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._busy < self.limit)
            self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            async with self._changed:
                self._changed.notify_all()

    def overloaded(self) -> None:
        """Halve the limit: the service rejected a request because there were too many, or takes longer."""
        self._now = max(self._now / 2, 1.0)

    def record_latency(self, seconds: float) -> None:
        """Record the seconds that a response took for each document."""
        if self._usual is None:
            self._usual = seconds
        if seconds > max(3 * self._usual, QUICK):
            self.overloaded()
        else:
            self._now = min(self._now + 0.5 / self._now, float(self._most))
        # The usual time follows slowly, so that a service that slows down does not pass for one that is always slow.
        self._usual += 0.1 * (min(seconds, 3 * self._usual) - self._usual)

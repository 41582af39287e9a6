"""The running event loop: work in threads, and work that a cancellation does not interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

from .errors import ConfigurationError

Result = TypeVar("Result")


def in_thread(function: Callable[[], Result]) -> asyncio.Future[Result]:
    """Call a function in a thread, as `asyncio.to_thread` does, but without a task that could be cancelled."""
    return asyncio.get_running_loop().run_in_executor(None, copy_context().run, function)


async def completed(work: Coroutine[Any, Any, Result] | asyncio.Future[Result]) -> Result:
    """Await work to its end, even if this task is cancelled meanwhile; then raise the cancellation."""
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        raise cancellation from task.exception()
    return task.result()


def running_loop() -> asyncio.AbstractEventLoop:
    """The running event loop of asyncio, or a `ConfigurationError` if there is none, as under trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "No event loop of asyncio is running.", "Await this package's calls under asyncio or uvloop, not trio."
        ) from None

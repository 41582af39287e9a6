"""Reads documents from their source, no further ahead than they are needed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Sized
from typing import Final

from .._content.snapshots import snapshot
from ..documents import Document, require_document

LONGEST_HOLD: Final = 0.005
"""Seconds for which a source that is not asynchronous may hold the event loop before others get their turn."""


class DocumentReader:
    """Reads documents ahead in a task of its own, so that a source that waits holds up nothing else.

    Attributes:
        total: How many documents there are, if the source has a length.
        is_waiting: Whether the source has nothing ready.
        fault: What the source raised, or None.
    """

    def __init__(self, source: Iterable[Document] | AsyncIterable[Document], changed: asyncio.Event) -> None:
        self.total = len(source) if isinstance(source, Sized) else None
        self.is_waiting = False
        self.is_exhausted = False
        self.fault: BaseException | None = None
        self._changed = changed
        self._wanted = asyncio.Event()
        self._documents: list[Document] = []
        self._places = self._room = 0
        self._is_stopped = False
        self._task = asyncio.create_task(self._read(source))

    @property
    def is_empty(self) -> bool:
        """Whether all that was read is taken."""
        return not self._documents

    def want(self, *, documents: int, content_bytes: int) -> None:
        """Read ahead until there are so many documents, or so many bytes of them are in memory."""
        self._places, self._room = documents - len(self._documents), content_bytes
        if self._places > 0 and self._room > 0:
            self._wanted.set()

    def take(self) -> list[Document]:
        """What was read since the last time."""
        taken, self._documents = self._documents, []
        return taken

    def stop(self) -> asyncio.Task[None]:
        """Read nothing more, and close the source: the task that ends when this is done."""
        self._is_stopped = True
        self._task.cancel()
        return self._task

    async def _read(self, source: Iterable[Document] | AsyncIterable[Document]) -> None:
        may_wait = isinstance(source, AsyncIterable)
        try:
            documents = aiter(source) if isinstance(source, AsyncIterable) else _taking_turns(source)
            async with (
                contextlib.aclosing(documents) if isinstance(documents, AsyncGenerator) else contextlib.nullcontext()
            ):
                while True:
                    await self._wait_until_wanted()
                    self.is_waiting = may_wait
                    self._changed.set()
                    self._add(await anext(documents))
        except StopAsyncIteration:
            pass
        except BaseException as error:  # whatever it is: documents that are in flight must not be lost by it
            if self._is_stopped and isinstance(error, asyncio.CancelledError):
                raise
            self.fault = error
        finally:
            self.is_exhausted = True
            self.is_waiting = False
            self._changed.set()

    async def _wait_until_wanted(self) -> None:
        while self._places <= 0 or self._room <= 0:
            self._wanted.clear()
            await self._wanted.wait()

    def _add(self, document: Document) -> None:
        self.is_waiting = False
        require_document(document)
        self._documents.append(document)
        self._places -= 1
        if document.in_memory:
            self._room -= document._read_with(snapshot).size
        self._changed.set()


async def _taking_turns(source: Iterable[Document]) -> AsyncGenerator[Document, None]:
    with contextlib.closing(source) if isinstance(source, Generator) else contextlib.nullcontext():
        until = time.monotonic() + LONGEST_HOLD
        for document in source:
            yield document
            if time.monotonic() > until:
                await asyncio.sleep(0)
                until = time.monotonic() + LONGEST_HOLD

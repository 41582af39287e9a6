"""What users give as the contents of a document: paths, bytes and open files."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import os
import threading
import weakref
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, TypeVar

from ..errors import InvalidDocumentError
from .contents import SPOOL_LIMIT, Contents, InMemory, InPath, Spool


class Readable(Protocol):
    """A file opened for reading in binary mode, be it on disk, compressed or in an archive."""

    def read(self, size: int = ..., /) -> bytes: ...


class AsyncReadable(Protocol):
    """The same with an asynchronous `read`, such as a file of anyio or aiofiles, or Starlette's `UploadFile`."""

    def read(self, size: int = ..., /) -> Awaitable[bytes]: ...


Source = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable | AsyncReadable
"""Where contents come from: a path, the bytes themselves, or a file opened for reading in binary mode.

An open file is read from its current position, and copied when it is first sent: it may be a pipe, and is read once.
"""

AnyLock = TypeVar("AnyLock", threading.Lock, asyncio.Lock)

_LONGEST_PATH: Final = 4096
"""Characters that a path may have (Linux); contents in base64, given by mistake, have more."""
_BLOCK: Final = 256 * 1024
"""Bytes of an open file that are read at once."""


def contents_of(source: Any) -> Contents:
    """The contents that a user gives as a `Source`; anything else is an `InvalidDocumentError`."""
    if isinstance(source, bytes | bytearray | memoryview):
        return InMemory(bytes(source))  # a copy, since a later change of a bytearray must not reach the service
    if isinstance(source, str) and (source.lstrip().startswith(("<", "%PDF-")) or len(source) > _LONGEST_PATH):
        raise InvalidDocumentError("The contents are text, which would be read as a path.", "Give them as bytes.")
    if isinstance(source, os.PathLike) and not isinstance(os.fspath(source), str):
        raise InvalidDocumentError(f"The path {source!r} consists of bytes.", "Decode it with os.fsdecode.")
    if isinstance(source, str | os.PathLike):
        return InPath(source if isinstance(source, Path) else Path(source))
    if isinstance(source, io.TextIOBase):
        raise InvalidDocumentError("Its file is opened in text mode.", "Open it with mode 'rb'.")
    if not callable(getattr(source, "read", None)):
        hint = "Give a path, bytes, or a file opened with mode 'rb'."
        raise InvalidDocumentError(f"Its contents are of type {type(source).__name__}.", hint)
    return InAsyncFile(source) if inspect.iscoroutinefunction(source.read) else InOpenFile(source)


class InOpenFile:
    """Contents of an open file, from where it stood when it was given; they are copied when they are first needed."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._lock = _lock_of(file, threading.Lock)
        self._spool = Spool(None)
        self._copy: Contents | None = None
        self._start: int | None = None
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or a pipe: reading it shows which
            self._start = self._file.tell() if self._file.seekable() else None

    async def load(self) -> None:
        """Copy the file in a thread, which stops after the block that it reads when this is cancelled."""
        if self._copy is None:
            stopped = threading.Event()
            with contextlib.suppress(InvalidDocumentError):
                try:
                    await asyncio.to_thread(self._read, stopped)
                finally:
                    stopped.set()

    def opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        return self._read(threading.Event()).opened()

    def _read(self, stopped: threading.Event) -> Contents:
        """Copy the file, or what is left of it since an earlier call was stopped."""
        with self._lock, _file_errors():
            if self._copy is None and self._start is not None:
                self._file.seek(self._start + len(self._spool))
            while self._copy is None and not stopped.is_set():
                if not _add_block(self._spool, self._file.read(_BLOCK)):
                    self._copy = self._spool.contents()
                elif self._spool.in_memory > SPOOL_LIMIT:
                    self._spool.spill()
        if self._copy is not None and not len(self._spool):
            raise _nothing_left()
        return self._copy or InMemory(b"")


class InAsyncFile:
    """Contents of a file whose `read` is asynchronous; they are copied in the event loop before they are sent."""

    def __init__(self, file: AsyncReadable) -> None:
        self._file = file
        self._lock = _lock_of(file, asyncio.Lock)
        self._copy: Contents | None = None
        self._error: InvalidDocumentError | None = None

    async def load(self) -> None:
        async with self._lock:
            if self._copy is not None or self._error is not None:
                return
            self._error = InvalidDocumentError(
                "an earlier call ended while it was reading the file.", "Open the file again for another document."
            )
            spool = Spool(None)
            try:
                with _file_errors():
                    while _add_block(spool, await self._file.read(_BLOCK)):
                        if spool.in_memory > SPOOL_LIMIT:
                            await asyncio.to_thread(spool.spill)
                if not len(spool):
                    raise _nothing_left()
                self._copy = await asyncio.to_thread(spool.contents) if spool.in_file else spool.contents()
            except InvalidDocumentError as error:
                self._error = error

    def opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        if self._copy is None:
            raise self._error or InvalidDocumentError(
                "its file is asynchronous, and cannot be read here.", "Await its `read`, and give the bytes."
            )
        return self._copy.opened()


def _add_block(spool: Spool, block: object) -> bool:
    """Whether it is a block, and not the end of the file."""
    if not isinstance(block, bytes | bytearray | memoryview):
        raise TypeError(type(block).__name__)
    spool.add(bytes(block))
    return len(block) > 0


def _nothing_left() -> InvalidDocumentError:
    return InvalidDocumentError(
        "its open file has no more bytes: it is empty, or was already read to its end.",
        "Give a file with contents; if it has any, open it again for each document, or seek to its beginning.",
    )


_locks: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_locks_lock = threading.Lock()


def _lock_of(file: object, kind: type[AnyLock]) -> AnyLock:
    """One lock for each open file: two documents may have been given the same one, which has one position."""
    with _locks_lock:
        try:
            lock: AnyLock = _locks.setdefault(file, kind())
            return lock
        except TypeError:  # of a class without weak references
            return kind()


@contextlib.contextmanager
def _file_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        problem = f"its file cannot be read: {str(error).rstrip('.')}."
        raise InvalidDocumentError(problem, "Keep the file open until the document is signed.") from error
    except TypeError:
        raise InvalidDocumentError("its file does not give bytes.", "Open it with mode 'rb'.") from None

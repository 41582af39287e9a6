"""Where the contents of a document come from, and whether they are what they claim to be."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import stat
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

import attrs

from ..errors import InvalidDocumentError
from ..models import ContentType


class Readable(Protocol):
    """A file opened for reading in binary mode, be it on disk, compressed or in an archive."""

    def read(self, size: int = ..., /) -> bytes:
        """The next bytes, as many as are asked for, or all."""
        ...


SPOOL_LIMIT: Final = 1024 * 1024
"""Bytes of contents that are kept in memory; beyond, they go to a temporary file."""

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable
"""Where contents come from: a path, the bytes themselves, or a file opened for reading in binary mode."""

_LONGEST_PATH: Final = 4096
"""Characters that a path may have (Linux); contents in base64, given by mistake, have more."""
_HEADER: Final = 1024
"""Bytes at the start of a file in which PDF readers look for `%PDF-`."""


@attrs.frozen
class OpenContent:
    """Contents that are being read.

    Attributes:
        file: Gives them from their beginning; threads may take turns with it.
        look: Tells their length in bytes now, and whatever else shows that they have changed.
        faults: What turns the faults of reading into an `InvalidDocumentError`.
    """

    file: BinaryIO
    look: Callable[[], tuple[int, ...]]
    faults: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            InvalidDocumentError: If they cannot be read.
        """
        with self.faults():
            return self.file.read(size)


class Contents(Protocol):
    """Contents that can be read as often as is needed. Reading blocks: do it in a thread."""

    def opened(self) -> contextlib.AbstractContextManager[OpenContent]:
        """The contents, to be read from their beginning.

        Raises:
            InvalidDocumentError: If they cannot be read.
        """
        ...


def contents_of(source: Any) -> Contents:
    """What was given as the contents of a document.

    Args:
        source: See `Source`; anything else is refused.

    Raises:
        InvalidDocumentError: If it cannot be contents.
    """
    if isinstance(source, str) and (source.lstrip()[:1] == "<" or len(source) > _LONGEST_PATH):
        raise InvalidDocumentError("Its contents are given as a text, which would be a path.", "Give them as bytes.")
    if isinstance(source, str | os.PathLike):
        return InPath(Path(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return InMemory(bytes(source))  # a copy, since a later change of a bytearray must not reach the service
    if isinstance(source, io.TextIOBase):
        raise InvalidDocumentError("Its file is opened in text mode.", "Open it with mode 'rb'.")
    if not callable(getattr(source, "read", None)):
        raise InvalidDocumentError(
            f"Its contents are of type {type(source).__name__}.", "Give a path, bytes, or a file opened with mode 'rb'."
        )
    try:
        start = source.tell() if source.seekable() else None
        return _InFile(source, start or 0) if _on_disk(source) else _InPipe(source, start)
    except (OSError, ValueError, AttributeError):  # closed, or without these methods: reading it will tell
        return _InPipe(source)


def _on_disk(file: Any) -> bool:
    """Whether an open file is one on disk, as it is; any other is kept when it is read first.

    A file that decompresses, for example, is slow to go back in, and has the number of the file below it.
    """
    file = getattr(file, "file", file)  # of a NamedTemporaryFile
    raw = getattr(file, "raw", file)
    return isinstance(raw, io.FileIO) and stat.S_ISREG(os.fstat(raw.fileno()).st_mode)


@attrs.frozen
class InPath:
    """Contents of a file that is opened when they are read."""

    path: Path

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenContent]:
        """See `Contents`."""
        with self._faults():
            # Opening a named pipe would wait for a writer without end.
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise InvalidDocumentError(
                    f"{self.path} is not a regular file.", "Give a file, or its contents as bytes."
                )
            file = self.path.open("rb")
        with file:
            yield OpenContent(file, lambda: _seen(file), self._faults)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise InvalidDocumentError(
                f"{self.path} cannot be read: {reason}.", "Check path and permissions."
            ) from error


def _seen(file: BinaryIO, start: int = 0) -> tuple[int, ...]:
    found = os.fstat(file.fileno())
    return found.st_size - start, found.st_mtime_ns, found.st_ino, found.st_dev


@attrs.frozen
class InMemory:
    """Contents that are there as bytes."""

    content: bytes = attrs.field(repr=False)

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenContent]:
        """See `Contents`."""
        yield OpenContent(io.BytesIO(self.content), lambda: (len(self.content),))


_locks: weakref.WeakKeyDictionary[Any, threading.Lock] = weakref.WeakKeyDictionary()
_locks_lock = threading.Lock()


def _lock_of(file: BinaryIO) -> threading.Lock:
    """One lock for each open file: two documents may have been given the same one, which has one position."""
    with _locks_lock:
        try:
            return _locks.setdefault(file, threading.Lock())
        except TypeError:  # of a class that cannot be referred to weakly
            return threading.Lock()


class _Window(io.RawIOBase):
    """A view of an open file with a position of its own, which is where the file stood when it was given."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._lock = _lock_of(file)
        self._position = start

    def read(self, size: int = -1) -> bytes:
        with self._lock:
            self._file.seek(self._position)
            block = self._file.read(size)
        self._position += len(block)
        return block


@attrs.frozen
class _InFile:
    """An open file on disk, read from where it stood when it was given."""

    _file: BinaryIO
    _start: int

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenContent]:
        with _file_faults():
            window = cast("BinaryIO", _Window(self._file, self._start))
            _seen(self._file)  # which fails if it was closed
        yield OpenContent(window, lambda: _seen(self._file, self._start), _file_faults)


@attrs.define
class _InPipe:
    """A file that can be read once, or is slow to go back in: what it gives is kept, on disk if it is long."""

    _file: BinaryIO
    _start: int | None = None
    _kept: BinaryIO | None = None
    _size: int = 0

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenContent]:
        with _file_faults():
            with _lock_of(self._file):
                if self._kept is None:
                    spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_LIMIT)  # noqa: SIM115 - lives as long as this
                    weakref.finalize(self, spool.close)
                    if self._start is not None:
                        self._file.seek(self._start)
                    shutil.copyfileobj(self._file, spool)
                    self._size = spool.tell()
                    self._kept = cast("BinaryIO", spool)
            window = cast("BinaryIO", _Window(self._kept, 0))
        yield OpenContent(window, lambda: (self._size,), _file_faults)


@contextlib.contextmanager
def _file_faults() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise InvalidDocumentError(
            f"its file cannot be read: {error}.", "Keep the file open until the document is signed."
        ) from error
    except TypeError:
        raise InvalidDocumentError("its file does not give bytes.", "Open it with mode 'rb'.") from None


@attrs.frozen
class ContentSnapshot:
    """Contents as they were found: whenever they are read, they must be the same.

    Attributes:
        contents: The contents.
        seen: What was seen of them; first their length in bytes.
    """

    contents: Contents
    seen: tuple[int, ...] = attrs.field(repr=False)

    @property
    def size(self) -> int:
        """Their length in bytes."""
        return self.seen[0]

    @property
    def in_memory(self) -> bool:
        """Whether reading them does not block."""
        return isinstance(self.contents, InMemory)

    def blocks(self, length: int) -> Iterator[bytes]:
        """The contents in blocks. Each may block: take it in a thread.

        Args:
            length: Bytes that a block may have.

        Raises:
            InvalidDocumentError: If they cannot be read, or are not what they were.
        """
        if isinstance(self.contents, InMemory):
            content = self.contents.content
            yield from (content[start : start + length] for start in range(0, self.size, length))
            return
        left = self.size
        with self.contents.opened() as opened:
            while left and opened.look() == self.seen and (block := opened.read(min(length, left))):
                left -= len(block)
                yield block
            if not left and opened.look() == self.seen:
                return
        raise InvalidDocumentError(
            "it changed after it was looked at, so the request was not completed.",
            "Let nobody write to it, then send it again.",
        )


@attrs.frozen
class Unchanged:
    """Contents that are refused when they are not any more what they were."""

    _reading: ContentSnapshot

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenContent]:
        """See `Contents`."""
        with self._reading.contents.opened() as opened:
            if opened.look() != self._reading.seen:
                raise InvalidDocumentError("it changed after it was looked at.", "Start again with what it is now.")
            yield opened


def snapshot(contents: Contents) -> ContentSnapshot:
    """How contents are now. Blocks: call it in a thread.

    Raises:
        InvalidDocumentError: If they cannot be read.
    """
    if isinstance(contents, InMemory):
        return ContentSnapshot(contents, (len(contents.content),))
    with contents.opened() as opened:
        return ContentSnapshot(contents, opened.look())


def digest_of(contents: Contents) -> str:
    """SHA-256 of contents, in hexadecimal digits. Blocks: call it in a thread.

    Raises:
        InvalidDocumentError: If they cannot be read.
    """
    digest = hashlib.sha256()
    with contents.opened() as opened:
        while chunk := opened.read(SPOOL_LIMIT):
            digest.update(chunk)
    return digest.hexdigest()


def read(contents: Contents) -> bytes:
    """The contents as bytes. Blocks: call it in a thread.

    Raises:
        InvalidDocumentError: If they cannot be read.
    """
    if isinstance(contents, InMemory):
        return contents.content
    with contents.opened() as opened:
        return opened.read()


def prepare(contents: Contents, content_type: str, *, keep: int) -> ContentSnapshot:
    """Check contents before they are sent. Blocks: call it in a thread.

    Args:
        contents: The contents.
        content_type: Media type that they must look like.
        keep: Bytes that they may have to be kept in memory; longer ones are read when they are sent.

    Raises:
        InvalidDocumentError: If they cannot be read, are empty, or are not of their type.
    """
    if isinstance(contents, InMemory):
        reading, problem = snapshot(contents), _problem(contents.content[:_HEADER], content_type)
    else:
        reading, problem = _prepare(contents, content_type, keep)
    if problem is None:
        return reading
    raise InvalidDocumentError(*problem)


def _prepare(contents: Contents, content_type: str, keep: int) -> tuple[ContentSnapshot, tuple[str, str] | None]:
    with contents.opened() as opened:
        seen = opened.look()
        start = opened.read(keep + 1 if seen[0] <= keep else _HEADER)
    problem = _problem(start[:_HEADER] if isinstance(start, bytes) else start, content_type)
    whole = problem is None and len(start) == seen[0] <= keep
    return ContentSnapshot(InMemory(start), (len(start),)) if whole else ContentSnapshot(contents, seen), problem


def _problem(start: object, content_type: str) -> tuple[str, str] | None:
    if not isinstance(start, bytes):
        return "its file does not give bytes.", "Open it with mode 'rb'."
    if not start:
        return "it is empty.", "Check what wrote it."
    if content_type == ContentType.APPLICATIONPDF and b"%PDF-" not in start:
        return "it is no PDF: '%PDF-' is not at its start.", "Check the file, or use Document.binary."
    if content_type.endswith("xml") and not _begins_like_xml(start):
        return "it is no XML: its first character is not '<'.", "Check the file, or use Document.binary."
    return None


def _begins_like_xml(start: bytes) -> bool:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        start = start.decode("utf-16", "replace").encode()
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")

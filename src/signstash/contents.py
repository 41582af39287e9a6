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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

import attrs

from .errors import InvalidDocumentError
from .models import ContentType
from .streams import SPOOL_LIMIT

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""Where contents come from: a path, the bytes themselves, or a file opened for reading in binary mode."""

_HEADER: Final = 1024
"""Bytes at the start of a file in which PDF readers look for `%PDF-`."""


class Contents(Protocol):
    """Contents that can be read as often as is needed. Reading blocks: do it in a thread."""

    def opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        """The contents as a file, from their beginning.

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
    if isinstance(source, str | os.PathLike):
        return _InPath(Path(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return InMemory(bytes(source))  # a copy, since a later change of a bytearray must not reach the service
    if isinstance(source, io.TextIOBase):
        raise InvalidDocumentError("its file is opened in text mode.", "Open it with mode 'rb'.")
    if not callable(getattr(source, "read", None)):
        raise InvalidDocumentError(
            f"its contents are of type {type(source).__name__}.", "Give a path, bytes, or a file opened with mode 'rb'."
        )
    try:
        return _InFile(source, source.tell()) if source.seekable() else _InPipe(source)
    except (OSError, ValueError, AttributeError):  # closed, or without these methods: reading it will tell
        return _InPipe(source)


@attrs.frozen
class _InPath:
    _path: Path

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        try:
            # Opening a named pipe would wait for a writer without end.
            if not stat.S_ISREG(self._path.stat().st_mode):
                raise InvalidDocumentError(
                    f"{self._path} is not a regular file.", "Give a file, or its contents as bytes."
                )
            with self._path.open("rb") as file:
                yield file
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise InvalidDocumentError(
                f"{self._path} cannot be read: {reason}.", "Check path and permissions."
            ) from error


@attrs.frozen
class InMemory:
    """Contents that were given as bytes."""

    _contents: bytes = attrs.field(repr=False)

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """See `Contents`."""
        yield io.BytesIO(self._contents)


_locks: weakref.WeakKeyDictionary[Any, threading.RLock] = weakref.WeakKeyDictionary()
_locks_lock = threading.Lock()


def _lock_of(file: BinaryIO) -> threading.RLock:
    """One lock for each open file: two documents may have been given the same one, which has one position."""
    with _locks_lock:
        try:
            return _locks.setdefault(file, threading.RLock())
        except TypeError:  # of a class that cannot be referred to weakly
            return threading.RLock()


@attrs.frozen
class _InFile:
    """An open file, read from where it stood when it was given."""

    _file: BinaryIO
    _start: int

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        with _lock_of(self._file), _file_faults():
            self._file.seek(self._start)
            yield self._file


@attrs.define
class _InPipe:
    """A file that can be read once: what it gives is kept, on disk if it is long."""

    _file: BinaryIO
    _kept: BinaryIO | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        with _lock_of(self._file), _file_faults():
            if self._kept is None:
                spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_LIMIT)  # noqa: SIM115 - lives as long as this
                weakref.finalize(self, spool.close)
                shutil.copyfileobj(self._file, spool)
                self._kept = cast("BinaryIO", spool)
            self._kept.seek(0)
            yield self._kept


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


def size_of(contents: Contents) -> int:
    """Length of contents in bytes. Blocks: call it in a thread.

    Raises:
        InvalidDocumentError: If they cannot be read.
    """
    with contents.opened() as file:
        start = file.tell()
        return file.seek(0, os.SEEK_END) - start


def digest_of(contents: Contents) -> str:
    """SHA-256 of contents, in hexadecimal digits. Blocks: call it in a thread.

    Raises:
        InvalidDocumentError: If they cannot be read.
    """
    digest = hashlib.sha256()
    with contents.opened() as file:
        while chunk := file.read(SPOOL_LIMIT):
            digest.update(chunk)
    return digest.hexdigest()


def read(contents: Contents, content_type: str) -> bytes:
    """The contents as bytes. Blocks: call it in a thread.

    Raises:
        InvalidDocumentError: If they cannot be read, are empty, or are not of their type.
    """
    with contents.opened() as file:
        given = file.read()
    problem = _problem(given, content_type)
    if problem is None:
        return given
    del given  # so that no traceback shows them
    raise InvalidDocumentError(*problem)


def _problem(given: object, content_type: str) -> tuple[str, str] | None:
    if not isinstance(given, bytes):
        return "its file does not give bytes.", "Open it with mode 'rb'."
    if not given:
        return "it is empty.", "Check what wrote it."
    if content_type == ContentType.APPLICATIONPDF and b"%PDF-" not in given[:_HEADER]:
        return "it is no PDF: '%PDF-' is not at its start.", "Check the file, or use Document.binary."
    if content_type.endswith("xml") and not _begins_like_xml(given[:_HEADER]):
        return "it is no XML: its first character is not '<'.", "Check the file, or use Document.binary."
    return None


def _begins_like_xml(start: bytes) -> bool:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        start = start.decode("utf-16", "replace").encode()
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")

"""Where bytes are: in memory, in a file of the user's, or in a temporary file."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import attrs

from ..errors import InvalidDocumentError
from .files import TemporaryFile

SPOOL_LIMIT: Final = 1024 * 1024
"""Bytes of one content that are kept in memory; a longer one goes to a temporary file."""


class Contents(Protocol):
    """Contents that can be read as often as is needed. Reading blocks: do it in a thread."""

    def opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        """Open the contents, to be read from their beginning. Errors of reading become an `InvalidDocumentError`."""
        ...


@attrs.frozen
class InMemory:
    content: bytes = attrs.field(repr=False)

    def opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        return contextlib.nullcontext(io.BytesIO(self.content))


@attrs.frozen
class InPath:
    """Contents of a file that is opened when they are read."""

    path: Path

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        try:
            # Opening a named pipe would wait for a writer without end.
            if not stat.S_ISREG(os.stat(self.path).st_mode):  # noqa: PTH116 - a third of the time of Path.stat
                raise InvalidDocumentError(f"{self.path} is not a regular file.", "Give a file, or contents as bytes.")
            with open(self.path, "rb") as file:  # noqa: PTH123 - as above
                yield file
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise InvalidDocumentError(f"{self.path} cannot be read: {why}.", "Check path and permissions.") from error


def fingerprint_of(file: BinaryIO) -> tuple[int, ...]:
    """The length of opened contents in bytes, and the other values that show whether they have changed."""
    if isinstance(file, io.BytesIO):
        position, length = file.tell(), file.seek(0, os.SEEK_END)
        file.seek(position)
        return (length,)
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev


@attrs.frozen
class InTemporaryFile:
    file: TemporaryFile

    def opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        return InPath(Path(self.file.path)).opened()

    def __reduce__(self) -> tuple[Any, ...]:
        with self.opened() as opened:
            return InMemory, (opened.read(),)


class Spool:
    """Contents that arrive in blocks: kept in memory, and moved to a temporary file if they get long."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._blocks: list[bytes] = []
        self._file: TemporaryFile | None = None
        self._written = 0
        self._no_room = False
        self.in_memory = 0

    def __len__(self) -> int:
        return self._written + self.in_memory

    def add(self, block: bytes) -> None:
        self._blocks.append(block)
        self.in_memory += len(block)

    @property
    def in_file(self) -> bool:
        """Whether some of it is in a file, so that `contents` blocks."""
        return self._file is not None

    def spill(self) -> None:
        """Move to a file what is in memory, unless the file cannot be written. Blocks."""
        if self._no_room:
            return
        try:
            self._file = self._file or TemporaryFile(self._folder)
            self._file.append(self._blocks)
        except OSError:  # no temporary folder, no space: contents are worth more than memory
            self._no_room = True
        else:
            self._written += self.in_memory
            self._blocks, self.in_memory = [], 0

    def contents(self) -> Contents:
        """What was added. Blocks if some of it is in a file."""
        if self._file is None or not self._written:
            return InMemory(b"".join(self._blocks))
        self.spill()
        if not self._blocks:
            return InTemporaryFile(self._file)
        with Path(self._file.path).open("rb") as file:
            return InMemory(b"".join([file.read(self._written), *self._blocks]))

    def discard(self) -> None:
        self._blocks, self.in_memory = [], 0
        if self._file is not None:
            self._file.remove()

"""A file of checked records, which is whole at every moment, and which one process uses at a time."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigurationError
from .contents import InMemory
from .lock import FileLock
from .writing import write_atomically

_FORMAT: Final = "signstash-journal 1"
"""What the first line begins with."""

Record = dict[str, Any]


class RecordFile:
    """A file of records: lines of JSON, each with a checksum of all lines up to it. Its methods block.

    Args:
        path: The file, which is created if it does not exist.
        take: Is called with each record that is in the file, and its place, at first with those that are in it already.

    Attributes:
        identity: What the file was given when it was created; its copies have it, too.
    """

    def __init__(self, path: Path, take: Callable[[int, Record], None]) -> None:
        self._path, self._take = path, take
        self._kept: list[Record] = []
        self._checksum = self._length = 0
        real = Path(os.path.realpath(path))
        self._name = real.name
        with contextlib.ExitStack() as opened:
            self._lock = self._locked(real.with_name(f"{real.name}.lock"))
            opened.callback(self._lock.release)
            if not os.path.lexists(real):
                # With its first line or not at all: an empty journal is a damaged one.
                write_atomically(InMemory(_header(secrets.token_hex(8))), real, overwrite=False)
            if not real.is_file():
                raise ConfigurationError(f"{path} is not a regular file.", "Give the path of a file for the journal.")
            if sys.platform != "win32":  # where nobody could read a copy of it
                # It may have a second name, be moved, or somebody may remove the other lock.
                opened.callback(self._locked(real, keep=True).release)
            self._file = opened.enter_context(real.open("r+b", buffering=0))
            self._reader = opened.enter_context(real.open("rb"))
            self._load()
            self._opened = opened.pop_all()

    def _locked(self, path: Path, *, keep: bool = False) -> FileLock:
        try:
            return FileLock(path, keep=keep)
        except BlockingIOError:
            raise ConfigurationError(
                f"The journal {self._path} is in use.", "Wait until the other process or run ends, or use another one."
            ) from None

    @property
    def is_own(self) -> bool:
        """Whether this process opened it, and not its parent."""
        return self._lock.is_own

    def close(self) -> None:
        self._opened.close()

    def read(self, offset: int) -> Record:
        self._reader.seek(offset)
        return Record(json.loads(self._reader.readline()[9:]))

    def append(self, records: Sequence[Record], *, keep: bool = False) -> None:
        """Write records; if they cannot be written whole, none of them is.

        What is to be kept then goes to a file elsewhere, and is written before the next records, or when this file is
        opened again: its checksums tell that it follows what is here.
        """
        records = [*self._kept, *records]
        checksum, offset = self._checksum, self._length
        lines: list[bytes] = []
        for record in records:
            text = json.dumps(record, separators=(",", ":")).encode()
            checksum = zlib.crc32(text, checksum)
            lines.append(b"%08x %b\n" % (checksum, text))
        try:
            self._write(b"".join(lines))
        except (OSError, ConfigurationError):
            if keep:
                self._kept = records
                self._keep(b"".join(lines))
            raise
        if self._kept:
            self._kept = []
            with contextlib.suppress(OSError):
                self._elsewhere.unlink()
        self._checksum = checksum
        for record, line in zip(records, lines, strict=True):
            self._take(offset, record)
            offset += len(line)
        self._length = offset

    def _write(self, data: bytes) -> None:
        found = os.fstat(self._file.fileno())
        if found.st_size != self._length or not found.st_nlink:
            raise ConfigurationError(
                f"The journal {self._path} was replaced, changed or removed while it was in use.",
                "Close it, put the copy that is to count in its place, and open it again.",
            )
        try:
            self._file.seek(self._length)
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
            _sync(self._file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                self._file.truncate(self._length)
            raise

    @property
    def _elsewhere(self) -> Path:
        return Path(tempfile.gettempdir(), f"{self._name}.{self._checksum:08x}")

    def _keep(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # best effort
            path = self._elsewhere
            path.unlink(missing_ok=True)
            # Nobody else may read it.
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    def _load(self) -> None:
        """Read the file, and check that it is whole.

        What stands after the last end of a line was not recorded completely when the process or the system ended, so
        nothing relies on it; it is removed.
        """
        header = self._reader.readline()
        self.identity = self._identity_in(header)
        self._checksum, self._length = zlib.crc32(header), len(header)
        for number, line in enumerate(self._reader, 2):
            if not line.endswith(b"\n") and not _is_intact(line[:-1] + b"\n", self._checksum):
                self._file.truncate(self._length)
                break
            if not _is_intact(line, self._checksum):
                raise ConfigurationError(
                    f"The journal {self._path} is damaged in line {number}.",
                    "Restore a copy of it. Under an older copy, the service rejects the references of what it has "
                    "signed since.",
                )
            self._checksum = int(line[:8], 16)
            self._take(self._length, json.loads(line[9:]))
            self._length += len(line)
        self._kept = list(self._kept_elsewhere())
        if self._kept:
            self.append([])

    def _kept_elsewhere(self) -> Iterator[Record]:
        checksum = self._checksum
        with contextlib.suppress(OSError):
            found = self._elsewhere.lstat()
            # Others may write in the folder of temporary files.
            if stat.S_ISREG(found.st_mode) and found.st_uid == getattr(os, "geteuid", int)():
                for line in self._elsewhere.read_bytes().splitlines(keepends=True):
                    if not _is_intact(line, checksum):
                        return
                    checksum = int(line[:8], 16)
                    yield json.loads(line[9:])

    def _identity_in(self, header: bytes) -> str:
        fields = header.decode("ascii", "replace").rstrip("\n").split(" ")
        if " ".join(fields[:2]) == _FORMAT and len(fields) == 4 and header == _header(fields[2]):
            return fields[2]
        if not header:
            problem = "is empty, which a journal never is"
        elif header.startswith(b"signstash-journal"):
            problem = "is damaged in line 1, or was written by another version"
        else:
            problem = "is not a journal"
        raise ConfigurationError(f"The file {self._path} {problem}.", "Restore a copy of it, or give another path.")


def _header(identity: str) -> bytes:
    text = f"{_FORMAT} {identity}"
    return f"{text} {zlib.crc32(text.encode()):08x}\n".encode()


def _is_intact(line: bytes, before: int) -> bool:
    return line[:9] == b"%08x " % zlib.crc32(line[9:-1], before) and line.endswith(b"}\n")


_sync: Final = getattr(os, "fdatasync", os.fsync)

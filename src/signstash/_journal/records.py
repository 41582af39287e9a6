"""A file of checked records, which is whole at every moment, and which one process uses at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from .._content.contents import InMemory
from .._content.files import TemporaryFile, sync_folder
from .._content.writing import write_atomically
from ..errors import ConfigurationError
from .lock import FileLock

_FORMAT: Final = "signstash-journal 1"
"""What the first line begins with."""

Record = dict[str, Any]

_as_json: Final = json.JSONEncoder(separators=(",", ":")).encode


class RecordFile:
    """A file of records: lines of JSON, each with a checksum of all lines up to it. Its methods block.

    Args:
        path: The file, which is created if it does not exist.
        take: Called with the offset and the content of each record, first of those already in the file.

    Attributes:
        identity: A random text that the file got when it was created; its copies have the same.
    """

    def __init__(self, path: Path, take: Callable[[int, Record], None]) -> None:
        self._path, self._take = path, take
        self._kept = b""  # records that follow those of the file, and could not be written to it yet
        self._checksum = self._length = 0  # of all records, of the file alone
        self._real = real = Path(os.path.realpath(path))
        if os.path.lexists(real) and not real.is_file():
            raise ConfigurationError(f"{path} is not a regular file.", "Give the path of a file for the journal.")
        with contextlib.ExitStack() as opened:
            self._lock = self._locked(real.with_name(f"{real.name}.lock"), remove=True)
            opened.callback(self._lock.release)
            if not os.path.lexists(real):
                # With its first line or not at all: an empty journal is a damaged one.
                write_atomically(InMemory(_header(secrets.token_hex(8))), real, overwrite=False)
            if sys.platform != "win32":  # where nobody could read a copy of it
                # It may have a second name, be moved, or somebody may remove the other lock.
                opened.callback(self._locked(real, remove=False).release)
            self._file = opened.enter_context(real.open("r+b", buffering=0))
            self._reader = opened.enter_context(real.open("rb"))
            self._load()
            self._load_kept()
            self._opened = opened.pop_all()

    def _locked(self, path: Path, *, remove: bool) -> FileLock:
        try:
            return FileLock(path, remove=remove)
        except BlockingIOError:
            hint = "Wait until the other process or run ends, or use another one."
            raise ConfigurationError(f"The journal {self._path} is in use.", hint) from None

    @property
    def is_own(self) -> bool:
        """Whether this process opened it, and not its parent."""
        return self._lock.is_own

    def close(self) -> None:
        self._opened.close()

    def read(self, offset: int) -> Record:
        if offset < self._length:
            self._reader.seek(offset)
            line = self._reader.readline()
        else:
            line = self._kept[offset - self._length :].partition(b"\n")[0]
        return Record(json.loads(line[9:]))

    def append(self, records: Sequence[Record], *, keep: bool = False) -> None:
        """Write records; if they cannot be written whole, none of them is.

        With `keep`, they then still count: they go to a file elsewhere, and are written with the next records, or when
        this file is opened again. Their checksums show that they follow the records of this file.
        """
        checksum = self._checksum
        lines: list[bytes] = []
        for record in records:
            text = _as_json(record).encode()
            checksum = zlib.crc32(text, checksum)
            lines.append(b"%08x %b\n" % (checksum, text))
        data, offset = b"".join(lines), self._length + len(self._kept)
        try:
            self._write(self._kept + data)
        except BaseException:  # an interruption, too: the file may have a part of it
            # What cannot be removed from the file counts, too: checksums of later records have to include it.
            if not keep and os.fstat(self._file.fileno()).st_size <= self._length:
                raise
            self._kept += data
            self._write_kept()
            self._take_lines(lines, offset, records)
            raise
        if self._kept:
            with contextlib.suppress(OSError):
                self._elsewhere.unlink()
        self._kept, self._length = b"", offset + len(data)
        self._take_lines(lines, offset, records)

    def _take_lines(self, lines: Sequence[bytes], offset: int, records: Sequence[Record] = ()) -> None:
        for line, record in zip(lines, records or [json.loads(line[9:]) for line in lines], strict=True):
            self._checksum = int(line[:8], 16)
            self._take(offset, record)
            offset += len(line)

    def _write(self, data: bytes) -> None:
        found = os.fstat(self._file.fileno())
        if not self._length <= found.st_size <= self._length + len(self._kept) or not found.st_nlink:
            problem = f"The journal {self._path} was replaced, changed or removed while it was in use."
            raise ConfigurationError(problem, "Close it, put the valid copy in its place, and open it again.")
        try:
            self._file.seek(self._length)
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
            _sync(self._file.fileno())
        except BaseException:  # an interruption, too, leaves no half record
            with contextlib.suppress(OSError):
                self._file.truncate(self._length)
            raise

    @property
    def _elsewhere(self) -> Path:
        # Copies of the file have its identity, but another path.
        name = hashlib.sha256(os.fsencode(f"{self.identity} {self._real}")).hexdigest()[:32]
        return Path(tempfile.gettempdir(), f"signstash-{name}.records")

    def _write_kept(self) -> None:
        with contextlib.suppress(OSError):  # best effort
            file = TemporaryFile(None)
            file.append([self._kept])
            file.sync()
            file.rename(self._elsewhere, overwrite=True)
            sync_folder(self._elsewhere.parent)

    def _load(self) -> None:
        """Read the file, and check that it is whole.

        Text after the last end of a line was not recorded completely when the process or the system ended, so nothing
        relies on it; it is removed.
        """
        header = self._reader.readline()
        self.identity = self._identity_in(header)
        self._checksum, self._length = zlib.crc32(header), len(header)
        for number, line in enumerate(self._reader, 2):
            # If another byte is where its line ends, the last record is complete, and was damaged later.
            if not line.endswith(b"\n") and not _is_intact(line[:-1] + b"\n", self._checksum):
                self._file.truncate(self._length)
                break
            if not _is_intact(line, self._checksum):
                hint = "Restore a copy. Under an older one, the service rejects the references of what it signed since."
                raise ConfigurationError(f"The journal {self._path} is damaged in line {number}.", hint)
            self._take_lines([line], self._length)
            self._length += len(line)

    def _load_kept(self) -> None:
        """Take what was kept elsewhere, and write it if there is room; else it stays there."""
        with contextlib.suppress(OSError):
            found = self._elsewhere.lstat()
            # Others may write in the folder of temporary files.
            if stat.S_ISREG(found.st_mode) and found.st_uid == getattr(os, "geteuid", int)():
                lines = self._elsewhere.read_bytes().splitlines(keepends=True)
                for line in lines:
                    if _is_intact(line, self._checksum):  # others are in this file already, or follow another copy
                        self._take_lines([line], self._length + len(self._kept))
                        self._kept += line
                if self._kept:
                    self.append([])
                elif lines and lines[-1].startswith(b"%08x" % self._checksum):
                    self._elsewhere.unlink()  # all of it is in this file

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

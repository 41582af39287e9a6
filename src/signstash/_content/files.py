"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, Final

import attrs

from .sources import Contents, InMemory, InPath, OpenContent, read, snapshot

_APPENDING: Final = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)


class TemporaryFile:
    """A file that is removed when nobody holds this object any more.

    Args:
        folder: Where it is made: where the file is to stay in the end, or None for the system's own place.
    """

    def __init__(self, folder: Path | None) -> None:
        self._flags = _APPENDING | os.O_CREAT | os.O_EXCL
        self._mode = 0o600 if folder is None else 0o666  # among other people's files nobody else may read it
        self.path: Path = _beside(Path(tempfile.gettempdir(), "signed") if folder is None else folder / "signed")
        self.remove: weakref.finalize[..., Any] = weakref.finalize(self, _remove, self.path)

    def append(self, blocks: Iterable[bytes]) -> None:
        """Write more. Blocks: call it in a thread.

        Raises:
            OSError: If it cannot be written.
        """
        with os.fdopen(os.open(self.path, self._flags, self._mode), "wb") as file:
            self._flags = _APPENDING
            file.writelines(blocks)

    def keep(self) -> Path:
        """Leave the file to the caller, who gives it its name."""
        self.remove.detach()
        return self.path


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # nobody is there any more who could be told
        path.unlink()


@attrs.frozen
class InTemporaryFile:
    """Contents in a temporary file."""

    file: TemporaryFile

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenContent]:
        """See `Contents`."""
        with InPath(self.file.path).opened() as opened:
            yield opened

    def __reduce__(self) -> tuple[Any, ...]:
        return InMemory, (read(self),)


def place(contents: Contents, target: Path, *, overwrite: bool, move: bool = False) -> InPath:
    """Write contents to a file, which is there with all of them or not at all. Blocks: call it in a thread.

    Args:
        contents: What is written.
        target: The file. Its folder must exist.
        overwrite: Whether a file that is there already is replaced.
        move: Whether a temporary file becomes the target; it is then gone.

    Returns:
        The contents where they are now.

    Raises:
        FileExistsError: If the file is there already.
        InvalidDocumentError: If the contents cannot be read.
        OSError: If it cannot be written.
    """
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "It is a folder", str(target))
    if not overwrite and os.path.lexists(target):
        raise FileExistsError(target)
    if move and isinstance(contents, InTemporaryFile) and contents.file.path.parent == target.parent:
        partial = contents.file.path
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        _rename(partial, target, overwrite=overwrite)
        contents.file.keep()
        return InPath(target)
    partial = _beside(target)
    try:
        with partial.open("xb", buffering=0) as file:
            for block in snapshot(contents).blocks(1024 * 1024):
                _write_all(file, block)
            os.fsync(file.fileno())
        _rename(partial, target, overwrite=overwrite)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if move and isinstance(contents, InTemporaryFile):
        contents.file.remove()
    return InPath(target)


def _write_all(file: FileIO, block: bytes) -> None:
    left = memoryview(block)
    while left:
        left = left[file.write(left) :]


def _beside(target: Path) -> Path:
    return target.with_name(f".{secrets.token_hex(8)}.part")  # the target's own name may be as long as it can


def _rename(partial: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        partial.replace(target)
        return
    try:
        target.hardlink_to(partial)  # fails if the name is taken meanwhile, which renaming would not
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system
        target.open("xb").close()
        try:
            partial.replace(target)
        except OSError:
            target.unlink()
            raise
    else:
        partial.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder with all above it, unless it is there, and see that files can be made in it. Blocks.

    Raises:
        OSError: If it cannot be made or written to.
    """
    if not folder.is_dir():
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            sync_folder(path.parent)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def sync_folder(folder: Path) -> None:
    """Have the names in a folder outlast a power failure, where folders can be synced. Blocks: call it in a thread."""
    with contextlib.suppress(OSError):  # not every system and file system can
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

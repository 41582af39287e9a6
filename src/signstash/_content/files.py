"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

# An unnamed file gets its name by its path in /proc, which is not mounted everywhere.
_O_TMPFILE: Final[int] = getattr(os, "O_TMPFILE", 0) if os.path.isdir("/proc/self/fd") else 0
_O_BINARY: Final[int] = getattr(os, "O_BINARY", 0)
_UNNAMED_LIMIT: Final = 128
"""Maximum number of temporary files without a name at a time: each keeps a file descriptor open."""


class TemporaryFile:
    """A file that is removed when nothing refers to this object any more, unless it was given its final name.

    In a folder of the user's it has no name before that, where the system supports it (Linux: `O_TMPFILE`), so that a
    killed process leaves nothing behind. Elsewhere it is called `.<random>.part`. Without a folder it is among the
    system's temporary files. Its methods block.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._descriptor = None if folder is None else _open_unnamed(folder)
        if self._descriptor is not None:
            self.path = f"/proc/self/fd/{self._descriptor}"
            self.remove: weakref.finalize[..., Any] = weakref.finalize(self, _close_unnamed, self._descriptor)
            return
        self.path = _partial_path(tempfile.gettempdir() if folder is None else folder)
        mode = 0o600 if folder is None else 0o666  # in a shared folder nobody else may read it
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _O_BINARY, mode))
        self.remove = weakref.finalize(self, _unlink, self.path, os.getpid())

    def append(self, blocks: Iterable[bytes]) -> None:
        def write(file: int) -> None:
            for block in blocks:
                left = memoryview(block)
                while left:
                    left = left[os.write(file, left) :]

        self._use(write)

    def start_writeback(self) -> None:
        """Let the system begin to write it to disk, so that files that are synced one after the other wait less."""
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                self._use(lambda file: os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED))

    def sync(self) -> None:
        self._use(os.fsync)

    def rename(self, target: Path, *, overwrite: bool) -> None:
        """Give it its final name, in the folder in which it was made."""
        require_replaceable(target, overwrite=overwrite)
        if self._descriptor is None:
            _rename(self.path, target, overwrite=overwrite)
            self.remove.detach()
        elif overwrite or not self._link(target):
            partial = _partial_path(os.path.dirname(target))
            try:
                if not self._link(partial):
                    shutil.copyfile(self.path, partial)
                    with open(partial, "rb+") as copy:
                        os.fsync(copy.fileno())
                _rename(partial, target, overwrite=overwrite)
            except BaseException:  # an interruption, too, leaves no file
                _unlink(partial)
                raise
        self.remove()

    def _link(self, target: str | Path) -> bool:
        """Give an unnamed file a name, or return False where that does not work."""
        try:
            # Only with a descriptor of a folder does Python call linkat, which follows the link in /proc; it is unused.
            os.link(self.path, target, src_dir_fd=self._descriptor, follow_symlinks=True)
        except FileExistsError:
            raise
        except OSError:
            return False
        return True

    def _use(self, function: Callable[[int], None]) -> None:
        """Call a function with a descriptor that appends to the file."""
        if self._descriptor is not None:
            return function(self._descriptor)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | _O_BINARY)
        try:
            function(file)
        finally:
            os.close(file)


_unnamed: Final = set[int]()


def _open_unnamed(folder: Path) -> int | None:
    """A descriptor of a new file without a name, or None where this is not supported."""
    if _O_TMPFILE and len(_unnamed) < _UNNAMED_LIMIT:
        with contextlib.suppress(OSError):  # not on this file system; what else is wrong shows when it has a name
            descriptor = os.open(folder, os.O_RDWR | _O_TMPFILE, 0o666)
            _unnamed.add(descriptor)
            return descriptor
    return None


def _close_unnamed(descriptor: int) -> None:
    _unnamed.discard(descriptor)
    os.close(descriptor)


def _rename(partial: str, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        os.replace(partial, target)
        return
    try:
        os.link(partial, target)  # fails if the name was taken meanwhile, which renaming does not
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system
        target.open("xb").close()
        try:
            os.replace(partial, target)
        except OSError:
            target.unlink()
            raise
    else:
        os.unlink(partial)


def _partial_path(folder: str | Path) -> str:
    return os.path.join(folder, f".{secrets.token_hex(8)}.part")  # the final name may leave no room


def _unlink(path: str, owner: int | None = None) -> None:
    if owner in (None, os.getpid()):  # a forked child keeps the files of its parent
        with contextlib.suppress(OSError):  # best effort
            os.unlink(path)


def require_replaceable(target: Path, *, overwrite: bool) -> None:
    """Raise an `OSError` if a file cannot get a name, a `FileExistsError` if it is taken and not to be replaced."""
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "It is a folder", str(target))
    if not overwrite:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "It is not a regular file, so it is not replaced", str(target))


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, unless they exist, and check that files can be created in it. Blocks."""
    if not os.path.isdir(folder):
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            sync_folder(path.parent)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def real_path(folder: str) -> str:
    """The real path of a folder, which may not exist. Blocks."""
    if _O_TMPFILE:  # one call, where `os.path.realpath` makes one for each parent
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
            try:
                path = os.readlink(f"/proc/self/fd/{descriptor}")
            finally:
                os.close(descriptor)
            if not path.endswith(" (deleted)"):  # unless it was removed meanwhile
                return path
    return os.path.realpath(folder)


def sync_folder(folder: str | Path) -> None:
    """Write the names in a folder to disk, where the system supports it. Blocks."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

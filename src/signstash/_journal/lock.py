"""Locks that exclude other processes."""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from pathlib import Path


class FileLock:
    """A lock that no other process, and no other object of this one, can hold at the same time.

    It is held by a file of its own, so that nothing that the process does with the locked file can end it, and it
    belongs to the process that took it: a forked child neither holds nor releases it. The system releases it when the
    process ends. If it is held already, making it raises `BlockingIOError`.

    The file is created if need be. With `remove`, it is removed on release.
    """

    def __init__(self, path: Path, *, remove: bool) -> None:
        self._path = path
        self._remove = remove
        self._owner = os.getpid()
        self._descriptor = _acquire(path)
        _held.add(self)

    @property
    def is_own(self) -> bool:
        """Whether this process took the lock, and not its parent."""
        return self._owner == os.getpid()

    def release(self) -> None:
        """May be called more than once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if self.is_own:
            if self._remove:
                with contextlib.suppress(OSError):  # on Windows an open file cannot be removed
                    self._path.unlink()
            _unlock(descriptor)
        os.close(descriptor)


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:  # nobody else knows the descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)  # whoever held it has removed the file meanwhile


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(error.errno, error.strerror) from None

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        # Not fcntl.lockf: the locks of POSIX are lost when any descriptor of the file is closed.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _forget_in_child() -> None:
        for lock in list(_held):
            if not lock.is_own:
                lock.release()

    os.register_at_fork(after_in_child=_forget_in_child)

"""Finds the files in a folder that are complete: nobody is writing them any more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from .formatting import printable
from .plan import Plan, PlannedFile, files_below, planned_file

_INCOMPLETE: Final = (".tmp", ".part", ".partial", ".filepart", ".crdownload", "~")
"""Ends of names that programs give files until they are complete."""


@attrs.frozen
class _State:
    """What changes when a file does."""

    inode: int
    size: int
    modified: int
    changed: int

    @property
    def content(self) -> tuple[int, int, int]:
        """What stays the same when the file gets another name."""
        return self.inode, self.size, self.modified


@attrs.define(kw_only=True)
class Inbox:
    """A folder into which other programs put files.

    A file is complete when it has not changed for some time, or when it was renamed into place: seen before, with the
    same content, under a hidden name or one that marks an incomplete file.

    Attributes:
        folder: The folder.
        output: Folder for the signed files, which mirrors the inbox.
        plan: Which files are signed.
        left_out: Folders below the inbox that are not searched, and files that are not documents.
        settle: Seconds for which a file must not change.
        rescan: Seconds after which the whole folder is searched again, for changes that the system did not report.
        clock: Monotonic clock, in seconds.
    """

    folder: Path
    output: Path
    plan: Plan
    left_out: Sequence[Path] = ()
    settle: float = 2.0
    rescan: float = 10.0
    clock: Callable[[], float] = time.monotonic
    _excluded: frozenset[Path] = attrs.field(init=False)
    _next_scan: float = attrs.field(init=False, default=float("-inf"))
    _pending: dict[Path, tuple[_State, float]] = attrs.field(init=False, factory=dict[Path, "tuple[_State, float]"])
    _partial: dict[Path, _State] = attrs.field(init=False, factory=dict[Path, _State])
    _taken: dict[Path, _State] = attrs.field(init=False, factory=dict[Path, _State])
    _in_use: set[Path] = attrs.field(init=False, factory=set[Path])
    _reported: set[str] = attrs.field(init=False, factory=set[str])
    _problems: list[str] = attrs.field(init=False, factory=list[str])

    def __attrs_post_init__(self) -> None:
        folder = _real(self.folder)
        real = [path for path in map(_real, self.left_out) if path.is_relative_to(folder)]
        self._excluded = frozenset(self.folder / path.relative_to(folder) for path in real)

    @property
    def pending(self) -> int:
        """Number of files that are not complete yet."""
        return len(self._pending)

    def look(self, changed: Iterable[Path] = ()) -> list[PlannedFile]:
        """Return the files that are complete now and were not returned in their present state. Blocks.

        Args:
            changed: Files that may have changed since the last time.
        """
        now = self.clock()
        paths = {path for path in changed if self._is_inside(path)}
        if now >= self._next_scan or any(map(os.path.isdir, paths)):
            self._next_scan = now + self.rescan
            paths |= self._scan()
        paths |= self._pending.keys()
        moved = {state.content for state in self._partial.values()}
        found = [self._examined(path, now, moved) for path in sorted(paths) if not _is_incomplete(path)]
        for path in filter(_is_incomplete, paths):  # afterwards, since a rename reports the old name too
            state = _state_of(path)
            self._partial.pop(path, None)
            if state is not None:
                self._partial[path] = state
        return [file for file in found if file is not None]

    def problems(self) -> list[str]:
        """Return what was found that is not a document, once for each file."""
        problems, self._problems = self._problems, []
        return problems

    def release(self, path: Path) -> None:
        """Allow a new version of a file to be signed: this one is done."""
        self._in_use.discard(path)

    def is_unchanged(self, path: Path) -> bool:
        """Whether a file is still what was returned."""
        return path in self._taken and _state_of(path) == self._taken[path]

    def _is_inside(self, path: Path) -> bool:
        parents = [parent for parent in path.parents if parent.is_relative_to(self.folder)]
        if not parents or any(parent.name.startswith(".") for parent in parents[:-1]):
            return False
        return self._excluded.isdisjoint((path, *parents))

    def _scan(self) -> set[Path]:
        unreadable: list[OSError] = []
        paths = set(files_below(self.folder, unreadable, left_out=self._excluded)) - self._excluded
        for error in unreadable:
            self._report(f"{printable(str(error.filename))} cannot be read: {error.strerror}.")
        if not unreadable:
            for known in (self._taken, self._pending):
                for path in known.keys() - paths:
                    del known[path]
            for path in [path for path in self._partial if not os.path.lexists(path)]:
                del self._partial[path]
        return paths

    def _examined(self, path: Path, now: float, moved: Iterable[Any]) -> PlannedFile | None:
        state = _state_of(path)
        if state is None:
            self._pending.pop(path, None)
            if os.path.lexists(path) and (reason := _why_unusable(path)):
                self._report(f"{printable(path)} {reason}.")
            return None
        if path in self._in_use or self._taken.get(path) == state:
            self._pending.pop(path, None)
            return None
        before, since = self._pending.get(path, (None, now))
        if before != state:
            since = now
        if now - since < self.settle and state.content not in moved:
            self._pending[path] = state, since
            return None
        self._pending.pop(path, None)
        self._taken[path] = state
        make = self.plan.kind(path)
        if make is None:
            self._report(f"{printable(path)} is neither PDF nor XML and is left where it is.")
            return None
        self._in_use.add(path)
        return planned_file(path, self.output / path.relative_to(self.folder), make)

    def _report(self, problem: str) -> None:
        if problem not in self._reported:
            self._reported.add(problem)
            self._problems.append(problem)


def _is_incomplete(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower().endswith(_INCOMPLETE)


def _state_of(path: Path) -> _State | None:
    """The state of a file, or None if it is none or cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return _State(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _why_unusable(path: Path) -> str | None:
    """Why a path is not a file that can be read, or None if it is a folder, which is searched."""
    try:
        status = path.stat()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode):
        return None if stat.S_ISREG(status.st_mode) else "is not a regular file"
    return "is a link to a folder, which is not followed" if path.is_symlink() else None


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


async def changes(folder: Path, interval: float) -> AsyncIterator[set[Path]]:
    """Yield what changes in a folder, and an empty set whenever nothing changed for some time.

    Args:
        folder: The folder.
        interval: Seconds between two empty sets.
    """
    yield set()
    # `Inbox.rescan` finds what changes without the extra `cli`, where the system watches no more folders, and once a
    # name is not UTF-8, which watchfiles reports as a group of exceptions.
    with contextlib.suppress(ImportError, OSError, RuntimeError, ExceptionGroup):
        from watchfiles import awatch

        real = _real(folder)
        milliseconds = round(interval * 1000)
        reports = awatch(real, watch_filter=None, debounce=200, rust_timeout=milliseconds, yield_on_timeout=True)
        async for reported in reports:
            yield {folder / Path(path).relative_to(real) for _, path in reported}
    while True:
        await asyncio.sleep(interval)
        yield set()

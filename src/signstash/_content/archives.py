"""Extracts the ZIP file of an operation's documents; what stands in it is data, and nothing of it is trusted."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from .files import InTemporaryFile, TemporaryFile, place, sync_folder
from .sources import Contents

ENTRY_LIMIT: Final = 10_000
"""Documents that an archive may have; a request has fewer than 100."""
NAME_LIMIT: Final = 200
"""Bytes that a file name may have; file systems stop at 255."""

_BLOCK: Final = 1024 * 1024
_NOT_IN_NAMES: Final = frozenset('<>:"/\\|?*')


class UnusableArchiveError(Exception):
    """An archive cannot be extracted; the message says why."""


def extract(archive: Contents, folder: Path, *, overwrite: bool, limit: int) -> list[Path]:
    """Extract all files of an archive into one folder, each of them whole or not at all. Blocks: call it in a thread.

    Args:
        archive: The ZIP file.
        folder: Where the files go. It is made if it is not there.
        overwrite: Whether files that are there already are replaced.
        limit: Bytes that the files may have in all.

    Returns:
        The files, in the order of the archive.

    Raises:
        UnusableArchiveError: If it is no ZIP file, is damaged, or holds more than it may.
        FileExistsError: If a file is there already. None is written then.
        OSError: If a file cannot be written.
    """
    with archive.opened() as opened:
        try:
            with zipfile.ZipFile(opened.file) as unpacked:
                return _extract(unpacked, folder, overwrite=overwrite, limit=limit)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise UnusableArchiveError(f"is no ZIP file that can be extracted: {error}") from error


def _extract(unpacked: zipfile.ZipFile, folder: Path, *, overwrite: bool, limit: int) -> list[Path]:
    folder = folder.absolute()
    entries = [entry for entry in unpacked.infolist() if not entry.is_dir()]
    if len(entries) > ENTRY_LIMIT or sum(entry.file_size for entry in entries) > limit:
        raise UnusableArchiveError(f"holds more than {ENTRY_LIMIT:,} documents or {limit:,} bytes")
    targets = [folder / name for name in _names([entry.filename for entry in entries])]
    folder.mkdir(parents=True, exist_ok=True)
    for target in targets:
        if not overwrite and target.exists():
            raise FileExistsError(target)
    for entry, target in zip(entries, targets, strict=True):
        file = TemporaryFile(folder)
        try:
            with unpacked.open(entry) as packed:
                file.append(iter(partial(packed.read, _BLOCK), b""))
            place(InTemporaryFile(file), target, overwrite=overwrite, move=True)
        finally:
            file.remove()
    sync_folder(folder)
    return targets


def _names(given: list[str]) -> Iterator[str]:
    """A file name for each entry: without folders, no longer than it may be, and no two that a system takes for one."""
    taken: set[str] = set()
    for number, name in enumerate(given, 1):
        printable = (letter if letter.isprintable() and letter not in _NOT_IN_NAMES else "_" for letter in name)
        plain = "".join(printable).strip(" .") or f"document-{number}"
        path = Path(plain)
        stem, suffix = (path.stem, path.suffix) if len(path.suffix.encode()) < 20 else (plain, "")
        if len(plain.encode()) > NAME_LIMIT or plain.lower() in taken:
            stem = stem.encode()[: NAME_LIMIT - 30].decode("utf-8", "ignore") + f"-{number}"
        free = f"{stem}{suffix}"
        taken.add(free.lower())
        yield free

"""File names for documents that somebody else has named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from unicodedata import normalize

NAME_LIMIT: Final = 200
"""Bytes that a file name may have; file systems stop at 255."""

_NOT_IN_NAMES: Final = frozenset('<>:"/\\|?*')


def safe_names(names: Iterable[str]) -> Iterator[str]:
    """A file name for each name: without folders, not too long, and unique where case and composition are ignored."""
    taken: set[str] = set()
    for number, name in enumerate(names, 1):
        printable = (letter if letter.isprintable() and letter not in _NOT_IN_NAMES else "_" for letter in name)
        plain = normalize("NFC", "".join(printable)).strip(" .") or f"document-{number}"
        path = Path(plain)
        stem, suffix = (path.stem, path.suffix) if len(path.suffix.encode()) < 20 else (plain, "")
        if len(plain.encode()) > NAME_LIMIT or plain.casefold() in taken:
            stem = stem.encode()[: NAME_LIMIT - 30].decode("utf-8", "ignore") + f"-{number}"
        while (free := f"{stem}{suffix}").casefold() in taken:
            stem += f"-{number}"
        taken.add(free.casefold())
        yield free

"""Gives files with the same name and contents different document names, by which a journal tells them apart."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from .._content.contents import InPath
from .._content.snapshots import digest_of
from ..errors import InvalidDocumentError
from ..journal import Entry, Journal
from .plan import Identity, PlannedFile, real_path


def with_different_names(files: Sequence[PlannedFile], journal: Journal) -> list[PlannedFile]:
    """Number the documents of a run that are alike: `FT_1.pdf`, `FT_1 (2).pdf`. Blocks.

    Args:
        files: All files of the run.
        journal: Record of this and earlier runs.
    """
    known = {entry.saved_as: entry.name for entry in journal.entries()}
    targets = {real_path(file.target) for file in files}
    namesakes = Counter(file.path.name for file in files)
    claimed: dict[Identity, Path] = {}
    named: list[PlannedFile] = []
    for file in files:
        name = file.path.name
        if namesakes[name] > 1 or known.get(str(real_path(file.target)), name) != name:
            file = named_by_journal(file, journal, is_of_another=targets.__contains__, claimed=claimed)
            claimed[file.identity] = file.path
        named.append(file)
    return named


def entry_of(file: PlannedFile, journal: Journal) -> Entry | None:
    """Return what a journal records of the document in a file. Blocks."""
    try:
        digest = file.digest or digest_of(InPath(file.path))
    except InvalidDocumentError:  # which is reported when it is sent
        return None
    return journal._find(own_reference=None, digest=digest, name=file.name)  # noqa: SLF001 - `entries` would read all


def lost_file(entry: Entry) -> str | None:
    """Return the path of a signed file that is missing or was replaced since, or None. Blocks."""
    if entry.state != "signed" or entry.saved_as is None:  # or its contents are elsewhere, as `Journal.settle` records
        return None
    with contextlib.suppress(InvalidDocumentError):
        if digest_of(InPath(Path(entry.saved_as))) == entry.signed_digest:
            return None
    return entry.saved_as


def named_by_journal(
    file: PlannedFile,
    journal: Journal,
    *,
    is_of_another: Callable[[Path], bool],
    claimed: Mapping[Identity, Path],
) -> PlannedFile:
    """Give a file the name under which the journal knows it, or the first one that is free. Blocks.

    The journal knows documents by name and contents, and this file also by its signed file.

    Args:
        file: The file.
        journal: Record of this and earlier runs.
        is_of_another: Whether the original of a signed file is still there. If not, the file may be this one, moved.
        claimed: Other files by their documents.
    """
    if file.problem is not None:
        return file
    try:
        digest = digest_of(InPath(file.path))
    except InvalidDocumentError:  # which is reported when it is sent
        return file
    name, number = file.path.name, 1
    free: str | None = None
    while True:
        entry = journal._find(own_reference=None, digest=digest, name=name)  # noqa: SLF001 - `entries` would read all
        saved_as = None if entry is None or entry.saved_as is None else Path(entry.saved_as)
        if saved_as == real_path(file.target):
            return attrs.evolve(file, name=name, digest=digest)
        is_claimed = (name, digest) in claimed and os.path.lexists(claimed[name, digest])
        if free is None and not is_claimed and (saved_as is None or not is_of_another(saved_as)):
            free = name
        if free is not None and entry is None and not is_claimed:
            return attrs.evolve(file, name=free, digest=digest)
        number += 1
        name = f"{file.path.stem} ({number}){file.path.suffix}"

"""The files that `signstash watch` keeps: reasons, status, originals of signed documents, and what is saved late."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from .._content.contents import InPath
from .._content.snapshots import digest_of
from .._content.writing import write_atomically
from ..journal import Journal
from ..results import SignedDocument, not_saved
from .plan import REASON_SUFFIX, PlannedFile, real_path

_HEADING: Final = "Not signed: "


def reason_file(target: Path) -> Path:
    """Return the text file that says why a document has no signed file."""
    return target.with_name(f"{target.name}{REASON_SUFFIX}")


def write_reason(target: Path, document: str, reason: str) -> None:
    """Say in a text file why a document is not signed.

    Args:
        target: Where its signed file would be.
        document: Name of the document.
        reason: Why it is not signed, and what to do.

    Raises:
        OSError: If it cannot be written, or a foreign file has its name.
    """
    path = reason_file(target)
    if os.path.lexists(path) and not _is_reason(path):
        raise FileExistsError(f"{path} exists and was not written by signstash")
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, f"{_HEADING}{document}\n\n{reason}\n")


def remove_reason(target: Path) -> None:
    """Remove the text file of a document that is signed now.

    Raises:
        OSError: If it cannot be removed.
    """
    path = reason_file(target)
    if _is_reason(path):
        path.unlink()


def write_status(path: Path, status: Mapping[str, Any]) -> None:
    """Write the status as JSON, so that a reader sees all of it or the previous one.

    Raises:
        OSError: If it cannot be written.
    """
    _replace(path, json.dumps(status, indent=2) + "\n")


def move_to(original: Path, place: Path) -> Path:
    """Move an original to the folder for what is done. Nothing is replaced: a name that is taken gets a number.

    Args:
        original: The file.
        place: Where it goes.

    Returns:
        Where it is now.

    Raises:
        OSError: If it cannot be moved.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    free, number = place, 1
    while os.path.lexists(free):
        number += 1
        free = place.with_name(f"{place.stem} ({number}){place.suffix}")
    shutil.move(original, free)
    return free


def save_late(file: PlannedFile, signed: SignedDocument, journal: Journal, *, overwrite: bool) -> None:
    """Save a signed document that could not be saved when it was signed. Blocks.

    Args:
        file: The original and its place.
        signed: The signed document, in memory or in the folder for recovery.
        journal: Record of the document.
        overwrite: Whether an existing file is replaced.

    Raises:
        DocumentNotSavedError: If it cannot be saved yet, or another file has its place.
        ConfigurationError: If the journal cannot be used.
    """
    target, contents, record = real_path(file.target), signed._contents, journal._record  # noqa: SLF001
    digest = digest_of(contents)
    found = journal._find(own_reference=None, digest=file.digest, name=file.name)  # noqa: SLF001
    if found is None or found.reference != signed.external_reference:  # the original changed after it was named
        found = next((entry for entry in journal.entries() if entry.reference == signed.external_reference), None)
    entries = [] if found is None else [attrs.evolve(found, saved_as=str(target), signed_digest=digest, reason=None)]
    record(attrs.evolve(entry, state="received") for entry in entries)  # so that its file is recognised after a crash
    try:
        if not (target.is_file() and digest_of(InPath(target)) == digest):
            write_atomically(contents, target, overwrite=overwrite)
    except OSError as error:
        raise not_saved(target, error, signed) from error
    record(attrs.evolve(entry, state="signed", kept_as=None) for entry in entries)
    if signed.saved_as is not None:
        signed.saved_as.unlink(missing_ok=True)


def _is_reason(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_HEADING)) == _HEADING.encode()
    except OSError:
        return False


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        partial.write_text(text, "utf-8", errors="backslashreplace")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise

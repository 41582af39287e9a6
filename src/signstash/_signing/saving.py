"""Saves signed documents."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from .._content.arguments import path_from, refuse_flags
from .._content.files import make_folder, sync_folder
from .._content.sources import digest_of
from ..documents import Document
from ..errors import (
    ConfigurationError,
    DocumentNotSavedError,
)
from ..results import Outcome, SignedDocument

SaveTo = str | os.PathLike[str] | Callable[[Document], str | os.PathLike[str]]
"""A folder, in which signed files get the names of their documents, or a function that names the file for each."""


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def file_or_folder(save_to: SaveTo) -> SaveTo:
    """What `save_to` means for one document: a folder if it is there or ends with a slash, and else the file."""
    if callable(save_to):
        return save_to
    path = path_from("save_to", save_to)
    is_folder = str(save_to).endswith(("/", os.sep))
    return lambda document: path / document.name if is_folder or path.is_dir() else path


@attrs.frozen(kw_only=True)
class SignedFiles:
    """Where signed documents are saved. Its methods block: call them in a thread.

    Attributes:
        save_to: See `SaveTo`.
        overwrite: Whether files that are there already are replaced.
    """

    save_to: SaveTo = attrs.field(validator=lambda _, __, value: callable(value) or path_from("save_to", value))
    overwrite: bool = attrs.field(validator=lambda _, __, value: refuse_flags(overwrite=value))
    recovery: Path | None = None
    _claimed: set[Path] = attrs.field(init=False, factory=set[Path])
    _folders: set[Path] = attrs.field(init=False, factory=set[Path])

    def target(self, document: Document) -> Path:
        """The file for a signed document."""
        named: object = self.save_to(document) if callable(self.save_to) else Path(self.save_to, document.name)
        if not isinstance(named, str | os.PathLike):
            raise ConfigurationError(f"save_to gave {named!r} for {document.name}.", "Let it give a path.")
        path = Path(named)
        return Path(os.path.realpath(path.parent), path.name)

    def claim(self, document: Document) -> Path:
        """The file for a signed document, which no other document gets.

        Raises:
            DocumentNotSavedError: If another document has it, it is there already, or it cannot be written.
        """
        # Before the request: a signature that cannot be saved would be lost, or paid for in vain.
        target = self.target(document)
        if target in self._claimed:
            raise DocumentNotSavedError(
                f"Another document is saved as {target}, so {document.name} was not sent.",
                "Give the documents different names, or let `save_to` be a function that tells their files apart.",
            )
        try:
            if target.is_dir():
                raise DocumentNotSavedError(
                    f"{target} is a folder, so {document.name} was not sent.", "Give it the name of a file."
                )
            if not self.overwrite and _is_there(target):
                raise DocumentNotSavedError(
                    f"{target} exists already, so the document was not sent.",
                    "Choose another folder, or replace files with overwrite=True.",
                )
            if target.parent not in self._folders:
                make_folder(target.parent)
                self._folders.add(target.parent)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise DocumentNotSavedError(
                f"{target} cannot be written, so {document.name} was not sent: {reason}.",
                "Check path and permissions.",
            ) from error
        self._claimed.add(target)
        return target

    def save(
        self,
        outcomes: Sequence[Outcome],
        targets: Sequence[Path],
        record: Callable[[Sequence[str | None]], None] | None = None,
    ) -> list[Outcome]:
        """Save what is signed, so that not even a power failure loses it.

        Args:
            outcomes: What became of some documents.
            targets: The file for each.
            record: Is called before any file gets its name, with the SHA-256 of each.

        Returns:
            The outcomes; a document that cannot be saved has a `DocumentNotSavedError`, which holds it.
        """
        if record is not None:
            record([None if item.signed is None else digest_of(item.signed._contents) for item in outcomes])
        saved = [
            outcome if outcome.signed is None else Outcome(outcome.document, self._saved(outcome.signed, target))
            for outcome, target in zip(outcomes, targets, strict=True)
        ]
        signed = [outcome.signed for outcome in saved if outcome.signed is not None]
        for folder in {document.saved_as.parent for document in signed if document.saved_as is not None}:
            sync_folder(folder)
        if not self.overwrite:  # from now on the files themselves claim their names
            self._claimed.difference_update(targets)
        return saved

    def _saved(self, signed: SignedDocument, target: Path) -> SignedDocument | DocumentNotSavedError:
        try:
            return signed.copy_to(target, overwrite=self.overwrite, move=True)
        except DocumentNotSavedError as error:
            if self.recovery is None:
                return error
            try:
                kept = signed.copy_to(self.recovery / f"{signed.external_reference}.{signed.name}", overwrite=True)
            except DocumentNotSavedError:
                return error
            return DocumentNotSavedError(error.problem, f"It is signed, and kept as {kept.saved_as}.", signed=kept)

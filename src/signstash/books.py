"""Keeps account of a run: in a journal if there is one, and in files of signed documents."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from .contents import digest_of, look_at
from .documents import Document
from .errors import (
    ConfigurationError,
    DocumentNotSavedError,
    DuplicateReferenceError,
    InvalidDocumentError,
    OutcomeUnknownError,
    SignStashError,
)
from .files import sync_folder
from .journal import Entry, Journal, State
from .outcomes import Outcome, SignedDocument
from .runs import Planned

SaveTo = str | os.PathLike[str] | Callable[[Document], str | os.PathLike[str]]
"""A folder, in which signed files get the names of their documents, or a function that names the file for each."""


def file_or_folder(save_to: SaveTo) -> SaveTo:
    """What `save_to` means for one document: a folder if it is there or ends with a slash, and else the file."""
    if not isinstance(save_to, str | os.PathLike):
        return save_to
    path = Path(save_to)
    is_folder = str(save_to).endswith(("/", os.sep))
    return lambda document: path / document.name if is_folder or path.is_dir() else path


def _refuse_other_types(_: object, __: object, save_to: Any) -> None:
    if not callable(save_to) and not isinstance(save_to, str | os.PathLike):
        raise ConfigurationError(f"save_to is {save_to!r}.", "Give a path, or a function that gives paths.")


@attrs.frozen(kw_only=True)
class SignedFiles:
    """Where signed documents are saved. Its methods block: call them in a thread.

    Attributes:
        save_to: See `SaveTo`.
        overwrite: Whether files that are there already are replaced.
    """

    save_to: SaveTo = attrs.field(validator=_refuse_other_types)
    overwrite: bool
    _claimed: set[Path] = attrs.field(init=False, factory=set[Path])

    def target(self, document: Document) -> Path:
        """The file for a signed document."""
        named = self.save_to(document) if callable(self.save_to) else Path(self.save_to, document.name)
        return Path(named).absolute()

    def claim(self, document: Document) -> Path:
        """The file for a signed document, which no other document gets.

        Raises:
            DocumentNotSavedError: If another document has it, it is there already, or its folder cannot be made.
        """
        # Before the request: a signature that cannot be saved would be lost, or paid for in vain.
        target = self.target(document)
        if target in self._claimed:
            raise DocumentNotSavedError(
                f"Another document is saved as {target}, so {document.name} was not sent.",
                "Give the documents different names, or let `save_to` be a function that tells their files apart.",
            )
        if not self.overwrite and os.path.lexists(target):
            raise DocumentNotSavedError(
                f"{target} exists already, so the document was not sent.",
                "Choose another folder, or replace files with overwrite=True.",
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise DocumentNotSavedError(
                f"{target.parent} cannot be made, so {document.name} was not sent: {reason}.", "Check its path."
            ) from error
        self._claimed.add(target)
        return target

    def save(self, outcomes: Sequence[Outcome], targets: Sequence[Path]) -> list[Outcome]:
        """Save what is signed, so that not even a power failure loses it.

        Args:
            outcomes: What became of some documents.
            targets: The file for each.

        Returns:
            The outcomes; a document that cannot be saved has a `DocumentNotSavedError`, which holds it.
        """
        saved = [
            outcome if outcome.signed is None else Outcome(outcome.document, self._saved(outcome.signed, target))
            for outcome, target in zip(outcomes, targets, strict=True)
        ]
        signed = [outcome.signed for outcome in saved if outcome.signed is not None]
        for folder in {document.saved_as.parent for document in signed if document.saved_as is not None}:
            sync_folder(folder)
        return saved

    def _saved(self, signed: SignedDocument, target: Path) -> SignedDocument | DocumentNotSavedError:
        try:
            return signed.copy_to(target, overwrite=self.overwrite, move=True)
        except DocumentNotSavedError as error:
            return error


@attrs.frozen(kw_only=True)
class RunBooks:
    """The account of one run.

    Attributes:
        client_service: Alias of the client service.
        journal: Durable record, or None.
        files: Where signed documents are saved, or None.
    """

    client_service: str
    journal: Journal | None
    files: SignedFiles | None

    async def plan(self, document: Document) -> Planned | Outcome | None:
        """See `runs.Books`."""
        if self.journal is None and self.files is None and document.in_memory:
            return self._planned(document)
        return await asyncio.to_thread(self._planned, document)

    def _planned(self, document: Document) -> Planned | Outcome | None:
        try:
            if self.journal is not None:
                return self._planned_by(self.journal, document)
            return self._to_be_sent(document, document)
        except (InvalidDocumentError, DocumentNotSavedError) as error:
            return Outcome(document, error)

    def _to_be_sent(self, given: Document, document: Document, *, digest: str = "", lost: bool = False) -> Planned:
        size = document.about(look_at).size
        target = None if self.files is None else self.files.claim(given)
        replaces = target is not None and os.path.lexists(target)
        reference = document.reference(self.client_service)
        return Planned(given, document, reference, size, target, digest, replaces=replaces, lost=lost)

    def _planned_by(self, journal: Journal, given: Document) -> Planned | None:
        document = given.unchanged()
        digest = document.about(digest_of)
        if document.external_reference is None:
            entry = journal.by_contents(digest, document.name)
        else:
            entry = journal.by_reference(document.external_reference)
        if entry is None:
            document = attrs.evolve(document, external_reference=given.reference(self.client_service))
            return self._to_be_sent(given, document, digest=digest)
        if entry.digest != digest:
            raise InvalidDocumentError(
                f"Document {document.name}: its external reference {entry.reference!r} was used for other contents.",
                "Give a document that changed a new reference.",
                document=document.name,
            )
        if entry.state in ("signed", "set_aside"):
            return None
        lost = entry.state == "sent"
        # A signed file gets its name when it is complete, and only then the journal learns of it.
        if lost and entry.saved_as is not None and Path(entry.saved_as).exists():
            journal.record([attrs.evolve(entry, state="signed")])
            return None
        document = attrs.evolve(document, external_reference=entry.reference)
        return self._to_be_sent(given, document, digest=digest, lost=lost)

    async def sending(self, batch: Sequence[Planned]) -> None:
        """See `runs.Books`."""
        if self.journal is not None:
            entries = [_entry(item, "sent", None if item.replaces else item.target) for item in batch]
            await asyncio.to_thread(self.journal.record, entries)

    async def not_sent(self, batch: Sequence[Planned]) -> None:
        """See `runs.Books`."""
        if self.journal is not None:
            await asyncio.to_thread(self.journal.record, [_entry(item, "planned", item.target) for item in batch])

    async def done(self, results: Mapping[Planned, Outcome]) -> tuple[list[Outcome], SignStashError | None]:
        """See `runs.Books`."""
        if self.journal is None and self.files is None:
            return list(results.values()), None
        return await asyncio.to_thread(self._done, results)

    def _done(self, results: Mapping[Planned, Outcome]) -> tuple[list[Outcome], SignStashError | None]:
        outcomes, fault = list(results.values()), None
        try:
            if self.files is not None:
                targets = [item.target or self.files.target(item.given) for item in results]
                outcomes = self.files.save(outcomes, targets)
                fault = next((item.error for item in outcomes if isinstance(item.error, DocumentNotSavedError)), None)
            if self.journal is not None:
                self.journal.record([_outcome_entry(item, got) for item, got in zip(results, outcomes, strict=True)])
        except SignStashError as error:
            return outcomes, error  # what is signed is told all the same
        return outcomes, fault


def _entry(item: Planned, state: State, saved_as: Path | None) -> Entry:
    return Entry(
        reference=item.reference,
        name=item.given.name,
        digest=item.digest,
        state=state,
        saved_as=None if saved_as is None else str(saved_as),
    )


def _outcome_entry(item: Planned, outcome: Outcome) -> Entry:
    unknown = isinstance(outcome.error, OutcomeUnknownError | DuplicateReferenceError | DocumentNotSavedError)
    return attrs.evolve(
        _entry(item, "signed" if outcome.ok else "set_aside" if unknown else "failed", item.target),
        operation_id=None if outcome.signed is None else outcome.signed.operation_id,
        reason=None if outcome.error is None else str(outcome.error),
    )

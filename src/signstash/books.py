"""Keeps account of a run: in a journal if there is one, and in a folder of signed files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from .documents import Document
from .errors import DocumentNotSavedError, DuplicateReferenceError, InvalidDocumentError, OutcomeUnknownError
from .journal import Entry, Journal, State
from .outcomes import Outcome
from .runs import Planned

SaveTo = str | os.PathLike[str] | Callable[[Document], str | os.PathLike[str]]
"""A folder, in which signed files get the names of their documents, or a function that names the file for each."""


@attrs.frozen(kw_only=True)
class RunBooks:
    """The account of one run.

    Attributes:
        client_service: Alias of the client service.
        journal: Durable record, or None.
        save_to: Where signed files go, or None.
        overwrite: Whether files that are there already are replaced.
    """

    client_service: str
    journal: Journal | None
    save_to: SaveTo | None
    overwrite: bool
    _targets: set[Path] = attrs.field(init=False, factory=set[Path])

    async def plan(self, document: Document) -> Planned | Outcome | None:
        """See `runs.Books`."""
        try:
            item = await self._plan(document)
        except (InvalidDocumentError, DocumentNotSavedError) as error:
            return Outcome(document, error)
        if item is not None and item.target is not None:
            self._targets.add(item.target)
        return item

    async def _plan(self, document: Document) -> Planned | None:
        target = self._target(document)
        if target is not None and target in self._targets:
            raise DocumentNotSavedError(
                f"Another document of this run is saved as {target}, so {document.name} was not sent.",
                "Give the documents different names, or let `save_to` be a function that tells their files apart.",
            )
        reference = document.reference(self.client_service)
        if self.journal is None:
            await self._refuse_taken(target)
            return Planned(document, document, reference, await document.size(), target)
        size, digest = await document.size(), await document.digest()
        entry = await asyncio.to_thread(self._entry, document, digest)
        if entry is None:
            await self._refuse_taken(target)
            return Planned(document, document, reference, size, target, digest)
        if entry.digest != digest:
            raise InvalidDocumentError(
                f"Document {document.name}: its external reference {reference!r} was used for other contents.",
                "Give a document that changed a new reference.",
                document=document.name,
            )
        if entry.state in ("signed", "set_aside"):
            return None
        item = Planned(
            document,
            attrs.evolve(document, external_reference=entry.reference),
            entry.reference,
            size,
            target,
            digest,
            lost=entry.state == "sent",
        )
        # A signed file gets its name when it is complete, and only then the journal learns of it.
        if item.lost and entry.saved_as is not None and await asyncio.to_thread(Path(entry.saved_as).exists):
            await self._record([item], "signed")
            return None
        if not item.lost:
            await self._refuse_taken(target)
        return item

    def _entry(self, document: Document, digest: str) -> Entry | None:
        if self.journal is None:
            return None
        if document.external_reference is not None:
            return self.journal.by_reference(document.external_reference)
        return self.journal.by_contents(digest, document.name)

    def _target(self, document: Document) -> Path | None:
        if self.save_to is None:
            return None
        if callable(self.save_to):
            return Path(self.save_to(document)).absolute()
        return Path(self.save_to).absolute() / document.name

    async def _refuse_taken(self, target: Path | None) -> None:
        # Before the request: a signature that cannot be saved would be lost, or paid for in vain.
        if target is not None and not self.overwrite and await asyncio.to_thread(target.exists):
            raise DocumentNotSavedError(
                f"{target} exists already, so the document was not sent.",
                "Choose another folder, or replace files with overwrite=True.",
            )

    async def sending(self, batch: Sequence[Planned]) -> None:
        """See `runs.Books`."""
        await self._record(batch, "sent")

    async def not_sent(self, batch: Sequence[Planned]) -> None:
        """See `runs.Books`."""
        await self._record(batch, "planned")

    async def done(self, item: Planned, outcome: Outcome) -> Outcome:
        """See `runs.Books`."""
        if outcome.signed is not None and item.target is not None:
            try:
                await asyncio.to_thread(item.target.parent.mkdir, parents=True, exist_ok=True)
                await outcome.signed.save(item.target, overwrite=self.overwrite)
            except OSError as error:
                folder = item.target.parent
                outcome = Outcome(
                    item.given,
                    DocumentNotSavedError(
                        f"{folder} cannot be made: {error.strerror}.", "Check its path.", signed=outcome.signed
                    ),
                )
            except DocumentNotSavedError as error:
                outcome = Outcome(item.given, error)
        unknown = isinstance(outcome.error, OutcomeUnknownError | DuplicateReferenceError | DocumentNotSavedError)
        state: State = "signed" if outcome.ok else "set_aside" if unknown else "failed"
        await self._record([item], state, outcome)
        return outcome

    async def _record(self, batch: Sequence[Planned], state: State, outcome: Outcome | None = None) -> None:
        if self.journal is None:
            return
        signed = None if outcome is None else outcome.signed
        entries = [
            Entry(
                reference=item.reference,
                name=item.given.name,
                digest=item.digest,
                state=state,
                saved_as=None if item.target is None else str(item.target),
                operation_id=None if signed is None else signed.operation_id,
                reason=None if outcome is None or outcome.error is None else str(outcome.error),
            )
            for item in batch
        ]
        await asyncio.to_thread(self.journal.record, entries)

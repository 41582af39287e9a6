"""Keeps the records of a run: in a journal if there is one, and in files of signed documents."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from .._content.snapshots import snapshot
from .._signing.saving import SignedFiles
from ..documents import Document
from ..errors import (
    DocumentNotSavedError,
    DuplicateReferenceError,
    InvalidDocumentError,
    SignStashError,
)
from ..journal import Entry, Journal, State
from ..results import Outcome
from .plan import PlannedDocument


@attrs.define(kw_only=True)
class RunLedger:
    """The records of one run.

    Attributes:
        client_service: Alias of the client service.
        journal: Durable record, or None.
        files: Where signed documents are saved, or None.
    """

    client_service: str
    journal: Journal | None
    files: SignedFiles | None
    _run: int = attrs.field(init=False, default=0)
    _unrecorded: set[str] = attrs.field(init=False, factory=set[str])

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Lasts as long as the run."""
        with contextlib.nullcontext(0) if self.journal is None else self.journal.run() as self._run:
            yield

    async def plan(self, documents: Sequence[Document]) -> list[PlannedDocument | Outcome]:
        """Decide what becomes of documents: they are sent, or an outcome is known already."""
        for document in documents:
            await document._load()
        if self.journal is None and self.files is None and all(document.in_memory for document in documents):
            return self._plan(documents)
        return await asyncio.to_thread(self._plan, documents)

    def _plan(self, documents: Sequence[Document]) -> list[PlannedDocument | Outcome]:
        planned = map(self._planned, documents)
        return [item for item in planned if item is not None]

    def _planned(self, document: Document) -> PlannedDocument | Outcome | None:
        try:
            if self.journal is not None:
                return self._planned_by(self.journal, document)
            return self._to_be_sent(document, document)
        except (InvalidDocumentError, DocumentNotSavedError) as error:
            return Outcome(document, error)

    def _to_be_sent(
        self, given: Document, document: Document, *, digest: str = "", state: State | None = None
    ) -> PlannedDocument:
        size = document._read_with(snapshot).size
        target = None if self.files is None else self.files.claim(given)
        reference = document.reference(self.client_service)
        return PlannedDocument(
            given,
            document,
            reference,
            size,
            target,
            digest,
            replaces=target is not None and os.path.lexists(target),
            lost=state in ("sent", "requeued"),
            requeued=state == "requeued",
        )

    def _planned_by(self, journal: Journal, given: Document) -> PlannedDocument | None:
        document, fingerprint = given._fingerprinted()
        digest = fingerprint.digest
        if document.external_reference is None:
            identity = f"{digest} {document.name}"
            entry = journal.by_contents(digest, document.name)
        else:
            identity = document.external_reference
            entry = journal.index_by_reference(document.external_reference)
        if identity in self._unrecorded or (entry is not None and entry.run == self._run):
            raise InvalidDocumentError(
                f"Document {document.name} is in this run twice, by its contents or its external reference.",
                "Give each document once, or tell two alike apart by references of your own.",
                document=document.name,
            )
        reference = given.reference(self.client_service) if entry is None else entry.reference
        document = document._replaced(reference)
        if entry is None or entry.state in ("planned", "failed"):
            item = self._to_be_sent(given, document, digest=digest)
        elif entry.digest != digest:
            raise InvalidDocumentError(
                f"Document {document.name}: its external reference {entry.reference!r} was used for other contents.",
                "Give a document that changed a new reference.",
                document=document.name,
            )
        elif entry.state in ("signed", "held"):
            return None
        # A signed file gets its name when it is complete, and only then the journal learns of it.
        elif entry.state == "sent" and entry.saved_as is not None and _is_whole(Path(entry.saved_as)):
            journal.record([attrs.evolve(entry, state="signed", run=self._run)])
            return None
        else:
            item = self._to_be_sent(given, document, digest=digest, state=entry.state)
        self._unrecorded.add(identity)
        return attrs.evolve(item, identity=identity)

    async def sending(self, batch: Sequence[PlannedDocument]) -> None:
        """Record that a request goes out."""
        if self.journal is not None:
            await asyncio.to_thread(self._record, [self._entry(item, "sent") for item in batch])
            self._unrecorded.difference_update(item.identity for item in batch)

    async def done(
        self,
        results: Mapping[PlannedDocument, Outcome],
        *,
        unresolved: Collection[PlannedDocument],
        unsent: Sequence[PlannedDocument],
    ) -> tuple[list[Outcome], SignStashError | None]:
        """Save what is signed, and record what came of a batch.

        Args:
            results: Outcomes by document.
            unresolved: Documents of these whose outcome is unknown, and left for the next run to resolve.
            unsent: Documents that surely were not processed, and have no outcome yet.

        Returns:
            The outcomes, changed where a document could not be saved, and the error that ends the run, if any.
        """
        if self.journal is None and self.files is None:
            return list(results.values()), None
        return await asyncio.to_thread(self._done, results, unresolved, unsent)

    def _done(
        self,
        results: Mapping[PlannedDocument, Outcome],
        unresolved: Collection[PlannedDocument],
        unsent: Sequence[PlannedDocument],
    ) -> tuple[list[Outcome], SignStashError | None]:
        outcomes, fault = list(results.values()), None
        try:
            if self.files is not None:
                targets = [item.target or self.files.target(item.given) for item in results]
                outcomes = self.files.save(outcomes, targets)
                fault = next((item.error for item in outcomes if isinstance(item.error, DocumentNotSavedError)), None)
            settled = [(i, o) for i, o in zip(results, outcomes, strict=True) if i not in unresolved]
            entries = [self._entry(item, _state(outcome), outcome) for item, outcome in settled]
            self._record([*entries, *(self._entry(item, "planned") for item in unsent)])
        except SignStashError as error:
            return outcomes, error  # what is signed is told all the same
        return outcomes, fault

    def _record(self, entries: Sequence[Entry]) -> None:
        if self.journal is not None:
            self.journal.record(entries)

    def _entry(self, item: PlannedDocument, state: State, outcome: Outcome | None = None) -> Entry:
        signed, error = (None, None) if outcome is None else (outcome.signed, outcome.error)
        # A file that was there before proves nothing as long as no answer is recorded.
        saved_as = None if item.target is None or (state == "sent" and item.replaces) else str(item.target)
        return Entry(
            reference=item.reference,
            name=item.given.name,
            digest=item.digest,
            state=state,
            saved_as=saved_as,
            operation_id=None if signed is None else signed.operation_id,
            reason=None if error is None else str(error),
            run=self._run,
        )


def _state(outcome: Outcome) -> State:
    if outcome.error is None:
        return "signed"
    used = isinstance(outcome.error, DuplicateReferenceError | DocumentNotSavedError)
    return "held" if used or outcome.error.maybe_processed else "failed"


def _is_whole(path: Path) -> bool:
    """Whether a file is there; where there are no hard links, an empty one holds its name for a moment."""
    return path.exists() and path.stat().st_size > 0

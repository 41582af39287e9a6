"""Keeps the records of a run: in a journal if there is one, and in files of signed documents."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from .. import models
from .._content.contents import InPath
from .._content.snapshots import digest_of, snapshot
from .._errors.unknown import held_before, is_certainly_not_signed
from .._signing.saving import SignedFiles
from ..documents import Document, unique_reference
from ..errors import (
    DocumentNotSavedError,
    DuplicateReferenceError,
    InvalidDocumentError,
    SignatureInvalidError,
    SignStashError,
)
from ..journal import Entry, Journal, State
from ..results import Outcome, SignedDocument, outcome_of
from .plan import PlannedDocument


@attrs.define(kw_only=True)
class RunLedger:
    """The records of one run, which may have no journal, and save no files."""

    client_service: str
    journal: Journal | None
    files: SignedFiles | None
    _run: int = attrs.field(init=False, default=0)
    _seen: set[str] = attrs.field(init=False, factory=set[str])

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        with contextlib.nullcontext(0) if self.journal is None else self.journal.run() as self._run:
            yield

    async def plan(self, documents: Sequence[Document]) -> list[PlannedDocument | Outcome]:
        """Decide what becomes of documents: they are sent, or an outcome is known already."""
        for document in documents:
            await document._load()
        if self.journal is None and self.files is None and all(document.in_memory for document in documents):
            return list(map(self._planned, documents))
        return await asyncio.to_thread(lambda: list(map(self._planned, documents)))

    def _planned(self, document: Document) -> PlannedDocument | Outcome:
        try:
            if self.journal is not None:
                return self._planned_by(self.journal, document)
            return self._to_be_sent(document, document, attempt=0)
        except (InvalidDocumentError, DocumentNotSavedError) as error:
            return outcome_of(document, error)

    def _to_be_sent(
        self,
        given: Document,
        document: Document,
        *,
        attempt: int,
        digest: str = "",
        entry: Entry | None = None,
        identity: str = "",
    ) -> PlannedDocument:
        size = document._read_with(snapshot).size
        return PlannedDocument(
            given,
            document,
            document.reference(self.client_service),
            size,
            attempt,
            target=None if self.files is None else self.files.claim(given),
            digest=digest,
            failed_before=attempt == 0 and (given._attempts.failed or (entry is not None and entry.used_up)),
            lost=entry is not None and entry.state in ("sent", "received", "requeued"),
            is_signed=entry is not None and entry.state == "received",
            requeued=entry is not None and entry.state == "requeued",
            identity=identity,
        )

    def _planned_by(self, journal: Journal, given: Document) -> PlannedDocument | Outcome:
        document, fingerprint = given._fingerprinted()
        digest = fingerprint.digest
        entry = journal._find(own_reference=given.external_reference, digest=digest, name=given.name)
        identity = given.external_reference or f"{digest} {given.name}"
        is_known = entry is not None and entry.state not in ("planned", "failed", "dropped")
        is_twin = entry is not None and entry.run == self._run and entry.state != "failed"
        if identity in self._seen or is_twin:
            raise InvalidDocumentError(
                f"Document {given.name} is in this run twice, by its contents or its external reference.",
                "Give each document once, or give documents that are alike references of your own.",
                document=given.name,
            )
        if entry is not None and is_known:
            if entry.digest != digest:
                raise InvalidDocumentError(
                    f"Document {given.name}: its external reference {entry.reference!r} was used for other contents.",
                    "Give a document that changed a new reference.",
                    document=given.name,
                )
            known = self._known(journal, given, entry)
            if known is not None:
                self._seen.add(identity)
                return known
        attempt, reference = self._attempt(journal, given, digest, entry)
        document = document._replaced(reference)
        try:
            item = self._to_be_sent(given, document, attempt=attempt, digest=digest, entry=entry, identity=identity)
        except DocumentNotSavedError as error:
            if entry is not None and is_known:
                what = (
                    "had it signed" if entry.state == "received" else "sent it, and whether it is signed is not known"
                )
                error.problem += f" An earlier run {what} ({reference}): that file may be the signed one."
                error.hint = "Inspect it; decide with `signstash failed`, or with `requeue`, `settle` or `drop`."
                journal._record([attrs.evolve(entry, state="held", reason=error.problem, run=self._run)])
            raise
        self._seen.add(identity)
        return item

    def _attempt(self, journal: Journal, given: Document, digest: str, entry: Entry | None) -> tuple[int, str]:
        """Number and reference of the next attempt; 0 and the caller's own reference if there is one."""
        if given.external_reference is not None:
            return 0, given.external_reference
        if entry is not None and not (entry.attempt and (entry.used_up or entry.state == "dropped")):
            return entry.attempt, entry.reference
        attempt = 1 if entry is None else entry.attempt + 1
        stem = given.name.rpartition(".")[0] or given.name
        return attempt, unique_reference(self.client_service, stem, journal._distinction(digest, given.name, attempt))

    def _known(self, journal: Journal, given: Document, entry: Entry) -> Outcome | None:
        """The outcome of a document that the journal knows, or None if it is to be sent or looked up."""
        if entry.state == "held":
            return outcome_of(given, held_before(given.name, entry.reference, entry.reason))
        if entry.state == "signed":
            return outcome_of(given, _signed_before(given, entry), signed_before=True)
        if entry.state != "received":
            return None
        for path in filter(None, (entry.saved_as, entry.kept_as)):
            if _holds(Path(path), entry.signed_digest):
                return self._taken_up(journal, given, entry, Path(path))
        return None

    def _taken_up(self, journal: Journal, given: Document, entry: Entry, path: Path) -> Outcome:
        """Complete what an earlier run could not: the signed bytes are in a file, and get their place and record."""
        signed = _signed_document(given, entry, path)
        outcome = outcome_of(given, signed, signed_before=True)
        if self.files is not None and str(path) != entry.saved_as:
            target = self.files.claim(given)
            (saved,) = self.files.save([outcome], [target])
            if saved.signed is None:
                return saved
            path.unlink(missing_ok=True)
            outcome = outcome_of(given, saved.result, signed_before=True)
            entry = attrs.evolve(entry, saved_as=str(target))
        journal._record([attrs.evolve(entry, state="signed", kept_as=None, reason=None)])
        return outcome

    async def sending(self, batch: Sequence[PlannedDocument]) -> None:
        """Record that a request goes out."""
        if self.journal is not None:
            await asyncio.to_thread(self.journal._record, [self._entry(item, "sent") for item in batch])
            self._seen.difference_update(item.identity for item in batch)

    async def not_sent(self, batch: Sequence[PlannedDocument]) -> None:
        """Record that a request surely was not processed."""
        if self.journal is not None:
            await asyncio.to_thread(self._record, [self._entry(item, "planned") for item in batch])

    async def done(
        self,
        results: Mapping[PlannedDocument, Outcome],
        *,
        unresolved: Collection[PlannedDocument],
        unsent: Sequence[PlannedDocument],
    ) -> tuple[list[Outcome], SignStashError | None]:
        """Save what is signed, and record what came of a batch.

        Of the results some may be unresolved: their outcome is left for the next run. What is unsent has no result.
        Returns the outcomes, changed where a document could not be saved, and the error that ends the run, if any.
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
        outcomes, faults = list(results.values()), list[SignStashError]()
        digests: Sequence[str | None] = [None] * len(outcomes)

        def record_received(found: Sequence[str | None]) -> None:
            """Record by what signed files are recognised, before they get their names."""
            nonlocal digests
            digests = found
            received = [
                self._entry(item, "received", outcome, digest)
                for (item, outcome), digest in zip(results.items(), digests, strict=True)
                if digest is not None
            ]
            try:
                self._record(received)
            except SignStashError as error:  # signed documents are saved all the same
                faults.append(error)

        if self.files is not None:
            targets = [item.target or self.files.target(item.given) for item in results]
            outcomes = self.files.save(outcomes, targets, None if self.journal is None else record_received)
            faults += [item.error for item in outcomes if isinstance(item.error, DocumentNotSavedError)]
        entries = [
            self._entry(item, self._state(item, outcome), outcome, digest or _digest_of_kept(outcome))
            for item, outcome, digest in zip(results, outcomes, digests, strict=True)
            if item not in unresolved
        ]
        try:
            self._record([*entries, *(self._entry(item, "planned") for item in unsent)])
        except SignStashError as error:  # what is signed is reported all the same
            faults.append(error)
        return outcomes, faults[0] if faults else None

    def _record(self, entries: Sequence[Entry]) -> None:
        if self.journal is not None:
            self.journal._record(entries, keep=True)

    def _state(self, item: PlannedDocument, outcome: Outcome) -> State:
        error = outcome.error
        if error is None:
            return "signed"
        if isinstance(error, DocumentNotSavedError):
            return "held" if error.signed is None or error.signed.saved_as is None else "received"
        used = isinstance(error, DuplicateReferenceError) and not item.failed_before
        return "held" if used or error.maybe_processed else "failed"

    def _entry(
        self, item: PlannedDocument, state: State, outcome: Outcome | None = None, signed_digest: str | None = None
    ) -> Entry:
        error = None if outcome is None else outcome.error
        signed = None if outcome is None else outcome.signed
        is_used = isinstance(error, DuplicateReferenceError) or isinstance(
            getattr(error, "__cause__", None), DuplicateReferenceError
        )
        kept = error.signed if isinstance(error, DocumentNotSavedError | SignatureInvalidError) else None
        return Entry(
            reference=item.reference,
            name=item.given.name,
            digest=item.digest,
            state=state,
            attempt=item.attempt,
            used_up=item.failed_before or is_certainly_not_signed(error),
            probably_signed=state == "held" and (item.is_signed or is_used),
            saved_as=None if item.target is None else str(item.target),
            kept_as=None if kept is None or kept.saved_as is None else str(kept.saved_as),
            signed_digest=signed_digest,
            operation_id=getattr(signed or kept or error, "operation_id", None),
            reason=None if error is None else str(error),
            run=self._run,
        )


def _signed_before(given: Document, entry: Entry) -> SignedDocument | DocumentNotSavedError:
    """A document that an earlier run had signed, or the error that its file is not there any more, or another one."""
    path = None if entry.saved_as is None else Path(entry.saved_as)
    if path is None or _holds(path, entry.signed_digest):
        return _signed_document(given, entry, path)
    what = "was changed or replaced since" if path.is_file() else "is missing"
    return DocumentNotSavedError(
        f"Document {given.name} ({entry.reference}) is signed, but its signed file {path} {what}.",
        "Restore the file, or fetch the document from the Integration Service; the journal does not have it signed "
        "again.",
    )


def _signed_document(given: Document, entry: Entry, path: Path | None) -> SignedDocument:
    return SignedDocument(
        content=InPath(Path(given.name) if path is None else path),
        name=given.name,
        external_reference=entry.reference,
        operation_id=entry.operation_id,
        details=models.DocumentResponse(external_reference=entry.reference, name=given.name),
        saved_as=path,
    )


def _digest_of_kept(outcome: Outcome) -> str | None:
    """SHA-256 of a signed document that could not be saved where it belongs, but in the folder for recovery."""
    error = outcome.error
    if not isinstance(error, DocumentNotSavedError) or error.signed is None or error.signed.saved_as is None:
        return None
    try:
        return digest_of(InPath(error.signed.saved_as))
    except InvalidDocumentError:
        return None


def _holds(path: Path, digest: str | None) -> bool:
    """Whether a file has these contents."""
    try:
        return path.is_file() and digest_of(InPath(path)) == digest
    except (InvalidDocumentError, OSError):
        return False

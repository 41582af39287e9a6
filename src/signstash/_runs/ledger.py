"""Keeps the records of a run: in a journal if there is one, and in files of signed documents."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NoReturn

import attrs

from .. import models
from .._content.contents import InPath
from .._content.snapshots import digest_of, snapshot
from .._errors.unknown import is_certainly_not_signed
from .._event_loop import completed, in_thread
from .._signing.saving import SignedFiles
from ..documents import Document, unique_reference
from ..errors import (
    DocumentNotSavedError,
    DuplicateReferenceError,
    InvalidDocumentError,
    OutcomeUnknownError,
    SignatureInvalidError,
    SignStashError,
)
from ..journal import Entry, Journal, State
from ..results import Outcome, SignedDocument, outcome_of
from .document_errors import held_before
from .plan import BatchResult, PlannedDocument


@attrs.define(kw_only=True, eq=False, repr=False)
class RunLedger:
    """The records of one run, which may have no journal, and save no files."""

    client: tuple[str, str]
    journal: Journal | None
    files: SignedFiles | None
    has_callers: bool  # of whom each asks for itself: only what is under way is given twice
    _run: int = attrs.field(init=False, default=0)
    _seen: set[str] = attrs.field(init=False, factory=set[str])

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        with contextlib.nullcontext(0) if self.journal is None else self.journal._run(*self.client) as self._run:
            yield

    async def plan(self, documents: Sequence[Document]) -> list[PlannedDocument | Outcome]:
        """Decide whether each document is sent, or its outcome is already known."""
        for document in documents:
            await document._load()
        if self.journal is None and self.files is None and all(document.in_memory for document in documents):
            return list(map(self._planned, documents))
        planned = in_thread(lambda: list(map(self._planned, documents)))
        # A thread that goes on when the run is over must not write into the journal of another one.
        return await (planned if self.journal is None else completed(planned))

    def _planned(self, document: Document) -> PlannedDocument | Outcome:
        try:
            if self.journal is not None:
                return self._planned_by(self.journal, document)
            reference = document.reference(self.client[0])
            entry = Entry(reference=reference, name=document.name, digest="", state="planned")
            return self._to_be_sent(document, document, entry)
        except (InvalidDocumentError, DocumentNotSavedError) as error:
            return outcome_of(document, error)

    def _to_be_sent(self, given: Document, document: Document, entry: Entry) -> PlannedDocument:
        return PlannedDocument(
            given,
            document,
            entry,
            document._read_with(snapshot).size,
            None if self.files is None else self.files.claim(given),
            given._state.failed or (entry.used_up and not entry.reference_number),
        )

    def _planned_by(self, journal: Journal, given: Document) -> PlannedDocument | Outcome:
        document, digest = given._digested()
        is_under_way = (identity := _identity(given, digest)) in self._seen  # before its entry, which may change
        entry = journal._find(own_reference=given.external_reference, digest=digest, name=given.name)
        entry = entry or Entry(reference="", name=given.name, digest=digest, state="planned")
        is_known = entry.state not in ("planned", "failed", "dropped")
        if is_under_way or (is_known and entry.run == self._run and not self.has_callers):
            problem = f"Document {given.name} is in this run twice, by its contents or its external reference."
            hint = "Give each document once, or give documents that are alike references of your own."
            raise InvalidDocumentError(problem, hint, document=given.name)
        if is_known and digest not in (entry.digest, entry.signed_digest):
            problem = f"Document {given.name}: its external reference {entry.reference!r} was used for other contents."
            raise InvalidDocumentError(problem, "Give a document that changed a new reference.", document=given.name)
        planned: PlannedDocument | Outcome | None = self._known(journal, given, entry)
        if planned is None:
            number, reference = self._next_reference(journal, given, entry)
            entry = attrs.evolve(entry, reference=reference, reference_number=number, digest=digest)
            try:
                planned = self._to_be_sent(given, document, entry)
            except DocumentNotSavedError as error:
                if is_known:
                    error.maybe_processed, error.external_references = True, (reference,)
                if is_known and isinstance(error.__cause__, FileExistsError):
                    lost = "sent it, and whether it is signed is not known"
                    what = "had it signed" if entry.state == "received" else lost
                    error.problem += f" An earlier run {what} ({reference}): that file may be the signed one."
                    error.hint = "Inspect it; decide with `signstash failed`, or with `requeue`, `settle` or `drop`."
                    journal._record([attrs.evolve(entry, state="held", reason=error.problem, run=self._run)])
                raise
        if isinstance(planned, PlannedDocument) or not self.has_callers:
            self._seen.add(identity)
        return planned

    def _next_reference(self, journal: Journal, given: Document, entry: Entry) -> tuple[int, str]:
        """Number and text of the reference for the next request; 0 and the caller's own one if it has one."""
        if given.external_reference is not None:
            return 0, given.external_reference
        number = entry.reference_number
        if entry.reference and not (entry.state == "dropped" or (number and entry.used_up)):
            return number, entry.reference
        distinction = journal._distinction(entry.digest, given.name, number + 1)
        return number + 1, unique_reference(self.client[0], given.name, distinction)

    def _known(self, journal: Journal, given: Document, entry: Entry) -> Outcome | None:
        """The outcome of a document that the journal knows, or None if it is to be sent or looked up."""
        if entry.state == "held":
            return outcome_of(given, held_before(given.name, entry.reference, entry.reason))
        if entry.state == "signed":
            return outcome_of(given, _signed_before(given, entry), signed_before=True)
        if entry.state != "received":
            return None
        for path in map(Path, filter(None, (entry.saved_as, entry.kept_as))):
            if _is_signed_file(path, entry):
                return self._taken_up(journal, given, entry, path)
        return None

    def _taken_up(self, journal: Journal, given: Document, entry: Entry, path: Path) -> Outcome:
        """Complete what an earlier run could not: the signed contents are in a file, and get their place and record."""
        signed = _signed_document(given, entry, path)
        outcome = outcome_of(given, signed, signed_before=True)
        if self.files is not None and str(path) != entry.saved_as:
            target = self.files.claim(given)
            (saved,) = self.files.save([outcome], [target])
            if saved.signed is None:
                return saved
            outcome = attrs.evolve(saved, signed_before=True)
            entry = attrs.evolve(entry, saved_as=str(target))
        journal._record([attrs.evolve(entry, state="signed", kept_as=None, reason=None)], keep=True)
        if outcome.saved_as != path:  # last: until then it is what the record points to
            path.unlink(missing_ok=True)
        return outcome

    async def note(self, batch: Sequence[PlannedDocument], state: Literal["sent", "planned"]) -> None:
        """Record that a request goes out, or that it was certainly not processed."""
        if self.journal is not None:
            entries = [self._entry(item, state) for item in batch]
            await completed(in_thread(partial(self.journal._record, entries, keep=state == "planned")))

    async def done(
        self, result: BatchResult, unsent: Sequence[PlannedDocument]
    ) -> tuple[list[Outcome], SignStashError | None]:
        """Save signed documents, and record the results of a batch, and that its unsent documents are not processed.

        Returns the outcomes, changed where a document could not be saved, and the error that ends the run, if any.
        """
        if self.journal is None and self.files is None:
            return list(result.outcomes.values()), None
        return await completed(in_thread(partial(self._done, result, unsent)))

    def _done(
        self, result: BatchResult, unsent: Sequence[PlannedDocument]
    ) -> tuple[list[Outcome], SignStashError | None]:
        results = result.outcomes
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
            faults.extend(self._recorded(received))

        if self.files is not None:
            targets = [item.target for item in results if item.target is not None]  # each has one
            outcomes = self.files.save(outcomes, targets, None if self.journal is None else record_received)
            faults += [item.error for item in outcomes if isinstance(item.error, DocumentNotSavedError)]
        entries = [
            self._entry(item, self._state(item, outcome), outcome, digest)
            for item, outcome, digest in zip(results, outcomes, digests, strict=True)
            if item not in result.unresolved
        ]
        faults += self._recorded([*entries, *(self._entry(item, "planned") for item in unsent)])
        for item in {*results, *unsent}.difference(*(batch.items for batch in result.next)):
            self._seen.discard(_identity(item.given, item.entry.digest))
            if self.files is not None and item.target is not None and (item not in results or self.has_callers):
                self.files.claimed.pop(item.target, None)
        return outcomes, faults[0] if faults else None

    def _recorded(self, entries: Sequence[Entry]) -> list[SignStashError]:
        """Record the outcomes of documents; if this fails, they are still saved and reported."""
        try:
            if self.journal is not None:
                self.journal._record(entries, keep=True)
        except SignStashError as error:
            return [error]
        return []

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
        is_used = any(isinstance(each, DuplicateReferenceError) for each in (error, getattr(error, "__cause__", None)))
        kept = error.signed if isinstance(error, DocumentNotSavedError | SignatureInvalidError) else None
        kept_as = getattr(kept, "saved_as", None)
        if kept_as is not None and signed_digest is None:
            with contextlib.suppress(InvalidDocumentError):
                signed_digest = digest_of(InPath(kept_as))
        if state == "received" and signed_digest is None:  # nothing tells that what is kept is still the signed file
            state = "held"
        is_lost = item.is_signed or (isinstance(error, DocumentNotSavedError) and kept is not None)
        return Entry(
            reference=item.reference,
            name=item.given.name,
            digest=item.entry.digest,
            state=state,
            reference_number=item.entry.reference_number,
            used_up=item.failed_before or is_certainly_not_signed(error),
            probably_signed=state == "held" and (is_lost or is_used),
            saved_as=None if item.target is None else str(item.target),
            kept_as=None if kept_as is None else str(kept_as),
            signed_digest=signed_digest,
            operation_id=getattr(signed or kept or error, "operation_id", None),
            reason=None if error is None else error.problem if isinstance(error, OutcomeUnknownError) else str(error),
            run=self._run,
        )


def _identity(given: Document, digest: str) -> str:
    """What a document is recognised by in the same run."""
    return given.external_reference or f"{digest} {given.name}"


def _signed_before(given: Document, entry: Entry) -> SignedDocument | DocumentNotSavedError:
    """A document that an earlier run had signed, or the error that its file is not there any more, or another one."""
    path = None if entry.saved_as is None else Path(entry.saved_as)
    try:
        if path is None or _is_signed_file(path, entry):
            return _signed_document(given, entry, path)
    except DocumentNotSavedError as error:
        return error
    what = "was changed or replaced since" if path.is_file() else "is missing"
    problem = f"Document {given.name} ({entry.reference}) is signed, but its signed file {path} {what}."
    hint = "Restore it, get it from the Integration Service, or sign it again after `signstash failed drop` or `drop`."
    return DocumentNotSavedError(problem, hint, external_references=(entry.reference,), maybe_processed=True)


@attrs.frozen
class _Settled:
    """The signed contents of a document that somebody settled: only that person knows where they are."""

    document: str

    def opened(self) -> NoReturn:
        problem = f"Document {self.document} was settled: the journal records that you have its signed contents."
        raise InvalidDocumentError(problem, "Take them from where you keep them.")


def _signed_document(given: Document, entry: Entry, path: Path | None) -> SignedDocument:
    return SignedDocument(
        content=_Settled(f"{given.name} ({entry.reference})") if path is None else InPath(path),
        name=given.name,
        external_reference=entry.reference,
        operation_id=entry.operation_id,
        details=models.DocumentResponse(external_reference=entry.reference, name=given.name),
        saved_as=path,
    )


def _is_signed_file(path: Path, entry: Entry) -> bool:
    """Whether a file has the signed contents of a document, by their digest.

    Raises:
        DocumentNotSavedError: If it cannot be read, so that this is not known.
    """
    try:
        return digest_of(InPath(path)) == entry.signed_digest
    except InvalidDocumentError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError) or isinstance(cause, FileNotFoundError | NotADirectoryError):
            return False
        problem = f"Document {entry.name} ({entry.reference}) is signed, but {error.problem}"
        hint, references = "Check path and permissions, then run again.", (entry.reference,)
        raise DocumentNotSavedError(problem, hint, external_references=references, maybe_processed=True) from cause

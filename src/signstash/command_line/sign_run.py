"""One run of `signstash sign`: signs the planned files, and shows what came of each."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, nullcontext
from pathlib import Path
from typing import Any, Final

import attrs

from ..client import SignStash
from ..documents import Document
from ..errors import (
    DocumentNotSavedError,
    DocumentNotSignedError,
    DuplicateReferenceError,
    InvalidDocumentError,
    OutcomeUnknownError,
    SignedContent,
    SignStashError,
    UnexpectedResponseError,
)
from ..journal import Journal, State
from ..results import SignedDocument
from . import FAULT_OF_ALL, INTERRUPTED, SIGNED, SOME_FAILED, report_error
from .causes import Causes
from .display import Display, Lines, open_display
from .formatting import of_the_command, printable, size_of, status_column, table, wrapped
from .interruption import Interruption, RetryNotes
from .plan import MakeDocument, PlannedFile, real_path
from .progress import RunProgress

_STATUSES: Final = ("signed", "signed_before", "not_saved", "in_doubt", "failed", "not_sent")
"""The result of a file: `signed_before` if a journal knows it as signed, `not_saved` if it lacks its signed file."""


def states_of(journal: Journal | None) -> dict[Path, State]:
    """Return what a journal knows of the signed files."""
    entries = [] if journal is None else journal.entries()
    return {Path(entry.saved_as): entry.state for entry in entries if entry.saved_as is not None}


@attrs.define
class Signing:
    """One run of the command.

    Attributes:
        files: The files to sign.
        remarks: What to say about files that are not signed.
        given: The command's options.
        options: The arguments of each kind of document.
        journal: Record of the run, or None.
    """

    files: Sequence[PlannedFile]
    remarks: Sequence[str]
    given: argparse.Namespace
    options: Mapping[MakeDocument, Mapping[str, Any]]
    journal: Journal | None
    _sent: dict[Document, PlannedFile] = attrs.field(init=False, factory=dict[Document, PlannedFile])
    _reported: set[PlannedFile] = attrs.field(init=False, factory=set[PlannedFile])
    _failed: list[PlannedFile] = attrs.field(init=False, factory=list[PlannedFile])
    _counts: Counter[str] = attrs.field(init=False, factory=Counter[str])
    _causes: Causes = attrs.field(init=False, factory=Causes)
    _total_bytes: int = attrs.field(
        init=False, default=attrs.Factory(lambda self: sum(file.size for file in self.files), takes_self=True)
    )
    _signed_bytes: int = attrs.field(init=False, default=0)
    _was_reached: bool | None = attrs.field(init=False, default=None)
    _reported_bytes: int = attrs.field(init=False, default=0)

    async def run(self, client: SignStash) -> int:
        """Sign the files and show the results.

        Args:
            client: The client, which is closed at the end.

        Returns:
            The exit status.

        Raises:
            SignStashError: If a fault that concerns all documents ended the run before the first result.
        """
        started = time.monotonic()
        fault: SignStashError | None = None
        cancelled = False
        with (
            open_display(
                as_json=self.given.json, documents=len(self.files), content_bytes=self._total_bytes
            ) as display,
            Interruption(display, client.stop_runs) as interruption,
            nullcontext() if self.given.debug else RetryNotes(display) as retries,
        ):
            try:
                async with client:
                    await self._sign(client, display, interruption, retries)
            except SignStashError as error:
                fault = error
            except asyncio.CancelledError:
                if not interruption.asked:
                    raise
                cancelled = True
            self._count_the_rest(cancelled=cancelled)
        self._sum_up(time.monotonic() - started, fault)
        if fault is not None:
            if not self._reported:
                raise fault
            if fault not in self._causes:
                report_error(fault, debug=self.given.debug)
            return FAULT_OF_ALL
        if self._counts["not_sent"] or cancelled:
            return INTERRUPTED
        if self._was_reached is False:
            return FAULT_OF_ALL
        return SIGNED if self._counts["signed"] + self._counts["signed_before"] == len(self.files) else SOME_FAILED

    async def _sign(
        self, client: SignStash, display: Display, interruption: Interruption, retries: RetryNotes | None
    ) -> None:
        outcomes = client.sign_all(
            self._documents(display, interruption),
            description=self.given.description,
            save_to=lambda document: self._sent[document].target,
            overwrite=self.given.force,
            journal=self.journal,
            unknown_outcomes=self.given.unknown,
            in_flight=self.given.in_flight,
        )
        async with aclosing(outcomes):
            async for outcome in outcomes:
                result = outcome.error if outcome.signed is None else outcome.signed
                if (reached := _shows_service(result, signed_before=outcome.signed_before)) is not None:
                    self._was_reached = self._was_reached or reached
                if isinstance(result, DocumentNotSavedError) and result.signed is not None and self.journal is None:
                    result = await _saved_elsewhere(result, result.signed)
                if retries is not None and isinstance(result, SignedDocument):
                    retries.succeeded()
                self._report(display, self._sent.pop(outcome.document), result, signed_before=outcome.signed_before)

    def _documents(self, display: Display, interruption: Interruption) -> Iterator[Document]:
        for file in sorted(
            self.files, key=lambda file: file.problem is None
        ):  # problems show even if the run ends early
            if interruption.asked:
                return
            if file.problem is not None:
                self._report(display, file, file.problem)
                continue
            try:
                document = file.make(file.path, name=file.name, **self.options[file.make])
            except InvalidDocumentError as error:
                self._report(display, file, error)
            else:
                self._sent[document] = file
                yield document

    def _report(
        self,
        display: Display,
        file: PlannedFile,
        result: SignedDocument | SignStashError,
        *,
        signed_before: bool = False,
    ) -> None:
        fields: dict[str, Any] = {"file": str(file.path)}
        text = ""
        if isinstance(result, SignedDocument):
            status = "signed_before" if signed_before else "signed"
            if not signed_before:
                text = f"{printable(file.path)} -> {printable(file.target)}"
                self._signed_bytes += file.size
            fields |= {"saved_as": str(file.target), "operation_id": result.operation_id}
            fields["external_reference"] = result.external_reference
        else:
            status, message = "failed" if signed_before else _status(result), of_the_command(str(result))
            fields |= {"error": type(result).__name__, "message": message}
            cause = result.problem if status == "in_doubt" else message  # what to do about it is said once, at the end
            self._causes.add(status, file.path, cause, names=names_of(file, result))
            if status == "failed":
                self._failed.append(file)
        self._reported.add(file)
        self._counts[status] += 1
        self._reported_bytes += file.size
        if text or (self.given.json and status != "signed_before"):
            display.result(status_column(status) + text, {"status": status, **fields})
        display.progress(
            RunProgress(
                documents=len(self.files),
                total_bytes=self._total_bytes,
                done=len(self._reported),
                signed=self._counts["signed"],
                skipped=self._counts["signed_before"],
                content_bytes=self._reported_bytes,
                problems=self._causes.short_lines,
            )
        )

    def _count_the_rest(self, *, cancelled: bool) -> None:
        """Count the files that have no result."""
        sent = self.journal.entries("sent") if cancelled and self.journal is not None else []
        targets = {entry.saved_as for entry in sent}
        for file in self.files:
            if file not in self._reported:
                in_flight = cancelled and file in self._sent.values()
                in_doubt = in_flight and (self.journal is None or str(real_path(file.target)) in targets)
                self._counts["in_doubt" if in_doubt else "not_sent"] += 1

    def _sum_up(self, seconds: float, fault: SignStashError | None) -> None:
        rate = self._counts["signed"] / seconds if seconds else 0.0
        lines = Lines(as_json=self.given.json)
        counts = {status: self._counts[status] for status in _STATUSES}
        totals = table(
            [(status_column(status), count) for status, count in counts.items() if count or status == "signed"]
        )
        causes = "".join(f"{wrapped(line)}\n" for line in self._causes.lines)
        rates = f"\n{size_of(self._signed_bytes)} signed in {seconds:.1f} s, {rate:.1f} documents a second"
        lines.result(
            f"{causes}\n{totals}{rates if self._counts['signed'] else ''}",
            {"summary": counts, "bytes": self._signed_bytes, "seconds": round(seconds, 3)},
        )
        for advice in self._advice(fault):
            lines.note(advice)

    def _advice(self, fault: SignStashError | None) -> Iterator[str]:
        journal = "" if self.journal is None else f"signstash failed --journal {shlex.quote(str(self.given.journal))}"
        if self._counts["in_doubt"] and journal:
            yield f"In doubt: `{journal}` lists the documents and what to do."
        elif self._counts["in_doubt"]:
            yield (
                "In doubt: these documents may be signed. Check in the backoffice before you sign them again; "
                "with --journal, `signstash failed` keeps track of them."
            )
        if self._counts["not_saved"] and journal:
            yield "Not saved: run the same command again: it saves these documents, and does not sign them again."
        if self._counts["failed"] and journal:
            states = states_of(self.journal)
            listed = sum(states.get(real_path(file.target)) == "failed" for file in self._failed)
            text = "Failed: fix the causes above, then run the same command again."
            if listed < len(self._failed):
                text += f" `{journal}` lists {listed or 'none'} of these documents."
            yield text
        if self._counts["not_sent"] and (self.journal is not None or not self._counts["in_doubt"]):
            first = "" if fault is None else "a fault that concerns all documents ended the run. Fix it, then "
            existing = "" if journal else "; files that exist are not signed again"
            yield f"Not sent: {first}run the same command again to continue{existing}."
        yield from self.remarks


def _status(error: SignStashError) -> str:
    """The result of a document that has an error, in the terms of `signstash failed`."""
    if isinstance(error, DocumentNotSavedError) and error.signed is not None:
        return "not_saved"
    # The command makes references that are unique: one that is used was signed by a run that nobody knows of.
    return "in_doubt" if error.maybe_processed or isinstance(error, DuplicateReferenceError) else "failed"


def _shows_service(result: SignedDocument | SignStashError, *, signed_before: bool) -> bool | None:
    """Whether a result shows that the service can be used, or that it cannot; None if it shows neither."""
    if signed_before or isinstance(result, InvalidDocumentError | OutcomeUnknownError):
        return None
    if isinstance(result, DocumentNotSavedError) and result.signed is None:
        return None
    if isinstance(result, SignStashError) and is_from_elsewhere(result):
        return False
    return not getattr(result, "retryable", False) or isinstance(result, DocumentNotSignedError)


def is_from_elsewhere(error: SignStashError) -> bool:
    """Return whether something else than the service responded, such as a gateway, so that no document is at fault."""
    is_response = isinstance(error, UnexpectedResponseError) or getattr(error, "status_code", None) == 404
    return is_response and not error.maybe_processed


def names_of(file: PlannedFile, error: SignStashError) -> list[str]:
    """Return what tells a document's error message apart from those of other documents."""
    references = [getattr(error, "external_reference", ""), *getattr(error, "external_references", ())]
    target = real_path(file.target)
    kept = getattr(getattr(error, "signed", None), "saved_as", None)
    paths = [str(file.path), str(file.target), str(target), "" if kept is None else kept.name]
    return [*filter(None, references), *paths, *map(printable, paths), file.name, printable(file.name)]


async def _saved_elsewhere(error: DocumentNotSavedError, signed: SignedContent) -> SignStashError:
    """Save a document that cannot be saved in its place, so that it does not end with the process."""
    rescued = Path(tempfile.mkdtemp(prefix="signstash-")) / signed.name
    try:
        await signed.save(rescued)
    except DocumentNotSavedError:
        return error
    return DocumentNotSavedError(error.problem, f"It is signed, and saved as {rescued}.", signed=signed)

"""The command `signstash sign`: signs files and folders."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

import attrs

from ..client import SignStash
from ..documents import Document
from ..errors import (
    ConfigurationError,
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
from ..options import UnknownOutcomes
from ..results import SignedDocument
from ..retries import RetryPolicy
from . import FAULT_OF_ALL, INTERRUPTED, SIGNED, SOME_FAILED, report_error
from .causes import Causes
from .display import Display, Lines, open_display
from .document_names import with_different_names
from .interruption import Interruption, RetryNotes
from .plan import MakeDocument, Plan, PlannedFile, parts_of_journal, real_path, with_unwritable_folders
from .settings import add_connection_options, settings_from
from .signature_options import add_signature_options, signature_options
from .standing import Standing
from .text import count_of_documents, of_the_command, printable, size_of, status_column, table, wrapped

_EXAMPLES: Final = """
examples:
  signstash sign invoices -o signed --journal november.journal
  signstash sign invoice.pdf --visible page=1,x=60,y=50,width=200,height=50
"""

_STATUSES: Final = ("signed", "signed_before", "not_saved", "in_doubt", "failed", "not_sent")
"""The result of a file: `signed_before` if a journal knows it as signed, `not_saved` if it lacks its signed file."""


def _argument_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        usage=f"{program} FILES... [-o DIR] [options]",
        description="Sign files, patterns such as '*.pdf', and folders with everything below them.",
        epilog=_EXAMPLES,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=27),
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILES", help=argparse.SUPPRESS)
    add(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for signed files; else <name>.signed.pdf",
    )
    add("--journal", type=Path, metavar="FILE", help="record of the run; the same command continues from it")
    add("--dry-run", action="store_true", help="show what would be signed, and send nothing")
    add_run_options(parser)
    add("--retries", choices=("batch", "interactive", "none"), default="batch", metavar="WHICH",
        help="batch (a minute apart; default), interactive (within seconds), none")  # fmt: skip
    add_signature_options(parser)
    add_connection_options(parser)
    return parser


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for how documents are found and sent."""
    add = parser.add_argument
    add("--force", action="store_true", help="replace signed files that exist; never originals")
    add("--binary", action="store_true", help="also sign files that are neither PDF nor XML, with CAdES")
    add("--unknown", choices=get_args(UnknownOutcomes), default="hold", metavar="WHAT",
        help="if a response is lost: hold for manual review (default), look_up, send_again")  # fmt: skip
    add("--in-flight", type=_at_least_one, default=2, metavar="N", help="concurrent requests (default: %(default)s)")
    add("--json", action="store_true", help="one JSON object per line")


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def main(arguments: Sequence[str], *, program: str) -> int:
    """Sign files, and return the exit status."""
    given = _argument_parser(program).parse_intermixed_args(arguments)
    own_files = [*parts_of_journal(given.journal), *own_files_of(given)]
    plan = Plan(output=given.output, binary=given.binary, own_files=own_files)
    files = plan.files(given.files)
    options = signature_options(given)
    for make in {file.make for file in files}:  # options that cannot work fail before anything is sent
        try:
            make(b"", name="any", **options[make])
        except InvalidDocumentError as error:
            raise ConfigurationError(error.problem.removeprefix("Document any: "), error.hint) from error
    if given.dry_run:
        return _show_plan(files, plan.remarks, given)
    client = settings_from(given).client(retries=getattr(RetryPolicy, given.retries)())
    files = with_unwritable_folders(files)
    with nullcontext() if given.journal is None else Journal(given.journal) as journal:
        if journal is not None:
            files = with_different_names(files, journal)
        return asyncio.run(_Signing(files, plan.remarks, given, options, journal).run(client))


def own_files_of(given: argparse.Namespace) -> list[Path]:
    """Return the files that the command itself reads, which are never documents."""
    names = (given.config, given.secret_file, given.visible_image)
    return [Path(name) for name in names if name is not None]


def _show_plan(files: Sequence[PlannedFile], remarks: Sequence[str], given: argparse.Namespace) -> int:
    states: Mapping[Path, State] = {}
    if given.journal is not None and os.path.exists(given.journal):  # noqa: PTH110 - Path's raises for too long names
        with Journal(given.journal) as journal:
            states = _states(journal)
    known = {"signed", "held", "received"} | ({"sent"} if given.unknown == "hold" else set[str]())
    lines, problems = Lines(as_json=given.json), 0
    for file in files:
        status, remark = "planned", ""
        if file.problem is not None:
            status, remark = "failed", f": {file.problem}"
        elif states.get(real_path(file.target)) in known:
            status, remark = "passed_over", ": the journal knows it"
        elif os.path.lexists(file.target) and not given.force:
            status, remark = "failed", ": it exists already (--force replaces it)"
        problems += status == "failed"
        fields = {"status": status, "file": str(file.path), "saved_as": str(file.target), "bytes": file.size}
        paths = f"{printable(file.path)} ({size_of(file.size)}) -> {printable(file.target)}"
        lines.result(f"{status_column(status)}{paths}{remark}", fields)
    for remark in remarks:
        lines.note(remark)
    lines.note(f"{count_of_documents(len(files))}, {size_of(sum(file.size for file in files))}. Nothing was sent.")
    return SOME_FAILED if problems else SIGNED


def _states(journal: Journal | None) -> dict[Path, State]:
    """What a journal knows of the signed files."""
    entries = [] if journal is None else journal.entries()
    return {Path(entry.saved_as): entry.state for entry in entries if entry.saved_as is not None}


@attrs.define
class _Signing:
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
            status, message = _status(result), of_the_command(str(result))
            fields |= {"error": type(result).__name__, "message": message}
            cause = result.problem if status == "in_doubt" else message  # what to do about it is said once, at the end
            self._causes.add(status, file.path, cause, names=names_of(file, result))
            if status == "failed":
                self._failed.append(file)
        self._reported.add(file)
        self._counts[status] += 1
        self._reported_bytes += file.size
        if text or (self.given.json and not signed_before):
            display.result(status_column(status) + text, {"status": status, **fields})
        display.progress(
            Standing(
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
        names = {entry.name for entry in sent}
        for file in self.files:
            if file not in self._reported:
                in_flight = cancelled and file in self._sent.values()
                in_doubt = in_flight and (self.journal is None or file.name in names)
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
            states = _states(self.journal)
            listed = sum(states.get(real_path(file.target)) == "failed" for file in self._failed)
            text = "Failed: fix the causes above, then run the same command again."
            if listed < len(self._failed):
                text += f" `{journal}` lists {listed or 'none'} of these documents; the others are not in the journal."
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

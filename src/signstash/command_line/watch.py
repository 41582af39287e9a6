"""The command `signstash watch`: signs what arrives in a folder, until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from ..client import SignStash
from ..documents import Document
from ..errors import (
    AuthenticationError,
    CertificateNotProvisionedError,
    ClientServiceInactiveError,
    ConfigurationError,
    DocumentNotSavedError,
    DocumentNotSignedError,
    InvalidDocumentError,
    RateLimitedError,
    SignStashError,
)
from ..journal import Journal
from ..results import Outcome, SignedDocument
from ..retries import RetryPolicy
from . import FAULT_OF_ALL, INTERRUPTED, SIGNED, SOME_FAILED
from .display import Display, Lines
from .document_names import named_by_journal
from .inbox import Inbox, changes
from .interruption import Interruption
from .plan import Identity, MakeDocument, Plan, PlannedFile, make_writable, parts_of_journal
from .settings import add_connection_options, settings_from
from .sign import add_run_options, names_of, own_files_of
from .signature_options import add_signature_options, signature_options
from .text import printable
from .watch_files import move_to, remove_reason, write_reason
from .watch_report import WatchReport

_EXAMPLES: Final = """
A file is signed when it was renamed into place, or has not changed for --settle
seconds. If it cannot be signed, <name>.failed.txt in the output folder says
why. Ctrl-C or SIGTERM finishes what is in flight; the same command continues.

examples:
  signstash watch inbox -o signed --done archive --journal watch.journal
"""

FIRST_PAUSE: Final = 5.0
"""Seconds until the service is tried again after the first failure; the pause doubles with each further one."""
LONGEST_PAUSE: Final = 60.0
"""Most seconds between two attempts, and the pause after a fault that concerns all documents."""
_LONGEST_RUN: Final = 10_000
"""Documents after which a new run begins, so that memory stays flat."""
_OF_ALL: Final = (AuthenticationError, ClientServiceInactiveError, CertificateNotProvisionedError)
_LOCAL: Final = (ConfigurationError, InvalidDocumentError, DocumentNotSavedError)
"""Errors that tell nothing about the service."""


def argument_parser(program: str) -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        usage=f"{program} INBOX -o DIR --journal FILE [options]",
        description="Sign the files in a folder and those that arrive in it, until stopped.",
        epilog=_EXAMPLES,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=27),
    )
    add = parser.add_argument
    add("inbox", type=Path, metavar="INBOX", help=argparse.SUPPRESS)
    add("-o", "--output", type=Path, metavar="DIR", required=True, help="folder for signed files")
    add("--journal", type=Path, metavar="FILE", required=True, help="record of what was signed")
    add("--done", type=Path, metavar="DIR", help="folder that originals of signed documents are moved to")
    add("--settle", type=_seconds, default=2.0, metavar="SECONDS",
        help="how long a file must not change (default: 2)")  # fmt: skip
    add("--rescan", type=_seconds, default=10.0, metavar="SECONDS",
        help="how often to search the whole folder, as network shares need (default: 10)")  # fmt: skip
    add("--status", type=Path, metavar="FILE", help="JSON file for monitoring, replaced atomically")
    add_run_options(parser)
    add_signature_options(parser)
    add_connection_options(parser)
    return parser


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (seconds := float(text)) <= 86_400:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")


def main(arguments: Sequence[str], *, program: str) -> int:
    """Watch a folder, and return the exit status."""
    given = argument_parser(program).parse_intermixed_args(arguments)
    watch = new_watch(given, Lines(as_json=given.json))
    with Journal(given.journal) as journal:
        return asyncio.run(watch.run(journal, changes(watch.inbox.folder, min(1.0, max(given.settle / 2, 0.1)))))


def new_watch(given: argparse.Namespace, display: Display, *, clock: Callable[[], float] = time.monotonic) -> Watch:
    """Prepare the watching of a folder.

    Args:
        given: The command's options.
        display: Where it says what happens.
        clock: Monotonic clock, in seconds.

    Raises:
        ConfigurationError: If folders, settings or options cannot be used.
    """
    options = signature_options(given)
    for make, arguments in options.items():  # options that cannot work fail before anything is sent
        make(b"", name="any", **arguments)
    inbox = _inbox(given, clock)
    settings = settings_from(given)
    client = settings.client(retries=RetryPolicy.interactive())
    for folder in filter(None, (given.output, given.done, None if given.status is None else given.status.parent)):
        make_writable(folder)

    def renewed() -> SignStash:
        return settings_from(given, ask=False).client(retries=RetryPolicy.interactive())

    return Watch(
        given=given,
        inbox=inbox,
        options=options,
        client=client,
        new_client=None if settings.asked else renewed,
        display=display,
        report=WatchReport(display, as_json=given.json, status_file=given.status, clock=clock),
        clock=clock,
    )


def _inbox(given: argparse.Namespace, clock: Callable[[], float]) -> Inbox:
    folder = Path(given.inbox)
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder.", "Name the folder to watch.")
    folders = {"-o": given.output, "--done": given.done, "INBOX": folder}
    resolved: dict[Path, str] = {}
    for name, path in folders.items():
        if path is not None and (other := resolved.setdefault(path.resolve(), name)) != name:
            raise ConfigurationError(f"{other} and {name} are the same folder, {path}.", "Name different folders.")
    not_documents = (given.output, given.done, given.status, *parts_of_journal(given.journal), *own_files_of(given))
    return Inbox(
        folder=folder,
        output=given.output,
        plan=Plan(output=given.output, binary=given.binary),
        left_out=[path for path in not_documents if path is not None],
        settle=given.settle,
        rescan=given.rescan,
        clock=clock,
    )


@attrs.define(kw_only=True)
class Watch:
    """The watching of one folder.

    Attributes:
        given: The command's options.
        inbox: The folder.
        options: The arguments of each kind of document.
        client: The client, which is closed at the end.
        new_client: Makes a client from settings that may have changed, or None if they cannot be read again.
        display: Where remarks go.
        report: Counts, summaries and status.
        clock: Monotonic clock, in seconds.
    """

    given: argparse.Namespace
    inbox: Inbox
    options: Mapping[MakeDocument, Mapping[str, Any]]
    client: SignStash
    new_client: Callable[[], SignStash] | None
    display: Display
    report: WatchReport
    clock: Callable[[], float] = time.monotonic
    _ready: deque[PlannedFile] = attrs.field(init=False, factory=deque[PlannedFile])
    _in_flight: dict[Document, PlannedFile] = attrs.field(init=False, factory=dict[Document, PlannedFile])
    _claimed: dict[Identity, Path] = attrs.field(init=False, factory=dict[Identity, Path])
    _wake: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _stopping: bool = attrs.field(init=False, default=False)
    _fault: SignStashError | None = attrs.field(init=False, default=None)
    _outage: SignStashError | None = attrs.field(init=False, default=None)
    _later: list[tuple[float, PlannedFile]] = attrs.field(init=False, factory=list["tuple[float, PlannedFile]"])
    _failures_of: dict[Path, int] = attrs.field(init=False, factory=dict[Path, int])
    _failures: int = attrs.field(init=False, default=0)

    async def run(self, journal: Journal, ticks: AsyncIterator[set[Path]]) -> int:
        """Sign what arrives until the command is stopped.

        Args:
            journal: Record of what was signed.
            ticks: What changes in the inbox, and empty sets at least once a second while nothing does.

        Returns:
            The exit status.
        """
        self.display.note(f"Watching {self.given.inbox}; signed files go to {self.given.output}.")
        cancelled = False
        with Interruption(self.display, self.stop) as interruption:
            ticker = asyncio.create_task(self._tick(ticks, journal))
            try:
                while not self._stopping:
                    fault = await self._sign(journal)
                    if fault is not None or not self._stopping:  # a stop says nothing about the service
                        self._fault = fault
                    if fault is not None:
                        await self._pause(fault)
            except asyncio.CancelledError:
                if not interruption.asked:
                    raise
                cancelled = True
            finally:
                ticker.cancel()
                await asyncio.wait([ticker])
                await self.client.aclose()
        if not ticker.cancelled() and (error := ticker.exception()) is not None:
            raise error
        self.report.stopped(waiting=self._waiting, fault=self._fault)
        if cancelled:
            return INTERRUPTED
        if self._fault is not None:
            return FAULT_OF_ALL
        return INTERRUPTED if self._waiting else SOME_FAILED if self.report.has_problems else SIGNED

    def stop(self) -> None:
        """Take no more documents, and end when what is in flight is done."""
        self._stopping = True
        self.client.stop_runs()
        self._wake.set()

    @property
    def _waiting(self) -> int:
        return len(self._ready) + len(self._in_flight) + self.inbox.pending

    async def _tick(self, ticks: AsyncIterator[set[Path]], journal: Journal) -> None:
        try:
            async for changed in ticks:
                self._ready.extend(await asyncio.to_thread(self._found, changed, journal, dict(self._claimed)))
                self._claimed |= {file.identity: file.path for file in self._ready}
                due = [item for item in self._later if item[0] <= self.clock()]
                self._later = [item for item in self._later if item not in due]
                self._ready.extend(file for _, file in due)
                self.report.remark(self.inbox.problems())
                self.report.update(waiting=self._waiting, fault=self._fault)
                self._wake.set()
        finally:
            self.stop()

    def _found(self, changed: set[Path], journal: Journal, claimed: dict[Identity, Path]) -> list[PlannedFile]:
        """The files that are complete now, with their documents' names. Blocks."""
        found: list[PlannedFile] = []
        for file in self.inbox.look(changed):
            found.append(named_by_journal(file, journal, is_of_another=self._has_original, claimed=claimed))
            claimed[found[-1].identity] = file.path
        return found

    def _has_original(self, signed_file: Path) -> bool:
        """Whether the original of a signed file is in the inbox or the folder for what is done."""
        output = Path(os.path.realpath(self.given.output))
        if not signed_file.is_relative_to(output):
            return False
        place = signed_file.relative_to(output)
        folders = (self.inbox.folder, self.given.done)
        return any(folder is not None and os.path.lexists(folder / place) for folder in folders)

    async def _sign(self, journal: Journal) -> SignStashError | None:
        """Sign until the run ends; return how the service failed, or None."""
        self._outage = None
        outcomes = self.client.sign_all(
            self._documents(),
            description=self.given.description,
            save_to=lambda document: self._in_flight[document].target,
            overwrite=self.given.force,
            journal=journal,
            unknown_outcomes=self.given.unknown,
            in_flight=self.given.in_flight,
        )
        failed: list[PlannedFile] = []
        try:
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    file = self._in_flight.pop(outcome.document)
                    if isinstance(outcome.error, _OF_ALL) or _is_unsaved(outcome):
                        failed.append(file)
                    await self._account(file, outcome.result, signed_before=outcome.signed_before)
        except SignStashError as error:
            self._outage = error
            self._ready.extend(failed)  # they failed for a reason that concerns all documents
        if self._outage is not None:
            self._ready.extend(self._in_flight.values())
            self._in_flight.clear()
        return self._outage

    async def _documents(self) -> AsyncGenerator[Document, None]:
        given: set[Path | Identity] = set()
        while not self._stopping and self._outage is None and len(given) < _LONGEST_RUN:
            # After a failure one document shows whether the service is back, before others are put at risk.
            if not self._ready or (self._fault is not None and self._in_flight):
                self._wake.clear()
                await self._wake.wait()
                continue
            file = self._ready[0]
            if not given.isdisjoint((file.path, file.identity)):  # a run signs a document once: the next run goes on
                return
            self._ready.popleft()
            try:
                if file.problem is not None:
                    raise file.problem
                document = file.make(file.path, name=file.name, **self.options[file.make])
            except SignStashError as error:
                await self._account(file, error)
            else:
                given |= {file.path, file.identity}
                self._in_flight[document] = file
                yield document

    async def _account(
        self, file: PlannedFile, result: SignedDocument | SignStashError, *, signed_before: bool = False
    ) -> None:
        """Record the result of a document, and keep the files for operators."""
        error = result if isinstance(result, SignStashError) else None
        is_transient = error is not None and _is_transient(error)
        is_retryable = isinstance(error, DocumentNotSignedError) and error.retryable
        if is_transient or (error is not None and error.maybe_processed and self._fault is not None):
            self._outage = error
        if is_transient:
            self._ready.append(file)
            self._wake.set()
            return
        if self._outage is None and not isinstance(error, (*_OF_ALL, *_LOCAL)) and not signed_before:
            if self._fault is not None:
                self.display.note("The service is back.")
            self._fault, self._failures = None, 0
        is_gone = error is not None and not await asyncio.to_thread(os.path.lexists, file.path)
        if not is_gone:  # otherwise somebody took it away before it was sent
            self.report.result(
                file, result, signed_before=signed_before, names=[] if error is None else names_of(file, error)
            )
            try:
                await asyncio.to_thread(self._keep_files, file, error)
            except OSError as failure:
                self.report.remark([f"{failure}. {printable(file.path)} is {'not ' if error else ''}signed."])
        if is_retryable and not is_gone:
            failures = self._failures_of[file.path] = self._failures_of.get(file.path, -1) + 1
            self._later.append((self.clock() + LONGEST_PAUSE * 2.0 ** min(failures, 6), file))
        else:
            self._failures_of.pop(file.path, None)
            if self._claimed.get(file.identity) == file.path:
                del self._claimed[file.identity]
            self.inbox.release(file.path)
        self._wake.set()

    def _keep_files(self, file: PlannedFile, error: SignStashError | None) -> None:
        if error is not None:
            message = str(error).replace("overwrite=True", "--force")
            write_reason(file.target, file.path.name, message)
            return
        remove_reason(file.target)
        if self.given.done is not None and self.inbox.is_unchanged(file.path):
            move_to(file.path, self.given.done / file.path.relative_to(self.inbox.folder))

    async def _pause(self, fault: SignStashError) -> None:
        """Wait before the service is tried again."""
        pause = LONGEST_PAUSE
        if _is_transient(fault) or fault.maybe_processed:
            pause = min(FIRST_PAUSE * 2.0 ** min(self._failures, 10), LONGEST_PAUSE)
            if isinstance(fault, RateLimitedError) and fault.retry_after is not None:
                pause = max(pause, fault.retry_after)
        self._failures += 1
        self.report.failing(fault)
        until = self.clock() + pause
        while self.clock() < until and not self._stopping:
            self._wake.clear()
            await self._wake.wait()
        if self.new_client is not None and not _is_transient(fault) and not self._stopping:
            with suppress(SignStashError):  # the settings are being changed: the next attempt reads them again
                client = self.new_client()
                await self.client.aclose()
                self.client = client


def _is_transient(error: SignStashError) -> bool:
    """Whether the service, not the document, is the reason, and the document was not processed."""
    return error.retryable and not error.maybe_processed and not isinstance(error, DocumentNotSignedError)


def _is_unsaved(outcome: Outcome) -> bool:
    return isinstance(outcome.error, DocumentNotSavedError) and outcome.error.signed is not None

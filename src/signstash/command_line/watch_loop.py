"""Signs what arrives in a folder: runs that follow each other, and pauses while nothing can be signed."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Final

import attrs

from .._event_loop import completed
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
from ..results import SignedDocument
from ..retries import LONGEST_RETRY_AFTER
from . import FAULT_OF_ALL, INTERRUPTED, SIGNED, SOME_FAILED
from .display import Display
from .document_names import named_by_journal
from .formatting import of_the_command
from .inbox import Inbox
from .interruption import Interruption
from .plan import Identity, MakeDocument, PlannedFile
from .sign_run import is_from_elsewhere, names_of
from .watch_files import move_to, remove_reason, save_late, write_reason
from .watch_report import WatchReport

FIRST_PAUSE: Final = 5.0
"""Seconds until the service is tried again after the first failure; the pause doubles with each further one."""
LONGEST_PAUSE: Final = 60.0
"""Maximum seconds between two attempts, and the pause after a fault that concerns all documents."""
_LONGEST_RUN: Final = 10_000
"""Documents after which a new run begins, so that memory stays flat."""
_OF_ALL: Final = (AuthenticationError, ClientServiceInactiveError, CertificateNotProvisionedError)
_LOCAL: Final = (ConfigurationError, InvalidDocumentError, DocumentNotSavedError)
"""Errors whose cause is on this machine, not at the service."""
_OF_THE_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors of a disk to which no file can be written."""


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
    _unsaved: dict[PlannedFile, SignedDocument] = attrs.field(init=False, factory=dict[PlannedFile, SignedDocument])
    _unmoved: deque[PlannedFile] = attrs.field(init=False, factory=deque[PlannedFile])
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
            ticker = asyncio.create_task(self._tick(ticks))
            try:
                while not self._stopping:
                    fault = await self._sign(journal)
                    if fault is not None or not self._stopping:  # a stop says nothing about the service
                        self._fault = fault
                    if fault is not None:
                        await self._pause(fault)
                self._outage = None
                with suppress(SignStashError):
                    await self._save_unsaved(journal)
            except asyncio.CancelledError:
                if not interruption.asked:
                    raise
                cancelled = True
            finally:
                ticker.cancel()
                await asyncio.wait([ticker])
                await self.client.aclose()
        error = None if ticker.cancelled() else ticker.exception()
        self.report.stopped(waiting=self._waiting, fault=error or self._fault)
        if error is not None:
            raise error
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
        return len(self._ready) + len(self._in_flight) + len(self._unsaved) + self.inbox.pending

    async def _tick(self, ticks: AsyncIterator[set[Path]]) -> None:
        try:
            async for changed in ticks:
                self._ready.extend(await asyncio.to_thread(self.inbox.look, changed))
                due = [item for item in self._later if item[0] <= self.clock()]
                self._later = [item for item in self._later if item not in due]
                self._ready.extend(file for _, file in due)
                await self._move_originals()
                self.report.remark(self.inbox.problems())
                self.report.update(waiting=self._waiting, fault=self._fault)
                self._wake.set()
        finally:
            self.stop()

    async def _sign(self, journal: Journal) -> SignStashError | None:
        """Sign until the run ends; return why no more can be signed now, or None."""
        self._outage = None
        failed: list[PlannedFile] = []
        try:
            await self._save_unsaved(journal)
            outcomes = self.client.sign_all(
                self._documents(journal),
                description=self.given.description,
                save_to=lambda document: self._in_flight[document].target,
                overwrite=self.given.force,
                journal=journal,
                unknown_outcomes=self.given.unknown,
                in_flight=self.given.in_flight,
            )
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    file, error = self._in_flight.pop(outcome.document), outcome.error
                    unsaved = error if isinstance(error, DocumentNotSavedError) else None
                    if unsaved is not None and isinstance(unsaved.signed, SignedDocument):
                        self._unsaved[file] = unsaved.signed
                        unsaved.hint = "Check folder, permissions and space."  # nobody has to move it
                        self._end_run(unsaved)
                    elif unsaved is not None and _is_of_the_disk(unsaved):
                        failed.append(file)
                        self._end_run(unsaved)
                    else:
                        if isinstance(error, _OF_ALL):
                            failed.append(file)
                        result = outcome.error if outcome.signed is None else outcome.signed
                        await self._account(file, result, signed_before=outcome.signed_before)
        except SignStashError as error:
            self._outage = error
        if self._outage is not None:  # they failed for a reason that concerns all documents
            self._ready.extendleft(reversed([*failed, *self._in_flight.values()]))
            self._in_flight.clear()
        return self._outage

    def _end_run(self, fault: SignStashError) -> None:
        """Send nothing more, because no document could be signed now."""
        self._outage = fault
        self.client.stop_runs()
        self._wake.set()

    async def _save_unsaved(self, journal: Journal) -> None:
        """Save what is signed, which may be in memory only, before anything else is sent.

        Raises:
            SignStashError: If that is not possible yet.
        """
        for file, signed in list(self._unsaved.items()):
            result: SignedDocument | SignStashError = signed
            try:
                await asyncio.to_thread(save_late, file, signed, journal, overwrite=self.given.force)
            except DocumentNotSavedError as error:
                if not isinstance(error.__cause__, FileExistsError | IsADirectoryError):
                    raise
                result = error
            del self._unsaved[file]
            await self._account(file, result)

    async def _documents(self, journal: Journal) -> AsyncGenerator[Document, None]:
        given: set[Path | Identity] = set()
        while not self._stopping and self._outage is None and len(given) < _LONGEST_RUN:
            # After a failure one document shows whether the service is back, before others are put at risk.
            if not self._ready or (self._fault is not None and self._in_flight):
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                file = self._ready[0] = await asyncio.to_thread(self._named, self._ready[0], journal)
            except SignStashError as error:  # the journal cannot be read
                self._outage = error
                return
            if not given.isdisjoint((file.path, file.identity)):  # a run signs a document once; the next run goes on
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
                self._claimed[file.identity] = file.path
                self._in_flight[document] = file
                yield document

    def _named(self, file: PlannedFile, journal: Journal) -> PlannedFile:
        """A file with the name of its document. Blocks."""
        if file.digest:
            return file
        return named_by_journal(file, journal, is_of_another=self._has_original, claimed=dict(self._claimed))

    def _has_original(self, signed_file: Path) -> bool:
        """Whether the original of a signed file is in the inbox or the folder for what is done."""
        output = Path(os.path.realpath(self.given.output))
        if not signed_file.is_relative_to(output):
            return False
        place = signed_file.relative_to(output)
        folders = (self.inbox.folder, self.given.done)
        return any(folder is not None and os.path.lexists(folder / place) for folder in folders)

    async def _account(
        self, file: PlannedFile, result: SignedDocument | SignStashError, *, signed_before: bool = False
    ) -> None:
        """Record the result of a document, and keep the files for operators."""
        error = result if isinstance(result, SignStashError) else None
        is_transient = error is not None and (_is_transient(error) or is_from_elsewhere(error))
        is_retryable = isinstance(error, DocumentNotSignedError) and error.retryable
        if error is not None and (is_transient or (_is_in_doubt(error) and self._fault is not None)):
            self._end_run(error)
        if is_transient:
            self._ready.append(file)
            return
        if self._outage is None and not isinstance(error, (*_OF_ALL, *_LOCAL)) and not signed_before:
            if self._fault is not None:
                self.display.note("Signing continues.")
            self._fault, self._failures = None, 0
        is_gone = error is not None and not await asyncio.to_thread(os.path.lexists, file.path)
        if not is_gone:  # otherwise somebody took it away before it was sent
            self.report.result(
                file, result, signed_before=signed_before, names=[] if error is None else names_of(file, error)
            )
            await self._keep_files(file, error)
        if is_retryable and not is_gone:
            failures = self._failures_of[file.path] = self._failures_of.get(file.path, -1) + 1
            self._later.append((self.clock() + LONGEST_PAUSE * 2.0 ** min(failures, 6), file))
        else:
            self._failures_of.pop(file.path, None)
            if self._claimed.get(file.identity) == file.path:
                del self._claimed[file.identity]
            self.inbox.release(file.path)
        self._wake.set()

    async def _keep_files(self, file: PlannedFile, error: SignStashError | None) -> None:
        try:
            if error is None:
                await asyncio.to_thread(remove_reason, file.target)
            else:
                message = of_the_command(str(error))
                await asyncio.to_thread(write_reason, file.target, file.path.name, message)
        except OSError as failure:
            self.report.remark([f"Reasons in {self.given.output} are not up to date: {_reason(failure)}."])
        if error is None and self.given.done is not None:
            self._unmoved.append(file)
            await self._move_originals()

    async def _move_originals(self) -> None:
        """Move originals of signed documents, as long as that is possible."""
        while self._unmoved:
            file = self._unmoved.popleft()
            place = self.given.done / file.path.relative_to(self.inbox.folder)
            try:
                if await asyncio.to_thread(self.inbox.is_unchanged, file.path):
                    await asyncio.to_thread(move_to, file.path, place)
            except OSError as failure:
                self._unmoved.appendleft(file)
                self.report.remark([f"Originals cannot be moved to {self.given.done}: {_reason(failure)}."])
                return

    async def _pause(self, fault: SignStashError) -> None:
        """Wait before the service is tried again."""
        pause = LONGEST_PAUSE
        if _is_transient(fault) or _is_in_doubt(fault):
            pause = min(FIRST_PAUSE * 2.0 ** min(self._failures, 10), LONGEST_PAUSE)
            if isinstance(fault, RateLimitedError) and fault.retry_after is not None:
                pause = max(pause, min(fault.retry_after, LONGEST_RETRY_AFTER))
        self._failures += 1
        self.report.failing(fault)
        until = self.clock() + pause
        while self.clock() < until and not self._stopping:
            self._wake.clear()
            await self._wake.wait()
        if self.new_client is not None and not _is_transient(fault) and not self._stopping:
            with suppress(SignStashError):  # the settings are being changed: the next attempt reads them again
                before, self.client = self.client, self.new_client()
                await completed(before.aclose())


def _is_transient(error: SignStashError) -> bool:
    """Whether the service, not the document, is the reason, and the document was not processed."""
    return error.retryable and not error.maybe_processed and not isinstance(error, DocumentNotSignedError)


def _is_in_doubt(error: SignStashError) -> bool:
    """Whether the service's response was lost, so that the document may be signed."""
    return error.maybe_processed and not isinstance(error, _LOCAL)


def _is_of_the_disk(error: SignStashError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _OF_THE_DISK


def _reason(failure: OSError) -> str:
    return failure.strerror or str(failure)

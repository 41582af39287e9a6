"""Signs any number of documents: fills batches, keeps few requests in flight, and yields every outcome."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import warnings
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from inspect import iscoroutinefunction
from typing import Any, Final, get_args

import attrs

from .._arguments import require_count, require_flags, require_seconds
from .._errors.redaction import first_three
from .._event_loop import running_loop
from .._signing.request import RequestOptions
from .._signing.saving import SignedFiles
from .._signing.signer import Signer
from ..documents import Document
from ..errors import ConfigurationError
from ..journal import Journal
from ..results import Outcome, Progress
from ..retries import RetryPolicy, is_within_call
from ..settings import SaveTo, UnknownOutcomes
from .concurrency import ConcurrencyLimiter
from .document_errors import reason_of, sent_by_an_earlier_run
from .ledger import RunLedger
from .plan import Batch, Callers, PlannedDocument
from .processor import BatchProcessor
from .reader import DocumentReader

logger: Final = logging.getLogger("signstash")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RunSettings:
    """The settings of runs, which are validated when they are made; see `RunOptions`."""

    signer: Signer
    open_runs: OpenRuns
    retry_policy: RetryPolicy
    save_to: SaveTo | None = None
    overwrite: bool = False
    journal: Journal | None = None
    unknown_outcomes: UnknownOutcomes = "hold"
    batch_documents: int = 50
    batch_bytes: int = 10_000_000
    linger: float = 0.0
    in_flight: int = 2
    progress: Callable[[Progress], None] | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("batch_documents", "batch_bytes", "in_flight"):
            require_count(name, getattr(self, name))
        require_seconds("linger", self.linger, allow_zero=True)
        if self.unknown_outcomes not in get_args(UnknownOutcomes):
            choices = ", ".join(get_args(UnknownOutcomes))
            raise ConfigurationError(f"unknown_outcomes is {self.unknown_outcomes!r}.", f"Give one of {choices}.")
        calls = (self.progress, getattr(self.progress, "__call__", None))  # noqa: B004 - of an object, too
        if self.progress is not None and (not callable(self.progress) or any(map(iscoroutinefunction, calls))):
            hint = "Give an ordinary function that takes a Progress, without async."
            raise ConfigurationError(f"progress is {self.progress!r}.", hint)
        if self.journal is not None and not isinstance(self.journal, Journal):
            raise ConfigurationError(f"journal is {self.journal!r}.", "Give a Journal, such as Journal('run.journal').")
        if self.journal is not None and self.save_to is None:
            raise ConfigurationError("A journal was given without save_to.", "Give both: what is signed must be saved.")
        require_flags(overwrite=self.overwrite)
        self._files()  # validates `save_to`

    def new_run(self, callers: Callers, limiter: ConcurrencyLimiter | None = None) -> Run:
        """A new run for those who want documents signed, which ends when the client is closed."""
        client = (self.signer.exchange.client_service, getattr(self.signer.exchange.auth, "_token_host", ""))
        ledger = RunLedger(client=client, journal=self.journal, files=self._files(), has_callers=callers.are_waiting)
        processor = BatchProcessor(
            signer=self.signer,
            ledger=ledger,
            retry_policy=self.retry_policy,
            unknown_outcomes=self.unknown_outcomes,
            limiter=limiter or ConcurrencyLimiter(self.in_flight),
            callers=callers,
        )
        run = Run(settings=self, processor=processor, ledger=ledger, callers=callers)
        self.open_runs.add(run)
        return run

    def _files(self) -> SignedFiles | None:
        if self.save_to is None:
            return None
        recovery = None if self.journal is None else self.journal.recovery_folder
        return SignedFiles(save_to=self.save_to, overwrite=self.overwrite, recovery=recovery)


@attrs.define(kw_only=True, eq=False, repr=False)
class Run:
    """One run over any number of documents.

    A batch is sent when it is full, or when the source has nothing ready and a request could be sent: nothing waits
    for company while the service is idle, and batches grow by themselves while it is busy.
    """

    settings: RunSettings
    processor: BatchProcessor
    ledger: RunLedger
    callers: Callers
    _changed: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _open: deque[Batch] = attrs.field(init=False, factory=deque[Batch])
    _due: float | None = attrs.field(init=False, default=None)
    _backlog: deque[Batch] = attrs.field(init=False, factory=deque[Batch])
    _planning: asyncio.Task[list[PlannedDocument | Outcome]] | None = attrs.field(init=False, default=None)
    _requests: set[asyncio.Task[tuple[list[Outcome], Sequence[Batch]]]] = attrs.field(init=False, factory=set)
    _progress: Progress = attrs.field(init=False, factory=Progress)
    _iterations: list[float] = attrs.field(init=False, factory=list[float])  # when they began

    def started(self, documents: Iterable[Document] | AsyncIterable[Document]) -> AsyncGenerator[Outcome, None]:
        """The outcomes of documents, with a warning if nobody iterates over them."""
        outcomes = self.outcomes(documents)
        weakref.finalize(outcomes, _warn_if_never_iterated, self._iterations).atexit = False
        return outcomes

    async def outcomes(self, documents: Iterable[Document] | AsyncIterable[Document]) -> AsyncGenerator[Outcome, None]:
        """The outcome of each document, as soon as it is known."""
        began = time.monotonic()
        self._iterations.append(began)
        running_loop()  # raises under trio
        with self.ledger.opened():
            reader = DocumentReader(documents, self._changed)
            self._progress = Progress(total=reader.total)
            known: deque[Outcome] = deque()
            try:
                while self._advance(reader):
                    await self._changed.wait()
                    self._changed.clear()
                    known.extend(self._collected(reader))
                    while known:
                        self._count(known[0], time.monotonic() - began)
                        yield known.popleft()
                for batch in [*self._backlog, *self._open]:
                    known.extend(self.processor.unresolved(batch).outcomes.values())
                while known:
                    self._count(known[0], time.monotonic() - began)
                    yield known.popleft()
                if self.processor.fault is not None:
                    raise self.processor.fault
            finally:
                await self._stop(reader, known)

    def end(self, fault: BaseException | None = None) -> None:
        """Send nothing more, and end pauses between attempts; then raise the fault. What is in flight is awaited."""
        self.processor.end(fault)
        self._changed.set()

    def _advance(self, reader: DocumentReader) -> bool:
        """Start whatever can be started now; tell whether there is anything left to wait for."""
        while self._backlog and self._has_room:
            self._start(self._backlog.popleft())
        if self._planning is None and not self._backlog and self._has_room:
            if reader.is_empty:
                fullest = max(self._open, key=lambda batch: len(batch.items), default=Batch([], RequestOptions()))
                places = self.settings.batch_documents - len(fullest.items)
                reader.want(documents=places, content_bytes=self.settings.batch_bytes - fullest.size)
            else:
                self._planning = asyncio.create_task(self.ledger.plan(reader.take()))
                self._planning.add_done_callback(lambda _: self._changed.set())
        if self._open and self._planning is None and reader.is_empty and self._schedule_open_batch(reader):
            self._due = None
            self._start(self._open.popleft())
        if self.processor.has_ended:
            # A source may wait for ever; when the run has ended, nobody wants its next document.
            return bool(self._requests)
        is_done = reader.is_exhausted and reader.is_empty and not self._open and not self._backlog
        return bool(self._requests) or self._planning is not None or not is_done

    @property
    def _has_room(self) -> bool:
        """Whether another batch may be started: one more than there are slots, so that it is read while it waits."""
        return not self.processor.has_ended and len(self._requests) <= self.processor.limiter.limit

    def _schedule_open_batch(self, reader: DocumentReader) -> bool:
        if reader.is_exhausted:
            return self._has_room
        if not reader.is_waiting or self.processor.has_ended or len(self._requests) >= self.processor.limiter.limit:
            return False
        loop = asyncio.get_running_loop()
        if self._due is None:  # even without a linger others get one turn, in which they may give more documents
            self._due = loop.time() + self.settings.linger
            loop.call_at(self._due, self._changed.set)
            return False
        return loop.time() >= self._due

    def _add(self, item: PlannedDocument) -> None:
        options = self.callers.options_for(item.given)
        batch = next((batch for batch in self._open if batch.options == options), None)
        if batch is not None and batch.size + item.size > self.settings.batch_bytes:
            self._fill(batch)
            batch = None
        if batch is None:
            batch = Batch([], options)
            self._open.append(batch)
        batch.items.append(item)
        batch.size += item.size
        if len(batch.items) == self.settings.batch_documents or batch.size >= self.settings.batch_bytes:
            self._fill(batch)

    def _fill(self, batch: Batch) -> None:
        self._due = None
        self._open.remove(batch)
        self._backlog.append(batch)

    def _start(self, batch: Batch) -> None:
        request = asyncio.create_task(self.processor.process(batch))
        request.add_done_callback(lambda _: self._changed.set())
        self._requests.add(request)

    def _collected(self, reader: DocumentReader) -> list[Outcome]:
        """What has become known since the last time."""
        known: list[Outcome] = []
        if reader.fault is not None:
            self.processor.end(reader.fault)
        if self._planning is not None and self._planning.done():
            planning, self._planning = self._planning, None
            try:
                planned = planning.result()
            except Exception as error:  # noqa: BLE001 - from `save_to`: it is raised after what is in flight
                self.processor.end(error)
                planned = []
            sent_before: list[PlannedDocument] = []
            for item in planned:
                if isinstance(item, Outcome):
                    known.append(item)
                    if getattr(item.error, "signed", None) is not None:  # nor could another one be saved
                        self.processor.end(item.error)
                elif item.entry.state in ("sent", "received", "requeued"):
                    sent_before.append(item)
                else:
                    self._add(item)
            self.callers.sending(sent_before, True)
            look_up = self.settings.unknown_outcomes == "look_up"
            for group in [sent_before] * bool(sent_before) if look_up else [[item] for item in sent_before]:
                lost = sent_by_an_earlier_run(*(item.reference for item in group))
                self._backlog.append(Batch(group, self.callers.options_for(group[0].given), lost, look_up=look_up))
        for request in [request for request in self._requests if request.done()]:
            self._requests.discard(request)
            try:
                outcomes, following = request.result()
            except Exception as error:  # noqa: BLE001 - from code of the user's own: it is raised as that of `save_to`
                self.processor.end(error)
                continue
            known += outcomes
            self._backlog.extendleft(reversed(following))
        return known

    def _count(self, outcome: Outcome, seconds: float) -> None:
        if self.settings.progress is None:
            return
        before, is_signed = self._progress, outcome.ok
        self._progress = attrs.evolve(
            before,
            signed=before.signed + (is_signed and not outcome.signed_before),
            signed_before=before.signed_before + (is_signed and outcome.signed_before),
            failed=before.failed + (not is_signed),
            requests=self.processor.requests,
            content_bytes=self.processor.content_bytes,
            in_flight=len(self._requests),
            seconds=seconds,
        )
        self.settings.progress(self._progress)

    async def _stop(self, reader: DocumentReader, known: Iterable[Outcome]) -> None:
        """Stop reading. What is in flight is awaited, unless whoever wants the outcomes was cancelled."""
        self.processor.end()
        others: list[asyncio.Task[Any]] = [reader.stop()]
        if self._planning is not None:
            self._planning.cancel()
            others.append(self._planning)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            for request in self._requests:
                request.cancel()
        cancellation: asyncio.CancelledError | None = None
        while pending := [each for each in (*others, *self._requests) if not each.done()]:
            try:
                await asyncio.wait(pending)
            except asyncio.CancelledError as error:
                cancellation = error
                for each in pending:  # the source, too, a second time if it is slow to close
                    each.cancel()
        done = [each.result()[0] for each in self._requests if not each.cancelled() and each.exception() is None]
        log_unseen([*known, *(outcome for outcomes in done for outcome in outcomes)])
        ending = cancellation or sys.exception()
        if isinstance(ending, asyncio.CancelledError):
            vars(ending).update({"maybe_processed": False, "external_references": (), **vars(ending)})
        for each in self._requests:
            if each.cancelled() and isinstance(ending, asyncio.CancelledError):
                try:
                    each.result()
                except asyncio.CancelledError as error:
                    _adopt_notes(ending, error)
        if cancellation is not None:
            raise cancellation


def log_unseen(outcomes: Iterable[Outcome]) -> None:
    """Log the outcomes of documents that nobody waits for any more, on one line for each kind of outcome."""
    groups: dict[str, list[str]] = {}
    for outcome in outcomes:
        error, what = outcome.error, "signed"
        if error is not None:
            subject = f"document {outcome.document.name} ({', '.join(error.external_references)})"
            what = f"{reason_of(error)} {error.hint}".replace(subject, "it", 1)
        groups.setdefault(what, []).append(outcome.document.name)
    for what, names in groups.items():
        shown = first_three(names)
        logger.warning("outcome of %s, which nobody waits for: %s", shown, what, extra={"documents": names})


def _warn_if_never_iterated(iterations: list[float]) -> None:
    """Warn that nothing was signed, as Python does of a coroutine that was never awaited."""
    if not iterations:
        warnings.warn("sign_all was never iterated: nothing was signed", RuntimeWarning, stacklevel=2)


def _adopt_notes(error: BaseException, of_request: BaseException) -> None:
    """Say on the cancellation of a run what that of a request says, and which documents may have been processed."""
    for note in getattr(of_request, "__notes__", ()):
        error.add_note(note)
    in_doubt = getattr(of_request, "external_references", ()) if getattr(of_request, "maybe_processed", False) else ()
    references = (*getattr(error, "external_references", ()), *in_doubt)
    vars(error).update(maybe_processed=bool(references), external_references=references)


class OpenRuns(weakref.WeakSet[Run]):
    """The runs of a client."""

    def end(self, fault: BaseException | None = None) -> None:
        """End all of them; see `Run.end`. Without a fault those go on whose documents have callers that wait."""
        for run in list(self):
            if fault is not None or not run.callers.are_waiting:
                run.end(fault)

    async def aclose(self) -> None:
        """End all of them; wait until what is in flight is saved and recorded, unless cancelled or within a hook."""
        self.end(ConfigurationError("The client was closed during a run.", "Close it after the run."))
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        in_flight = [each for run in self for each in run._requests if each.get_loop() is loop]
        if in_flight and not is_within_call() and not (task is not None and task.cancelling()):
            await asyncio.wait(in_flight)

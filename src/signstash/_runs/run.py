"""Signs any number of documents: fills batches, keeps few requests in flight, and yields every outcome."""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from typing import Final

import attrs

from .._errors.unknown import sent_by_an_earlier_run
from ..documents import Document
from ..options import UnknownOutcomes
from ..results import Outcome, Progress
from .ledger import RunLedger
from .plan import Batch, Callers, OneCaller, OpenBatch, PlannedDocument
from .processor import BatchProcessor
from .reader import DocumentReader

logger: Final = logging.getLogger("signstash")


@attrs.define(kw_only=True, eq=False)
class Run:
    """One run over any number of documents.

    A batch is sent when it is full, or when the source has nothing ready and a request could be sent: nothing waits
    for company while the service is idle, and batches grow by themselves while it is busy.
    """

    processor: BatchProcessor
    ledger: RunLedger
    callers: Callers
    unknown_outcomes: UnknownOutcomes
    batch_documents: int
    batch_bytes: int
    linger: float
    progress: Callable[[Progress], None] | None = None
    clock: Callable[[], float] = time.monotonic
    _changed: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _open: deque[OpenBatch] = attrs.field(init=False, factory=deque[OpenBatch])
    _due: float | None = attrs.field(init=False, default=None)
    _backlog: deque[Batch] = attrs.field(init=False, factory=deque[Batch])
    _planning: asyncio.Task[list[PlannedDocument | Outcome]] | None = attrs.field(init=False, default=None)
    _requests: set[asyncio.Task[tuple[list[Outcome], Sequence[Batch]]]] = attrs.field(init=False, factory=set)
    _progress: Progress = attrs.field(init=False, factory=Progress)
    _is_iterated: bool = attrs.field(init=False, default=False)

    def started(self, documents: Iterable[Document] | AsyncIterable[Document]) -> AsyncGenerator[Outcome, None]:
        """The outcomes of documents, with a warning if nobody iterates over them."""
        outcomes = self.outcomes(documents)
        weakref.finalize(outcomes, self.warn_if_never_iterated).atexit = False
        return outcomes

    async def outcomes(self, documents: Iterable[Document] | AsyncIterable[Document]) -> AsyncGenerator[Outcome, None]:
        """The outcome of each document, as soon as it is known."""
        began = self.clock()
        self._is_iterated = True
        with self.ledger.opened():
            reader = DocumentReader(documents, self._changed)
            self._progress = Progress(total=reader.total)
            known: deque[Outcome] = deque()
            try:
                while self._goes_on(reader):
                    await self._changed.wait()
                    self._changed.clear()
                    known.extend(self._collected(reader))
                    while known:
                        self._count(known[0], self.clock() - began)
                        yield known.popleft()
                for batch in [*self._backlog, *(batch.take() for batch in self._open)]:
                    known.extend(self.processor.unresolved(batch).outcomes.values())
                while known:
                    self._count(known[0], self.clock() - began)
                    yield known.popleft()
                if self.processor.fault is not None:
                    raise self.processor.fault
            finally:
                await self._stop(reader, known)

    def end(self, fault: BaseException | None = None) -> None:
        """Send nothing more, and end pauses between attempts; then raise the fault. What is in flight is awaited."""
        self.processor.end(fault)
        self._changed.set()

    def warn_if_never_iterated(self) -> None:
        """Warn that nothing was signed, as Python does of a coroutine that was never awaited."""
        if not self._is_iterated:
            warnings.warn("sign_all was never iterated: nothing was signed", RuntimeWarning, stacklevel=2)

    def _goes_on(self, reader: DocumentReader) -> bool:
        """Start whatever can be started now; tell whether there is anything left to wait for."""
        while self._backlog and self._has_room:
            self._start(self._backlog.popleft())
        if self._planning is None and not self._backlog and self._has_room:
            if reader.is_empty:
                fullest = max(self._open, key=len, default=None)
                places, room = (
                    (self.batch_documents, self.batch_bytes) if fullest is None else (fullest.places, fullest.room)
                )
                reader.want(documents=places, content_bytes=room)
            else:
                self._planning = asyncio.create_task(self.ledger.plan(reader.take()))
                self._planning.add_done_callback(self._wake)
        if self._open and self._planning is None and reader.is_empty and self._may_send_open_batch(reader):
            self._due = None
            self._start(self._open.popleft().take())
        if self.processor.has_ended:
            # A source may wait for ever; when the run has ended, nobody wants its next document.
            return bool(self._requests)
        is_done = reader.is_exhausted and reader.is_empty and not self._open and not self._backlog
        return bool(self._requests) or self._planning is not None or not is_done

    @property
    def _has_room(self) -> bool:
        """Whether another batch may be started: one more than there are slots, so that it is read while it waits."""
        return not self.processor.has_ended and len(self._requests) <= self.processor.limiter.limit

    def _may_send_open_batch(self, reader: DocumentReader) -> bool:
        if reader.is_exhausted:
            return self._has_room
        if not reader.is_waiting or self.processor.has_ended or len(self._requests) >= self.processor.limiter.limit:
            return False
        loop = asyncio.get_running_loop()
        if self._due is None:  # even without a linger others get one turn, in which they may give more documents
            self._due = loop.time() + self.linger
            loop.call_at(self._due, self._changed.set)
            return False
        return loop.time() >= self._due

    def _add(self, item: PlannedDocument) -> None:
        options = self.callers._options_for(item.given)
        batch = next((batch for batch in self._open if batch.options == options), None)
        if batch is None:
            batch = OpenBatch(options, self.batch_documents, self.batch_bytes)
            self._open.append(batch)
        if full := batch.add(item):
            self._due = None
            self._backlog.extend(full)
            if not batch:
                self._open.remove(batch)

    def _start(self, batch: Batch) -> None:
        request = asyncio.create_task(self.processor.process(batch))
        request.add_done_callback(self._wake)
        self._requests.add(request)

    def _wake(self, _: object) -> None:
        self._changed.set()

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
            for item in planned:
                if isinstance(item, Outcome):
                    known.append(item)
                elif item.lost:
                    lost = sent_by_an_earlier_run(item.reference)
                    look_up = self.unknown_outcomes == "look_up"
                    self._backlog.append(Batch([item], self.callers._options_for(item.given), lost, look_up=look_up))
                else:
                    self._add(item)
        for request in [request for request in self._requests if request.done()]:
            self._requests.discard(request)
            outcomes, following = request.result()
            known += outcomes
            self._backlog.extendleft(reversed(following))
        return known

    def _count(self, outcome: Outcome, seconds: float) -> None:
        before, is_signed = self._progress, outcome.ok
        self._progress = Progress(
            signed=before.signed + (is_signed and not outcome.signed_before),
            signed_before=before.signed_before + (is_signed and outcome.signed_before),
            failed=before.failed + (not is_signed),
            total=before.total,
            requests=self.processor.requests,
            content_bytes=self.processor.content_bytes,
            in_flight=len(self._requests),
            seconds=seconds,
        )
        if self.progress is not None:
            self.progress(self._progress)

    async def _stop(self, reader: DocumentReader, known: Iterable[Outcome]) -> None:
        """Stop reading. What is in flight is awaited, unless whoever wants the outcomes was cancelled."""
        self.processor.end()
        if self._planning is not None:
            self._planning.cancel()
        await reader.stop()
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            self._cancel_requests()
        try:
            while not all(request.done() for request in self._requests):
                await asyncio.wait(self._requests)
        except asyncio.CancelledError:
            self._cancel_requests()
            await asyncio.wait(self._requests)
            raise
        results = await asyncio.gather(*self._requests, return_exceptions=True)
        unseen = [*known, *(item for result in results if isinstance(result, tuple) for item in result[0])]
        for outcome in unseen:
            what = "signed" if outcome.ok else str(outcome.error)
            logger.warning("outcome of %s, which nobody asked for any more: %s", outcome.document.name, what)

    def _cancel_requests(self) -> None:
        for request in self._requests:
            request.cancel()


class OpenRuns(weakref.WeakSet[Run]):
    """The runs of a client."""

    def end(self, fault: BaseException | None = None) -> None:
        """End all of them; see `Run.end`. Without a fault those go on whose documents have callers that wait."""
        for run in list(self):
            if fault is not None or isinstance(run.callers, OneCaller):
                run.end(fault)

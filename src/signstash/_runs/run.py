"""Signs any number of documents: plans requests, keeps few in flight, and accounts for every document."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Mapping,
    Sequence,
)
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import attrs

from .._transport.exchange import Answer
from .._transport.tracing import call_span
from ..documents import Document
from ..errors import (
    AuthenticationError,
    CertificateNotProvisionedError,
    ClientServiceInactiveError,
    ConfigurationError,
    ConnectionFailedError,
    DuplicateReferenceError,
    OutcomeUnknownError,
    RateLimitedError,
    SignStashError,
)
from ..results import Outcome
from ..retries import Retries, RetryPolicy
from .concurrency import ConcurrencyLimiter
from .plan import Batch, BatchResult, PlannedDocument, Progress, UnknownOutcomes

logger: Final = logging.getLogger(__name__)

Result = TypeVar("Result")


FAULTS_OF_ALL: Final = (
    ConfigurationError,
    AuthenticationError,
    ClientServiceInactiveError,
    CertificateNotProvisionedError,
)
"""What would fail for every other document too, and so ends a run."""

USUAL_SIZE: Final = 200_000
"""Bytes of a usual document (vendor's figure); a longer one may take longer without the service being overloaded."""

GIVE_UP_AFTER: Final = 3
"""Requests in a row that may fail for want of a service, all their retries included, until the run ends."""

LOSE_NO_MORE_AFTER: Final = 5
"""Requests in a row that may fail or lose their answer, until the run ends: each puts its documents at risk."""


class Books(Protocol):
    """Who keeps account of a run: decides what is sent, and is told what became of it."""

    def opened(self) -> contextlib.AbstractContextManager[None]:
        """Lasts as long as the run."""
        ...

    async def plan(self, document: Document) -> PlannedDocument | Outcome | None:
        """What is to be done with a document: send it, report this outcome, or nothing, since it is done."""
        ...

    async def sending(self, batch: Sequence[PlannedDocument]) -> None:
        """Is told before a request goes out."""
        ...

    async def done(
        self,
        results: Mapping[PlannedDocument, Outcome],
        *,
        unsettled: Collection[PlannedDocument],
        unsent: Sequence[PlannedDocument],
    ) -> tuple[list[Outcome], SignStashError | None]:
        """Is told what came of a batch, and may change outcomes; the error, if there is one, ends the run.

        Args:
            results: Outcomes by document.
            unsettled: Documents of these whose outcome is unknown, and left for the next run to settle.
            unsent: Documents that surely were not processed, and have no outcome yet.
        """
        ...


class Transmit(Protocol):
    """Awaits what sends a request, when there is a lane for it."""

    async def __call__(self, send: Callable[[], Awaitable[Answer]], /) -> Answer:
        """The answer.

        Raises:
            SignStashError: If there is none, or it is a refusal.
        """
        ...


@attrs.define(kw_only=True)
class Run:
    """One run over any number of documents.

    Attributes:
        send: Signs documents with one request, and returns an outcome for each, or raises. What goes over the network
            it hands to the second argument, so that documents are read and saved while others are on their way.
        look_up: Fetches what became of a document, or None if the service does not know it.
        books: Keeps account.
        retry_policy: How often requests are tried.
        unknown_outcomes: What happens to documents whose answer was lost.
        in_flight: Requests that may be in flight.
        progress: Is told how far the run has come, after each document; it must not wait.
        clock: Monotonic clock, in seconds.
    """

    send: Callable[[Sequence[PlannedDocument], Transmit], Awaitable[Sequence[Outcome]]]
    look_up: Callable[[PlannedDocument], Awaitable[Outcome | None]]
    books: Books
    retry_policy: RetryPolicy
    unknown_outcomes: UnknownOutcomes
    in_flight: int
    progress: Callable[[Progress], None] | None = None
    clock: Callable[[], float] = time.monotonic
    _lanes: ConcurrencyLimiter = attrs.field(
        init=False, default=attrs.Factory(lambda self: ConcurrencyLimiter(self.in_flight), takes_self=True)
    )
    _retries: Retries = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: Retries(policy=self.retry_policy, sleep=self._pause), takes_self=True),
    )
    _fault: Exception | None = attrs.field(init=False, default=None)
    _ended: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _failures_in_a_row: int = attrs.field(init=False, default=0)
    _progress: Progress = attrs.field(init=False, factory=Progress)

    async def outcomes(
        self, planned: AsyncGenerator[list[PlannedDocument] | Outcome, None]
    ) -> AsyncGenerator[Outcome, None]:
        """The outcome of each document, as soon as it is known.

        Args:
            planned: Batches; one is taken and read ahead of the requests that there is room for.

        Raises:
            SignStashError: A fault that concerns all documents, after the outcomes of what was in flight.
            Exception: What the source of documents raised, likewise.
        """
        started = self.clock()
        backlog: deque[Batch] = deque()
        requests: set[asyncio.Task[tuple[list[Outcome], Sequence[Batch]]]] = set()
        plan: asyncio.Task[list[PlannedDocument] | Outcome | None] | None = None
        exhausted = False
        with self.books.opened():
            try:
                while True:
                    while backlog and self._has_room(requests):
                        requests.add(asyncio.create_task(self._accounted(backlog.popleft())))
                    if plan is None and not exhausted and self._has_room(requests):
                        plan = asyncio.create_task(_next(planned))
                    waiting: set[asyncio.Task[Any]] = {*requests, *([] if plan is None else [plan])}
                    # A source may wait for ever; when the run has ended, nobody wants its next document.
                    if not waiting or (self._fault is not None and not requests):
                        break
                    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    known: list[Outcome] = []
                    if plan is not None and plan in done:
                        batch = self._planned(plan)
                        plan = None
                        if isinstance(batch, Outcome):
                            known.append(batch)
                        elif batch is None:
                            exhausted = True
                        else:
                            backlog.append(batch)
                    for request in requests & done:
                        requests.discard(request)
                        outcomes, following = request.result()
                        known += outcomes
                        backlog.extendleft(reversed(following))
                    for outcome in known:
                        self._count(outcome, in_flight=len(requests), seconds=self.clock() - started)
                        yield outcome
                for batch in backlog:
                    for outcome in self._left(batch).outcomes.values():
                        self._count(outcome, in_flight=0, seconds=self.clock() - started)
                        yield outcome
                if self._fault is not None:
                    raise self._fault
            finally:
                left = [*requests, *([] if plan is None else [plan])]
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)
                await planned.aclose()

    def _has_room(self, requests: Collection[object]) -> bool:
        """Whether another batch may be begun: one more than there are lanes, to be read while it waits for its lane."""
        return self._fault is None and len(requests) <= self._lanes.open

    def _planned(self, plan: asyncio.Task[list[PlannedDocument] | Outcome | None]) -> Batch | Outcome | None:
        try:
            planned = plan.result()
        except Exception as error:  # noqa: BLE001 - the source's own: it is raised after what is in flight
            self._end(error)
            return None
        if not isinstance(planned, list):
            return planned
        if not planned[0].lost:
            return Batch(planned)
        return Batch(planned, _sent_by_an_earlier_run(planned[0]), ask=self.unknown_outcomes == "look_up")

    def _end(self, fault: Exception) -> None:
        """Send nothing more, and raise the first fault when what is in flight is known."""
        self._fault = self._fault or fault
        self._ended.set()

    async def _pause(self, seconds: float) -> None:
        """Wait before another try, but not longer than the run goes on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    def _count(self, outcome: Outcome, *, in_flight: int, seconds: float) -> None:
        before = self._progress
        self._progress = attrs.evolve(
            before,
            signed=before.signed + outcome.ok,
            failed=before.failed + (not outcome.ok),
            in_flight=in_flight,
            seconds=seconds,
        )
        if self.progress is not None:
            self.progress(self._progress)

    async def _accounted(self, batch: Batch) -> tuple[list[Outcome], Sequence[Batch]]:
        found = await self._found(batch)
        maybe_processed = batch.lost is not None or any(later.lost is not None for later in found.next)
        unsent = [] if maybe_processed else [item for item in batch.items if item not in found.outcomes]
        outcomes, fault = await _completed(self.books.done(found.outcomes, unsettled=found.unsettled, unsent=unsent))
        if fault is not None:
            self._end(fault)
        size = sum(item.size for item in found.outcomes)
        self._progress = attrs.evolve(self._progress, content_bytes=self._progress.content_bytes + size)
        return outcomes, found.next

    async def _found(self, batch: Batch) -> BatchResult:
        if self._fault is not None:
            return self._left(batch)
        if batch.lost is not None and self.unknown_outcomes == "set_aside" and not batch.items[0].requeued:
            return BatchResult({item: _set_aside(item, batch.lost) for item in batch.items})
        return await (self._looked_up(batch, batch.items[0]) if batch.ask else self._sent(batch))

    def _left(self, batch: Batch) -> BatchResult:
        """What is to be said of documents when the run ends before anything is learnt of them."""
        if batch.lost is None:
            return BatchResult()
        return BatchResult({item: _set_aside(item, batch.lost) for item in batch.items}, unsettled=batch.items)

    async def _sent(self, batch: Batch) -> BatchResult:
        try:
            outcomes = await self._tried(batch.items)
        except FAULTS_OF_ALL as error:
            self._end(error)
            return self._left(batch)
        except SignStashError as error:
            return self._failed(batch, error)
        if outcomes is None:
            return self._left(batch)
        self._failures_in_a_row = 0
        certificate_faults = [item.error for item in outcomes if isinstance(item.error, CertificateNotProvisionedError)]
        if len(certificate_faults) == len(outcomes):
            self._end(certificate_faults[0])
        return BatchResult(dict(zip(batch.items, outcomes, strict=True)))

    async def _tried(self, items: Sequence[PlannedDocument]) -> Sequence[Outcome] | None:
        """The outcomes of one request, or None if the run ended before it was sent."""
        with call_span("sign", (item.reference for item in items)):
            try:
                return await self._retries.run(lambda: self.send(items, partial(self._transmit, items)))
            except _EndedError:
                return None

    async def _transmit(self, items: Sequence[PlannedDocument], send: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._lanes.one():
            if self._fault is not None:
                raise _EndedError
            await self.books.sending(items)
            began = self.clock()
            try:
                answer = await send()
            except RateLimitedError:
                self._lanes.overloaded()
                raise
            finally:
                self._progress = attrs.evolve(self._progress, requests=self._progress.requests + 1)
            self._lanes.answered((self.clock() - began) / sum(1 + item.size / USUAL_SIZE for item in items))
            return answer

    def _failed(self, batch: Batch, error: SignStashError) -> BatchResult:
        """What becomes of the documents of a request that failed as a whole."""
        if error.maybe_processed:
            self._count_failure(error)
            if self.unknown_outcomes == "set_aside" or batch.lost is not None:
                return BatchResult({item: _set_aside(item, error) for item in batch.items})
            if self.unknown_outcomes == "send_again":
                return BatchResult(next=[Batch(batch.items, error)])
            return BatchResult(next=[Batch([item], error, ask=True) for item in batch.items])
        if _is_transient(error):
            self._count_failure(error)
            if batch.lost is not None:
                return self._left(batch)
            return BatchResult({item: Outcome(item.given, error.again()) for item in batch.items})
        if len(batch.items) > 1:
            # One document is at fault: halving finds it, and the others get signed.
            logger.debug("a request with %d documents was refused, splitting it: %s", len(batch.items), error)
            middle = len(batch.items) // 2
            halves = batch.items[:middle], batch.items[middle:]
            return BatchResult(next=[Batch(half, batch.lost) for half in halves])
        (item,) = batch.items
        if batch.lost is None:
            return BatchResult({item: Outcome(item.given, error)})
        if isinstance(error, DuplicateReferenceError):
            return BatchResult({item: Outcome(item.given, _went_through(item, error))})
        return BatchResult({item: _set_aside(item, batch.lost)})  # this refusal says nothing about the earlier request

    async def _looked_up(self, batch: Batch, item: PlannedDocument) -> BatchResult:
        try:
            with call_span("look_up", [item.reference]):
                outcome = await self._retries.run(lambda: self.look_up(item))
        except SignStashError as error:
            logger.warning("document %s could not be looked up: %s", item.reference, error)
            if isinstance(error, FAULTS_OF_ALL):
                self._end(error)
            elif _is_transient(error):
                self._count_failure(error)
            else:
                return BatchResult({item: _set_aside(item, batch.lost or error)})
            return self._left(batch)
        self._failures_in_a_row = 0
        return BatchResult({item: outcome}) if outcome is not None else BatchResult(next=[Batch([item], batch.lost)])

    def _count_failure(self, error: SignStashError) -> None:
        """When one request after another fails, the service is not there: no more documents are put at risk."""
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= (LOSE_NO_MORE_AFTER if error.maybe_processed else GIVE_UP_AFTER):
            self._end(error)


def _is_transient(error: SignStashError) -> bool:
    return isinstance(error, ConnectionFailedError) or getattr(error, "retryable", False)


async def _completed(work: Coroutine[Any, Any, Result]) -> Result:
    """Await what must not stay half done: cancelled, it is waited for all the same."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class _EndedError(Exception):
    """The run ended before a request was sent."""


async def _next(
    planned: AsyncGenerator[list[PlannedDocument] | Outcome, None],
) -> list[PlannedDocument] | Outcome | None:
    return await anext(planned, None)


def _sent_by_an_earlier_run(item: PlannedDocument) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        "An earlier run sent it and ended before its answer was recorded.",
        "Look it up by its external reference.",
        external_references=(item.reference,),
    )


def _set_aside(item: PlannedDocument, lost: SignStashError) -> Outcome:
    error = OutcomeUnknownError(
        f"Whether document {item.given.name} ({item.reference}) is signed is not known: {lost.problem}",
        "Look it up by its external reference on the Integration Service, or have it sent again under the same one: "
        "if it is signed, the service refuses it (DuplicateReferenceError).",
        external_references=(item.reference,),
    )
    error.__cause__ = lost
    return Outcome(item.given, error)


def _went_through(item: PlannedDocument, error: SignStashError) -> OutcomeUnknownError:
    unknown = OutcomeUnknownError(
        f"Document {item.given.name} ({item.reference}) is signed, but the answer with its contents was lost: "
        "sent again, its reference was refused.",
        "Fetch it from the Integration Service, if the service keeps it there; a proxy gives its contents only once.",
        external_references=(item.reference,),
    )
    unknown.__cause__ = error
    return unknown

"""Signs any number of documents: plans requests, keeps few in flight, and accounts for every document."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import attrs

from .documents import Document, refuse_other_types
from .errors import (
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
from .exchange import Answer
from .outcomes import Outcome
from .retries import Retries, RetryPolicy

logger = logging.getLogger(__name__)

UnknownOutcomes = Literal["set_aside", "look_up", "send_again"]
"""What happens to documents whose request went out and whose answer was lost.

- `set_aside`: each gets an `OutcomeUnknownError`, for a person to decide.
- `look_up`: on the Integration Service they are looked up by their references, and their signed contents fetched; what
  is not there is sent again.
- `send_again`: they are sent again under the same references. The service refuses those that went through
  (`DuplicateReferenceError`); these are then known to be signed, but a proxy does not have their contents any more.
"""

FAULTS_OF_ALL: Final = (
    ConfigurationError,
    AuthenticationError,
    ClientServiceInactiveError,
    CertificateNotProvisionedError,
)
"""What would fail for every other document too, and so ends a run."""

USUAL_SIZE: Final = 200_000
"""Bytes of a usual document (vendor's figure); a longer one may take longer without the service being overloaded."""

QUICK: Final = 0.1
"""Seconds for a document that are no sign of an overload, however quick the service was before."""

GIVE_UP_AFTER: Final = 3
"""Requests in a row that may fail for want of a service, all their retries included, until the run ends."""


@attrs.frozen(kw_only=True)
class Progress:
    """How far a run has come.

    Attributes:
        signed: Documents that are signed.
        failed: Documents that are not, each with its reason.
        requests: Requests that were answered or failed.
        content_bytes: Bytes of the documents that are done.
        in_flight: Requests that are under way.
        seconds: Seconds since the run began.
    """

    signed: int = 0
    failed: int = 0
    requests: int = 0
    content_bytes: int = 0
    in_flight: int = 0
    seconds: float = 0.0


@attrs.frozen(eq=False)
class Planned:
    """A document that is to be sent.

    Attributes:
        given: The document as the caller gave it.
        document: The same, with the reference under which it is sent.
        reference: That reference.
        size: Length of its contents in bytes.
        target: Where its signed bytes are to be saved, or None.
        digest: SHA-256 of its contents, or an empty text if nobody asks for it.
        replaces: Whether its target was there before.
        lost: Whether an earlier run sent it and recorded no answer.
    """

    given: Document
    document: Document
    reference: str
    size: int
    target: Path | None = None
    digest: str = ""
    replaces: bool = False
    lost: bool = False


class Books(Protocol):
    """Who keeps account of a run: decides what is sent, and is told what became of it."""

    async def plan(self, document: Document) -> Planned | Outcome | None:
        """What is to be done with a document: send it, report this outcome, or nothing, since it is done."""
        ...

    async def sending(self, batch: Sequence[Planned]) -> None:
        """Is told before a request goes out."""
        ...

    async def not_sent(self, batch: Sequence[Planned]) -> None:
        """Is told that a request was not processed, and is not tried again in this run."""
        ...

    async def done(self, results: Mapping[Planned, Outcome]) -> tuple[list[Outcome], SignStashError | None]:
        """Is told outcomes, and may change them; the error, if there is one, ends the run."""
        ...


async def batches(
    documents: Iterable[Document] | AsyncIterable[Document],
    plan: Callable[[Document], Awaitable[Planned | Outcome | None]],
    *,
    count: int,
    content_bytes: int,
) -> AsyncIterator[list[Planned] | Outcome]:
    """Put documents together into batches, taking no more of them than the next batch needs.

    Args:
        documents: What is to be signed.
        plan: What is to be done with each.
        count: Documents that a batch may have.
        content_bytes: Bytes that a batch may have; a longer document is alone in its own.

    Yields:
        Batches, and the outcomes that are known without sending anything.
    """
    batch: list[Planned] = []
    room = content_bytes
    async for document in _each(documents):
        refuse_other_types(document)
        item = await plan(document)
        if isinstance(item, Outcome):
            yield item
        elif item is not None and item.lost:
            yield [item]
        elif item is not None:
            if batch and (item.size > room or len(batch) == count):
                yield batch
                batch, room = [], content_bytes
            batch.append(item)
            room -= item.size
    if batch:
        yield batch


async def _each(documents: Iterable[Document] | AsyncIterable[Document]) -> AsyncIterator[Document]:
    if isinstance(documents, AsyncIterable):
        async for document in documents:
            yield document
    else:
        for document in documents:
            yield document


class Lanes:
    """How many requests may be in flight: fewer when the service is overloaded, slowly more when it is not.

    Args:
        most: Requests that may be in flight at best.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = float(most)
        self._usual: float | None = None
        self._busy = 0
        self._changed = asyncio.Condition()

    @property
    def open(self) -> int:
        """Requests that may be in flight now."""
        return max(int(self._now), 1)

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A lane, as soon as one is free, for as long as the block lasts."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._busy < self.open)
            self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            async with self._changed:
                self._changed.notify_all()

    def overloaded(self) -> None:
        """Halve: the service refused for the number of requests."""
        self._now = max(self._now / 2, 1.0)

    def answered(self, seconds: float) -> None:
        """Take note of an answer, and of the seconds that it took for each document."""
        if self._usual is None:
            self._usual = seconds
        if seconds > max(3 * self._usual, QUICK):
            self.overloaded()
        else:
            self._now = min(self._now + 0.5 / self._now, float(self._most))
        # The usual time follows slowly, so that a service that gets slower is not taken for a slow one.
        self._usual += 0.1 * (min(seconds, 3 * self._usual) - self._usual)


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

    send: Callable[[Sequence[Planned], Transmit], Awaitable[Sequence[Outcome]]]
    look_up: Callable[[Planned], Awaitable[Outcome | None]]
    books: Books
    retry_policy: RetryPolicy
    unknown_outcomes: UnknownOutcomes
    in_flight: int
    progress: Callable[[Progress], None] | None = None
    clock: Callable[[], float] = time.monotonic
    _lanes: Lanes = attrs.field(init=False, default=attrs.Factory(lambda self: Lanes(self.in_flight), takes_self=True))
    _retries: Retries = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: Retries(policy=self.retry_policy, sleep=self._pause), takes_self=True),
    )
    _fault: Exception | None = attrs.field(init=False, default=None)
    _ended: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _failures_in_a_row: int = attrs.field(init=False, default=0)
    _progress: Progress = attrs.field(init=False, factory=Progress)

    async def outcomes(self, planned: AsyncIterator[list[Planned] | Outcome]) -> AsyncGenerator[Outcome, None]:
        """The outcome of each document, as soon as it is known.

        Args:
            planned: Batches; one is taken and read ahead of the requests that there is room for.

        Raises:
            SignStashError: A fault that concerns all documents, after the outcomes of what was in flight.
            Exception: What the source of documents raised, likewise.
        """
        started = self.clock()
        requests: set[asyncio.Task[list[Outcome]]] = set()
        plan: asyncio.Task[list[Planned] | Outcome | None] | None = None
        exhausted = False
        try:
            while True:
                if plan is None and not exhausted and self._fault is None and len(requests) <= self._lanes.open:
                    plan = asyncio.create_task(_next(planned))
                waiting: set[asyncio.Task[Any]] = {*requests, *([] if plan is None else [plan])}
                if not waiting:
                    break
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                known: list[Outcome] = []
                if plan is not None and plan in done:
                    try:
                        batch = plan.result()
                    except Exception as error:  # noqa: BLE001 - the source's own: it is raised after what is in flight
                        self._end(error)
                        batch = None
                    plan = None
                    if isinstance(batch, Outcome):
                        known.append(batch)
                    elif batch is None:
                        exhausted = True
                    else:
                        requests.add(asyncio.create_task(self._accounted(batch)))
                for request in requests & done:
                    requests.discard(request)
                    known += request.result()
                for outcome in known:
                    self._count(outcome, in_flight=len(requests), seconds=self.clock() - started)
                    yield outcome
            if self._fault is not None:
                raise self._fault
        finally:
            left = [*requests, *([] if plan is None else [plan])]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

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

    async def _accounted(self, batch: Sequence[Planned]) -> list[Outcome]:
        if self._fault is not None:
            return []
        if batch[0].lost:
            results = await self._settled(batch, _sent_by_an_earlier_run(batch[0]), None)
        else:
            results = await self._signed(batch)
        outcomes, fault = await self.books.done(results)
        if fault is not None:
            self._end(fault)
        not_sent = [item for item in batch if item not in results]
        if not_sent:
            try:
                await self.books.not_sent(not_sent)
            except SignStashError as error:
                self._end(error)
        size = sum(item.size for item in results)
        self._progress = attrs.evolve(self._progress, content_bytes=self._progress.content_bytes + size)
        return outcomes

    async def _signed(self, batch: Sequence[Planned], lost: SignStashError | None = None) -> dict[Planned, Outcome]:
        """An outcome for each document of a batch; none, if a fault of all came up before it was sent.

        Args:
            batch: The documents.
            lost: The error by which the answer to an earlier request with them was lost, if there was one.
        """

        async def transmit(send: Callable[[], Awaitable[Answer]]) -> Answer:
            async with self._lanes.one():
                if self._fault is not None:
                    raise _EndedError
                await self.books.sending(batch)
                began = self.clock()
                try:
                    answer = await send()
                except RateLimitedError:
                    self._lanes.overloaded()
                    raise
                finally:
                    self._progress = attrs.evolve(self._progress, requests=self._progress.requests + 1)
                self._lanes.answered((self.clock() - began) / sum(1 + item.size / USUAL_SIZE for item in batch))
                return answer

        outcomes: Sequence[Outcome] = ()
        try:
            outcomes = await self._retries.run(lambda: self.send(batch, transmit))
        except _EndedError:
            pass
        except FAULTS_OF_ALL as error:
            self._end(error)
        except SignStashError as error:
            return await self._failed(batch, error, lost)
        if not outcomes:
            return {} if lost is None else {item: _set_aside(item, lost) for item in batch}
        self._failures_in_a_row = 0
        certificate_faults = [item.error for item in outcomes if isinstance(item.error, CertificateNotProvisionedError)]
        if len(certificate_faults) == len(outcomes):
            self._end(certificate_faults[0])
        return dict(zip(batch, outcomes, strict=True))

    async def _failed(
        self, batch: Sequence[Planned], error: SignStashError, lost: SignStashError | None
    ) -> dict[Planned, Outcome]:
        """What becomes of the documents of a request that failed as a whole."""
        if error.maybe_processed:
            return await self._settled(batch, error, lost)
        if isinstance(error, ConnectionFailedError) or getattr(error, "retryable", False):
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= GIVE_UP_AFTER:
                self._end(error)
            if lost is not None:
                return {item: _set_aside(item, lost) for item in batch}
            return {item: Outcome(item.given, error.again()) for item in batch}
        if len(batch) == 1:
            (item,) = batch
            went_through = lost is not None and isinstance(error, DuplicateReferenceError)
            return {item: Outcome(item.given, _went_through(item, error) if went_through else error)}
        # One document is at fault: halving finds it, and the others get signed.
        logger.info("a request with %d documents was refused, splitting it: %s", len(batch), error)
        middle = len(batch) // 2
        return {**await self._signed(batch[:middle], lost), **await self._signed(batch[middle:], lost)}

    async def _settled(
        self, batch: Sequence[Planned], error: SignStashError, lost: SignStashError | None
    ) -> dict[Planned, Outcome]:
        """What becomes of documents whose answer was lost."""
        if self.unknown_outcomes == "set_aside" or lost is not None:
            return {item: _set_aside(item, error) for item in batch}
        found: dict[Planned, Outcome] = {}
        if self.unknown_outcomes == "look_up":
            for item in batch:
                outcome = await self._looked_up(item, error)
                if outcome is not None:
                    found[item] = outcome
        missing = [item for item in batch if item not in found]
        return {**found, **(await self._signed(missing, error) if missing else {})}

    async def _looked_up(self, item: Planned, lost: SignStashError) -> Outcome | None:
        try:
            return await self._retries.run(lambda: self.look_up(item))
        except SignStashError as error:
            logger.warning("document %s could not be looked up: %s", item.reference, error)
            return _set_aside(item, lost)


class _EndedError(Exception):
    """The run ended before a request was sent."""


async def _next(planned: AsyncIterator[list[Planned] | Outcome]) -> list[Planned] | Outcome | None:
    return await anext(planned, None)


def _sent_by_an_earlier_run(item: Planned) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        "An earlier run sent it and ended before its answer was recorded.",
        "Look it up by its external reference.",
        external_references=(item.reference,),
    )


def _set_aside(item: Planned, lost: SignStashError) -> Outcome:
    error = OutcomeUnknownError(
        f"Whether document {item.given.name} ({item.reference}) is signed is not known: {lost.problem}",
        "Look it up by its external reference on the Integration Service, or have it sent again under the same one: "
        "if it is signed, the service refuses it (DuplicateReferenceError).",
        external_references=(item.reference,),
    )
    error.__cause__ = lost
    return Outcome(item.given, error)


def _went_through(item: Planned, error: SignStashError) -> OutcomeUnknownError:
    unknown = OutcomeUnknownError(
        f"Document {item.given.name} ({item.reference}) is signed, but the answer with its contents was lost: "
        "sent again, its reference was refused.",
        "Fetch it from the Integration Service, if the service keeps it there; a proxy gives its contents only once.",
        external_references=(item.reference,),
    )
    unknown.__cause__ = error
    return unknown

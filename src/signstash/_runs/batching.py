"""Signs documents that arrive one by one, several in one request."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Literal, Self

import attrs

from .._arguments import require_count, require_seconds
from .._errors.mapping import ErrorContext
from .._errors.unknown import note_cancellation
from .._signing.request import RequestOptions
from ..documents import Document, require_document
from ..errors import ConfigurationError, InvalidDocumentError, RateLimitedError, SignStashError
from ..models import PreservationInfo
from ..options import Preservation
from ..results import Outcome, SignedDocument
from ..retries import is_within_call
from .concurrency import ConcurrencyLimiter
from .document_errors import error_of_run, not_sent_in_time, response_not_awaited
from .plan import Callers, PlannedDocument
from .run import RunSettings, log_unseen


@attrs.define(eq=False)
class _Waiting:
    """A caller that waits for its document, which a run takes before its request is sent under a reference."""

    document: Document
    options: RequestOptions
    result: asyncio.Future[Outcome]
    is_taken: bool = False
    sent_as: str = ""
    maybe_processed: bool = False


class Batching:
    """Signs documents that arrive one by one, with as few requests as possible. `SignStash.batching` makes it.

        async with client.batching() as batching:
            signed = await batching.sign(Document.pdf("invoice.pdf"))

    A document is sent at once if fewer than `in_flight` requests are in flight; otherwise it shares the next request
    with the others that arrived meanwhile. So requests grow under load, and nothing waits without load.
    """

    def __init__(
        self, settings: RunSettings, *, deadline: float, max_waiting: int, when_full: Literal["wait", "raise"]
    ) -> None:
        require_count("max_waiting", max_waiting)
        if when_full not in ("wait", "raise"):
            raise ConfigurationError(f"when_full is {when_full!r}.", "Give 'wait' or 'raise'.")
        self._settings = settings
        self._deadline = deadline
        self._max_waiting = max_waiting
        self._when_full = when_full
        self._places = asyncio.Semaphore(max_waiting)
        self._limiter = ConcurrencyLimiter(settings.in_flight)
        self._arrived: deque[_Waiting] = deque()
        self._changed = asyncio.Event()
        self._waiting: dict[int, _Waiting] = {}
        self._run: asyncio.Task[None] | None = None
        self._is_idle = True
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Accept no more documents, and wait for those in flight, unless within a hook of a request."""
        self._is_closed = True
        self._changed.set()
        while self._run is not None and not is_within_call():
            await asyncio.wait([self._run])

    async def sign(
        self,
        document: Document,
        *,
        description: str | None = None,
        preservation: Preservation | PreservationInfo | None = None,
        deadline: float | None = None,
    ) -> SignedDocument:
        """Sign one document. Calls that come while requests are in flight share the next one.

        Cancelling a call does not affect the others. A document that was not sent yet is withdrawn; the outcome of one
        that was sent goes to the next call with the same object, or else to the log, and to the journal, if any.

        Args:
            document: What to sign.
            description: Description of the request, shown in the backoffice. Documents with different descriptions are
                in different requests, so give none, or one that many documents share.
            preservation: How long and where the service keeps the signed document. The same applies.
            deadline: Seconds that the call may take. By default those of the client.

        Returns:
            The signed document.

        Raises:
            RateLimitedError: If `max_waiting` documents wait or are in flight, and `when_full` is `"raise"`.
            SignStashError: As for `SignStash.sign`.
        """
        require_document(document)
        options = RequestOptions(description, preservation)
        places = asyncio.Semaphore() if id(document) in self._waiting else self._places  # who left has none any more
        if self._when_full == "raise" and places.locked():
            problem = f"{document.name} was not sent: `max_waiting` ({self._max_waiting}) is reached."
            raise RateLimitedError(problem, "Try again later.", status_code=429, retryable=True)
        seconds = self._deadline if deadline is None else deadline
        require_seconds("deadline", seconds)
        waiting = _Waiting(document, options, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(seconds), places:
                outcome = await self._outcome(waiting)
        except TimeoutError as error:
            late = response_not_awaited if waiting.maybe_processed else not_sent_in_time
            raise late(document.name, self._reference(waiting), seconds) from error
        return outcome.unwrap()

    async def _outcome(self, waiting: _Waiting) -> Outcome:
        if self._is_closed:
            raise ConfigurationError("The batching was used after it was closed.", "Use it inside of its `async with`.")
        if self._want(waiting.document):
            raise InvalidDocumentError(f"Document {waiting.document.name} is being signed already.", "Await that call.")
        left = self._waiting.get(id(waiting.document))
        self._waiting[id(waiting.document)] = waiting
        if left is not None and left.is_taken:  # by the run, whose outcome is for this caller
            waiting.is_taken, waiting.sent_as, waiting.maybe_processed = True, left.sent_as, left.maybe_processed
        else:
            self._arrived.append(waiting)
        self._changed.set()
        if self._run is None:
            self._run = asyncio.create_task(self._sign_arrived())
        try:
            return await waiting.result
        except asyncio.CancelledError as error:
            if waiting.result.done() and not waiting.result.cancelled() and waiting.result.exception() is None:
                log_unseen([waiting.result.result()])  # it came in the same turn of the event loop
            context = ErrorContext(external_references=(self._reference(waiting),), changes_state=True)
            note_cancellation(error, context, maybe_processed=waiting.maybe_processed)
            raise
        finally:
            if not waiting.is_taken:
                if waiting in self._arrived:  # it need not stay in memory
                    self._arrived.remove(waiting)
                self._forget(waiting)

    def _forget(self, waiting: _Waiting) -> None:
        if self._waiting.get(id(waiting.document)) is waiting:
            del self._waiting[id(waiting.document)]
        if not self._waiting:  # what comes from now on is for the next run
            self._is_idle = True
            self._changed.set()

    async def _sign_arrived(self) -> None:
        """One run, from the first document until none is under way."""
        fault: BaseException | None = None
        self._is_idle = False
        callers = Callers(self._options_for, self._want, self._note_sending, are_waiting=True)
        run = self._settings.new_run(callers, self._limiter)
        try:
            async for outcome in run.outcomes(self._source()):
                waiting = self._waiting.get(id(outcome.document))
                if waiting is not None:
                    self._forget(waiting)
                if waiting is None or waiting.result.done():
                    log_unseen([outcome])
                else:
                    waiting.result.set_result(outcome)
        except Exception as error:  # noqa: BLE001 - it is raised by the calls that wait
            fault = error
        finally:
            self._run = None
            self._end(fault)

    def _end(self, fault: BaseException | None) -> None:
        """Give a fault that concerns all documents to those that have no outcome; start a new run for late ones."""
        for waiting in list(self._waiting.values()):
            if not waiting.is_taken and fault is None:
                continue
            self._waiting.pop(id(waiting.document))
            if not waiting.result.done():
                error, name, reference = fault, waiting.document.name, self._reference(waiting)
                if isinstance(fault, SignStashError):
                    error = error_of_run(fault, name, reference, maybe_processed=waiting.maybe_processed)
                waiting.result.set_exception(error or asyncio.CancelledError())
        self._arrived = deque(waiting for waiting in self._arrived if not waiting.result.done())
        if self._arrived:
            self._run = asyncio.create_task(self._sign_arrived())

    async def _source(self) -> AsyncGenerator[Document, None]:
        """The documents as they arrive, until none is under way."""
        while True:
            while self._arrived:
                waiting = self._arrived.popleft()
                if not waiting.result.done():  # nobody waits for the others any more
                    waiting.is_taken = True
                    yield waiting.document
            if self._is_idle or self._is_closed:
                return
            self._changed.clear()
            await self._changed.wait()

    def _options_for(self, document: Document) -> RequestOptions:
        waiting = self._waiting.get(id(document))
        return RequestOptions() if waiting is None else waiting.options

    def _want(self, document: Document) -> bool:
        waiting = self._waiting.get(id(document))
        return waiting is not None and not waiting.result.done()

    def _note_sending(self, items: Sequence[PlannedDocument], maybe_processed: bool | None) -> None:
        for item in items:
            if waiting := self._waiting.get(id(item.given)):  # its caller may have left before it was planned
                waiting.sent_as, waiting.maybe_processed = item.reference, bool(maybe_processed)
                if maybe_processed is False and waiting.result.done():  # its caller left: it is not sent again
                    self._forget(waiting)
                elif maybe_processed is False and waiting.is_taken:  # another one came meanwhile
                    waiting.is_taken = False
                    self._arrived.append(waiting)
                    self._changed.set()

    def _reference(self, waiting: _Waiting) -> str:
        return waiting.sent_as or waiting.document.reference(self._settings.signer.exchange.client_service)

"""Sends one batch, and decides the outcome or the next step of each of its documents."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Final

import attrs

from .._errors.unknown import noted, reference_used_by_failure
from .._signing.request import index_by_reference
from .._signing.signer import Signer
from .._transport.endpoints import Call
from .._transport.exchange import ServiceResponse
from .._transport.tracing import call_span
from ..errors import (
    AuthenticationError,
    CertificateNotProvisionedError,
    ClientServiceInactiveError,
    ConfigurationError,
    DocumentCertificateError,
    DuplicateReferenceError,
    RateLimitedError,
    SignStashError,
    UnexpectedResponseError,
)
from ..results import Outcome, outcome_of
from ..retries import Deadline, Retries, RetryPolicy
from ..settings import UnknownOutcomes
from . import document_errors
from .concurrency import ConcurrencyLimiter
from .ledger import RunLedger
from .plan import Batch, BatchResult, Callers, PlannedDocument

logger: Final = logging.getLogger("signstash")

RUN_ENDING_ERRORS: Final = (
    ConfigurationError,
    AuthenticationError,
    ClientServiceInactiveError,
    CertificateNotProvisionedError,
)
"""Errors that every other document would meet too, so they end a run."""

USUAL_SIZE: Final = 200_000
"""Bytes of a usual document (vendor's figure); a longer one may take longer without the service being overloaded."""

GIVE_UP_AFTER: Final = 3
"""Requests without a success since that fail with all retries, or whose single document gets a foreign response."""

LOSE_NO_MORE_AFTER: Final = 5
"""The same if the last one may have been processed: each lost response puts documents at risk."""


@attrs.define(kw_only=True, eq=False, repr=False)
class BatchProcessor:
    """Processes the batches of one run.

    Attributes:
        fault: What ended the run, or None.
        requests: Requests that got a response or failed.
        content_bytes: Bytes of the documents that are done.
    """

    signer: Signer
    ledger: RunLedger
    retry_policy: RetryPolicy
    unknown_outcomes: UnknownOutcomes
    limiter: ConcurrencyLimiter
    callers: Callers
    fault: BaseException | None = attrs.field(init=False, default=None)
    requests: int = attrs.field(init=False, default=0)
    content_bytes: int = attrs.field(init=False, default=0)
    _retries: Retries = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: Retries(policy=self.retry_policy, sleep=self._pause), takes_self=True),
    )
    _ended: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _failures_since_success: int = attrs.field(init=False, default=0)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is sent."""
        return self._ended.is_set()

    def end(self, fault: BaseException | None = None) -> None:
        """Send nothing more; what is in flight is awaited. Only the first fault counts."""
        self.fault = self.fault or fault
        self._ended.set()

    async def _pause(self, seconds: float) -> None:
        """Wait before another attempt, or until the run ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    async def process(self, batch: Batch) -> tuple[list[Outcome], Sequence[Batch]]:
        """Send a batch, or look it up, and record it. Returns the known outcomes, and the batches that follow."""
        references = [item.reference for item in batch.items]
        with noted(references, maybe_processed=batch.lost is not None):
            result = await self._result(batch)
        maybe_processed = batch.lost is not None or any(later.lost is not None for later in result.next)
        unsent = [] if maybe_processed else [item for item in batch.items if item not in result.outcomes]
        following = {item for later in result.next for item in later.items}
        self.callers.sending([item for item in unsent if item in following], None)
        with noted(references, maybe_processed=maybe_processed or bool(result.outcomes)):
            outcomes, fault = await self.ledger.done(result, unsent)
        self.callers.sending([item for item in unsent if item not in following], False)
        if fault is not None:
            self.end(fault)
        self.content_bytes += sum(item.size for item in result.outcomes)
        return outcomes, result.next

    async def _result(self, batch: Batch) -> BatchResult:
        if self.has_ended:
            return self.unresolved(batch)
        if batch.lost is not None and self.unknown_outcomes == "hold" and batch.items[0].entry.state != "requeued":
            return BatchResult({item: _held(item, batch.lost) for item in batch.items})
        return await (self._looked_up(batch) if batch.look_up else self._sent(batch))

    def unresolved(self, batch: Batch) -> BatchResult:
        """What is known of documents when the run ends before the service says anything about them."""
        if batch.lost is None:
            return BatchResult()
        return BatchResult({item: _held(item, batch.lost) for item in batch.items}, unresolved=batch.items)

    async def _sent(self, batch: Batch) -> BatchResult:
        try:
            outcomes = await self._outcomes(batch)
        except SignStashError as error:
            if isinstance(error, RUN_ENDING_ERRORS):
                self.end(error)
                if not error.maybe_processed:
                    return self.unresolved(batch)
            return self._failed(batch, error)
        if outcomes is None:
            if self.has_ended:
                return self.unresolved(batch)
            wanted = [item for item in batch.items if self.callers.is_wanted(item.given)]
            return BatchResult(next=[attrs.evolve(batch, items=wanted)] if wanted else [])
        self._failures_since_success = 0
        certificate_faults = [item.error for item in outcomes if isinstance(item.error, DocumentCertificateError)]
        if len(certificate_faults) == len(outcomes):
            self.end(document_errors.no_certificate(certificate_faults[0], [item.reference for item in batch.items]))
        return BatchResult(dict(zip(batch.items, outcomes, strict=True)))

    async def _outcomes(self, batch: Batch) -> Sequence[Outcome] | None:
        """The outcome of each document, or None if the batch was not sent."""
        items = batch.items
        documents = index_by_reference([(item.reference, item.document) for item in items])
        deadline = Deadline.after(self.signer.exchange.deadline)
        with call_span("sign", documents):
            with self.signer.noting_doubt(documents):
                call = await self.signer.prepare(documents, batch.options, items[0].folder, deadline=deadline)
                response = await self._retries.run(lambda: self._transmit(batch, call, deadline), deadline)
            if response is None:
                return None
            signed = await self.signer.read(response, documents)
        return [
            outcome if outcome.document is item.given else attrs.evolve(outcome, document=item.given)
            for item, outcome in zip(items, signed.outcomes, strict=True)
        ]

    async def _transmit(self, batch: Batch, call: Call, deadline: Deadline) -> ServiceResponse | None:
        """Send a request once, unless the run has ended before its turn, or a document of it was withdrawn."""
        loop = asyncio.get_running_loop()
        waits = loop.time()
        async with self.limiter.slot():
            deadline.at += loop.time() - waits
            is_wanted = batch.lost is not None or all(self.callers.is_wanted(item.given) for item in batch.items)
            if self.has_ended or not is_wanted:
                return None
            self.callers.sending(batch.items, True)
            try:
                await self.ledger.note(batch.items, "sent")
                began = time.monotonic()
                response = await self.signer.exchange.send(call, deadline)
            except (SignStashError, asyncio.CancelledError) as error:
                if isinstance(error, RateLimitedError):
                    self.limiter.overloaded()
                if getattr(error, "maybe_processed", False):
                    if isinstance(error, asyncio.CancelledError):
                        text = error.__notes__[-1].removeprefix("signstash: ")
                        logger.warning("%s", text, extra={"external_references": [i.reference for i in batch.items]})
                elif batch.lost is None and getattr(error, "retryable", True):  # a cancellation has none
                    self.callers.sending(batch.items, None)
                    await self.ledger.note(batch.items, "planned")  # before any pause, in which all may end
                raise
            finally:
                self.requests += 1
            size = sum(1 + item.size / USUAL_SIZE for item in batch.items)
            self.limiter.record_latency((time.monotonic() - began) / size)
            return response

    def _failed(self, batch: Batch, error: SignStashError) -> BatchResult:
        """The result for the documents of a request that failed as a whole."""
        if error.maybe_processed:
            self._count_failure(error)
            if self.unknown_outcomes == "hold" or batch.lost is not None:
                return BatchResult({item: _held(item, error) for item in batch.items})
            return BatchResult(next=[attrs.evolve(batch, lost=error, look_up=self.unknown_outcomes == "look_up")])
        if error.retryable:
            self._count_failure(error)
            if batch.lost is not None:
                return self.unresolved(batch)
            return BatchResult(
                {i: outcome_of(i.given, document_errors.for_document(error, i.reference)) for i in batch.items}
            )
        if len(batch.items) > 1:
            # One document is at fault: halving finds it, and the others get signed.
            logger.debug("a request with %d documents was rejected, splitting it: %s", len(batch.items), error)
            middle = len(batch.items) // 2
            halves = batch.items[:middle], batch.items[middle:]
            return BatchResult(next=[attrs.evolve(batch, items=half) for half in halves])
        (item,) = batch.items
        if isinstance(error, UnexpectedResponseError) or getattr(error, "status_code", None) == 404:
            self._count_failure(error)  # no document is at fault: something else responds at this URL
        if batch.lost is None:
            if isinstance(error, DuplicateReferenceError) and item.failed_before:
                error = reference_used_by_failure(item.given.name, item.reference, error)
            return BatchResult({item: outcome_of(item.given, error)})
        if isinstance(error, DuplicateReferenceError) and not item.is_signed:
            held = document_errors.reference_used(item.given.name, item.reference, error)
            return BatchResult({item: outcome_of(item.given, held)})
        return BatchResult({item: _held(item, batch.lost)})  # this rejection says nothing about the earlier request

    async def _looked_up(self, batch: Batch) -> BatchResult:
        """The result for the documents of the first one's operation; the others follow."""
        item, documents = batch.items[0], {each.reference: each.given for each in batch.items}
        deadline = Deadline.after(self.signer.exchange.deadline)
        try:
            with call_span("look_up", [item.reference]):
                found = await self._retries.run(lambda: self.signer.look_up(documents, item.folder, deadline), deadline)
            self._failures_since_success = 0
        except SignStashError as error:
            logger.warning("document %s could not be looked up: %s", item.reference, error)
            if isinstance(error, RUN_ENDING_ERRORS):
                self.end(error)
            elif error.retryable:
                self._count_failure(error)
            if error.retryable or self.has_ended:
                return self.unresolved(batch)
            found = {item.reference: _held(item, batch.lost or error)}
        outcomes = {each: found[each.reference] for each in batch.items if each.reference in found}
        others = [each for each in batch.items if each is not item and each not in outcomes]
        following = [attrs.evolve(batch, items=others)] if others else []
        if not outcomes:  # the service does not know it: it is sent again
            options = self.callers.options_for(item.given)
            following.insert(0, attrs.evolve(batch, items=[item], options=options, look_up=False))
        return BatchResult(outcomes, next=following)

    def _count_failure(self, error: SignStashError) -> None:
        """End the run if requests keep failing, so that no more documents are put at risk."""
        self._failures_since_success += 1
        if self._failures_since_success >= (LOSE_NO_MORE_AFTER if error.maybe_processed else GIVE_UP_AFTER):
            self.end(error)


def _held(item: PlannedDocument, cause: SignStashError) -> Outcome:
    error = document_errors.signed_but_lost if item.is_signed else document_errors.held_for_review
    return outcome_of(item.given, error(item.given.name, item.reference, cause))

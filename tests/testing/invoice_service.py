"""A sample application: a small service that issues invoices. Its tests use `signstash.testing` and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self

import attrs

from signstash import (
    AuthenticationError,
    CertificateNotProvisionedError,
    ClientServiceInactiveError,
    ConnectionFailedError,
    Document,
    DuplicateReferenceError,
    RateLimitedError,
    SignStash,
    SignStashError,
)

State = Literal["signed", "signed before", "postponed", "failed", "in doubt"]


@attrs.frozen
class Result:
    """What became of an invoice.

    Attributes:
        state: How it stands.
        reason: What a clerk reads about it.
        pause: Seconds after which a postponed one is tried again.
    """

    state: State
    reason: str = ""
    pause: float = 0


class InvoiceService:
    """Issues invoices, each under its own number.

    Attributes:
        archive: The signed invoices, by number.
        alarm: Why nothing is issued any more, for the operator on duty; empty if all is well.
    """

    def __init__(self) -> None:
        self.archive: dict[str, bytes] = {}
        self.alarm = ""
        self._client = SignStash.from_env()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def issue(self, number: str, pdf: bytes) -> Result:
        """Issue one invoice."""
        results = await self.issue_all({number: pdf})
        return results[number]

    async def issue_all(self, invoices: Mapping[str, bytes]) -> dict[str, Result]:
        """Issue several invoices with one request."""
        if self.alarm:
            return dict.fromkeys(invoices, Result("postponed", self.alarm))
        documents = [
            Document.pdf(pdf, name=f"{number}.pdf", external_reference=f"invoice_{number}", reason="Invoice")
            for number, pdf in invoices.items()
        ]
        try:
            batch = await self._client.sign_batch(documents, description="Invoices")
        except SignStashError as error:
            return dict.fromkeys(invoices, self._judged(error))
        results = {}
        for number, outcome in zip(invoices, batch.outcomes, strict=True):
            if outcome.signed is not None:
                self.archive[number] = outcome.signed.content
            results[number] = Result("signed") if outcome.error is None else self._judged(outcome.error)
        return results

    async def settle(self, number: str) -> Result:
        """Find out what became of an invoice that is in doubt."""
        operation = await self._client.get_status(await self._client.get_operation_id(f"invoice_{number}"))
        return Result("signed before", f"operation {operation.id}")

    def _judged(self, error: SignStashError) -> Result:
        if isinstance(error, AuthenticationError | ClientServiceInactiveError | CertificateNotProvisionedError):
            self.alarm = str(error)
            return Result("postponed", str(error))
        if isinstance(error, DuplicateReferenceError):
            return Result("signed before", str(error))
        if error.maybe_processed:
            return Result("in doubt", str(error))
        if isinstance(error, RateLimitedError):
            return Result("postponed", str(error), pause=error.retry_after or 60)
        if isinstance(error, ConnectionFailedError) or getattr(error, "retryable", False):
            return Result("postponed", str(error), pause=60)
        return Result("failed", str(error))

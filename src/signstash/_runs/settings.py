"""How runs are set up."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import attrs

from .._content.arguments import require_flags
from .._signing.saving import SaveTo, SignedFiles
from .._signing.signer import Signer
from ..errors import ConfigurationError
from ..journal import Journal
from ..options import UnknownOutcomes
from ..results import Progress
from ..retries import RetryPolicy
from .concurrency import ConcurrencyLimiter
from .ledger import RunLedger
from .plan import Callers
from .processor import BatchProcessor
from .run import Run


@attrs.frozen(kw_only=True)
class RunSettings:
    """The settings of runs, which are validated when they are made.

    Attributes:
        signer: Signs documents.
        retry_policy: How often requests are tried.
        save_to: Where signed documents are saved, or None.
        overwrite: Whether existing files are replaced.
        journal: Durable record, or None.
        unknown_outcomes: What happens to documents whose response was lost.
        batch_documents: Documents that a request may have.
        batch_bytes: Bytes of documents that a request may have.
        linger: Seconds that a document may wait for others while a request could be sent.
        in_flight: Requests that may be in flight.
        progress: Is called after each outcome.

    Raises:
        ConfigurationError: If one of them cannot be used.
    """

    signer: Signer
    retry_policy: RetryPolicy
    save_to: SaveTo | None
    overwrite: bool
    journal: Journal | None
    unknown_outcomes: UnknownOutcomes
    batch_documents: int
    batch_bytes: int
    linger: float
    in_flight: int
    progress: Callable[[Progress], None] | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("batch_documents", "batch_bytes", "in_flight"):
            require_count(name, getattr(self, name))
        if isinstance(self.linger, bool) or not isinstance(self.linger, int | float) or not 0 <= self.linger < math.inf:
            raise ConfigurationError(f"linger is {self.linger!r}.", "Give seconds, 0 or more.")
        if self.unknown_outcomes not in get_args(UnknownOutcomes):
            choices = ", ".join(get_args(UnknownOutcomes))
            raise ConfigurationError(f"unknown_outcomes is {self.unknown_outcomes!r}.", f"Give one of {choices}.")
        if self.progress is not None and not callable(self.progress):
            raise ConfigurationError(f"progress is {self.progress!r}.", "Give a function that takes a Progress.")
        if self.journal is not None and not isinstance(self.journal, Journal):
            hint = "Give a Journal, such as Journal('november.journal')."
            raise ConfigurationError(f"journal is {self.journal!r}.", hint)
        if self.journal is not None and self.save_to is None:
            hint = "Give both: what it calls signed must be saved."
            raise ConfigurationError("A journal was given without save_to.", hint)
        require_flags(overwrite=self.overwrite)
        self._files()

    def new_run(self, callers: Callers, limiter: ConcurrencyLimiter) -> Run:
        """A new run.

        Args:
            callers: Those who want the documents signed.
            limiter: Limits the requests in flight.
        """
        ledger = RunLedger(client_service=self.signer.client_service, journal=self.journal, files=self._files())
        processor = BatchProcessor(
            signer=self.signer,
            ledger=ledger,
            retry_policy=self.retry_policy,
            unknown_outcomes=self.unknown_outcomes,
            limiter=limiter,
            callers=callers,
        )
        return Run(
            processor=processor,
            ledger=ledger,
            callers=callers,
            unknown_outcomes=self.unknown_outcomes,
            batch_documents=self.batch_documents,
            batch_bytes=self.batch_bytes,
            linger=self.linger,
            progress=self.progress,
        )

    def _files(self) -> SignedFiles | None:
        if self.save_to is None:
            return None
        recovery = None if self.journal is None else self.journal.recovery_folder
        return SignedFiles(save_to=self.save_to, overwrite=self.overwrite, recovery=recovery)


def require_count(name: str, value: object) -> None:
    """Require a whole number above 0.

    Raises:
        ConfigurationError: If it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} is {value!r}.", "Give a whole number above 0.")

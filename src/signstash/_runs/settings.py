"""How runs are set up."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import attrs

from .._content.arguments import require_flags
from .._signing.saving import SignedFiles
from .._signing.signer import Signer
from ..errors import ConfigurationError
from ..journal import Journal
from ..options import UnknownOutcomes
from ..results import Progress
from ..retries import RetryPolicy, require_count, require_seconds
from ..settings import SaveTo
from .concurrency import ConcurrencyLimiter
from .ledger import RunLedger
from .plan import Callers
from .processor import BatchProcessor
from .run import OpenRuns, Run


@attrs.frozen(kw_only=True)
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
        require_seconds("linger", self.linger, or_none=True)
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

    def new_run(self, callers: Callers, limiter: ConcurrencyLimiter | None = None) -> Run:
        """A new run for those who want documents signed, which ends when the client is closed."""
        ledger = RunLedger(client_service=self.signer.client_service, journal=self.journal, files=self._files())
        processor = BatchProcessor(
            signer=self.signer,
            ledger=ledger,
            retry_policy=self.retry_policy,
            unknown_outcomes=self.unknown_outcomes,
            limiter=limiter or ConcurrencyLimiter(self.in_flight),
            callers=callers,
        )
        run = Run(
            processor=processor,
            ledger=ledger,
            callers=callers,
            unknown_outcomes=self.unknown_outcomes,
            batch_documents=self.batch_documents,
            batch_bytes=self.batch_bytes,
            linger=self.linger,
            progress=self.progress,
        )
        self.open_runs.add(run)
        return run

    def _files(self) -> SignedFiles | None:
        if self.save_to is None:
            return None
        recovery = None if self.journal is None else self.journal.recovery_folder
        return SignedFiles(save_to=self.save_to, overwrite=self.overwrite, recovery=recovery)

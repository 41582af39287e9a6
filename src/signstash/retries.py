"""When a call is repeated: only what was certainly not processed, and only within its deadline."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, Self

import attrs

from ._arguments import require_count, require_seconds
from ._event_loop import Result, running_loop
from .errors import ConfigurationError, SignStashError

logger: Final = logging.getLogger("signstash.retries")

Sleep = Callable[[float], Awaitable[None]]
"""Waits for some seconds."""

current_attempt: Final = ContextVar("signstash_attempt", default=1)
"""Number of the current attempt, from 1."""

LONGEST_RETRY_AFTER: Final = 600.0
"""Seconds for which a `Retry-After` is obeyed where no deadline limits it."""

sleep_of_tests: Sleep | None = None
"""What `signstash.testing` replaces the pauses between attempts with."""


def is_within_call() -> bool:
    """Whether this is a hook of a request, or a task that one started: waiting for requests would never end."""
    return current_attempt.get(0) > 0  # not set elsewhere


def _positive(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    require_seconds(attribute.name, value)


@attrs.define
class Deadline:
    """When a call ends.

    Attributes:
        at: By the event loop's clock. Time that does not count, such as waiting for other requests, is added.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The deadline of a call that begins now."""
        return cls(running_loop().time() + seconds)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often a call is attempted, and how long the pauses are.

        SignStash.from_env(retries=RetryPolicy.interactive())

    Retried: connection failures (`ConnectionFailedError`), 429 (`RateLimitedError`), and server errors on read-only
    calls (`ServiceError`, `UnexpectedResponseError`); never a signing request that may have been processed. Between two
    attempts it waits for a random time up to a bound that doubles each time, or as long as `Retry-After` says. At most
    ten calls of a client, and ten requests of a run, are retried at the same time: if more fail, the others raise.

    Attributes:
        attempts: How often it is attempted in all.
        shortest_pause: Minimum seconds between two attempts, if the service does not say how long to wait.
        first_bound: Maximum seconds before the second attempt, by default 0.5; it doubles with each further attempt.
        longest_bound: Maximum of the bound, in seconds. By default 2.
        deadline: Seconds in which the last attempt must begin, by default 5. If `Retry-After` is longer, or longer than
            the call's own deadline allows, the error is raised at once.
    """

    attempts: int = attrs.field(validator=lambda _, attribute, value: require_count(attribute.name, value))
    shortest_pause: float = attrs.field(
        default=0.0, validator=lambda _, attribute, value: require_seconds(attribute.name, value, allow_zero=True)
    )
    first_bound: float = attrs.field(default=0.5, validator=_positive)
    longest_bound: float = attrs.field(default=2.0, validator=_positive)
    deadline: float = attrs.field(default=5.0, validator=_positive)

    @classmethod
    def none(cls) -> Self:
        """One attempt."""
        return cls(attempts=1)

    @classmethod
    def interactive(cls) -> Self:
        """For a person who waits: three attempts within five seconds."""
        return cls(attempts=3)

    @classmethod
    def batch(cls) -> Self:
        """The vendor's protocol for batches: three attempts, a minute apart (wiki: integration guide, retries)."""
        return cls(attempts=3, shortest_pause=60, first_bound=75, longest_bound=75, deadline=600)

    def pause(self, attempt: int, error: SignStashError, jitter: float) -> float:
        """Seconds to wait after an attempt that failed.

        Args:
            attempt: Number of the attempt, from 1.
            error: How it failed.
            jitter: A number between 0 and 1 that spreads the pause.
        """
        retry_after: float | None = getattr(error, "retry_after", None)
        if retry_after is not None:
            return retry_after
        doublings = min(attempt - 1, 60)  # by then any bound is reached
        bound = max(min(self.first_bound * 2.0**doublings, self.longest_bound), self.shortest_pause)
        return self.shortest_pause + (bound - self.shortest_pause) * jitter


@attrs.define(kw_only=True, eq=False, repr=False)
class Retries:
    """Attempts calls by a policy, with a bound on the load that this adds.

    Attributes:
        policy: How often and how long.
        allowance: Calls that are retried at the same time. Others that fail meanwhile raise their first error, instead
            of multiplying the load.
        clock: Monotonic clock, in seconds.
        sleep: Waits for some seconds, or until what the calls belong to ends. `sleep_of_tests` replaces it.
        jitter: Returns numbers between 0 and 1.
    """

    policy: RetryPolicy
    allowance: float = 10
    clock: Callable[[], float] = time.monotonic
    sleep: Sleep = asyncio.sleep
    jitter: Callable[[], float] = random.random
    _retrying: int = attrs.field(init=False, default=0)

    async def run(self, call: Callable[[], Awaitable[Result]], deadline: Deadline | None = None) -> Result:
        """Await a call, and again if the policy allows it.

        Args:
            call: Makes one attempt. References of documents must be the same each time.
            deadline: When the call ends, if not by the policy alone.

        Raises:
            SignStashError: The last attempt's error.
        """
        started, planned_end = self.clock(), 0.0 if deadline is None else deadline.at
        attempt, is_retried = 0, False
        while True:
            attempt, is_over = attempt + 1, True
            before = current_attempt.set(attempt)
            try:
                return await call()
            except SignStashError as error:
                pause = self.policy.pause(attempt, error, self.jitter())
                waited = 0.0 if deadline is None else deadline.at - planned_end  # for other requests: does not count
                in_time = self.clock() - started - waited + pause <= self.policy.deadline
                in_time = in_time and (deadline is None or asyncio.get_running_loop().time() + pause < deadline.at)
                transient = error.retryable and not error.maybe_processed
                is_full = self._retrying - is_retried >= self.allowance
                if not transient or attempt >= self.policy.attempts or not in_time or is_full:
                    raise
                fields = {"attempt": attempt, "pause": pause, "external_references": error.external_references}
                logger.info("attempt %d failed, trying again in %.1f s: %s", attempt, pause, error, extra=fields)
                self._retrying, is_retried = self._retrying + (not is_retried), True
                try:
                    await (sleep_of_tests or self.sleep)(pause)
                except ConfigurationError as closed:
                    closed.problem = f"{error.problem.rstrip('.')}; the client was closed before another attempt."
                    closed.external_references = error.external_references
                    raise closed from error
                is_over = False
            finally:
                self._retrying -= is_retried and is_over
                current_attempt.reset(before)

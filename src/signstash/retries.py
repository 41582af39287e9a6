"""When a call is tried again: only what surely was not processed, and only as long as there is time for it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, Self, TypeVar

import attrs

from .errors import ConfigurationError, ConnectionFailedError, RateLimitedError, SignStashError

logger: Final = logging.getLogger(__name__)

Result = TypeVar("Result")

current_attempt: Final = ContextVar("signstash_attempt", default=1)
"""Number of the try that is under way, from 1."""


def _positive(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{attribute.name} is {value!r}.", "Give a positive, finite number.")


def _not_negative(policy: RetryPolicy, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value != 0 or isinstance(value, bool):
        _positive(policy, attribute, value)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often a call is tried, and how long it waits in between.

        SignStash.from_env(retries=RetryPolicy.interactive())

    Tried again is what did not reach the service (`ConnectionFailedError`), what it refused for the moment
    (`RateLimitedError`), and of questions also what failed at the service (`ServiceError` that is `retryable`); never
    what may have been processed, as a signing request that failed at the service. Between two
    tries it waits for a random time up to a bound that doubles each time, or as long as `Retry-After` says.

    Attributes:
        attempts: How often it is tried in all.
        shortest_pause: Least seconds between two tries.
        first_bound: Most seconds before the second try; the bound doubles with each further one.
        longest_bound: Most seconds that the bound grows to.
        deadline: Seconds in which the last try must have begun. A `Retry-After` beyond it is raised at once.
    """

    attempts: int = attrs.field(validator=_positive)
    shortest_pause: float = attrs.field(default=0.0, validator=_not_negative)
    first_bound: float = attrs.field(validator=_positive)
    longest_bound: float = attrs.field(validator=_positive)
    deadline: float = attrs.field(validator=_positive)

    @classmethod
    def none(cls) -> Self:
        """Try once."""
        return cls(attempts=1, first_bound=1, longest_bound=1, deadline=1)

    @classmethod
    def interactive(cls) -> Self:
        """For somebody who waits: three tries within five seconds."""
        return cls(attempts=3, first_bound=0.5, longest_bound=2, deadline=5)

    @classmethod
    def batch(cls) -> Self:
        """The vendor's protocol for batches: three tries, a minute apart (wiki: integration guide, retries)."""
        return cls(attempts=3, shortest_pause=60, first_bound=75, longest_bound=75, deadline=600)

    def pause(self, attempt: int, error: SignStashError, jitter: float) -> float:
        """Seconds to wait after a try that failed.

        Args:
            attempt: Number of the try, from 1.
            error: How it failed.
            jitter: A number between 0 and 1, by which the pause is spread.
        """
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            return max(error.retry_after, self.shortest_pause)
        doublings = min(attempt - 1, 60)  # by then any bound is reached
        bound = max(min(self.first_bound * 2.0**doublings, self.longest_bound), self.shortest_pause)
        return self.shortest_pause + (bound - self.shortest_pause) * jitter


def may_be_retried(error: SignStashError) -> bool:
    """Whether the same call may succeed later, and surely was not processed."""
    transient = isinstance(error, ConnectionFailedError) or getattr(error, "retryable", False)
    return bool(transient) and not error.maybe_processed


@attrs.define(kw_only=True)
class Retries:
    """Tries calls by a policy, with a bound on how much load that adds.

    Attributes:
        policy: How often and how long.
        share: Retries that are allowed for each call, over time; when many calls fail, most of them fail at once
            instead of multiplying the load. `allowance` more are allowed beside.
        allowance: Retries that are allowed beyond the share.
        clock: Monotonic clock, in seconds.
        sleep: Waits for some seconds.
        jitter: Gives numbers between 0 and 1.
    """

    policy: RetryPolicy
    share: float = 0.2
    allowance: float = 10.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    _left: float = attrs.field(init=False, default=attrs.Factory(lambda self: self.allowance, takes_self=True))

    async def run(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Await a call, and again if the policy allows it.

        Args:
            call: Makes one try. References of documents must be the same each time.

        Raises:
            SignStashError: The last try's error.
        """
        started = self.clock()
        self._left = min(self._left + self.share, self.allowance)
        attempt = 0
        while True:
            attempt += 1
            before = current_attempt.set(attempt)
            try:
                return await call()
            except SignStashError as error:
                pause = self.policy.pause(attempt, error, self.jitter())
                in_time = self.clock() - started + pause <= self.policy.deadline
                if not may_be_retried(error) or attempt >= self.policy.attempts or not in_time or self._left < 1:
                    raise
                logger.info("attempt %d failed, trying again in %.1f s: %s", attempt, pause, error)
            finally:
                current_attempt.reset(before)
            self._left -= 1
            await self.sleep(pause)

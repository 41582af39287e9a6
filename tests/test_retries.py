"""Pauses between attempts, the load that retries may add, and the number of requests in flight."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from signstash import (
    ConfigurationError,
    ConnectionFailedError,
    OutcomeUnknownError,
    RateLimitedError,
    RetryPolicy,
    ServiceError,
    SignStashError,
)
from signstash._event_loop import completed
from signstash._runs.concurrency import ConcurrencyLimiter
from signstash.retries import Deadline, Retries
from tests.auth.vendor import Clock

REFUSED = ConnectionFailedError("p.", "c.")


def limited(retry_after: float | None) -> RateLimitedError:
    return RateLimitedError("p.", "c.", status_code=429, retryable=True, retry_after=retry_after)


class Call:
    """Fails a number of times, then returns "done"."""

    def __init__(self, *errors: SignStashError) -> None:
        self.errors = list(errors)
        self.count = 0

    async def __call__(self) -> str:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def retries(clock: Clock, policy: RetryPolicy | None = None, **options: Any) -> Retries:
    policy = policy or RetryPolicy(attempts=4, first_bound=1, longest_bound=3, deadline=100)
    return Retries(policy=policy, clock=clock, sleep=clock.sleep, jitter=lambda: 1.0, **options)


async def test_waiting_for_other_requests_does_not_count_towards_the_deadline_of_the_policy() -> None:
    clock, deadline = Clock(), Deadline.after(1000)
    policy = RetryPolicy(attempts=3, first_bound=1, longest_bound=1, deadline=20)
    errors = [REFUSED, REFUSED]

    async def call() -> str:
        clock.now += 30
        deadline.at += 30  # it waited for its slot
        if errors:
            raise errors.pop()
        return "done"

    assert await retries(clock, policy).run(call, deadline) == "done"


class TestPolicy:
    @pytest.mark.parametrize(("attempt", "bound"), [(1, 1), (2, 2), (3, 3), (4, 3), (5000, 3)])
    def test_the_bound_doubles_up_to_the_longest(self, attempt: int, bound: float) -> None:
        policy = RetryPolicy(attempts=9999, first_bound=1, longest_bound=3, deadline=100)

        assert policy.pause(attempt, REFUSED, 1.0) == bound
        assert policy.pause(attempt, REFUSED, 0.5) == bound / 2

    def test_no_pause_is_shorter_than_the_shortest(self) -> None:
        policy = RetryPolicy(attempts=3, shortest_pause=60, first_bound=1, longest_bound=1, deadline=600)

        assert policy.pause(1, REFUSED, 0.0) == policy.pause(2, REFUSED, 1.0) == 60

    @pytest.mark.parametrize("seconds", [0.0, 1.0, 90.0])
    def test_retry_after_is_obeyed_in_both_directions(self, seconds: float) -> None:
        assert RetryPolicy.batch().pause(1, limited(seconds), 0.5) == seconds

    def test_the_batch_policy_follows_the_vendor(self) -> None:
        pauses = [RetryPolicy.batch().pause(attempt, REFUSED, jitter) for attempt in (1, 2) for jitter in (0, 1)]

        assert RetryPolicy.batch().attempts == 3
        assert pauses == [60, 75, 60, 75]

    def test_the_interactive_policy_ends_within_seconds(self) -> None:
        policy = RetryPolicy.interactive()

        assert sum(policy.pause(attempt, REFUSED, 1.0) for attempt in range(1, policy.attempts)) < policy.deadline == 5

    @pytest.mark.parametrize("field", ["attempts", "first_bound", "longest_bound", "deadline", "shortest_pause"])
    @pytest.mark.parametrize("value", [-5, float("inf"), float("nan"), True, "3", None])
    def test_values_other_than_numbers_raise(self, field: str, value: Any) -> None:
        numbers: dict[str, Any] = {"attempts": 3, "first_bound": 1, "longest_bound": 1, "deadline": 5}

        with pytest.raises(ConfigurationError, match=field):
            RetryPolicy(**numbers | {field: value})


class TestRetries:
    async def test_a_temporary_failure_is_retried_until_it_succeeds(self) -> None:
        clock, call = Clock(), Call(REFUSED, limited(None), limited(7))

        assert await retries(clock).run(call) == "done"

        assert clock.pauses == [1, 2, 7]

    async def test_attempts_are_limited(self) -> None:
        call = Call(*[REFUSED] * 9)

        with pytest.raises(ConnectionFailedError):
            await retries(Clock()).run(call)

        assert call.count == 4

    @pytest.mark.parametrize(
        "error",
        [
            OutcomeUnknownError("p.", "c."),
            SignStashError("p.", "c."),
            ServiceError("p.", "c.", status_code=500, retryable=False),
        ],
    )
    async def test_a_permanent_failure_is_not_retried(self, error: SignStashError) -> None:
        call = Call(error)

        with pytest.raises(type(error)):
            await retries(Clock()).run(call)

        assert call.count == 1

    async def test_no_attempt_begins_after_the_deadline(self) -> None:
        clock, call = Clock(), Call(limited(60), limited(60))

        with pytest.raises(RateLimitedError) as raised:
            await retries(clock).run(call)

        assert (clock.pauses, call.count, raised.value.retry_after) == ([60], 2, 60)

    async def test_many_failures_at_the_same_time_are_not_multiplied(self) -> None:
        shared, calls = retries(Clock(), allowance=3), [Call(*[REFUSED] * 9) for _ in range(100)]

        await asyncio.gather(*(shared.run(call) for call in calls), return_exceptions=True)

        assert sorted(call.count for call in calls) == [1] * 97 + [4] * 3

    @pytest.mark.parametrize("ending", [(), (REFUSED,) * 20, (OutcomeUnknownError("p.", "c."),)])
    async def test_calls_one_after_another_are_attempted_as_often_as_the_policy_says(
        self, ending: tuple[SignStashError, ...]
    ) -> None:
        policy = RetryPolicy(attempts=15, first_bound=0.01, longest_bound=0.05, deadline=60)
        shared, calls = retries(Clock(), policy), [Call(*[REFUSED] * 8, *ending) for _ in range(50)]

        for call in calls:
            with contextlib.suppress(SignStashError):
                await shared.run(call)

        assert {call.count for call in calls} == {15 if len(ending) > 1 else 9}

    async def test_a_call_that_was_cancelled_while_it_was_retried_leaves_its_place(self) -> None:
        shared = retries(Clock(), allowance=1)
        shared.sleep = lambda _: asyncio.sleep(1000)
        for _ in range(3):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await shared.run(Call(REFUSED))
        shared.sleep = Clock().sleep

        assert await shared.run(Call(REFUSED)) == "done"


class TestConcurrencyLimiter:
    async def most_at_once(self, limiter: ConcurrencyLimiter) -> int:
        """How many of ten requests get a slot at once."""
        inside = most = 0

        async def pass_through() -> None:
            nonlocal inside, most
            async with limiter.slot():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(pass_through() for _ in range(10)))
        return most

    async def test_the_limiter_starts_at_the_requested_number(self) -> None:
        assert await self.most_at_once(ConcurrencyLimiter(3)) == 3

    async def test_overload_halves_the_limit_down_to_one(self) -> None:
        limiter = ConcurrencyLimiter(8)

        counts = []
        for _ in range(5):
            limiter.overloaded()
            counts.append(await self.most_at_once(limiter))

        assert counts == [4, 2, 1, 1, 1]

    async def test_responses_raise_the_limit_slowly(self) -> None:
        limiter = ConcurrencyLimiter(4)
        limiter.overloaded()

        counts = []
        for _ in range(40):
            limiter.record_latency(0.05)
            counts.append(limiter.limit)

        assert counts[:3] == [2, 2, 2]
        assert counts == sorted(counts)
        assert counts[-1] == 4

    async def test_responses_much_slower_than_usual_halve_the_limit(self) -> None:
        limiter = ConcurrencyLimiter(4)
        for _ in range(10):
            limiter.record_latency(0.2)

        limiter.record_latency(0.5)
        assert limiter.limit == 4
        limiter.record_latency(2.0)
        assert limiter.limit == 2

    async def test_fast_responses_are_not_overload(self) -> None:
        limiter = ConcurrencyLimiter(4)
        limiter.record_latency(0.001)
        limiter.record_latency(0.09)

        assert limiter.limit == 4

    async def test_a_permanently_slower_service_becomes_the_usual(self) -> None:
        limiter = ConcurrencyLimiter(4)
        limiter.record_latency(0.2)
        for _ in range(60):
            limiter.record_latency(1.0)

        assert limiter.limit == 4

    async def test_a_cancelled_waiting_request_leaves_its_slot_to_others(self) -> None:
        limiter = ConcurrencyLimiter(1)
        async with limiter.slot():
            waiting = asyncio.create_task(limiter.slot().__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting

        assert await self.most_at_once(limiter) == 1


async def test_what_fails_while_it_is_completed_after_a_cancellation_is_its_cause() -> None:
    async def work() -> None:
        is_cancelled.set()
        await may_fail.wait()
        raise LookupError

    is_cancelled, may_fail = asyncio.Event(), asyncio.Event()
    waiting = asyncio.create_task(completed(work()))
    await is_cancelled.wait()
    waiting.cancel()
    await asyncio.sleep(0)
    may_fail.set()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await waiting

    assert isinstance(cancelled.value.__cause__, LookupError)

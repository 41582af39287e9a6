"""Invariants of the token under random events: no request with an expired token, and one token request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Any

import attrs
import httpx
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from signstash import (
    ConnectionFailedError,
    CredentialsRejectedError,
    RateLimitedError,
    ServiceError,
    TokenRejectedError,
    UnexpectedResponseError,
)
from signstash.auth import REJECTION_PAUSE, RENEWAL_PAUSE
from signstash.testing import MockSignStash
from signstash.testing.interception import use_sleep
from tests.auth.vendor import CALL_URL, RENEWAL_TASK, Clock, Response, Vendor, returned, settle
from tests.conftest import BASE_URL, TOKEN_URL, token_response

LIFETIMES = st.sampled_from([0.5, 20, 90, 1000, 5000, 86_399])
STEPS = st.sampled_from([0.01, 0.3, 1, 4.9, 6, 8, 20, 29.9, 60, 280, 900, 3600]) | st.floats(0.01, 100)
POSSIBLE = {
    type(None),
    ConnectionFailedError,
    CredentialsRejectedError,
    RateLimitedError,
    ServiceError,
    TokenRejectedError,
    UnexpectedResponseError,
}
FAILURES = st.sampled_from(["401", "429", "503", "html", "broken"])


class SteppingClock(Clock):
    """A clock that is advanced by the test and wakes sleeping tasks."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        awake = asyncio.Event()
        self._sleepers.append((self.now + seconds, awake))
        await awake.wait()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for wakes, awake in self._sleepers:
            if wakes <= self.now:
                awake.set()


@attrs.define
class Asked:
    """A request that waits for its response.

    Attributes:
        token: The token that it carries.
        since: When it arrived.
        response: Its response.
        is_second: Whether the same request was rejected with another token before.
    """

    token: str
    since: float
    response: asyncio.Future[Response]
    is_second: bool


@attrs.define
class Issued:
    """A token, as the token server sees it.

    Attributes:
        since: When it was requested.
        lifetime: How many seconds it lives.
        refused: Whether the service has rejected it.
        dropped: Whether a rejection has arrived after which it must not be used again.
        kept_until: Until when rejections do not count, because it was rejected when it was new.
    """

    since: float
    lifetime: float
    refused: bool = False
    dropped: bool = False
    kept_until: float = 0.0

    @property
    def end(self) -> float:
        return self.since + self.lifetime

    @property
    def early(self) -> float:
        """The earliest time of its renewal."""
        return self.end - min(30, self.lifetime / 20) - min(300, self.lifetime / 10)


class WaitingVendor(Vendor):
    """A service that holds each request until the test responds, and records violations.

    Attributes:
        clock: Moves in steps.
        faults: The violations.
        asked_for_token: Token requests that wait.
        asked: Other requests that wait.
        issued: The tokens, in their order.
        not_asked_until: Until when the token server must not be asked again.
    """

    clock: SteppingClock

    def __init__(self, mock: MockSignStash) -> None:
        super().__init__(mock)
        self.clock = SteppingClock()
        self.faults: list[str] = []
        self.asked_for_token: list[Asked] = []
        self.asked: list[Asked] = []
        self.issued: dict[str, Issued] = {}
        self.not_asked_until = 0.0
        self._calls = set[str]()

    async def _token(self, request: httpx.Request) -> httpx.Response:
        self.faults += self._faults_of_token_request()
        return await self._responds(self.asked_for_token, request, is_second=False)

    async def _service(self, request: httpx.Request) -> httpx.Response:
        token, now = _token_of(request), self.clock.now
        issued = self.issued[token]
        self.faults += [f"{token} was used {now - issued.end} s after its end"] if now >= issued.end else []
        if issued.dropped:
            self.faults.append(f"{token} was used after it was refused")
        is_second = request.headers["x-call"] in self._calls
        self._calls.add(request.headers["x-call"])
        return await self._responds(self.asked, request, is_second=is_second)

    async def _responds(self, waiting: list[Asked], request: httpx.Request, *, is_second: bool) -> httpx.Response:
        asked = Asked(_token_of(request), self.clock.now, asyncio.get_running_loop().create_future(), is_second)
        waiting.append(asked)
        try:
            return returned(await asked.response)
        finally:
            waiting.remove(asked)

    def _faults_of_token_request(self) -> Iterator[str]:
        if self.asked_for_token:
            yield "two token requests at once"
        if self.clock.now < self.not_asked_until:
            yield "the token server was asked too early"
        latest = list(self.issued.values())[-1:]
        if latest and not latest[0].refused and self.clock.now < latest[0].early - 0.001:
            yield "a token was asked for without need"


def _token_of(request: httpx.Request) -> str:
    return str(request.headers["authorization"]).removeprefix("Bearer ")


class TokenMachine(RuleBasedStateMachine):
    """Calls, responses, failures, cancellations and time in any order."""

    @initialize(jitter=st.floats(0, 1))
    def start(self, jitter: float) -> None:
        self.loop = asyncio.new_event_loop()
        self.mock = MockSignStash(base_url=BASE_URL, token_url=TOKEN_URL, assert_all_called=False)
        self.mock.__enter__()
        self.vendor = WaitingVendor(self.mock)
        self.clock = self.vendor.clock
        self.auth = self.vendor.auth(jitter=lambda: jitter)
        self.pauses = use_sleep(self.clock.sleep)
        self.pauses.__enter__()
        self.client = self.vendor.client(self.auth)
        self.calls: list[asyncio.Task[httpx.Response]] = []
        self.cancelled: set[asyncio.Task[httpx.Response]] = set()

    def run(self, awaitable: Awaitable[Any]) -> None:
        async def waited() -> None:
            await awaitable

        self.loop.run_until_complete(waited())

    @rule(count=st.integers(1, 4))
    def calls_begin(self, count: int) -> None:
        async def begin() -> None:
            for number in range(len(self.calls), len(self.calls) + count):
                call = self.client.post(CALL_URL, json={}, headers={"X-Call": str(number)})
                self.calls.append(asyncio.create_task(call))
            await settle(15)

        self.run(begin())

    @rule(seconds=STEPS, count=st.integers(0, 2))
    def time_goes_by(self, seconds: float, count: int) -> None:
        self.clock.advance(seconds)
        self.run(settle(15))
        self.calls_begin(count)

    @precondition(lambda self: self.vendor.issued)
    @rule(share=st.floats(0.8, 1.05), count=st.integers(0, 2))
    def time_comes_to_the_end_of_a_token(self, share: float, count: int) -> None:
        latest = list(self.vendor.issued.values())[-1]
        self.time_goes_by(max(0.01, latest.since + share * latest.lifetime - self.clock.now), count)

    @precondition(lambda self: self.vendor.asked_for_token)
    @rule(lifetime=LIFETIMES)
    def a_token_is_issued(self, lifetime: float) -> None:
        asked = self.vendor.asked_for_token[0]
        token = f"token-{len(self.vendor.issued) + 1}"
        self.vendor.issued[token] = Issued(asked.since, lifetime)
        asked.response.set_result(token_response(token, expires_in=lifetime))
        self.run(settle(15))

    @precondition(lambda self: self.vendor.asked_for_token)
    @rule(how=FAILURES)
    def the_token_server_fails(self, how: str) -> None:
        pause = {"401": REJECTION_PAUSE, "429": 40.0}.get(how, 0.0)
        self.vendor.not_asked_until = self.clock.now + pause
        responses: dict[str, Response] = {
            "503": httpx.Response(503),
            "401": httpx.Response(401),
            "429": httpx.Response(429, headers={"Retry-After": "40"}),
            "html": httpx.Response(200, html="<html>Login</html>"),
            "broken": httpx.ConnectError("no route to host"),
        }
        self.vendor.asked_for_token[0].response.set_result(responses[how])
        self.run(settle(15))

    @precondition(lambda self: self.vendor.asked)
    @rule(data=st.data(), status_code=st.sampled_from([200, 200, 401]))
    def the_service_answers(self, data: st.DataObject, status_code: int) -> None:
        asked = data.draw(st.sampled_from(self.vendor.asked))
        issued = self.vendor.issued[asked.token]
        issued.refused = issued.refused or status_code == 401
        if status_code == 401 and asked.is_second:
            issued.kept_until = self.vendor.clock.now + RENEWAL_PAUSE
        asked.response.set_result(httpx.Response(status_code))
        self.run(settle(15))
        issued.dropped = issued.dropped or (status_code == 401 and self.vendor.clock.now >= issued.kept_until)

    @precondition(lambda self: any(not call.done() for call in self.calls))
    @rule(data=st.data())
    def a_call_is_cancelled(self, data: st.DataObject) -> None:
        running = data.draw(st.sampled_from([call for call in self.calls if not call.done()]))
        running.cancel()
        self.cancelled.add(running)
        self.run(settle(15))

    @invariant()
    def all_is_well(self) -> None:
        assert self.vendor.faults == []
        ended = [call for call in self.calls if call.done()]
        assert {call for call in ended if call.cancelled()} <= self.cancelled
        failures = {type(call.exception()) for call in ended if not call.cancelled()}
        assert failures <= POSSIBLE
        # A waiting call waits for a response, or for a renewal that pauses between two attempts.
        waits = len(ended) < len(self.calls)
        assert not waits or self.vendor.asked or self.vendor.asked_for_token or self.is_renewing()

    def is_renewing(self) -> bool:
        return any(task.get_name() == RENEWAL_TASK for task in asyncio.all_tasks(self.loop))

    def teardown(self) -> None:
        try:
            self.everything_ends()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.run(settle(15))
            self.loop.close()
            self.pauses.__exit__(None, None, None)
            self.mock.__exit__(None, None, None)

    def everything_ends(self) -> None:
        """Respond to every request; every call ends, and no task is left."""
        for _ in range(100):
            if self.vendor.asked_for_token:
                self.a_token_is_issued(lifetime=1000)
            for asked in self.vendor.asked:
                asked.response.set_result(httpx.Response(200))
            self.time_goes_by(1, 0)
        assert all(call.done() for call in self.calls)
        self.all_is_well()
        self.run(self.auth.aclose())
        assert asyncio.all_tasks(self.loop) == set()


TestTokenMachine = TokenMachine.TestCase
TestTokenMachine.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # shrinking a failure would take minutes
)

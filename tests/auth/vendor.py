"""The mock with a scripted token server and a scripted clock, for tests of the access token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import httpx
import pytest

from signstash import SignStash, SignStashError, TokenAuth
from signstash.testing import MockSignStash
from tests.conftest import BASE_URL, CLIENT_ID, CLIENT_SECRET, TOKEN_URL, token_response

CALL_URL = BASE_URL + "/api/v0/anything"
RENEWAL_TASK = "signstash token renewal"


class Clock:
    """A clock that moves when the test sets it, or when somebody sleeps by it.

    Attributes:
        now: Its time, in seconds.
        pauses: The duration of each sleep, in seconds.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@attrs.frozen
class Arrival:
    """A received request.

    Attributes:
        url: Its URL.
        headers: Its headers.
        body: Its body.
    """

    url: httpx.URL
    headers: httpx.Headers
    body: bytes

    @property
    def token(self) -> str:
        return str(self.headers.get("authorization", "")).removeprefix("Bearer ")


Response = httpx.Response | Exception


class Vendor:
    """The mock, whose token server and service respond as scripted, and which records what they received.

    The tokens are called `token-1`, `token-2` and so on.

    Attributes:
        clock: The clock of `auth`.
        lifetime: Lifetime of tokens, in seconds.
        respond_to_token: Returns the response to the token request with this number; an exception is raised.
        respond: Returns the response of the service; an exception is raised.
        refused: Tokens that the service rejects with HTTP 401.
        token_gate: The token server responds only while it is set.
        token_requests: The received token requests.
        arrivals: The other received requests.
        asking: The number of token requests in flight.

    Args:
        mock: The mock, which is active.
    """

    def __init__(self, mock: MockSignStash) -> None:
        mock.routes.token.mock(side_effect=self._token)
        mock.router.route(path__regex="^(?!.*/oauth/token$)").mock(side_effect=self._service)
        self.clock = Clock()
        self.lifetime: float = 1000
        self.respond_to_token: Callable[[int], Response] = self.issue
        self.respond: Callable[[Arrival], Response | Awaitable[Response]] = lambda _: httpx.Response(200, text="done")
        self.refused: set[str] = set()
        self.token_gate = asyncio.Event()
        self.token_gate.set()
        self.token_requests: list[Arrival] = []
        self.arrivals: list[Arrival] = []
        self.asking = 0

    def issue(self, number: int) -> httpx.Response:
        return token_response(f"token-{number}", expires_in=self.lifetime)

    def auth(self, **changes: Any) -> TokenAuth:
        """A `TokenAuth` with the scripted clock and without random jitter."""
        options: dict[str, Any] = {
            "base_urls": [BASE_URL],
            "http_client": self.client(),
            "clock": self.clock,
            "jitter": lambda: 0.5,
        }
        return TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, **(options | changes))

    def client(self, auth: httpx.Auth | None = None, **options: Any) -> httpx.AsyncClient:
        """An HTTP client for the mock."""
        return httpx.AsyncClient(auth=auth, verify=False, **options)

    async def _token(self, request: httpx.Request) -> httpx.Response:
        self.token_requests.append(Arrival(request.url, request.headers, request.content))
        number = len(self.token_requests)
        self.asking += 1
        try:
            await self.token_gate.wait()
            return returned(self.respond_to_token(number))
        finally:
            self.asking -= 1

    async def _service(self, request: httpx.Request) -> httpx.Response:
        arrival = Arrival(request.url, request.headers, request.content)
        self.arrivals.append(arrival)
        if arrival.token in self.refused:
            return httpx.Response(401)
        response = self.respond(arrival)
        return returned(await response if isinstance(response, Awaitable) else response)


def returned(response: Response) -> httpx.Response:
    """A response, unless it is an exception, which is raised."""
    if isinstance(response, Exception):
        raise response
    return response


async def call(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(CALL_URL, json={"a": "call"})


def calls(client: httpx.AsyncClient, count: int) -> list[asyncio.Task[httpx.Response]]:
    return [asyncio.create_task(call(client)) for _ in range(count)]


async def failure_of(client: httpx.AsyncClient) -> SignStashError:
    with pytest.raises(SignStashError) as failed:
        await call(client)
    return failed.value


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks run until a condition holds."""
    async with asyncio.timeout(100):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0)


async def settle(turns: int = 50) -> None:
    """Let other tasks run as far as they can."""
    for _ in range(turns):
        await asyncio.sleep(0)


def renewals() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == RENEWAL_TASK]


async def status(client: SignStash) -> None:
    assert (await client.get_status(7)).status == "EXECUTED"

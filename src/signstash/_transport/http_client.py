"""Makes HTTP clients, and keeps one for the running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Final

import attrs
import httpx

from .. import __version__
from .._errors.network import status_of_invalid_redirect
from .._event_loop import running_loop
from ..errors import ConfigurationError
from ..retries import Deadline
from .bodies import UnusableResponseError
from .cookies import AsyncClient
from .outbound_proxy import EnvironmentTransport

USER_AGENT: Final = f"signstash/{__version__} httpx/{httpx.__version__} Python/{sys.version.split()[0]}"

CANCELLED_LIMIT: Final = 40
"""Cancelled calls after which a pool of 100 connections is replaced."""


async def opened(client: httpx.AsyncClient, request: httpx.Request, auth: httpx.Auth) -> httpx.Response:
    """Send a request. The caller closes the response; a redirect is not followed.

    Raises:
        UnusableResponseError: If it redirects to an invalid URL, which httpx parses all the same.
    """
    try:
        return await client.send(request, auth=auth, follow_redirects=False, stream=True)
    except httpx.HTTPStatusError as error:
        return error.response  # a hook of the client raises for error responses
    except (httpx.RemoteProtocolError, httpx.InvalidURL, UnicodeError) as error:
        status_code = status_of_invalid_redirect(error)
        if status_code is None:
            raise
        raise UnusableResponseError("redirects to an invalid URL", status_code) from None


new_transport: Callable[[], httpx.AsyncBaseTransport] = EnvironmentTransport
"""Makes the transport of a new HTTP client; `signstash.testing` replaces it."""


def new_http_client() -> httpx.AsyncClient:
    """An HTTP client that obeys `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`."""
    return AsyncClient(transport=new_transport(), trust_env=False, headers={"User-Agent": USER_AGENT})


@attrs.define(eq=False, repr=False)
class ConnectionPool:
    """An HTTP client of one event loop, and the calls that use it.

    Attributes:
        calls: Calls in flight.
        cancelled: Calls that were cancelled. httpcore may lose the connection of each: it is never used again, and
            takes a place in the pool until the client is closed.
    """

    loop: asyncio.AbstractEventLoop
    client: httpx.AsyncClient
    calls: int = 0
    cancelled: int = 0


class HttpClients:
    """The HTTP client of a `SignStash`: the user's own, or one for the running event loop.

    Its own client is replaced before cancelled calls have used up its connections. If `is_closed`, it accepts no calls.
    """

    def __init__(self, given: httpx.AsyncClient | None) -> None:
        self._given = given
        self._pool: ConnectionPool | None = None
        # The timeout that can end each call or pause, and the future that is done once its connection is released.
        self._in_flight = dict[asyncio.Timeout, asyncio.Future[None]]()
        self._closing = set[asyncio.Task[None]]()
        self.is_closed: bool = False

    @contextlib.contextmanager
    def call(self, deadline: Deadline) -> Iterator[tuple[httpx.AsyncClient, asyncio.Timeout]]:
        """The HTTP client of the running event loop for a call, which the timeout ends: enter it while sending.

        Raises:
            ConfigurationError: If this is closed, or has connections in another event loop.
        """
        pool = self._current_pool()
        pool.calls += 1
        with self._in_flight_until(deadline) as limit:
            try:
                yield pool.client, limit
            except asyncio.CancelledError:
                pool.cancelled += 1
                raise
            finally:
                pool.calls -= 1
                pool.cancelled += limit.expired()
                if pool.cancelled >= CANCELLED_LIMIT and pool is self._pool and self._given is None:
                    self._pool = None
                if pool is not self._pool and not pool.calls:
                    task = pool.loop.create_task(self._close(pool))
                    self._closing.add(task)
                    task.add_done_callback(self._closing.discard)

    async def pause(self, seconds: float) -> None:
        """Wait between two attempts, unless this is closed: then raise `ConfigurationError` at once."""
        with self._in_flight_until(Deadline.after(seconds)) as limit, contextlib.suppress(TimeoutError):
            self.raise_if_closed()
            async with limit:
                await asyncio.get_running_loop().create_future()
        self.raise_if_closed()

    @contextlib.contextmanager
    def _in_flight_until(self, deadline: Deadline) -> Iterator[asyncio.Timeout]:
        limit, left = asyncio.timeout_at(deadline.at), asyncio.get_running_loop().create_future()
        self._in_flight[limit] = left
        try:
            yield limit
        finally:
            del self._in_flight[limit]
            left.set_result(None)

    def _current_pool(self) -> ConnectionPool:
        self.raise_if_closed()
        loop = running_loop()
        if self._pool is not None and self._pool.loop is not loop and not self._pool.loop.is_closed():
            problem = "The client was used from a second event loop while it had connections in another event loop."
            hint = "Make one client, and one http_client, for each event loop, or close the first loop before."
            raise ConfigurationError(problem, hint)
        if self._pool is None or self._pool.loop is not loop:
            self._pool = ConnectionPool(loop, self._given or new_http_client())
        return self._pool

    async def _close(self, pool: ConnectionPool) -> None:
        if pool.client is not self._given:
            await pool.client.aclose()

    def raise_if_closed(self) -> None:
        """Raise `ConfigurationError` if it is closed."""
        if self.is_closed:
            raise ConfigurationError("The client was used after it was closed.", "Make a new one.")

    async def aclose(self) -> None:
        """End the calls in flight, wait until they have released their connections, and close those.

        A pool that is closed does not know of a connection that is still being opened: nobody would close it.
        """
        self.is_closed = True
        loop = running_loop()
        while here := {limit: left for limit, left in self._in_flight.items() if left.get_loop() is loop}:
            for limit in here:
                if not limit.expired():
                    limit.reschedule(loop.time())
            await asyncio.wait(here.values())
        if closing := [task for task in self._closing if task.get_loop() is loop]:
            await asyncio.wait(closing)
        pool, self._pool = self._pool, None
        # Connections of a loop that is closed went with it.
        if pool is not None and pool.loop is loop:
            await self._close(pool)

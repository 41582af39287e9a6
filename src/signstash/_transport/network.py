"""Network connections for httpcore, made with asyncio directly: its own, made with anyio, take more CPU time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import selectors
import socket
import ssl
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar, cast

import httpcore
import httpx

T = TypeVar("T")


class DirectTransport(httpx.AsyncHTTPTransport):
    """Sends requests without an outbound proxy. Its limits are the defaults of httpx."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(verify=context)
        self._pool = httpcore.AsyncConnectionPool(max_connections=100, max_keepalive_connections=20)
        new = partial(_HttpConnection, ssl_context=context, keepalive_expiry=5, network_backend=_NetworkBackend())
        self._pool.create_connection = new  # type: ignore[method-assign]  # all that a subclass would do


class _HttpConnection(httpcore.AsyncHTTPConnection):
    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        response = await super().handle_async_request(request)
        # The locks of anyio let the event loop run other tasks whenever they are acquired, even if they are free.
        for part in (self, getattr(self, "_connection", self)):
            vars(part).update(dict.fromkeys(("_request_lock", "_state_lock"), asyncio.Lock()))
        return response


class _NetworkBackend(httpcore.AsyncNetworkBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if not isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
            # uvloop does not try the next address while the first one does not respond; anyio does.
            backend = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())
            return await backend.connect_tcp(host, port, timeout, local_address, socket_options)
        with _mapped(""):
            async with asyncio.timeout(timeout):
                return await _connected(host, port)


class _Connection(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """A TCP connection.

    The first bytes of a request, its headers, are held until more is written or the response is read, so that they
    leave together with the body. After each request httpcore writes an empty string, or reads.
    """

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._held: bytes | None = None  # None before a request
        self._is_over = False
        self._error: Exception | None = None
        self._reading: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(0)  # a write ends once the operating system has taken it

    def data_received(self, data: bytes) -> None:
        self._received += data  # at most 256 KiB
        self._transport.pause_reading()  # the event loop holds no reference to an idle connection
        _finish(self._reading)

    def eof_received(self) -> bool:
        self._is_over = True
        _finish(self._reading)
        return True  # the rest of a request is still sent

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over, self._error = True, exc or ConnectionAbortedError("The connection was closed")
        _finish(self._reading)
        _finish(self._writing)

    def pause_writing(self) -> None:
        self._writing = self._loop.create_future()

    def resume_writing(self) -> None:
        _finish(self._writing)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - pieces are small
        if self._held:
            await self.write(b"", timeout)
        self._held = None
        if not self._received and not self._is_over:
            self._transport.resume_reading()
            self._reading = self._loop.create_future()
            await _wait(self._reading, timeout, httpcore.ReadTimeout)
        data, self._received = self._received, b""
        if not data and self._error is not None:
            raise httpcore.ReadError(str(self._error)) from self._error
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._held is None:
            self._held = buffer
            self._transport.resume_reading()  # a response may arrive while its request is sent
            return
        data, self._held = self._held + buffer, b""
        self._transport.write(data)
        buffer = data = b""  # a traceback would show them
        if self._writing is not None:
            await _wait(self._writing, timeout, httpcore.WriteTimeout)
        if self._transport.is_closing():
            await asyncio.sleep(0)  # until connection_lost has been called
            raise httpcore.WriteError(str(self._error)) from self._error

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            with _mapped("the SSL handshake did not end"):
                connection = _TlsConnection(self, ssl_context, server_hostname)
                async with asyncio.timeout(timeout):
                    await connection.handshake()
        except BaseException:  # a cancellation, too, leaves no connection
            await self.aclose()
            raise
        return connection

    async def aclose(self) -> None:
        self._transport.abort()
        await asyncio.sleep(0)  # until the event loop has closed the socket

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # even if a blocked event loop has not noticed it yet
            return self._is_over or _is_readable(self._transport.get_extra_info("socket"))
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._transport.get_extra_info(names.get(info, info))


class _TlsConnection(httpcore.AsyncNetworkStream):
    """A TCP connection with TLS."""

    def __init__(self, connection: _Connection, context: ssl.SSLContext, hostname: str | None) -> None:
        self._connection = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)
        self._error: ssl.SSLError | None = None

    async def handshake(self) -> None:
        await self._call(self._ssl.do_handshake, None)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return await self._call(lambda: self._read(max_bytes), timeout)
        except ssl.SSLEOFError:
            return b""
        except ssl.SSLError as error:
            raise httpcore.ReadError(str(error)) from error

    def _read(self, max_bytes: int) -> bytes:
        """Return what has been received: OpenSSL returns one record, of at most 16 KiB, at a time."""
        if self._error is not None:
            raise self._error
        records = [self._ssl.read(max_bytes)]
        try:
            while self._incoming.pending and records[-1]:
                records.append(self._ssl.read(max_bytes))
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._error = error
        if self._error or not records[-1]:
            self._connection.eof_received()  # nothing that arrives later can be read
        return b"".join(records)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:  # for OpenSSL this is undefined
            await self._connection.write(buffer, timeout)
            return
        data, buffer = memoryview(buffer), b""  # a traceback would show it
        try:
            await self._call(lambda: self._ssl.write(data), timeout)
        except ssl.SSLError as error:
            raise httpcore.WriteError(str(error)) from error

    async def _call(self, method: Callable[[], T], timeout: float | None) -> T:
        while True:
            try:
                return method()
            except ssl.SSLWantReadError:
                pass
            finally:
                if self._outgoing.pending:
                    await self._connection.write(self._outgoing.read(), timeout)
            if data := await self._connection.read(max_bytes=0, timeout=timeout):
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    async def aclose(self) -> None:
        await self._connection.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._ssl if info == "ssl_object" else self._connection.get_extra_info(info)


async def _connected(host: str, port: int) -> _Connection:
    """The first connection that is made to an address of a host; the next one is tried after 250 ms (RFC 8305).

    asyncio can do this, but leaves a connection open if it is cancelled just when it is made.
    """
    loop, turns = asyncio.get_running_loop(), defaultdict[int, Iterator[int]](itertools.count)
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found.sort(key=lambda item: next(turns[item[0]]))  # families take turns
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV  # with the zone of a link-local address
    addresses: list[Any] = [socket.getnameinfo(address, numeric) for *_, address in found]
    attempts: list[asyncio.Task[tuple[Any, _Connection]]] = []
    pending = set(attempts)
    try:
        while addresses or pending:
            if addresses:
                attempts.append(loop.create_task(loop.create_connection(_Connection, *addresses.pop(0))))
                pending.add(attempts[-1])
            delay = 0.25 if addresses else None
            done, pending = await asyncio.wait(pending, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                if attempt.exception() is None:
                    attempts.remove(attempt)
                    return attempt.result()[1]
        return attempts[0].result()[1]  # raises its error
    finally:
        for attempt in attempts:
            if not attempt.cancel() and not attempt.cancelled() and attempt.exception() is None:
                attempt.result()[0].abort()


@contextlib.contextmanager
def _mapped(timeout: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as cause:
        raise httpcore.ConnectTimeout(str(cause) or timeout) from cause
    except (OSError, UnicodeError, httpcore.NetworkError) as cause:
        raise httpcore.ConnectError(str(cause)) from cause


async def _wait(done: asyncio.Future[None], timeout: float | None, error: type[Exception]) -> None:
    timer = asyncio.get_running_loop().call_later(math.inf if timeout is None else timeout, _finish, done, error())
    try:
        await done
    finally:
        timer.cancel()


def _finish(done: asyncio.Future[None] | None, error: Exception | None = None) -> None:
    if done is not None and not done.done():
        done.set_result(None) if error is None else done.set_exception(error)


def _is_readable(connection: Any) -> bool:
    with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(0))

"""A raw socket server for tests: a script handles each connection, and can fail in any way."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from signstash import SignStash
from tests.conftest import (
    CLIENT_ID,
    CLIENT_SECRET,
    PDF,
    TOKEN_URL,
    http_library,
    own_client,
    signed_response,
    token_response,
)

LARGE = PDF + bytes(8 * 1024 * 1024)
"""More than the buffers on the way hold, so that the server has not got it whole while it does not read."""

Script = Callable[["Connection"], Awaitable[None]]


class Clock:
    """Replaces the clock of the event loop, so that a test can advance its time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop, self._ahead = asyncio.get_running_loop(), 0.0
        time = self._loop.time
        monkeypatch.setattr(self._loop, "time", lambda: time() + self._ahead)

    async def pass_by(self, seconds: float) -> None:
        self._ahead += seconds
        for _ in range(3):  # what is due now happens
            await asyncio.sleep(0)

    async def end(self, call: asyncio.Task[Any], *, after: float) -> None:
        """Advance the time by so many seconds, if need be repeatedly, so that a call ends."""
        for _ in range(1000):
            if call.done():
                return
            await self.pass_by(after)
        call.cancel()
        raise AssertionError("The call does not end.")


class Connection:
    """One connection that the server accepted.

    Attributes:
        server: The server that accepted it.
    """

    def __init__(self, server: FaultServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self._reader = reader
        self._writer = writer

    async def head(self) -> httpx.Headers:
        """Read a request as far as the end of its headers."""
        lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        parts = [line.partition(b": ") for line in lines[1:] if line]
        return httpx.Headers([(name, value) for name, _, value in parts])

    async def body(self, length: int) -> bytes:
        """Read so many bytes of the request's body."""
        return await self._reader.readexactly(length)

    async def available(self) -> bytes:
        """Read what has arrived; nothing at the end of the connection."""
        return await self._reader.read(65536)

    async def chunks(self) -> bytes:
        """Read a body with chunked transfer encoding."""
        body = b""
        while length := int(await self._reader.readline(), 16):
            body += await self.body(length)
            await self._reader.readline()
        await self._reader.readline()
        return body

    async def request(self) -> httpx.Request:
        """Read a whole request."""
        headers = await self.head()
        is_chunked = "transfer-encoding" in headers
        body = await (self.chunks() if is_chunked else self.body(int(headers.get("content-length", "0"))))
        self.server.bodies.append(body)
        return httpx.Request("POST", self.server.url, headers=headers, content=body)

    async def send(self, raw: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(raw)
        await self._writer.drain()

    async def respond(self, body: bytes, *headers: str, status: int = 200, length: int | None = None) -> None:
        """Send a response, if need be with a wrong length."""
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body) if length is None else length}", *headers]
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)

    async def sign(self) -> None:
        """Read a signing request, and sign."""
        await self.respond(signed_response(await self.request()).content)

    def end_sending(self) -> None:
        """Send nothing more, but read on."""
        self._writer.write_eof()

    def close(self) -> None:
        """End the connection in good order."""
        self._writer.close()

    async def closed(self) -> None:
        """End the connection in good order, and wait until it is."""
        self._writer.close()
        await self._writer.wait_closed()
        self.server.reached.set()

    def reset(self) -> None:
        """Reset the connection, as a killed process or a firewall does."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def let_pass(self, seconds: float) -> None:
        """Advance the time of the event loop."""
        await self.server.clock.pass_by(seconds)

    async def stay(self) -> None:
        """Do nothing, without reading on, until the test is over."""
        self.server.reached.set()
        await asyncio.Event().wait()


async def has_nothing(connection: Connection) -> None:
    """Respond to every request with HTTP 404."""
    while True:
        await connection.request()
        await connection.respond(b"", status=404)


class FaultServer:
    """A server on 127.0.0.1, an asynchronous context manager.

    Attributes:
        clock: The clock of its event loop.
        reached: Set when a script calls `stay`.
        bodies: Bodies of the requests that were read whole.
        connections: How many connections were accepted.

    Args:
        scripts: One for each connection, in order; the last one serves all further connections too.
        tls: For TLS, the server's context.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.reached = asyncio.Event()
        self.bodies: list[bytes] = []
        self.connections = 0
        self._scripts = scripts
        self._tls = tls
        self._tasks: set[asyncio.Task[Any]] = set()
        self._patched = pytest.MonkeyPatch()
        self._socket = socket.socket()
        # Small, so that a large request is still on its way while the server does not read.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    @property
    def url(self) -> str:
        """Base URL of the service."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/signstash"

    async def __aenter__(self) -> Self:
        self.clock = Clock(self._patched)
        self._server = await asyncio.start_server(self._accept, sock=self._socket, ssl=self._tls, limit=4096)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._patched.undo()
        # A connection that the client ends is not a failure of the script.
        failures = [
            item for item in results if isinstance(item, Exception) and not isinstance(item, OSError | EOFError)
        ]
        if failures and error is None:
            raise failures[0]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # In a separate task, since asyncio's own logs exceptions instead of keeping them.
        task = asyncio.create_task(self._serve(Connection(self, reader, writer), writer))
        self._tasks.add(task)
        await asyncio.wait([task])

    async def _serve(self, connection: Connection, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        try:
            await script(connection)
        finally:
            writer.transport.abort() if sys.exc_info()[0] else writer.close()


async def at_once(_: float) -> None:
    """Stand in for a pause."""


@contextlib.asynccontextmanager
async def client_of(base_url: str, *, http_client: Any = None, **options: Any) -> AsyncIterator[SignStash]:
    """A client that gets its token without the network."""
    options = {"timeout": httpx.Timeout(60.0), "deadline": 120.0, "token_url": TOKEN_URL} | options
    if http_client is None and not own_client:
        http_client = http_library.AsyncClient(verify=False, trust_env=False)
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(lambda request: token_response())) as tokens,
        http_client or contextlib.nullcontext(),
    ):
        options = {"http_client": http_client, "token_http_client": tokens} | options
        async with SignStash(base_url, CLIENT_ID, CLIENT_SECRET, **options) as client:
            yield client


@contextlib.contextmanager
def little_memory(more: int = 512 * 1024 * 1024) -> Iterator[None]:
    """Limit further memory of the process, so that excessive use fails the test and not the machine."""
    if sys.platform != "linux":
        yield
        return
    import resource

    with open("/proc/self/statm") as sizes:  # noqa: PTH123 - no file of a file system
        used = int(sizes.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)

"""Serves the sandbox over HTTP from a background thread."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
import sys
import threading
from types import TracebackType
from typing import Any, Self, Unpack

import h11
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .application import Options, SandboxApplication
from .fault_responses import HANG_UP, BrokenResponse

_RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""Socket option that makes closing a connection reset it."""


class Sandbox(SandboxApplication):
    """A Sign'Stash that runs in a `with` or `async with` block.

        async with Sandbox() as sandbox:
            client = SignStash(**sandbox.credentials)

    It has the attributes and arguments of `SandboxApplication`, except for `origin`.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 means a free one.
        allow_remote: Whether it may listen on an address that other machines can reach, and anybody there use it.
        options: Arguments of `SandboxApplication`.

    Raises:
        ValueError: If the address is not a loopback address and `allow_remote` is not set.
        OSError: If it cannot listen there.
        sqlite3.Error: If the state's file cannot be used.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, allow_remote: bool = False, **options: Unpack[Options]
    ) -> None:
        if not allow_remote and not _is_loopback(host):
            raise ValueError(f"host is {host!r}, which other machines can reach. Give allow_remote=True to allow that.")
        self._socket = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - how this machine reaches it
        origin = f"http://{f'[{shown}]' if ':' in shown else shown}:{self._socket.getsockname()[1]}"
        try:
            super().__init__(origin=origin, **options)
        except BaseException:
            self._socket.close()
            raise
        self._connections: dict[Any, asyncio.Transport] = {}
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._serve_request,
                http=self._protocol(),
                loop="asyncio",  # older versions change the event loop policy of the whole process
                interface="asgi3",
                proxy_headers=False,  # they would change the apparent client
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
                ws="none",
            )
        )
        self._thread = threading.Thread(target=self._serve, name="signstash sandbox", daemon=True)

    def _protocol(self) -> type[H11Protocol]:
        """Make a protocol that records its connections, so that the application can reset them."""
        connections = self._connections

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # called for TCP only
                super().connection_made(transport)
                connections[self.client] = transport

            def data_received(self, data: bytes) -> None:
                if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
                    data = data.lstrip(b"\r\n")  # RFC 9112, 2.2
                if data:
                    super().data_received(data)

            def _should_upgrade(self) -> bool:
                return False  # Java's client offers HTTP/2 in every request; uvicorn would log warnings

            def connection_lost(self, exc: Exception | None) -> None:
                connections.pop(self.client, None)
                super().connection_lost(exc)

        return Protocol

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        def hang_up(abruptly: bool) -> None:
            transport = self._connections.get(scope["client"])
            if transport is None:  # the client has closed the connection
                return
            if abruptly:
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                transport.abort()
            else:
                transport.close()

        scope = {**scope, "extensions": {**scope.get("extensions", {}), HANG_UP: hang_up}}
        if task := asyncio.current_task():
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
        try:
            await self(scope, receive, send)
        except asyncio.CancelledError:  # the block was left
            await BrokenResponse()(scope, receive, send)

    def _serve(self) -> None:
        # The socket is listening, so clients that connect before the server has started wait.
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        for task in list(self._in_flight):  # else the server waits for a second, and logs a traceback for each
            with contextlib.suppress(RuntimeError):  # it ended meanwhile
                task.get_loop().call_soon_threadsafe(task.cancel)
        self._thread.join()
        with contextlib.suppress(OSError):
            self._socket.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, traceback)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

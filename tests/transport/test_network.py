"""Connections of the default HTTP client, and, for comparison, those that httpx makes itself."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from signstash import Document, InvalidRequestError, OutcomeUnknownError
from signstash._transport.network import DirectTransport
from tests.conftest import PDF, failure_of, mock_signed, pdf, signed_response
from tests.fault_server import LARGE, Connection, FaultServer, client_of
from tests.transport.test_connections import answers_for_ever, signs_for_ever


async def test_large_documents_arrive(tls: ssl.SSLContext | None) -> None:
    async with FaultServer(signs_for_ever, tls=tls) as server, client_of(server.url) as client:
        for _ in range(2):
            assert (await client.sign(Document.pdf(LARGE, name="a.pdf"))).content == mock_signed(LARGE)

    assert server.connections == 1


async def test_many_documents_arrive_at_once(tls: ssl.SSLContext | None) -> None:
    contents = [PDF + bytes(number * 10_000) for number in range(30)]
    async with FaultServer(signs_for_ever, tls=tls) as server, client_of(server.url) as client:
        signed = await asyncio.gather(*(client.sign(Document.pdf(content, name="a.pdf")) for content in contents))

    assert [one.content for one in signed] == [mock_signed(content) for content in contents]


@pytest.mark.parametrize("turns", [0, 10])
async def test_a_response_that_nobody_asked_for_is_not_taken_for_one(turns: int, tls: ssl.SSLContext | None) -> None:
    idle = asyncio.Event()

    async def signs_and_times_out(connection: Connection) -> None:
        await connection.sign()
        await idle.wait()
        await connection.respond(b"", status=408)
        await connection.stay()

    async with (
        FaultServer(signs_and_times_out, signs_for_ever, tls=tls) as server,
        client_of(server.url) as client,
    ):
        await client.sign(pdf())
        idle.set()
        await server.reached.wait()
        for _ in range(turns):  # of the event loop, in which it is read
            await asyncio.sleep(0)

        assert (await client.sign(pdf())).content == mock_signed(PDF)

    assert server.connections == 2


def test_the_certificates_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_again(**_: Any) -> ssl.SSLContext:
        raise AssertionError("The certificates are read again, on the event loop.")

    context = httpx.create_ssl_context()
    monkeypatch.setattr(ssl, "create_default_context", read_again)

    DirectTransport(context)


async def test_the_limits_are_those_of_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    context = httpx.create_ssl_context()
    own = await numbers_of_connections(DirectTransport(context), monkeypatch)

    assert own == await numbers_of_connections(httpx.AsyncHTTPTransport(verify=context), monkeypatch)


async def numbers_of_connections(transport: httpx.AsyncBaseTransport, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many connections there are at once, and how many are made for later requests."""
    numbers, waiting, started = list[int](), 0, time.monotonic()
    many_wait = asyncio.Event()

    async def responds_to_many(connection: Connection) -> None:
        nonlocal waiting
        while True:
            await connection.head()
            waiting += 1
            if waiting == 100:
                for _ in range(20):  # turns of the event loop, in which more would arrive
                    await asyncio.sleep(0)
                numbers.append(waiting)
                many_wait.set()
            await many_wait.wait()
            await connection.respond(b"")

    async with FaultServer(responds_to_many) as server, httpx.AsyncClient(transport=transport) as client:
        for later, requests in ((0.0, 101), (4.9, 100), (10.0, 100)):
            waiting, now = 0, started + later
            many_wait.clear()
            monkeypatch.setattr(time, "monotonic", lambda now=now: now)
            await asyncio.gather(*(client.get(server.url) for _ in range(requests)))
            numbers.append(server.connections)
    return numbers


async def test_a_short_request_is_sent_at_once() -> None:
    async def signs(connection: Connection) -> None:
        while received := await connection.available():
            head, _, body = received.partition(b"\r\n\r\n")
            assert b"content-length: %d\r\n" % len(body) in head.lower()
            await connection.respond(signed_response(httpx.Request("POST", server.url, content=body)).content)

    async with FaultServer(signs) as server, client_of(server.url) as client:
        for _ in range(3):
            assert (await client.sign(pdf())).content == mock_signed(PDF)


async def test_a_request_is_sent_without_a_turn_of_other_tasks(tls: ssl.SSLContext | None) -> None:
    events = list[str]()

    async def record(event: str, _: dict[str, Any]) -> None:
        events.append(event)

    async with (
        FaultServer(answers_for_ever, tls=tls) as server,
        httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context())) as client,
    ):
        await client.get(server.url)
        call = asyncio.create_task(client.get(server.url, extensions={"trace": record}))
        await asyncio.sleep(0)

        assert "http11.send_request_body.complete" in events
        await call


async def test_each_piece_of_a_body_is_sent_at_once(tls: ssl.SSLContext | None) -> None:
    arrived = asyncio.Event()

    async def reads_pieces(connection: Connection) -> None:
        await connection.head()
        for _ in range(4):
            await connection.body(1)
            arrived.set()
        await connection.respond(b"")

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"1", b"2", b"3", b"4"):
            arrived.clear()
            yield piece
            async with asyncio.timeout(10):
                await arrived.wait()

    async with (
        FaultServer(reads_pieces, tls=tls) as server,
        httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context())) as client,
    ):
        response = await client.post(server.url, content=pieces(), headers={"Content-Length": "4"})

    assert response.status_code == 200


class TlsServer:
    """The TLS of a server whose script decides which bytes are sent."""

    def __init__(self, connection: Connection, context: ssl.SSLContext) -> None:
        self._connection = connection
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    async def request(self) -> None:
        """Read a request, which fits into one record."""
        while True:
            self.incoming.write(await self._connection.available())
            try:
                self.tls.do_handshake()
                self.tls.read(65536)
                return
            except ssl.SSLWantReadError:
                await self._connection.send(self.outgoing.read())

    async def respond(self, response: bytes, *, then: bytes = b"") -> None:
        """Send a response and the end of TLS together."""
        self.tls.write(response)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self._connection.send(self.outgoing.read() + then)

    async def fail(self, response: bytes) -> None:
        """Send a response and a fatal alert together."""
        self.tls.write(response)
        self.incoming.write(b"\x17\x03\x03\0\x20" + bytes(32))  # a record that cannot be decrypted
        with contextlib.suppress(ssl.SSLError):
            self.tls.read(1)
        await self._connection.send(self.outgoing.read())


STATUS = b'HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n{"id": 7, "status": "EXECUTED"}\n'


async def test_what_follows_the_end_of_tls_is_ignored(trusted: None, server_context: ssl.SSLContext) -> None:
    async def signs_and_ends(connection: Connection) -> None:
        server = TlsServer(connection, server_context)
        await server.request()
        await server.respond(b'HTTP/1.1 200 OK\r\n\r\n{"id": 7, "status": "EXECUTED"}', then=b"garbage")
        await connection.stay()

    async with FaultServer(signs_and_ends) as server, client_of(server.url.replace("http:", "https:")) as client:
        assert (await client.get_status(7)).status == "EXECUTED"


async def test_a_response_may_end_without_the_end_of_tls(trusted: None, server_context: ssl.SSLContext) -> None:
    async def answers_and_closes(connection: Connection) -> None:
        server = TlsServer(connection, server_context)
        await server.request()
        server.tls.write(b'HTTP/1.1 200 OK\r\n\r\n{"id": 7, "status": "EXECUTED"}')
        await connection.send(server.outgoing.read())

    async with FaultServer(answers_and_closes) as server, client_of(server.url.replace("http:", "https:")) as client:
        assert (await client.get_status(7)).status == "EXECUTED"


@pytest.mark.parametrize("end", [TlsServer.respond, TlsServer.fail])
async def test_a_connection_whose_tls_has_ended_is_replaced(
    end: Callable[[TlsServer, bytes], Awaitable[None]], trusted: None, server_context: ssl.SSLContext
) -> None:
    async def answers_and_ends(connection: Connection) -> None:
        server = TlsServer(connection, server_context)
        await server.request()
        await end(server, STATUS)
        await connection.stay()

    async with FaultServer(answers_and_ends) as server, client_of(server.url.replace("http:", "https:")) as client:
        for _ in range(2):
            assert (await client.get_status(7)).status == "EXECUTED"

    assert server.connections == 2


async def test_a_failure_of_tls_is_not_the_end_of_a_response(trusted: None, server_context: ssl.SSLContext) -> None:
    async def answers_in_part(connection: Connection) -> None:
        server = TlsServer(connection, server_context)
        await server.request()
        await server.fail(b"HTTP/1.1 200 OK\r\n\r\nA part")
        await connection.stay()

    async with (
        FaultServer(answers_in_part) as server,
        httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context())) as client,
    ):
        with pytest.raises(httpx.ReadError, match=r"(?i)bad.record.mac"):
            await client.get(server.url.replace("http:", "https:"))


async def test_a_connection_that_is_closed_here_is_not_the_end_of_a_response(tls: ssl.SSLContext | None) -> None:
    async def answers_in_part(connection: Connection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\nA part")
        await connection.stay()

    transport = DirectTransport(httpx.create_ssl_context())
    async with (
        FaultServer(answers_in_part, tls=tls) as server,
        httpx.AsyncClient(transport=transport) as client,
        client.stream("GET", server.url) as response,
    ):
        await transport.aclose()
        with pytest.raises(httpx.ReadError, match="The connection was closed"):
            await response.aread()


async def test_the_response_to_a_request_that_cannot_be_sent_whole_is_read(tls: ssl.SSLContext | None) -> None:
    async def signs_then_rejects(connection: Connection) -> None:
        await connection.sign()
        await connection.head()
        await connection.respond(b'{"errorCode": "0.0.4"}', status=413)
        for _ in range(20):  # turns of the event loop, in which it is read
            await asyncio.sleep(0)
        connection.reset()

    async with FaultServer(signs_then_rejects, tls=tls) as server, client_of(server.url) as client:
        await client.sign(pdf())
        with pytest.raises(InvalidRequestError):
            await client.sign(Document.pdf(LARGE, name="a.pdf"))


async def test_the_response_to_a_request_that_tls_cannot_send_is_read(
    trusted: None, server_context: ssl.SSLContext
) -> None:
    class FailingTls(ssl.SSLObject):
        def write(self, data: Any) -> int:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "no data can be sent")

    async def times_out(connection: Connection) -> None:
        await connection.respond(b"", status=408)
        await connection.stay()

    context = httpx.create_ssl_context()
    context.sslobject_class = FailingTls
    async with (
        FaultServer(times_out, tls=server_context) as server,
        httpx.AsyncClient(transport=DirectTransport(context)) as client,
    ):
        assert (await client.get(server.url)).status_code == 408


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
async def test_the_connections_of_a_client_that_nobody_closes_are_closed(tls: ssl.SSLContext | None) -> None:
    closed = asyncio.Event()

    async def answers_once(connection: Connection) -> None:
        await connection.head()
        await connection.respond(b"")
        await connection.available()
        closed.set()

    async with FaultServer(answers_once, tls=tls) as server:
        client: httpx.AsyncClient | None = httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context()))
        assert client is not None
        await client.get(server.url)
        client = None
        gc.collect()
        async with asyncio.timeout(30):
            await closed.wait()


async def test_a_response_that_arrives_before_its_request_is_sent_is_read(tls: ssl.SSLContext | None) -> None:
    async def rejects_early(connection: Connection) -> None:
        head = await connection.head()
        await connection.respond(b'{"errorCode": "0.0.4"}', status=413)
        for _ in range(20):  # turns of the event loop, in which it arrives
            await asyncio.sleep(0)
        await connection.body(int(head["content-length"]))
        await connection.stay()

    async with FaultServer(rejects_early, tls=tls) as server, client_of(server.url) as client:
        with pytest.raises(InvalidRequestError):
            await client.sign(Document.pdf(LARGE, name="a.pdf"))


async def test_a_request_is_sent_whole_to_a_server_that_sends_nothing_more() -> None:
    async def ends_early(connection: Connection) -> None:
        head = await connection.head()
        connection.end_sending()
        for _ in range(20):  # turns of the event loop, in which the client learns of it
            await asyncio.sleep(0)
        await connection.body(int(head["content-length"]))
        connection.server.reached.set()

    async with FaultServer(ends_early) as server, client_of(server.url) as client:
        error = await failure_of(client, Document.pdf(LARGE, name="a.pdf"))
        assert type(error) is OutcomeUnknownError
        await server.reached.wait()


async def test_what_is_sent_has_left_the_process() -> None:
    piece, taken, received = bytes(32_768), 0, 0
    stopped, ended = asyncio.Event(), asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += len(piece)
            yield piece

    async def reads_late(connection: Connection) -> None:
        nonlocal received
        await connection.head()
        connection.server.reached.set()
        await stopped.wait()
        while data := await connection.available():
            received += len(data)
        ended.set()

    async with (
        FaultServer(reads_late) as server,
        httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context()), timeout=60.0) as client,
    ):
        call = asyncio.create_task(client.post(server.url, content=pieces(), headers={"Content-Length": "99999999"}))
        await server.reached.wait()
        await server.clock.end(call, after=61.0)
        stopped.set()
        await ended.wait()

    assert type(call.exception()) is httpx.WriteTimeout
    assert received >= taken - len(piece)  # the last one may be sent in part


async def test_the_error_of_the_system_is_named() -> None:
    async def resets(connection: Connection) -> None:
        await connection.request()
        connection.reset()

    async with FaultServer(resets) as server, client_of(server.url) as client:
        assert "Connection reset by peer" in str(await failure_of(client))


async def test_the_error_of_the_system_is_named_if_nothing_can_be_sent() -> None:
    async def reset(event: str, details: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            accepted, _ = listener.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
            select.select([details["return_value"].get_extra_info("socket")], [], [], 30)  # holds the event loop

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context())) as client:
            with pytest.raises(httpx.ConnectError, match="Connection reset by peer"):
                await client.get(url, extensions={"trace": reset})


async def test_a_connection_closed_while_the_event_loop_was_held_is_replaced() -> None:
    def sign_once(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as received:
            length = 0
            while (line := received.readline()) != b"\r\n":
                length = int(line[15:]) if line.lower().startswith(b"content-length:") else length
            answer = signed_response(httpx.Request("POST", "http://h", content=received.read(length))).content
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with client_of(url) as client:
            for _ in range(2):
                serving = threading.Thread(target=sign_once, args=[listener])
                serving.start()
                assert (await client.sign(pdf())).content == mock_signed(PDF)
                serving.join()  # holds the event loop until the server has closed the connection


@pytest.mark.skipif(sys.platform == "win32", reason="Windows numbers sockets otherwise.")
async def test_the_process_may_have_many_open_files() -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, limits[1]))
    files = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while files[-1] < 1024:  # the first number that `select` does not take
            files.append(os.dup(files[0]))
        async with FaultServer(signs_for_ever) as server, client_of(server.url) as client:
            for _ in range(2):
                assert (await client.sign(pdf())).content == mock_signed(PDF)
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert server.connections == 1


async def test_all_addresses_of_a_host_are_tried(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FaultServer(signs_for_ever) as server, client_of("http://proxy.test") as client:
        found: list[Any] = [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))
            for port in (closed_port, server.port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

        assert (await client.sign(pdf())).content == mock_signed(PDF)


async def test_the_families_of_addresses_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, tried = asyncio.get_running_loop(), list[str]()
    connect = loop.create_connection

    async def connects_without_ipv6(protocol: Any, host: str, port: int) -> Any:
        tried.append(host)
        if ":" in host:
            raise OSError("Network is unreachable")
        return await connect(protocol, host, port)

    async with FaultServer(signs_for_ever) as server, client_of("http://proxy.test") as client:
        found: list[Any] = [
            (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", server.port, 0, 0)),
            (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::2", server.port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", server.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr(loop, "create_connection", connects_without_ipv6)

        assert (await client.sign(pdf())).content == mock_signed(PDF)

    assert tried == ["::1", "127.0.0.1"]


async def test_the_error_of_the_first_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(protocol: Any, host: str, port: int) -> Any:
        raise OSError(f"{host} is unreachable")

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{number}", 80)) for number in (1, 2, 3)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", fails)
    async with client_of("http://proxy.test") as client:
        assert "192.0.2.1 is unreachable" in str(await failure_of(client))


async def test_the_system_may_give_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def gives_up(*_: Any) -> Any:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", gives_up)
    async with httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context())) as client:
        with pytest.raises(httpx.ConnectTimeout, match="Connection timed out"):
            await client.get("http://127.0.0.1:9")


async def test_the_zone_of_a_link_local_address_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("fe80::1", 80, 0, 1))]
    tried = list[Any]()

    async def fails(connection: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError("unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", fails)
    async with client_of("http://proxy.test") as client:
        await failure_of(client)

    assert tried == [("fe80::1", 80, 0, 1)]


async def test_an_address_is_tried_once(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, tried = asyncio.get_running_loop(), list[str]()
    connect = loop.create_connection

    async def connects(protocol: Any, host: str, port: int) -> Any:
        tried.append(host)
        return await connect(protocol, host, port)

    monkeypatch.setattr(loop, "create_connection", connects)
    async with httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context())) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{closed_port}")

    assert tried == ["127.0.0.1"]


async def test_an_invalid_host_name_cannot_be_connected_to() -> None:
    async with httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context())) as client:
        with pytest.raises(httpx.ConnectError, match="label empty"):
            await client.get("http://a..b")


async def test_an_address_that_does_not_respond_is_passed_over(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = asyncio.get_running_loop().sock_connect
    trying, trying_next = asyncio.Event(), asyncio.Event()

    async def connect_to_second(connection: socket.socket, address: Any) -> None:
        if address[1] == closed_port:
            trying.set()
            await asyncio.Event().wait()
        trying_next.set()
        await connect(connection, address)

    async with FaultServer(signs_for_ever) as server, client_of("http://proxy.test") as client:
        found: list[Any] = [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))
            for port in (closed_port, server.port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect_to_second)
        call = asyncio.create_task(client.sign(pdf()))
        await trying.wait()
        await server.clock.pass_by(0.25)  # as RFC 8305 recommends
        for _ in range(20):  # turns of the event loop, in which it is tried
            await asyncio.sleep(0)

        assert trying_next.is_set()
        assert (await call).content == mock_signed(PDF)


async def test_a_sender_waits_for_the_reader(tls: ssl.SSLContext | None) -> None:
    piece, sent = bytes(1_000_000), 0

    async def sends_much(connection: Connection) -> None:
        nonlocal sent
        await connection.head()
        await connection.respond(b"", length=100 * len(piece))
        for _ in range(100):
            await connection.send(piece)
            sent += len(piece)

    async with (
        FaultServer(sends_much, tls=tls) as server,
        httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context())) as client,
        client.stream("GET", server.url) as response,
    ):
        for _ in range(2000):  # in which asyncio would read all of it
            await asyncio.sleep(0)
        held = sent
        read = sum([len(data) async for data in response.aiter_raw()])

    assert held < 30_000_000  # which the buffers of the system hold
    assert read == 100 * len(piece)


async def test_a_connection_reset_during_the_handshake_was_not_made() -> None:
    async def resets(connection: Connection) -> None:
        await connection.body(100)
        connection.reset()

    async with (
        FaultServer(resets) as server,
        httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context())) as client,
    ):
        with pytest.raises(httpx.ConnectError, match="Connection reset by peer"):
            await client.get(server.url.replace("http:", "https:"))


async def test_a_call_cancelled_during_the_handshake_leaves_no_connection(trusted: None) -> None:
    closed = asyncio.Event()

    async def says_nothing(connection: Connection) -> None:
        await connection.body(100)
        connection.server.reached.set()
        while await connection.available():
            pass
        closed.set()

    async with FaultServer(says_nothing) as server, client_of(server.url.replace("http:", "https:")) as client:
        call = asyncio.create_task(client.sign(pdf()))
        await server.reached.wait()
        call.cancel()
        await asyncio.wait([call])
        async with asyncio.timeout(30):
            await closed.wait()


@pytest.mark.parametrize(("content", "error"), [(b"", httpx.ReadTimeout), (LARGE, httpx.WriteTimeout)])
async def test_each_wait_ends_in_time(content: bytes, error: type[Exception], tls: ssl.SSLContext | None) -> None:
    async def stops_reading(connection: Connection) -> None:
        await connection.head()
        await connection.stay()

    async with (
        FaultServer(stops_reading, tls=tls) as server,
        httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context()), timeout=60.0) as client,
    ):
        call = asyncio.create_task(client.post(server.url, content=content))
        await server.reached.wait()
        await server.clock.end(call, after=61.0)

        with pytest.raises(error):
            await call


async def test_without_a_timeout_nothing_ends(tls: ssl.SSLContext | None) -> None:
    async def responds_late(connection: Connection) -> None:
        await connection.head()
        await connection.let_pass(100_000_000)
        await connection.respond(b"")

    async with (
        FaultServer(responds_late, tls=tls) as server,
        httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context()), timeout=None) as client,
    ):
        assert (await client.get(server.url)).status_code == 200


async def test_a_request_leaves_no_timer(tls: ssl.SSLContext | None, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), list[asyncio.TimerHandle]()
    call_at = loop.call_at

    def record(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
        timers.append(call_at(*arguments, **options))
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", record)
    async with FaultServer(signs_for_ever, tls=tls) as server, client_of(server.url) as client:
        await client.sign(Document.pdf(LARGE, name="a.pdf"))

    assert len(timers) > 2
    assert all(timer.cancelled() for timer in timers)


async def test_a_handshake_ends_in_time() -> None:
    async with (
        FaultServer(Connection.stay) as server,
        httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context()), timeout=60.0) as client,
    ):
        call = asyncio.create_task(client.get(server.url.replace("http:", "https:")))
        await server.reached.wait()
        for _ in range(20):  # turns of the event loop, in which the connection is made
            await asyncio.sleep(0)
        await server.clock.end(call, after=61.0)

        with pytest.raises(httpx.ConnectTimeout):
            await call


async def test_a_handshake_without_response_gets_its_own_hint() -> None:
    async with FaultServer(Connection.stay) as server, client_of(server.url.replace("http:", "https:")) as client:
        failure = asyncio.create_task(failure_of(client))
        await server.reached.wait()
        for _ in range(20):  # turns of the event loop, in which the connection is made
            await asyncio.sleep(0)
        await server.clock.end(failure, after=11.0)

    assert "if it speaks no TLS, the URL begins with http://" in str(await failure)


async def test_the_rest_of_a_cancelled_request_is_not_sent() -> None:
    content, received = bytes(50_000_000), 0
    cancelled, ended = asyncio.Event(), asyncio.Event()

    async def reads_late(connection: Connection) -> None:
        nonlocal received
        await connection.head()
        connection.server.reached.set()
        await cancelled.wait()
        with contextlib.suppress(OSError):
            while data := await connection.available():
                received += len(data)
        ended.set()

    async with (
        FaultServer(reads_late) as server,
        httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context())) as client,
    ):
        call = asyncio.create_task(client.post(server.url, content=content))
        await server.reached.wait()
        call.cancel()
        await asyncio.wait([call])
        cancelled.set()
        await ended.wait()

    assert received < len(content) / 2  # which the buffers of the system hold


async def test_the_addresses_are_known(tls: ssl.SSLContext | None) -> None:
    context = httpx.create_ssl_context()
    known = list[Any]()
    for transport in (DirectTransport(context), httpx.AsyncHTTPTransport(verify=context)):
        async with (
            FaultServer(answers_for_ever, tls=tls) as server,
            httpx.AsyncClient(transport=transport) as client,
            client.stream("GET", server.url) as response,
        ):
            stream = response.extensions["network_stream"]
            names = ("client_addr", "server_addr", "socket", "ssl_object", "unknown")
            client_address, server_address, connected, tls_object, unknown = map(stream.get_extra_info, names)
            known.append((client_address[0], connected.family, tls_object and tls_object.version(), unknown))
            assert client_address == connected.getsockname()
            assert server_address == ("127.0.0.1", server.port)

    assert known[0] == known[1]


async def test_a_closed_client_has_no_socket(tls: ssl.SSLContext | None) -> None:
    client = httpx.AsyncClient(transport=DirectTransport(httpx.create_ssl_context()))
    async with FaultServer(answers_for_ever, tls=tls) as server:
        response = await client.get(server.url)
        connected = response.extensions["network_stream"].get_extra_info("socket")
        assert connected.fileno() > 0
        await client.aclose()
        assert connected.fileno() == -1


@pytest.mark.parametrize("ports", ["open", "closed open", "open open", "open closed"])
async def test_a_call_cancelled_at_any_moment_leaves_no_connection(
    ports: str, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FaultServer(answers_for_ever) as server, client_of("http://proxy.test") as client:
        numbers = {"open": server.port, "closed": closed_port}
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", numbers[port])) for port in ports.split()]

        async def known(*_: Any, **__: Any) -> Any:
            return found

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", known)
        for turns in range(25):
            call = asyncio.create_task(client.get_status(7))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
        gc.collect()  # which reports sockets that were not closed

        assert (await client.get_status(7)).status == "EXECUTED"

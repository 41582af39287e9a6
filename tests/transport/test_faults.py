"""Network faults: which exception they raise, and whether the service may have signed."""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
import random
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import httpx2
import httpx_aiohttp
import pytest

from signstash import (
    ConfigurationError,
    ConnectionFailedError,
    Document,
    DuplicateReferenceError,
    InvalidDocumentError,
    InvalidRequestError,
    OutcomeUnknownError,
    RateLimitedError,
    RetryPolicy,
    ServiceError,
    SignStash,
    TokenAuth,
    UnexpectedResponseError,
)
from tests.auth.test_secrets import chain, frames
from tests.conftest import (
    CLIENT_ID,
    CLIENT_SECRET,
    PDF,
    TOKEN,
    TOKEN_URL,
    failure_of,
    http_library,
    mock_signed,
    pdf,
    signed_response,
    token_response,
)
from tests.fault_server import LARGE, Clock, Connection, FaultServer, Script, client_of, little_memory


async def failure_at(script: Script, content: bytes = PDF, *, tls: ssl.SSLContext | None = None, **options: Any) -> Any:
    """The error of a request to a server with this script."""
    async with FaultServer(script, tls=tls) as server, client_of(server.url, **options) as client:
        error = await failure_of(client, pdf("FT_31", content=content))
        assert server.connections <= 2
    expect_nothing_shown(error)
    return error


def expect_nothing_shown(error: BaseException) -> None:
    """Fail if a local variable of our functions, which a traceback shows, holds contents or the token."""
    encoded = (base64.b64encode(content).decode()[:24] for content in (PDF, bytes(18)))
    secrets = (TOKEN, repr(PDF)[2:20], repr(bytes(18))[2:-1], *encoded)
    shown = [
        f"{function}: {name}"
        for link in chain(error)
        for function, variables in frames(link)
        for name, value in variables.items()
        if any(secret in repr(value) for secret in secrets)
    ]
    assert shown == []


# While the request is sent


async def resets_at_once(connection: Connection) -> None:
    connection.reset()


async def resets_after_the_head(connection: Connection) -> None:
    await connection.head()
    connection.reset()


async def resets_in_the_body(connection: Connection) -> None:
    await connection.head()
    await connection.body(300_000)
    connection.reset()


async def closes_in_the_body(connection: Connection) -> None:
    await connection.head()
    await connection.body(300_000)
    connection.close()


async def stops_reading(connection: Connection) -> None:
    await connection.head()
    await connection.body(300_000)
    await connection.let_pass(55)
    await connection.stay()


@pytest.mark.parametrize("upload", ["base64", "multipart"])
@pytest.mark.parametrize(
    ("script", "options"),
    [
        (resets_at_once, {}),
        (resets_after_the_head, {}),
        (resets_in_the_body, {}),
        (closes_in_the_body, {}),
        (stops_reading, {"timeout": httpx.Timeout(5.0, write=0.05)}),
        (stops_reading, {"deadline": 50}),
    ],
)
async def test_an_incompletely_sent_request_was_not_processed(
    script: Script, options: dict[str, Any], upload: str, tls: ssl.SSLContext | None
) -> None:
    error = await failure_at(script, LARGE, upload=upload, tls=tls, **options)

    assert type(error) is ConnectionFailedError
    assert error.maybe_processed is False
    assert "127.0.0.1" in str(error)
    assert "FT_31" in str(error)


async def test_a_file_that_changes_while_it_is_sent_is_not_shown(tmp_path: Path, tls: ssl.SSLContext | None) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(LARGE)

    async def changes_it(connection: Connection) -> None:
        await connection.head()
        os.utime(path, (0, 0))
        await connection.stay()

    async with FaultServer(changes_it, tls=tls) as server, client_of(server.url) as client:
        error = await failure_of(client, Document.pdf(path))

    assert type(error) is InvalidDocumentError
    expect_nothing_shown(error)


@pytest.mark.parametrize("is_file", [False, True])
async def test_contents_of_the_wrong_type_are_not_shown(is_file: bool, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(LARGE)
    with pytest.raises(InvalidDocumentError, match="it is not XML") as failed:
        async with client_of("http://127.0.0.1:1") as client:
            await client.sign(Document.xml(tmp_path / "a.xml" if is_file else LARGE, name="a.xml"))

    expect_nothing_shown(failed.value)


async def test_an_early_response_is_the_response() -> None:
    async def refuses(connection: Connection) -> None:
        head = await connection.head()
        await connection.respond(b'{"errorCode": "0.0.4"}', status=413)
        await connection.body(int(head["content-length"]))

    error = await failure_at(refuses, LARGE)

    assert type(error) is InvalidRequestError
    assert error.maybe_processed is False


async def test_after_an_early_success_the_document_may_be_signed() -> None:
    class Broken(http_library.AsyncByteStream):  # type: ignore[misc]  # it is Any, either of two
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b'{"id": '
            raise http_library.ReadError("broken")

    class Transport(http_library.AsyncBaseTransport):  # type: ignore[misc]  # as above
        async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
            return http_library.Response(200, stream=Broken())  # type: ignore[no-any-return]  # as above

    async with client_of("http://proxy.test", http_client=http_library.AsyncClient(transport=Transport())) as client:
        error = await failure_of(client)

    assert type(error) is OutcomeUnknownError


@pytest.mark.parametrize("upload", ["base64", "multipart"])
@pytest.mark.parametrize("lost", [http_library.WriteTimeout("slow"), http_library.WriteError("broken"), TimeoutError()])
async def test_a_last_piece_in_transit_may_have_arrived(lost: Exception, upload: str) -> None:
    # The event loop may learn of a broken connection, or of its own deadline, before it learns that all was sent.
    class Transport(http_library.AsyncBaseTransport):  # type: ignore[misc]  # it is Any, either of two
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            missing = int(request.headers["content-length"])
            assert isinstance(request.stream, http_library.AsyncByteStream)
            async for piece in request.stream:
                missing -= len(piece)
                if missing == 0:
                    raise lost
            raise AssertionError("the body is too short")

    async with client_of(
        "http://proxy.test", http_client=http_library.AsyncClient(transport=Transport()), upload=upload
    ) as client:
        error = await failure_of(client, pdf("FT_31", content=LARGE))

    assert type(error) is OutcomeUnknownError
    assert error.maybe_processed is True


async def test_a_completely_received_request_may_be_processed_on_a_slow_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # While the loop is blocked the operating system sends the rest; then loop and deadline wake up together.
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    clock, begun = Clock(monkeypatch), threading.Event()
    received: list[bool] = []

    def read_all() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as request:
            lines = list(iter(request.readline, b"\r\n"))
            length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length"))
            begun.set()
            try:
                received.append(len(request.read(length)) == length)
            except OSError:
                received.append(False)

    async def hold_the_loop_up() -> None:
        await asyncio.to_thread(begun.wait)
        while not received:
            time.sleep(0.12)  # noqa: ASYNC251 - that is the point
            await clock.pass_by(55)

    server = threading.Thread(target=read_all)
    server.start()
    async with client_of(f"http://127.0.0.1:{listener.getsockname()[1]}", deadline=50) as client:
        holding = asyncio.create_task(hold_the_loop_up())
        error = await failure_of(client, pdf("FT_31", content=LARGE[: 3 * 1024 * 1024]))
        await holding
    server.join()
    listener.close()

    assert error.maybe_processed or not received[0]


async def test_a_transport_that_buffers_the_body_may_have_sent_it() -> None:
    def lose(request: httpx.Request) -> httpx.Response:
        raise http_library.ReadTimeout("slow", request=request)

    transport = http_library.MockTransport(lose)
    async with client_of("http://proxy.test", http_client=http_library.AsyncClient(transport=transport)) as client:
        error = await failure_of(client)

    assert type(error) is OutcomeUnknownError
    assert error.maybe_processed is True


# After the request was sent


async def resets_after_the_body(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def closes_without_an_answer(connection: Connection) -> None:
    await connection.request()
    connection.close()


async def never_answers(connection: Connection) -> None:
    await connection.request()
    await connection.let_pass(55)
    await connection.stay()


async def trickles_its_head(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await connection.send(b"x")
        await connection.let_pass(10)


async def trickles_its_body(connection: Connection) -> None:
    await connection.request()
    await connection.respond(b"{", length=1_000_000)
    while True:
        await connection.send(b" ")
        await connection.let_pass(10)


async def answers_half(connection: Connection) -> None:
    await connection.request()
    await connection.respond(b'{"id": 1, "documentList": []}', length=1000)


async def answers_half_and_resets(connection: Connection) -> None:
    await answers_half(connection)
    connection.reset()


async def cuts_off_its_chunks(connection: Connection) -> None:
    await connection.request()
    await connection.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"id": 1,\r\nff\r\n"docu')


async def speaks_something_else(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"220 mail.test ESMTP\r\n\r\n")


async def says_it_is_compressed(connection: Connection) -> None:
    await connection.request()
    await connection.respond(b'{"id": 1}', "Content-Encoding: gzip")


async def changes_the_protocol(connection: Connection) -> None:
    await connection.request()
    await connection.respond(b"", status=101)


async def sends_a_head_without_end(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 300_000)


LOST_ANSWERS = [
    (resets_after_the_body, {}),
    (closes_without_an_answer, {}),
    (never_answers, {"timeout": httpx.Timeout(5.0, read=0.05)}),
    (never_answers, {"deadline": 50}),
    (trickles_its_head, {"timeout": 1000, "deadline": 50}),
    (trickles_its_body, {"timeout": 1000, "deadline": 50}),
    (answers_half, {}),
    (answers_half_and_resets, {}),
    (cuts_off_its_chunks, {}),
    (speaks_something_else, {}),
    (says_it_is_compressed, {}),
    (changes_the_protocol, {}),
    (sends_a_head_without_end, {}),
]


@pytest.mark.parametrize("upload", ["base64", "multipart"])
@pytest.mark.parametrize(("script", "options"), LOST_ANSWERS)
async def test_a_lost_response_leaves_the_outcome_unknown(
    script: Script, options: dict[str, Any], upload: str, tls: ssl.SSLContext | None
) -> None:
    error = await failure_at(script, upload=upload, tls=tls, **options)

    assert type(error) is OutcomeUnknownError
    assert error.maybe_processed is True
    assert error.external_references == ("FT_31",)
    assert "127.0.0.1" in str(error)


@pytest.mark.parametrize(("script", "options"), LOST_ANSWERS)
async def test_a_lost_response_to_a_query_changed_nothing(script: Script, options: dict[str, Any]) -> None:
    async with FaultServer(script) as server, client_of(server.url, **options) as client:
        with pytest.raises(ConnectionFailedError) as failed:
            await client.get_status(7)

    assert failed.value.maybe_processed is False


async def test_a_response_longer_than_its_length_is_cut() -> None:
    async def answers_too_much(connection: Connection) -> None:
        await connection.request()
        await connection.respond(b'{"id": 1, "documentList": []}', length=10)

    async with FaultServer(answers_too_much, Connection.sign) as server, client_of(server.url) as client:
        error = await failure_of(client)

    assert type(error) is UnexpectedResponseError
    assert error.maybe_processed is True


@pytest.mark.parametrize(
    ("status", "body", "expected", "maybe_processed"),
    [
        (409, b'{"errorCode": "0.0.7"}', DuplicateReferenceError, False),
        (429, b"<html>", RateLimitedError, False),
        (500, b'{"errorCode": "0.0.1"}', ServiceError, True),
        (503, b"", ServiceError, True),
        (500, b'{"errorCode": "0.0.', UnexpectedResponseError, True),
        (409, b'{"errorCode": "0.0.', UnexpectedResponseError, False),
    ],
)
@pytest.mark.parametrize("auth", [None, httpx.BasicAuth("own", "one")], ids=["token", "own"])
async def test_a_truncated_rejection_is_a_rejection(
    status: int, body: bytes, expected: Any, maybe_processed: bool, auth: httpx.Auth | None
) -> None:
    async def refuses(connection: Connection) -> None:
        await connection.request()
        await connection.respond(body, status=status, length=1000)
        connection.reset() if status == 409 else connection.close()

    error = await failure_at(refuses, auth=auth)

    assert type(error) is expected
    assert error.status_code == status
    assert error.maybe_processed is maybe_processed


@pytest.mark.parametrize("auth", [None, httpx.BasicAuth("own", "one")], ids=["token", "own"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
async def test_a_rejection_with_damaged_compression_is_a_rejection(encoding: str, auth: httpx.Auth | None) -> None:
    async def refuses(connection: Connection) -> None:
        await connection.request()
        await connection.respond(b"never compressed", f"Content-Encoding: {encoding}", status=503)

    error = await failure_at(refuses, auth=auth)

    assert isinstance(error, ServiceError | UnexpectedResponseError)
    assert error.status_code == 503
    assert error.maybe_processed is True


async def test_a_token_is_replaced_after_a_truncated_rejection() -> None:
    async def refuses(connection: Connection) -> None:
        await connection.request()
        await connection.respond(b"<ht", status=401, length=1000)

    async with FaultServer(refuses, Connection.sign) as server, client_of(server.url) as client:
        signed = await client.sign(pdf())

    assert signed.content == mock_signed(PDF)
    assert server.bodies[0] == server.bodies[1]


# Compressed responses


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
async def test_an_unrequested_compression_is_read(compress: Callable[[bytes], bytes]) -> None:
    content = PDF + random.Random(1).randbytes(700_000) + bytes(3_000_000)
    encoding = "gzip" if compress is gzip.compress else "deflate"

    async def signs(connection: Connection) -> None:
        response = signed_response(await connection.request()).content
        await connection.respond(compress(response), f"Content-Encoding: {encoding}")

    async with FaultServer(signs) as server, client_of(server.url) as client:
        signed = await client.sign(Document.pdf(content, name="invoice.pdf"))

    assert signed.content == mock_signed(content)


def bomb(size: int, layers: int) -> bytes:
    """So many zeros, compressed once or more."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = head + block * (size >> 20)
    for _ in range(layers - 1):
        packed = gzip.compress(packed)
    return packed


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("layers", [1, 2])
async def test_a_decompression_bomb_takes_little_memory(status: int, layers: int) -> None:
    packed = bomb(400 << 20, layers)
    assert len(packed) < 1 << 20

    async def drops_it(connection: Connection) -> None:
        await connection.request()
        await connection.respond(packed, f"Content-Encoding: {', '.join(['gzip'] * layers)}", status=status)

    tracemalloc.start()
    try:
        with little_memory():
            error = await failure_at(drops_it)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert type(error) in (UnexpectedResponseError, OutcomeUnknownError, ServiceError)
    assert error.maybe_processed is True
    assert peak < 48 << 20


class TestOtherTransports:
    """The transport's name of a failure does not decide whether the request was sent."""

    async def test_a_connect_timeout_after_sending_leaves_the_outcome_unknown(self) -> None:
        class Transport(http_library.AsyncBaseTransport):  # type: ignore[misc]  # it is Any, either of two
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                async for _ in request.stream:  # type: ignore[union-attr]
                    pass
                raise http_library.ConnectTimeout("the response took too long")

        http_client = http_library.AsyncClient(transport=Transport())
        async with client_of("http://proxy.test", http_client=http_client) as client:
            error = await failure_of(client)

        assert type(error) is OutcomeUnknownError

    @pytest.mark.parametrize("lost", [RuntimeError("The handler is closed."), LookupError("unforeseen")])
    async def test_a_query_whose_response_was_lost_is_not_said_to_be_unsent(self, lost: Exception) -> None:
        def lose(_: httpx.Request) -> httpx.Response:
            raise lost

        http_client = httpx.AsyncClient(transport=httpx.MockTransport(lose))
        async with client_of("http://proxy.test", http_client=http_client) as client:
            with pytest.raises(ConfigurationError, match="nothing was changed") as failed:
                await client.get_status(7)

        assert " sent" not in str(failed.value)

    async def test_a_connection_refused_by_a_mock_was_not_made(self) -> None:
        def refuse(_: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused")

        http_client = httpx.AsyncClient(transport=httpx.MockTransport(refuse))
        async with client_of("http://proxy.test", http_client=http_client) as client:
            error = await failure_of(client)

        assert type(error) is ConnectionFailedError

    async def test_errors_of_httpx_aiohttp_are_mapped(self) -> None:
        async def responds_once(connection: Connection) -> None:
            await connection.sign()
            await connection.request()
            await connection.let_pass(65)
            await connection.stay()

        http_client = httpx_aiohttp.HttpxAiohttpClient()
        async with (
            FaultServer(responds_once) as server,
            client_of(server.url, http_client=http_client) as client,
        ):
            assert (await client.sign(pdf(name="a.pdf"))).content == mock_signed(PDF)
            error = await failure_of(client)

        assert type(error) is OutcomeUnknownError


class TestRequestsBesides:
    """What a hook, an authentication or a transport sends in addition, after the document was signed, and fails."""

    @staticmethod
    async def send(library: Any) -> None:
        async with library.AsyncClient(trust_env=False) as other:
            await other.get("http://127.0.0.1:1/")

    @staticmethod
    async def fail() -> None:
        raise http_library.ConnectError("raised without a request")

    @pytest.mark.parametrize("besides", ["the same library", "httpx2", "without a request"])
    @pytest.mark.parametrize("where", ["hook", "transport", "auth", "hook of a mock", "hook, body read before"])
    async def test_its_failure_leaves_the_outcome_unknown(self, besides: str, where: str) -> None:
        async def send(*_: object) -> None:
            sent.append(besides)
            if besides == "without a request":
                await self.fail()
            else:
                await self.send(http_library if besides == "the same library" else httpx2)

        class Transport(http_library.AsyncHTTPTransport):  # type: ignore[misc]  # it is Any, either of two
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                response: httpx.Response = await super().handle_async_request(request)
                await send()
                return response

        class Auth(httpx.Auth):
            requires_request_body = where == "hook, body read before"

            async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
                if self.requires_request_body:
                    await request.aread()
                yield request
                if where == "auth":
                    await send()

        async def signs(connection: Connection) -> None:
            await connection.sign()

        sent = list[str]()
        transport = Transport() if where == "transport" else None
        if where == "hook of a mock":
            transport = http_library.MockTransport(lambda _: http_library.Response(200))
        hooks = {"response": [send] if where.startswith("hook") else []}
        http_client = http_library.AsyncClient(transport=transport, event_hooks=hooks, trust_env=False)
        retries = RetryPolicy(attempts=3, first_bound=0.001)
        options: Any = {"http_client": http_client, "auth": Auth(), "client_id": CLIENT_ID, "retries": retries}
        async with FaultServer(signs) as server, http_client, SignStash(server.url, **options) as client:
            error = await failure_of(client)

        assert type(error) is OutcomeUnknownError
        assert sent == [besides]


class TestEarlyRejection:
    """A service that rejects the token while the body is still being sent, and closes the connection."""

    @staticmethod
    async def rejects_early(connection: Connection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.reset()

    async def test_the_token_is_replaced_and_the_document_sent_again(self) -> None:
        tokens, now = Tokens(), [1000.0]
        async with FaultServer(self.rejects_early, Connection.sign) as server:
            auth = tokens.auth(server.url, now)
            async with client_of(server.url, auth=auth) as client:
                await auth._current_token()
                now[0] += 60
                signed = await client.sign(Document.pdf(LARGE, name="a.pdf"))
            await auth.aclose()

        assert signed.content == mock_signed(LARGE)
        assert tokens.issued == 2

    async def test_a_new_token_is_kept(self) -> None:
        tokens = Tokens()
        async with FaultServer(resets_after_the_head) as server:
            auth = tokens.auth(server.url, [1000.0])
            async with client_of(server.url, auth=auth) as client:
                error = await failure_of(client, pdf(content=LARGE))
            await auth.aclose()

        assert type(error) is ConnectionFailedError
        assert [status for status in ("401", "413", "429") if status not in error.hint] == []
        assert (tokens.issued, server.connections) == (1, 1)


class Tokens:
    """A token server, and how many tokens it issued."""

    def __init__(self) -> None:
        self.issued = 0

    def auth(self, url: str, now: list[float]) -> TokenAuth:
        """A `TokenAuth` with a clock that the test sets."""
        http_client = httpx.AsyncClient(transport=httpx.MockTransport(self._issue))
        return TokenAuth(
            TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=url, http_client=http_client, clock=lambda: now[0]
        )

    def _issue(self, _: httpx.Request) -> httpx.Response:
        self.issued += 1
        return token_response(f"never-shown-token-{self.issued}")

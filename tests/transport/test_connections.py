"""Connections: host names, ports, certificates, stale connections, exhausted pools, cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import socket
import ssl
import warnings
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from signstash import (
    ConfigurationError,
    ConnectionFailedError,
    CredentialsRejectedError,
    Document,
    OutcomeUnknownError,
    ServiceError,
    SignStash,
    TokenAuth,
    UnexpectedResponseError,
)
from signstash._transport.outbound_proxy import is_excluded
from signstash.testing.interception import use_sleep
from tests.conftest import (
    CLIENT_ID,
    CLIENT_SECRET,
    PDF,
    TOKEN_URL,
    failure_of,
    http_library,
    mock_signed,
    own_client,
    pdf,
)
from tests.fault_server import LARGE, Connection, FaultServer, Script, at_once, client_of


async def signs_for_ever(connection: Connection) -> None:
    while True:
        await connection.sign()


async def answers_for_ever(connection: Connection) -> None:
    while True:
        await connection.head()
        await connection.respond(b'{"id": 7, "status": "EXECUTED"}')


def expect_nothing_processed(error: Any, *words: str) -> None:
    assert type(error) is ConnectionFailedError
    assert error.maybe_processed is False
    assert [word for word in words if word not in str(error)] == []


class TestNoConnection:
    async def test_a_closed_port_raises(self, closed_port: int) -> None:
        async with client_of(f"http://127.0.0.1:{closed_port}") as client:
            error = await failure_of(client)

        expect_nothing_processed(error, "127.0.0.1", "FT_31", "no connection could be made")
        assert "All connection attempts failed" not in str(error)  # that says nothing; the system's own error does

    async def test_an_unknown_host_name_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: Any, **__: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        async with client_of("http://proxy.invalid:8081") as client:
            expect_nothing_processed(await failure_of(client), "proxy.invalid", "Name or service not known")

    async def test_an_exhausted_pool_raises(self) -> None:
        http_client = http_library.AsyncClient(
            limits=http_library.Limits(max_connections=1), verify=False, trust_env=False
        )

        async def never_answers(connection: Connection) -> None:
            await connection.request()
            await connection.stay()

        timeout = httpx.Timeout(5.0, pool=0.05)
        async with (
            FaultServer(never_answers, signs_for_ever) as server,
            client_of(server.url, http_client=http_client, timeout=timeout) as client,
        ):
            busy = asyncio.create_task(client.sign(pdf()))
            await server.reached.wait()

            expect_nothing_processed(await failure_of(client), "no connection became free")

            busy.cancel()
            await asyncio.wait([busy])
            assert (await client.sign(pdf())).content == mock_signed(PDF)

    async def test_a_connection_not_made_in_time_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", wait_for_ever)
        async with client_of("http://localhost:9", timeout=httpx.Timeout(5.0, connect=0.05)) as client:
            expect_nothing_processed(await failure_of(client), "localhost", "connecting took too long")

    async def test_a_connection_closed_while_idle_is_replaced(self) -> None:
        async def signs_once(connection: Connection) -> None:
            await connection.sign()
            await connection.closed()

        async with FaultServer(signs_once, signs_for_ever) as server, client_of(server.url) as client:
            for _ in range(3):
                server.reached.clear()
                assert (await client.sign(pdf())).content == mock_signed(PDF)
                if server.connections == 1:
                    await server.reached.wait()

        assert server.connections == 2

    async def test_a_connection_closed_during_the_second_request_raises(self) -> None:
        async def signs_once(connection: Connection) -> None:
            await connection.sign()
            await connection.request()

        async with FaultServer(signs_once, signs_for_ever) as server, client_of(server.url) as client:
            await client.sign(pdf())
            error = await failure_of(client)
            await client.sign(pdf())

        assert type(error) is OutcomeUnknownError
        assert error.maybe_processed is True
        assert (server.connections, len(server.bodies)) == (2, 3)  # not sent again automatically


@pytest.mark.parametrize("status", [200, 500])
async def test_a_connection_is_released_after_any_response(status: int) -> None:
    async def answers_unusably(connection: Connection) -> None:
        await connection.request()
        await connection.respond(b"x" * 2_000_000, "Content-Encoding: br", status=status)

    http_client = http_library.AsyncClient(limits=http_library.Limits(max_connections=1), verify=False, trust_env=False)
    timeout = httpx.Timeout(60.0)
    async with (
        FaultServer(answers_unusably, signs_for_ever) as server,
        client_of(server.url, http_client=http_client, timeout=timeout) as client,
    ):
        kept = await failure_of(client)  # with its traceback, and the frames of that

        assert kept.maybe_processed is True
        assert (await client.sign(pdf())).content == mock_signed(PDF)


class TestTls:
    def server(self, ca: trustme.CA, name: str = "127.0.0.1", **options: Any) -> FaultServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(name, **options).configure_cert(context)
        return FaultServer(signs_for_ever, tls=context)

    async def test_a_trusted_certificate_is_accepted(self, ca: trustme.CA, trusting: Any) -> None:
        async with (
            self.server(ca) as server,
            client_of(server.url, http_client=trusting) as client,
        ):
            assert (await client.sign(pdf())).content == mock_signed(PDF)

    async def test_an_unknown_ca_raises(self, ca: trustme.CA) -> None:
        async with (
            self.server(ca) as server,
            client_of(
                server.url, http_client=None if own_client else http_library.AsyncClient(trust_env=False)
            ) as client,
        ):
            error = await failure_of(client)

        expect_nothing_processed(error, "127.0.0.1", "certificate verify failed")
        assert re.search(r"\bCA\b", error.hint)
        assert server.connections == 0

    async def test_an_expired_certificate_raises(self, ca: trustme.CA, trusting: Any) -> None:
        ended = datetime(2020, 1, 2, tzinfo=UTC)
        async with (
            self.server(ca, not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=ended) as server,
            client_of(server.url, http_client=trusting) as client,
        ):
            expect_nothing_processed(await failure_of(client), "127.0.0.1", "certificate has expired")

    async def test_a_certificate_for_another_host_raises(self, ca: trustme.CA, trusting: Any) -> None:
        async with (
            self.server(ca, "elsewhere.test") as server,
            client_of(server.url, http_client=trusting) as client,
        ):
            expect_nothing_processed(await failure_of(client), "not valid for '127.0.0.1'")

    async def test_a_server_without_tls_raises(self) -> None:
        async def speaks_http(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async with (
            FaultServer(speaks_http) as server,
            client_of(server.url.replace("http:", "https:")) as client,
        ):
            expect_nothing_processed(await failure_of(client), "http://")

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
    async def test_a_server_with_an_old_tls_version_raises(
        self, ca: trustme.CA, monkeypatch: pytest.MonkeyPatch, version: ssl.TLSVersion
    ) -> None:
        old, lax = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.maximum_version, old.minimum_version = version, ssl.TLSVersion.TLSv1
            lax.minimum_version = ssl.TLSVersion.TLSv1
        for context in (old, lax):
            context.set_ciphers("ALL:@SECLEVEL=0")
        ca.issue_cert("127.0.0.1").configure_cert(old)
        ca.configure_trust(lax)
        monkeypatch.setattr(httpx, "create_ssl_context", lambda: lax)
        async with (
            FaultServer(signs_for_ever, tls=old) as server,
            client_of(server.url) as given,
            SignStash(server.url, auth=given._exchange.auth, client_id=CLIENT_ID) as client,
        ):
            if version is ssl.TLSVersion.TLSv1_2:
                assert (await client.sign(pdf())).content == mock_signed(PDF)
            else:
                expect_nothing_processed(await failure_of(client), "127.0.0.1", "TLS 1.2 or newer")

    async def test_an_unknown_ca_of_the_token_server_raises(self, ca: trustme.CA) -> None:
        async with self.server(ca) as tokens, FaultServer(signs_for_ever) as server:
            url = f"{tokens.url}/oauth/token"
            auth = TokenAuth(url, CLIENT_ID, CLIENT_SECRET, base_urls=[server.url])
            async with client_of(server.url, auth=auth) as client:
                with use_sleep(at_once):
                    error = await failure_of(client)
            await auth.aclose()

        expect_nothing_processed(error, "127.0.0.1", "certificate verify failed")
        assert re.search(r"\bCA\b", error.hint)
        assert (tokens.connections, server.connections) == (0, 0)

    async def test_a_missing_client_certificate_raises(self, ca: trustme.CA, trusting: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        ca.issue_cert("127.0.0.1").configure_cert(context)
        ca.configure_trust(context)

        def refuse(listener: socket.socket) -> None:  # asyncio's TLS would drop the alert
            raw, _ = listener.accept()
            with context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False) as connection:
                with contextlib.suppress(ssl.SSLError):
                    connection.do_handshake()
                socket.socket.shutdown(connection, socket.SHUT_WR)
                while socket.socket.recv(connection, 65536):  # unread, it would become a reset
                    pass

        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(asyncio.to_thread(refuse, listener))
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            async with client_of(url, http_client=trusting) as client:
                error = await failure_of(client)
            await serving

        expect_nothing_processed(error, "client certificate")


async def wait_for_ever(*_: Any, **__: Any) -> Any:
    await asyncio.Event().wait()


class TestCancellation:
    async def cancel(self, client: SignStash, reached: asyncio.Event, content: bytes = PDF) -> None:
        task = asyncio.create_task(client.sign(pdf(content=content)))
        await reached.wait()
        task.cancel("enough")

        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        assert type(cancelled.value) is asyncio.CancelledError
        assert task.cancelled()

    async def test_a_call_can_be_cancelled_while_connecting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop, reached = asyncio.get_running_loop(), asyncio.Event()

        async def looks_up(*_: Any, **__: Any) -> Any:
            reached.set()
            return await wait_for_ever()

        server = FaultServer(signs_for_ever)
        async with server, client_of(server.url.replace("127.0.0.1", "localhost")) as client:
            with monkeypatch.context() as patched:
                patched.setattr(loop, "getaddrinfo", looks_up)
                await self.cancel(client, reached)
            found = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", server.port))
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [found])

            assert (await client.sign(pdf())).content == mock_signed(PDF)

    @pytest.mark.parametrize("upload", ["base64", "multipart"])
    async def test_a_call_can_be_cancelled_while_sending(self, upload: str) -> None:
        async def stops_reading(connection: Connection) -> None:
            await connection.head()
            await connection.stay()

        async with FaultServer(stops_reading, signs_for_ever) as server, client_of(server.url, upload=upload) as client:
            await self.cancel(client, server.reached, LARGE)

            assert (await client.sign(pdf())).content == mock_signed(PDF)

    @pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b'HTTP/1.1 200 OK\r\n\r\n{"id": '])
    async def test_a_call_can_be_cancelled_while_reading(self, sent: bytes) -> None:
        async def answers_in_part(connection: Connection) -> None:
            await connection.request()
            await connection.send(sent)
            await connection.stay()

        async with FaultServer(answers_in_part, signs_for_ever) as server, client_of(server.url) as client:
            await self.cancel(client, server.reached)

            assert (await client.sign(pdf())).content == mock_signed(PDF)

    async def test_cancelling_one_of_several_calls_ends_only_that_call(self) -> None:
        async def never_answers(connection: Connection) -> None:
            await connection.request()
            await connection.stay()

        async with FaultServer(never_answers, signs_for_ever) as server, client_of(server.url) as client:
            task = asyncio.create_task(client.sign(pdf()))
            await server.reached.wait()
            other = asyncio.create_task(client.sign(pdf()))
            task.cancel()

            assert (await other).content == mock_signed(PDF)
            assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError

    async def test_calls_cancelled_while_connecting_do_not_exhaust_the_pool(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loop = asyncio.get_running_loop()
        connect = loop.create_connection
        calls: list[asyncio.Task[Any]] = []

        async def cancelled_meanwhile(*arguments: Any, **options: Any) -> Any:
            connected = await connect(*arguments, **options)
            calls[-1].cancel()
            return connected

        async with FaultServer(answers_for_ever) as server, client_of(server.url) as given:
            options: Any = {"auth": given._exchange.auth, "timeout": httpx.Timeout(60.0)}
            async with SignStash(server.url, CLIENT_ID, **options) as client:
                with monkeypatch.context() as patched:
                    patched.setattr(loop, "create_connection", cancelled_meanwhile)
                    for _ in range(120):  # more than the 100 connections of a pool
                        calls.append(asyncio.create_task(client.get_status(7)))
                        with pytest.raises(asyncio.CancelledError):
                            await calls[-1]

                assert (await client.get_status(7)).status == "EXECUTED"

    async def test_a_note_names_the_documents(self) -> None:
        async def never_responds(connection: Connection) -> None:
            await connection.request()
            await connection.stay()

        async with FaultServer(never_responds) as server, client_of(server.url) as client:
            call = asyncio.create_task(client.sign(Document.pdf(PDF, name="a.pdf", external_reference="FT_31")))
            await server.reached.wait()
            with pytest.raises(TimeoutError) as timed_out:
                async with asyncio.timeout(0):
                    await call

        (note,) = timed_out.value.__cause__.__notes__  # type: ignore[union-attr]
        assert "FT_31" in note
        assert "after its request was sent" in note

    async def test_a_timeout_of_the_caller_is_raised_unchanged(self) -> None:
        async def never_answers(connection: Connection) -> None:
            await connection.request()
            await connection.stay()

        async with FaultServer(never_answers) as server, client_of(server.url) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.sign(pdf())


async def test_a_hook_that_closes_the_response_raises() -> None:
    async def close(response: Any) -> None:
        await response.aclose()

    hooks: Any = {"response": [close]}
    async with (
        FaultServer(signs_for_ever) as server,
        client_of(server.url, http_client=http_library.AsyncClient(event_hooks=hooks)) as client,
    ):
        error = await failure_of(client)

    assert type(error) is OutcomeUnknownError
    assert isinstance(error.__cause__, httpx.StreamError)


async def test_a_request_does_not_wait_for_the_garbage_collection() -> None:
    sent: list[weakref.ref[Any]] = []

    async def note(request: Any) -> None:
        sent.append(weakref.ref(request))

    hooks: Any = {"request": [note]}
    async with (
        FaultServer(signs_for_ever) as server,
        client_of(server.url, http_client=http_library.AsyncClient(event_hooks=hooks)) as client,
    ):
        gc.collect()
        gc.disable()
        try:
            await client.sign(pdf())
            assert [request() for request in sent] == [None]
        finally:
            gc.enable()


class TestSetup:
    """A wrong environment raises with the first request."""

    async def failure(self) -> ConfigurationError:
        async with SignStash("http://127.0.0.1:9", CLIENT_ID, auth=httpx.BasicAuth("a", "b")) as client:
            with pytest.raises(ConfigurationError) as refused:
                await client.sign(pdf())
        return refused.value

    async def test_missing_certificate_files_raise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")

        assert "SSL_CERT_FILE" in str(await self.failure())

    async def test_invalid_certificate_files_raise(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("not a certificate")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

        assert "SSL_CERT_FILE" in str(await self.failure())

    @pytest.mark.parametrize("value", ["ftp://outbound.test", "socks9://outbound.test"])
    async def test_an_invalid_outbound_proxy_raises(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("HTTPS_PROXY", value)

        assert "HTTPS_PROXY" in str(await self.failure())

    async def test_a_variable_without_a_scheme_names_no_outbound_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("_PROXY", "http://127.0.0.1:9")
        async with (
            FaultServer(signs_for_ever) as server,
            SignStash(server.url, CLIENT_ID, auth=httpx.BasicAuth("a", "b")) as client,
        ):
            assert (await client.sign(pdf())).content == mock_signed(PDF)

    async def test_an_unwritable_key_log_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSLKEYLOGFILE", "/nowhere/keys.log")

        assert "SSLKEYLOGFILE" in (await self.failure()).problem

    @pytest.mark.parametrize(
        ("no_proxy", "url", "excluded"),
        [
            ("fd00::/8", "http://[fd00::1]:8081/x", True),
            ("fd00::/8", "http://[2606::1]/x", False),
            ("[::1]", "http://[::1]:8081/x", True),
            ("10.0.0.0/8,proxy.test", "http://10.1.2.3/x", True),
            ("10.0.0.0/8,proxy.test", "http://proxy.test:8081/x", True),
            (".example.pt", "https://a.example.pt", True),
            ("example.pt", "https://an-example.pt", False),
            ("proxy.test:8081", "http://proxy.test:8081/x", True),
            ("proxy.test:8081", "http://proxy.test/x", False),
            ("a.test,*", "https://anything.test", True),
            ("", "https://anything.test", False),
        ],
    )
    def test_no_proxy_means_what_it_means_for_curl(self, no_proxy: str, url: str, excluded: bool) -> None:
        assert is_excluded(httpx.URL(url), no_proxy) is excluded

    async def test_an_address_in_no_proxy_bypasses_the_outbound_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with FaultServer(signs_for_ever) as server, client_of(server.url) as given:
            monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
            monkeypatch.setenv("NO_PROXY", "fd00::/8,[::1],127.0.0.0/8")
            async with SignStash(server.url, CLIENT_ID, auth=given._exchange.auth) as client:
                assert (await client.sign(pdf())).content == mock_signed(PDF)

    async def test_an_invalid_outbound_proxy_for_the_token_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "ftp://outbound.test")
        auth = TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=["http://127.0.0.1:9"])
        async with client_of("http://127.0.0.1:9", auth=auth) as client:
            with use_sleep(at_once), pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
                await client.sign(pdf())
        await auth.aclose()

    async def test_a_closed_token_client_raises(self) -> None:
        tokens = http_library.AsyncClient()
        await tokens.aclose()
        async with client_of("http://127.0.0.1:9", token_http_client=tokens) as client:
            with pytest.raises(ConfigurationError, match="closed"):
                await client.sign(pdf())


async def closes(connection: Connection) -> None:
    await connection.request()


async def resets(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def answers_half(connection: Connection) -> None:
    await connection.request()
    await connection.respond(b'{"access_token": "', length=1000)


async def refuses_in_half(connection: Connection) -> None:
    await connection.request()
    await connection.respond(b'{"error": "inv', status=401, length=1000)


async def refuses_unreadably(connection: Connection) -> None:
    await connection.request()
    await connection.respond(b"never compressed", "Content-Encoding: gzip", status=401)


async def fails_at_length(connection: Connection) -> None:
    await connection.request()
    await connection.respond(b"x" * 2_000_000, status=503)


async def gives_no_token(connection: Connection) -> None:
    await connection.request()
    await connection.respond(b"<html>")


@pytest.mark.parametrize(
    ("script", "expected", "attempts"),
    [
        (closes, ConnectionFailedError, 3),
        (resets, ConnectionFailedError, 3),
        (answers_half, ConnectionFailedError, 3),
        (fails_at_length, ServiceError, 3),
        (refuses_in_half, CredentialsRejectedError, 1),  # another attempt could lock the account
        (refuses_unreadably, CredentialsRejectedError, 1),
        (gives_no_token, UnexpectedResponseError, 1),
    ],
)
async def test_a_failing_token_server_raises(script: Script, expected: Any, attempts: int) -> None:
    async def is_left_alone(connection: Connection) -> None:
        raise AssertionError("without a token there is nothing to send")

    async with (
        FaultServer(is_left_alone) as server,
        FaultServer(script) as tokens,
        http_library.AsyncClient(verify=False, trust_env=False) as http_client,
    ):
        url = f"{tokens.url}/oauth/token"
        auth = TokenAuth(url, CLIENT_ID, CLIENT_SECRET, base_urls=[server.url], http_client=http_client)
        async with client_of(server.url, auth=auth) as client:
            with use_sleep(at_once):
                error = await failure_of(client)

    assert type(error) is expected
    assert error.maybe_processed is False
    assert len(tokens.bodies) == attempts

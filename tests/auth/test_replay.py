"""A repeated call has the same bytes as the rejected one, whatever its body is made from."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from signstash import Document, DuplicateReferenceError, TokenAuth
from tests.auth.vendor import CALL_URL, Vendor, until
from tests.conftest import CLIENT_ID, CLIENT_SECRET, PDF, MockedService, new_client, token_response
from tests.fault_server import Connection, FaultServer

LONG = bytes(range(256)) * 16_384  # 4 MB


class Pipe(io.RawIOBase):
    """A file that can be read once, like a pipe or a socket."""

    def __init__(self, contents: bytes) -> None:
        self._rest = io.BytesIO(contents)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._rest.readinto(buffer)


async def generated(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def in_chunks(contents: bytes) -> AsyncIterator[bytes]:
    return generated(*(contents[start : start + 50_000] for start in range(0, len(contents), 50_000)))


class OneShot(httpx.AsyncByteStream):
    """A custom stream that can be read once."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = iter(chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


Body = Callable[[], dict[str, Any]]

# Each makes the arguments of one call, with what the received body must contain.
BODIES: dict[str, tuple[Body, bytes]] = {
    "none": (dict, b""),
    "json": (lambda: {"json": {"name": "Fatura nº 31"}}, '{"name":"Fatura nº 31"}'.encode()),
    "bytes": (lambda: {"content": b"\x00bytes\xff"}, b"\x00bytes\xff"),
    "text": (lambda: {"content": "text"}, b"text"),
    "form": (lambda: {"data": {"a": "b c"}}, b"a=b+c"),
    "multipart of bytes": (lambda: {"files": {"files": ("a.pdf", PDF)}, "data": {"a": "b"}}, PDF),
    "multipart of a file in memory": (lambda: {"files": {"files": ("a.pdf", io.BytesIO(LONG))}}, LONG),
    "multipart of a pipe": (lambda: {"files": {"files": ("a.pdf", Pipe(PDF))}}, PDF),
    "multipart of a long pipe": (lambda: {"files": {"files": ("a.pdf", Pipe(LONG))}}, LONG),
    "multipart of several pipes": (
        lambda: {"files": [("files", ("a.pdf", Pipe(b"one"))), ("files", ("b.pdf", Pipe(b"two")))]},
        b"two",
    ),
    "generator": (lambda: {"content": generated(b"one ", b"", b"two ", b"three")}, b"one two three"),
    "long generator": (lambda: {"content": in_chunks(LONG)}, LONG),
    "empty generator": (lambda: {"content": generated()}, b""),
    "stream of the caller's own": (lambda: {"content": OneShot(b"one ", b"two")}, b"one two"),
}


class PartialTransport(httpx.AsyncHTTPTransport):
    """A transport that rejects the first token before the whole body was read.

    Attributes:
        rejected: Headers of the rejected request.
        chunks: How many chunks of its body are read.
    """

    def __init__(self, chunks: int) -> None:
        super().__init__(verify=False)
        self.rejected = httpx.Headers()
        self.chunks = chunks

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] != "Bearer token-1":
            return await super().handle_async_request(request)
        assert isinstance(request.stream, httpx.AsyncByteStream)
        body = aiter(request.stream)
        for _ in range(self.chunks):
            await anext(body, None)
        self.rejected = request.headers
        return httpx.Response(401)


@pytest.fixture
def vendor(service: MockedService) -> Vendor:
    vendor = Vendor(service)
    vendor.refused.add("token-1")
    return vendor


def framing(headers: httpx.Headers) -> dict[str, str]:
    """The headers that describe the body."""
    names = ("content-type", "content-length", "transfer-encoding")
    return {name: headers[name] for name in names if name in headers}


@pytest.mark.parametrize(("body", "content"), BODIES.values(), ids=BODIES.keys())
async def test_step_6_the_same_bytes_are_sent_again(
    client: httpx.AsyncClient, vendor: Vendor, body: Body, content: bytes
) -> None:
    response = await client.post(CALL_URL, **body())
    first, second = vendor.arrivals

    assert response.status_code == 200
    assert (first.token, second.token) == ("token-1", "token-2")
    assert second.body == first.body
    assert framing(second.headers) == framing(first.headers)
    assert content in second.body
    assert len(second.body) == int(first.headers.get("content-length", len(first.body)))


@pytest.mark.parametrize("chunks", [0, 1])
@pytest.mark.parametrize(("body", "content"), BODIES.values(), ids=BODIES.keys())
async def test_step_6_the_whole_body_is_sent_again_if_the_first_sending_was_cut_short(
    auth: TokenAuth, vendor: Vendor, body: Body, content: bytes, chunks: int
) -> None:
    transport = PartialTransport(chunks)
    async with vendor.client(auth, transport=transport) as client:
        response = await client.post(CALL_URL, **body())

    assert response.status_code == 200
    (arrival,) = vendor.arrivals
    assert framing(arrival.headers) == framing(transport.rejected)
    assert content in arrival.body
    if "multipart" not in arrival.headers.get("content-type", ""):
        assert arrival.body == content


async def test_a_body_is_read_from_its_source_once(client: httpx.AsyncClient) -> None:
    taken: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        for number in range(3):
            taken.append(number)
            yield b"x"

    await client.post(CALL_URL, content=source())

    assert taken == [0, 1, 2]


async def test_an_exception_of_the_body_reaches_the_caller(client: httpx.AsyncClient, vendor: Vendor) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"x"
        raise LookupError("the source broke")

    with pytest.raises(LookupError, match="the source broke"):
        await client.post(CALL_URL, content=source())
    assert vendor.arrivals == []


@pytest.mark.parametrize("upload", ["base64", "multipart"])
@pytest.mark.parametrize("source", ["path", "bytes", "file"])
async def test_step_6_a_document_is_sent_again_byte_for_byte(
    vendor: Vendor, tmp_path: Path, upload: Any, source: str
) -> None:
    path = tmp_path / "invoice.pdf"
    path.write_bytes(PDF)
    sources: dict[str, Any] = {"path": path, "bytes": PDF, "file": io.BytesIO(PDF)}
    vendor.respond = lambda _: httpx.Response(409, json={"errorCode": "0.0.7"})
    async with new_client(http_client=vendor.client(), upload=upload) as client:
        with pytest.raises(DuplicateReferenceError):
            await client.sign(Document.pdf(sources[source], name="invoice.pdf"))

    first, second = vendor.arrivals
    assert second.body == first.body
    assert framing(second.headers) == framing(first.headers)
    assert (PDF if upload == "multipart" else b'"base64Content":"JVBERi0') in first.body


@contextlib.asynccontextmanager
async def served(rejection: bytes) -> AsyncIterator[tuple[FaultServer, httpx.AsyncClient]]:
    """A token server and a service that rejects the first token, and a client with one connection at a time."""
    issued = itertools.count(1)

    async def serves(connection: Connection) -> None:
        while True:
            scheme, _, token = (await connection.request()).headers["authorization"].partition(" ")
            if scheme == "Basic":
                await connection.respond(token_response(f"token-{next(issued)}").content)
            elif token == "token-1":
                await connection.respond(rejection, status=401)
            else:
                await connection.respond(b"done")

    async with (
        FaultServer(serves) as server,
        httpx.AsyncClient(verify=False, trust_env=False, limits=httpx.Limits(max_connections=1)) as client,
    ):
        client.auth = auth = TokenAuth(server.url, CLIENT_ID, CLIENT_SECRET, base_urls=server.url, http_client=client)
        yield server, client
        await auth.aclose()


@pytest.mark.parametrize("rejection", [b"", b"<html>Unauthorized</html>", b"x" * 70_000])
@pytest.mark.parametrize("kind", ["json", "multipart of a long pipe", "long generator"])
async def test_step_6_reuses_a_real_connection(kind: str, rejection: bytes) -> None:
    body, content = BODIES[kind]
    async with served(rejection) as (server, client):
        response = await client.post(server.url, **body())

    assert response.text == "done"
    _, first, _, second = server.bodies
    assert first == second
    assert content in second
    assert server.connections == 1


async def test_step_6_a_long_rejection_releases_its_connection() -> None:
    async with served(b"x" * 5_000_000) as (server, client):
        response = await client.post(server.url, json={})

    assert response.text == "done"
    assert len(server.bodies) == 4, "a token, a rejection, a new token, and a response"


async def test_a_cancelled_call_releases_the_kept_body(
    client: httpx.AsyncClient, vendor: Vendor, recwarn: pytest.WarningsRecorder
) -> None:
    vendor.token_gate.clear()
    sending = asyncio.create_task(client.post(CALL_URL, content=in_chunks(LONG)))
    await until(lambda: vendor.asking)
    sending.cancel()
    await asyncio.wait([sending])
    del sending
    gc.collect()

    assert [str(warning.message) for warning in recwarn] == []

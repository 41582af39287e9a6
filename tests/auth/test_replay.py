"""A repeated call has the same bytes as the rejected one, whatever its body is made from."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from signstash import Document, DuplicateReferenceError, TokenAuth
from tests.auth.vendor import CALL_URL, Vendor, until
from tests.conftest import CLIENT_ID, CLIENT_SECRET, PDF, MockedService, new_client, token_answer

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
    answer = await client.post(CALL_URL, **body())
    first, second = vendor.arrivals

    assert answer.status_code == 200
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
        answer = await client.post(CALL_URL, **body())

    assert answer.status_code == 200
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
    vendor.answer = lambda _: httpx.Response(409, json={"errorCode": "0.0.7"})
    async with new_client(http_client=vendor.client(), upload=upload) as client:
        with pytest.raises(DuplicateReferenceError):
            await client.sign(Document.pdf(sources[source], name="invoice.pdf"))

    first, second = vendor.arrivals
    assert second.body == first.body
    assert framing(second.headers) == framing(first.headers)
    assert (PDF if upload == "multipart" else b'"base64Content":"JVBERi0') in first.body


@attrs.define
class Server:
    """A token server and a service behind one real socket. It refuses the first token.

    Attributes:
        refusal: Body of the refusal.
        bodies: What the service got, by token.
        connections: Those that were made, each ending when its client ends it.
    """

    refusal: bytes
    bodies: dict[str, bytes] = attrs.field(factory=dict)
    connections: list[asyncio.Task[None]] = attrs.field(factory=list)
    _issued: int = 0

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
                headers = httpx.Headers(
                    [(name, value) for name, _, value in (line.partition(": ") for line in head[1:])]
                )
                status, answer = self._answer(head[0], headers, await _body(reader, headers))
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)
                await writer.drain()

    def _answer(self, request_line: str, headers: httpx.Headers, body: bytes) -> tuple[int, bytes]:
        if "/token " in request_line:
            self._issued += 1
            return 200, token_answer(f"token-{self._issued}").content
        token = headers["authorization"].removeprefix("Bearer ")
        self.bodies[token] = body
        return (401, self.refusal) if token == "token-1" else (200, b"done")


async def _body(reader: asyncio.StreamReader, headers: httpx.Headers) -> bytes:
    if "transfer-encoding" not in headers:
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while length := int((await reader.readline()).strip(), 16):
        body += await reader.readexactly(length)
        await reader.readline()
    await reader.readline()
    return body


@contextlib.asynccontextmanager
async def served(refusal: bytes) -> AsyncIterator[tuple[Server, httpx.AsyncClient, str]]:
    """A server that refuses the first token, a client that has one connection to it at a time, and where it is."""
    service = Server(refusal)
    async with await asyncio.start_server(service.accept, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        one_connection = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(verify=False, trust_env=False, limits=one_connection, timeout=5) as http_client:
            auth = TokenAuth(f"{url}/token", CLIENT_ID, CLIENT_SECRET, base_urls=[url], http_client=http_client)
            http_client.auth = auth
            yield service, http_client, url
            await auth.aclose()
        await asyncio.wait(service.connections)


@pytest.mark.parametrize("refusal", [b"", b"<html>Unauthorized</html>", b"x" * 70_000])
@pytest.mark.parametrize("kind", ["json", "multipart of a long pipe", "long generator"])
async def test_step_6_reuses_a_real_connection(kind: str, refusal: bytes) -> None:
    body, content = BODIES[kind]
    async with served(refusal) as (service, client, url):
        answer = await client.post(url, **body())

    assert answer.text == "done"
    assert service.bodies["token-1"] == service.bodies["token-2"]
    assert content in service.bodies["token-2"]
    assert len(service.connections) == 1


async def test_step_6_a_long_rejection_releases_its_connection() -> None:
    async with served(b"x" * 5_000_000) as (service, client, url):
        answer = await client.post(url, json={})

    assert answer.text == "done"
    assert list(service.bodies) == ["token-1", "token-2"]


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

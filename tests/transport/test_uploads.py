"""Request bodies of documents of any size and from any source, and documents that change."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from email.parser import BytesParser
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest
from hypothesis import given, settings, strategies as st

from signstash import (
    ConnectionFailedError,
    Document,
    InvalidDocumentError,
    Journal,
    OutcomeUnknownError,
    SignStash,
)
from signstash.models import Base64Document, ContentType, SignDocumentBase64Document, SignRequestBase64Document
from tests.conftest import (
    BASE_URL,
    FILES_PART,
    MULTIPART_PATH,
    TOKEN_URL,
    MockedService,
    mock_signed,
    new_client,
    signed_response,
    token_response,
)

LONG = b"%PDF-1.7\n" + bytes(range(256)) * 4096
"""Longer than what is read before it is sent."""


def as_path(content: bytes, folder: Path) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.pdf"
    path.write_bytes(content)
    return path


_files = contextlib.ExitStack()


@pytest.fixture(autouse=True)
def _closed_files() -> Iterator[None]:
    with _files:
        yield


def as_open_file(content: bytes, folder: Path) -> BinaryIO:
    path = as_path(b"what is before its position is not sent" + content, folder)
    file = _files.enter_context(path.open("rb"))
    file.seek(-len(content), os.SEEK_END)
    return file


class Pipe(io.RawIOBase):
    """Returns its content once, in small pieces."""

    def __init__(self, content: bytes) -> None:
        self._unread = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._unread.read(min(size, 10_000) if size >= 0 else size)


def as_decompressed_file(content: bytes, folder: Path) -> Any:
    return _files.enter_context(gzip.open(as_path(gzip.compress(content, 1), folder)))


SOURCES: dict[str, Callable[[bytes, Path], Any]] = {
    "bytes": lambda content, _: content,
    "memory": lambda content, _: io.BytesIO(content),
    "path": as_path,
    "file": as_open_file,
    "pipe": lambda content, _: Pipe(content),
    "decompressed": as_decompressed_file,
}


def contents_in(request: httpx.Request) -> list[bytes]:
    """The documents' contents in a multipart request, as an independent parser reads it."""
    head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    parts: Any = BytesParser().parsebytes(head + request.content).get_payload()
    return [part.get_payload(decode=True) for part in parts if _is_file(part)]


def _is_file(part: Any) -> bool:
    return f'name="{FILES_PART}"' in part["content-disposition"]


class TestBody:
    @pytest.mark.parametrize("size", [1, 2, 3, 196_607, 196_608, 196_609, 600_000])
    @pytest.mark.parametrize("kind", SOURCES)
    async def test_the_body_holds_every_byte_of_every_source(
        self, client: SignStash, service: MockedService, tmp_path: Path, kind: str, size: int
    ) -> None:
        content = (LONG * 2)[:size]

        await client.sign(Document.binary(SOURCES[kind](content, tmp_path), name="a.bin"))

        sent = service.sent()["documents"][0]["documentRequest"]["base64Content"]
        assert base64.b64decode(sent, validate=True) == content

    @settings(max_examples=30)
    @given(
        sizes=st.lists(st.integers(1, 500_000), min_size=1, max_size=6),
        description=st.text('aé"\\/{}', min_size=1),
    )
    async def test_the_body_equals_that_of_the_generated_models(
        self, sizes: list[int], description: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("documents")
        kinds = list(SOURCES)[:3]
        contents = [(LONG * 2)[number : number + size] for number, size in enumerate(sizes)]
        documents = [
            Document.binary(SOURCES[kinds[n % 3]](content, folder), name=f"{n}.bin", external_reference=f'r"{n}')
            for n, content in enumerate(contents)
        ]
        expected = SignRequestBase64Document(
            external_reference="request",
            description=description,
            return_signed_content=True,
            documents=[
                SignDocumentBase64Document(
                    document_request=Base64Document(
                        external_reference=f'r"{n}',
                        name=f"{n}.bin",
                        content_type=ContentType.APPLICATIONOCTET_STREAM,
                        base_64_content=base64.b64encode(content).decode(),
                    ),
                    signature_info=documents[n].signature,
                )
                for n, content in enumerate(contents)
            ],
        )
        with MockedService() as service:
            async with new_client() as client:
                await client.sign_batch(documents, description=description, external_reference="request")
            (call,) = service.sign.calls

        assert json.loads(call.request.content) == expected.to_dict()
        assert int(call.request.headers["content-length"]) == len(call.request.content)
        assert "transfer-encoding" not in call.request.headers

    @pytest.mark.parametrize("kind", SOURCES)
    async def test_a_multipart_body_holds_the_contents_unchanged(
        self, service: MockedService, tmp_path: Path, kind: str
    ) -> None:
        route = service.router.post(BASE_URL + MULTIPART_PATH).respond(json={"id": 1, "documentList": []})
        contents = [LONG, b"%PDF-small", LONG[::-1]]
        async with new_client(upload="multipart") as client:
            await client.sign_batch(
                [
                    Document.binary(SOURCES[kind](content, tmp_path), name=f"{n}.bin")
                    for n, content in enumerate(contents)
                ]
            )

        request = route.calls.last.request
        assert contents_in(request) == contents
        assert int(request.headers["content-length"]) == len(request.content)
        assert "transfer-encoding" not in request.headers

    @pytest.mark.parametrize("kind", SOURCES)
    async def test_the_body_is_the_same_when_it_is_sent_again(
        self, client: SignStash, service: MockedService, tmp_path: Path, kind: str
    ) -> None:
        bodies: list[bytes] = []

        def refuse_first(request: httpx.Request) -> httpx.Response:
            bodies.append(request.content)
            return httpx.Response(401) if len(bodies) == 1 else signed_response(request)

        service.sign.mock(side_effect=refuse_first)

        await client.sign(Document.pdf(SOURCES[kind](LONG, tmp_path), name="a.pdf"))

        assert bodies[0] == bodies[1]
        assert len(bodies[0]) > len(LONG)


class Interrupted(httpx.AsyncBaseTransport):
    """Loses the connection when it has taken so many pieces of a body."""

    pieces = 1000
    taken: list[bytes]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if str(request.url) == TOKEN_URL:
            return token_response()
        assert isinstance(request.stream, httpx.AsyncByteStream)
        self.taken = []
        pieces = aiter(request.stream)
        while len(self.taken) < self.pieces and (piece := await anext(pieces, None)) is not None:
            self.taken.append(piece)
        raise httpx.WriteError("lost", request=request)


@pytest.mark.parametrize(("content", "last"), [(b"%PDF-1.7", slice(None)), (LONG, slice(-1, None))])
async def test_a_document_may_be_signed_once_the_last_piece_was_taken(content: bytes, last: slice) -> None:
    """A short body is one piece, which costs one write; of a long one, the last byte is a piece of its own."""
    transport = Interrupted()
    async with httpx.AsyncClient(transport=transport) as http_client:
        client = new_client(http_client=http_client)
        with pytest.raises(OutcomeUnknownError):
            await client.sign(Document.pdf(content, name="a.pdf"))
        assert transport.taken[-1] == b"".join(transport.taken)[last]

        transport.pieces = len(transport.taken) - 1
        with pytest.raises(ConnectionFailedError):
            await client.sign(Document.pdf(content, name="a.pdf"))


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def growing(path: Path) -> Callable[[httpx.Request], httpx.Response]:
    """Responds to token requests, while a file grows."""

    def respond(_: httpx.Request) -> httpx.Response:
        grow(path)
        return token_response()

    return respond


def shrink(path: Path) -> None:
    os.truncate(path, len(LONG) - 1000)


def touch(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"%PDF-2.0")
    os.utime(path, ns=(0, 0))


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(LONG[:-4] + b"else")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


CHANGES = pytest.mark.parametrize("change", [grow, shrink, touch, replace, Path.unlink])


class TestChangedDocuments:
    @CHANGES
    async def test_a_document_changed_before_sending_raises(
        self, client: SignStash, service: MockedService, tmp_path: Path, change: Callable[[Path], None]
    ) -> None:
        path = as_path(LONG, tmp_path)

        def change_it(_: httpx.Request) -> httpx.Response:
            change(path)  # it was inspected, and the request waits for its token
            return token_response()

        service.token.mock(side_effect=change_it)

        with pytest.raises(InvalidDocumentError, match=re.escape(f"Document {path.name}: ")) as refused:
            await client.sign(Document.pdf(path))
        assert refused.value.document == path.name
        assert refused.value.maybe_processed is False

    @CHANGES
    async def test_a_document_changed_before_a_repetition_raises(
        self, client: SignStash, service: MockedService, tmp_path: Path, change: Callable[[Path], None]
    ) -> None:
        path = as_path(LONG, tmp_path)

        def refuse(request: httpx.Request) -> httpx.Response:
            change(path)
            return httpx.Response(401)

        service.sign.mock(side_effect=refuse)

        with pytest.raises(InvalidDocumentError, match=path.name):
            await client.sign(Document.pdf(path))
        assert service.sign.call_count == 1

    async def test_an_open_file_is_copied_before_sending(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        path = as_path(LONG, tmp_path)
        service.token.mock(side_effect=growing(path))

        with path.open("rb") as file:
            assert (await client.sign(Document.pdf(file))).content == mock_signed(LONG)

    async def test_a_short_document_is_read_before_sending(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        path = as_path(b"%PDF-short", tmp_path)

        def change_it(_: httpx.Request) -> httpx.Response:
            path.unlink()
            return token_response()

        service.token.mock(side_effect=change_it)

        assert (await client.sign(Document.pdf(path))).content == mock_signed(b"%PDF-short")

    async def test_a_run_notices_changed_documents(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        paths = [as_path(LONG, tmp_path) for _ in range(3)]
        service.token.mock(side_effect=growing(paths[1]))

        signed = [outcome.signed async for outcome in client.sign_all([Document.pdf(path) for path in paths])]

        assert sorted(item.content for item in signed if item) == [mock_signed(LONG)] * 2 + [
            mock_signed(LONG + b"more")
        ]

    async def test_a_run_with_a_journal_sends_recorded_contents_only(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        paths = [as_path(LONG, tmp_path) for _ in range(3)]
        service.token.mock(side_effect=growing(paths[1]))

        with Journal(tmp_path / "journal") as journal:
            documents = [Document.pdf(path) for path in paths]
            outcomes = client.sign_all(documents, journal=journal, save_to=tmp_path / "signed")
            failed = [outcome.document.name async for outcome in outcomes if not outcome.ok]
            states = {entry.name: entry.state for entry in journal.entries()}

        assert failed == ["1.pdf"]
        assert states == {"0.pdf": "signed", "1.pdf": "failed", "2.pdf": "signed"}

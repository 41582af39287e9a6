"""Signed contents that are extracted from a response as it arrives, and saved."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import gc
import json
import os
import pickle
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings, strategies as st

from signstash import (
    ConfigurationError,
    Document,
    DocumentNotSavedError,
    OutcomeUnknownError,
    SignedDocument,
    SignStash,
    UnexpectedResponseError,
)
from signstash._errors.parsing import json_object
from signstash._transport.bodies import UnusableResponseError
from signstash._transport.signed_content import SignedContentParser, receive_operation, restore_base64
from tests.conftest import PDF, MockedService, mock_signed, pdf, signed_response, token_response

LONG = PDF + bytes(range(256)) * 10_000
"""Longer than what is kept in memory."""


class Pieces(httpx.AsyncByteStream):
    """A response that arrives in pieces."""

    def __init__(self, pieces: Sequence[bytes], error: Exception | None = None) -> None:
        self._pieces = pieces
        self._error = error
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += 1
            yield piece
        if self._error is not None:
            raise self._error


def cut(body: bytes, length: int) -> list[bytes]:
    return [body[start : start + length] for start in range(0, len(body), length)]


def as_json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def escaped(body: bytes) -> bytes:
    r"""Every slash as `\/` and every plus as `\u002b`, as JSON allows."""
    return body.replace(b"/", rb"\/").replace(b"+", rb"\u002B").replace(b"QAA", rb"Q\u0041A")


def backwards(body: bytes) -> bytes:
    """The fields of every object in the other order."""

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: turned(value[name]) for name in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    return as_json(turned(json.loads(body)))


def spaced(body: bytes) -> bytes:
    return json.dumps(json.loads(body), indent=4).replace('":', '" \n\t:').encode()


def in_lines(body: bytes) -> bytes:
    """Contents with a line end after 76 letters, as MIME has them."""
    return re.sub(rb'(?<="signedContent":")[^"]+', lambda match: b"\\r\\n".join(cut(match[0], 76)), body)


FORMS: tuple[Callable[[bytes], bytes], ...] = (bytes, escaped, backwards, spaced, in_lines)
WRITTEN = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)


def answer_in(form: Callable[[bytes], bytes], length: int) -> Callable[[httpx.Request], httpx.Response]:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Pieces(cut(form(signed_response(request).content), length)))

    return respond


class TestResponse:
    @WRITTEN
    @pytest.mark.parametrize("length", [1, 7, 64, 65536])
    async def test_a_response_is_read_in_any_notation_and_any_pieces(
        self, client: SignStash, service: MockedService, form: Callable[[bytes], bytes], length: int
    ) -> None:
        service.sign.mock(side_effect=answer_in(form, length))
        contents = [PDF + bytes(range(256)) * 3 + bytes(number) for number in range(3)]

        batch = await client.sign_batch([Document.pdf(c, name=f"{n}.pdf") for n, c in enumerate(contents)])

        assert [outcome.signed and outcome.signed.content for outcome in batch.outcomes] == [
            mock_signed(content) for content in contents
        ]
        assert batch.operation.id == 4711

    @WRITTEN
    async def test_long_contents_are_read(
        self, client: SignStash, service: MockedService, form: Callable[[bytes], bytes], tmp_path: Path
    ) -> None:
        service.sign.mock(side_effect=answer_in(form, 65536))
        documents = [Document.binary(LONG[number:], name=f"{number}.pdf") for number in range(2)]

        batch = await client.sign_batch(documents)

        for number, outcome in enumerate(batch.outcomes):
            assert outcome.signed is not None
            assert await outcome.signed.read() == mock_signed(LONG[number:], binary=True)

    async def test_many_contents_that_are_long_together_are_read(
        self, client: SignStash, service: MockedService
    ) -> None:
        service.sign.mock(side_effect=answer_in(bytes, 2**20))
        content = PDF + bytes(900_000)

        batch = await client.sign_batch([Document.pdf(content, name=f"{n}.pdf") for n in range(20)])

        assert all(outcome.signed and outcome.signed.content == mock_signed(content) for outcome in batch.outcomes)

    @pytest.mark.parametrize(
        "content",
        [
            "not base64!",
            "QUJD*",
            "QQ==QQ==",
            "QUJD=QUJD",
            "====",
            "Q",
            "QUJDR",
            "QU\\u00e9JD",
            "QU\\qJD",
            "QU\\u12",
            "",
            "A" * 400_000 + "?",
        ],
    )
    @pytest.mark.parametrize("length", [1, 65536])
    async def test_invalid_content_does_not_affect_others(
        self, client: SignStash, service: MockedService, content: str, length: int
    ) -> None:
        def respond(request: httpx.Request) -> httpx.Response:
            body = signed_response(request).content
            first = body.index(b'signedContent":"') + len(b'signedContent":"')
            body = body[:first] + content.encode() + body[body.index(b'"', first) :]
            return httpx.Response(200, stream=Pieces(cut(body, length)))

        service.sign.mock(side_effect=respond)

        bad, good = (await client.sign_batch([Document.pdf(PDF, name=f"{n}.pdf") for n in range(2)])).outcomes

        assert isinstance(bad.error, UnexpectedResponseError)
        assert bad.error.maybe_processed
        assert good.signed is not None
        assert good.signed.content == mock_signed(PDF)

    @pytest.mark.parametrize(
        ("fields", "kept"),
        [
            ({"signedContent": "QUJD"}, ["signedContent"]),
            ({"extra": {"signedContent": "QUJD"}}, ["extra", "signedContent"]),
            ({"extra": [[{"signedContent": "QUJD"}]]}, ["extra", 0, 0, "signedContent"]),
        ],
    )
    async def test_a_field_of_that_name_elsewhere_is_unchanged(
        self, client: SignStash, service: MockedService, fields: dict[str, Any], kept: list[Any]
    ) -> None:
        service.sign.mock(
            side_effect=lambda request: httpx.Response(200, json={**signed_response(request).json(), **fields})
        )

        batch = await client.sign_batch([pdf(name="a.pdf")])

        found: Any = batch.operation.to_dict()
        for step in kept:
            found = found[step]
        assert found == "QUJD"
        assert batch.outcomes[0].ok

    async def test_text_that_looks_like_content_is_text(self, client: SignStash, service: MockedService) -> None:
        text = 'x","signedContent":"QUJD","y":"\\'
        service.sign.mock(
            side_effect=lambda request: signed_response(request, lambda document: {"note": text, **document})
        )

        signed = await client.sign(pdf(name="a.pdf"))

        assert signed.content == mock_signed(PDF)
        assert signed.details.additional_properties["note"] == text

    @pytest.mark.parametrize(
        "body", [b'{"id": 1, "documentList": [{"signedContent": "QUJD', b'{"id": "', b'{"signedContent"']
    )
    async def test_a_truncated_response_raises(self, client: SignStash, service: MockedService, body: bytes) -> None:
        service.sign.mock(side_effect=lambda _: httpx.Response(200, stream=Pieces(cut(body, 5))))

        with pytest.raises(UnexpectedResponseError) as failed:
            await client.sign(pdf(name="a.pdf"))
        assert failed.value.maybe_processed

    @pytest.mark.parametrize(
        "endless",
        [b'{"id": 1, "note": "' + b"x" * 2**24, b'{"id": 1, "a' + b'":1,"a' * 2**22, b"[" * (2**24 + 1)],
        ids=["text", "fields", "depth"],
    )
    async def test_data_other_than_contents_is_limited(
        self, client: SignStash, service: MockedService, endless: bytes
    ) -> None:
        service.sign.mock(side_effect=lambda _: httpx.Response(200, stream=Pieces(cut(endless, 2**16))))

        with pytest.raises(UnexpectedResponseError, match=r"more than|longer than"):
            await client.sign(pdf(name="a.pdf"))

    async def test_deeply_nested_fields_lose_no_signed_document(
        self, client: SignStash, service: MockedService
    ) -> None:
        deep = '{"signedContent":' * 20_000 + '"QUJD"' + "}" * 20_000
        service.sign.mock(
            side_effect=lambda request: httpx.Response(
                200, text=f'{{"note": {deep}, "deep": {"[" * 63}7{"]" * 63}, ' + signed_response(request).text[1:]
            )
        )

        batch = await client.sign_batch([pdf(name="a.pdf")])

        assert batch.outcomes[0].signed
        assert batch.outcomes[0].signed.content == mock_signed(PDF)
        deepest: Any = batch.operation.additional_properties["deep"]
        for _ in range(63):
            (deepest,) = deepest
        assert deepest == 7

    @pytest.mark.parametrize(
        "body",
        [
            b'{"id": 1, "documentList": [' + b"{}," * 5_000_000 + b"{}]}",
            b'{"id": 1, "documentList": [{"signedContent": "' + b"\\ux" * 1_500_000 + b'"}]}',
            b'{"id": 1, "note": "' + b"\\u0041" * 2_000_000 + b'"}',
            b'{"id": 1, "documentList": [' + b'{"signedContent":""},' * 500_000 + b"{}]}",
            b'{"id": 1, "a": ' + b'"signedContent"  ' * 500_000 + b"}",
        ],
        ids=["objects", "bad escapes in a content", "escapes in a text", "many contents", "names that are none"],
    )
    async def test_large_responses_do_not_block_the_event_loop(
        self, client: SignStash, service: MockedService, body: bytes
    ) -> None:
        answer_limit = 2**28
        arriving = Pieces(cut(body, 2**16))
        longest, turns = 0.0, 0

        async def watch() -> None:
            nonlocal longest, turns
            while True:
                began = time.thread_time()
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - began)
                turns += 1

        gc.collect()
        gc.freeze()  # or looking through what earlier tests left would count
        try:
            watching = asyncio.create_task(watch())
            await asyncio.sleep(0)
            began = time.process_time()
            with contextlib.suppress(UnusableResponseError):
                received = await receive_operation(httpx.Response(200, stream=arriving), answer_limit, None)
                await asyncio.to_thread(json_object, received.body)
            watching.cancel()
        finally:
            gc.unfreeze()

        assert turns >= arriving.taken - 1, "others get their turn after each piece, also if the next one is there"
        # Generous, since it depends on the machine: it was up to a second for one hold, and 16 for all.
        assert longest < 0.5
        assert time.process_time() - began < 8

    async def test_a_text_that_does_not_end_costs_no_more_than_one_that_does(
        self, client: SignStash, service: MockedService
    ) -> None:
        body = '{"id": 1, "note": ' + "[" * 65 + '"' + '\\"' * 60_000
        service.sign.mock(side_effect=lambda _: httpx.Response(200, text=body))
        began = time.process_time()

        with pytest.raises(UnexpectedResponseError):
            await client.sign(pdf(name="a.pdf"))
        assert time.process_time() - began < 8  # generous: it was 14

    async def test_contents_are_limited(self, client: SignStash, service: MockedService) -> None:
        body = b'{"id": 1, "documentList": [{"signedContent": "' + b"QUJD" * 2**22 * 2
        service.sign.mock(side_effect=lambda _: httpx.Response(200, stream=Pieces(cut(body, 2**20))))

        with pytest.raises(UnexpectedResponseError, match="longer than"):
            await client.sign(pdf(name="a.pdf"))


TEXTS = st.one_of(
    st.text(max_size=8),
    st.binary(max_size=40).map(lambda content: base64.b64encode(content).decode()),
    st.text('QUJDa+/=\r\n \\"u0', max_size=12),
    st.just("signedContent"),
)
NAMES = st.one_of(st.just("signedContent"), st.just("documentList"), st.text('aé"\\/:', max_size=4))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OPERATIONS = st.fixed_dictionaries(
    {"documentList": st.lists(st.dictionaries(NAMES, VALUES | TEXTS, max_size=4), max_size=4)},
    optional={"id": st.integers(), "é": VALUES},
)


def content_of(text: str) -> bytes:
    """Decode base64, with blanks and without padding too; invalid base64 is empty."""
    text = "".join(text.split()).rstrip("=") if text.strip("= \r\n\t") else ""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def with_contents(value: Any) -> Any:
    """The same with normalised base64 in each `signedContent`."""
    if isinstance(value, list):
        return [with_contents(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64encode(content_of(item)).decode()
        if name == "signedContent" and isinstance(item, str)
        else with_contents(item)
        for name, item in value.items()
    }


@settings(max_examples=400)
@given(data=st.data(), operation=OPERATIONS | VALUES)
def test_the_parser_agrees_with_json(data: st.DataObject, operation: Any) -> None:
    text = json.dumps(
        operation,
        ensure_ascii=data.draw(st.booleans()),
        indent=data.draw(st.sampled_from([None, 0, 3])),
        separators=data.draw(st.sampled_from([(",", ":"), (" , ", " :\n ")])),
    )
    body = (text.replace("/", "\\/") if data.draw(st.booleans()) else text).encode("utf-8", "surrogatepass")
    borders = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))

    taker = SignedContentParser(None)
    for start, end in zip([0, *borders], [*borders, len(body)], strict=True):
        taker.feed(body[start:end])
    received = taker.received()

    rest = [json.loads(received.body.decode("utf-8", "surrogatepass"))]
    restore_base64(rest, received.contents)
    assert rest == [with_contents(json.loads(text))]


@settings(max_examples=300)
@given(body=st.binary(max_size=60) | st.text('"\\signedContent:{}[], Q=').map(str.encode), border=st.integers(0, 60))
def test_the_parser_keeps_invalid_json(body: bytes, border: int) -> None:
    taker = SignedContentParser(None)
    taker.feed(body[:border])
    taker.feed(body[border:])

    received = taker.received()

    if not received.contents:
        assert received.body == body


class TestFiles:
    @pytest.fixture
    def temporary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The system's place for temporary files."""
        folder = tmp_path / "temporary"
        folder.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        return folder

    async def test_long_content_is_in_a_file_while_it_is_needed(self, client: SignStash, temporary: Path) -> None:
        signed = await client.sign(Document.binary(LONG, name="a.bin"))

        (file,) = temporary.iterdir()
        assert file.stat().st_mode & 0o077 == 0
        await signed.save(temporary.parent / "a.bin")
        assert await signed.read() == mock_signed(LONG, binary=True)
        assert (temporary.parent / "a.bin").read_bytes() == mock_signed(LONG, binary=True)
        del signed
        await self.nobody_works()
        assert list(temporary.iterdir()) == []

    async def nobody_works(self) -> None:
        """A thread may keep a reference to what it returned until it runs again."""
        await asyncio.get_running_loop().shutdown_default_executor()
        gc.collect()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    async def test_a_forked_child_removes_no_file_of_its_parent(self, client: SignStash, temporary: Path) -> None:
        signed = await client.sign(Document.binary(LONG, name="a.bin"))
        await self.nobody_works()

        child = os.fork()
        if child == 0:
            del signed
            gc.collect()
            os._exit(0)
        os.waitpid(child, 0)  # noqa: ASYNC222 - it ends at once

        assert signed.content == mock_signed(LONG, binary=True)

    async def test_content_in_a_file_can_be_pickled(self, client: SignStash, temporary: Path) -> None:
        raw = pickle.dumps(await client.sign(Document.binary(LONG, name="a.bin")))
        await self.nobody_works()

        assert list(temporary.iterdir()) == []
        copy: SignedDocument = pickle.loads(raw)
        assert copy.content == mock_signed(LONG, binary=True)

    @pytest.mark.parametrize("error", [httpx.ReadError("reset"), httpx.ReadTimeout("slow")])
    async def test_an_interrupted_response_leaves_no_file(
        self, client: SignStash, service: MockedService, temporary: Path, error: Exception
    ) -> None:
        seen: list[int] = []

        class Counted(Pieces):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                async for piece in super().__aiter__():
                    yield piece
                    seen.append(len(list(temporary.iterdir())))

        service.sign.mock(
            side_effect=lambda request: httpx.Response(
                200, stream=Counted(cut(signed_response(request).content, 65536)[:-1], error)
            )
        )

        with pytest.raises(OutcomeUnknownError):
            await client.sign(Document.binary(LONG, name="a.bin"))

        assert max(seen) == 1
        assert list(temporary.iterdir()) == []

    async def test_long_content_without_a_temporary_folder_stays_in_memory(
        self, client: SignStash, temporary: Path
    ) -> None:
        temporary.rmdir()

        signed = await client.sign(Document.binary(LONG, name="a.bin"))

        assert signed.content == mock_signed(LONG, binary=True)

    async def test_long_content_without_disk_space_stays_in_memory(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        folder = tmp_path / "signed"

        def lose_the_folder(_: httpx.Request) -> httpx.Response:
            folder.rmdir()
            folder.touch()
            return token_response()

        service.token.mock(side_effect=lose_the_folder)

        with pytest.raises(DocumentNotSavedError) as failed:
            await client.sign(Document.binary(LONG, name="a.bin"), save_to=folder)

        assert failed.value.signed is not None
        assert failed.value.signed.content == mock_signed(LONG, binary=True)

    async def test_saved_content_is_read_from_its_file(self, client: SignStash, tmp_path: Path) -> None:
        signed = await client.sign(Document.binary(LONG, name="a.bin"), save_to=tmp_path)

        assert signed.saved_as == tmp_path / "a.bin"
        assert signed.content == mock_signed(LONG, binary=True)
        (tmp_path / "a.bin").unlink()
        with pytest.raises(DocumentNotSavedError, match="cannot be read") as failed:
            await signed.read()
        assert (failed.value.maybe_processed, failed.value.external_references) == (True, (signed.external_reference,))


def saved(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(params=[PDF, LONG], ids=["short", "long"])
def content(request: pytest.FixtureRequest) -> bytes:
    return request.param  # type: ignore[no-any-return]


def create_meanwhile(service: MockedService, path: Path) -> None:
    """Let another program create a file while the documents are signed."""

    def respond(request: httpx.Request) -> httpx.Response:
        path.write_bytes(b"somebody else's")
        return signed_response(request)

    service.sign.mock(side_effect=respond)


class TestSaveTo:
    async def test_a_document_is_saved_in_a_folder(self, client: SignStash, tmp_path: Path, content: bytes) -> None:
        signed = await client.sign(Document.binary(content, name="a.bin"), save_to=tmp_path / "new" / "signed")

        assert saved(tmp_path / "new" / "signed") == {"a.bin": mock_signed(content, binary=True)}
        assert signed.saved_as == tmp_path / "new" / "signed" / "a.bin"

    async def test_save_to_has_one_meaning_for_one_and_for_many(self, client: SignStash, tmp_path: Path) -> None:
        one, many = Document.binary(PDF, name="one"), Document.binary(PDF, name="many")

        await client.sign(one, save_to=tmp_path / "out")
        await client.sign_batch([many], save_to=tmp_path / "out")

        assert saved(tmp_path / "out").keys() == {"one", "many"}

    @pytest.mark.parametrize("several", [False, True])
    async def test_a_folder_named_like_a_file_raises(
        self, client: SignStash, service: MockedService, tmp_path: Path, several: bool
    ) -> None:
        document = pdf()
        calls: Any = client.sign_batch if several else client.sign

        with pytest.raises(ConfigurationError, match=r"signed\.PDF.*looks like a file.*save_to=lambda"):
            await calls([document] if several else document, save_to=tmp_path / "signed.PDF")

        assert service.sign.call_count == 0
        assert list(tmp_path.iterdir()) == []

    async def test_an_existing_folder_may_be_named_like_a_file(self, client: SignStash, tmp_path: Path) -> None:
        (tmp_path / "signed.pdf").mkdir()

        await client.sign(pdf(name="a.pdf"), save_to=tmp_path / "signed.pdf")

        assert saved(tmp_path / "signed.pdf").keys() == {"a.pdf"}

    async def test_a_function_names_the_file_of_one_document(
        self, client: SignStash, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "new" / "invoice.signed.bin"

        signed = await client.sign(Document.binary(content, name="a.bin"), save_to=lambda _: path)

        assert saved(tmp_path / "new") == {"invoice.signed.bin": mock_signed(content, binary=True)}
        assert signed.saved_as == path

    async def test_several_documents_are_saved_in_a_folder(
        self, client: SignStash, tmp_path: Path, content: bytes
    ) -> None:
        documents = [Document.binary(content, name=f"{number}.bin") for number in range(3)]

        batch = await client.sign_batch(documents, save_to=tmp_path / "signed")

        assert saved(tmp_path / "signed") == {f"{number}.bin": mock_signed(content, binary=True) for number in range(3)}
        assert [outcome.signed and outcome.signed.saved_as for outcome in batch.outcomes] == [
            tmp_path / "signed" / f"{number}.bin" for number in range(3)
        ]

    async def test_a_function_names_the_files_of_several_documents(
        self, client: SignStash, tmp_path: Path, content: bytes
    ) -> None:
        def beside(document: Document) -> Path:
            return tmp_path / document.name[0] / "signed.bin"

        await client.sign_batch([Document.binary(content, name=f"{n}.bin") for n in range(2)], save_to=beside)

        assert saved(tmp_path / "0") == saved(tmp_path / "1") == {"signed.bin": mock_signed(content, binary=True)}

    @pytest.mark.parametrize("several", [False, True])
    async def test_an_existing_file_is_kept_and_nothing_is_sent(
        self, client: SignStash, service: MockedService, tmp_path: Path, several: bool
    ) -> None:
        (tmp_path / "a.pdf").write_bytes(b"earlier")
        document = pdf(name="a.pdf")
        others = [pdf(name="b.pdf")]
        call: Any = client.sign_batch([*others, document], save_to=tmp_path) if several else None

        with pytest.raises(DocumentNotSavedError, match=r"exists already, so a\.pdf was not sent") as failed:
            await (call or client.sign(document, save_to=tmp_path))

        assert saved(tmp_path) == {"a.pdf": b"earlier"}
        assert (failed.value.maybe_processed, failed.value.signed) == (False, None)
        assert service.sign.call_count == 0

    async def test_a_folder_is_never_replaced(self, client: SignStash, service: MockedService, tmp_path: Path) -> None:
        (tmp_path / "a.pdf").mkdir()

        with pytest.raises(DocumentNotSavedError, match=r"a\.pdf was not sent: It is a folder"):
            await client.sign_batch([pdf(name="a.pdf")], save_to=tmp_path, overwrite=True)

        assert service.sign.call_count == 0

    async def test_an_existing_file_is_replaced_with_overwrite(
        self, client: SignStash, tmp_path: Path, content: bytes
    ) -> None:
        (tmp_path / "a.bin").write_bytes(b"earlier")

        await client.sign(Document.binary(content, name="a.bin"), save_to=tmp_path, overwrite=True)

        assert saved(tmp_path) == {"a.bin": mock_signed(content, binary=True)}

    async def test_a_file_created_meanwhile_is_kept(
        self, client: SignStash, service: MockedService, tmp_path: Path, content: bytes
    ) -> None:
        create_meanwhile(service, tmp_path / "a.bin")

        with pytest.raises(DocumentNotSavedError, match="exists already") as failed:
            await client.sign(Document.binary(content, name="a.bin"), save_to=tmp_path)

        assert (tmp_path / "a.bin").read_bytes() == b"somebody else's"
        assert failed.value.signed is not None
        assert failed.value.external_references == (failed.value.signed.external_reference,)
        assert (failed.value.maybe_processed, failed.value.retryable) == (True, False)
        assert failed.value.hint.startswith("The document is signed. ")
        assert failed.value.signed.content == mock_signed(content, binary=True)

    async def test_a_document_that_was_not_saved_can_be_saved_in_the_same_folder_more_than_once(
        self, client: SignStash, service: MockedService, tmp_path: Path, content: bytes
    ) -> None:
        create_meanwhile(service, tmp_path / "a.bin")
        with pytest.raises(DocumentNotSavedError) as failed:
            await client.sign(Document.binary(content, name="a.bin"), save_to=tmp_path)
        assert failed.value.signed is not None

        for name in ("b.bin", "c.bin"):
            await failed.value.signed.save(tmp_path / name)

        assert (tmp_path / "b.bin").read_bytes() == mock_signed(content, binary=True)
        assert (tmp_path / "c.bin").read_bytes() == await failed.value.signed.read()

    async def test_an_unsigned_document_leaves_no_file(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        service.sign.mock(
            side_effect=lambda request: signed_response(
                request,
                lambda d: d if d["name"] == "0.pdf" else {**d, "signStatus": "ERROR_SIGNING", "signedContent": None},
            )
        )

        await client.sign_batch([Document.pdf(PDF, name=f"{n}.pdf") for n in range(2)], save_to=tmp_path)

        assert saved(tmp_path) == {"0.pdf": mock_signed(PDF)}

    @pytest.mark.parametrize("save_to", [5, b"folder", ["a"]])
    async def test_a_value_other_than_a_path_raises(
        self, client: SignStash, service: MockedService, save_to: Any
    ) -> None:
        with pytest.raises(Exception, match="save_to"):
            await client.sign(pdf(name="a.pdf"), save_to=save_to)
        assert service.sign.call_count == 0

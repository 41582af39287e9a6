"""Sources of document contents, and which of them raise before anything is sent."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import gc
import io
import os
import pickle
import re
import sys
import tempfile
import threading
import warnings
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiofiles
import anyio
import pytest
from starlette.datastructures import UploadFile
from werkzeug.datastructures import FileStorage

from signstash import Document, InvalidDocumentError, Journal, SignStash, models
from signstash._content.sources import contents_of
from tests.conftest import CLIENT_ID, PDF, MockedService, mock_signed

COPIES = pytest.mark.parametrize("copied", [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy])
HONEST_NAMES = ("a\u00a0b.pdf", "a\u202fb.pdf", "co\u00adop.pdf", "\U0001f468\u200d\U0001f469.pdf", "\u202eb.pdf")
"""With a no-break space, a narrow one, a soft hyphen, an emoji of several, a mark of direction."""
XML = '<?xml version="1.0"?><fatura número="31"/>'


class BytesPath(os.PathLike[bytes]):
    """A path as `os.scandir(b".")` gives it."""

    def __fspath__(self) -> bytes:
        return b"a.pdf"

    def __repr__(self) -> str:
        return "b'a.pdf'"


class OneShot(io.RawIOBase):
    """A file that can be read once and is not seekable, such as a socket's."""

    name = "invoice.pdf"

    def __init__(self, contents: bytes) -> None:
        self._left = io.BytesIO(contents)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._left.readinto(buffer)


class Broken(OneShot):
    def readinto(self, buffer: Any) -> int:
        raise OSError(5, "Input/output error")


class Waiting(OneShot):
    """A file whose reader waits until the test releases it."""

    asked, let = threading.Event(), threading.Event()

    def readinto(self, buffer: Any) -> int:
        self.asked.set()
        self.let.wait()
        return super().readinto(buffer)


class Texts:
    name = "invoice.pdf"

    def read(self, _: int = -1) -> str:
        return PDF.decode()


class Desk:
    """A folder with an invoice, and whatever was opened in it."""

    def __init__(self, folder: Path, opened: contextlib.ExitStack) -> None:
        self.folder, self.opened = folder, opened
        self.invoice = folder / "invoice.pdf"
        self.invoice.write_bytes(PDF)

    def file(self, mode: str = "rb", *, before: bytes = b"", **options: Any) -> Any:
        """The invoice as an open file, positioned after other bytes."""
        self.invoice.write_bytes(before + PDF)
        file = self.opened.enter_context(self.invoice.open(mode, **options))
        if before:
            file.read(len(before))
        return file

    def closed(self) -> Any:
        with self.invoice.open("rb") as file:
            return file

    def pipe(self) -> Any:
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as file:
            file.write(PDF)
        return self.opened.enter_context(os.fdopen(reading, "rb"))

    def memory(self, *, before: bytes = b"") -> io.BytesIO:
        file = io.BytesIO(before + PDF)
        file.seek(len(before))
        return file

    def zipped(self) -> Any:
        with zipfile.ZipFile(self.folder / "x.zip", "w") as archive:
            archive.writestr("folder/invoice.pdf", PDF)
        archive = self.opened.enter_context(zipfile.ZipFile(self.folder / "x.zip"))
        return self.opened.enter_context(archive.open("folder/invoice.pdf"))

    def special(self, make: Callable[[Path], object]) -> Path:
        path = self.folder / "special.pdf"
        make(path)
        return path


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with contextlib.ExitStack() as opened:
        yield Desk(tmp_path, opened)


def sent_contents(service: MockedService, call: int = -1) -> list[bytes]:
    return [base64.b64decode(item["documentRequest"]["base64Content"]) for item in service.sent(call)["documents"]]


Refusal = Callable[[Document], Awaitable[InvalidDocumentError]]


@pytest.fixture
def refusal(client: SignStash, service: MockedService) -> Refusal:
    """Returns the error that a document raises before anything is sent."""

    async def refused(document: Document) -> InvalidDocumentError:
        with pytest.raises(InvalidDocumentError) as failed:
            await client.sign(document)
        assert len(service.router.calls) == 0
        assert failed.value.document == document.name
        assert document.name in str(failed.value)
        return failed.value

    return refused


SOURCES = pytest.mark.parametrize(
    "give",
    [
        lambda desk: (str(desk.invoice), None),
        lambda desk: (desk.invoice, None),
        lambda desk: (PDF, "invoice.pdf"),
        lambda desk: (bytearray(PDF), "invoice.pdf"),
        lambda desk: (memoryview(b"<" + PDF + b">")[1:-1], "invoice.pdf"),
        lambda desk: (desk.file(), None),
        lambda desk: (desk.file(buffering=0), None),
        lambda desk: (desk.file(before=b"not a part of it"), None),
        lambda desk: (desk.memory(), "invoice.pdf"),
        lambda desk: (desk.memory(before=b"not a part of it"), "invoice.pdf"),
        lambda desk: (desk.zipped(), None),
        lambda desk: (desk.pipe(), "invoice.pdf"),
        lambda desk: (OneShot(PDF), None),
    ],
    ids=[
        "str", "Path", "bytes", "bytearray", "memoryview", "open file", "raw file", "open file at a position",
        "BytesIO", "BytesIO at a position", "file in a zip", "pipe", "file to be read once",
    ],
)  # fmt: skip


class TestSources:
    @SOURCES
    async def test_a_source_gives_contents_and_name(
        self, client: SignStash, service: MockedService, desk: Desk, give: Callable[[Desk], Any]
    ) -> None:
        source, name = give(desk)
        document = Document.pdf(source) if name is None else Document.pdf(source, name=name)

        signed = await client.sign(document)
        again = await client.sign(document)

        assert [*sent_contents(service, 0), *sent_contents(service, 1)] == [PDF, PDF]
        assert (document.name, signed.name, signed.content) == ("invoice.pdf", "invoice.pdf", mock_signed(PDF))
        assert again.external_reference == signed.external_reference

    async def test_a_long_file_sent_twice_is_read_once(self, client: SignStash, service: MockedService) -> None:
        contents = PDF + os.urandom(3_000_000)
        document = Document.pdf(OneShot(contents))

        await client.sign(document)
        await client.sign(document)

        assert [*sent_contents(service, 0), *sent_contents(service, 1)] == [contents, contents]

    @pytest.mark.parametrize("contents", [PDF, PDF * 100_000], ids=["short", "long"])
    async def test_kept_contents_of_a_file_are_released(self, client: SignStash, contents: bytes) -> None:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            await client.sign(Document.pdf(OneShot(contents)))
            with pytest.raises(InvalidDocumentError):
                await client.sign(Document.pdf(Broken(contents)))
            gc.collect()

        assert [str(warning.message) for warning in told] == []

    async def test_later_changes_to_a_buffer_are_not_sent(self, client: SignStash, service: MockedService) -> None:
        contents = bytearray(PDF)
        document = Document.pdf(contents, name="a.pdf")
        contents[:] = b"something else"

        await client.sign(document)

        assert sent_contents(service) == [PDF]

    async def test_a_file_is_read_when_it_is_sent(self, client: SignStash, service: MockedService, desk: Desk) -> None:
        document = Document.pdf(desk.invoice)
        desk.invoice.write_bytes(PDF + b"later")

        await client.sign(document)

        assert sent_contents(service) == [PDF + b"later"]

    @pytest.mark.parametrize("kind", [io.BytesIO, OneShot])
    async def test_one_open_file_sent_twice_at_once(self, client: SignStash, service: MockedService, kind: Any) -> None:
        meeting = threading.Barrier(2)

        class Shared(kind):  # type: ignore[misc]
            name = "a.pdf"

            def read(self, size: int = -1) -> Any:
                with contextlib.suppress(threading.BrokenBarrierError):
                    meeting.wait(0.2)  # until another thread reads too, if one may
                return super().read(size)

        document = Document.pdf(file := Shared(PDF))
        await asyncio.gather(client.sign(document), client.sign(document if kind is OneShot else Document.pdf(file)))

        assert [*sent_contents(service, 0), *sent_contents(service, 1)] == [PDF, PDF]

    async def test_a_blocking_file_does_not_delay_others(self, client: SignStash, service: MockedService) -> None:
        slow = Waiting(PDF)
        waiting = asyncio.create_task(client.sign(Document.pdf(slow)))
        try:
            await asyncio.to_thread(slow.asked.wait)
            await client.sign(Document.pdf(io.BytesIO(PDF), name="a.pdf"))
        finally:
            slow.let.set()
            await waiting

    @pytest.mark.parametrize(
        ("give", "named"),
        [
            (lambda desk: desk.file("r"), "text mode"),
            (lambda desk: io.StringIO("%PDF-"), "text mode"),
            (lambda desk: 7, "int"),
            (lambda desk: None, "NoneType"),
            (lambda desk: " <invoice/>", "as bytes"),
            (lambda desk: base64.b64encode(bytes(5000)).decode(), "as bytes"),
        ],
        ids=["text file", "StringIO", "number", "None", "XML as text", "base64"],
    )
    def test_an_invalid_source_raises_at_once(self, desk: Desk, give: Any, named: str) -> None:
        with pytest.raises(InvalidDocumentError, match=f"Document a.pdf: .*{named}") as failed:
            Document.pdf(give(desk), name="a.pdf")
        assert failed.value.document == "a.pdf"
        assert len(str(failed.value)) < 200

    @pytest.mark.parametrize("source", [None, 7, ["a.pdf"]])
    def test_an_invalid_source_without_a_name_raises_at_once(self, source: Any) -> None:
        with pytest.raises(InvalidDocumentError, match=f"Its contents are of type {type(source).__name__}"):
            Document.pdf(source)

    @pytest.mark.parametrize(
        ("give", "named"),
        [
            (lambda desk: desk.folder / "missing.pdf", r"missing\.pdf.*No such file"),
            (lambda desk: desk.folder, "not a regular file"),
            (lambda desk: desk.special(lambda path: path.symlink_to(path)), "symbolic links"),
            (lambda desk: desk.special(lambda path: path.symlink_to("/dev/null")), "not a regular file"),
            (lambda desk: desk.special(lambda path: path.touch(0)), "Permission denied" if os.geteuid() else "empty"),
            (lambda desk: desk.folder / ("x" * 300), "too long"),
            (lambda desk: f"{desk.folder}/a\0b", "cannot be read"),
            (lambda desk: desk.closed(), "closed"),
            (lambda desk: desk.file("ab"), "cannot be read"),
            (lambda desk: Broken(PDF), "Input/output error"),
            (lambda desk: Texts(), "does not give bytes"),
            (lambda desk: b"", "empty"),
            (lambda desk: io.BytesIO(), "empty"),
            (lambda desk: desk.special(Path.touch), "empty"),
        ],
        ids=[
            "missing", "folder", "link to itself", "device", "no permission", "long name", "NUL", "closed",
            "not readable", "broken", "texts", "no bytes", "empty BytesIO", "empty file",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("make", [Document.pdf, Document.xml, Document.binary], ids=["pdf", "xml", "binary"])
    async def test_an_unreadable_source_raises(
        self, refusal: Refusal, desk: Desk, give: Any, named: str, make: Callable[..., Document]
    ) -> None:
        assert re.search(named, str(await refusal(make(give(desk), name="a.pdf"))))

    async def test_an_error_names_the_reference_of_the_document(self, client: SignStash, tmp_path: Path) -> None:
        documents = [Document.pdf(tmp_path / f"{number}.pdf", external_reference=f"FT_{number}") for number in "12"]

        with pytest.raises(InvalidDocumentError) as failed:
            await client.sign(documents[0])
        assert failed.value.external_references == ("FT_1",)
        with pytest.raises(InvalidDocumentError) as failed:
            await client.sign_batch(documents)
        assert failed.value.external_references == ("FT_1", "FT_2")
        with pytest.raises(InvalidDocumentError) as failed:
            Document.pdf(tmp_path / "1.pdf", external_reference="FT_1", content_type="pdf")
        assert failed.value.external_references == ("FT_1",)

    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ("", r"^The path '' names no file\. Give the path"),
            ("/", r"^The path '/' names no file\. "),
            ("a/..", r"The path 'a/\.\.' names no file\. "),
            (BytesPath(), r"^The path b'a\.pdf' consists of bytes\. Decode it"),
            (UploadFile(io.BytesIO(), filename=""), r"^The document has no name\. "),
            (UploadFile(io.BytesIO(), filename="a\\"), r"^The document has no name\. "),
            (FileStorage(io.BytesIO(), filename="", name="file"), r"^The document has no name\. "),
        ],
    )
    def test_a_source_that_is_no_file_raises_at_once(self, source: Any, text: str) -> None:
        with pytest.raises(InvalidDocumentError, match=text):
            Document.pdf(source)

    @pytest.mark.parametrize("text", ["<a/>", "<Invoice><Lines/></Invoice>\n", "%PDF-1.7\n%%EOF", " \n<a>/</a>"])
    @pytest.mark.parametrize(("options", "named"), [({}, "The"), ({"name": "a.xml"}, "Document a.xml: The")])
    def test_contents_given_as_text_raise_at_once(self, text: str, options: dict[str, Any], named: str) -> None:
        with pytest.raises(InvalidDocumentError) as failed:
            Document.xml(text, **options)

        assert str(failed.value) == (f"{named} contents are text, which would be read as a path. Give them as bytes.")
        assert failed.value.document == options.get("name")

    async def test_an_empty_upload_raises(self, refusal: Refusal) -> None:
        upload = UploadFile(io.BytesIO(), filename="a.pdf")

        assert "a.pdf: its open file has no more bytes: it is empty" in (
            text := str(await refusal(Document.pdf(upload)))
        )
        assert "Give a file with contents" in text

    async def test_a_named_pipe_raises_without_waiting_for_a_writer(self, refusal: Refusal, desk: Desk) -> None:
        path = desk.special(os.mkfifo)
        try:
            assert "not a regular file" in str(await refusal(Document.pdf(path)))
        finally:
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))  # lets go of a reader

    async def test_a_closed_file_raises(self, refusal: Refusal, desk: Desk) -> None:
        file = desk.file()
        document = Document.pdf(file)
        file.close()

        assert "closed file. Keep the file open" in str(await refusal(document))

    async def test_all_unusable_documents_are_reported_together(
        self, client: SignStash, service: MockedService
    ) -> None:
        documents = [Document.pdf(b"", name="0.pdf"), Document.pdf(PDF, name="1.pdf"), Document.pdf(b"", name="2.pdf")]

        with pytest.raises(InvalidDocumentError, match=r"2 of 3.*0\.pdf.*2\.pdf") as failed:
            await client.sign_batch(documents)

        assert isinstance(failed.value.__cause__, ExceptionGroup)
        assert [getattr(error, "document", None) for error in failed.value.__cause__.exceptions] == ["0.pdf", "2.pdf"]
        assert len(service.router.calls) == 0


class Patient(OneShot):
    """A file that returns single bytes, and counts them."""

    given = 0

    def read(self, size: int = -1) -> bytes:
        self.given += 1
        return b"%"


class AsyncOnly:
    """A custom asynchronous file."""

    name = "folder/invoice.pdf"

    def __init__(self, contents: bytes) -> None:
        self._left = io.BytesIO(contents)
        self.wait = asyncio.Event()
        self.wait.set()

    async def read(self, size: int = -1, /) -> bytes:
        await self.wait.wait()
        return self._left.read(min(size, 1000))


async def of_aiofiles(path: Path, opened: contextlib.AsyncExitStack) -> Any:
    return await opened.enter_async_context(aiofiles.open(path, "rb"))


async def of_anyio(path: Path, opened: contextlib.AsyncExitStack) -> Any:
    return await opened.enter_async_context(await anyio.open_file(path, "rb"))


async def of_starlette(path: Path, opened: contextlib.AsyncExitStack) -> Any:
    file = opened.enter_context(path.open("rb"))
    return UploadFile(file, filename="invoice.pdf")


async def of_the_user(path: Path, opened: contextlib.AsyncExitStack) -> Any:
    return AsyncOnly(path.read_bytes())


ASYNCHRONOUS = pytest.mark.parametrize("give", [of_aiofiles, of_anyio, of_starlette, of_the_user])


class TestAsynchronousFiles:
    @ASYNCHRONOUS
    @pytest.mark.parametrize("contents", [PDF, PDF * 100_000], ids=["short", "long"])
    async def test_an_asynchronous_file_is_read_once_and_sent_as_often_as_needed(
        self, client: SignStash, service: MockedService, tmp_path: Path, give: Any, contents: bytes
    ) -> None:
        (tmp_path / "invoice.pdf").write_bytes(contents)
        async with contextlib.AsyncExitStack() as opened:
            document = Document.pdf(await give(tmp_path / "invoice.pdf", opened))
            await client.sign(document)
        await client.sign(document)

        assert document.name == "invoice.pdf"
        assert [*sent_contents(service, 0), *sent_contents(service, 1)] == [contents, contents]

    @ASYNCHRONOUS
    async def test_runs_accept_asynchronous_files(
        self, client: SignStash, service: MockedService, tmp_path: Path, give: Any
    ) -> None:
        (tmp_path / "invoice.pdf").write_bytes(PDF)
        async with contextlib.AsyncExitStack() as opened:
            document = Document.pdf(await give(tmp_path / "invoice.pdf", opened))
            with Journal(tmp_path / "journal") as journal:
                run = client.sign_all([document], journal=journal, save_to=tmp_path / "signed")
                assert [outcome.ok async for outcome in run] == [True]

        assert (tmp_path / "signed" / "invoice.pdf").read_bytes() == mock_signed(PDF)

    async def test_one_file_for_two_documents_is_never_mixed(self, client: SignStash, service: MockedService) -> None:
        file: Any = AsyncOnly(PDF * 1000)

        outcomes = await asyncio.gather(
            *(client.sign(Document.binary(file, name=f"{n}.bin")) for n in range(2)), return_exceptions=True
        )

        assert sent_contents(service) == [PDF * 1000]
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["InvalidDocumentError", "SignedDocument"]

    @pytest.mark.parametrize("make", [io.BytesIO, AsyncOnly])
    async def test_a_partly_read_file_is_sent_from_its_position(
        self, client: SignStash, service: MockedService, make: Any
    ) -> None:
        file = make(PDF)
        await client.sign(Document.pdf(file, name="a.pdf"))

        with pytest.raises(InvalidDocumentError, match=r"b\.pdf: .* already read to its end\. .* open it again"):
            await client.sign(Document.pdf(file, name="b.pdf"))
        assert service.sign.call_count == 1

    @pytest.mark.parametrize(
        ("read", "named"),
        [(lambda _: "text", "does not give bytes"), (lambda _: (_ for _ in ()).throw(OSError(5, "I/O error")), "I/O")],
        ids=["text", "broken"],
    )
    async def test_an_unreadable_asynchronous_file_raises(self, refusal: Refusal, read: Any, named: str) -> None:
        class Bad:
            async def read(self, size: int = -1, /) -> bytes:
                return read(size)  # type: ignore[no-any-return]

        assert named in str(await refusal(Document.pdf(Bad(), name="a.pdf")))

    async def test_a_file_whose_reading_was_interrupted_is_not_sent_in_part(
        self, refusal: Refusal, client: SignStash
    ) -> None:
        file = AsyncOnly(PDF)
        document = Document.pdf(file)
        file.wait.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await client.sign(document)
        file.wait.set()

        assert "an earlier call ended while it was reading" in str(await refusal(document))

    def test_verifying_without_an_event_loop_raises_with_a_hint(self) -> None:
        with pytest.raises(InvalidDocumentError, match="Await its `read`"), contents_of(AsyncOnly(PDF)).opened():
            pass


class TestInterruptedReading:
    async def test_reading_an_endless_file_is_abandoned(self, client: SignStash, service: MockedService) -> None:
        file = Patient(b"")
        document = Document.binary(file)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.sign(document)

        await asyncio.get_running_loop().shutdown_default_executor()  # which waits for the thread that reads
        assert len(service.router.calls) == 0

    async def test_reading_a_pipe_continues_after_a_cancelled_call(
        self, client: SignStash, service: MockedService
    ) -> None:
        class Halting(OneShot):
            asked, let = threading.Event(), threading.Event()

            def read(self, size: int = -1) -> bytes:
                if not self.let.is_set():
                    self.asked.set()
                    self.let.wait()
                return self._left.read(min(size, 10))

        file = Halting(PDF)
        document = Document.pdf(file)
        call = asyncio.create_task(client.sign(document))
        await asyncio.to_thread(file.asked.wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        file.let.set()

        await client.sign(document)

        assert sent_contents(service) == [PDF]


class TestContents:
    @pytest.mark.parametrize("junk", [0, 1, 1019])
    async def test_a_pdf_may_begin_after_other_bytes(self, client: SignStash, junk: int) -> None:
        assert (await client.sign(Document.pdf(b"\n" * junk + PDF, name="a.pdf"))).content

    @pytest.mark.parametrize("contents", [b"\n" * 1020 + PDF, b"%PD", b"%pdf-1.7", b"<html/>", PDF[1:], b"\0" * 2000])
    async def test_contents_other_than_pdf_raise(self, refusal: Refusal, contents: bytes) -> None:
        error = await refusal(Document.pdf(contents, name="a.pdf"))

        assert "%PDF-" in error.problem
        assert "Document.binary" in error.hint

    @pytest.mark.parametrize("before", ["", " \r\n\t"])
    @pytest.mark.parametrize(
        ("mark", "encoding"),
        [("", "utf-8"), ("", "latin-1"), ("\ufeff", "utf-8"), ("\ufeff", "utf-16-le"), ("\ufeff", "utf-16-be")],
    )
    async def test_xml_is_accepted_in_any_encoding(
        self, client: SignStash, service: MockedService, mark: str, before: str, encoding: str
    ) -> None:
        contents = (mark + before + XML).encode(encoding)

        await client.sign(Document.xml(contents, name="a.xml"))

        assert sent_contents(service) == [contents]

    @pytest.mark.parametrize("contents", [b"fatura", b" \n", b'{"a": 1}', PDF, b"\xef\xbb\xbf", b"\xff\xfea\0", b"PK<"])
    async def test_contents_other_than_xml_raise(self, refusal: Refusal, contents: bytes) -> None:
        assert "not XML" in str(await refusal(Document.xml(contents, name="a.xml")))

    @pytest.mark.parametrize("contents", [b"\0", b"fatura", PDF])
    async def test_any_contents_are_binary(self, client: SignStash, service: MockedService, contents: bytes) -> None:
        await client.sign(Document.binary(contents, name="a.bin"))

        assert sent_contents(service) == [contents]


class TestNames:
    @pytest.mark.parametrize("name", ["Fatura nº 31.pdf", "a", ".pdf", "a.b.c", "x" * 200, *HONEST_NAMES])
    async def test_a_given_name_is_sent(
        self, client: SignStash, service: MockedService, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "invoice.pdf").write_bytes(PDF)

        signed = await client.sign(Document.pdf(tmp_path / "invoice.pdf", name=name))

        assert signed.name == service.sent()["documents"][0]["documentRequest"]["name"] == name

    @pytest.mark.parametrize(
        "name", ["", " ", "a/b.pdf", "a\\b.pdf", "a\nb.pdf", "a\0b", "a\x85b", "\ud800", "..", 7, b""]
    )
    def test_an_invalid_name_raises(self, name: Any) -> None:
        with pytest.raises(InvalidDocumentError, match="name") as refused:
            Document.pdf(PDF, name=name)

        assert str(refused.value).isprintable()

    @pytest.mark.parametrize("kind", [UploadFile, FileStorage])
    @pytest.mark.parametrize("folder", ["", "C:\\invoices\\", "/invoices/", "a/b\\", "a\\b/"])
    def test_uploads_are_named_without_folders(self, kind: Any, folder: str) -> None:
        assert Document.pdf(kind(io.BytesIO(PDF), filename=f"{folder}c.pdf")).name == "c.pdf"

    def test_the_name_of_an_upload_is_not_that_of_its_field(self) -> None:
        assert Document.pdf(FileStorage(io.BytesIO(PDF), filename="c.pdf", name="file")).name == "c.pdf"

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have no files of these names")
    @pytest.mark.parametrize("opened", [False, True])
    @pytest.mark.parametrize("with_journal", [False, True])
    @pytest.mark.parametrize("name", [b"a\xba.pdf", b"a\nb.pdf", b"a\tb.pdf", b"a\\b.pdf", b" "])
    async def test_a_file_whose_name_cannot_be_sent_is_its_documents_error(
        self, client: SignStash, tmp_path: Path, name: bytes, *, opened: bool, with_journal: bool
    ) -> None:
        folder = tmp_path / "in"
        path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"in", name)))  # noqa: PTH118
        folder.mkdir()
        for each in (folder / "1.pdf", path, folder / "2.pdf"):
            each.write_bytes(PDF + each.name.encode("utf-8", "replace"))
        paths = [folder / "1.pdf", path, folder / "2.pdf"]
        with contextlib.ExitStack() as files:
            journal = files.enter_context(Journal(tmp_path / "journal")) if with_journal else None
            sources = [files.enter_context(path.open("rb")) if opened else path for path in paths]
            outcomes = [
                outcome
                async for outcome in client.sign_all(
                    map(Document.pdf, sources), save_to=tmp_path / "out", journal=journal
                )
            ]

        (failed,) = (outcome for outcome in outcomes if not outcome.ok)
        assert isinstance(failed.error, InvalidDocumentError)
        assert re.search(r"Rename its file, or give name='", str(failed.error))
        assert str(failed.error).isprintable()
        assert failed.document.name.isprintable()
        assert failed.error.document == failed.document.name
        assert sorted(os.listdir(tmp_path / "out")) == ["1.pdf", "2.pdf"]  # noqa: PTH208
        with pytest.raises(InvalidDocumentError, match="Rename its file"):
            await client.sign(failed.document)
        assert (await client.sign(Document.pdf(path, name="a.pdf"))).name == "a.pdf"

    def test_contents_without_a_name_raise(self) -> None:
        with tempfile.TemporaryFile() as numbered:
            for source in (PDF, io.BytesIO(PDF), numbered):
                with pytest.raises(InvalidDocumentError, match=r"no name.*name='"):
                    Document.pdf(source)


class TestReferences:
    async def test_a_generated_reference_is_sent(self, client: SignStash, service: MockedService) -> None:
        documents = [Document.pdf(PDF, name="Fatura FT 2026 nº31.pdf") for _ in range(20)]

        batch = await client.sign_batch(documents)

        made = [item["documentRequest"]["externalReference"] for item in service.sent()["documents"]]
        assert made == [outcome.signed.external_reference for outcome in batch.outcomes if outcome.signed]
        assert len(set(made)) == 20
        assert all(re.fullmatch(rf"{CLIENT_ID}_Fatura_FT_2026_n_31_[0-9a-f]{{12,}}", reference) for reference in made)

    @pytest.mark.parametrize("alias", ["a/b c", "señor:x?y#z", CLIENT_ID])
    @pytest.mark.parametrize("name", ["ç%&=+~.pdf", "日本語.pdf", "x" * 250, "..."])
    def test_a_generated_reference_needs_no_quoting_in_a_url(self, alias: str, name: str) -> None:
        reference = Document.pdf(PDF, name=name).reference(alias)

        assert re.fullmatch(r"[A-Za-z0-9._-]+", reference)
        assert len(reference) < len(alias) + 60

    @COPIES
    def test_a_reference_belongs_to_the_document(self, copied: Any) -> None:
        document = Document.pdf(PDF, name="a.pdf")

        assert document.reference("x") == document.reference("x") == copied(document).reference("x")

    @pytest.mark.parametrize("reference", ["FT_31", "FT 2026/31?x", "é", "...", "a.", "0"])
    async def test_a_given_reference_is_sent_unchanged(
        self, client: SignStash, service: MockedService, reference: str
    ) -> None:
        signed = await client.sign(Document.pdf(PDF, name="a.pdf", external_reference=reference))

        assert service.sent()["documents"][0]["documentRequest"]["externalReference"] == reference
        assert signed.external_reference == reference

    @pytest.mark.parametrize("reference", ["", " ", ".", "..", " a", "a ", "a\tb", "a\0", "a\x9f", 7, b"a"])
    async def test_an_invalid_reference_raises(self, client: SignStash, service: MockedService, reference: Any) -> None:
        with pytest.raises(InvalidDocumentError, match="external_reference") as refusal:
            Document.pdf(PDF, name="a.pdf", external_reference=reference)
        assert refusal.value.document == "a.pdf"
        with pytest.raises(InvalidDocumentError, match="external_reference"):
            await client.sign(Document.pdf(PDF, name="a.pdf"), external_reference=reference)
        assert len(service.router.calls) == 0


class TestBatches:
    FT_31 = Document.pdf(PDF, name="1.pdf", external_reference="FT_31")
    MADE = Document.pdf(PDF, name="2.pdf")

    @pytest.mark.parametrize(
        "twice",
        [
            [MADE, MADE],
            [MADE, copy.deepcopy(MADE)],
            [MADE, FT_31, pickle.loads(pickle.dumps(MADE))],
            [FT_31, Document.pdf(PDF, name="3.pdf", external_reference="FT_31")],
        ],
        ids=["same", "copied", "travelled", "given twice"],
    )
    async def test_a_reference_used_twice_raises(
        self, client: SignStash, service: MockedService, twice: list[Document]
    ) -> None:
        with pytest.raises(InvalidDocumentError, match=re.escape(twice[-1].reference(CLIENT_ID))):
            await client.sign_batch(twice)
        assert len(service.router.calls) == 0

    @pytest.mark.parametrize("other", [None, "a.pdf", PDF, Path("a.pdf"), models.Document, Document])
    async def test_an_item_other_than_a_document_raises(
        self, client: SignStash, service: MockedService, other: Any
    ) -> None:
        with pytest.raises(InvalidDocumentError, match=rf"type {type(other).__name__}.*Document\.pdf"):
            await client.sign_batch([self.MADE, other])
        assert len(service.router.calls) == 0

    async def test_any_iterable_of_documents_is_accepted(self, client: SignStash, service: MockedService) -> None:
        batch = await client.sign_batch(item for item in (self.FT_31, self.MADE))

        assert [outcome.document for outcome in batch.outcomes] == [self.FT_31, self.MADE]
        with pytest.raises(InvalidDocumentError, match="no document"):
            await client.sign_batch(iter(()))
        assert service.sign.call_count == 1

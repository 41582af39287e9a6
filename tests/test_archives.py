"""The ZIP file of an operation's documents: what stands in it is data, and harms nobody."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from signstash import DocumentNotSavedError, SignStash, UnexpectedAnswerError
from tests.conftest import MockedService, url_of, zipped

LONG = bytes(range(256)) * 20_000


@pytest.fixture
def answer(service: MockedService) -> Any:
    """Lets the service answer with an archive."""
    route = service.router.get(url_of("getSignOperationDocumentsContent", operationId=7))
    return lambda content: route.respond(content=content)


def saved(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_documents_of_any_size(client: SignStash, answer: Any, tmp_path: Path) -> None:
    answer(zipped({"A.long.pdf": LONG, "B.short.pdf": b"short", "C.empty.pdf": b""}))

    paths = await client.download_documents(7, tmp_path / "november")

    assert [path.name for path in paths] == ["A.long.pdf", "B.short.pdf", "C.empty.pdf"]
    assert saved(tmp_path / "november") == {"A.long.pdf": LONG, "B.short.pdf": b"short", "C.empty.pdf": b""}


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("../../outside.pdf", "_.._outside.pdf"),
        ("/etc/passwd", "_etc_passwd"),
        ("C:\\windows\\a.pdf", "C__windows_a.pdf"),
        ("..", "document-1"),
        (".hidden", "hidden"),
        ("FT 2026/31.invoice.pdf", "FT 2026_31.invoice.pdf"),
        ("a\nb\x7f.pdf", "a_b_.pdf"),
        ("fatura ção.pdf", "fatura ção.pdf"),
        ("x" * 300 + ".pdf", "x" * 170 + "-1.pdf"),
        ("é" * 200 + ".pdf", "é" * 85 + "-1.pdf"),
        ("CON?.pdf", "CON_.pdf"),
    ],
)
async def test_names_stay_in_the_folder(
    client: SignStash, answer: Any, tmp_path: Path, name: str, written: str
) -> None:
    answer(zipped({name: b"signed"}))

    (path,) = await client.download_documents(7, tmp_path / "november")

    assert path.parent == tmp_path / "november"
    assert saved(tmp_path) == {f"november/{written}": b"signed"}


async def test_names_that_become_one_are_told_apart(client: SignStash, answer: Any, tmp_path: Path) -> None:
    answer(zipped({"a/b.pdf": b"1", "a:b.pdf": b"2", "A_B.pdf": b"3"}))

    await client.download_documents(7, tmp_path)

    assert saved(tmp_path) == {"a_b.pdf": b"1", "a_b-2.pdf": b"2", "A_B-3.pdf": b"3"}


async def test_a_link_in_the_archive_is_a_file(client: SignStash, answer: Any, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        writer.writestr(link, "/etc/passwd")
        writer.writestr("folder/", "")
    answer(archive.getvalue())

    (path,) = await client.download_documents(7, tmp_path)

    assert not path.is_symlink()
    assert path.read_bytes() == b"/etc/passwd"


async def test_what_is_there_is_kept_and_nothing_is_written(client: SignStash, answer: Any, tmp_path: Path) -> None:
    (tmp_path / "B.pdf").write_bytes(b"earlier")
    answer(zipped({"A.pdf": b"1", "B.pdf": b"2"}))

    with pytest.raises(DocumentNotSavedError, match=r"B\.pdf exists already"):
        await client.download_documents(7, tmp_path)

    assert saved(tmp_path) == {"B.pdf": b"earlier"}


async def test_what_is_there_is_replaced_when_told(client: SignStash, answer: Any, tmp_path: Path) -> None:
    (tmp_path / "B.pdf").write_bytes(b"earlier")
    answer(zipped({"B.pdf": b"2"}))

    await client.download_documents(7, tmp_path, overwrite=True)

    assert saved(tmp_path) == {"B.pdf": b"2"}


async def test_a_folder_that_cannot_be_made(client: SignStash, answer: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    answer(zipped({"A.pdf": b"1"}))

    with pytest.raises(DocumentNotSavedError, match="cannot be written"):
        await client.download_documents(7, tmp_path / "file" / "november")


def bomb() -> bytes:
    """Says that it holds more than can ever be signed."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("a.pdf", b"x")
    raw = bytearray(archive.getvalue())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = raw.index(signature) + offset
        raw[place : place + 4] = (2**31).to_bytes(4, "little")
    return bytes(raw)


def many() -> bytes:
    return zipped({str(number): b"" for number in range(10_001)})


def damaged() -> bytes:
    return zipped({"a.pdf": b"signed"}).replace(b"signed", b"forged")


def locked() -> bytes:
    raw = bytearray(zipped({"a.pdf": b"signed"}))
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    raw[6] |= 1
    return bytes(raw)


def cut() -> bytes:
    return zipped({"a.pdf": LONG})[:1000]


@pytest.mark.parametrize("archive", [bomb, many, damaged, locked, cut, lambda: b"PK", lambda: b"<html>", bytes])
async def test_an_archive_that_cannot_be_extracted(
    client: SignStash, answer: Any, tmp_path: Path, archive: Any
) -> None:
    answer(archive())

    with pytest.raises(UnexpectedAnswerError) as failed:
        await client.download_documents(7, tmp_path)

    assert saved(tmp_path) == {}
    assert failed.value.maybe_processed is False


async def test_an_archive_longer_than_any_can_be(
    client: SignStash, answer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signstash._transport.endpoints.CONTENT_LIMIT", 1000)
    answer(zipped({"a.pdf": LONG}))

    with pytest.raises(UnexpectedAnswerError, match="longer than"):
        await client.download_documents(7, tmp_path)

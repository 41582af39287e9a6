"""Downloads from the Integration Service, whose file names are not trusted."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from signstash import DocumentNotSavedError, SignStash, UnexpectedResponseError
from signstash._content.names import NAME_LIMIT, safe_names
from tests.conftest import MockedService, url_of

LONG = bytes(range(256)) * 20_000

Operation = Callable[..., None]


def document(reference: str, name: str, content: bytes, **changes: Any) -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    fields = {"externalReference": reference, "name": name, "signStatus": "SIGNED", "signedContent": encoded}
    return fields | changes


@pytest.fixture
def operation(service: MockedService) -> Operation:
    """Lets the service respond with an operation that has some documents."""
    route = service.router.get(url_of("getSignOperationDetail", operationId=7, includeContent="true"))

    def respond(*documents: Mapping[str, Any]) -> None:
        route.respond(json={"id": 7, "documentList": documents})

    return respond


def saved(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_documents_of_any_size_are_saved(client: SignStash, operation: Operation, tmp_path: Path) -> None:
    operation(document("A", "long.pdf", LONG), document("B", "short.pdf", b"short"))

    paths = await client.download_documents(7, tmp_path / "november")

    assert [path.name for path in paths] == ["A.long.pdf", "B.short.pdf"]
    assert saved(tmp_path / "november") == {"A.long.pdf": LONG, "B.short.pdf": b"short"}


async def test_unsigned_documents_are_left_out(client: SignStash, operation: Operation, tmp_path: Path) -> None:
    operation(document("A", "a.pdf", b"", signStatus="ERROR_SIGNING", signError="E"), document("B", "b.pdf", b"signed"))

    assert await client.download_documents(7, tmp_path) == [tmp_path / "B.b.pdf"]
    assert saved(tmp_path) == {"B.b.pdf": b"signed"}


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("../../outside.pdf", "r..._.._outside.pdf"),
        ("/etc/passwd", "r._etc_passwd"),
        ("C:\\windows\\a.pdf", "r.C__windows_a.pdf"),
        ("..", "r"),
        ("a\nb\x7f.pdf", "r.a_b_.pdf"),
        ("fatura ção.pdf", "r.fatura ção.pdf"),
        ("x" * 300 + ".pdf", "r." + "x" * 168 + "-1.pdf"),
        ("é" * 200 + ".pdf", "r." + "é" * 84 + "-1.pdf"),
        ("CON?.pdf", "r.CON_.pdf"),
    ],
)
async def test_names_stay_in_the_folder(
    client: SignStash, operation: Operation, tmp_path: Path, name: str, written: str
) -> None:
    operation(document("r", name, b"signed"))

    (path,) = await client.download_documents(7, tmp_path / "november")

    assert path.parent == tmp_path / "november"
    assert saved(tmp_path) == {f"november/{written}": b"signed"}


async def test_names_that_collide_get_a_number(client: SignStash, operation: Operation, tmp_path: Path) -> None:
    operation(document("a/b", "pdf", b"1"), document("a:b", "pdf", b"2"), document("A_B", "pdf", b"3"))

    await client.download_documents(7, tmp_path)

    assert saved(tmp_path) == {"a_b.pdf": b"1", "a_b-2.pdf": b"2", "A_B-3.pdf": b"3"}


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["a-3.pdf", "a.pdf", "A.pdf"], ["r.a-3.pdf", "r.a.pdf", "r.A-3-3.pdf"]),
        (["\u00e9.pdf", "e\u0301.pdf"], ["r.\u00e9.pdf", "r.\u00e9-2.pdf"]),
        (["stra\u00dfe.pdf", "STRASSE.pdf"], ["r.stra\u00dfe.pdf", "r.STRASSE-2.pdf"]),
    ],
)
async def test_no_document_replaces_another_one(
    client: SignStash, operation: Operation, tmp_path: Path, names: list[str], written: list[str]
) -> None:
    operation(*(document("r", name, b"%d" % number) for number, name in enumerate(names)))

    paths = await client.download_documents(7, tmp_path, overwrite=True)

    assert [path.name for path in paths] == written
    assert [path.read_bytes() for path in paths] == [b"%d" % number for number in range(len(names))]


@given(
    st.lists(st.sampled_from(["a", "A", "\u00e9", "e\u0301", "\u00df", "ss", "x" * 200, "x" * 210]), max_size=9),
    st.data(),
)
def test_names_are_different_where_case_and_composition_are_ignored(stems: list[str], data: st.DataObject) -> None:
    numbers = st.sampled_from(["", "-2", "-3", "-3-3", "-4", "-4-4"])
    names = [stem + data.draw(numbers) + ".pdf" for stem in stems]

    found = list(safe_names(names))

    assert len({unicodedata.normalize("NFC", name).casefold() for name in found}) == len(names)
    assert max((len(name.encode()) for name in found), default=0) <= NAME_LIMIT + 20


async def test_existing_files_are_kept_and_nothing_is_written(
    client: SignStash, operation: Operation, tmp_path: Path
) -> None:
    (tmp_path / "B.pdf").write_bytes(b"earlier")
    operation(document("A", "pdf", b"1"), document("B", "pdf", b"2"))

    with pytest.raises(DocumentNotSavedError, match=r"B\.pdf exists already") as failed:
        await client.download_documents(7, tmp_path)

    assert saved(tmp_path) == {"B.pdf": b"earlier"}
    assert not failed.value.maybe_processed  # by this call


async def test_existing_files_are_replaced_with_overwrite(
    client: SignStash, operation: Operation, tmp_path: Path
) -> None:
    (tmp_path / "B.pdf").write_bytes(b"earlier")
    operation(document("B", "pdf", b"2"))

    await client.download_documents(7, tmp_path, overwrite=True)

    assert saved(tmp_path) == {"B.pdf": b"2"}


async def test_a_folder_that_cannot_be_created_raises(
    client: SignStash, service: MockedService, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(DocumentNotSavedError, match=r"exists already|cannot be written"):
        await client.download_documents(7, tmp_path / "file" / "november")
    assert len(service.router.calls) == 0


@pytest.mark.parametrize("content", [None, "", "not base64!", 7])
async def test_a_signed_document_without_contents_is_an_error(
    client: SignStash, operation: Operation, tmp_path: Path, content: Any
) -> None:
    operation(document("A", "a.pdf", b"signed"), document("B", "b.pdf", b"", signedContent=content))

    with pytest.raises(UnexpectedResponseError, match=r"contents of document b\.pdf \(B\)") as failed:
        await client.download_documents(7, tmp_path)

    assert saved(tmp_path) == {}
    assert failed.value.maybe_processed is False


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"PK\x03\x04"])
async def test_a_response_other_than_an_operation_raises(
    client: SignStash, service: MockedService, tmp_path: Path, body: bytes
) -> None:
    service.router.get(url_of("getSignOperationDetail", operationId=7, includeContent="true")).respond(content=body)

    with pytest.raises(UnexpectedResponseError):
        await client.download_documents(7, tmp_path)
    assert saved(tmp_path) == {}


async def test_a_response_beyond_the_limit_raises(
    client: SignStash, operation: Operation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signstash._transport.endpoints.CONTENT_LIMIT", 1000)
    operation(document("A", "a.pdf", LONG))

    with pytest.raises(UnexpectedResponseError, match="longer than"):
        await client.download_documents(7, tmp_path)
    assert saved(tmp_path) == {}

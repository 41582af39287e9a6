"""Results: values that can be pickled and print no contents, and saving signed documents."""

from __future__ import annotations

import asyncio
import copy
import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from signstash import (
    ConfigurationError,
    Document,
    DocumentNotSavedError,
    DocumentNotSignedError,
    Outcome,
    SignedBatch,
    SignedDocument,
    SignStash,
    models,
)
from signstash.results import outcome_of
from tests.conftest import PDF, MockedService, pdf

COPIES = pytest.mark.parametrize("copied", [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy])


def signed_document(**changes: Any) -> SignedDocument:
    given: dict[str, Any] = {"content": b"signed", "name": "a.pdf", "external_reference": "r", "operation_id": 7}
    given["details"] = models.DocumentResponse(sign_status=models.SigningStatus.SIGNED)
    return SignedDocument(**given | changes)


class TestValues:
    """Documents and results are immutable, print no contents, and can be pickled."""

    FAILURE = DocumentNotSignedError("p.", "c.", document="a", external_reference="r")
    VALUES = (
        Document.pdf(b"%PDF-never shown", name="a.pdf", reason="r"),
        signed_document(content=b"never shown"),
        outcome_of(Document.pdf(b"%PDF-never shown", name="a.pdf"), signed_document(content=b"never shown")),
        outcome_of(pdf(name="a"), FAILURE),
        SignedBatch(
            operation=models.SignOperation(id=7),
            outcomes=(outcome_of(Document.pdf(b"%PDF-never shown", name="a.pdf"), signed_document()),),
        ),
    )

    @pytest.mark.parametrize("value", VALUES)
    def test_results_do_not_change(self, value: Any) -> None:
        for field in attrs.fields(type(value)):
            with pytest.raises(AttributeError):
                setattr(value, field.name, None)
            with pytest.raises(AttributeError):
                delattr(value, field.name)
        with pytest.raises(AttributeError):
            value.extra = 1

    @pytest.mark.parametrize("value", VALUES)
    def test_results_print_no_contents(self, value: object) -> None:
        assert "never shown" not in repr(value)
        assert "a" in repr(value)

    @COPIES
    @pytest.mark.parametrize("value", VALUES)
    def test_results_can_be_pickled_and_copied(self, copied: Any, value: object) -> None:
        again = copied(value)

        assert type(again) is type(value)
        assert repr(again) == repr(value)

    @COPIES
    async def test_a_pickled_document_is_sent_unchanged(
        self, client: SignStash, service: MockedService, copied: Any
    ) -> None:
        document = Document.pdf(PDF, name="a.pdf", reason="approval")

        await client.sign(document)
        await client.sign(copied(document))

        assert service.sent(0)["documents"] == service.sent(1)["documents"]

    def test_an_outcome_is_signed_or_an_error(self) -> None:
        signed, failed = self.VALUES[2], self.VALUES[3]
        assert isinstance(signed, Outcome)
        assert isinstance(failed, Outcome)

        assert (signed.ok, signed.signed, signed.error) == (True, signed.unwrap(), None)
        assert (failed.ok, failed.signed, failed.error) == (False, None, self.FAILURE)


class TestSave:
    @pytest.mark.parametrize("kind", [str, Path])
    async def test_the_signed_bytes_are_written(self, tmp_path: Path, kind: Callable[[str], Any]) -> None:
        await signed_document().save(kind(str(tmp_path / "a.signed.pdf")))

        assert contents_of(tmp_path) == {"a.signed.pdf": b"signed"}

    async def test_an_existing_file_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "a.pdf").write_bytes(b"old")

        with pytest.raises(DocumentNotSavedError, match=r"a\.pdf exists already.*overwrite=True"):
            await signed_document().save(tmp_path / "a.pdf")
        assert contents_of(tmp_path) == {"a.pdf": b"old"}

    async def test_an_existing_file_is_replaced_with_overwrite(self, tmp_path: Path) -> None:
        (tmp_path / "a.pdf").write_bytes(b"old and longer")

        await signed_document().save(tmp_path / "a.pdf", overwrite=True)

        assert contents_of(tmp_path) == {"a.pdf": b"signed"}

    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize("place", ["folder", "folder/a.pdf/b.pdf", "x" * 300])
    async def test_an_unwritable_path_raises(self, tmp_path: Path, place: str, overwrite: bool) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "a.pdf").write_bytes(b"old")
        before = contents_of(tmp_path)

        with pytest.raises(DocumentNotSavedError) as failed:
            await signed_document().save(tmp_path / place, overwrite=overwrite)
        assert repr(str(tmp_path / place))[1:-1] in repr(str(failed.value))
        assert isinstance(failed.value.__cause__, OSError | ValueError)
        assert contents_of(tmp_path) == before

    async def test_missing_folders_are_created(self, tmp_path: Path) -> None:
        await signed_document().save(tmp_path / "2026" / "11" / "a.pdf")

        assert (tmp_path / "2026" / "11" / "a.pdf").read_bytes() == b"signed"

    async def test_a_folder_as_path_raises(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentNotSavedError, match="It is a folder"):
            await signed_document().save(tmp_path)

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({"path": 7}, "path is 7"),
            ({"path": ""}, "path is ''"),
            ({"path": "a\0b"}, "path is 'a.*b'"),
            ({"path": "a.pdf", "overwrite": "no"}, "overwrite is 'no'"),
        ],
    )
    async def test_arguments_of_other_types_raise(self, arguments: Any, problem: str) -> None:
        with pytest.raises(ConfigurationError, match=problem):
            await signed_document().save(**arguments)

    @pytest.mark.parametrize("overwrite", [False, True])
    async def test_an_unfinished_file_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
    ) -> None:
        (tmp_path / "a.pdf").write_bytes(b"old")

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)

        with pytest.raises(DocumentNotSavedError, match="No space left on device"):
            await signed_document().save(tmp_path / ("a.pdf" if overwrite else "b.pdf"), overwrite=overwrite)
        assert contents_of(tmp_path) == {"a.pdf": b"old"}

    @pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
    async def test_a_file_created_meanwhile_is_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
    ) -> None:
        if not links:
            monkeypatch.setattr(os, "link", no_links)
        monkeypatch.setattr(os, "fsync", lambda _: (tmp_path / "a.pdf").write_bytes(b"somebody else's"))

        with pytest.raises(DocumentNotSavedError, match="exists already"):
            await signed_document().save(tmp_path / "a.pdf")
        assert contents_of(tmp_path) == {"a.pdf": b"somebody else's"}

    async def test_a_file_is_saved_without_hard_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "link", no_links)

        await signed_document().save(tmp_path / "a.pdf")

        assert contents_of(tmp_path) == {"a.pdf": b"signed"}

    async def test_an_unfinished_file_leaves_nothing_without_hard_links(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "link", no_links)
        monkeypatch.setattr(os, "replace", no_links)

        with pytest.raises(DocumentNotSavedError, match="cannot be written"):
            await signed_document().save(tmp_path / "a.pdf")
        assert contents_of(tmp_path) == {}

    async def test_a_broken_link_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "a.pdf").symlink_to("nowhere")

        with pytest.raises(DocumentNotSavedError, match="exists already"):
            await signed_document().save(tmp_path / "a.pdf")
        assert (tmp_path / "a.pdf").is_symlink()

    @pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("elsewhere.pdf")])
    async def test_only_regular_files_are_replaced(
        self, client: SignStash, service: MockedService, tmp_path: Path, make: Callable[[Path], object]
    ) -> None:
        make(tmp_path / "a.pdf")
        (tmp_path / "elsewhere.pdf").write_bytes(b"old")
        before = os.lstat(tmp_path / "a.pdf")

        with pytest.raises(DocumentNotSavedError, match="not a regular file"):
            await signed_document().save(tmp_path / "a.pdf", overwrite=True)
        with pytest.raises(DocumentNotSavedError, match=r"a\.pdf was not sent: It is not a regular file"):
            await client.sign(pdf(name="a.pdf"), save_to=tmp_path, overwrite=True)

        assert os.lstat(tmp_path / "a.pdf").st_ino == before.st_ino
        assert (tmp_path / "elsewhere.pdf").read_bytes() == b"old"
        assert len(service.router.calls) == 0

    async def test_the_longest_file_name_is_accepted(self, tmp_path: Path) -> None:
        name = "x" * 251 + ".pdf"
        (tmp_path / name).touch()  # the file system does take it

        await signed_document().save(tmp_path / name, overwrite=True)

        assert contents_of(tmp_path) == {name: b"signed"}

    async def test_two_saves_at_once_give_one_complete_file(self, tmp_path: Path) -> None:
        documents = [signed_document(content=bytes([number]) * 100_000) for number in range(8)]

        saved = await asyncio.gather(*(item.save(tmp_path / "a.pdf") for item in documents), return_exceptions=True)

        (winner,) = (item for item, error in zip(documents, saved, strict=True) if error is None)
        assert contents_of(tmp_path) == {"a.pdf": winner.content}
        assert [type(error) for error in saved if error is not None] == [DocumentNotSavedError] * 7


def no_links(*_: object, **__: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_unwrap_returns_the_signed_document_or_raises_the_error() -> None:
    error = DocumentNotSignedError("p.", "c.", document="a", external_reference="r")
    signed = signed_document()

    assert outcome_of(pdf(name="a"), signed).unwrap() is signed
    with pytest.raises(DocumentNotSignedError) as raised:
        outcome_of(pdf(name="a"), error).unwrap()
    assert raised.value is error

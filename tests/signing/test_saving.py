"""Saving signed documents: what is recorded before files get their names, and what failures leave behind."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from signstash import Document, DocumentNotSavedError, DocumentNotSignedError, Outcome, SignedDocument, models
from signstash._content.files import TemporaryFile
from signstash._signing.saving import SignedFiles
from signstash.results import outcome_of
from tests.test_results import contents_of

FULL = OSError(errno.ENOSPC, "No space left on device")


def outcomes(count: int = 3) -> list[Outcome]:
    details = models.DocumentResponse()
    return [
        outcome_of(
            Document.binary(b"x", name=f"{number}.bin"),
            SignedDocument(
                content=b"signed %d" % number,
                name=f"{number}.bin",
                external_reference=f"r/{number}",
                operation_id=7,
                details=details,
            ),
        )
        for number in range(count)
    ]


def claimed(files: SignedFiles, given: Sequence[Outcome]) -> list[Path]:
    return [files.claim(outcome.document) for outcome in given]


def failing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets nothing be written to a folder, as on a full disk."""
    append = TemporaryFile.append

    def full(file: TemporaryFile, blocks: Iterable[bytes]) -> None:
        if file.folder == folder:
            raise FULL
        append(file, blocks)

    monkeypatch.setattr(TemporaryFile, "append", full)


class TestRecord:
    def test_the_record_is_made_after_syncing_and_before_linking(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files, given = SignedFiles(save_to=tmp_path, overwrite=False), outcomes()
        synced: list[int] = []
        recorded: list[Sequence[str | None]] = []
        fsync = os.fsync

        def counted(file: int) -> None:
            synced.append(file)
            fsync(file)

        monkeypatch.setattr(os, "fsync", counted)

        def record(digests: Sequence[str | None]) -> None:
            assert contents_of(tmp_path) == {}
            assert len(synced) == 3
            recorded.append(digests)

        saved = files.save(given, claimed(files, given), record)

        assert recorded == [[hashlib.sha256(b"signed %d" % number).hexdigest() for number in range(3)]]
        assert contents_of(tmp_path) == {f"{number}.bin": b"signed %d" % number for number in range(3)}
        assert [outcome.signed and outcome.signed.saved_as for outcome in saved] == [
            tmp_path / f"{number}.bin" for number in range(3)
        ]
        assert len(synced) == 4  # and the folder, once

    def test_failed_documents_have_no_digest(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files, given = SignedFiles(save_to=lambda d: tmp_path / d.name[0] / d.name, overwrite=False), outcomes()
        given[0] = outcome_of(given[0].document, DocumentNotSavedError("p.", "h."))
        targets = claimed(files, given)
        failing(targets[1].parent, monkeypatch)
        recorded: list[Sequence[str | None]] = []

        saved = files.save(given, targets, recorded.append)

        assert [digest is None for digest in recorded[0]] == [True, True, False]
        assert [type(outcome.error).__name__ for outcome in saved] == [*["DocumentNotSavedError"] * 2, "NoneType"]

    def test_a_failing_record_links_no_file(self, tmp_path: Path) -> None:
        files, given = SignedFiles(save_to=tmp_path, overwrite=False), outcomes()

        def record(_: object) -> None:
            raise FULL

        with pytest.raises(OSError, match="No space"):
            files.save(given, claimed(files, given), record)
        assert contents_of(tmp_path) == {}
        assert [outcome.signed and outcome.signed.content for outcome in given] == [
            b"signed 0",
            b"signed 1",
            b"signed 2",
        ]


class TestRecovery:
    def test_one_folder_receives_unsaved_documents(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder, recovery = tmp_path / "signed", tmp_path / "a.journal.recovered"
        files, given = SignedFiles(save_to=folder, overwrite=False, recovery=recovery), outcomes()
        targets = claimed(files, given)
        failing(folder, monkeypatch)

        saved = files.save(given, targets)

        assert contents_of(tmp_path) == {
            f"a.journal.recovered/r_{number}.{number}.bin": b"signed %d" % number for number in range(3)
        }
        for outcome in saved:
            assert isinstance(outcome.error, DocumentNotSavedError)
            assert isinstance(outcome.error.signed, SignedDocument)
            assert outcome.error.signed.saved_as is not None
            assert str(outcome.error.signed.saved_as) in outcome.error.hint
            assert outcome.error.signed.content.startswith(b"signed")

    def test_the_temporary_folder_is_the_last_resort(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        files = SignedFiles(save_to=tmp_path / "signed", overwrite=False, recovery=tmp_path / "file" / "recovered")
        given = outcomes(1)
        targets = claimed(files, given)
        failing(tmp_path / "signed", monkeypatch)

        files.save(given, targets)

        (folder,) = (tmp_path / "temporary").iterdir()
        assert contents_of(folder) == {"r_0.0.bin": b"signed 0"}


class TestClaims:
    @pytest.mark.parametrize(("path", "of_many"), [("x" * 300, True), ("x" * 300, False), ("a\0b", True)])
    def test_impossible_paths_are_errors_of_the_document(self, tmp_path: Path, path: str, of_many: bool) -> None:
        save_to: Any = (lambda _: tmp_path / path / "a.bin") if of_many else tmp_path / path

        with pytest.raises(DocumentNotSavedError, match=r"cannot be written, so 0\.bin was not sent"):
            SignedFiles(save_to=save_to, overwrite=True).claim(outcomes(1)[0].document)

    def test_a_folder_is_created_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        checked: list[object] = []
        access = os.access

        def counted(path: Path, mode: int) -> bool:
            checked.append(path)
            return access(path, mode)

        monkeypatch.setattr(os, "access", counted)
        files, given = SignedFiles(save_to=tmp_path / "signed", overwrite=False), outcomes(10)

        claimed(files, given)

        assert checked == [tmp_path / "signed"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_document_that_was_not_signed_can_be_given_again(tmp_path: Path, overwrite: bool) -> None:
    files, document = SignedFiles(save_to=tmp_path, overwrite=overwrite), Document.binary(b"0", name="0.bin")
    failed = outcome_of(document, DocumentNotSignedError("p.", "h.", document="0.bin", external_reference="r"))

    files.save([failed], [files.claim(document)])

    assert files.claim(document) == tmp_path / "0.bin"


WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from signstash._content.files import TemporaryFile
file = TemporaryFile(Path(sys.argv[1]))
file.append([b"half"])
file.sync()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files without a name")
def test_a_killed_process_leaves_nothing_behind(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(tmp_path)], check=False)

    assert ended.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("count", [1, 200])
def test_files_are_linked_without_support_for_unnamed_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, overwrite: bool
) -> None:
    if count == 1:
        monkeypatch.setattr("signstash._content.files._O_TMPFILE", 0)  # 200 are more than may be open at once
    files, given = SignedFiles(save_to=tmp_path, overwrite=overwrite), outcomes(count)
    if overwrite:
        (tmp_path / "0.bin").write_bytes(b"old")

    files.save(given, claimed(files, given))

    assert contents_of(tmp_path) == {f"{number}.bin": b"signed %d" % number for number in range(count)}


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_unnamed_file_that_cannot_be_linked_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    link: Callable[..., None] = os.link

    def no_descriptors(source: Any, *rest: Any, **options: Any) -> None:
        if str(source).startswith("/proc"):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(source, *rest, **options)

    monkeypatch.setattr(os, "link", no_descriptors)
    files, given = SignedFiles(save_to=tmp_path, overwrite=overwrite), outcomes()

    files.save(given, claimed(files, given))

    assert contents_of(tmp_path) == {f"{number}.bin": b"signed %d" % number for number in range(3)}

"""`signstash verify`: who signed files and when, and whether they were changed."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from signstash.sandbox import Sandbox, SandboxApplication
from tests.command_line.conftest import Run


@pytest.fixture
def signed(folder: Path, run: Run) -> Path:
    """A folder with the two signed invoices."""
    assert run("sign", "invoices", "-o", "signed").status == 0
    return Path("signed")


def test_valid_signatures_pass(signed: Path, run: Run) -> None:
    ended = run("verify", "signed", "--originals", "invoices")

    assert ended.status == 0
    first, second = ended.out.splitlines()
    assert first.startswith(
        "valid         signed/FT_1.pdf: PAdES, by Sandbox Test Signer - NOT QUALIFIED "
        "(issued by Sandbox Test Root - NOT QUALIFIED), claimed time 20"
    )
    assert re.search(r" UTC([+-]\d\d:\d\d)?, trust not judged$", first)
    assert second.startswith("valid         signed/FT_2.pdf: ")


def test_roots_decide_trust(signed: Path, run: Run, sandbox: Sandbox) -> None:
    Path("root.pem").write_bytes(sandbox.root_certificate)

    (found,) = run("verify", "signed/FT_1.pdf", "--root", "root.pem", "--json").objects

    assert (found["status"], found["trusted"], found["problems"]) == ("valid", True, [])
    assert found["signed_at"].startswith("20")


def test_an_untrusted_root_is_reported(signed: Path, run: Run) -> None:
    Path("root.pem").write_bytes(SandboxApplication().root_certificate)

    ended = run("verify", "signed/FT_1.pdf", "--root", "root.pem")

    assert re.search(r" UTC([+-]\d\d:\d\d)?, not trusted\n$", ended.out)


def test_a_timestamp_is_reported(folder: Path, run: Run) -> None:
    run("sign", "invoices/FT_1.pdf", "-o", "signed", "--timestamp")

    (found,) = run("verify", "signed", "--json").objects
    assert dt.datetime.fromisoformat(found["timestamped_at"]) >= dt.datetime.fromisoformat(found["signed_at"])
    assert ", timestamp 20" in run("verify", "signed").out


def test_folders_keep_their_order(folder: Path, run: Run) -> None:
    for place in ("invoices/2026", "invoices/2025"):
        Path(place).mkdir()
        shutil.copy("invoices/FT_1.pdf", place)
    with Path("invoices/2026/FT_1.pdf").open("ab") as file:
        file.write(b"%another one")
    run("sign", "invoices", "-o", "signed")
    Path("signed/.hidden").write_text("no signature")

    ended = run("verify", "signed", "--originals", "invoices", "--json")

    assert ended.status == 0, ended
    assert [item["file"] for item in ended.objects] == [
        "signed/FT_1.pdf", "signed/FT_2.pdf", "signed/2025/FT_1.pdf", "signed/2026/FT_1.pdf",
    ]  # fmt: skip


def test_the_texts_of_watch_are_not_verified(signed: Path, run: Run) -> None:
    Path("signed/bad.xml.failed.txt").write_text("Not signed: bad.xml")

    ended = run("verify", "signed", "--json")

    assert (ended.status, len(ended.objects)) == (0, 2)


def test_an_unreadable_folder_is_reported(signed: Path, run: Run, unreadable: Callable[[Path], None]) -> None:
    Path("signed/locked").mkdir()
    unreadable(Path("signed/locked"))

    ended = run("verify", "signed")

    assert ended.status == 2
    assert "signed/locked cannot be read (Permission denied)." in ended.err


def test_invalid_signatures_fail(signed: Path, run: Run) -> None:
    shutil.copy("invoices/FT_1.pdf", "signed/FT_1.pdf")
    with Path("signed/FT_2.pdf").open("ab") as file:
        file.write(b"more")

    ended = run("verify", "signed/FT_1.pdf", "signed/FT_2.pdf")

    assert ended.status == 1
    assert ended.out.splitlines()[0] == ("invalid       signed/FT_1.pdf: it holds no signature")
    assert (
        "indeterminate signed/FT_2.pdf: 5 bytes follow the end of the last revision and are not signed; PAdES, by"
        in ended.out
    )


def test_undecided_signatures_have_their_own_exit_status(signed: Path, run: Run) -> None:
    Path("zeros").write_bytes(bytes(1000))

    assert run("verify", "zeros").out == (
        "indeterminate zeros: it is neither a PDF, nor XML, nor a CMS message; unknown type, trust not judged\n"
    )
    ended = run("verify", "signed", "zeros", "--json")
    assert (ended.status, ended.err) == (4, "")
    assert [item["status"] for item in ended.objects] == ["valid", "valid", "indeterminate"]
    assert run("verify", "zeros", "invoices").status == 1


def test_a_different_original_fails(signed: Path, run: Run) -> None:
    Path("invoices/FT_2.pdf").write_bytes(b"%PDF-1.7 something else")

    ended = run("verify", "signed", "--originals", "invoices")

    assert ended.status == 1
    assert "invalid       signed/FT_2.pdf: it does not begin with what was sent" in ended.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["none.pdf"], "none.pdf cannot be read"),
        (["empty"], "empty holds no files"),
        (["signed", "--originals", "empty"], "empty/FT_1.pdf cannot be read"),
        (["signed", "--root", "none.pem"], "The root none.pem cannot be used"),
    ],
)
def test_unreadable_files_are_reported(signed: Path, run: Run, arguments: list[str], problem: str) -> None:
    Path("empty").mkdir()

    ended = run("verify", *arguments)

    assert ended.status == 2
    assert problem in ended.err


def test_unreadable_files_do_not_keep_others_from_being_verified(
    signed: Path, run: Run, unreadable: Callable[[Path], None]
) -> None:
    Path("signed/locked").mkdir()
    unreadable(Path("signed/locked"))
    Path("invoices/FT_1.pdf").unlink()
    Path("empty").mkdir()

    names = ["nope.pdf", "x" * 300, "signed", "empty", "signed/FT_2.pdf"]
    ended = run("verify", *names, "--originals", "invoices")
    as_json = run("verify", *names, "--originals", "invoices", "--json")

    assert (ended.status, as_json.status) == (2, 2)
    assert [line.split(":")[0] for line in ended.out.splitlines()] == ["valid         signed/FT_2.pdf"] * 2
    for problem in (
        "nope.pdf cannot be read", "signed/locked cannot be read (Permission denied).", "empty holds no files.",
        "invoices/FT_1.pdf cannot be read",
    ):  # fmt: skip
        assert f"signstash: {problem}" in ended.err
    assert [(item["status"], item["file"]) for item in as_json.objects] == [
        ("unreadable", "nope.pdf"), ("unreadable", "x" * 300), ("unreadable", "signed/FT_1.pdf"),
        ("valid", "signed/FT_2.pdf"), ("valid", "signed/FT_2.pdf"),
    ]  # fmt: skip


def test_an_invalid_file_decides_the_exit_status(signed: Path, run: Run) -> None:
    assert run("verify", "nope.pdf", "invoices/FT_1.pdf", "signed").status == 1


def test_files_signed_next_to_their_originals_are_verified(folder: Path, run: Run) -> None:
    Path("invoices/2026").mkdir()
    shutil.copy("invoices/FT_1.pdf", "invoices/2026/FT_3.PDF")
    run("sign", "invoices")

    ended = run("verify", "invoices", "--originals", "invoices", "--json")

    assert (ended.status, ended.err) == (0, "")
    assert [item["file"] for item in ended.objects] == [
        "invoices/FT_1.signed.pdf", "invoices/FT_2.signed.pdf", "invoices/2026/FT_3.signed.PDF",
    ]  # fmt: skip
    assert run("verify", "invoices/FT_1.signed.pdf", "--originals", "invoices").status == 0
    assert run("verify", "invoices/FT_1.pdf").status == 1  # as it was named

    Path("invoices/FT_1.pdf").write_bytes(b"%PDF-1.7 something else")
    Path("invoices/FT_2.pdf").unlink()
    ended = run("verify", "invoices", "--originals", "invoices")
    assert ended.status == 1
    assert "invalid       invoices/FT_1.signed.pdf: it does not begin with what was sent" in ended.out
    assert "invoices/FT_2.pdf cannot be read" in ended.err


def test_an_original_may_have_the_name_of_a_signed_file(folder: Path, run: Run) -> None:
    Path("invoices/FT_1.pdf").rename("invoices/FT_1.signed.pdf")
    run("sign", "invoices", "-o", "signed")

    assert run("verify", "signed", "--originals", "invoices").status == 0

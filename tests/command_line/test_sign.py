"""`signstash sign`: which files are signed, where they are written, and what is reported."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from signstash import ConfigurationError, Journal
from signstash._content.files import TemporaryFile
from signstash._content.writing import FileWrite
from signstash._journal import lock, records
from signstash.sandbox import Fault, Sandbox
from signstash.testing import MockSignStash
from tests.command_line.conftest import Run
from tests.conftest import INVOICE

LOGGER = logging.getLogger("signstash")
FAULTS_OF_ALL = [("inactive_service", "activate"), ("invalid_client", "backoffice")]


@contextlib.contextmanager
def failing(sandbox: Sandbox, *faults: Fault) -> Iterator[None]:
    sandbox.faults.add(*faults)
    try:
        yield
    finally:
        sandbox.faults.clear()


def names_in(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def is_signed(path: Path | str) -> bool:
    content = Path(path).read_bytes()
    return content.startswith(INVOICE.read_bytes()) and b"/ByteRange" in content


class TestFiles:
    def test_a_signed_file_is_written_next_to_its_original(self, folder: Path, run: Run) -> None:
        ended = run("sign", "invoices/FT_1.pdf")

        assert ended.status == 0
        assert ended.out.startswith("signed       invoices/FT_1.pdf -> invoices/FT_1.signed.pdf\n")
        assert is_signed("invoices/FT_1.signed.pdf")
        assert Path("invoices/FT_1.pdf").read_bytes() == INVOICE.read_bytes()

    def test_a_folder_keeps_its_order_in_the_output(self, folder: Path, run: Run) -> None:
        Path("invoices/2026/11").mkdir(parents=True)
        shutil.copy(INVOICE, "invoices/2026/11/FT_9.PDF")
        Path("invoices/note.txt").write_text("neither PDF nor XML")
        Path("invoices/.hidden.pdf").write_text("hidden")
        Path("invoices/order.xml").write_text("<order/>")

        left_out = (
            "1 file is neither PDF nor XML and was left out: invoices/note.txt (--binary signs such files too).\n"
        )
        assert left_out in run("sign", "invoices", "-o", "signed", "--dry-run").err
        ended = run("sign", "invoices", "-o", "signed")

        assert (ended.status, ended.err) == (0, left_out)
        signed = sorted(str(path.relative_to("signed")) for path in Path("signed").rglob("*.*"))
        assert signed == ["2026/11/FT_9.PDF", "FT_1.pdf", "FT_2.pdf", "order.xml"]

    def test_files_that_are_left_out_are_reported_once(self, folder: Path, run: Run) -> None:
        Path("invoices/2026").mkdir()
        for name in ("2026/d.docx", "c.txt", "a.jpg", "b.html"):
            Path("invoices", name).touch()
        Path("invoices/secret").write_text("any")  # the command's own, as the journal
        arguments = ["sign", "invoices", "invoices/../invoices", "--journal", "invoices/j", "--json"]

        for again in ([], ["--dry-run"], ["--secret-file", "invoices/secret", "--dry-run"]):
            ended = run(*arguments, *again)

        assert ended.err.startswith(
            "4 files are neither PDF nor XML and were left out: invoices/a.jpg, invoices/b.html, invoices/c.txt, ..."
        )
        assert "left out" not in run(*arguments, "--binary", "--dry-run").err
        assert "left out" not in run("sign", "invoices/FT_1.pdf", "--dry-run").err
        nothing = run("sign", "invoices/2026")
        assert (nothing.status, "1 file is neither PDF nor XML" in nothing.err) == (2, True)

    def test_a_pattern_is_expanded_if_the_shell_does_not(self, folder: Path, run: Run) -> None:
        assert run("sign", "invoices/*.pdf", "-o", "signed").status == 0
        assert is_signed("signed/FT_2.pdf")

    def test_a_recursive_pattern_skips_hidden_files(self, folder: Path, run: Run) -> None:
        Path("invoices/2026/11").mkdir(parents=True)
        shutil.copy(INVOICE, "invoices/2026/11/FT_9.pdf")
        shutil.copy(INVOICE, "invoices/2026/.hidden.pdf")
        Path("invoices/.old").mkdir()
        shutil.copy(INVOICE, "invoices/.old/FT_0.pdf")

        assert run("sign", "invoices/**/*.pdf", "-o", "signed").status == 0
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf", "FT_9.pdf"]
        assert run("sign", "invoices", "-o", "again").status == 0
        assert names_in("again") == ["2026", "FT_1.pdf", "FT_2.pdf"]

    def test_a_file_named_like_a_pattern_is_signed(self, folder: Path, run: Run) -> None:
        shutil.copy(INVOICE, "FT[1].pdf")
        shutil.copy(INVOICE, "FT1.pdf")

        assert run("sign", "FT[1].pdf", "-o", "signed").status == 0
        assert names_in("signed") == ["FT[1].pdf"]

    def test_a_tilde_is_the_home_folder(self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(folder / "invoices"))

        assert run("sign", "~/FT_1.pdf", "~/*_2.pdf", "-o", "signed").status == 0
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]

    def test_signed_files_are_not_taken_for_originals(self, folder: Path, run: Run) -> None:
        run("sign", "invoices/FT_1.pdf")
        Path("invoices/FT_1.pdf").unlink()

        assert run("sign", "invoices").status == 0
        assert names_in("invoices") == ["FT_1.signed.pdf", "FT_2.pdf", "FT_2.signed.pdf"]

    def test_a_folder_that_cannot_be_read_is_reported_and_the_rest_signed(
        self, folder: Path, run: Run, unreadable: Callable[[Path], None]
    ) -> None:
        Path("invoices/locked").mkdir()
        unreadable(Path("invoices/locked"))

        ended = run("sign", "invoices", "-o", "signed")

        assert ended.status == 1
        assert "failed       invoices/locked: cannot be read: Permission denied." in ended.out
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]

    def test_a_wholly_unreadable_folder_stops_the_command(
        self, folder: Path, run: Run, unreadable: Callable[[Path], None]
    ) -> None:
        unreadable(Path("invoices"))

        ended = run("sign", "invoices", "-o", "signed")

        assert ended.status == 2
        assert "Nothing was signed: invoices cannot be read: Permission denied." in ended.err

    def test_many_problems_are_reported_in_part(self, folder: Path, run: Run) -> None:
        Path("loop.pdf").symlink_to("loop.pdf")

        ended = run("sign", "loop.pdf", *(f"{number}.pdf" for number in range(12)))

        assert ended.status == 2
        assert "loop.pdf cannot be read: Too many levels of symbolic links" in ended.err
        assert "8.pdf does not exist or contains nothing to sign; and 3 more." in ended.err
        assert "9.pdf" not in ended.err

    def test_files_may_precede_and_follow_options(self, folder: Path, run: Run) -> None:
        assert run("sign", "invoices/FT_1.pdf", "-o", "signed", "invoices/FT_2.pdf").status == 0
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]

    def test_files_signed_next_to_originals_are_not_signed_again(self, folder: Path, run: Run) -> None:
        run("sign", "invoices")

        ended = run("sign", "invoices", "--force")

        assert ended.status == 0
        assert run("sign", *sorted(map(str, Path("invoices").iterdir())), "--force").status == 0
        assert names_in("invoices") == ["FT_1.pdf", "FT_1.signed.pdf", "FT_2.pdf", "FT_2.signed.pdf"]

    def test_names_after_two_hyphens_may_begin_with_one(self, folder: Path, run: Run) -> None:
        for name in ("-o.pdf", "--force.pdf"):
            shutil.copy(INVOICE, name)

        assert run("sign", "-o", "signed", "invoices/FT_1.pdf", "--", "-o.pdf", "--force.pdf").status == 0
        assert names_in("signed") == ["--force.pdf", "-o.pdf", "FT_1.pdf"]
        assert run("verify", "--", "-o.pdf").out.startswith("invalid       -o.pdf: ")

    def test_a_file_named_twice_is_signed_once(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        ended = run("sign", "invoices/FT_1.pdf", "invoices/../invoices/FT_1.pdf", "invoices/FT_1.pdf", "-o", "signed")

        assert (ended.status, ended.out.count("signed  ")) == (0, 2)

    def test_any_file_is_signed_on_request(self, folder: Path, run: Run) -> None:
        Path("data.bin").write_bytes(b"data")

        refused = run("sign", "data.bin")
        assert (refused.status, refused.out) == (2, "")
        assert "data.bin is neither PDF nor XML (use --binary to sign it anyway)" in refused.err

        assert run("sign", "data.bin", "--binary").status == 0
        assert Path("data.signed.bin").exists()

    def test_the_output_folder_may_be_below_the_folder_that_is_signed(self, folder: Path, run: Run) -> None:
        run("sign", "invoices", "-o", "invoices/signed")

        assert run("sign", "invoices", "-o", "invoices/signed", "--force").status == 0
        assert names_in("invoices/signed") == ["FT_1.pdf", "FT_2.pdf"]

    @pytest.mark.parametrize("name", ["missing.pdf", "empty", "*.nothing"])
    def test_a_missing_file_stops_the_command(self, folder: Path, run: Run, name: str) -> None:
        Path("empty").mkdir()

        ended = run("sign", "invoices", name, "-o", "signed")

        assert ended.status == 2
        assert f"{name} does not exist or contains nothing to sign" in ended.err
        assert not Path("signed").exists()


class TestOverwriting:
    def test_originals_are_never_overwritten(self, folder: Path, run: Run) -> None:
        os.link("invoices/FT_2.pdf", "invoices/FT_1.signed.pdf")
        Path("other").symlink_to("invoices")

        for arguments in (["invoices", "-o", "invoices"], ["invoices", "-o", "other"]):
            ended = run("sign", *arguments, "--force")
            assert (ended.status, ended.out) == (2, "")
            assert "which is an original" in ended.err
        run("sign", "invoices/FT_1.pdf", "invoices/FT_2.pdf", "--force")
        Path("linked").mkdir()
        os.link("invoices/FT_2.pdf", "linked/FT_1.pdf")
        linked = run("sign", "invoices/FT_1.pdf", "invoices/FT_2.pdf", "-o", "linked", "--force")
        assert "linked/FT_1.pdf, which is a link to the original invoices/FT_2.pdf" in linked.err

        assert Path("invoices/FT_1.pdf").read_bytes() == Path("invoices/FT_2.pdf").read_bytes() == INVOICE.read_bytes()

    def test_two_files_never_become_one(self, folder: Path, run: Run) -> None:
        Path("more").mkdir()
        shutil.copy(INVOICE, "more/FT_1.pdf")

        ended = run("sign", "invoices", "more", "-o", "signed")

        assert ended.status == 2
        assert "invoices/FT_1.pdf and more/FT_1.pdf would both be saved as signed/FT_1.pdf" in ended.err

    def test_a_file_that_appears_meanwhile_is_not_replaced(
        self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        rename = TemporaryFile.rename

        def overtaken(self: TemporaryFile, target: Path, *, overwrite: bool) -> None:
            if target.parent.name == "signed":
                target.write_text("of another run")
            rename(self, target, overwrite=overwrite)

        monkeypatch.setattr(TemporaryFile, "rename", overtaken)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        ended = run("sign", "invoices/FT_1.pdf", "-o", "signed")

        assert ended.status == 3
        assert Path("signed/FT_1.pdf").read_text() == "of another run"
        assert "overwrite=True" not in ended.out + ended.err
        assert "--force" in ended.err

    def test_existing_files_are_replaced_only_by_force(self, folder: Path, run: Run) -> None:
        Path("signed").mkdir()
        Path("signed/FT_1.pdf").write_text("mine")

        ended = run("sign", "invoices", "-o", "signed")

        assert ended.status == 1
        assert "failed       invoices/FT_1.pdf:" in ended.out
        assert "--force" in ended.out
        assert Path("signed/FT_1.pdf").read_text() == "mine"
        assert is_signed("signed/FT_2.pdf")

        assert run("sign", "invoices", "-o", "signed", "--force").status == 0
        assert is_signed("signed/FT_1.pdf")


class TestWhatIsTold:
    def test_results_are_json_lines(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        with failing(sandbox, Fault("no_credits", name="FT_2.pdf", times=1)):
            ended = run("sign", "invoices", "-o", "signed", "--json")

        first, second, summary = ended.objects
        assert (ended.status, ended.err) == (1, "")
        assert (first["status"], first["file"], first["saved_as"]) == ("signed", "invoices/FT_1.pdf", "signed/FT_1.pdf")
        assert isinstance(first["operation_id"], int)
        assert (second["status"], second["error"]) == ("failed", "DocumentCertificateError")
        assert {status: count for status, count in summary["summary"].items() if count} == {"signed": 1, "failed": 1}
        assert summary["summary"].keys() == {
            "signed", "signed_before", "not_saved", "in_doubt", "failed", "not_sent"
        }  # fmt: skip

    def test_names_are_reported_unchanged(self, folder: Path, run: Run) -> None:
        shutil.copy(INVOICE, "fatura não.pdf")

        assert "fatura não.signed.pdf" in run("sign", "fatura não.pdf", "--json").out

    def test_control_characters_in_names_are_escaped(self, folder: Path, run: Run) -> None:
        shutil.copy(INVOICE, "invoices/a\x1b[31m\n.pdf")
        shutil.copy(INVOICE, os.fsdecode(b"invoices/\xff.pdf"))

        ended = run("sign", "invoices", "-o", "signed")

        assert "invoices/a\\x1b[31m\\n.pdf" in ended.out
        assert "invoices/\\udcff.pdf" in ended.out
        assert "\x1b" not in ended.out
        assert ended.status == 1

    def test_the_summary_counts_documents(self, folder: Path, run: Run) -> None:
        ended = run("sign", "invoices", "-o", "signed", "--journal", "j")
        again = run("sign", "invoices", "-o", "signed", "--journal", "j")

        assert "\nsigned         2\n7.9 kB signed in " in ended.out
        assert "\nsigned         0\nsigned before  2\n" in again.out
        assert (ended.status, again.status) == (0, 0)

    def test_a_dry_run_sends_nothing(
        self, folder: Path, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run("sign", "invoices/FT_1.pdf", "-o", "signed", "--journal", "j")
        monkeypatch.delenv("SIGNSTASH_BASE_URL")  # nor are settings needed

        ended = run("sign", "invoices", "-o", "signed", "--dry-run", "--journal", "j")
        refused = run("sign", "invoices", "-o", "signed", "--dry-run", "--json")

        assert ended.out == (
            "passed over  invoices/FT_1.pdf (3.9 kB) -> signed/FT_1.pdf: the journal knows it\n"
            "planned      invoices/FT_2.pdf (3.9 kB) -> signed/FT_2.pdf\n"
        )
        assert (ended.status, ended.err) == (0, "2 documents, 7.9 kB. Nothing was sent.\n")
        assert [item["status"] for item in refused.objects] == ["failed", "planned"]
        assert run("sign", "invoices", "-o", "signed", "--dry-run", "--force").status == 0
        assert refused.status == 1
        assert names_in("signed") == ["FT_1.pdf"]

    def test_a_dry_run_says_what_a_run_with_the_journal_does(self, folder: Path, run: Run) -> None:
        for number in range(3, 7):
            shutil.copy("invoices/FT_1.pdf", f"invoices/FT_{number}.pdf")
        sign = ["sign", "invoices", "-o", "signed", "--journal", "j"]
        run(*sign)
        for corrected in ("FT_1.pdf", "FT_2.pdf"):
            with Path("invoices", corrected).open("ab") as file:
                file.write(b"%% corrected\n")
        Path("signed/FT_1.pdf").unlink()
        Path("invoices/moved").mkdir()
        Path("invoices/FT_3.pdf").rename("invoices/moved/FT_3.pdf")
        Path("signed/FT_4.pdf").unlink()
        with Path("signed/FT_5.pdf").open("ab") as file:
            file.write(b"%% replaced\n")
        planned, done = run(*sign, "--dry-run", "--json"), run(*sign, "--json")

        results = {item["file"]: item["status"] for item in done.objects if "file" in item}
        assert {item["file"]: item["status"] for item in planned.objects} == {
            "invoices/FT_1.pdf": "planned",
            "invoices/FT_2.pdf": "failed",
            "invoices/moved/FT_3.pdf": "passed_over",
            "invoices/FT_4.pdf": "failed",
            "invoices/FT_5.pdf": "failed",
            "invoices/FT_6.pdf": "passed_over",
        }
        assert results == {
            "invoices/FT_1.pdf": "signed",
            "invoices/FT_2.pdf": "failed",
            "invoices/FT_4.pdf": "failed",
            "invoices/FT_5.pdf": "failed",
        }
        assert (planned.status, done.status) == (1, 1)

    def test_a_document_in_doubt_is_reported_with_a_hint(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        with failing(sandbox, Fault("reset_after", times=1)):
            ended = run("sign", "invoices", "-o", "signed", "--journal", "j")

        assert ended.status == 1
        assert "in doubt     2 documents (invoices/FT_1.pdf, invoices/FT_2.pdf): a request (sign" in ended.out
        assert ended.err == "In doubt: `signstash failed --journal j` lists the documents and what to do.\n"
        again = run("sign", "invoices", "-o", "signed", "--journal", "j")
        assert again.status == 1
        assert "\nsigned         0\nin doubt       2\n" in again.out

    def test_a_document_in_doubt_without_a_journal_must_not_be_sent_again(
        self, folder: Path, run: Run, sandbox: Sandbox
    ) -> None:
        with failing(sandbox, Fault("reset_after", times=1)):
            ended = run("sign", "invoices", "-o", "signed")

        assert (ended.status, ended.out.count("in doubt     2 documents (")) == (1, 1)
        assert ended.err.startswith("In doubt: these documents may be signed. Check in the backoffice before")

    def test_a_failing_journal_is_not_a_usage_error(
        self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = Journal._record

        def full(self: Journal, entries: Any, **options: bool) -> None:
            entries = list(entries)
            if any(entry.state == "signed" for entry in entries):
                raise ConfigurationError("The journal cannot be used: disk full.", "Make room.")
            record(self, entries, **options)

        monkeypatch.setattr(Journal, "_record", full)

        ended = run("sign", "invoices", "-o", "signed", "--journal", "j")

        assert ended.status == 3
        assert "\nsigned         2\n" in ended.out
        assert "signstash: The journal cannot be used: disk full." in ended.err

    def test_a_journal_of_another_client_service_is_refused(
        self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run("sign", "invoices", "-o", "signed", "--journal", "j")
        monkeypatch.setenv("SIGNSTASH_CLIENT_ID", "PRT.1-PRT.2-billing")

        ended = run("sign", "invoices", "-o", "signed", "--journal", "j")

        assert ended.status == 2
        assert re.search(
            r"journal j belongs to client service PRT\S+-sandbox at 127\S+, not to PRT.1-PRT.2-billing at 127",
            ended.err,
        )

    @pytest.mark.parametrize(("kind", "hint"), FAULTS_OF_ALL)
    def test_an_error_that_concerns_all_ends_the_run(
        self, folder: Path, run: Run, sandbox: Sandbox, kind: Any, hint: str
    ) -> None:
        with failing(sandbox, Fault(kind)):
            ended = run("sign", "invoices", "-o", "signed")

        assert ended.status == 3
        assert "\nsigned         0\nnot sent       2\n" in ended.out
        assert "Not sent: a fault that concerns all documents ended the run. Fix it, then run the same" in ended.err
        assert hint in ended.err
        assert "Traceback" not in ended.err

    def test_a_pause_is_reported_with_its_reason(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        with failing(sandbox, Fault("too_many_requests", times=1, seconds=0)):
            ended = run("sign", "invoices", "-o", "signed")

        assert ended.status == 0
        assert ended.err.startswith("Trying again in 0 s: the service accepts no more requests for now")

    @pytest.mark.parametrize("kind", ["unreachable", "too_many_requests"])
    def test_a_service_that_cannot_be_used_is_a_fault_of_all(
        self, folder: Path, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, kind: Any, closed_port: int
    ) -> None:
        Path("invoices/FT_0.pdf").symlink_to("missing.pdf")
        sign = ["sign", "invoices", "-o", "signed", "--journal", "j", "--retries", "none"]
        with contextlib.ExitStack() as stack:
            if kind == "unreachable":
                patched = stack.enter_context(monkeypatch.context())
                patched.setenv("SIGNSTASH_BASE_URL", f"http://127.0.0.1:{closed_port}/x")
            else:
                stack.enter_context(failing(sandbox, Fault(kind, seconds=0)))
            ended = run(*sign)

        assert (ended.status, "\nsigned         0\nfailed         3\n" in ended.out) == (3, True)
        assert run(*sign).status == 1  # signed, but for the file that cannot be read
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]

    def test_debug_shows_the_traceback(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        with failing(sandbox, Fault("inactive_service")):
            ended = run("sign", "invoices", "-o", "signed", "--debug")

        assert "Traceback" in ended.err
        assert "signDocumentBatchBase64: HTTP 409, 2 documents" in ended.err
        assert "sandbox-secret" not in ended.err

    def test_log_lines_are_hidden_by_default(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        before = [*LOGGER.handlers]
        with failing(sandbox, Fault("reset_after", times=1)):
            ended = run("sign", "invoices", "-o", "signed", "--debug")
            assert "signDocumentBatchBase64: OutcomeUnknownError" in ended.err
        assert (LOGGER.level, LOGGER.handlers) == (logging.NOTSET, before)
        with failing(sandbox, Fault("reset_after", times=1)):
            ended = run("sign", "invoices", "-o", "again")

        assert "signDocumentBatchBase64:" not in ended.err

    def test_a_document_that_cannot_be_saved_is_saved_in_another_folder(
        self, folder: Path, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(elsewhere))

        append = TemporaryFile.append

        def full_disk(file: TemporaryFile, blocks: Any) -> None:
            if file.folder is not None and file.folder.name == "signed":
                raise OSError(28, "No space left on device")
            append(file, blocks)

        monkeypatch.setattr(TemporaryFile, "append", full_disk)

        ended = run("sign", "invoices/FT_1.pdf", "-o", "signed")

        assert "overwrite" not in ended.out + ended.err
        (rescued,) = elsewhere.rglob("*.pdf")
        assert ended.status == 3
        assert f"It is signed, and saved as {rescued}." in ended.out
        assert is_signed(rescued)


class TestSignature:
    def test_signature_options_reach_the_service(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        Path("order.xml").write_text("<order><place/></order>")
        visible = ["--visible", "page=1,x=60,y=50,width=200,height=50", "--visible-text", "Signed here"]

        ended = run(
            "sign", "invoices/FT_1.pdf", "order.xml", "-o", "signed", "--reason", "Approval", "--location", "Lisboa",
            "--timestamp", *visible, "--xml-element", "place",
        )  # fmt: skip

        assert ended.status == 0, ended
        pdf = Path("signed/FT_1.pdf").read_bytes()
        assert b"Approval" in pdf
        assert b"Lisboa" in pdf
        assert b"<place><ds:Signature" in Path("signed/order.xml").read_bytes()

    def test_each_option_has_its_effect(self, folder: Path, run: Run, signstash_mock: MockSignStash) -> None:
        options = ["--visible", "page=2,x=60,y=50,width=200,height=40", "--visible-text", "Here"]
        options += ["--timestamp", "--description", "November", "--retries", "interactive"]

        assert run("sign", "invoices", "-o", "signed", *options).status == 0

        (request,) = signstash_mock.sign_requests
        assert request.description == "November"
        signature = request.documents[0].signature
        assert signature.apply_timestamp is True
        assert signature.visible_signature_info
        assert signature.visible_signature_info.location_value == "page=2,x=60,y=50"
        assert signature.visible_signature_info.area == "width=200,height=40"
        assert signature.visible_signature_info.one_off_template == "Here"

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["--visible", "page=1"], "not given in one way"),
            (["--visible", "page=0,x=1,y=1"], "signstash: The place of the visible signature is 'page=0,x=1,y=1'."),
            (["--visible", "x=1,y=two"], "y is 'two', not a whole number"),
            (["--visible", "page=1,x=1,page=2"], "page is given twice"),
            (["--visible", "colour=red"], "'colour=red' is not one of x, y, page"),
            (["--visible", "field=F,width=3"], "only one of width and height"),
            (["--visible-text", "hello"], "no position. Give it with --visible."),
            (["--visible", "field=F", "--visible-image", "none.png"], "none.png cannot be read"),
            (["--visible", "field=F", "--visible-image", "invoices/FT_1.pdf"], "neither a PNG nor a JPG"),
            (["--in-flight", "0"], "--in-flight: '0' is not a number from 1"),
            (["--unknown", "guess"], "invalid choice"),
        ],
    )
    def test_impossible_options_are_reported_at_once(
        self, folder: Path, run: Run, arguments: list[str], problem: str
    ) -> None:
        ended = run("sign", "invoices", "-o", "signed", *arguments)

        assert ended.status == 2
        assert problem in ended.err
        assert not Path("signed").exists()


class TestJournal:
    def test_held_documents_are_listed_requeued_and_settled(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        sign = ["sign", "invoices", "-o", "signed", "--journal", "j"]
        with failing(sandbox, Fault("reset_before", times=1)):
            run(*sign)

        listed = run("failed", "--journal", "j", "--json")
        references = [item["external_reference"] for item in listed.objects]
        assert (listed.status, [item["status"] for item in listed.objects]) == (1, ["held", "held"])
        assert all("response was lost" in item["reason"] for item in listed.objects)

        assert (
            run("failed", "retry", references[0], "--journal", "j").err
            == "1 document will be sent again under the same references. Next: run the same sign or watch "
            "command again.\n"
        )
        assert run("failed", "settle", references[1], "--journal", "j").status == 0
        assert run(*sign).status == 0
        assert names_in("signed") == ["FT_1.pdf"]
        assert run("failed", "--journal", "j").err == "The journal has no document that failed or is in doubt.\n"

    def test_unsaved_documents_are_listed_and_saved_by_the_next_run(
        self, folder: Path, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = FileWrite.write

        def write_elsewhere(file: FileWrite, *, with_digest: bool) -> None:
            if file.target.parent.name == "signed":
                raise OSError(28, "No space left on device")
            write(file, with_digest=with_digest)

        sign = ["sign", "invoices", "-o", "signed", "--journal", "j"]
        before = sandbox.signatures.total()
        with monkeypatch.context() as patched:
            patched.setattr(FileWrite, "write", write_elsewhere)
            ended = run(*sign)
            assert ended.status != 0
            assert "/j.recovered/...: run again with this journal, or move it to its place." in ended.out

        listed = run("failed", "--journal", "j")
        assert "2 documents signed, but not saved where they belong" in listed.out
        assert "It is signed, and kept as ...: run again with this journal, or move it to its place." in listed.out
        assert "j.recovered" in listed.out
        assert len(names_in("j.recovered")) == 2

        assert run(*sign).status == 0
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]
        assert names_in("j.recovered") == []
        assert run("failed", "--journal", "j").status == 0
        assert sandbox.signatures.total() - before == 2

    def test_a_document_whose_signed_file_is_lost_can_be_dropped(
        self, folder: Path, run: Run, sandbox: Sandbox
    ) -> None:
        sign = ["sign", "invoices", "-o", "signed", "--journal", "j", "--json"]
        lost = next(item for item in run(*sign).objects if item.get("file") == "invoices/FT_1.pdf")
        Path("signed/FT_1.pdf").unlink()
        assert "signstash failed drop" in run(*sign).objects[0]["message"]

        assert run("failed", "retry", lost["external_reference"], "--journal", "j").status == 2
        assert run("failed", "drop", "--all", "--journal", "j").err == "No document is held for manual review.\n"
        assert run("failed", "drop", lost["external_reference"], "--journal", "j").status == 0
        assert run(*sign).objects[-1]["summary"]["signed"] == 1
        assert is_signed("signed/FT_1.pdf")

    def test_a_journal_that_cannot_be_written_can_be_listed(
        self, folder: Path, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read_only(path: Path, *_: Any, **__: Any) -> Any:
            if path.parent == folder:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return lock.FileLock(path, remove=True)

        with failing(sandbox, Fault("no_credits")):
            run("sign", "invoices", "-o", "signed", "--journal", "j")
        monkeypatch.setattr(records, "FileLock", read_only)

        listed = run("failed", "--journal", "j")
        assert listed.status == 1
        assert "2 documents failed, not signed:" in listed.out
        assert listed.err == "The journal cannot be written here, so a copy of it is listed.\n"
        assert run("failed", "retry", "--all", "--journal", "j").status == 2

    def test_identical_files_are_each_signed_once(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        for year in ("2025", "2026"):
            Path("invoices", year).mkdir()
            shutil.copy("invoices/FT_1.pdf", f"invoices/{year}/FT_1.pdf")
        sign = ["sign", "invoices", "-o", "signed", "--journal", "j"]
        before = sandbox.signatures.total()

        first, second = run(*sign), run(*sign)

        assert (first.status, second.status) == (0, 0)
        assert "\nsigned         0\nsigned before  4\n" in second.out
        assert sandbox.signatures.total() - before == 4
        for place in ("FT_1.pdf", "2025/FT_1.pdf", "2026/FT_1.pdf", "FT_2.pdf"):
            assert is_signed(f"signed/{place}")

    @pytest.mark.parametrize("output", [["-o", "signed"], ["-o", "again"], ["-o", "signed", "--force"]])
    def test_an_identical_file_added_later_is_signed(
        self, folder: Path, run: Run, sandbox: Sandbox, output: list[str]
    ) -> None:
        run("sign", "invoices", "-o", "signed", "--journal", "j")
        Path("invoices/2026").mkdir()  # sorts before those that are signed
        shutil.copy("invoices/FT_1.pdf", "invoices/2026/FT_1.pdf")
        before = sandbox.signatures.total()

        first = run("sign", "invoices", *output, "--journal", "j")
        second = run("sign", "invoices", *output, "--journal", "j")

        assert (first.status, second.status) == (0, 0)
        assert sandbox.signatures.total() - before == 1

    def test_a_moved_file_is_not_signed_again(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        run("sign", "invoices", "-o", "signed", "--journal", "j")
        Path("invoices/2026").mkdir()
        Path("invoices/FT_1.pdf").rename("invoices/2026/FT_1.pdf")
        before = sandbox.signatures.total()

        assert run("sign", "invoices", "-o", "signed", "--journal", "j").status == 0
        assert sandbox.signatures.total() == before

    @pytest.mark.parametrize("action", ["retry", "drop"])
    def test_identical_files_fail_independently(self, folder: Path, run: Run, sandbox: Sandbox, action: str) -> None:
        Path("invoices/2026").mkdir()
        shutil.copy("invoices/FT_2.pdf", "invoices/2026/FT_2.pdf")
        sign = ["sign", "invoices", "-o", "signed", "--journal", "j"]
        with failing(sandbox, Fault("reset_before", times=1, name="FT_2 (2).pdf")):
            run(*sign, "--in-flight", "1")

        listed = run("failed", "--journal", "j", "--json").objects
        assert "FT_2 (2).pdf" in [item["name"] for item in listed]
        assert run("failed", action, "--all", "--journal", "j").status == 0
        Path("invoices/2026/FT_2.pdf").unlink()  # the other one keeps its name

        assert run(*sign).status == 0
        assert is_signed("signed/FT_2.pdf")

    def test_a_file_in_doubt_does_not_affect_an_identical_one(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        for number in (1, 2):
            Path(f"xml/{number}").mkdir(parents=True)
            Path(f"xml/{number}/a.xml").write_text(f"<invoice number='{number}'/>")
        with failing(sandbox, Fault("reset_after", times=1)):
            run("sign", "xml/1", "-o", "signed/1", "--journal", "j")
        run("sign", "xml/2", "-o", "signed/2", "--journal", "j")

        ended = run("sign", "xml", "-o", "signed", "--journal", "j")

        assert "\nsigned         0\nsigned before  1\nin doubt       1\n" in ended.out

    def test_a_document_settled_as_signed_is_not_sent_again(self, folder: Path, run: Run) -> None:
        run("sign", "invoices", "-o", "signed", "--journal", "j")

        ended = run("sign", "invoices", "-o", "again", "--journal", "j")

        assert (ended.status, "\nsigned before  2\n" in ended.out) == (0, True)

    def test_the_summary_has_the_numbers_of_the_run(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        for number in range(3, 8):
            shutil.copy("invoices/FT_1.pdf", f"invoices/FT_{number}.pdf")
        Path("invoices/FT_8.pdf").symlink_to("nowhere")
        Path("signed").mkdir()
        Path("signed/FT_6.pdf").touch()
        faults = Fault("no_credits", name="FT_[23].pdf", times=2), Fault("reset_after", name="FT_1.pdf", times=1)
        with failing(sandbox, *faults):
            ended = run("sign", "invoices/FT_1.pdf", "-o", "signed", "--journal", "j")
            assert "\nin doubt       1\n" in ended.out
            ended = run("sign", "invoices", "-o", "signed", "--journal", "j")

        listed = run("failed", "--journal", "j").out
        assert "\nsigned         3\nin doubt       1\nfailed         4\n" in ended.out
        assert "`signstash failed --journal j` lists 2 of these documents." in ended.err
        assert "1 document in doubt, " in listed
        assert "2 documents failed, not signed:" in listed

    def test_signed_documents_that_are_not_saved_are_counted_separately(
        self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rename = TemporaryFile.rename

        def full(self: TemporaryFile, target: Path, *, overwrite: bool) -> None:
            if target.parent.name == "signed" and target.name == "FT_1.pdf":
                raise OSError(28, "No space left on device")
            rename(self, target, overwrite=overwrite)

        monkeypatch.setattr(TemporaryFile, "rename", full)
        ended = run("sign", "invoices", "-o", "signed", "--journal", "j")

        assert ended.status == 3
        assert "\nsigned         1\nnot saved      1\n" in ended.out
        assert "1 document signed, but not saved" in run("failed", "--journal", "j").out

    def test_listing_accepts_no_references(self, folder: Path, run: Run) -> None:
        Journal("j").close()

        assert run("failed", "list", "x", "--journal", "j").status == 2

    def test_failed_documents_are_listed_too(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        with failing(sandbox, Fault("no_credits", name="FT_2.pdf", times=1)):
            run("sign", "invoices", "-o", "signed", "--journal", "j")

        ended = run("failed", "--journal", "j")

        assert ended.status == 1
        assert re.match(r"1 document failed, not signed:\n  FT_2.pdf  \S+_FT_2_\w+\n    the certificate ", ended.out)
        assert "\nNext: fix the cause, then run the same sign or watch command again.\n" in ended.out

    @pytest.mark.parametrize("action", ["retry", "settle", "drop"])
    def test_documents_in_doubt_are_listed_with_next_steps(
        self, folder: Path, run: Run, sandbox: Sandbox, action: str
    ) -> None:
        with failing(sandbox, Fault("reset_before", times=1)):
            run("sign", "invoices", "-o", "signed", "--journal", "j")

        ended = run("failed", "--journal", "j")

        assert ended.out.startswith("2 documents in doubt, held for manual review:\n  FT_1.pdf  ")
        assert ended.out.count("its response was lost") == 1
        assert "DuplicateReferenceError" not in ended.out  # the next steps say what to do
        assert "  signstash failed --journal j ACTION REFERENCES... (or --all)\n" in ended.out
        assert f"\n  {action} " in ended.out

    def test_requeued_documents_are_listed_with_their_next_step(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        with failing(sandbox, Fault("reset_before", times=1)):
            run("sign", "invoices", "-o", "signed", "--journal", "j")
        run("failed", "retry", "--all", "--journal", "j")

        ended = run("failed", "--journal", "j")

        assert ended.out.startswith("2 documents to be sent again:\n")
        assert "Next: run the same sign or watch command again." in ended.out

    def test_next_steps_of_a_lost_signed_document_work(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        sign = ["sign", "invoices", "-o", "signed", "--journal", "j"]
        with failing(sandbox, Fault("reset_after", times=1)):
            run(*sign)
        run("failed", "retry", "--all", "--journal", "j")
        assert run(*sign).status == 1  # the service has signed these references

        listed = run("failed", "--journal", "j").out
        assert listed.startswith("2 documents probably signed, but without signed contents: held for manual review:\n")
        assert "at a proxy, retry has the same result again" in listed
        assert "  drop    you need the signed document" in listed

        assert run("failed", "drop", "--all", "--journal", "j").status == 0
        assert run(*sign).status == 0
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]

    def test_a_signed_file_unknown_to_an_older_journal_can_be_settled(
        self, folder: Path, run: Run, sandbox: Sandbox
    ) -> None:
        sign = ["sign", "invoices", "-o", "signed", "--journal", "j"]
        run(*sign)
        before = sandbox.signatures.total()
        lines = Path("j").read_bytes().splitlines(keepends=True)
        first_response = next(number for number, line in enumerate(lines) if b'"received"' in line)
        Path("j").write_bytes(b"".join(lines[:first_response]))

        shutil.copy("j", "copy")
        as_json = run(*sign[:-1], "copy", "--json")
        assert [item["status"] for item in as_json.objects[:-1]] == ["in_doubt", "in_doubt"]
        assert "requeue" not in as_json.out + run(*sign[:-1], "copy", "--json").out  # no names of methods

        ended = run(*sign)
        listed = run("failed", "--journal", "j").out

        assert ended.status == 1
        assert "\nsigned         0\nin doubt       2\n" in ended.out
        assert ended.out.count("\nin doubt     2 documents (") + ended.out.startswith("in doubt     2 documents (") == 1
        assert "--force" not in ended.out
        assert ended.out.count("(") == ended.out.count(")")
        assert ended.err == "In doubt: `signstash failed --journal j` lists the documents and what to do.\n"
        assert listed.startswith("2 documents in doubt, held for manual review:\n")
        assert listed.count("(") == listed.count(")")
        assert "exists already: `signstash verify` shows whether it is signed" in listed
        assert run("failed", "settle", "--all", "--journal", "j").status == 0
        assert run(*sign).status == 0
        assert sandbox.signatures.total() == before

    def test_a_run_with_nothing_to_do_shows_no_rate(self, folder: Path, run: Run) -> None:
        run("sign", "invoices", "-o", "signed", "--journal", "j")

        assert run("sign", "invoices", "-o", "signed", "--journal", "j").out.endswith("\nsigned before  2\n")

    def test_a_dropped_document_is_a_new_document(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        sign = ["sign", "invoices", "-o", "signed", "--journal", "j"]
        with failing(sandbox, Fault("reset_before", times=1)):
            run(*sign)

        assert run("failed", "drop", "--all", "--journal", "j").status == 0
        assert run(*sign).status == 0
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]

    @pytest.mark.parametrize("action", ["retry", "settle", "drop"])
    def test_an_action_needs_references(self, folder: Path, run: Run, action: str) -> None:
        Journal("j").close()

        hint = "Give references of documents, or --all.\n"
        assert run("failed", action, "--journal", "j").err == f"signstash: No documents are named. {hint}"
        both = run("failed", action, "x", "--all", "--journal", "j")
        assert (both.status, both.err) == (2, f"signstash: Both references and --all are given. {hint}")
        told = run("failed", action, "x", "--journal", "j").err
        assert "'x' is not held" in told
        assert "`signstash failed --journal j` lists" in told

    @pytest.mark.parametrize("action", ["retry", "settle", "drop"])
    def test_an_action_on_all_of_no_documents_says_so(self, folder: Path, run: Run, action: str) -> None:
        Journal("j").close()

        ended = run("failed", action, "--all", "--journal", "j")

        assert (ended.status, ended.err) == (0, "No document is held for manual review.\n")

    def test_a_dry_run_plans_no_document_that_an_earlier_run_may_have_signed(self, folder: Path, run: Run) -> None:
        sign = ["sign", "invoices", "-o", "signed", "--journal", "j"]
        run(*sign)
        lines = Path("j").read_bytes().splitlines(keepends=True)
        first_response = next(number for number, line in enumerate(lines) if b'"received"' in line)
        Path("j").write_bytes(b"".join(lines[:first_response]))  # as after a kill
        shutil.rmtree("signed")

        planned = run(*sign, "--dry-run").out
        planned_anyway = run(*sign, "--dry-run", "--unknown", "send_again").out

        assert planned.count("in doubt ") == 2
        assert planned_anyway.count("planned") == 2

    def test_a_missing_journal_is_not_created(self, folder: Path, run: Run) -> None:
        assert run("failed", "--journal", "j").status == 2
        assert not Path("j").exists()

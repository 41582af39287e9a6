"""Unusual files, closed streams, many failures with one cause, and byte order marks."""

from __future__ import annotations

import codecs
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest

from signstash.command_line import progress_bar
from signstash.command_line.display import LinesWithProgress
from signstash.command_line.progress import RunProgress
from signstash.sandbox import Fault, Sandbox
from tests.command_line.conftest import COMMAND, Run
from tests.command_line.test_sign import failing, is_signed, names_in
from tests.conftest import INVOICE

TOO_LONG = "x" * 300


class TestLongNames:
    @pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
    @pytest.mark.parametrize(
        "arguments",
        [
            [f"{TOO_LONG}.pdf"],
            ["invoices", f"{TOO_LONG}/*.pdf"],
            ["invoices", "-o", TOO_LONG],
            ["invoices", "-o", f"signed/{TOO_LONG}/below"],
            ["invoices", "-o", "signed", "--journal", TOO_LONG],
        ],
    )
    def test_a_name_that_is_too_long_ends_in_a_message(
        self, folder: Path, run: Run, arguments: list[str], dry_run: list[str]
    ) -> None:
        ended = run("sign", *arguments, *dry_run)

        assert ended.status in ((0, 1, 2) if dry_run else (1, 2))
        assert "Traceback" not in ended.err

    @pytest.mark.parametrize(("output", "reason"), [("file", "it is"), ("file/below", "file is"), ("link", "it is")])
    def test_an_output_folder_that_is_a_file_is_named(self, folder: Path, run: Run, output: str, reason: str) -> None:
        Path("file").touch()
        Path("link").symlink_to("nowhere")

        ended = run("sign", "invoices", "-o", output)

        assert (ended.status, ended.err.split()) == (
            2,
            f"signstash: {output} cannot be written: {reason} not a folder. Nothing was sent. "
            "Check its permissions, or name another folder with -o.".split(),
        )

    @pytest.mark.parametrize(("dry_run", "word"), [([], "cannot be written"), (["--dry-run"], "planned")])
    def test_a_signed_name_that_is_too_long_does_not_affect_others(
        self, folder: Path, run: Run, dry_run: list[str], word: str
    ) -> None:
        longest = f"invoices/{'x' * 251}.pdf"  # its signed name is too long
        shutil.copy(INVOICE, longest)

        ended = run("sign", "invoices", *dry_run)

        assert ended.status == (0 if dry_run else 1)
        assert word in ended.out
        assert Path("invoices/FT_1.signed.pdf").exists() is not bool(dry_run)

    @pytest.mark.parametrize("action", ["list", "retry"])
    def test_a_name_that_is_too_long_in_a_listed_journal_ends_in_a_message(
        self, folder: Path, run: Run, action: str
    ) -> None:
        ended = run("failed", action, "--journal", TOO_LONG)

        assert ended.status == 2
        assert "does not exist" in ended.err


class TestClosedStreams:
    @pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
    @pytest.mark.parametrize("journal", ["", "--journal j"])
    def test_closed_streams_lose_no_document(self, folder: Path, streams: str, journal: str) -> None:
        ended = shell(f"exec {COMMAND} sign invoices -o signed {journal} {streams}")

        assert (ended.returncode, ended.stderr) == (0, b"")
        assert is_signed("signed/FT_1.pdf")
        assert is_signed("signed/FT_2.pdf")

    @pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    @pytest.mark.parametrize(
        ("arguments", "status"),
        [
            ("--help", 0),
            ("sign --help", 0),
            ("sign missing.pdf", 2),
            ("sign invoices --dry-run", 0),
            ("failed --journal missing", 2),
            ("check --base-url nonsense", 2),
        ],
    )
    def test_closed_streams_change_no_exit_status(
        self, folder: Path, streams: str, arguments: str, status: int
    ) -> None:
        ended = shell(f"exec {COMMAND} {arguments} {streams}")

        assert ended.returncode == status
        assert b"Traceback" not in ended.stderr

    def test_a_closed_input_prevents_the_secret_prompt(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SIGNSTASH_CLIENT_SECRET")

        ended = shell(f"exec {COMMAND} sign invoices -o signed <&-")

        assert ended.returncode == 2
        assert b"SIGNSTASH_CLIENT_SECRET" in ended.stderr


def shell(command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["sh", "-c", command], capture_output=True, check=False)


class TestOddFiles:
    def test_a_broken_link_is_reported_and_the_rest_signed(self, folder: Path, run: Run) -> None:
        Path("invoices/broken.pdf").symlink_to("nowhere.pdf")

        for arguments in (["invoices"], ["invoices/*.pdf"], sorted(map(str, Path("invoices").iterdir()))):
            ended = run("sign", *arguments, "-o", "signed", "--force")

            assert ended.status == 1
            assert "failed       invoices/broken.pdf: cannot be read: No such file" in ended.out
            assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]
        assert "failed       invoices/broken.pdf" in run("sign", "invoices", "-o", "again", "--dry-run").out

    def test_a_broken_link_is_reported_even_if_the_run_ends_early(
        self, folder: Path, run: Run, sandbox: Sandbox
    ) -> None:
        Path("invoices/z.pdf").symlink_to("nowhere.pdf")

        with failing(sandbox, Fault("inactive_service")):
            ended = run("sign", "invoices", "-o", "signed")

        assert ended.status == 3
        assert "failed       invoices/z.pdf: cannot be read: No such file" in ended.out

    def test_a_named_pipe_is_reported_and_not_read(self, folder: Path, run: Run) -> None:
        os.mkfifo("invoices/pipe.pdf")

        ended = run("sign", "invoices", "-o", "signed")

        assert ended.status == 1
        assert "invoices/pipe.pdf: cannot be read: not a regular file." in ended.out
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]

    def test_linked_folders_and_second_names_are_not_left_out_silently(self, folder: Path, run: Run) -> None:
        Path("elsewhere").mkdir()
        Path("invoices/linked").symlink_to("../elsewhere")
        Path("invoices/again.pdf").symlink_to("FT_1.pdf")

        ended = run("sign", "invoices", "invoices/FT_2.pdf", "-o", "signed")

        assert ended.status == 0
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]
        assert "Linked folders are not followed: invoices/linked.\n" in ended.err
        assert "Files with several names are signed under the first one: invoices/again.pdf.\n" in ended.err

    @pytest.mark.parametrize("names", [["invoices"], ["invoices/*.pdf"]])
    def test_a_signed_file_next_to_its_original_is_not_signed_again(
        self, folder: Path, run: Run, names: list[str]
    ) -> None:
        run("sign", "invoices")

        ended = run("sign", *names, "-o", "signed")

        assert ended.status == 0
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]

    def test_a_signed_file_without_its_original_is_signed(self, folder: Path, run: Run) -> None:
        run("sign", "invoices/FT_1.pdf")

        run("sign", "invoices/FT_1.signed.pdf", "-o", "signed")

        assert names_in("signed") == ["FT_1.signed.pdf"]

    def test_files_of_the_command_are_not_signed(self, folder: Path, run: Run) -> None:
        run("sign", "invoices/FT_1.pdf", "-o", "earlier", "--journal", "invoices/october.journal")
        Path("invoices/settings.toml").write_text("timeout = 60")
        Path("invoices/secret").write_text("sandbox-secret")
        arguments = ["--journal", "invoices/november-journal", "--config", "invoices/settings.toml"]
        arguments += ["--secret-file", "invoices/secret"]

        for _ in range(2):
            ended = run("sign", "invoices", "--binary", "-o", "signed", *arguments)

            assert ended.status == 0, ended
            assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]

    def test_a_database_other_than_a_journal_is_signed(self, folder: Path, run: Run) -> None:
        Path("invoices/data.sqlite").write_bytes(b"SQLite format 3\0 of an application")

        run("sign", "invoices", "--binary", "-o", "signed")

        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf", "data.sqlite"]


class TestSummaryOfCauses:
    @pytest.fixture
    def many(self, folder: Path) -> Path:
        Path("many").mkdir()
        for number in range(200):
            Path(f"many/{number:03}.xml").write_text(f"<invoice number='{number}'/>")
        return Path("many")

    def test_a_stopped_service_is_one_line(
        self, many: Path, run: Run, monkeypatch: pytest.MonkeyPatch, closed_port: int
    ) -> None:
        for number in range(200, 400):
            (many / f"{number}.xml").write_text(f"<invoice number='{number}'/>")
        monkeypatch.setenv("SIGNSTASH_BASE_URL", f"http://127.0.0.1:{closed_port}/signstash")

        ended = run("sign", "many", "-o", "signed", "--retries", "none")

        assert ended.status == 3
        assert len(lines_about_documents(ended.out)) == 1
        found = re.search(r"^failed       (\d+) documents \(many/\d+.xml, (?s:.*)\nnot sent       *(\d+)\n", ended.out)
        assert found, ended
        failed, not_sent = map(int, found.groups())
        assert 3 * 50 <= failed <= 6 * 50  # three requests end the run; up to three others are on their way
        assert failed + not_sent == 400
        assert ended.err.count("127.0.0.1") == 0  # the cause is not repeated

    @pytest.mark.parametrize("variable", ["SIGNSTASH_BASE_URL", "SIGNSTASH_TOKEN_URL"])
    @pytest.mark.parametrize("names", [["many"], ["many/001.xml"]])
    def test_a_wrong_url_concerns_all_documents(
        self, many: Path, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, variable: str, names: list[str]
    ) -> None:
        monkeypatch.setenv(variable, f"{os.environ[variable]}/nothing-here")
        before = len(sandbox.request_log.entries())

        ended = run("sign", *names, "-o", "signed", "--retries", "none")

        assert ended.status == 3
        assert "HTTP 404" in ended.out
        assert len(sandbox.request_log.entries()) - before < 30

    @pytest.mark.parametrize("output", ["file", "file/below", "/proc/signed"])
    def test_an_output_folder_that_cannot_be_written_stops_the_command(
        self, many: Path, run: Run, sandbox: Sandbox, output: str
    ) -> None:
        Path("file").touch()
        before = sandbox.signatures.total()

        ended = run("sign", "many", "-o", output)

        assert (ended.status, ended.out) == (2, "")
        assert "Nothing was sent." in ended.err
        assert ended.err.count("\n") == 1
        assert sandbox.signatures.total() == before

    def test_some_folders_that_cannot_be_written_do_not_affect_others(
        self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("invoices/2026").mkdir()
        for number in range(20):
            Path(f"invoices/2026/{number}.xml").write_text(f"<invoice number='{number}'/>")
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: "2026" not in str(path) and access(path, mode))

        ended = run("sign", "invoices")

        assert ended.status == 1
        assert "failed       20 documents (invoices/2026/0.xml, invoices/2026/1.xml, " in ended.out
        assert is_signed("invoices/FT_1.signed.pdf")

    def test_existing_files_are_one_line(self, many: Path, run: Run) -> None:
        shutil.copytree("many", "signed")

        ended = run("sign", "many", "-o", "signed")

        (line,) = lines_about_documents(ended.out)
        assert line.startswith("failed       200 documents (many/000.xml, many/001.xml, many/002.xml, ...): ")
        assert "exists already" in line
        assert "--force" in line

    def test_two_causes_are_two_lines(self, many: Path, run: Run, sandbox: Sandbox) -> None:
        faults = Fault("no_credits", name="15*.xml", times=10), Fault("reset_after", times=1)
        with failing(sandbox, *faults):
            ended = run("sign", "many", "-o", "signed", "--in-flight", "1")

        assert len(lines_about_documents(ended.out)) == 2

    def test_json_lists_every_document(self, many: Path, run: Run) -> None:
        shutil.copytree("many", "signed")

        ended = run("sign", "many", "-o", "signed", "--json")

        assert sum(item.get("status") == "failed" for item in ended.objects) == 200

    def test_repeated_attempts_are_reported_once(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        with failing(sandbox, Fault("too_many_requests", times=2, seconds=0)):
            ended = run("sign", "invoices", "-o", "signed")

        assert (ended.status, ended.err.count("\n")) == (0, 1)

    def test_repeated_attempts_of_several_requests_are_reported_once(
        self, many: Path, run: Run, sandbox: Sandbox
    ) -> None:
        with failing(sandbox, Fault("too_many_requests", times=2, seconds=0)):
            ended = run("sign", "many", "-o", "signed")

        assert ended.status == 0
        assert ended.err == "Trying again in 0 s: the service accepts no more requests for now (HTTP 429).\n"

    def test_hints_name_options_of_the_command(self, many: Path, run: Run, sandbox: Sandbox) -> None:
        Path("many/a.pdf").write_bytes(b"no PDF")
        with failing(sandbox, Fault("TIMESTAMP_SIGN_ERROR", name="000.xml", times=1)):
            ended = run("sign", "many", "-o", "signed", "--journal", "j")
        listed = run("failed", "--journal", "j").out

        for text in (ended.out, listed):
            assert "Check the file, or give it another extension and use --binary." in text
            assert "Sign the document again later" in text
            assert "external reference and it is" not in text


def lines_about_documents(out: str) -> list[str]:
    return [line for line in out.partition("\n\n")[0].splitlines() if not line.startswith("signed ")]


def test_a_run_without_a_terminal_reports_its_progress_each_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    display = LinesWithProgress(as_json=False, clock=lambda: now)
    begun = RunProgress(documents=1000, total_bytes=2_000_000, skipped=100)

    for seconds in range(150):
        now = float(seconds)
        display.progress(attrs.evolve(begun, done=100 + seconds, signed=seconds, content_bytes=200_000 + seconds))

    assert capsys.readouterr().err == (
        "160 of 1,000, 200.1 kB of 2.0 MB, 1.0/s, 14:00 left\n220 of 1,000, 200.1 kB of 2.0 MB, 1.0/s, 13:00 left\n"
    )


def test_an_unexpected_error_does_not_end_like_a_failed_document(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise ZeroDivisionError("a fault of the command")

    monkeypatch.setattr("signstash.command_line.sign.main", fail)

    ended = run("sign", "invoices")

    assert (ended.status, ended.out) == (3, "")
    assert ended.err.endswith("ZeroDivisionError: a fault of the command\n")


def test_a_folder_is_no_journal(folder: Path, run: Run) -> None:
    for journal in (".", "/", "invoices"):
        ended = run("sign", "invoices/FT_1.pdf", "--journal", journal)

        assert (ended.status, ended.err) == (
            2,
            f"signstash: {journal} is not a regular file. Give the path of a file for the journal.\n",
        )


def test_the_remaining_time_is_not_known_before_something_is_signed() -> None:
    progress = RunProgress(documents=10, total_bytes=1000, done=1, content_bytes=10)  # a file that cannot be read

    assert progress.text(130.0) == "1 of 10, 0.0 kB of 1.0 kB, -/s, -:-- left"


def test_the_rate_of_the_bar_is_that_of_the_whole_run() -> None:
    now = 0.0
    begun = RunProgress(documents=1000, total_bytes=1000)
    shown = progress_bar.ProgressBar(begun, clock=lambda: now)

    for _ in range(2):
        now += 10
        done = int(now * 5)
        for ready in range(done - 50, done):  # a batch ends at once
            shown.progress(attrs.evolve(begun, done=ready + 1, signed=ready + 1))

    (task,) = shown._columns.tasks
    assert "100 of 1,000" in task.description
    assert "5.0/s, 3:00 left" in task.description


@pytest.mark.parametrize("encode", [
    lambda text: codecs.BOM_UTF8 + text.encode(),
    lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
])  # fmt: skip
def test_a_byte_order_mark_is_accepted(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, encode: Any) -> None:
    monkeypatch.delenv("SIGNSTASH_CLIENT_SECRET")
    Path("secret").write_bytes(encode("sandbox-secret\n"))
    Path("settings.toml").write_bytes(encode('secret_file = "secret"\n'))

    assert run("sign", "invoices/FT_1.pdf", "--config", "settings.toml").status == 0
    assert run("sign", "invoices/FT_2.pdf", "--secret-command", "cat secret").status == 0


def test_a_byte_order_mark_in_the_variable_is_accepted(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNSTASH_CLIENT_SECRET", "\ufeffsandbox-secret")

    assert run("sign", "invoices/FT_1.pdf").status == 0


def test_a_secret_command_that_prints_no_text_does_not_show_it(folder: Path, run: Run) -> None:
    ended = run("sign", "invoices", "--secret-command", r"printf '\377secret'")

    assert ended.status == 2
    assert ended.err == "signstash: The secret command printed no UTF-8 text. Check secret_command.\n"

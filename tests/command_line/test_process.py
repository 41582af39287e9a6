"""The installed command: help, terminal and pipe, Ctrl-C, and resuming a killed run."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from signstash import Journal
from signstash.sandbox import Fault, Sandbox
from signstash.sandbox.signatures import SignatureMaker
from tests.command_line.conftest import COMMAND, Run
from tests.command_line.test_sign import failing, names_in

Start = Callable[..., subprocess.Popen[str]]


class TestHelp:
    def test_the_version_is_printed(self, run: Run) -> None:
        assert run("--version").out.startswith("signstash 0.")

    def test_an_unknown_command_is_a_usage_error(self, run: Run) -> None:
        ended = run("sing")

        assert ended.status == 2
        assert "invalid choice: 'sing'" in ended.err

    @pytest.mark.parametrize(
        "given",
        [["sign", "x"], ["check"], ["failed", "--journal=x"], ["verify", "x"], ["watch", "x", "-o=y", "--journal=z"]],
    )
    def test_an_option_has_one_name(self, run: Run, given: list[str]) -> None:
        assert "unrecognized arguments: --deb" in run(*given, "--deb").err

    @pytest.mark.parametrize("command", [[], ["sign"], ["watch"], ["check"], ["failed"], ["verify"]])
    def test_help_fits_a_screen_and_has_examples(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]
    ) -> None:
        for columns in (80, 100):
            monkeypatch.setenv("COLUMNS", str(columns))

            told = run(*command, "--help").out

            assert max(map(len, told.splitlines())) <= columns
        assert "examples:" in told
        assert told.count("\n") <= 45


class TestTerminal:
    def test_a_terminal_shows_a_bar(self, folder: Path, sandbox: Sandbox) -> None:
        Path("invoices/FT_2.pdf").rename("invoices/FT[red]2.pdf")
        with failing(sandbox, Fault("no_credits", name="FT[[]red]2.pdf", times=1)):
            shown, status = on_a_terminal("sign", "invoices", "-o", "signed")

        assert status == 1
        assert "2 of 2, 7.9 kB of 7.9 kB" in shown
        assert "failed       invoices/FT[red]2.pdf: Document FT[red]2.pdf" in shown
        assert "invoices/FT_1.pdf ->" not in shown
        assert "signed         1" in shown

    def test_a_terminal_without_rich_shows_lines(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("rich.py").write_text("raise ImportError('not installed')")
        monkeypatch.setenv("PYTHONPATH", str(folder))

        shown, status = on_a_terminal("sign", "invoices", "-o", "signed")

        assert status == 0
        assert "signed       invoices/FT_1.pdf -> signed/FT_1.pdf" in shown

    def test_a_pipe_gets_lines(self, process: Start) -> None:
        with process("sign", "invoices", "-o", "signed") as signing:
            out, err = signing.communicate()

        assert (signing.returncode, err) == (0, "")
        assert out.startswith("signed       invoices/FT_1.pdf -> signed/FT_1.pdf\nsigned       invoices/FT_2.pdf -> ")

    def test_a_redirected_error_stream_gets_lines(self, folder: Path) -> None:
        shown, _ = on_a_terminal("sign", "invoices", "-o", "signed", stderr=subprocess.DEVNULL)

        assert "signed       invoices/FT_1.pdf -> signed/FT_1.pdf" in shown

    def test_a_reader_that_closes_the_pipe_loses_no_document(self, process: Start) -> None:
        read, write = os.pipe()
        os.close(read)
        with process("sign", "invoices", "-o", "signed", stdout=write) as signing:
            os.close(write)
            _, err = signing.communicate()

        assert (signing.returncode, err) == (0, "")
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]

    @pytest.mark.parametrize("output", [">/dev/full", "2>/dev/full", ">&-", "2>&-", ">/dev/full 2>&1"])
    def test_lost_output_loses_no_document(self, folder: Path, sandbox: Sandbox, output: str) -> None:
        with failing(sandbox, Fault("too_many_requests", times=1, seconds=0)):
            ended = subprocess.run(
                ["sh", "-c", f"exec {COMMAND} sign invoices -o signed {output}"],
                capture_output=True, check=False,
            )  # fmt: skip

        assert b"Traceback" not in ended.stderr
        assert names_in("signed") == ["FT_1.pdf", "FT_2.pdf"]
        assert ended.returncode == (3 if "full" in output else 0)
        if output == ">/dev/full":
            assert b"The output is not complete: No space left on device." in ended.stderr

    @pytest.mark.parametrize("encoding", ["utf-8:strict", "latin-1", "ascii"])
    def test_unprintable_names_are_escaped(
        self, folder: Path, process: Start, monkeypatch: pytest.MonkeyPatch, encoding: str
    ) -> None:
        Path("invoices/FT_2.pdf").rename(os.fsdecode(b"invoices/\xff\xc3\xa3.pdf"))
        monkeypatch.setenv("PYTHONIOENCODING", encoding)

        with process("sign", "invoices", "-o", "signed", "--json") as signing:
            out, err = signing.communicate()
        with process("sign", "invoices", "-o", "again", stdout=subprocess.DEVNULL) as signing:
            signing.communicate()

        named = [json.loads(line).get("file") for line in out.splitlines()]
        assert (err, set(named)) == ("", {"invoices/\udcffã.pdf", "invoices/FT_1.pdf", None})
        assert names_in("again") == ["FT_1.pdf"]


def on_a_terminal(*arguments: str, stderr: int | None = None) -> tuple[str, int]:
    """The command's output on a terminal, and its exit status."""
    terminal, other_end = pty.openpty()
    environment = {**os.environ, "COLUMNS": "200", "TERM": "xterm"}
    with subprocess.Popen(
        [COMMAND, *arguments], stdin=other_end, stdout=other_end, stderr=stderr or other_end, env=environment
    ) as process:
        os.close(other_end)
        shown = b""
        try:
            while piece := os.read(terminal, 4096):
                shown += piece
        except OSError:  # the other end has gone
            pass
    os.close(terminal)
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", shown.decode()), process.returncode


@attrs.frozen
class Gate:
    """A gate: a program waits at it until the test opens it."""

    reached: threading.Event = attrs.field(factory=threading.Event)
    opened: threading.Event = attrs.field(factory=threading.Event)


class TestEnding:
    @pytest.fixture
    def many(self, folder: Path) -> Path:
        """Five hundred small files."""
        Path("many").mkdir()
        for number in range(500):
            Path(f"many/{number:03}.xml").write_text(f"<invoice number='{number}'/>")
        return Path("many")

    @pytest.fixture
    def gate(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
        """A gate at which the sandbox waits after the first request, which has fifty files."""
        gate, sign = Gate(), SignatureMaker.sign

        def wait(maker: SignatureMaker, content: bytes, *options: Any) -> bytes:
            if int(content.split(b"'")[1]) >= 50:
                gate.reached.set()
                gate.opened.wait()
            return sign(maker, content, *options)

        monkeypatch.setattr(SignatureMaker, "sign", wait)
        yield gate
        gate.opened.set()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_an_interrupted_run_finishes_requests_in_flight(
        self, many: Path, process: Start, sandbox: Sandbox, gate: Gate, number: signal.Signals
    ) -> None:
        with process("sign", "many", "-o", "signed") as signing:
            assert signing.stdout is not None
            assert signing.stderr is not None
            signing.stdout.readline()
            gate.reached.wait()
            signing.send_signal(number)
            err = signing.stderr.readline()
            gate.opened.set()
            out, err = signing.stdout.read(), err + signing.stderr.read()

        assert signing.returncode == 130
        told = 1 + out.count("signed       many/")
        assert 50 < told == len(names_in("signed")) < 500
        assert f"not sent       {500 - told}\n" in out
        assert "Finishing what is in flight." in err
        assert "Not sent: run the same command again to continue" in err
        assert "Traceback" not in err

    def test_an_interrupt_ends_the_pauses_of_an_outage(
        self, process: Start, run: Run, monkeypatch: pytest.MonkeyPatch, closed_port: int
    ) -> None:
        """No request is in flight, so the command does not wait."""
        monkeypatch.setenv("SIGNSTASH_BASE_URL", f"http://127.0.0.1:{closed_port}/signstash")
        with process("sign", "invoices", "-o", "signed", "--journal", "j") as signing:
            assert signing.stderr is not None
            assert "Trying again in" in signing.stderr.readline()
            signing.send_signal(signal.SIGINT)
            out, _ = signing.communicate()

        assert signing.returncode == 130
        assert "not sent       2\n" in out
        assert "in doubt" not in out

    @pytest.mark.parametrize("journal", [[], ["--journal", "j"]])
    def test_a_second_interrupt_ends_the_run_at_once(
        self, process: Start, run: Run, monkeypatch: pytest.MonkeyPatch, journal: list[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("SIGNSTASH_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/signstash")
            with process("sign", "invoices", "-o", "signed", *journal) as signing:
                connection, _ = silent.accept()
                connection.recv(1)
                signing.send_signal(signal.SIGINT)
                assert signing.stderr is not None
                assert "Press Ctrl-C again" in signing.stderr.readline()
                signing.send_signal(signal.SIGINT)
                out, _ = signing.communicate()
            connection.close()

        assert signing.returncode == 130
        assert "in doubt       2\n" in out
        if journal:
            listed = run("failed", *journal, "--json")
            assert (listed.status, [item["status"] for item in listed.objects]) == (1, ["sent", "sent"])

    def test_documents_of_the_same_name_are_in_doubt_only_if_they_were_sent(
        self, folder: Path, process: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(500):
            Path(f"many/{number}").mkdir(parents=True)
            Path(f"many/{number}/invoice.xml").write_text(f"<invoice number='{number}'/>")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("SIGNSTASH_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/signstash")
            with process("sign", "many", "-o", "signed", "--journal", "j") as signing:
                connection, _ = silent.accept()
                connection.recv(1)
                for _ in range(2):
                    signing.send_signal(signal.SIGINT)
                    assert signing.stderr is not None
                    signing.stderr.readline()
                out, _ = signing.communicate()
            connection.close()

        with Journal("j") as journal:
            sent = len(journal.entries("sent"))
        assert 0 < sent < 500
        assert f"in doubt       {sent}\nnot sent       {500 - sent}\n" in out

    def test_a_killed_run_is_resumed(self, many: Path, process: Start, run: Run, sandbox: Sandbox) -> None:
        sign = ("sign", "many", "-o", "signed", "--journal", "j", "--unknown", "send_again")
        before = sandbox.signatures.total()
        with process(*sign) as signing:
            assert signing.stdout is not None
            for _ in range(150):
                signing.stdout.readline()
            signing.kill()

        ended = run(*sign)

        while sandbox.signatures.total() - before < 500:  # of what was in flight at the kill
            time.sleep(0.01)
        in_doubt = 500 - len([name for name in names_in("signed") if not name.startswith(".")])
        assert ended.status == (1 if in_doubt else 0)
        assert "signed before" in ended.out
        assert sandbox.signatures.total() - before == 500
        with Journal("j") as journal:
            assert len(journal.entries("signed")) == 500 - in_doubt
            reasons = {str(entry.reason) for entry in journal.entries("held")}
            possible = ("the reference is used", "ended before it was saved")
            assert all(any(text in reason for text in possible) for reason in reasons), reasons

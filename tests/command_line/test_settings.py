"""Where the command finds its settings, and how it keeps the secret."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from signstash import ConfigurationError, SignStash
from signstash.command_line import main
from signstash.sandbox import Sandbox
from signstash.settings import ENVIRONMENT_VARIABLES
from tests.command_line.conftest import COMMAND, Run


def raise_it(error: BaseException, *, debug: bool) -> None:
    raise error


NOWHERE = "http://127.0.0.1:9/signstash/nowhere"
PRINT_SECRET = f"{sys.executable} -c 'print(\"sandbox-secret\")'"


def config(sandbox: Sandbox, **changes: str) -> list[str]:
    """`--config`, with a file that has the sandbox's settings, except for the secret."""
    settings = {
        "base_url": sandbox.base_url,
        "token_url": sandbox.token_url,
        "client_id": sandbox.client_id,
        **changes,
    }
    Path("settings.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
    return ["--config", "settings.toml"]


@pytest.fixture
def bare(folder: Path, settings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings in the environment."""
    for variable in settings:
        monkeypatch.delenv(variable)


class TestSources:
    def test_missing_settings_are_all_listed(self, bare: None, run: Run) -> None:
        ended = run("sign", "invoices")

        assert ended.status == 2
        for name in ("SIGNSTASH_BASE_URL", "SIGNSTASH_CLIENT_ID", "SIGNSTASH_CLIENT_SECRET", "SIGNSTASH_ENVIRONMENT"):
            assert f"{name} is missing" in ended.err
        assert "--config" in ended.err

    def test_a_file_overrides_the_environment(
        self, folder: Path, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SIGNSTASH_BASE_URL", NOWHERE)

        assert run("sign", "invoices", *config(sandbox)).status == 0

    def test_options_override_the_file(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        wrong = config(sandbox, base_url=NOWHERE, client_id="somebody else")

        assert run("check", *wrong).status == 3
        assert run("check", *wrong, "--base-url", sandbox.base_url, "--client-id", sandbox.client_id).status == 0

    def test_the_token_server_comes_from_the_first_source_that_names_it(
        self, folder: Path, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SIGNSTASH_TOKEN_URL", NOWHERE)
        monkeypatch.setenv("SIGNSTASH_ENVIRONMENT", "production")

        settings = run("check", *config(sandbox), "--json").objects[0]
        assert "production" not in settings["text"]
        # Without a token URL the request would go to the real staging server.
        told = run("check", "--environment", "staging", "--base-url", "nonsense")
        assert "SIGNSTASH_TOKEN_URL" not in told.err

    def test_a_file_can_hold_limits(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        path = Path(config(sandbox)[1])
        path.write_text(f"deadline = 0\nupload = 'pigeon'\n{path.read_text()}")

        ended = run("sign", "invoices", "--config", str(path))

        assert ended.status == 2
        assert "deadline is 0, not a positive number of seconds" in ended.err
        assert "upload is 'pigeon'" in ended.err

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("base_url = ", "is not valid TOML"),
            ("base = 'x'", "contains base. Known settings are base_url"),
            ("client_id = 7", "client_id in settings.toml is 7. Write it as a string"),
            ("client_secret = 'never-shown-secret'", "secret_file or secret_command"),
            ("secret_file = 'a'\nsecret_command = 'b'", "both secret_file and secret_command"),
        ],
    )
    def test_an_invalid_file_is_reported(self, folder: Path, run: Run, text: str, problem: str) -> None:
        Path("settings.toml").write_text(text)

        ended = run("sign", "invoices", "--config", "settings.toml")

        assert ended.status == 2
        assert problem in ended.err
        assert "never-shown-secret" not in ended.err

    def test_a_wrong_setting_is_named_as_it_was_given(self, folder: Path, run: Run) -> None:
        Path("settings.toml").write_text('base_url = "nonsense"')

        assert "--base-url does not begin with http" in run("sign", "invoices", "--base-url", "nonsense").err
        assert "base_url in settings.toml does not begin" in run("sign", "invoices", "--config", "settings.toml").err

    def test_a_missing_file_is_named(self, folder: Path, run: Run) -> None:
        assert "none.toml cannot be read: No such file" in run("check", "--config", "none.toml").err


class TestSecret:
    def test_the_secret_is_read_from_a_file(self, bare: None, run: Run, sandbox: Sandbox) -> None:
        Path("secret").write_text("sandbox-secret\n")

        assert run("sign", "invoices/FT_1.pdf", *config(sandbox), "--secret-file", "secret").status == 0
        assert run("sign", "invoices/FT_2.pdf", *config(sandbox, secret_file="secret")).status == 0

    def test_only_the_line_end_of_a_secret_file_is_removed(
        self, bare: None, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []
        monkeypatch.setattr(SignStash, "from_env", lambda environ, **_: seen.append(environ["SIGNSTASH_CLIENT_SECRET"]))
        for text in (" with blanks \r\n", "\ttwo\n\n"):
            Path("secret").write_bytes(text.encode())
            with contextlib.suppress(Exception):  # there is no client to sign with
                run("sign", "invoices", *config(sandbox), "--secret-file", "secret")

        assert seen == [" with blanks ", "\ttwo\n"]

    def test_the_secret_file_option_overrides_the_settings_file(self, bare: None, run: Run, sandbox: Sandbox) -> None:
        Path("secret").write_text("wrong")

        ended = run("sign", "invoices", *config(sandbox, secret_file="secret"), "--secret-command", PRINT_SECRET)

        assert ended.status == 0

    def test_a_relative_secret_file_is_next_to_the_settings(
        self, bare: None, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("secret").write_text("sandbox-secret")
        path = Path(config(sandbox, secret_file="secret")[1]).absolute()
        Path("elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")

        assert run("sign", "../invoices", "--config", path).status == 0

    def test_a_secret_file_may_be_in_the_home_folder(
        self, bare: None, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("home").mkdir()
        Path("home/secret").write_text("sandbox-secret")
        monkeypatch.setenv("HOME", "home")

        assert run("sign", "invoices", *config(sandbox, secret_file="~/secret")).status == 0

    def test_the_secret_is_read_from_a_command(self, bare: None, run: Run, sandbox: Sandbox) -> None:
        assert run("sign", "invoices", *config(sandbox), "--secret-command", PRINT_SECRET).status == 0

    def test_the_environment_is_the_last_source(
        self, folder: Path, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SIGNSTASH_CLIENT_SECRET", "wrong")

        assert run("sign", "invoices", "--secret-command", PRINT_SECRET).status == 0

    @pytest.mark.parametrize(
        ("source", "problem"),
        [
            (["--secret-file", os.devnull], f"The secret file {os.devnull} is empty. Check"),
            (["--secret-command", "true"], "The secret command printed no secret. Check"),
            (["--secret-file", "none"], "The secret cannot be read from none: No such file or directory. Check"),
            (["--secret-command", "false"], "The secret command ended with status 1. Run it yourself"),
            (["--secret-command", "no-such-command"], "The secret command cannot be run"),
            (["--secret-command", ""], "The secret command cannot be run"),
            (["--secret-file", "a", "--secret-command", "b"], "not allowed with argument"),
        ],
    )
    def test_a_failing_source_is_named(self, bare: None, run: Run, source: list[str], problem: str) -> None:
        ended = run("sign", "invoices", *source)

        assert ended.status == 2
        assert problem in ended.err

    @pytest.mark.parametrize("source", [["--secret-file", "none"], ["--secret-command", "false"], []])
    def test_no_traceback_shows_the_secret(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, source: list[str]
    ) -> None:
        monkeypatch.setenv("SIGNSTASH_CLIENT_SECRET", "never-shown-secret")
        monkeypatch.setenv("SIGNSTASH_BASE_URL", "nonsense")
        monkeypatch.setattr("signstash.command_line.report_error", raise_it)

        with pytest.raises(ConfigurationError) as raised:
            main(["check", *source])

        shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        assert "never-shown-secret" not in "".join(shown.format())

    def test_the_help_names_every_variable(self, run: Run) -> None:
        told = run("--help").out

        assert [variable for variable in ENVIRONMENT_VARIABLES.values() if variable not in told] == []

    def test_the_secret_is_never_an_option(self, run: Run) -> None:
        for command in ("sign", "check"):
            assert "--client-secret" not in run(command, "--help").out
            assert run(command, "x", "--client-secret", "never-shown-secret").status == 2

    def test_the_secret_is_read_from_a_prompt(self, bare: None, run: Run, sandbox: Sandbox) -> None:
        terminal, other_end = pty.openpty()
        with subprocess.Popen(
            [COMMAND, "sign", "invoices", *config(sandbox)], stdin=other_end, stdout=other_end, stderr=other_end,
            start_new_session=True,
        ) as process:  # fmt: skip
            os.close(other_end)
            shown = b""
            while b"Secret of " not in shown:
                shown += os.read(terminal, 1024)
            os.write(terminal, b"sandbox-secret\n")
            try:
                while piece := os.read(terminal, 1024):
                    shown += piece
            except OSError:  # the other end has gone
                pass
        os.close(terminal)

        assert process.returncode == 0, shown
        assert f"Secret of {sandbox.client_id}:".encode() in shown
        assert b"sandbox-secret" not in shown

"""The suite itself: missing programs fail in CI, and processes can be interrupted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DEBIAN_PACKAGES, require

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


class TestRequire:
    def test_an_installed_program_is_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program = tmp_path / "qpdf"
        program.touch(0o700)
        monkeypatch.setenv("PATH", str(tmp_path))

        assert require("qpdf") == str(program)

    def test_a_missing_program_skips_the_test(self, no_programs: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CI", raising=False)

        with pytest.raises(pytest.skip.Exception, match="pdfsig is not installed; Debian has it in poppler-utils"):
            require("pdfsig")

    def test_a_missing_program_fails_the_test_in_ci(self, no_programs: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CI", "true")

        with pytest.raises(pytest.fail.Exception, match="pdfsig is not installed"):
            require("pdfsig")

    def test_ci_installs_every_program(self) -> None:
        script = PROJECT.joinpath(".ci", "run").read_text("utf-8")

        installed = dict(re.findall(r"^ *\[([\w-]+)\]=([\w-]+)", script, re.MULTILINE))

        assert installed.items() >= DEBIAN_PACKAGES.items()
        assert "export CI=true" in script


def test_a_process_can_be_interrupted_where_the_shell_ignores_it(tmp_path: Path) -> None:
    """As in `make test &`: the tests start with SIGINT ignored, which their processes do not inherit."""
    (tmp_path / "test_signals.py").write_text(
        "import signal, subprocess, sys\n"
        "from tests.conftest import interruptible_processes\n"
        "def test_a_process():\n"
        "    program = 'import signal; signal.raise_signal(signal.SIGINT)'\n"
        "    assert subprocess.call([sys.executable, '-c', program]) == -signal.SIGINT\n"
    )
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", str(tmp_path)]
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *tests]

    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout

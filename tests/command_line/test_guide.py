"""The guide is correct: its options exist, and systemd accepts its unit."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import signstash.command_line
from tests.command_line.conftest import Run
from tests.conftest import require

GUIDE = Path(signstash.command_line.__file__).with_name("guide.md").read_text("utf-8")
(UNIT,) = re.findall(r"```ini\n(.*?)```", GUIDE, re.DOTALL)


def test_options_of_the_guide_exist(run: Run) -> None:
    known = set()
    for command in ("sign", "watch", "failed", "check", "verify"):
        known |= set(re.findall(r"--[a-z][a-z-]+", run(command, "--help").out))

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", GUIDE)) - known == {"--help"} - known


def test_exit_statuses_of_the_guide_are_those_of_the_command() -> None:
    module = signstash.command_line
    statuses = [module.SIGNED, module.SOME_FAILED, module.USAGE, module.FAULT_OF_ALL, module.INTERRUPTED]

    assert [int(status) for status in re.findall(r"^\| (\d+) \|", GUIDE, re.MULTILINE)] == statuses


def test_the_unit_of_the_guide_starts_a_valid_command(run: Run, tmp_path: Path) -> None:
    (command,) = re.findall(r"^ExecStart=\S+/signstash (.*)$", UNIT, re.MULTILINE)

    ended = run(*command.replace("/srv/invoices/inbox", str(tmp_path / "missing")).split())

    assert (ended.status, "is not a folder" in ended.err) == (2, True)


def test_systemd_accepts_the_unit_of_the_guide(tmp_path: Path) -> None:
    program = tmp_path / "signstash"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "signstash.service"
    unit.write_text(UNIT.replace("/opt/signstash/bin/signstash", str(program)).replace("User=signstash", "User=root"))

    ended = subprocess.run(
        [require("systemd-analyze"), "verify", "--man=no", unit],
        capture_output=True, text=True, check=False, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )  # fmt: skip

    assert not [line for line in ended.stderr.splitlines() if "signstash.service" in line], ended.stderr
    assert ended.returncode == 0, ended.stderr

"""Fixtures for tests of the command: a folder with invoices, the sandbox's settings, and the command."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest

from signstash.command_line import main
from signstash.sandbox import Sandbox
from signstash.settings import ENVIRONMENT_VARIABLES
from tests.conftest import INVOICE

COMMAND = str(Path(sys.executable).parent / "signstash")


@attrs.frozen
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Its output, as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Run(Protocol):
    def __call__(self, *arguments: str | Path) -> Ended: ...


@pytest.fixture
def settings(sandbox: Sandbox) -> Mapping[str, str]:
    """The environment variables of the sandbox."""
    return {ENVIRONMENT_VARIABLES[name]: str(value) for name, value in sandbox.credentials.items()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str]) -> Path:
    """The current folder, with two invoices in `invoices`; the environment has the sandbox's settings."""
    for variable in ENVIRONMENT_VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    Path("invoices").mkdir()
    for number in (1, 2):
        Path(f"invoices/FT_{number}.pdf").write_bytes(INVOICE.read_bytes())
    return tmp_path


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """The command, in this process."""

    def call(*arguments: str | Path) -> Ended:
        capfd.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        return Ended(status, *capfd.readouterr())

    return call


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes folders unreadable, also for the administrator."""
    scan = os.scandir
    locked: set[Path] = set()

    def scandir(path: Any) -> Any:
        if Path(path) in locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return locked.add


@pytest.fixture
def process(folder: Path) -> Callable[..., subprocess.Popen[str]]:
    """The installed command, in a separate process."""

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        }
        return subprocess.Popen([COMMAND, *arguments], **{**pipes, **options})

    return start

"""The session in the guide is what the command prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import httpx

from signstash.sandbox import Sandbox
from tests.command_line.conftest import COMMAND, Run
from tests.conftest import INVOICE
from tests.guides.test_guides import GUIDES

GUIDE = GUIDES["src/signstash/command_line/guide.md"]
(SESSION,) = re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
(SETTINGS,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)


def comparable(text: str) -> str:
    """Replace what differs between runs: times, rates, numbers, random digits of references, OpenAPI's version."""
    text = re.sub(r"OpenAPI 3\.\d\.\d", "OpenAPI", text)
    text = re.sub(r"\d+\.\d+ s, \d+\.\d+ documents", "TIME", text)
    text = re.sub(r'"seconds": [\d.]+', "TIME", text)
    return re.sub(r'"operation_id": \d+|_[0-9a-f]{12}"', "NUMBER", text)


def test_the_session_of_the_guide_is_current(folder: Path, sandbox: Sandbox) -> None:
    shutil.rmtree("invoices")
    Path("invoices").mkdir()
    for number in (31, 32):
        shutil.copy(INVOICE, f"invoices/FT_2026_{number}.pdf")
    shown = SESSION.replace("127.0.0.1:8081", httpx.URL(sandbox.base_url).netloc.decode())
    environment = {**os.environ, "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}"}
    environment["PYTHONASYNCIODEBUG"] = ""  # or it would say which steps were slow
    happened = ""
    for command in re.findall(r"^\$ (.*)$", SESSION, re.MULTILINE):
        ended = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=True)
        happened += f"$ {command}\n{ended.stdout}{ended.stderr}"

    assert comparable(happened) == comparable(shown)


def test_the_settings_of_the_guide_are_current(folder: Path, run: Run) -> None:
    settings = tomllib.loads(SETTINGS)
    Path("settings.toml").write_text(SETTINGS.replace("pass show signstash", "printf sandbox-secret"))

    told = run("check", "--config", "settings.toml", "--base-url", "nonsense").err

    assert settings["environment"] == "production"
    assert "--base-url does not begin with http" in told
    assert told.count(";") == 0  # nothing else is wrong with it

"""The guide's worker for a task queue: several processes, a killed worker, tasks that are run twice."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from signstash.sandbox import Sandbox
from tests.conftest import INVOICE, require
from tests.guides.test_guides import GUIDES

(WORKER,) = re.findall(r"```py\n(.*?)```", GUIDES["src/signstash/applications.md"], re.DOTALL)

SENDER = """
import asyncio, json, sys
from worker import queue

async def main():
    await queue.connect()
    jobs = [await queue.enqueue("sign_invoice", path=path, timeout=10, retries=5) for path in json.loads(sys.argv[1])]
    print("sent", flush=True)
    for job in jobs:
        while not job.completed:
            # Workers look for lost tasks once a minute, and nobody else meanwhile; a test has less time.
            await queue.redis.delete(queue.namespace("sweep"))
            await queue.sweep(lock=1, abort=0.1)
            try:
                await job.refresh(0.5)
            except TimeoutError:
                pass
    print(json.dumps([job.result if job.error is None else job.error for job in jobs]))
    await queue.disconnect()

asyncio.run(main())
"""

TASKS = 8


@contextlib.contextmanager
def started(
    arguments: list[str], folder: Path, descriptors: Sequence[int] = (), /, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """A process in its own group, which inherits descriptors and is killed with its children."""
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        pass_fds=descriptors,
    )
    with process:
        try:
            yield process
        finally:
            kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """The URL of a server without data."""
    program, ready = require("redis-server"), False
    while not ready:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = str(taken.getsockname()[1])
        # Another process may take the port before the server does, which then ends.
        with started([program, "--port", port, "--bind", "127.0.0.1", "--save", ""], folder) as server:
            assert server.stdout is not None
            ready = any("Ready to accept connections" in line for line in server.stdout)
            if ready:
                yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "signed").mkdir()
    return tmp_path


def test_every_invoice_is_signed_once(sandbox: Sandbox, folder: Path) -> None:
    month = secrets.token_hex(4)
    names = [f"FT_{month}_{number}.pdf" for number in range(TASKS)]
    for name in names:
        (folder / name).write_bytes(INVOICE.read_bytes())
    worker = [sys.executable, "-m", "saq", "worker.settings"]

    with contextlib.ExitStack() as stack:
        settings = {
            "QUEUE_URL": stack.enter_context(redis(folder)),
            "SIGNED_FOLDER": "signed",
            "SIGNSTASH_BASE_URL": sandbox.base_url,
            "SIGNSTASH_TOKEN_URL": sandbox.token_url,
            "SIGNSTASH_CLIENT_ID": sandbox.client_id,
            "SIGNSTASH_CLIENT_SECRET": sandbox.client_secret,
        }
        sender = stack.enter_context(
            started([sys.executable, "-c", SENDER, json.dumps([*names, *names[:3]])], folder, **settings)
        )
        assert sender.stdout is not None
        assert sender.stdout.readline() == "sent\n"
        first = stack.enter_context(started(worker, folder, **settings))
        while not any(sandbox.signatures[name] for name in names):
            time.sleep(0.005)
        kill(first)
        for _ in range(2):
            stack.enter_context(started(worker, folder, **settings))
        reported: list[str] = json.loads(sender.stdout.read())

    assert {name: sandbox.signatures[name] for name in names} == dict.fromkeys(names, 1)
    saved = {path.name for path in (folder / "signed").iterdir() if path.suffix == ".pdf"}
    for name in saved:
        assert (folder / "signed" / name).read_bytes().startswith(INVOICE.read_bytes())
    for name in set(names) - saved:  # known to be signed, or still in flight when its task was run again
        assert any(name.removesuffix(".pdf") in text for text in reported), reported

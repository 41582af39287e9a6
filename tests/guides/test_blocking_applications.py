"""The guide's Django and Celery applications, in worker processes."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import unittest.mock
from pathlib import Path
from typing import Any

import httpx
import pytest

import signstash
from signstash.sandbox import Sandbox
from signstash.settings import ENVIRONMENT_VARIABLES
from signstash.testing import MockSignStash
from tests.conftest import INVOICE
from tests.guides.test_task_queue import redis, started

pytestmark = pytest.mark.sandbox

GUIDE = Path(signstash.__file__).with_name("blocking.md").read_text("utf-8")
DJANGO, CELERY = re.findall(r"```py\n(.*?)```", GUIDE, re.DOTALL)

TASKS: dict[str, Any] = {}
with unittest.mock.patch.dict(os.environ, BROKER_URL="memory://"):
    exec(CELERY, TASKS)  # without settings of the service

SITE = """
from django.conf import settings
settings.configure(DEBUG=False, ROOT_URLCONF="views", ALLOWED_HOSTS=["*"], SECRET_KEY="test", MIDDLEWARE=[])
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""

SENDER = """
import json, sys
from tasks import sign_invoices
for _ in range(2):  # as tasks that run twice
    paths = enumerate(json.loads(sys.argv[1]))
    results = [sign_invoices.delay({str(number): path}, "signed") for number, path in paths]
    print([result.get() for result in results])
"""


def environment(sandbox: Sandbox) -> dict[str, str]:
    return {ENVIRONMENT_VARIABLES[name]: str(value) for name, value in sandbox.credentials.items()}


@pytest.mark.parametrize("option", ["--threads=4", "--preload"])
def test_django_signs_in_two_worker_processes_of_gunicorn(sandbox: Sandbox, tmp_path: Path, option: str) -> None:
    (tmp_path / "views.py").write_text(DJANGO)
    (tmp_path / "site_wsgi.py").write_text(SITE)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        origin, descriptor = f"http://127.0.0.1:{listening.getsockname()[1]}", listening.fileno()
        command = [sys.executable, "-m", "gunicorn", "--workers=2", option, f"--bind=fd://{descriptor}"]
        with (
            started([*command, "site_wsgi:application"], tmp_path, [descriptor], **environment(sandbox)),
            httpx.Client(base_url=origin, timeout=None) as http_client,
        ):
            responses = [
                http_client.put(
                    f"/invoices/{option}{number}/26", content=INVOICE.read_bytes(), headers={"Connection": "close"}
                )
                for number in range(8)
            ]
            again = http_client.put(f"/invoices/{option}0/26", content=INVOICE.read_bytes())

    assert [response.status_code for response in responses] == [200] * 8
    assert all(response.content.startswith(INVOICE.read_bytes()) for response in responses)
    assert again.status_code == 409
    assert "used before" in again.text


@pytest.mark.parametrize("base_url", ["http://one.test/signstash", "http://two.test/signstash"])
def test_a_test_forgets_the_client_of_the_test_before(
    signstash_mock: MockSignStash, monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    monkeypatch.setenv("SIGNSTASH_BASE_URL", base_url)
    client = TASKS["signing"]()
    try:
        client.sign(signstash.Document.pdf(INVOICE))
    finally:
        client.close()
        TASKS["signing"].cache_clear()

    assert str(signstash_mock.router.calls.last.request.url).startswith(base_url)


def test_celery_signs_in_two_worker_processes(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(CELERY)
    paths = []
    for number in range(6):
        shutil.copy(INVOICE, tmp_path / f"{number}.pdf")
        paths.append(f"{number}.pdf")
    settings = environment(sandbox)
    worker = [sys.executable, "-m", "celery", "--app=tasks", "worker", "--concurrency=2", "--loglevel=ERROR"]

    with redis(tmp_path) as settings["BROKER_URL"], started(worker, tmp_path, **settings):
        ended = subprocess.run(
            [sys.executable, "-c", SENDER, str(paths).replace("'", '"')],
            cwd=tmp_path,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )

    assert ended.stdout.splitlines() == [str([{}] * 6)] * 2, ended.stderr
    assert sorted(path.name for path in (tmp_path / "signed").iterdir()) == sorted(paths)

"""The pytest plugin in other projects: it loads little, breaks nothing, and works with both plugins for asyncio."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import signstash.testing
from signstash.testing import MockSignStash

GUIDE = Path(signstash.testing.__file__).with_name("guide.md").read_text("utf-8")
EXAMPLE = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[0]
(PLUGIN,) = [point.value for point in entry_points(group="pytest11") if point.name == "signstash"]


def run_pytest(folder: Path, *arguments: str) -> str:
    """The output of pytest in another project with this plugin and the named ones."""
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "pytest", "-rs", "-W", "error", "-p", PLUGIN, "-p", "no:cacheprovider", *arguments]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr


def test_a_project_without_respx_is_unaffected(tmp_path: Path) -> None:
    for missing in ("respx", "starlette", "uvicorn"):
        (tmp_path / f"{missing}.py").write_text(f"raise ImportError('No module named {missing}')")
    (tmp_path / "test_project.py").write_text(
        "import sys\n"
        "def test_other_things():\n"
        "    assert not {'httpx', 'attrs', 'signstash.client', 'signstash.models'} & set(sys.modules)\n"
        "def test_with_a_sandbox(signstash_sandbox): ...\n"
        "def test_with_a_mock(signstash_mock): ...\n"
    )

    output = run_pytest(tmp_path)

    assert "1 passed, 1 skipped, 1 error" in output
    assert re.search(r"SKIPPED .*pip install 'signstash\[sandbox\]'", output)
    assert "ImportError: No module named respx. Mocks need more packages: pip install 'signstash[testing]'" in output


def test_the_example_of_the_readme_runs_under_pytest_asyncio(tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(EXAMPLE)

    scope = "asyncio_default_fixture_loop_scope=function"
    output = run_pytest(tmp_path, "-p", "pytest_asyncio.plugin", "--asyncio-mode=strict", "-o", scope)

    assert "2 passed" in output


def test_the_example_of_the_readme_runs_under_anyio(tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(EXAMPLE.replace("pytest.mark.asyncio", "pytest.mark.anyio"))
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n",
    )

    output = run_pytest(tmp_path, "-p", "anyio.pytest_plugin")

    assert "2 passed" in output


def test_a_failing_test_lists_received_requests_and_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(
        "def test_signed(signstash_mock):\n"
        "    signstash_mock.assert_signed('invoice.pdf')\n"
        "def test_prepared(signstash_mock):\n"
        "    signstash_mock.rate_limited()\n"
        "def test_failed_and_prepared(signstash_mock):\n"
        "    signstash_mock.issuer_inactive(times=2)\n"
        "    raise LookupError\n"
    )

    output = run_pytest(tmp_path)

    assert "E       AssertionError: invoice.pdf was not signed." in output
    assert "test_project.py:2: AssertionError" in output
    assert "AssertionError: The scenario rate_limited(times=1) did not occur." in output
    assert "The scenario issuer_inactive" not in output
    assert "2 failed, 1 passed, 1 error" in output


@pytest.mark.parametrize("fixture", ["signstash_mock", "signstash_sandbox"])
def test_fixtures_replace_the_environment(fixture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNSTASH_CLIENT_ID", "real")
    monkeypatch.setenv("SIGNSTASH_ENVIRONMENT", "production")
    (tmp_path / "test_project.py").write_text(
        "import asyncio, os\n"
        "from signstash import Document, SignStash\n"
        f"def test_settings({fixture}):\n"
        "    settings = {name: os.environ[name] for name in os.environ if name.startswith('SIGNSTASH_')}\n"
        f"    assert sorted(settings.values()) == sorted({fixture}.credentials.values())\n"
        "    async def application():\n"
        "        async with SignStash.from_env() as client:\n"
        "            await client.sign(Document.binary(b'any', name='any.bin'))\n"
        "    asyncio.run(application())\n"
        "def test_settings_are_restored():\n"
        "    assert os.environ['SIGNSTASH_CLIENT_ID'] == 'real'\n"
    )

    assert "2 passed" in run_pytest(tmp_path)


def test_faults_of_the_sandbox_end_after_the_test(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(
        "from signstash.sandbox import Fault\n"
        "def test_one(signstash_sandbox):\n"
        "    signstash_sandbox.faults.add(Fault('too_many_requests'))\n"
        "def test_two(signstash_sandbox):\n"
        "    assert signstash_sandbox.faults.active() == []\n"
    )

    assert "2 passed" in run_pytest(tmp_path)


def test_a_failed_assertion_names_a_plugin_that_intercepted_the_requests(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(
        "import asyncio, contextlib, httpx\n"
        "from signstash import Document, SignStash\n"
        "def test_application(httpx_mock, signstash_mock):\n"
        "    httpx_mock.add_response(json={})\n"
        "    async def application():\n"
        "        async with httpx.AsyncClient() as http_client:\n"
        "            client = SignStash(**signstash_mock.credentials, http_client=http_client)\n"
        "            with contextlib.suppress(Exception):\n"
        "                await client.sign(Document.binary(b'any', name='any.bin'))\n"
        "    asyncio.run(application())\n"
        "    signstash_mock.assert_signed('any.bin')\n"
        "def test_own_client(httpx_mock, signstash_mock):\n"
        "    async def application():\n"
        "        await signstash_mock.client.sign(Document.binary(b'any', name='any.bin'))\n"
        "    asyncio.run(application())\n"
        "    signstash_mock.assert_signed('any.bin')\n"
    )

    output = run_pytest(tmp_path, "-p", "pytest_httpx")

    assert "any.bin was not signed." in output
    assert "pytest_httpx is active in this test and takes the requests of your own httpx clients first" in output
    assert "1 failed, 1 passed" in output


def test_the_guide_lists_every_scenario() -> None:
    section = GUIDE.partition("## The mock")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`(\w+)\(", section)) - {"MockSignStash"}
    scenarios = {name for name in dir(MockSignStash.__mro__[1]) if not name.startswith("_")}

    assert listed == scenarios

"""First commands: the import without extras, the sandbox from a shell, the demonstration."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from signstash import Document, InvalidRequestError, SignStash
from tests.conftest import INVOICE

TESTS = Path(__file__).parents[1]

BARE = """
import importlib.machinery, sys

class NothingElse:
    installed = {"signstash", "httpx", "httpcore", "h11", "anyio", "idna", "certifi", "sniffio", "typing_extensions",
                 "attr", "attrs"}

    def find_spec(self, name, path=None, target=None):
        found = importlib.machinery.PathFinder.find_spec(name, path)
        if found and "site-packages" in str(found.origin) and name.partition(".")[0] not in self.installed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NothingElse())
"""
"""Makes it as if only httpx, attrs and what these two need were installed."""


def python(program: str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


class TestImport:
    def test_the_core_imports_with_httpx_and_attrs_alone(self) -> None:
        program = """
import signstash
names = {name: getattr(signstash, name) for name in signstash.__all__}
signstash.SignStash("http://proxy.test/x", "alias", "secret", environment="staging")
signstash.Document.pdf(b"%PDF-", name="a.pdf", visible_signature=signstash.VisibleSignature(field="f"))
print(len(names) > 20)
"""
        ended = python(BARE + program)

        assert (ended.stdout, ended.stderr, ended.returncode) == ("True\n", "", 0)

    def test_an_import_error_of_the_sandbox_names_the_extra(self) -> None:
        ended = python(BARE + "import signstash.sandbox")

        assert ended.returncode == 1
        assert re.search(r"ImportError: .*pip install 'signstash\[sandbox\]'", ended.stderr)

    def test_packages_of_extras_are_not_imported(self) -> None:
        extra = "{'starlette', 'uvicorn', 'pyhanko', 'cryptography', 'lxml', 'PIL', 'signxml', 'respx', 'pytest'}"

        ended = python(f"import sys, signstash; print(sorted({extra} & sys.modules.keys()))")

        assert (ended.stdout, ended.stderr) == ("[]\n", "")


@pytest.mark.sandbox
class TestSandboxCommand:
    async def test_the_sandbox_prints_working_settings_and_ends_on_ctrl_c(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "signstash.sandbox", "--port", "0", "--asynchronous",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout
        try:
            settings: dict[str, str] = {}
            while len(settings) < 4:
                line = (await process.stdout.readline()).decode()
                assert line, "it ended"
                settings |= re.findall(r"^ *export (\w+)='(.*)'$", line)
            async with SignStash.from_env(settings) as client:
                signed = await client.sign(Document.pdf(INVOICE))
                with pytest.raises(InvalidRequestError, match="externalReference"):
                    await client.request("POST", "/api/v0/async/document/sign/base64/", json={})
            process.send_signal(signal.SIGINT)
            printed, complaints = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

        assert signed.content.startswith(INVOICE.read_bytes())
        assert settings["SIGNSTASH_BASE_URL"].startswith("http://127.0.0.1:")
        assert (process.returncode, printed, complaints) == (0, b"", b"")

    def test_a_used_port_is_reported(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            command = [sys.executable, "-m", "signstash.sandbox", "--port", str(port)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)

        assert ended.returncode == 2
        assert ended.stderr.startswith(f"The sandbox cannot listen on 127.0.0.1:{port}: Address already in use")


class TestCommand:
    """`signstash`, as it is installed."""

    COMMAND = str(Path(sys.executable).with_name("signstash"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.COMMAND, *arguments], capture_output=True, text=True, check=False)

    def test_help_lists_the_commands(self) -> None:
        ended = self.run("--help")

        assert ended.returncode == 0
        assert re.search(r"sandbox +run a local Sign'Stash for tests", ended.stdout)

    def test_options_are_passed_to_the_sandbox(self) -> None:
        assert self.run("sandbox", "--help").stdout.startswith("usage: signstash sandbox [-h] [--host HOST]")
        refused = self.run("sandbox", "--host", "192.0.2.1")
        assert refused.returncode == 2
        assert "--allow-remote" in refused.stderr
        refused = self.run("sandbox", "--port", "99999")
        assert (refused.returncode, refused.stderr) == (
            2, "The sandbox cannot listen on 127.0.0.1:99999: the port is out of range.\n",
        )  # fmt: skip

    @pytest.mark.parametrize("arguments", [[], ["sing"]])
    def test_an_unknown_command_is_a_usage_error(self, arguments: list[str]) -> None:
        ended = self.run(*arguments)

        assert ended.returncode == 2
        assert ended.stderr.startswith("usage: signstash")

    def test_the_sandbox_command_names_its_extra(self) -> None:
        ended = python(BARE + "from signstash.command_line import main; sys.exit(main(['sandbox']))")

        assert ended.returncode == 2
        assert ended.stderr.endswith("pip install 'signstash[sandbox]'\n")
        assert "Traceback" not in ended.stderr


@pytest.mark.sandbox
class TestDemonstration:
    def test_the_demonstration_leaves_a_valid_signature(self, tmp_path: Path) -> None:
        (tmp_path / "tests" / "data").mkdir(parents=True)
        shutil.copy(TESTS / "demo.py", tmp_path / "tests")
        shutil.copy(INVOICE, tmp_path / "tests" / "data")

        ended = subprocess.run(
            [sys.executable, "tests/demo.py"], cwd=tmp_path, capture_output=True, text=True, check=False
        )

        assert (ended.returncode, ended.stderr) == (0, "")
        assert re.search(r"^Integrity +intact$", ended.stdout, re.MULTILINE)
        assert re.search(r"^Coverage +entire file$", ended.stdout, re.MULTILINE)
        signed = tmp_path / "build" / "invoice.signed.pdf"
        assert f"{signed.stat().st_size:,} bytes" in ended.stdout
        assert self.verdict(signed, tmp_path) == (0, "VALID")
        changed = tmp_path / "changed.pdf"
        changed.write_bytes(signed.read_bytes().replace(b"Invoice approval", b"Invoice refusal "))
        assert self.verdict(changed, tmp_path) == (1, "INVALID")

    def verdict(self, signed: Path, folder: Path) -> tuple[int, str]:
        """The exit status and verdict of pyHanko's own command."""
        root = folder / "build" / "sandbox-root.pem"
        command = ["sign", "validate", "--pretty-print", "--trust-replace", "--trust", str(root), str(signed)]
        pyhanko = Path(sys.executable).with_name("pyhanko")
        ended = subprocess.run([pyhanko, *command], cwd=folder, capture_output=True, text=True, check=False)
        (judged,) = re.findall(r"The signature is judged (\w+)\.", ended.stdout)
        return ended.returncode, judged

"""README and guides: every Python block runs and passes a type checker, and the tables are complete."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import CodeType

import httpx
import pytest

import signstash.sandbox
from signstash import errors
from signstash.blocking import BlockingSignStash
from signstash.options import SignatureOptions
from signstash.sandbox import Sandbox
from signstash.testing import MockSignStash
from tests.conftest import INVOICE

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "src" / "signstash"
README = PROJECT / "README.md"
GUIDES = {
    path.relative_to(PROJECT).as_posix(): path.read_text("utf-8") for path in (README, *sorted(PACKAGE.rglob("*.md")))
}
PROGRAM, *_ = re.findall(r"```python\n(.*?)```", GUIDES["README.md"], re.DOTALL)
OTHER_DEFINITION = "# Names depend on your definition.\n"
"""Begins a snippet for a client from another definition, as `tests.proofs.regeneration` makes it."""
SNIPPETS = [
    pytest.param(snippet, id=f"{name}-{number}")
    for name, text in GUIDES.items()
    for number, snippet in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    if snippet != PROGRAM and not snippet.startswith(OTHER_DEFINITION)
]


def test_the_first_program_signs_with_a_sandbox(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "invoice.pdf").write_bytes(INVOICE.read_bytes())
    settings = {
        "SIGNSTASH_BASE_URL": sandbox.base_url,
        "SIGNSTASH_TOKEN_URL": sandbox.token_url,
        "SIGNSTASH_CLIENT_ID": sandbox.client_id,
        "SIGNSTASH_CLIENT_SECRET": sandbox.client_secret,
    }

    ended = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env={**os.environ, **settings}, capture_output=True, check=False
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert (tmp_path / "signed" / "invoice.pdf").read_bytes().startswith(INVOICE.read_bytes())


@pytest.mark.parametrize("snippet", SNIPPETS)
async def test_a_snippet_runs(
    snippet: str, signstash_mock: MockSignStash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("invoice.pdf").write_bytes(INVOICE.read_bytes())
    signstash_mock.assert_all_called = False
    signstash_mock.router.get(path__regex="/v3/api-docs$").respond(json={})
    signstash_mock.router.route(host="127.0.0.1").pass_through()  # a sandbox that the snippet starts
    if "multicert-root.pem" in snippet:
        await _sign_with_a_sandbox(Path("multicert-root.pem"))
    client = signstash_mock.client
    await client.sign(signstash.Document.pdf("invoice.pdf", external_reference="FT_2026_31"))
    names = {
        **{name: getattr(signstash, name) for name in signstash.__all__},  # type: ignore[attr-defined]
        **{name: getattr(signstash.sandbox, name) for name in signstash.sandbox.__all__},
        "httpx": httpx,
        "client": client,
        "document": signstash.Document.pdf("invoice.pdf"),
        "paths": ["invoice.pdf"],
        "number": 1,
        **signstash_mock.credentials,
    }
    code: CodeType = compile(snippet, "guide", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, names)
    else:
        await asyncio.to_thread(eval, code, names)


async def _sign_with_a_sandbox(root: Path) -> None:
    async with Sandbox() as sandbox, signstash.SignStash(**sandbox.credentials) as client:
        await client.sign(signstash.Document.pdf("invoice.pdf"), save_to="signed")
        root.write_bytes(sandbox.root_certificate)


GIVEN = """
import httpx
from signstash import *
from signstash.sandbox import *

async def snippet(
    client: SignStash, document: Document, paths: list[str], number: int, base_url: str, token_url: str, client_id: str,
    client_secret: str,
) -> None:
"""


@pytest.mark.parametrize("guide", GUIDES)
def test_code_is_as_wide_as_pages_show_it(guide: str) -> None:
    blocks = re.findall(r"```py(?:thon)?\n(.*?)```", GUIDES[guide], re.DOTALL)

    assert [line for block in blocks for line in block.splitlines() if len(line) > 100] == []


def test_type_checkers_accept_every_snippet(tmp_path: Path) -> None:
    for guide, text in GUIDES.items():
        for number, block in enumerate(re.findall(r"```py(?:thon)?\n(.*?)```", text, re.DOTALL)):
            if block.startswith(OTHER_DEFINITION):
                continue
            complete = re.search(r"^from signstash(?!\.api)\b.* import", block, re.MULTILINE)
            path = tmp_path / f"{re.sub(r'[^a-z]', '_', guide.lower())}_{number}.py"
            path.write_text(block if complete else GIVEN + textwrap.indent(block, "    "))

    for command in (["mypy", str(tmp_path)], ["pyright", "--pythonpath", sys.executable, str(tmp_path)]):
        ended = subprocess.run(
            [sys.executable, "-m", *command], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_guide_to_errors_lists_every_error() -> None:
    listed = re.findall(r"^\| `(\w+Error)` \|", GUIDES["src/signstash/errors.md"], re.MULTILINE)
    abstract = {"SignStashError", "AuthenticationError"}
    tree = {
        name
        for name, item in vars(errors).items()
        if inspect.isclass(item) and issubclass(item, Exception) and not name.startswith("_")
    }

    assert sorted(listed) == sorted(tree - abstract)


def test_every_public_name_is_in_the_documentation() -> None:
    text = "".join(GUIDES.values())
    hidden = {name for name in signstash.__all__ if name not in text}  # type: ignore[attr-defined]

    assert hidden <= {"AuthenticationError"}


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (signstash.SignStash.sign_all, signstash.RunOptions),
        (signstash.SignStash.batching, signstash.RunOptions),
        (BlockingSignStash.sign_all, signstash.RunOptions),
        (signstash.Document.pdf, SignatureOptions),
    ],
)
def test_help_names_every_option(function: Callable[..., object], options: type) -> None:
    documented = inspect.getdoc(function) or ""

    assert [name for name in options.__annotations__ if f"`{name}`" not in documented] == []


@pytest.mark.parametrize("guide", GUIDES)
def test_every_link_has_a_target(guide: str) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", GUIDES[guide])

    assert [target for target in targets if not (PROJECT / guide).parent.joinpath(target).exists()] == []


def test_readme_links_every_guide() -> None:
    linked = set(re.findall(r"\]\((src/[^)#]+)", GUIDES["README.md"]))

    assert linked == GUIDES.keys() - {"README.md"}


def test_readme_is_short() -> None:
    assert len(GUIDES["README.md"].splitlines()) <= 250

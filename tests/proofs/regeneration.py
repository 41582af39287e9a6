"""What `make prove-regeneration` runs: clients made from other definitions sign, and pass the whole suite.

With `--short`, as in CI: clients from three definitions sign a PDF at a sandbox that knows nothing of it, in every way
that their definition offers, and poppler judges the signatures. Without it also `make regenerate` with each of the
eight definitions, and the whole suite after three of them. All of it happens in copies of the project.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signstash.command_line.definition.reading import parse_definition
from signstash.sandbox import Sandbox

PROJECT = Path(__file__).resolve().parents[2]
DEFINITIONS = sorted(PROJECT.joinpath("tests", "data", "definitions").glob("0[1-8]*"))
SIGNING = {"01": ["base64"], "02": ["base64", "multipart"], "06": ["base64", "multipart", "asynchronous"]}
"""Definitions whose clients sign, and how."""
WITH_THE_WHOLE_SUITE = ("03", "05", "08")
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")


@contextmanager
def project_copy() -> Iterator[Path]:
    """A copy of the project."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(PROJECT, copy, ignore=NOT_COPIED)
        yield copy


def run(folder: Path, *command: object, **settings: str) -> None:
    """Run Python in a copy of the project, with the package that is there."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1", **settings}
    subprocess.run([sys.executable, *map(str, command)], cwd=folder, env=environment, check=True)


def prove_signing(definition: Path, sandbox: Sandbox) -> None:
    """Make a client, sign with it, and have the signatures judged."""
    with project_copy() as copy:
        shutil.copy(PROJECT / "tests" / "proofs" / "regenerated_client.py", copy)
        copy.joinpath("openapi", "upstream.json").write_text(json.dumps(parse_definition(definition.read_bytes())))
        run(copy, "openapi/generate.py")
        for way in SIGNING[definition.name[:2]]:
            signed = copy / f"{way}.pdf"
            run(
                copy,
                *("regenerated_client.py", way, signed, sandbox.base_url),
                SIGNSTASH_BASE_URL=sandbox.base_url,
                SIGNSTASH_TOKEN_URL=sandbox.token_url,
                SIGNSTASH_CLIENT_ID=sandbox.client_id,
                SIGNSTASH_CLIENT_SECRET=sandbox.client_secret,
            )
            judged = subprocess.run(["pdfsig", "-nocert", signed], capture_output=True, text=True, check=False).stdout
            if "Signature is Valid" not in judged or "Total document signed" not in judged:
                raise SystemExit(f"{definition.name}, {way}: pdfsig says\n{judged}")
            print(f"{definition.name}: {way}: signed, and valid for pdfsig", flush=True)


def prove_regeneration(definition: Path) -> None:
    """Run `make regenerate` in a copy of the project, and the whole suite there if it is asked for."""
    with project_copy() as copy:
        started = time.monotonic()
        run(copy, "openapi/regenerate.py", definition)
        print(f"== {definition.name}: regenerated in {time.monotonic() - started:.0f} s", flush=True)
        if definition.name.startswith(WITH_THE_WHOLE_SUITE):
            run(copy, "openapi/generate.py", "--check")
            run(copy, "-m", "mypy")
            run(copy, "-m", "pytest", "-q", "--numprocesses", "2", "--dist", "worksteal")


def main() -> None:
    """Prove it."""
    with Sandbox(asynchronous=True) as sandbox:
        for definition in DEFINITIONS:
            if definition.name[:2] in SIGNING:
                prove_signing(definition, sandbox)
    if "--short" not in sys.argv[1:]:
        for definition in DEFINITIONS:
            prove_regeneration(definition)


if __name__ == "__main__":
    main()

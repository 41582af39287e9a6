"""Takes over a definition that was downloaded, and makes the client anew.

    python openapi/regenerate.py SPEC          all of it, or nothing
    python openapi/regenerate.py --diff SPEC   only say what changed

SPEC is a file or a URL. A URL may hold user and password for Basic authentication, which are not stored; a private CA
is named by the environment variable SSL_CERT_FILE. All work is done in a copy of the project, so that a step that
fails leaves everything as it was.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

import generate
from differences import compare
from failure import GenerationError
from laying import DefinitionError, Laid, parse_definition

NOT_COPIED = (".git", ".venv", "build", "dist", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis")

TESTS = (
    "tests/test_client.py",
    "tests/signing/test_unexpected_responses.py",
    "tests/openapi/test_generated.py",
    "tests/testing/test_mock.py",
)
"""The tests of what a definition can break: requests, what is read from responses, and the generated functions."""


def obtain(source: str) -> dict[str, Any]:
    """Read a definition from a file or a URL.

    Raises:
        GenerationError: If it cannot be read.
        DefinitionError: If what is there is no definition.
    """
    if source.lower().startswith(("http://", "https://")):
        content = _download(source)
    else:
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            raise GenerationError(f"{source} cannot be read: {error.strerror}.") from error
    return _ordered(parse_definition(content))


def _download(source: str) -> bytes:
    try:
        url = httpx.URL(source)
    except httpx.InvalidURL as error:
        raise GenerationError(f"what was given is not a URL: {error}.") from None
    shown = url.copy_with(username=None, password=None)
    credentials = (url.username, url.password) if url.userinfo else None
    try:
        response = httpx.get(shown, auth=credentials, timeout=30)
    except httpx.HTTPError as error:
        raise GenerationError(
            f"{shown} cannot be reached: {error}. For a private CA set SSL_CERT_FILE to its certificate."
        ) from error
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise GenerationError(f"{shown} asks for a user and password: give them as https://user:password@host/...")
    if not response.is_success:
        raise GenerationError(f"{shown} returns HTTP {response.status_code}. Try /v3/api-docs and /v2/api-docs.")
    return response.content


def _ordered(definition: dict[str, Any]) -> dict[str, Any]:
    """Paths and schemas by name: servers give them in any order. The order of fields is kept, it means something."""

    def by_name(part: Any) -> Any:
        return dict(sorted(part.items(), key=lambda item: str(item[0]))) if isinstance(part, dict) else part

    ordered = {name: by_name(part) if name in ("paths", "definitions") else part for name, part in definition.items()}
    if isinstance(ordered.get("components"), dict):
        ordered["components"] = {name: by_name(part) for name, part in ordered["components"].items()}
    return ordered


def show_report(laid: Laid) -> None:
    """Print what was found."""
    width = max(len(subject) for subject, _ in laid.report) + 2
    for subject, text in laid.report:
        print(f"{subject:{width}} {text}")


def show_differences(laid: Laid) -> None:
    """Print what changed against the definition that the client is generated from now."""
    found = compare(generate.laid(json.loads(generate.UPSTREAM.read_text("utf-8"))), laid)
    for difference in found:
        print(difference)
    breaking = sum(difference.breaks for difference in found)
    print(f"Differences: {len(found)}, breaking: {breaking}." if found else "Nothing changed for callers.")


def regenerate(upstream: dict[str, Any]) -> None:
    """Make the client in a copy of the project, test it there, and take it over."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(generate.ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        written = json.dumps(upstream, indent=2, ensure_ascii=False, default=str) + "\n"
        (copy / "openapi" / "upstream.json").write_text(written, "utf-8")
        _step("1/3 generation", copy, "openapi/generate.py")
        _step("2/3 type check", copy, "-m", "mypy", "src/signstash")
        _step("3/3 tests", copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS, shown=True)
        places = (generate.UPSTREAM, generate.DEFINITION, generate.GENERATED)
        generate.take_over({place: copy / place.relative_to(generate.ROOT) for place in places})


def _step(name: str, folder: Path, *command: str, shown: bool = False) -> None:
    print(f"{name} ...", flush=True)
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    output = None if shown else subprocess.PIPE
    ended = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, stdout=output, stderr=output, text=True, check=False
    )
    if ended.returncode:
        said = ((ended.stdout or "") + (ended.stderr or "")).replace(str(folder), ".").strip()
        raise GenerationError(f"the step '{name}' failed, and nothing was changed.\n{said}".rstrip())
    print(f"{name}: done in {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", metavar="SPEC", help="file or URL of the definition")
    parser.add_argument("--diff", action="store_true", help="only say what changed")
    arguments = parser.parse_args()
    try:
        upstream = obtain(arguments.spec)
        laid = generate.laid(upstream)
        show_report(laid)
        if arguments.diff:
            show_differences(laid)
        elif laid.problems:
            raise generate.no_client(laid.problems)
        else:
            regenerate(upstream)
            print("The client is generated from the new definition. Run `make test`, then commit the changes.")
    except (GenerationError, DefinitionError) as error:
        print(f"{'Comparison' if arguments.diff else 'Regeneration'} failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

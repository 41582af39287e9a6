"""Puts a definition that was downloaded in the place of ours, and makes the client anew.

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
from pathlib import Path
from typing import Any

import httpx
import yaml

import generate
from differences import compare
from failure import GenerationError

NOT_COPIED = (".git", ".venv", "build", "dist", "node_modules", "__pycache__", ".*_cache", ".hypothesis")

TESTS = ("-m", "not sandbox and not own_definition")
"""The tests that say something about any definition."""


def obtain(source: str) -> dict[str, Any]:
    """Read the definition from a file or a URL."""
    text = _download(source) if source.lower().startswith(("http://", "https://")) else _read(Path(source))
    try:
        definition = json.loads(text)
    except ValueError:
        try:
            definition = yaml.safe_load(text)
        except yaml.YAMLError:
            definition = None
    if not isinstance(definition, dict):
        begins = " ".join(text[:60].split())
        raise GenerationError(f"what was read is neither a JSON nor a YAML object. It begins: {begins!r}.")
    return _ordered(definition)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GenerationError(f"{path} cannot be read: {error}.") from error


def _download(source: str) -> str:
    try:
        url = httpx.URL(source)
    except httpx.InvalidURL as error:
        raise GenerationError(f"what was given is no URL: {error}.") from None
    shown = url.copy_with(username=None, password=None)
    credentials = (url.username, url.password) if url.userinfo else None
    try:
        answer = httpx.get(shown, auth=credentials, timeout=30)
    except httpx.HTTPError as error:
        raise GenerationError(
            f"{shown} cannot be reached: {error}. For a private CA set SSL_CERT_FILE to its certificate."
        ) from error
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise GenerationError(f"{shown} asks for a user and password: give them as https://user:password@host/...")
    if not answer.is_success:
        raise GenerationError(f"{shown} answers HTTP {answer.status_code}. Try /v3/api-docs and /v2/api-docs.")
    return answer.text


def _ordered(definition: dict[str, Any]) -> dict[str, Any]:
    """Paths and schemas by name: servers give them in any order. The order of fields is kept, it means something."""
    ordered = dict(definition)
    if isinstance(ordered.get("paths"), dict):
        ordered["paths"] = dict(sorted(ordered["paths"].items()))
    if isinstance(ordered.get("definitions"), dict):
        ordered["definitions"] = dict(sorted(ordered["definitions"].items()))
    if isinstance(ordered.get("components"), dict):
        parts = ordered["components"].items()
        ordered["components"] = {
            name: dict(sorted(part.items())) if isinstance(part, dict) else part for name, part in parts
        }
    return ordered


def report(definition: dict[str, Any]) -> None:
    """Print what changed against the committed definition."""
    found = compare(json.loads(generate.DEFINITION.read_text("utf-8")), definition)
    for difference in found:
        print(difference)
    breaking = sum(difference.breaks for difference in found)
    print(f"{len(found)} differences, {breaking} of them break callers." if found else "The definitions are the same.")


def regenerate(upstream: dict[str, Any]) -> None:
    """Make the client in a copy of the project, test it there, and take it over."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(generate.ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        if generate.CONVERTER_MODULES.exists():
            (copy / "openapi" / "node_modules").symlink_to(generate.CONVERTER_MODULES)
        written = json.dumps(upstream, indent=2, ensure_ascii=False) + "\n"
        (copy / "openapi" / "upstream.json").write_text(written, "utf-8")
        _step("generation", copy, sys.executable, "openapi/generate.py")
        _step("type check", copy, sys.executable, "-m", "mypy", "src/signstash")
        _step("tests", copy, sys.executable, "-m", "pytest", "-q", *TESTS)
        places = (generate.UPSTREAM, generate.DEFINITION, generate.GENERATED)
        generate.take_over({place: copy / place.relative_to(generate.ROOT) for place in places})


def _step(name: str, folder: Path, *command: str) -> None:
    print(f"{name} ...", flush=True)
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if ended.returncode:
        output = (ended.stdout + ended.stderr).replace(str(folder), ".").strip()
        raise GenerationError(f"the step '{name}' failed, and nothing was changed.\n{output}")


def _checked(upstream: dict[str, Any], *, bind: bool) -> dict[str, Any]:
    try:
        definition = generate.definition_from(upstream)
        if bind:
            generate.check_bindings(definition)
    except (LookupError, AttributeError, TypeError) as error:
        raise GenerationError(f"the definition is not as OpenAPI has it ({type(error).__name__}: {error}).") from error
    return definition


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", metavar="SPEC", help="file or URL of the definition")
    parser.add_argument("--diff", action="store_true", help="only say what changed")
    arguments = parser.parse_args()
    try:
        upstream = obtain(arguments.spec)
        definition = _checked(upstream, bind=not arguments.diff)
        report(definition)
        if not arguments.diff:
            regenerate(upstream)
            print("Took over the new definition. Read the differences above, then run `make test`.")
    except GenerationError as error:
        print(f"Regeneration failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

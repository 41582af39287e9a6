"""Makes `openapi/signstash.json` and `src/signstash/_generated` from the files beside it.

    python openapi/generate.py            write both
    python openapi/generate.py --check    write nothing; fail and show the difference if either is stale

Inputs: `upstream.json` (as downloaded), `overlay.yaml` (corrections), `templates/*.diff` (changes to the
generator's own templates) and `generator-config.yaml`. It needs no network, and the same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openapi_python_client
import yaml
from jsonpath_ng.ext import parse as parse_json_path
from jsonschema import Draft202012Validator
from oas_patch import apply_overlay
from oas_patch.validator import load_schema
from openapi_spec_validator import OpenAPIV30SpecValidator

from conversion import as_openapi3, operations
from failure import GenerationError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
UPSTREAM = HERE / "upstream.json"
OVERLAY = HERE / "overlay.yaml"
TEMPLATE_DIFFS = HERE / "templates"
DEFINITION = HERE / "signstash.json"
CONVERTER_MODULES = HERE / "node_modules"
CONFIG = ROOT / "generator-config.yaml"
SOURCES = ROOT / "src" / "signstash"
GENERATED = SOURCES / "_generated"


def overlaid(upstream: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Apply the overlay, refusing actions that hit nothing.

    oas-patch applies overlays well but passes over an action whose target is gone, and then a correction
    would be lost without a word.
    """
    faults = [
        error.message for error in Draft202012Validator(load_schema("overlay_schema_1.0.0.yml")).iter_errors(overlay)
    ]
    if faults:
        raise GenerationError(f"{OVERLAY.name} is not an OpenAPI Overlay 1.0 document: {'; '.join(faults)}")
    definition = json.loads(json.dumps(upstream))
    for action in overlay["actions"]:
        if not parse_json_path(action["target"]).find(definition):
            raise GenerationError(
                f"{OVERLAY.name}: nothing is at {action['target']} any more. The vendor may have mended this: "
                f"{action['description'].strip()} Look at {UPSTREAM.name} there, then change or delete the action."
            )
        definition = apply_overlay(definition, {**overlay, "actions": [action]})
    # YAML anchors make one object stand in several places; a round trip gives each place its own.
    return json.loads(json.dumps(definition))  # type: ignore[no-any-return]


def write_templates(target: Path) -> None:
    """Copy the generator's templates that we change, and change them; the diffs fit one version only."""
    diffs = sorted(TEMPLATE_DIFFS.glob("*.diff"))
    originals = Path(openapi_python_client.__file__).parent / "templates"
    for diff in diffs:
        shutil.copy(originals / f"{diff.stem}.py.jinja", target)
    # A repository around the target folder would make git apply skip files silently.
    outside = {**os.environ, "GIT_CEILING_DIRECTORIES": str(target.parent)}
    applied = subprocess.run(
        ["git", "apply", "--unidiff-zero", *map(str, diffs)],
        cwd=target, env=outside, capture_output=True, text=True,
    )  # fmt: skip
    if applied.returncode:
        raise GenerationError(
            f"{TEMPLATE_DIFFS.name}: a change does not fit the installed openapi-python-client any more. "
            f"Compare the named template with the diff and write the diff anew.\n{applied.stderr.strip()}"
        )


def generate_package(definition: Path, target: Path) -> None:
    """Run the generator, with every warning an error: it drops what it warns about."""
    with tempfile.TemporaryDirectory() as templates:
        write_templates(Path(templates))
        tools = str(Path(sys.executable).parent)
        command = [
            sys.executable, "-m", "openapi_python_client", "generate", "--path", str(definition),
            "--config", str(CONFIG), "--custom-template-path", templates,
            "--meta", "none", "--output-path", str(target), "--overwrite", "--fail-on-warning",
        ]  # fmt: skip
        environment = {**os.environ, "PATH": tools + os.pathsep + os.environ.get("PATH", "")}
        generated = subprocess.run(command, env=environment, capture_output=True, text=True)
    if generated.returncode:
        raise GenerationError(f"openapi-python-client failed:\n{generated.stdout}{generated.stderr}")


def definition_from(upstream: dict[str, Any]) -> dict[str, Any]:
    """The definition that the client is generated from: OpenAPI 3, corrected, and valid."""
    definition = overlaid(as_openapi3(upstream), yaml.safe_load(OVERLAY.read_text("utf-8")))
    try:
        faults = [error.message for error in OpenAPIV30SpecValidator(definition).iter_errors()]
    except KeyError as missing:  # the validator needs it itself
        faults = [f"{missing} is missing"]
    if faults:
        raise GenerationError(f"{DEFINITION.name} would not be valid OpenAPI 3.0: {'; '.join(faults)}")
    return definition


def check_bindings(definition: dict[str, Any]) -> None:
    """Refuse a definition that lacks an operation or a schema which the handwritten code is bound to."""
    previous = json.loads(DEFINITION.read_text("utf-8")) if DEFINITION.exists() else definition
    complaints = []
    ids = {operation["operationId"]: (path, method) for path, method, operation in operations(definition)}
    old_places = {operation["operationId"]: (path, method) for path, method, operation in operations(previous)}
    for name in sorted(_bound_operations() - ids.keys()):
        same_place = [other for other, place in ids.items() if place == old_places.get(name)]
        candidates = same_place or difflib.get_close_matches(name, ids) or ["none"]
        complaints.append(f"operation {name} is gone; candidates: {', '.join(candidates)} (bound in endpoints.py)")
    schemas, old_schemas = (each["components"]["schemas"] for each in (definition, previous))
    for name in sorted((_bound_models() & old_schemas.keys()) - schemas.keys()):
        same_fields = [other for other, schema in schemas.items() if _fields(schema) == _fields(old_schemas[name])]
        candidates = same_fields or difflib.get_close_matches(name, schemas) or ["none"]
        complaints.append(f"schema {name} is gone; candidates: {', '.join(candidates)} (bound in models.py)")
    if complaints:
        raise GenerationError("the handwritten code needs what the definition lacks:\n  " + "\n  ".join(complaints))


def _fields(schema: dict[str, Any]) -> object:
    return sorted(schema.get("properties", {})) or schema.get("enum")


def _bound_operations() -> set[str]:
    """The operation ids that endpoints.py names."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse((SOURCES / "_transport" / "endpoints.py").read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "_call"
        and isinstance(node.args[0], ast.Constant)
    }


def _bound_models() -> set[str]:
    """The models that handwritten modules import, less those that models.py gives another name."""
    renamed = {
        target.id
        for node in ast.walk(ast.parse((SOURCES / "models.py").read_text("utf-8")))
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    imported = {
        alias.name
        for path in SOURCES.rglob("*.py")
        if GENERATED not in path.parents
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "models"
        for alias in node.names
    }
    return imported - renamed


def build(target: Path) -> None:
    """Make `signstash.json` and `_generated` in the folder `target`."""
    definition = definition_from(json.loads(UPSTREAM.read_text("utf-8")))
    check_bindings(definition)
    (target / DEFINITION.name).write_text(json.dumps(definition, indent=2, ensure_ascii=False) + "\n", "utf-8")
    generate_package(target / DEFINITION.name, target / GENERATED.name)


def files(definition: Path, package: Path) -> dict[str, bytes]:
    """The definition and every file of the generated package, by name."""
    found = {} if not definition.exists() else {definition.name: definition.read_bytes()}
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            found[f"{package.name}/{path.relative_to(package)}"] = path.read_bytes()
    return found


def differences(target: Path) -> list[str]:
    """Unified diff lines between what is committed and what was made in `target`; every byte counts."""
    before, after = files(DEFINITION, GENERATED), files(target / DEFINITION.name, target / GENERATED.name)
    lines: list[str] = []
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            old, new = (each.get(name, b"").decode("utf-8", "replace").splitlines(True) for each in (before, after))
            lines += [f"differs: {name}"]
            lines += [
                line.rstrip("\n") for line in difflib.unified_diff(old, new, f"committed/{name}", f"generated/{name}")
            ]
    return lines


def take_over(made: Mapping[Path, Path]) -> None:
    """Put what was made in its places: all of it, or nothing.

    Args:
        made: Files and folders, by the places that they go to.
    """
    fresh = {place: place.with_name(f"{place.name}.new") for place in made}
    stale = {place: place.with_name(f"{place.name}.old") for place in made}
    swapped: list[Path] = []
    try:
        for place, source in made.items():
            _remove(fresh[place])
            (shutil.copytree if source.is_dir() else shutil.copy)(source, fresh[place])
        for place in made:
            _remove(stale[place])
            swapped.append(place)
            if place.exists():
                place.rename(stale[place])
            fresh[place].rename(place)
    except BaseException as error:
        for place in swapped:
            if stale[place].exists():
                _remove(place)
                stale[place].rename(place)
        if isinstance(error, OSError):
            raise GenerationError(f"nothing was changed, because of {error}.") from error
        raise
    finally:
        for leftover in (*fresh.values(), *stale.values()):
            _remove(leftover)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="fail if the committed files are stale; write nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        try:
            build(target)
        except GenerationError as error:
            print(f"Generation failed: {error}", file=sys.stderr)
            return 1
        if arguments.check:
            stale = differences(target)
            print("\n".join(stale) if stale else "Generated files are up to date.")
            if stale:
                print("\nGenerated files are stale or were edited by hand: run `make generate`.", file=sys.stderr)
            return 1 if stale else 0
        try:
            take_over({DEFINITION: target / DEFINITION.name, GENERATED: target / GENERATED.name})
        except GenerationError as error:
            print(f"Generation failed: {error}", file=sys.stderr)
            return 1
    print(f"Wrote {DEFINITION.relative_to(ROOT)} and {GENERATED.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Makes `openapi/signstash.json` and `src/signstash/_generated` from the files beside it.

    python openapi/generate.py            write both
    python openapi/generate.py --check    write nothing; fail and show the difference if either is stale

Inputs: `contract.json` and its corrections in `overlay.yaml`, `upstream.json` (as downloaded), `templates/*.diff`
(changes to the generator's own templates) and `generator-config.yaml`. It needs no network, and the same inputs give
the same bytes.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
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
from openapi_python_client.config import Config, ConfigFile, MetaType
from openapi_python_client.parser.errors import GeneratorError
from openapi_python_client.parser.openapi import GeneratorData
from openapi_python_client.strings import PythonIdentifier
from openapi_spec_validator import OpenAPIV30SpecValidator

from failure import GenerationError
from laying import PYTHON_NAME, DefinitionError, Laid, lay

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CONTRACT = HERE / "contract.json"
UPSTREAM = HERE / "upstream.json"
OVERLAY = HERE / "overlay.yaml"
TEMPLATE_DIFFS = HERE / "templates"
DEFINITION = HERE / "signstash.json"
CONFIG = ROOT / "generator-config.yaml"
GENERATED = ROOT / "src" / "signstash" / "_generated"


def overlaid(contract: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Apply the overlay, refusing actions that hit nothing: oas-patch passes over them."""
    invalid = [
        error.message for error in Draft202012Validator(load_schema("overlay_schema_1.0.0.yml")).iter_errors(overlay)
    ]
    if invalid:
        raise GenerationError(f"{OVERLAY.name} is not an OpenAPI Overlay 1.0 document: {'; '.join(invalid)}")
    definition = json.loads(json.dumps(contract))
    for action in overlay["actions"]:
        if not parse_json_path(action["target"]).find(definition):
            raise GenerationError(f"{OVERLAY.name}: nothing is at {action['target']}: change or delete the action.")
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
    described = json.loads(definition.read_text("utf-8"))
    renamed = _with_python_names(described)
    for operation in (operation for item in described["paths"].values() for operation in item.values()):
        # Failures are raised: a function that is not told of them returns nothing but what it is asked for.
        operation["responses"] = {status: item for status, item in operation["responses"].items() if status < "3"}
    with tempfile.TemporaryDirectory() as templates:
        definition = Path(templates) / definition.name
        definition.write_text(json.dumps(described), "utf-8")
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
    for operation, names in renamed.items():  # the generator has no names for Python alone
        module = target / "models" / f"{PythonIdentifier(operation + 'Body', '')}.py"
        parts = re.compile("|".join(f'"{name}"' for name in names))
        module.write_text(
            parts.sub(lambda found, names=names: f'"{names[found[0][1:-1]]}"', module.read_text("utf-8")), "utf-8"
        )


def _with_python_names(definition: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Call parts of multipart bodies as Python does; returns their names on the wire, by operation and Python name."""
    renamed = {}
    for operation in (operation for item in definition["paths"].values() for operation in item.values()):
        form = operation.get("requestBody", {}).get("content", {}).get("multipart/form-data", {}).get("schema", {})
        names = {name: field.get(PYTHON_NAME, name) for name, field in form.get("properties", {}).items()}
        if any(name != python_name for name, python_name in names.items()):
            renamed[operation["operationId"]] = {python_name: name for name, python_name in names.items()}
            form["properties"] = {names[name]: field for name, field in form["properties"].items()}
            form["required"] = [names[name] for name in form["required"]]
    return renamed


def contract() -> dict[str, Any]:
    """The contract with its corrections."""
    return overlaid(json.loads(CONTRACT.read_text("utf-8")), yaml.safe_load(OVERLAY.read_text("utf-8")))


def laid(upstream: dict[str, Any]) -> Laid:
    """A download beside the contract.

    Raises:
        DefinitionError: If it is no definition of a service that signs.
    """
    return lay(contract(), json.loads(CONTRACT.read_text("utf-8")), upstream, faults)


def definition_from(upstream: dict[str, Any]) -> dict[str, Any]:
    """The definition that the client is generated from."""
    made = laid(upstream)
    found = made.problems or faults(made.definition)
    if found:
        raise no_client(found)
    return made.definition


def no_client(problems: list[str]) -> GenerationError:
    """The error for a definition that no client can be made of."""
    return GenerationError(
        "no client can be made of this definition:\n  "
        + "\n  ".join(problems)
        + "\nA newer version of this package may know it. If the definition is wrong, correct a copy and use that."
    )


def faults(definition: dict[str, Any]) -> list[str]:
    """Why a definition is not valid, or what the generator would leave out of it."""
    try:
        return [error.message for error in OpenAPIV30SpecValidator(definition).iter_errors()] or _left_out(definition)
    except Exception as error:  # noqa: BLE001 - whatever both of them stumble over
        return [f"{type(error).__name__}: {error}"]


def _left_out(definition: dict[str, Any]) -> list[str]:
    settings = Config.from_sources(
        ConfigFile.load_from_path(CONFIG), MetaType.NONE, DEFINITION, "utf-8", overwrite=True, output_path=None
    )
    data = GeneratorData.from_dict(json.loads(json.dumps(definition)), config=settings)
    if isinstance(data, GeneratorError):
        return [f"{data.header}: {data.detail}"]
    errors = [*data.errors, *(item for tag in data.endpoint_collections_by_tag.values() for item in tag.parse_errors)]
    return [f"{error.header}: {error.detail}" for error in errors]


def build(target: Path) -> None:
    """Make `signstash.json` and `_generated` in the folder `target`."""
    definition = definition_from(json.loads(UPSTREAM.read_text("utf-8")))
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
        except (GenerationError, DefinitionError) as error:
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

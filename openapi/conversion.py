"""Turns a Swagger 2.0 definition, as springfox writes it, into OpenAPI 3, and mends what gets lost on the way."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from failure import GenerationError

HERE = Path(__file__).resolve().parent
CONVERTER = HERE / "node_modules" / "swagger2openapi" / "swagger2openapi.js"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


def as_openapi3(upstream: dict[str, Any]) -> dict[str, Any]:
    """The definition in OpenAPI 3; one that is in it already is returned as it is."""
    if str(upstream.get("openapi", "")).startswith("3."):
        return _with_typed_files(upstream)
    if upstream.get("swagger") != "2.0":
        raise GenerationError(
            "the download is neither OpenAPI 3 nor Swagger 2.0: it has no `openapi: 3.x` and no `swagger: '2.0'`. "
            "Proxies publish theirs at /v3/api-docs or /v2/api-docs below their base URL."
        )
    definition = _with_plain_names(upstream)
    parts = _take_body_parts(definition)
    converted = _convert(definition)
    _put_body_parts(converted, parts)
    _mend_answers(converted)
    # springfox names the host it runs on, which says nothing to others.
    converted["servers"] = [{"url": upstream.get("basePath", "/")}]
    return _with_typed_files(converted)


def operations(definition: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and content of each operation."""
    for path, item in definition.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _with_typed_files(definition: dict[str, Any]) -> dict[str, Any]:
    """Give answers that are files a type of their own: `*/*` is read as JSON everywhere else."""
    definition = copy.deepcopy(definition)
    for _, _, operation in operations(definition):
        for answer in operation.get("responses", {}).values():
            content = answer.get("content", {})
            if content.get("*/*", {}).get("schema", {}).get("format") == "binary":
                content["application/octet-stream"] = content.pop("*/*")
    return definition


def _with_plain_names(upstream: dict[str, Any]) -> dict[str, Any]:
    """`SignRequest«Base64Document»` becomes SignRequestBase64Document, `signUsingPOST_1` becomes sign."""
    names = {name: re.sub(r"[^A-Za-z0-9_.-]", "", name) for name in upstream.get("definitions", {})}
    clashes = {plain for plain in names.values() if list(names.values()).count(plain) > 1}
    if clashes:
        raise GenerationError(f"several schemas would be named {', '.join(sorted(clashes))}: rename them in a copy.")

    def renamed(value: Any) -> Any:
        if isinstance(value, list):
            return [renamed(item) for item in value]
        if not isinstance(value, dict):
            return value
        changed = {key: renamed(item) for key, item in value.items()}
        reference = changed.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/definitions/"):
            changed["$ref"] = "#/definitions/" + names.get(reference.removeprefix("#/definitions/"), "")
        return changed

    definition: dict[str, Any] = renamed(copy.deepcopy(upstream))
    definition["definitions"] = {names[name]: item for name, item in definition.get("definitions", {}).items()}
    for name, schema in definition["definitions"].items():
        if "title" in schema:  # the generator would name the class by it
            schema["title"] = name
    ids = [operation.get("operationId", "") for _, _, operation in operations(definition)]
    for _, _, operation in operations(definition):
        plain = re.sub(r"Using[A-Z]+(_\d+)?$", "", operation.get("operationId", ""))
        if plain and sum(re.sub(r"Using[A-Z]+(_\d+)?$", "", other) == plain for other in ids) == 1:
            operation["operationId"] = plain
    return definition


def _take_body_parts(definition: dict[str, Any]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Take the body parameters out of multipart operations: the converter would drop them."""
    taken = {}
    for path, method, operation in operations(definition):
        parameters = operation.get("parameters", [])
        if not any(parameter.get("in") == "formData" for parameter in parameters):
            continue
        for parameter in parameters:
            if parameter.get("type") == "ref":
                raise GenerationError(
                    f"{method.upper()} {path}: the form field {parameter.get('name')} has the type `ref`, which does "
                    "not say to which schema. Give it `in: body` and a schema in a copy of the definition."
                )
            if parameter.get("items", {}).get("type") == "file":
                parameter["items"] = {"type": "string", "format": "binary"}
        taken[path, method] = [parameter for parameter in parameters if parameter.get("in") == "body"]
        operation["parameters"] = [parameter for parameter in parameters if parameter.get("in") != "body"]
    return taken


def _put_body_parts(definition: dict[str, Any], parts: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    for (path, method), parameters in parts.items():
        content = definition["paths"][path][method]["requestBody"]["content"]
        schema = content["multipart/form-data"]["schema"]
        for parameter in parameters:
            text = json.dumps(parameter["schema"]).replace("#/definitions/", "#/components/schemas/")
            part = {"allOf": [json.loads(text)], "description": parameter.get("description", "")}
            schema["properties"][parameter["name"]] = part
            if parameter.get("required"):
                schema.setdefault("required", []).append(parameter["name"])


def _mend_answers(definition: dict[str, Any]) -> None:
    """Leave no answer that the generator would read as a success without contents."""
    for _, _, operation in operations(definition):
        answers = operation["responses"]
        for status, answer in list(answers.items()):
            if status != "200" and not answer.get("content"):
                # springfox adds 201, 401, 403 and 404 to everything; the overlay says what failures really hold.
                del answers[status]
            elif status >= "400":
                schema = next(iter(answer["content"].values()))["schema"]
                answer["content"] = {"application/json": {"schema": schema}}


def _convert(definition: dict[str, Any]) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None:
        raise GenerationError(
            "the definition is Swagger 2.0, and converting it to OpenAPI 3 needs Node.js, which is not installed. "
            "Install it (Debian: apt-get install nodejs npm), or download the OpenAPI 3 form from /v3/api-docs."
        )
    if not CONVERTER.exists():
        _install_converter()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "swagger2.json"), Path(folder, "openapi3.json")
        source.write_text(json.dumps(definition), "utf-8")
        # Without these two it stops at things that springfox does and that are harmless.
        tolerant = ["--patch", "--warnOnly"]
        _run([node, str(CONVERTER), *tolerant, str(source), "--outfile", str(target)], "swagger2openapi")
        converted: dict[str, Any] = json.loads(target.read_text("utf-8"))
    left = re.findall(r'"type": "(file|ref)"', json.dumps(converted))
    if left:
        raise GenerationError(f"a type {left[0]!r} is left after the conversion, which OpenAPI 3 does not know.")
    return converted


def _install_converter() -> None:
    """Install it whole or not at all: another process may do the same at this moment."""
    with tempfile.TemporaryDirectory(dir=HERE, prefix=".installing-") as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        _run(["npm", "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"], "npm ci")
        try:
            Path(folder, "node_modules").rename(HERE / "node_modules")
        except OSError as error:
            if not CONVERTER.exists():
                raise GenerationError(f"the converter cannot be installed: {error}.") from error


def _run(command: list[str], name: str) -> None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise GenerationError(f"{name} cannot be started: {error}.") from error
    if ended.returncode:
        raise GenerationError(f"{name} failed:\n{ended.stdout}{ended.stderr}")

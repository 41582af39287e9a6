"""The API definition that the sandbox publishes, in the three forms in which proxies publish theirs."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

_CHECKOUT: Final = Path(__file__).parents[3] / "openapi"
"""Where the definitions are in a checkout; a built package, zipped or not, contains them."""

_GENERICS: Final = {
    "SignRequestBase64Document": "SignRequest«Base64Document»",
    "SignRequestDocument": "SignRequest«Document»",
    "SignDocumentBase64Document": "SignDocument«Base64Document»",
    "SignDocumentDocument": "SignDocument«Document»",
}
"""How springfox names generic classes."""


_PARAMETER: Final = re.compile(r"\{[^}]*\}")


def load_definition() -> dict[str, Any]:
    """Load the contract as OpenAPI 3, as a proxy publishes it, with the vendor's errors."""
    return _load("contract.json")


def load_maintained_definition() -> dict[str, Any]:
    """Load the corrected definition, from which the client is generated and requests are validated."""
    return _load("signstash.json")


def client_paths(paths: Iterable[str]) -> dict[str, str]:
    """Where the client expects what the contract has at these paths: a regenerated client may have others."""
    contract, maintained = (
        {operation["operationId"]: path for path, item in definition["paths"].items() for operation in item.values()}
        for definition in (load_definition(), load_maintained_definition())
    )
    moved = {
        _PARAMETER.sub("{}", path).rstrip("/"): _PARAMETER.sub("{}", maintained[name]).rstrip("/")
        for name, path in contract.items()
    }
    plain = {path: _PARAMETER.sub("{}", path) for path in paths}
    return {path: moved.get(text, text).format(*_PARAMETER.findall(path)) for path, text in plain.items()}


def _load(name: str) -> dict[str, Any]:
    packaged = files("signstash.sandbox").joinpath(name)
    text = packaged.read_text("utf-8") if packaged.is_file() else (_CHECKOUT / name).read_text("utf-8")
    definition: dict[str, Any] = json.loads(text)
    return definition


def as_swagger2(definition: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Convert a definition to Swagger 2.0 in the way of springfox.

    Args:
        definition: The definition as OpenAPI 3.
        host: Host and port of the service.
    """
    info = definition["info"]
    return _with_definitions(
        {
            "swagger": "2.0",
            "info": info,
            "host": host,
            "basePath": definition["servers"][0]["url"],
            "tags": definition["tags"],
            "paths": {
                path: {method: _operation(method, operation) for method, operation in item.items()}
                for path, item in definition["paths"].items()
            },
            "securityDefinitions": {"JWT": {"type": "apiKey", "name": "Authorization", "in": "header"}},
            "definitions": {
                name: {**schema, "title": _GENERICS.get(name, name)}
                for name, schema in definition["components"]["schemas"].items()
            },
        }
    )


def _operation(method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    response = operation["responses"]["200"]
    schema = next((item["schema"] for item in response.get("content", {}).values()), None)
    content = operation.get("requestBody", {}).get("content", {})
    parameters = [{**item, **item["schema"]} for item in operation.get("parameters", [])]
    for parameter in parameters:
        del parameter["schema"]
    if "application/json" in content:
        body = content["application/json"]["schema"]
        parameters.append({"in": "body", "name": "body", "description": "body", "required": True, "schema": body})
    if "multipart/form-data" in content:
        form = content["multipart/form-data"]["schema"]
        for name, field in form["properties"].items():
            described = {"name": name, "description": field["description"], "required": name in form["required"]}
            if field.get("type") == "array":
                parameters.append({**described, "in": "formData", "type": "array", "items": {"type": "file"}})
            else:
                parameters.append({**described, "in": "body", "schema": field["allOf"][0]})
    return {
        **{name: operation[name] for name in ("tags", "summary", "description") if name in operation},
        "operationId": f"{operation['operationId']}Using{method.upper()}",
        "consumes": [next(iter(content))] if content else [],
        "produces": ["*/*"],
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", **({"schema": schema} if schema else {})},
            **({"201": {"description": "Created"}} if method == "post" else {}),
            "401": {"description": "Unauthorized"},
            "403": {"description": "Forbidden"},
            "404": {"description": "Not Found"},
        },
        "security": [{"JWT": ["global"]}],
    }


def _with_definitions(swagger: dict[str, Any]) -> dict[str, Any]:
    """Write references as in Swagger 2.0, which allows no other fields with one, and generics in guillemets."""

    def rewritten(value: Any) -> Any:
        if isinstance(value, list):
            return [rewritten(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "allOf" in value:
            value = value["allOf"][0]
        if "$ref" in value:
            name = value["$ref"].rpartition("/")[2]
            return {"$ref": f"#/definitions/{_GENERICS.get(name, name)}"}
        return {key: rewritten(item) for key, item in value.items()}

    result: dict[str, Any] = rewritten(swagger)
    result["definitions"] = {_GENERICS.get(name, name): item for name, item in result["definitions"].items()}
    return result


def as_page(definition: Mapping[str, Any]) -> str:
    """Render the definition as a page without scripts and external resources."""
    rows = "".join(
        f"<h3><code>{method.upper()} {html.escape(path)}</code></h3>"
        f"<p><b>{html.escape(operation['operationId'])}</b> {html.escape(operation.get('description', ''))}</p>"
        for path, item in definition["paths"].items()
        for method, operation in item.items()
    )
    schemas = "".join(
        f"<details><summary>{name}</summary><pre>{html.escape(json.dumps(schema, indent=2))}</pre></details>"
        for name, schema in definition["components"]["schemas"].items()
    )
    title = html.escape(definition["info"]["title"])
    return (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title} (sandbox)</h1>"
        "<p>Download: <a href='v3/api-docs'>OpenAPI 3</a>, <a href='v2/api-docs'>Swagger 2.0</a></p>"
        f"{rows}<h2>Schemas</h2>{schemas}"
    )

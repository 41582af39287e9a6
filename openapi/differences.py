"""Says what changed between two downloads, by roles and wire, and whether that breaks callers of either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from laying import Laid


@dataclass(frozen=True)
class Difference:
    """One change.

    Attributes:
        kind: `added`, `removed` or `changed`.
        what: What changed.
        breaks: Whether programs that call the client, or the service itself, have to change.
    """

    kind: str
    what: str
    breaks: bool

    def __str__(self) -> str:
        return f"{self.kind:8} {self.what}{'  [breaks callers]' if self.breaks else ''}"


def compare(old: Laid, new: Laid) -> list[Difference]:
    """What changed from one download to another, both laid beside the contract."""
    return list(_compare(old, new))


def _compare(old: Laid, new: Laid) -> Iterator[Difference]:
    before, after = facts(old), facts(new)
    for what in before | after:
        whole = what.partition(",")[0]
        if what != whole and (whole in before) != (whole in after):
            continue  # came or went with its operation or schema
        if what not in before:
            yield Difference("added", f"{what}{after[what]}", after[what].endswith(", required"))
        elif what not in after:
            yield Difference("removed", f"{what}{before[what]}", True)
        elif before[what] != after[what]:
            loosened = before[what] == f"{after[what]}, required"
            yield Difference("changed", f"{what}{before[what]} -> {after[what].removeprefix(': ')}", not loosened)
    for note in (note for note in new.notes if note not in old.notes):
        yield Difference(
            "changed", note, any(words in note for words in (": not described", ": without", ": required here"))
        )
    yield from (Difference("changed", problem, True) for problem in new.problems)


def facts(laid: Laid) -> dict[str, str]:
    """What a client relies on: each thing with what is said of it."""
    found: dict[str, str] = {}
    for path, item in laid.definition["paths"].items():
        for method, operation in item.items():
            name = f"operation {operation['operationId']}"
            if operation["operationId"] in laid.missing:
                continue
            found[name] = f": {method.upper()} {path}"
            for parameter in operation.get("parameters", []):
                required = ", required" if parameter.get("required") else ""
                found[f"{name}, parameter {parameter['name']} in {parameter['in']}"] = (
                    f": {_type(parameter['schema'])}{required}"
                )
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                found[f"{name}, body {media}"] = f": {_type(content['schema'])}"
            for status, response in operation["responses"].items():
                for media, content in response.get("content", {}).items():
                    found[f"{name}, response {status} {media}"] = f": {_type(content['schema'])}"
    for name, schema in laid.definition["components"]["schemas"].items():
        found[f"schema {name}"] = f": {_type({**schema, 'properties': {}, 'enum': []})}"
        found |= {f"schema {name}, value {value}": "" for value in schema.get("enum", [])}
        for field, item in schema.get("properties", {}).items():
            required = ", required" if field in schema.get("required", []) else ""
            found[f"schema {name}, field {field}"] = f": {_type(item)}{required}"
    return found


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words: `array of DocumentResponse`, `string(date-time)`, `string[A|B]`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if len(schema.get("allOf", [])) == 1:
        return _type(schema["allOf"][0])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    if schema.get("properties"):
        return "{" + ", ".join(f"{name}: {_type(item)}" for name, item in schema["properties"].items()) + "}"
    values = f"[{'|'.join(map(str, schema['enum']))}]" if schema.get("enum") else ""
    return f"{kind}{'(' + schema['format'] + ')' if 'format' in schema else ''}{values}"

"""Says what changed between two definitions, and whether that breaks callers.

oasdiff, the best tool for this, is a Go program that neither PyPI nor npm carries; what they do carry compares less
than this. Both definitions are OpenAPI 3, as `signstash.json` is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conversion import operations

READ_ALIKE = {"*/*": "application/json", "application/zip": "application/octet-stream"}
"""Media types of answers that the generator reads as another, by `generator-config.yaml`."""

Facts = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Difference:
    """One change, in the words of the definition."""

    kind: str  # added, removed, changed or renamed
    what: str
    breaks: bool

    def __str__(self) -> str:
        return f"{self.kind:8} {self.what}{'  [breaks callers]' if self.breaks else ''}"


def compare(old: dict[str, Any], new: dict[str, Any]) -> list[Difference]:
    """What changed from one definition to another, operations first."""
    return [*_compare_operations(old, new), *_compare_schemas(old, new)]


def _compare_operations(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Difference]:
    before, after = _operations(old), _operations(new)
    places = {fact["place"]: name for name, fact in after.items()}
    renamed = {
        name: places[fact["place"]]
        for name, fact in before.items()
        if name not in after and places.get(fact["place"], name) not in before
    }
    renamed = {name: other for name, other in renamed.items() if other in after}
    for name, other in renamed.items():
        yield Difference("renamed", f"operation {name} -> {other}", True)
    for name in sorted(after.keys() - before.keys() - set(renamed.values())):
        yield Difference("added", f"operation {name}: {after[name]['place']}", False)
    for name in sorted(before.keys() - after.keys() - renamed.keys()):
        yield Difference("removed", f"operation {name}: {before[name]['place']}", True)
    for name in sorted(before):
        new_name = renamed.get(name, name)
        if new_name in after:
            yield from _compare_operation(new_name, before[name], after[new_name])


def _compare_operation(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for fact in ("place", "tag", "body"):
        if old[fact] != new[fact]:
            yield Difference("changed", f"operation {name}, {fact}: {old[fact]} -> {new[fact]}", True)
    yield from _compare_facts(
        f"operation {name}, parameter",
        old["parameters"],
        new["parameters"],
        adding_breaks=lambda parameter: parameter["required"],
        change_breaks=lambda fact, _, value: fact == "type" or value is True,
    )
    yield from _compare_facts(
        f"operation {name}, answer",
        old["answers"],
        new["answers"],
        adding_breaks=lambda _: False,
        change_breaks=lambda *_: True,
    )


def _compare_schemas(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Difference]:
    before, after = _schemas(old), _schemas(new)
    sent = _reachable(old, "requestBody") | _reachable(new, "requestBody")
    renamed = {}
    for name in sorted(before.keys() - after.keys()):
        same = [other for other in sorted(after.keys() - before.keys()) if after[other] == before[name]]
        if len(same) == 1 and same[0] not in renamed.values():
            renamed[name] = same[0]
            yield Difference("renamed", f"schema {name} -> {same[0]}", True)
    for name in sorted(after.keys() - before.keys() - set(renamed.values())):
        yield Difference("added", f"schema {name}", False)
    for name in sorted(before.keys() - after.keys() - renamed.keys()):
        yield Difference("removed", f"schema {name}", True)
    for name in sorted(before.keys() & after.keys()):
        is_sent = name in sent
        if before[name]["type"] != after[name]["type"]:
            yield Difference("changed", f"schema {name}, type: {before[name]['type']} -> {after[name]['type']}", True)
        for value in [item for item in after[name]["values"] if item not in before[name]["values"]]:
            yield Difference("added", f"schema {name}, value {value}", False)
        for value in [item for item in before[name]["values"] if item not in after[name]["values"]]:
            yield Difference("removed", f"schema {name}, value {value}", True)
        yield from _compare_facts(
            f"schema {name}, field",
            before[name]["fields"],
            after[name]["fields"],
            adding_breaks=lambda field, is_sent=is_sent: is_sent and field["required"],
            # A field that answers may now leave out has another type in the generated class.
            change_breaks=lambda fact, _, value, is_sent=is_sent: fact == "type" or value is is_sent,
        )


def _compare_facts(
    what: str,
    old: Facts,
    new: Facts,
    *,
    adding_breaks: Callable[[Mapping[str, Any]], bool],
    change_breaks: Callable[[str, Any, Any], bool],
) -> Iterator[Difference]:
    for name in sorted(new.keys() - old.keys()):
        yield Difference("added", f"{what} {name}: {_described(new[name])}", adding_breaks(new[name]))
    for name in sorted(old.keys() - new.keys()):
        yield Difference("removed", f"{what} {name}: {_described(old[name])}", True)
    for name in sorted(old.keys() & new.keys()):
        for fact, before in old[name].items():
            after = new[name][fact]
            if before != after:
                change = f"{what} {name}, {fact}: {before} -> {after}"
                yield Difference("changed", change, change_breaks(fact, before, after))


def _described(facts: Mapping[str, Any]) -> str:
    return f"{facts['type']}{', required' if facts.get('required') else ''}"


def _operations(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for path, method, operation in operations(definition):
        place = f"{method.upper()} {path}"
        body = operation.get("requestBody", {}).get("content", {})
        found[operation.get("operationId", place)] = {
            "place": place,
            "tag": next(iter(operation.get("tags", [])), None),
            "body": {kind: _type(item.get("schema", {})) for kind, item in sorted(body.items())},
            "parameters": {
                f"{item['name']} in {item['in']}": {
                    "type": _type(item.get("schema", {})),
                    "required": item.get("required", False),
                }
                for item in operation.get("parameters", [])
            },
            "answers": {
                f"{status} {READ_ALIKE.get(kind, kind)}": {"type": _type(item.get("schema", {}))}
                for status, answer in operation["responses"].items()
                for kind, item in answer.get("content", {}).items()
            },
        }
    return found


def _schemas(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "type": "enum" if "enum" in schema else _type({**schema, "properties": {}}),
            "values": schema.get("enum", []),
            "fields": {
                field: {"type": _type(item), "required": field in schema.get("required", [])}
                for field, item in schema.get("properties", {}).items()
            },
        }
        for name, schema in definition.get("components", {}).get("schemas", {}).items()
    }


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
        required = schema.get("required", [])
        fields = (
            f"{name}{'' if name in required else '?'}: {_type(item)}" for name, item in schema["properties"].items()
        )
        return "{" + ", ".join(sorted(fields)) + "}"
    values = f"[{'|'.join(map(str, schema['enum']))}]" if "enum" in schema else ""
    return f"{kind}{'(' + schema['format'] + ')' if 'format' in schema else ''}{values}"


def _reachable(definition: dict[str, Any], start: str) -> set[str]:
    """Names of the schemas that can be in the requests of a definition."""
    schemas = definition.get("components", {}).get("schemas", {})
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name in schemas and name not in found:
                found.add(name)
                walk(schemas[name])
            for item in value.values():
                walk(item)

    for _, _, operation in operations(definition):
        walk(operation.get(start, {}))
    return found

"""Lays a download beside the contract: gives the definition that the client is generated from.

That is the contract, with the download's paths, part names, further statuses, new fields, values and parameters, and
its other operations below `/api` under one tag. Names of the contract never change.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attrs

# Appended, and without the package itself: `_generated` may be what is broken.
sys.path.append(str(Path(__file__).resolve().parents[1] / "src" / "signstash" / "command_line"))

from definition.comparison import compare
from definition.findings import Comparison, relative_path
from definition.normalisation import BINARY, SCHEMAS, TEXT, Operation, Schema
from definition.reading import DefinitionError, parse_definition
from definition.shapes import shape_of

__all__ = ["PYTHON_NAME", "DefinitionError", "Laid", "lay", "parse_definition"]

Definition = dict[str, Any]
Faults = Callable[[Definition], list[str]]

TAG = "additional"
PYTHON_NAME = "x-python-name"
"""Names a field that is called otherwise on the wire; `generate.py` reads it."""

_IMPORTED = """
    any attribute authenticatedclient binaryio bytesio callable cast client datetime enum errors false file
    filetypes generic httpx intenum io json literal mapping models mutablemapping none requestfiles response self
    strenum t textiowrapper true typechecking types typevar unset uuid
"""
"""What generated modules import or define, in small letters: no class may be called so."""
_OWN_FIELDS = {"additionalproperties", "additionalkeys", "todict", "fromdict", "tomultipart"}
_BODIES = ("application/json", "multipart/form-data", "application/x-www-form-urlencoded", "application/octet-stream")


@dataclass(frozen=True)
class Laid:
    """A download beside the contract.

    Attributes:
        definition: What the client is generated from.
        report: What was found, as pairs of a subject and a text.
        problems: Why a client could not work.
        notes: What the download describes in another way.
        missing: Ids of the contract's operations that the download does not offer.
    """

    definition: Definition
    report: list[tuple[str, str]]
    problems: list[str]
    notes: list[str]
    missing: list[str]


def lay(contract: Definition, flawed_contract: Definition, download: Definition, faults: Faults) -> Laid:
    """Lay a download beside the contract.

    Args:
        contract: The contract with its corrections.
        flawed_contract: The contract without them: what is noted of it is no news.
        download: The definition that was downloaded.
        faults: Says why the generator could not do a definition.

    Raises:
        DefinitionError: If it is no definition of a service that signs.
    """
    found = compare(contract, download)
    known = set(compare(contract, flawed_contract).notes)
    found.notes = [note for note in found.notes if note not in known]
    _name_operations(found, contract)
    if found.problems:
        return Laid(contract, list(found.report()), found.problems, found.notes, found.missing)
    definition = _Layer(contract, found).laid(found.additional)
    if faults(definition):
        _leave_out(contract, found, faults)
        definition = _Layer(contract, found).laid(found.additional)
    return Laid(definition, list(found.report()), [], found.notes, found.missing)


def _leave_out(contract: Definition, found: Comparison, faults: Faults) -> None:
    """Leave out the fields and operations that the generator cannot do: each is tried alone."""
    kept: list[tuple[str, str, Schema]] = []
    for field in found.new_fields:
        alone = attrs.evolve(found, new_fields=[field])
        if reasons := faults(_Layer(contract, alone).laid([])):
            found.published.unreadable.append(f"{field[0]}.{field[1]}: cannot be generated ({_in_short(reasons)})")
        else:
            kept.append(field)
    found.new_fields = kept
    for operation in list(found.additional):
        if reasons := faults(_Layer(contract, found).laid([operation])):
            found.additional.remove(operation)
            place = f"{operation.method} {relative_path(operation.path)}"
            found.published.unreadable.append(f"{operation.name}: {place}: cannot be generated ({_in_short(reasons)})")


def _in_short(reasons: list[str]) -> str:
    text = " ".join(reasons[0].split())
    return text if len(text) < 120 else f"{text[:120]} …"


def _name_operations(found: Comparison, contract: Definition) -> None:
    """Give additional operations names as the contract has them: no `Using...`, no doubles."""
    taken = {_key(item["operationId"]) for methods in contract["paths"].values() for item in methods.values()}
    named = []
    for operation in found.additional:
        words = re.sub(r"^/api/(v\d+/)?", "", relative_path(operation.path))
        plain = re.sub(r"Using(GET|PUT|POST|DELETE|OPTIONS|HEAD|PATCH)(_\d+)?$", "", operation.name)
        base = plain if re.search("[A-Za-z]", plain) else f"{operation.method.lower()} {words}"
        base = re.sub(r"\W+(\w?)", lambda match: match[1].upper(), base)
        name, number = base, 1
        while _key(name) in taken:
            number += 1
            name = f"{base}{number}"
        taken.add(_key(name))
        named.append(attrs.evolve(operation, name=name))
    found.additional[:] = named


class _Layer:
    def __init__(self, contract: Definition, found: Comparison) -> None:
        self._definition = copy.deepcopy(contract)
        self._schemas: dict[str, Schema] = self._definition["components"]["schemas"]
        self._found = found
        self._taken = {*_IMPORTED.split(), *map(_key, self._schemas)}
        self._names = {name: name if name in known else known[0] for name, known in found.names.items()}

    def laid(self, additional: Iterable[Operation]) -> Definition:
        places = {
            item["operationId"]: (path, method)
            for path, item in self._definition["paths"].items()
            for method, item in item.items()
        }
        for name, operation in self._found.offered.items():
            path, method = places[name]
            self._move(path, method, operation)
        for schema, value in self._found.new_values:
            values = self._schemas[schema]["enum"]
            if value.upper() not in map(str.upper, values):
                values.append(value)
        for schema, field, described in self._found.new_fields:
            fields = self._schemas.get(schema, {}).get("properties", {})
            if _key(field) not in {*_OWN_FIELDS, *map(_key, fields)}:
                fields[field] = self._adopted(described)
        for operation in additional:
            methods = self._definition["paths"].setdefault(relative_path(operation.path), {})
            methods[operation.method.lower()] = self._operation(operation)
        self._definition["paths"] = dict(sorted(self._definition["paths"].items()))
        return self._definition

    def _move(self, path: str, method: str, operation: Operation) -> None:
        """Put one of the contract's operations where the download has it."""
        described = self._definition["paths"][path].pop(method)
        if not self._definition["paths"][path]:
            del self._definition["paths"][path]
        names = iter(re.findall(r"\{[^}]*\}", path))
        there = re.sub(r"\{[^}]*\}", lambda match: next(names, match[0]), relative_path(operation.path))
        self._definition["paths"].setdefault(there, {})[method] = described
        for status in operation.responses:
            described["responses"].setdefault(status, copy.deepcopy(described["responses"]["200"]))
        for parameter in self._found.new_parameters.get(described["operationId"], []):
            described.setdefault("parameters", []).append(self._adopted_parameter(parameter))
        for part, called in self._found.part_names.get(described["operationId"], {}).items():
            form = described["requestBody"]["content"]["multipart/form-data"]["schema"]
            form["properties"] = {
                called if name == part else name: {**schema, PYTHON_NAME: part} if name == part else schema
                for name, schema in form["properties"].items()
            }
            form["required"] = [called if name == part else name for name in form["required"]]

    def _operation(self, operation: Operation) -> dict[str, Any]:
        described: dict[str, Any] = {"tags": [TAG], "operationId": operation.name}
        if operation.summary:
            described["summary"] = operation.summary
        if operation.parameters:
            path = relative_path(operation.path)
            described["parameters"] = [
                self._adopted_parameter(item)
                for item in operation.parameters
                if item["in"] != "path" or f"{{{item['name']}}}" in path
            ]
        media = next((media for media in _BODIES if media in operation.bodies), None)
        media = media or next(iter(operation.bodies), None)
        if media is not None:
            # A body of any type is JSON; of another type the generator says that it cannot do it.
            kind = "application/json" if media == "*/*" or media.endswith("+json") else media
            schema = self._adopted(operation.bodies[media])
            described["requestBody"] = {"required": True, "content": {kind: {"schema": schema}}}
        described["responses"] = {status: self._response(schema) for status, schema in operation.responses.items()}
        return described

    def _response(self, schema: Schema | None) -> dict[str, Any]:
        if schema is None:
            return {"description": "Success."}
        kind = (
            "application/octet-stream" if schema == BINARY else "text/plain" if schema == TEXT else "application/json"
        )
        return {"description": "Success.", "content": {kind: {"schema": self._adopted(schema)}}}

    def _adopted_parameter(self, parameter: Schema) -> Schema:
        schema = self._adopted(parameter["schema"])
        if parameter["in"] == "header":
            schema.pop("format", None)  # the generator would put a UUID into a header as it is
        return {**parameter, "schema": schema}

    def _adopted(self, schema: Schema) -> Schema:
        """A schema of the download whose references lead to the contract's schemas, or to copies beside them."""
        adopted: Schema = {}
        if "allOf" in schema and (shape := shape_of(self._found.published.schemas, schema)).fields:
            # Merged here: the generator gives up where parts of one schema contradict each other.
            schema = {"type": "object", "properties": shape.fields, "required": sorted(shape.required)}
        for keyword, value in schema.items():
            if keyword == "$ref":
                adopted["$ref"] = SCHEMAS + self._named(value.removeprefix(SCHEMAS))
            elif keyword == "properties":
                adopted[keyword] = {
                    name: self._adopted(item) for name, item in value.items() if _key(name) not in _OWN_FIELDS
                }
            elif keyword in ("items", "additionalProperties"):
                adopted[keyword] = self._adopted(value)
            elif keyword in ("allOf", "anyOf", "oneOf"):
                adopted[keyword] = [self._adopted(item) for item in value]
            elif keyword == "enum":
                adopted[keyword] = list({str(item).upper(): item for item in reversed(value)}.values())[::-1]
            elif keyword != "required" or value:
                adopted[keyword] = value
        if adopted.get("format") == "text":
            del adopted["format"]
        if "required" in adopted and "properties" in adopted:
            adopted["required"] = [name for name in adopted["required"] if name in adopted["properties"]]
        return adopted

    def _named(self, published: str) -> str:
        """The name that one of the download's schemas has here; a copy of it is made when it is first asked for."""
        if published in self._names:
            return self._names[published]
        schema = self._found.published.schemas[published]
        plain = re.sub(r"[^A-Za-z0-9]", "", published)
        plain = plain if plain[:1].isalpha() else f"Schema{plain}"
        if plain in self._schemas and _are_alike(self._schemas[plain], schema):
            self._names[published] = plain
            return plain
        name, number = plain, 1
        while _key(name) in self._taken:
            number += 1
            name = f"{plain}Model{'' if number == 2 else number}"
        self._taken.add(_key(name))
        self._names[published] = name
        self._schemas[name] = {}
        self._schemas[name] = self._adopted(schema)
        return name


def _are_alike(ours: Schema, theirs: Schema) -> bool:
    """Whether a schema that was not met is the contract's of the same name, such as what failures hold."""
    mine, their = (set(schema.get("properties", schema.get("enum", ()))) for schema in (ours, theirs))
    return bool(mine) and 2 * len(mine & their) >= len(mine | their)


def _key(name: str) -> str:
    """What makes names differ for the generator: letters and digits, whatever their case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())

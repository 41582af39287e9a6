"""Compares a published definition with the contract: which operations are the known ones, and what differs on the wire.

The contract is what the client was made from. An operation is recognised by its *role*: method and end of the path, or
else the JSON fields of body and response. Then both definitions are compared by JSON names. Tags, operation IDs and
names of schemas do not count: they depend on the server's tools.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from .asynchronous_mode import recognise_asynchronous_mode
from .findings import Comparison, relative_path, uncapitalised
from .normalisation import JSON, Operation, Published, Schema, normalise
from .reading import DefinitionError
from .shapes import Shape, shape_of

_HTTP_HEADERS: Final = (
    "authorization",
    "accept",
    "accept-language",
    "content-type",
    "content-length",
    "host",
    "user-agent",
)
"""Headers that springfox lists as parameters, in small letters; the client sends what is needed of them."""
_SIGNING: Final = ("signDocumentBatchBase64", "signDocumentBatchBinary")
"""The contract's ids of what signs, of which one must be there."""
_NEEDED: Final = {"documentList", "signStatus", "signedContent", "returnSignedContent", "SIGNED"}
"""Optional fields and the value without which signed documents are not found in a response."""
_WRAPPERS: Final = {
    *("body", "headers", "statusCode", "statusCodeValue", "result", "setOrExpired", "present", "undefined", "empty"),
    *("cancelled", "done", "numberOfDependents", "completedExceptionally"),
}
"""Fields of Java's `ResponseEntity`, `DeferredResult`, `Optional`, `JsonNullable` and futures: not in the JSON."""


def compare(contract: Mapping[str, Any], document: Mapping[str, Any]) -> Comparison:
    """Compare a published definition with the contract.

    Args:
        contract: What the client was made from.
        document: The definition, of whatever version.

    Raises:
        DefinitionError: If it is not a definition, or offers no signing.
    """
    return _Comparer(normalise(contract), normalise(document)).compared()


class _Comparer:
    def __init__(self, contract: Published, published: Published) -> None:
        self._contract = contract
        self._known = {operation.name: operation for operation in contract.operations}
        self._published = published
        self._found = Comparison(
            published, {name: self._known[name].summary for name in dict.fromkeys((*_SIGNING, *self._known))}
        )
        self._seen: set[object] = set()

    def compared(self) -> Comparison:
        found = self._found
        self._find_by_path()
        self._find_by_fields()
        found.missing = [name for name in self._known if name not in found.offered]
        if not any(name in found.offered for name in _SIGNING):
            offers = [uncapitalised(found.labels[name]) for name in found.offered]
            offers += map(str, found.additional)
            if found.left_out:
                offers.append(f"{len(found.left_out)} operations not below /api ({', '.join(found.left_out[:3])})")
            if unknown := [operation for operation in found.additional if self._has_unknown_parameter(operation)]:
                raise DefinitionError(
                    f"the path of {unknown[0]} has an unknown parameter. "
                    "Write its value into the paths of a copy, and use that."
                )
            raise DefinitionError(
                f"the definition offers nothing that signs. It offers: {'; '.join(offers) or 'nothing'}."
            )
        for name, operation in found.offered.items():
            self._compare_operation(self._known[name], operation)
        signing = [found.offered[name] for name in _SIGNING if name in found.offered]
        recognise_asynchronous_mode(found, signing, {operation.role for operation in self._known.values()})
        found.additional.sort(key=lambda operation: (operation.path, operation.method))
        return found

    # Roles

    def _find_by_path(self) -> None:
        found, known = self._found, {item.role: item for item in self._known.values()}
        candidates: dict[str, list[Operation]] = {}
        for operation in self._published.operations:
            if not operation.is_below_api:
                found.left_out.append(operation.path)
            elif operation.method == "OPTIONS":
                continue  # gateways respond to it on every path, for browsers
            elif (role := operation.role) in known:
                candidates.setdefault(known[role].name, []).append(operation)
            else:
                found.additional.append(operation)
        roots = [item.root for name, items in candidates.items() if name in _SIGNING for item in items]
        found.root = max(roots, key=roots.count) if roots else self._published.server
        for name, operations in candidates.items():
            here = [item for item in operations if item.root == found.root]
            best = min(here or operations, key=partial(_distance, self._known[name]))
            found.offered[name] = best
            found.additional += [
                item
                for item in operations
                if relative_path(item.path).rstrip("/") != relative_path(best.path).rstrip("/")
            ]
        found.offered = {name: found.offered[name] for name in self._known if name in found.offered}
        for operation in [item for item in found.additional if roots and item.root != found.root]:
            found.additional.remove(operation)
            found.left_out.append(operation.path)

    def _find_by_fields(self) -> None:
        for name, known in self._known.items():
            if name not in self._found.offered:
                alike = [item for item in self._found.additional if self._is_alike(known, item)]
                if len(alike) == 1:
                    self._found.additional.remove(alike[0])
                    self._found.offered[name] = alike[0]
                    if name in _SIGNING:
                        self._found.root = alike[0].root

    def _is_alike(self, known: Operation, operation: Operation) -> bool:
        kinds = [
            [shape_of(side.schemas, item["schema"]).likely_kind for item in one.parameters if item["in"] == "path"]
            for side, one in ((self._contract, known), (self._published, operation))
        ]
        if known.method != operation.method or kinds[0] != kinds[1] or bool(known.bodies) != bool(operation.bodies):
            return False
        if ("multipart/form-data" in known.bodies) != ("multipart/form-data" in operation.bodies):
            return False
        pairs = [(known.response, operation.response), (known.body("json"), operation.body("json"))]
        return all(self._is_same_shape(ours, theirs) for ours, theirs in pairs)

    def _is_same_shape(self, ours: Schema | None, theirs: Schema | None) -> bool:
        if ours is None or theirs is None:
            return ours is theirs
        mine, their = shape_of(self._contract.schemas, ours), shape_of(self._published.schemas, theirs)
        shared = mine.fields.keys() & their.fields.keys()
        return (
            mine.likely_kind == their.likely_kind
            and (mine.format == "binary") == (their.format == "binary")
            and mine.required <= their.fields.keys()
            and 2 * len(shared) >= max(len(mine.fields), len(their.fields))
        )

    def _has_unknown_parameter(self, operation: Operation) -> bool:
        """Whether it would be known without a parameter in its path, such as a version or a tenant."""
        method, rest = operation.role
        return any(self._known[name].role == (method, re.sub(r"[^/]*\{\}[^/]*/", "", rest)) for name in _SIGNING)

    # Requests and responses

    def _compare_operation(self, known: Operation, operation: Operation) -> None:
        for ours, theirs in zip(_in_path(known), _in_path(operation), strict=False):
            self._walk(ours["schema"], theirs["schema"], f"{known.name}.{ours['name']}", sent=True)
        parts = shape_of(self._contract.schemas, known.bodies.get("multipart/form-data", {})).fields
        for parameter in operation.parameters:
            name, place = parameter["name"], parameter["in"]
            if place == "path" or name in parts or (place == "header" and name.lower() in _HTTP_HEADERS):
                continue
            if parameter["required"]:
                self._found.reject(f"{known.name} requires the parameter {name} ({place}), which is not known")
            else:
                self._found.new_parameters.setdefault(known.name, []).append(parameter)
        if parts:
            self._compare_parts(known, parts, operation)
        elif known.bodies and operation.bodies.keys().isdisjoint((JSON, "application/*", "*/*")) and operation.bodies:
            self._found.reject(f"{known.name} takes {', '.join(operation.bodies)}, and not {JSON}, which is sent")
        elif known.bodies:
            self._compare_json(known.body("json"), operation.body("json"), f"{known.name} body", sent=True)
        elif any(self._shape(schema).required for schema in operation.bodies.values()):
            self._found.reject(f"{known.name} requires a body, which is not known")
        response, described = known.response, operation.response
        if response is not None and described is not None:
            self._compare_json(response, described, f"{known.name} response", sent=False)
        elif response is not None and operation.responses.keys() == {"204"}:
            self._found.reject(f"{known.name} response is described as empty (204)")
        elif response is not None:
            self._found.note(f"{known.name} response: not described")

    def _compare_json(self, ours: Schema, theirs: Schema, where: str, *, sent: bool) -> None:
        """Compare a body that is JSON, which may be described as the text that it is."""
        expected, described = shape_of(self._contract.schemas, ours).kind, self._shape(theirs)
        if expected == "object" and described.kind == "string" and described.format != "binary":
            self._found.note(f"{where}: described as string, {'sent' if sent else 'read'} as JSON")
        else:
            self._walk(ours, theirs, where, sent=sent)

    def _compare_parts(self, known: Operation, parts: Mapping[str, Schema], operation: Operation) -> None:
        """Tell files and request in a multipart body by what they are: names of parts differ."""
        forms = [body for media, body in operation.bodies.items() if "form" in media]  # files and fields may be apart
        described = [self._shape(body).fields for body in forms or [operation.body("multipart/")]]
        their = {name: schema for fields in described for name, schema in fields.items()}
        for name, ours in parts.items():
            kind = shape_of(self._contract.schemas, ours).kind
            same = [part for part in their if part == name] or [
                part
                for part, schema in their.items()
                if part not in parts and self._is_file(schema) == (kind == "array")
            ]
            if len(same) == 1:
                theirs = their.pop(same[0])
                if same[0] != name:
                    self._found.part_names.setdefault(known.name, {})[name] = same[0]
                    self._found.note(f"{known.name}: the part {name} is called {same[0]}")
                if kind != "array":
                    self._compare_json(ours, theirs, f"{known.name}.{name}", sent=True)
                elif self._shape(theirs).kind != "array":
                    self._found.note(f"{known.name}.{name}: described as one file")
            elif any(described):
                self._found.reject(f"{known.name} has no part {name}, which every request holds")
            else:
                self._found.note(f"{known.name}.{name}: not described")
        for name in their:
            self._found.reject(f"{known.name} has the part {name}, which is not known")

    def _is_file(self, schema: Schema) -> bool:
        shape = self._shape(schema)
        item = self._shape(shape.items) if shape.kind == "array" else shape
        return item.format in ("binary", "byte") or "absolutePath" in item.fields or "inputStream" in item.fields

    def _shape(self, schema: Schema) -> Shape:
        return shape_of(self._published.schemas, schema)

    def _walk(self, ours: Schema, theirs: Schema, where: str, *, sent: bool) -> None:
        mine, their = shape_of(self._contract.schemas, ours), self._shape(theirs)
        name = mine.names[0] if mine.names else ""
        pair = (name or where, their.names or where, sent)
        if pair in self._seen:
            return
        self._seen.add(pair)
        if name and mine.kind == their.kind:
            for published_name in their.names[:1]:
                known = self._found.names.setdefault(published_name, [])
                known += [name] if name not in known else []
        if not their.kind:
            if mine.kind in ("object", "array"):
                self._found.note(f"{where}: not described")
        elif mine.kind == "array" or mine.kind == "object":
            if their.likely_kind != mine.kind:
                if not self._unwrap(ours, mine, their, where, sent=sent):
                    self._found.reject(
                        f"{where} is described as {_article(their.description)}, not as {_article(mine.kind)}"
                    )
            elif mine.kind == "array":
                self._walk(mine.items, their.items, f"{where}[]", sent=sent)
            else:
                self._walk_fields(ours, mine, their, name or where, sent=sent)
        elif mine.values:
            self._compare_values(name, mine, their, where)
        else:
            self._compare_scalars(ours, mine, their, where, sent=sent)

    def _walk_fields(self, ours: Schema, mine: Shape, their: Shape, where: str, *, sent: bool) -> None:
        if not their.fields:
            self._found.note(f"{where}: described without fields")
            return
        if not mine.fields.keys() & their.fields.keys():
            if self._unwrap(ours, mine, their, where, sent=sent):
                return
            if _is_wrapper(their):
                self._found.note(f"{where}: described without fields")
            else:
                self._found.reject(f"{where} has none of the known fields, but {', '.join(their.fields)}")
            return
        siblings = [
            schema.get("properties", {}).keys()
            for schema in self._contract.schemas.values()
            if mine.fields.keys() <= schema.get("properties", {}).keys()
        ]
        unknown = their.fields.keys() - {name for fields in siblings for name in fields}
        for field in [field for field in mine.fields if field not in their.fields]:
            other = self._renamed(mine, field, {name: their.fields[name] for name in their.fields if name in unknown})
            if sent and field in mine.required:
                self._found.reject(f"{where} has no field {field}, which every request holds")
            elif other:
                self._found.reject(f"{where} has no field {field}, but {other}, which is not known")
            else:
                self._found.note(f"{where}.{field}: not described here")
        for field, schema in their.fields.items():
            if field in mine.fields:
                if sent and field in their.required - mine.required:
                    self._found.note(f"{where}.{field}: required here")
                self._walk(mine.fields[field], schema, f"{where}.{field}", sent=sent)
            elif field not in unknown:
                continue  # one schema stands for several of the contract's
            elif sent and field in their.required:
                self._found.reject(f"{where} requires the field {field}, which is not known")
            elif field.startswith(("$", "@")):
                continue  # about the JSON itself: `$schema`, `@context`
            elif (where, field) not in [(known, name) for known, name, _ in self._found.new_fields]:
                self._found.new_fields.append((where, field, schema))

    def _renamed(self, mine: Shape, field: str, unknown: Mapping[str, Schema]) -> str | None:
        """What a field that is missing is called instead."""
        kind = shape_of(self._contract.schemas, mine.fields[field]).kind
        alike = [name for name in unknown if _letters(name) == _letters(field)]
        if field in mine.required | _NEEDED:
            alike += [name for name, schema in unknown.items() if self._shape(schema).kind == kind]
        return alike[0] if alike else None

    def _unwrap(self, ours: Schema, mine: Shape, their: Shape, where: str, *, sent: bool) -> bool:
        """Look into what is described around the contents: `ResponseEntity` and the like, which are not in the JSON."""
        for field, schema in their.fields.items():
            inner = self._shape(schema)
            deeper = any(mine.fields.keys() & self._shape(item).fields.keys() for item in inner.fields.values())
            fits = mine.fields.keys() & inner.fields.keys() or (deeper and mine.fields)
            if not sent and (fits or (not mine.fields and field == "body" and inner.likely_kind == mine.kind)):
                inside = f"described inside {field} of {(their.names or ('an object',))[0]}"
                if _is_wrapper(their):
                    self._found.note(f"{where}: {inside}")
                    self._walk(ours, schema, where, sent=sent)
                else:
                    self._found.reject(f"{where} is {inside}, where the client does not look for it")
                return True
        return False

    def _compare_values(self, name: str, mine: Shape, their: Shape, where: str) -> None:
        if not their.values:
            if their.kind != "string" and not _is_wrapper(their):
                known = ", ".join(mine.values)
                self._found.reject(f"{where} is described as {_article(their.description)}, not as one of {known}")
            return
        values = [
            part for value in their.values for part in ([value] if value in mine.values else re.split(r", *", value))
        ]
        if not any(value in mine.values for value in values):
            self._found.reject(f"{where} has none of the known values, but {', '.join(values)}")
            return
        new = [value for value in values if value not in mine.values]
        self._found.new_values += [(name, value) for value in new if (name, value) not in self._found.new_values]
        lacking = [value for value in mine.values if value not in values]
        for value in lacking:
            for other in [item for item in new if value in _NEEDED or _letters(item) == _letters(value)][:1]:
                self._found.reject(f"{where} has no value {value}, but {other}, which is not known")
        if lacking:
            self._found.note(f"{name or where}: without {', '.join(lacking)}")

    def _compare_scalars(self, ours: Schema, mine: Shape, their: Shape, where: str, *, sent: bool) -> None:
        if mine.kind == "integer" and their.kind == "object" and self._unwrap(ours, mine, their, where, sent=sent):
            return
        numbers = {"integer", "number"}
        if mine.kind != their.kind and not {mine.kind, their.kind} <= numbers:
            if where.endswith(" response") and their.kind in ("array", "object") and mine.format != "binary":
                self._found.reject(
                    f"{where} is described as {_article(their.description)}, not as {_article(mine.description)}"
                )
                return
            how = f"sent as {mine.description}" if sent else "read liberally"
            self._found.note(f"{where}: described as {their.description}, {how}")


def _distance(known: Operation, operation: Operation) -> tuple[object, ...]:
    """How far an operation is from the known one, for choosing among several."""
    slashes = known.path.endswith("/") == operation.path.endswith("/")
    return known.version != operation.version, operation.deprecated, -operation.version, not slashes


def _in_path(operation: Operation) -> Iterator[Schema]:
    """Parameters in the order of the path."""
    described = {item["name"]: item for item in operation.parameters if item["in"] == "path"}
    for name in re.findall(r"\{([^}]*)\}", relative_path(operation.path)):
        yield described.get(name, {"name": name, "schema": {}})


def _is_wrapper(shape: Shape) -> bool:
    """Whether it is an object of Java around the JSON."""
    return shape.fields.keys() <= _WRAPPERS and bool(shape.fields.keys() - {"body", "result"})


def _letters(name: str) -> str:
    """What names have in common that are written in different ways, such as `signedContent` and `signed_content`."""
    return re.sub(r"[\W_]", "", name).lower()


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"

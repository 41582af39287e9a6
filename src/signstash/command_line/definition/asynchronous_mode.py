"""Recognises the asynchronous mode in additional operations, by the fields of requests and responses."""

from __future__ import annotations

from collections.abc import Iterable, Set

from .findings import Comparison
from .normalisation import Operation, Published
from .shapes import shape_of


def recognise_asynchronous_mode(
    found: Comparison, signing: Iterable[Operation], known_roles: Set[tuple[str, str]]
) -> None:
    """Add hints to operations that seem to start signing, or to return status or result by external reference.

    Args:
        found: The comparison, complete but for its hints.
        signing: The published operations that sign.
        known_roles: Roles of known operations; additional operations with such a role are other versions of them.
    """
    published = found.published
    candidates = [operation for operation in found.additional if operation.role not in known_roles]
    requests = [fields for operation in signing if "documents" in (fields := _body_fields(published, operation))]
    results = [_response_fields(published, operation) for operation in signing]
    started: list[set[str]] = []
    for operation in candidates:
        fields, response = _body_fields(published, operation, depth=2), _response_fields(published, operation)
        if operation.method != "GET" and any(item <= fields for item in requests) and response not in results:
            started.append(response)
            found.hints[str(operation)] = "looks like the asynchronous mode: start"
    for operation in found.additional if started else ():
        by_reference = [item for item in operation.parameters if item["in"] in ("path", "query") and item["required"]]
        if str(operation) in found.hints or len(by_reference) != 1 or operation.bodies:
            continue
        response = _response_fields(published, operation)
        if "documentList" in response:
            found.hints[str(operation)] = "looks like the asynchronous mode: result"
        elif response and any(2 * len(response & item) >= len(response | item) for item in started):
            found.hints[str(operation)] = "looks like the asynchronous mode: status"


def _body_fields(published: Published, operation: Operation, depth: int = 1) -> set[str]:
    """Fields of a JSON body and, with depth 2, of the objects in it."""
    fields = shape_of(published.schemas, operation.body("json")).fields
    inner = [shape_of(published.schemas, schema).fields for schema in fields.values()] if depth > 1 else []
    return set(fields).union(*inner)


def _response_fields(published: Published, operation: Operation) -> set[str]:
    """Fields of a response, or of the objects that it lists."""
    shape = shape_of(published.schemas, operation.response or {})
    return set((shape_of(published.schemas, shape.items) if shape.kind == "array" else shape).fields)

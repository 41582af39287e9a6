"""Schemas, resolved with everything that they refer to or are composed of."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .normalisation import SCHEMAS, Schema


@attrs.frozen
class Shape:
    """A schema, resolved with everything that it refers to or is composed of.

    Attributes:
        names: Names of the schemas that it refers to, from the outside to the inside.
        kind: `object`, `array`, a scalar JSON type, or "" if it does not say.
        format: Format of a scalar, or "".
        values: Values of an enum.
        fields: Fields of an object.
        required: Fields that are always there.
        items: What an array holds.
    """

    names: tuple[str, ...] = ()
    kind: str = ""
    format: str = ""
    values: tuple[str, ...] = ()
    fields: Mapping[str, Schema] = attrs.field(factory=dict)
    required: frozenset[str] = frozenset()
    items: Schema = attrs.field(factory=dict)

    @property
    def description(self) -> str:
        """Its type in a word."""
        return self.format or self.kind or "anything"

    @property
    def likely_kind(self) -> str:
        """Its kind; what has fields is an object if it does not say."""
        return self.kind or ("object" if self.fields else "")

    def joined(self, other: Shape, *, alternative: bool = False) -> Shape:
        """This schema combined with another; an alternative adds values, and no required fields."""
        return Shape(
            (*self.names, *other.names),
            self.kind or other.kind,
            self.format or other.format,
            tuple(dict.fromkeys((*self.values, *other.values))) if alternative else self.values or other.values,
            {**other.fields, **self.fields},
            self.required if alternative else self.required | other.required,
            self.items or other.items,
        )


def shape_of(schemas: Mapping[str, Schema], schema: Schema, seen: frozenset[str] = frozenset()) -> Shape:
    """Resolve a schema with everything that it refers to or is composed of."""
    name = str(schema.get("$ref", "")).removeprefix(SCHEMAS)
    if name:
        if name in seen or name not in schemas:
            return Shape()
        return Shape(names=(name,)).joined(shape_of(schemas, schemas[name], seen | {name}))
    shape = Shape(
        (),
        schema.get("type", ""),
        schema.get("format", ""),
        tuple(value for value in schema.get("enum", ()) if isinstance(value, str)),
        schema.get("properties", {}),
        frozenset(schema.get("required", ())),
        schema.get("items", {}),
    )
    for keyword in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(keyword, ()):
            shape = shape.joined(shape_of(schemas, part, seen), alternative=keyword != "allOf")
    return shape

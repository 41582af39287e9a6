"""What a comparison of two definitions finds, and how it is reported."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from .normalisation import Operation, Published, Schema


@attrs.define
class Comparison:
    """The result of a comparison.

    Attributes:
        published: The definition that was compared.
        labels: What known operations do, by their IDs.
        offered: Known operations that it offers, by their IDs in the contract.
        missing: IDs of known operations that it does not offer.
        additional: Further operations below `/api`.
        hints: What additional operations look like, by method and path.
        left_out: Paths that do not belong to the API.
        problems: Why a client could not work with it.
        notes: Differences that do no harm.
        new_fields: Fields that the contract does not know: schema, name and the published schema.
        new_values: Values of enums that the contract does not know: schema and value.
        new_parameters: Optional parameters that the contract does not know, by operation id.
        part_names: What parts of a multipart body are called, where it is not as in the contract, by operation id.
        names: Names of the contract's schemas, by the published names that stand for them.
        root: What the base URL ends with, or "".
    """

    published: Published
    labels: dict[str, str]
    offered: dict[str, Operation] = attrs.field(factory=dict)
    missing: list[str] = attrs.field(factory=list)
    additional: list[Operation] = attrs.field(factory=list)
    hints: dict[str, str] = attrs.field(factory=dict)
    left_out: list[str] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    new_fields: list[tuple[str, str, Schema]] = attrs.field(factory=list)
    new_values: list[tuple[str, str]] = attrs.field(factory=list)
    new_parameters: dict[str, list[Schema]] = attrs.field(factory=dict)
    part_names: dict[str, dict[str, str]] = attrs.field(factory=dict)
    names: dict[str, list[str]] = attrs.field(factory=dict)
    root: str = ""

    def note(self, text: str) -> None:
        """Add a note, unless there is the same already."""
        if text not in self.notes:
            self.notes.append(text)

    def reject(self, text: str) -> None:
        """Add a problem: a reason why a client could not work."""
        if text not in self.problems:
            self.problems.append(text)

    def report(self) -> Iterator[tuple[str, str]]:
        """The report, as pairs of a subject and a text."""
        for name, label in self.labels.items():
            operation, subject = self.offered.get(name), uncapitalised(label)
            if operation is None:
                yield subject, "not offered here; kept for other services"
            else:
                named = f"  ({operation.name})" if operation.name else ""
                yield subject, f"{operation.method} {relative_path(operation.path)}{named}"
        for operation in self.additional:
            hint = self.hints.get(str(operation))
            place = f"{operation.method} {relative_path(operation.path)}"
            yield "additional", f"{operation.name or 'no id'}: {place}{f'   ({hint})' if hint else ''}"
        if self.left_out:
            below = sorted({"/" + path.removeprefix(self.root).strip("/").partition("/")[0] for path in self.left_out})
            count = f"{len(self.left_out)} operation{'s' if len(self.left_out) > 1 else ''}"
            yield "left out", f"{count} below {_listed(below)}"
        for text in self.published.unreadable:
            yield "left out", text
        for schema, field, _ in self.new_fields:
            yield "new", f"{schema}.{field}"
        for schema, value in self.new_values:
            yield "new", f"{schema}: the value {value}"
        for name, parameters in self.new_parameters.items():
            yield from (("new", f"{name}: the parameter {parameter['name']}") for parameter in parameters)
        grouped: dict[str, list[str]] = {}
        for note in self.notes:
            what, _, text = note.partition(": ")
            grouped.setdefault(text, []).append(what)
        yield from (("note", f"{', '.join(what)}: {text}") for text, what in grouped.items())
        source = "by its server" if self.published.server == self.root else "found in the paths"
        yield "base URL", f"ends with {self.root}, {source}" if self.root else "not said"


def relative_path(path: str) -> str:
    """A path from `/api/` on."""
    return re.sub(r"^.*?(?=/api/)", "", path)


def uncapitalised(text: str) -> str:
    """A text that begins with a small letter."""
    return text[:1].lower() + text[1:]


def _listed(items: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1])))

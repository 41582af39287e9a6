"""The public names and signatures of the package, as griffe reads them from the source.

`make public-names` records them in `tests/data/`, once the changelog lists what changed.
"""

from __future__ import annotations

import difflib
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parents[1] / "data"
PACKAGE = "signstash"
RECORDS: Mapping[str, tuple[str, ...]] = {
    "public_names.txt": ("signstash", "signstash.testing", "signstash.sandbox", "signstash.verification"),
    "public_models.txt": ("signstash.models",),
}
"""The records, each with the packages that it is about: their `__all__`, and what the signatures in it mention."""

Names = dict[str, str]
"""The declarations of public names, as Python that griffe can read again, by their dotted names."""


def read_source() -> griffe.Module:
    """The package, as griffe reads it without running it."""
    source = griffe.load(PACKAGE, search_paths=[ROOT / "src"], allow_inspection=False, resolve_aliases=True)
    assert isinstance(source, griffe.Module)
    models, generated = source["models"], source["_generated.models"]
    models.exports = None
    for name in generated.exports:  # imported on first use, which griffe does not take for a part of `import *`
        models.set_member(name, griffe.Alias(name, generated[name].target_path))
    return source


def public_names(source: griffe.Module, packages: Iterable[str]) -> Names:
    """The declarations of what packages export, and of what those mention."""
    objects: dict[str, griffe.Object] = {}
    for package in packages:
        for name in _exported(source.modules_collection[package]):
            objects[f"{package}.{name}"] = _defined(source, f"{package}.{name}")
    known = {item.path for item in objects.values()}
    for item in list(objects.values()):
        for path in _mentioned(item):
            if path.startswith(f"{PACKAGE}."):
                other = _defined(source, path)
                if other.path not in known and "._generated." not in other.path:
                    objects[other.path] = other
    return {path: _declaration(item) for path, item in sorted(objects.items()) if not item.is_module}


def _exported(module: griffe.Module) -> list[str]:
    """The names in `__all__`; a module that imports lazily has `from .module import Name as Name` instead."""
    own = (
        name
        for name, item in module.members.items()
        if isinstance(item, griffe.Alias) and item.target_path.startswith(PACKAGE)
    )
    return list(map(str, module.exports or sorted(own)))


def recorded_names(record: str) -> Names:
    """The declarations in a record."""
    parts = re.split(r"^# (\S+)\n", record, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() + "\n" for part in parts[2::2]), strict=True))


def as_record(names: Names) -> str:
    """The text of a record."""
    return "\n".join(f"# {path}\n{declaration}" for path, declaration in names.items())


def missing_from_changelog(before: Names, after: Names, changelog: str) -> list[str]:
    """The changes that the changelog's unreleased section does not list.

    It has to name what changed, and what griffe considers breaking under a heading "Breaking".
    """
    section = next(iter(re.findall(r"^## (?:.* )?unreleased$(.*?)(?=^## |\Z)", changelog, re.M | re.S | re.I)), "")
    breaking = "".join(re.findall(r"^### Breaking$(.*?)(?=^### |\Z)", section, re.MULTILINE | re.DOTALL))
    missing = []
    for path in sorted(before.keys() | after.keys()):
        name = path.rpartition(".")[2]
        if before.get(path) == after.get(path):
            continue
        breakages = list(_breakages(path, before.get(path, ""), after.get(path, "")))
        if breakages and not _names(breaking, name):
            missing.append(f'{path} under "### Breaking": {"; ".join(breakages)}')
        elif not _names(section, name):
            missing.append(f"{path}: {'new' if path not in before else 'changed'}")
    return missing


def _names(text: str, name: str) -> bool:
    return re.search(rf"`[^`\n]*\b{re.escape(name)}\b[^`\n]*`", text) is not None


def _breakages(path: str, before: str, after: str) -> Iterator[str]:
    old, new = (griffe.visit("record", filepath=Path("record.py"), code=code) for code in (before, after))
    for breakage in griffe.find_breaking_changes(old, new):
        yield f"{breakage.obj.path.removeprefix('record.')}: {breakage.kind.value}"


def _defined(source: griffe.Module, path: str) -> griffe.Object:
    item = source[path.removeprefix(f"{PACKAGE}.")]
    defined = item.final_target if item.is_alias else item
    assert isinstance(defined, griffe.Object)
    return defined


def _members(item: griffe.Object) -> Iterator[griffe.Object]:
    """The public members of a class, with what it inherits from handwritten classes of the package."""
    for name, member in item.all_members.items() if item.is_class else ():
        target = member.final_target if isinstance(member, griffe.Alias) else member
        inherited_from_generated = "._generated." in target.path and "._generated." not in item.path
        if (name == "__init__" or not name.startswith("_")) and not inherited_from_generated:
            yield target


def _annotations(item: griffe.Object) -> Iterator[griffe.Expr]:
    if isinstance(item, griffe.Function):
        yield from (one.annotation for one in item.parameters if isinstance(one.annotation, griffe.Expr))
    if isinstance(item, griffe.Function | griffe.Attribute) and isinstance(item.annotation, griffe.Expr):
        yield item.annotation
    if isinstance(item, griffe.Attribute) and _is_type_alias(item) and isinstance(item.value, griffe.Expr):
        yield item.value
    for member in _members(item):
        yield from _annotations(member)


def _mentioned(item: griffe.Object) -> Iterator[str]:
    for annotation in _annotations(item):
        yield from (part.canonical_path for part in annotation.iterate() if isinstance(part, griffe.ExprName))


def _is_type_alias(item: griffe.Attribute) -> bool:
    return item.annotation is None and item.parent is not None and item.parent.is_module


def _declaration(item: griffe.Object) -> str:
    decorators = "".join(f"@{decorator.value}\n" for decorator in getattr(item, "decorators", ()))
    if isinstance(item, griffe.Class):
        bases = f"({', '.join(map(str, item.bases))})" if item.bases else ""
        body = "".join(map(_declaration, _members(item))) or "...\n"
        return f"{decorators}class {item.name}{bases}:\n{textwrap.indent(body, '    ')}"
    if isinstance(item, griffe.Function):
        keyword = "async def" if "async" in item.labels else "def"
        return f"{decorators}{keyword} {_signature(item)}: ...\n"
    assert isinstance(item, griffe.Attribute)
    if "property" in item.labels:
        return f"@property\ndef {item.name}(self) -> {item.annotation}: ...\n"
    annotation = "" if item.annotation is None else f": {item.annotation}"
    # What an instance gets in its __init__, and what a typed constant of a module is, is not promised.
    promised = item.value is not None and ("class-attribute" in item.labels or _is_type_alias(item))
    return f"{item.name}{annotation}{f' = {item.value}' if promised else '' if annotation else ' = ...'}\n"


def _signature(item: griffe.Function) -> str:
    name, rest = item.signature().split("(", 1)  # griffe leaves out self and cls
    first = next((one.name for one in item.parameters if one.name in ("self", "cls")), "")
    return f"{name}({first}{'' if not first or rest.startswith(')') else ', '}{rest}"


def main() -> int:
    """Record the public names, if the changelog lists what changed."""
    source = read_source()
    changelog = ROOT.joinpath("CHANGELOG.md").read_text("utf-8")
    missing = []
    for name, packages in RECORDS.items():
        record = DATA / name
        before, after = recorded_names(record.read_text("utf-8")), public_names(source, packages)
        if re.search(r"^## .*\d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE):  # before the first release nothing breaks
            missing += missing_from_changelog(before, after, changelog)
        sys.stdout.writelines(
            difflib.unified_diff(
                as_record(before).splitlines(keepends=True), as_record(after).splitlines(keepends=True), "before", "now"
            )
        )
        if not missing:
            record.write_text(as_record(after), "utf-8")
    if missing:
        advice = "The unreleased section of CHANGELOG.md does not list these; name them there, in backticks"
        sys.stdout.write("\n".join([f"{advice}:", *missing, ""]))
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())

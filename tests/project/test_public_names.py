"""Public names and signatures change on purpose: they are recorded, and the changelog lists each change."""

from __future__ import annotations

import functools
import re

import griffe
import pytest

from tests.project import public_names
from tests.project.public_names import DATA, RECORDS, Names, missing_from_changelog, recorded_names

BEFORE: Names = {
    "signstash.Sealed": "class Sealed:\n    def open(self, key: str, *, tries: int = 3) -> bytes: ...\n",
    "signstash.Colour": "Colour = Literal['red', 'green']\n",
}


@functools.cache
def now(record: str) -> Names:
    return public_names.public_names(source(), RECORDS[record])


@functools.cache
def source() -> griffe.Module:
    return public_names.read_source()


def changelog(unreleased: str) -> str:
    return f"# Changelog\n\n## 0.2.0 - unreleased\n\n{unreleased}\n\n## 0.1.0 - 2026-12-01\n\n- `Sealed`, `Colour`.\n"


@pytest.mark.parametrize(
    "record", ["public_names.txt", pytest.param("public_models.txt", marks=pytest.mark.own_definition)]
)
def test_the_record_matches_the_source(record: str) -> None:
    recorded = recorded_names(DATA.joinpath(record).read_text("utf-8"))

    changed = [name for name in recorded.keys() | now(record).keys() if recorded.get(name) != now(record).get(name)]

    assert not changed, "Public names changed. List the change in CHANGELOG.md, then run `make public-names`."


def test_the_changelog_lists_an_addition() -> None:
    after = BEFORE | {"signstash.Envelope": "class Envelope:\n    ...\n"}

    assert missing_from_changelog(BEFORE, after, changelog("- Something else.")) == ["signstash.Envelope: new"]
    assert missing_from_changelog(BEFORE, after, changelog("- An `Envelope` for what is sealed.")) == []


def test_the_changelog_lists_a_changed_signature() -> None:
    after = BEFORE | {"signstash.Sealed": BEFORE["signstash.Sealed"].replace("-> bytes", "-> bytearray")}

    assert missing_from_changelog(BEFORE, after, changelog("")) == ["signstash.Sealed: changed"]
    assert missing_from_changelog(BEFORE, after, changelog("- `Sealed.open()` returns a `bytearray`.")) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tries: int = 3", "attempts: int = 3"),
        ("tries: int = 3", "tries: int"),
        ("key: str", "key: str, salt: str"),
        ("tries: int = 3", "tries: int = 4"),
        ("def open", "def unseal"),
    ],
)
def test_the_changelog_lists_a_breaking_change_as_breaking(old: str, new: str) -> None:
    after = BEFORE | {"signstash.Sealed": BEFORE["signstash.Sealed"].replace(old, new)}

    (missing,) = missing_from_changelog(BEFORE, after, changelog("- `Sealed` is better now."))

    assert missing.startswith('signstash.Sealed under "### Breaking": ')
    assert (
        missing_from_changelog(
            BEFORE, after, changelog("### Breaking\n\n- `Sealed.open` is another.\n\n### Other\n\n- More.")
        )
        == []
    )


def test_the_changelog_lists_a_removal_as_breaking() -> None:
    after = {"signstash.Sealed": BEFORE["signstash.Sealed"]}

    (missing,) = missing_from_changelog(BEFORE, after, changelog("- `Colour` is gone."))

    assert missing.startswith('signstash.Colour under "### Breaking": ')


@pytest.mark.parametrize("record", RECORDS)
def test_no_public_signature_has_any_except_for_json(record: str) -> None:
    json = r"(dict|Mapping)\[str, Any\]"

    vague = [name for name, declared in now(record).items() if re.search(r"\bAny\b", re.sub(json, "", declared))]

    assert vague == []

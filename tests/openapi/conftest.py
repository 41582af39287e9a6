"""The scripts in `openapi/`, and definitions for them."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
DEFINITIONS = PROJECT / "tests" / "data" / "definitions"

Definition = dict[str, Any]
Change = Callable[[Definition], object]

_SCRIPTS = ("failure", "laying", "differences", "generate", "regenerate")


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The scripts, by name."""
    monkeypatch.syspath_prepend(str(PROJECT / "openapi"))
    for name in _SCRIPTS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield {name: importlib.import_module(name) for name in _SCRIPTS}
    for name in _SCRIPTS:
        sys.modules.pop(name, None)


@pytest.fixture
def laid(scripts: dict[str, ModuleType]) -> Callable[[bytes | Definition], Any]:
    """Reads a definition and compares it with the contract."""

    def lay(source: bytes | Definition) -> Any:
        content = source if isinstance(source, bytes) else json.dumps(source).encode()
        return scripts["generate"].laid(scripts["laying"].parse_definition(content))

    return lay


def contract() -> Definition:
    """The contract without its corrections, as a proxy could publish it."""
    definition: Definition = json.loads((PROJECT / "openapi" / "contract.json").read_text("utf-8"))
    return definition


def published(name: str) -> Definition:
    """One of the definitions in `tests/data/definitions`, by the beginning of its name."""
    (path,) = DEFINITIONS.glob(f"{name}*.json")
    definition: Definition = json.loads(path.read_text("utf-8"))
    return definition


def schema(definition: Definition, name: str) -> Definition:
    """One of the schemas of a definition."""
    found: Definition = definition["components"]["schemas"][name]
    return found

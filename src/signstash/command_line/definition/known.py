"""What the installed client knows: the definition that it was generated from, which the package carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .comparison import compare
from .findings import Comparison

_PACKAGE: Final = Path(__file__).parents[2]
_FOLDERS: Final = (_PACKAGE / "sandbox", _PACKAGE.parents[1] / "openapi")
"""Where the definitions are: in an installed package, or else in a checkout."""


def compare_with_known(document: Mapping[str, Any]) -> Comparison:
    """Compare a published definition with what the installed client knows.

    Raises:
        DefinitionError: If it is not a definition, or offers no signing.
    """
    known, contract = (_load(name) for name in ("signstash.json", "contract.json"))
    found = compare(known, document)
    expected = compare(known, contract).notes  # what is corrected in the contract differs everywhere
    found.notes = [note for note in found.notes if note not in expected]
    return found


def _load(name: str) -> dict[str, Any]:
    folder = next(folder for folder in _FOLDERS if (folder / name).exists())
    definition: dict[str, Any] = json.loads((folder / name).read_text("utf-8"))
    return definition

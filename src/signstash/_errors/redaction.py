"""Keeps secrets out of texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NoReturn, Self


class Secret:
    """A text that does not show: not in `repr`, not in `vars`, not in a pickle. `reveal` returns it."""

    __slots__ = ("reveal",)

    reveal: Callable[[], str]

    def __init__(self, text: str) -> None:
        self.reveal = lambda: text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")

    def __deepcopy__(self, _: object) -> Self:
        return self


_SECRETS: Final = r"\beyJ[\w-]+(\.[\w-]*)*|(?i:(?<=Bearer )|(?<=Basic ))\S+|[A-Za-z0-9+/]{48,}=*"
"""What looks like a token (servers quote the one that they reject), like credentials, or like contents in base64."""


def first_three(texts: Sequence[str], separator: str = ", ") -> str:
    """The first three texts, and how many more there are."""
    return separator.join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def printable(text: str, limit: int) -> str:
    """A text from elsewhere in one line, without secrets."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    line = re.sub(_SECRETS, "(hidden)", line)
    return line if len(line) <= limit else line[: limit - 1] + "…"

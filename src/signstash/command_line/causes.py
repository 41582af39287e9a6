"""Groups failures by their cause, so that one fault is one line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import attrs

from ..errors import SignStashError
from .formatting import count_of_documents, printable, status_column

_NAMED: Final = 3
"""How many documents a line names."""


@attrs.define
class Cause:
    """Documents that failed for the same reason.

    Attributes:
        status: `failed` or `in_doubt`.
        text: The reason without what tells its documents apart.
        first: The reason of the first document, in full.
        paths: The first few documents.
        documents: Number of documents.
    """

    status: str
    text: str
    first: str
    paths: list[Path] = attrs.field(factory=list[Path])
    documents: int = 0

    @property
    def line(self) -> str:
        """The cause, with its documents, on one line."""
        names = ", ".join(map(printable, self.paths))
        if self.documents == 1:
            return f"{status_column(self.status)}{names}: {self.first.removeprefix(f'{names} ')}"
        more = ", ..." if self.documents > len(self.paths) else ""
        return f"{status_column(self.status)}{count_of_documents(self.documents)} ({names}{more}): {self.text}"

    @property
    def short_line(self) -> str:
        """The cause without names, of which a narrow terminal shows the beginning."""
        return f"{status_column(self.status)}{count_of_documents(self.documents)}: {self.text}"


@attrs.frozen
class Causes:
    """The causes of a run, in the order of their first document."""

    _causes: dict[tuple[str, str], Cause] = attrs.field(init=False, factory=dict[tuple[str, str], Cause])

    def add(self, status: str, path: Path, message: str, *, names: Iterable[str]) -> None:
        """Record a failure.

        Args:
            status: `failed` or `in_doubt`.
            path: The document.
            message: Why it failed.
            names: What in the message tells this document apart, such as its name and reference.
        """
        text = without_names(message, names)
        cause = self._causes.setdefault((status, text), Cause(status, text, message))
        cause.documents += 1
        if len(cause.paths) < _NAMED:
            cause.paths.append(path)

    def __contains__(self, error: SignStashError) -> bool:
        problem = without_names(error.problem, (str(getattr(error, "document", "")), *error.external_references))
        return any(text.startswith(problem) for _, text in self._causes)

    @property
    def lines(self) -> list[str]:
        """One line for each cause."""
        return [cause.line for cause in self._causes.values()]

    @property
    def short_lines(self) -> list[str]:
        """The same without names of documents."""
        return [cause.short_line for cause in self._causes.values()]


def without_names(message: str, names: Iterable[str]) -> str:
    """Replace what tells a document or request apart by an ellipsis, the longest name first."""
    for name in sorted({name for name in names if name}, key=len, reverse=True):
        message = message.replace(f"({name})", "").replace(name, "...")
    message = " ".join(message.split())
    for pattern, replacement in _OF_ONE_REQUEST:
        message = pattern.sub(replacement, message)
    return message


_OF_ONE_REQUEST: Final = (
    (re.compile(r" ?\[[^\]]*_[0-9a-f]{12}\b[^\]]*\]"), ""),  # a list of references
    (re.compile(r" ?\([^\s,:()]+_[0-9a-f]{12}\)"), ""),
    (re.compile(r"[^\s,:()]+_[0-9a-f]{12}\b"), "..."),
    (re.compile(r"[;,]? ?\boperation \d+"), ""),
    (re.compile(r" ?\[client service [^\]]*\]"), ""),
    (re.compile(r"(^|Documents? )\.\.\.(, \.\.\.)*( and \d+ more)?: "), ""),
    (re.compile(r"^(Document \.\.\. was not signed: |Whether document \.\.\. is signed is not known: |\.\.\. )"), ""),
)
"""Parts of a message that differ from request to request, such as operation IDs, or that are not needed."""

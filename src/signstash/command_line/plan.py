"""Which files a command signs, how, and where their signed documents go."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from ..documents import Document
from ..errors import ConfigurationError
from .display import shown

MakeDocument = Callable[..., Document]

_KINDS: Final[Mapping[str, MakeDocument]] = {".pdf": Document.pdf, ".xml": Document.xml}
"""What is signed as what, by the ends of file names. Everything else is signed only if that is asked for."""

_LISTED: Final = 10
"""How many problems a message lists."""


@attrs.frozen
class PlannedFile:
    """A file that is to be signed.

    Attributes:
        path: The original.
        target: The file for the signed document.
        size: Length of the original in bytes.
        make: Makes a document of it: `Document.pdf`, `.xml` or `.binary`.
    """

    path: Path
    target: Path
    size: int
    make: MakeDocument


@attrs.frozen
class Plan:
    """How files are looked for.

    Attributes:
        output: Folder for the signed documents, in which what is below a folder keeps its place. Without it each is
            put beside its original, as `<name>.signed.pdf`.
        binary: Whether what is neither PDF nor XML is signed too.
    """

    output: Path | None
    binary: bool

    def files(self, names: Sequence[str]) -> list[PlannedFile]:
        """Find the files, and where each goes.

        Args:
            names: Files, folders (with all that is below them) and patterns such as `*.pdf`.

        Raises:
            ConfigurationError: If a file is not there or cannot be signed, nothing is found, or a signed document would
                take the place of an original or of another signed document.
        """
        problems: list[str] = []
        files: dict[tuple[int, int], PlannedFile] = {}
        for name in names:
            unreadable: list[str] = []
            found = list(self._found(name, unreadable))
            problems += unreadable
            if not found and not unreadable:
                problems.append(f"{name} is not there, or holds nothing to sign")
            for path, place in found:
                make = self._kind(path)
                try:
                    status = path.stat()
                except OSError as error:
                    problems.append(f"{shown(path)} cannot be read ({error.strerror})")
                    continue
                if make is None:
                    problems.append(f"{shown(path)} is neither PDF nor XML (--binary signs it all the same)")
                    continue
                target = _beside(path) if self.output is None else self.output / place
                files.setdefault((status.st_dev, status.st_ino), PlannedFile(path, target, status.st_size, make))
        if self.output is None:  # who names `*.pdf` again does not mean what was signed before
            ours = {_number(file.target) for file in files.values()}
            files = {number: file for number, file in files.items() if number not in ours}
        problems += _misplaced(files)
        if problems:
            more = f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
            raise ConfigurationError(
                f"Nothing was signed: {'; '.join(problems[:_LISTED])}{more}.",
                "Name other files, or another folder with -o.",
            )
        return list(files.values())

    def _kind(self, path: Path) -> MakeDocument | None:
        return _KINDS.get(path.suffix.lower(), Document.binary if self.binary else None)

    def _found(self, name: str, unreadable: list[str]) -> Iterator[tuple[Path, Path]]:
        """The files that a name stands for, each with its place in the output folder."""
        path = Path(name).expanduser()
        is_pattern = glob.has_magic(name) and not os.path.lexists(path)
        matching = glob.glob(str(path), recursive=True) if is_pattern else [path]  # noqa: PTH207 - Path's refuses "/a/*"
        for item in sorted(map(Path, matching)):
            if item.is_dir():
                yield from self._below(item, unreadable)
            elif is_pattern or os.path.lexists(item):
                yield item, Path(item.name)

    def _below(self, folder: Path, unreadable: list[str]) -> Iterator[tuple[Path, Path]]:
        for path in files_below(folder, unreadable, left_out=self.output):
            is_ours = self.output is None and Path(path.stem).suffix == ".signed"
            if self._kind(path) is not None and not is_ours:
                yield path, path.relative_to(folder)


def files_below(folder: Path, unreadable: list[str], *, left_out: Path | None = None) -> Iterator[Path]:
    """The files below a folder, in order, without hidden ones. Linked folders are not followed.

    Args:
        folder: The folder.
        unreadable: Is told which folders cannot be read.
        left_out: A folder that is not looked into.
    """
    output = None if left_out is None else left_out.resolve()

    def tell(error: OSError) -> None:
        unreadable.append(f"{shown(Path(error.filename))} cannot be read ({error.strerror})")

    for parent, folders, names in os.walk(folder, onerror=tell):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and Path(parent, name).resolve() != output
        )
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.signed{path.suffix}")


def real_path(target: Path) -> Path:
    """A file that may not be there, in the folder that really holds it: as a journal names it."""
    return Path(target.parent.resolve(), target.name)


def _number(path: Path) -> tuple[int, int] | None:
    """By what a file is the same under another name, if it is there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _misplaced(files: Mapping[tuple[int, int], PlannedFile]) -> Iterator[str]:
    """What is wrong with the places of signed documents: no original is ever overwritten."""
    taken: dict[Path, Path] = {}
    for file in files.values():
        number = _number(file.target)
        if number is not None and number in files:
            yield f"{shown(file.path)} would be saved as {shown(file.target)}, which is an original"
        target = real_path(file.target)
        if target in taken:
            yield f"{shown(taken[target])} and {shown(file.path)} would both be saved as {shown(file.target)}"
        taken[target] = file.path

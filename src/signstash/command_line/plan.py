"""Finds the files to sign and decides where each signed file goes."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from .._content.files import make_folder
from ..documents import Document
from ..errors import ConfigurationError, DocumentNotSavedError, InvalidDocumentError, SignStashError
from .formatting import printable

MakeDocument = Callable[..., Document]

Identity = tuple[str, str]
"""Name and SHA-256 of a document, by which a journal knows it."""

_KINDS: Final[Mapping[str, MakeDocument]] = {".pdf": Document.pdf, ".xml": Document.xml}
"""Kinds of documents by file name extension. Others are signed only with `--binary`."""

_JOURNAL_PARTS: Final = ("", ".lock", ".recovered")
"""Suffixes of a journal, its lock, and its folder for signed documents that could not be saved."""

_JOURNAL: Final = b"signstash-journal"
"""What a journal begins with."""

REASON_SUFFIX: Final = ".failed.txt"
"""What `watch` adds to the name of a signed file, for the text that says why there is none."""

_LISTED: Final = 10
"""How many problems a message lists."""


@attrs.frozen
class PlannedFile:
    """A file to sign.

    Attributes:
        path: The original.
        target: The signed file.
        size: Size of the original in bytes.
        make: `Document.pdf`, `Document.xml` or `Document.binary`.
        problem: Why it cannot be signed, or None.
        name: The document's name, which differs from the file's if another file is alike.
        digest: SHA-256 of its contents, or an empty text if it is not needed.
    """

    path: Path
    target: Path
    size: int
    make: MakeDocument
    problem: SignStashError | None = attrs.field(default=None, eq=False)
    name: str = attrs.field(default=attrs.Factory(lambda self: self.path.name, takes_self=True), eq=False)
    digest: str = attrs.field(default="", eq=False)

    @property
    def identity(self) -> Identity:
        """By what a journal knows the document."""
        return self.name, self.digest


@attrs.frozen
class Plan:
    """How files are found.

    Attributes:
        output: Folder for the signed files, which mirrors the folders that are signed. None puts each signed file
            next to its original, as `<name>.signed.pdf`.
        binary: Whether files that are neither PDF nor XML are signed too.
        own_files: Files that belong to the command itself, such as its journal. They are never documents.
        left_out: What `files` has found in folders that is neither PDF nor XML.
        linked: The linked folders that it has found there.
        other_names: Files that it has found there under another name, too.
    """

    output: Path | None
    binary: bool
    own_files: Sequence[Path] = ()
    left_out: list[Path] = attrs.field(init=False, factory=list[Path])
    linked: list[Path] = attrs.field(init=False, factory=list[Path])
    other_names: list[Path] = attrs.field(init=False, factory=list[Path])

    def files(self, names: Sequence[str]) -> list[PlannedFile]:
        """Find the files and their targets.

        Args:
            names: Files, folders (with everything below them) and patterns such as `*.pdf`.

        Returns:
            The files. Those that exist but cannot be read have a `problem`.

        Raises:
            ConfigurationError: If a name matches nothing, a named file is of an unknown kind, or a signed file would
                replace an original or another signed file.
        """
        wrong: list[str] = []
        unreadable: list[OSError] = []
        files: dict[object, PlannedFile] = {}
        own = {number for path in self.own_files if (number := _number(path)) is not None}
        for name in names:
            found = list(self._found(name, unreadable))
            if not found and not unreadable:
                wrong.append(f"{printable(name)} does not exist or contains nothing to sign")
            for path, place in found:
                number, make = _number(path), self.kind(path)
                if number in own:
                    continue
                if make is None:
                    wrong.append(f"{printable(path)} is neither PDF nor XML (use --binary to sign it anyway)")
                    continue
                target = beside(path) if self.output is None else self.output / place
                found_now = planned_file(path, target, make)
                first = files.setdefault(number or path, found_now)
                if first is not found_now and real_path(first.path) != real_path(path):
                    self.other_names.append(path)
        found_again = {_number(path) or path: path for path in reversed(self.left_out)}
        self.left_out[:] = [path for number, path in reversed(found_again.items()) if number not in own]
        signed_before = {number for file in files.values() if (number := _number(beside(file.path))) is not None}
        files = {number: file for number, file in files.items() if number not in signed_before}
        wrong += _misplaced(files)
        planned = [*files.values(), *map(_unreadable_folder, unreadable)]
        problems = [file.problem.problem.removesuffix(".") for file in planned if file.problem is not None]
        if wrong or len(problems) == len(planned):
            wrong = [*problems, *wrong] or ["there is nothing to sign"]
            more = f"; and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
            raise ConfigurationError(
                f"Nothing was signed: {'; '.join(wrong[:_LISTED])}{more}.",
                " ".join(["Name other files, or another folder with -o.", *self.remarks]),
            )
        return planned

    @property
    def remarks(self) -> list[str]:
        """What to say about files that are left out."""
        remarks: list[str] = []
        if self.left_out:
            count, are, were = len(self.left_out), "files are", "were"
            if count == 1:
                are, were = "file is", "was"
            left_out = f"{count:,} {are} neither PDF nor XML and {were} left out: {_first_of(self.left_out)}"
            remarks.append(f"{left_out} (--binary signs such files too).")
        if self.linked:
            remarks.append(f"Linked folders are not followed: {_first_of(self.linked)}.")
        if self.other_names:
            remarks.append(f"Files with several names are signed under the first one: {_first_of(self.other_names)}.")
        return remarks

    def kind(self, path: Path) -> MakeDocument | None:
        """Return what makes a document of a file, or None if it is not to be signed."""
        if path.parent.name.endswith(_JOURNAL_PARTS[1:]) and _is_journal(path.parent):
            return None
        kind = _KINDS.get(path.suffix.lower())
        return Document.binary if kind is None and self.binary and not _is_journal(path) else kind

    def _found(self, name: str, unreadable: list[OSError]) -> Iterator[tuple[Path, Path]]:
        """The files that a name matches, each with its place in the output folder."""
        path = Path(name).expanduser()
        is_pattern = glob.has_magic(name) and not os.path.lexists(path)
        matching = glob.glob(str(path), recursive=True) if is_pattern else [path]  # noqa: PTH207 - Path's refuses "/a/*"
        for item in sorted(map(Path, matching)):
            if os.path.isdir(item):  # noqa: PTH112 - Path's raises for a name that is too long
                yield from self._below(item, unreadable)
            elif is_pattern or os.path.lexists(item):
                yield item, Path(item.name)

    def _below(self, folder: Path, unreadable: list[OSError]) -> Iterator[tuple[Path, Path]]:
        left_out = self.own_files if self.output is None else [self.output, *self.own_files]
        for path in files_below(folder, unreadable, left_out=left_out, linked=self.linked):
            is_ours = self.output is None and Path(path.stem).suffix == ".signed"
            if self.kind(path) is not None and not is_ours:
                yield path, path.relative_to(folder)
            elif not is_ours and not _is_journal(path) and not _is_journal(path.parent):
                self.left_out.append(path)


def planned_file(path: Path, target: Path, make: MakeDocument) -> PlannedFile:
    """Plan one file, with a problem if it cannot be read."""
    try:
        status = path.stat()
    except OSError as error:
        return PlannedFile(path, target, 0, make, _unreadable(path, error.strerror))
    if not stat.S_ISREG(status.st_mode):  # a named pipe would never end
        return PlannedFile(path, target, 0, make, _unreadable(path, "not a regular file", "Give a regular file."))
    return PlannedFile(path, target, status.st_size, make)


def _unreadable(
    path: Path, reason: str | None, hint: str = "Check that it exists, and its permissions."
) -> InvalidDocumentError:
    return InvalidDocumentError(f"{printable(path)} cannot be read: {reason}.", hint, document=path.name)


def _unreadable_folder(error: OSError) -> PlannedFile:
    path = Path(error.filename)
    return PlannedFile(path, beside(path), 0, Document.binary, _unreadable(path, error.strerror))


def files_below(
    folder: Path, unreadable: list[OSError], *, left_out: Iterable[Path] = (), linked: list[Path] | None = None
) -> Iterator[Path]:
    """The files below a folder, in order, without hidden ones. Linked folders are not followed.

    Args:
        folder: The folder.
        unreadable: Collects the errors of folders that cannot be read.
        left_out: Folders that are not searched.
        linked: Collects the linked folders.
    """
    excluded = {Path(os.path.realpath(path)) for path in left_out}

    for parent, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not (excluded and Path(os.path.realpath(Path(parent, name))) in excluded)
        )
        if linked is not None:
            linked += [path for name in folders if (path := Path(parent, name)).is_symlink()]
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def _first_of(paths: Sequence[Path]) -> str:
    return ", ".join(map(printable, paths[:3])) + (", ..." if len(paths) > 3 else "")


def with_unwritable_folders(files: Sequence[PlannedFile]) -> list[PlannedFile]:
    """Return the files, those with a problem whose signed files cannot be written.

    Raises:
        ConfigurationError: If none of the folders for signed files can be written.
    """
    reasons = {folder: _unwritable(folder) for folder in {file.target.parent for file in files}}
    if files and all(reasons.values()):
        folder, reason = next(iter(reasons.items()))
        raise ConfigurationError(
            f"{printable(folder)} cannot be written: {reason}. Nothing was sent.",
            "Check its permissions, or name another folder with -o.",
        )
    return [
        file
        if (reason := reasons[file.target.parent]) is None or file.problem is not None
        else attrs.evolve(
            file,
            problem=DocumentNotSavedError(
                f"{printable(file.target.parent)} cannot be written: {reason}. The document was not sent.",
                "Check its permissions, or name another folder with -o.",
            ),
        )
        for file in files
    ]


def make_writable(folder: Path) -> None:
    """Make a folder if it does not exist.

    Raises:
        ConfigurationError: If files cannot be created in it.
    """
    if (reason := _unwritable(folder)) is not None:
        raise ConfigurationError(
            f"{printable(folder)} cannot be written: {reason}. Nothing was sent.",
            "Check its permissions, or name another folder.",
        )


def _unwritable(folder: Path) -> str | None:
    """Make a folder; return why files cannot be created in it, or None if they can."""
    try:
        make_folder(folder)
    except (FileExistsError, NotADirectoryError):
        not_folder = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        return f"{'it' if not_folder == folder else printable(not_folder)} is not a folder"
    except OSError as error:
        return error.strerror or str(error)
    return None


def beside(path: Path) -> Path:
    """Return the path of a signed file next to its original."""
    return path.with_name(f"{path.stem}.signed{path.suffix}")


def real_path(target: Path) -> Path:
    """Return a path, which need not exist, with its folder resolved: as a journal names it."""
    return Path(os.path.realpath(target.parent), target.name)


def parts_of_journal(journal: Path | None) -> list[Path]:
    """Return a journal and the files that appear next to it while it is in use."""
    return [] if journal is None else [Path(f"{journal}{part}") for part in _JOURNAL_PARTS]


def _is_journal(path: Path) -> bool:
    """Whether a path belongs to a journal, of this or another run."""
    names = [path.name.removesuffix(part) for part in _JOURNAL_PARTS if path.name.endswith(part)]
    return any(_holds_journal(path.with_name(name)) for name in names if name)


def _holds_journal(path: Path) -> bool:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return file.read(len(_JOURNAL)) == _JOURNAL
    except OSError:
        return False


def _number(path: Path) -> tuple[int, int] | None:
    """What identifies an existing file under all of its names."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _misplaced(files: Mapping[object, PlannedFile]) -> Iterator[str]:
    """What is wrong with the targets: no original is ever overwritten."""
    taken: dict[Path, Path] = {}
    for file in files.values():
        target = real_path(file.target)
        original = files.get(_number(file.target))
        if original is not None:
            is_link = target != real_path(original.path)
            what = f"a link to the original {printable(original.path)}" if is_link else "an original"
            yield f"{printable(file.path)} would be saved as {printable(file.target)}, which is {what}"
        if target in taken:
            yield (
                f"{printable(taken[target])} and {printable(file.path)} would both be saved as {printable(file.target)}"
            )
        taken[target] = file.path

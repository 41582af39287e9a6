"""Saves signed documents."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from .._content.arguments import require_flags, require_path
from .._content.contents import InTemporaryFile
from .._content.files import TemporaryFile, make_folder, sync_folder
from .._content.names import safe_names
from .._content.writing import write_atomically, write_unnamed
from ..documents import Document
from ..errors import ConfigurationError, DocumentNotSavedError, InvalidDocumentError, SignatureInvalidError
from ..results import Outcome, SignedDocument, not_saved, outcome_of
from ..settings import SaveTo


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SignedFiles:
    """Where signed documents are saved, or else kept for recovery. Its methods block: call them in a thread."""

    save_to: SaveTo = attrs.field(validator=lambda _, __, value: callable(value) or require_path("save_to", value))
    overwrite: bool = attrs.field(validator=lambda _, __, value: require_flags(overwrite=value))
    recovery: Path | None = None
    _claimed: dict[Path, None] = attrs.field(init=False, factory=dict[Path, None])
    _folders: dict[str, str] = attrs.field(init=False, factory=dict[str, str])
    _made: set[str] = attrs.field(init=False, factory=set[str])
    _temporary: list[Path] = attrs.field(init=False, factory=list[Path])

    @property
    def claimed(self) -> list[Path]:
        """In the order in which they were claimed."""
        return list(self._claimed)

    def target(self, document: Document) -> Path:
        """The file for a signed document."""
        if not callable(self.save_to):
            folder = os.fspath(self.save_to)
            _require_folder(folder, document)
            return Path(self._resolved(folder), document.name)
        try:
            named: object = self.save_to(document)
        except StopIteration as error:  # which would end the run as if there were no more documents
            raise ConfigurationError(f"save_to raised StopIteration for {document.name}.", "Return a path.") from error
        if not isinstance(named, str | os.PathLike):
            raise ConfigurationError(f"save_to returned {named!r} for {document.name}.", "Return a path.")
        folder, name = os.path.split(os.fspath(named))
        return Path(self._resolved(folder), name)

    def _resolved(self, folder: str) -> str:
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return self._folders[folder]

    def claim(self, document: Document) -> Path:
        """The file for a signed document, which no other document gets."""
        # Before the request: a signature that cannot be saved would be lost, or paid for in vain.
        try:
            target = self.target(document)
            if target in self._claimed:
                raise DocumentNotSavedError(
                    f"Another document is saved as {target}, so {document.name} was not sent.",
                    "Give the documents different names, or let `save_to` be a function that tells their files apart.",
                )
            self._require_free(target, document)
            folder = str(target.parent)
            if folder not in self._made:
                make_folder(target.parent)
                self._made.add(folder)
        except (OSError, ValueError) as error:
            where, reason = f"The file for {document.name}", str(error)
            if isinstance(error, OSError):
                where, reason = error.filename or where, error.strerror or reason
            raise DocumentNotSavedError(
                f"{where} cannot be written, so {document.name} was not sent: {reason}.", "Check path and permissions."
            ) from error
        self._claimed[target] = None
        return target

    def _require_free(self, target: Path, document: Document) -> None:
        try:
            mode = os.lstat(target).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode):
            problem, hint = f"{target} is a folder", "Give it the name of a file."
        elif not self.overwrite:
            problem, hint = f"{target} exists already", "Choose another folder, or replace files with overwrite=True."
        elif not stat.S_ISREG(mode):
            problem, hint = f"{target} is not a regular file", "Give it another name: only regular files are replaced."
        else:
            return
        raise DocumentNotSavedError(f"{problem}, so {document.name} was not sent.", hint)

    def save(
        self,
        outcomes: Sequence[Outcome],
        targets: Sequence[Path],
        record: Callable[[Sequence[str | None]], None] | None = None,
    ) -> list[Outcome]:
        """Save what is signed, so that not even a power failure loses it.

        Args:
            outcomes: What came of some documents.
            targets: The file for each.
            record: Is called once when all contents are on disk, before any file gets its name, with the SHA-256 of
                each (hexadecimal digits; None for what is not signed or could not be written). If it raises, no file
                gets its name.

        Returns:
            The outcomes; a document that cannot be saved has a `DocumentNotSavedError`, which holds it.
        """
        found = [(outcome.signed, target) for outcome, target in zip(outcomes, targets, strict=True)]
        saved = iter(save_documents(found, overwrite=self.overwrite, record=record))
        if not self.overwrite:  # from now on the files themselves claim their names
            for target in targets:
                self._claimed.pop(target, None)
        return [
            self._recovered(outcome if result is None else outcome_of(outcome.document, result))
            for outcome, result in zip(outcomes, saved, strict=True)
        ]

    def _recovered(self, outcome: Outcome) -> Outcome:
        """The same outcome, with a signed document that was not saved in the folder for recovery."""
        error = outcome.error
        kept = self._kept(error.signed) if isinstance(error, DocumentNotSavedError | SignatureInvalidError) else None
        if kept and isinstance(error, SignatureInvalidError):  # perhaps it is only that it cannot be judged
            error.signed, error.hint = kept, f"{error.hint} It is kept as {kept.saved_as}."
        elif kept and isinstance(error, DocumentNotSavedError):
            error.signed, error.hint = kept, f"It is signed, and kept as {kept.saved_as}: move it to its place."
        return outcome

    def _kept(self, signed: object) -> SignedDocument | None:
        if self.recovery is None or not isinstance(signed, SignedDocument):
            return None
        if signed.saved_as is not None:  # an earlier run kept it
            return signed
        (name,) = safe_names([f"{signed.external_reference}.{signed.name}"])
        for is_temporary in (False, True):
            with contextlib.suppress(OSError, ValueError, InvalidDocumentError):
                folder = self._temporary_folder(self.recovery.name) if is_temporary else self.recovery
                return signed._saved(write_atomically(signed._contents, folder / name, overwrite=False).path)
        return None

    def _temporary_folder(self, name: str) -> Path:
        """A folder in the system's folder of temporary files, where nobody else may write, nor another journal."""
        if not self._temporary:
            self._temporary.append(Path(tempfile.mkdtemp(prefix=f"{name}.")))
        return self._temporary[0]


def _require_folder(folder: str, document: Document) -> None:
    suffix = os.path.splitext(document.name)[1]  # noqa: PTH122 - no path is needed
    if suffix and folder.lower().endswith(suffix.lower()) and not os.path.isdir(folder):  # noqa: PTH112 - as above
        raise ConfigurationError(
            f"save_to is {folder!r}, which looks like a file; it is a folder, in which documents keep their names.",
            "Give a folder, or a function that returns the path: save_to=lambda document: 'invoice.signed.pdf'.",
        )


def save_documents(
    documents: Sequence[tuple[SignedDocument | None, Path]],
    *,
    overwrite: bool,
    record: Callable[[Sequence[str | None]], None] | None = None,
) -> list[SignedDocument | DocumentNotSavedError | None]:
    """Save signed documents in folders that exist, with as few waits for the disk as possible. Blocks.

    Returns each with its contents in the file, or the error that says why it is not; None where there is none.
    """
    files = [_SignedFile(signed, target) for signed, target in documents if signed is not None]
    for file in files:
        with file.errors():
            file.file, file.digest = write_unnamed(
                file.signed._contents, file.target.parent, with_digest=record is not None
            )
    if len(files) > 1:
        for file in files:
            if file.file is not None:
                file.file.start_writeback()
    for file in files:
        with file.errors():
            if file.file is not None:
                file.file.sync()
    if record is not None:
        digests = iter(files)
        record([None if signed is None else next(digests).digest for signed, _ in documents])
    for file in files:
        with file.errors():
            if file.file is not None:
                file.file.rename(file.target, overwrite=overwrite)
    for folder in {file.target.parent for file in files if file.error is None}:
        sync_folder(folder)
    saved = iter(files)
    return [None if signed is None else next(saved).result() for signed, _ in documents]


@attrs.define
class _SignedFile:
    """A signed document and the file that it becomes. A file that gets no name disappears with this object."""

    signed: SignedDocument
    target: Path
    file: TemporaryFile | None = None
    digest: str | None = None
    error: DocumentNotSavedError | None = None

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Keep what goes wrong for this document, so that the others are saved."""
        try:
            yield
        except (OSError, ValueError, InvalidDocumentError) as error:
            if self.file is not None and self.signed._contents != InTemporaryFile(self.file):
                self.file.remove()  # at once: the error would hold it, and its space on a full disk
            self.digest = self.file = None
            self.error = not_saved(self.target, error, self.signed)
            self.error.__cause__ = error

    def result(self) -> SignedDocument | DocumentNotSavedError:
        return self.error or self.signed._saved(self.target)

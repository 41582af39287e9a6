"""Saves signed documents."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from .._arguments import require_path
from .._content.files import make_folder, real_path, require_replaceable
from .._content.names import safe_names
from .._content.writing import FileWrite, write_atomically, write_files
from ..documents import Document
from ..errors import ConfigurationError, DocumentNotSavedError, InvalidDocumentError, SignatureInvalidError
from ..results import Outcome, SignedDocument, not_saved, outcome_of
from ..settings import SaveTo


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SignedFiles:
    """Where signed documents are saved, or else kept for recovery. Its methods block: call them in a thread."""

    save_to: SaveTo = attrs.field(validator=lambda _, __, value: callable(value) or require_path("save_to", value))
    overwrite: bool
    recovery: Path | None = None
    claimed: dict[Path, None] = attrs.field(init=False, factory=dict[Path, None])  # in their order
    _folders: dict[str, Path] = attrs.field(init=False, factory=dict[str, Path])  # existing ones, by path as given
    _temporary: list[Path] = attrs.field(init=False, factory=list[Path])

    def claim(self, document: Document) -> Path:
        """The file for a signed document, which no other document gets."""
        # Before the request: a signature that cannot be saved would be lost, or paid for in vain.
        try:
            folder, name = self._place(document)
            real_folder = self._folders.get(folder) or Path(real_path(folder))
            target = real_folder / name
            if target in self.claimed:
                raise DocumentNotSavedError(
                    f"Another document is saved as {target}, so {document.name} was not sent.",
                    "Give the documents different names, or let `save_to` be a function that tells their files apart.",
                )
            if folder not in self._folders:
                make_folder(real_folder)
                self._folders[folder] = real_folder
            require_replaceable(target, overwrite=self.overwrite)  # last: a path such as 'new/' names that folder
        except (OSError, ValueError) as error:
            where = getattr(error, "filename", None) or f"The file for {document.name}"
            raise not_saved(where, error, unsent=document) from error
        self.claimed[target] = None
        return target

    def _place(self, document: Document) -> tuple[str, str]:
        """Folder and name of the file for a signed document."""
        if not callable(self.save_to):
            folder = os.fspath(self.save_to)
            _require_folder(folder, document)
            return folder, document.name
        try:
            named: object = self.save_to(document)
        except StopIteration as error:  # which would end the run as if there were no more documents
            raise ConfigurationError(f"save_to raised StopIteration for {document.name}.", "Return a path.") from error
        if not isinstance(named, str | os.PathLike):
            raise ConfigurationError(f"save_to returned {named!r} for {document.name}.", "Return a path.")
        return os.path.split(os.fsdecode(named))

    def save(
        self,
        outcomes: Sequence[Outcome],
        targets: Sequence[Path],
        record: Callable[[Sequence[str | None]], None] | None = None,
    ) -> list[Outcome]:
        """Save what is signed, so that not even a power failure loses it.

        Args:
            outcomes: The outcomes of some documents.
            targets: The file for each.
            record: Is called once when all contents are on disk, before any file gets its name, with the SHA-256 of
                each (hexadecimal digits; None for what is not signed or could not be written). If it raises, no file
                gets its name.

        Returns:
            The outcomes; a document that cannot be saved has a `DocumentNotSavedError`, which holds it.
        """
        files = [
            None if outcome.signed is None else FileWrite(outcome.signed._contents, target)
            for outcome, target in zip(outcomes, targets, strict=True)
        ]
        write_files(
            [file for file in files if file is not None],
            overwrite=self.overwrite,
            record=record and (lambda: record([None if file is None else file.digest for file in files])),
        )
        results = [self._saved(outcome, file) for outcome, file in zip(outcomes, files, strict=True)]
        for result, target in zip(results, targets, strict=True):
            if not self.overwrite or result.signed is None:  # the file itself claims its name, or there is none
                self.claimed.pop(target, None)
        return results

    def _saved(self, outcome: Outcome, file: FileWrite | None) -> Outcome:
        """The outcome after saving; a signed document that was not saved is kept in the recovery folder."""
        if file is not None and outcome.signed is not None:
            signed = outcome.signed
            saved = signed._saved(file.target) if file.error is None else not_saved(file.target, file.error, signed)
            outcome = outcome_of(outcome.document, saved)
        error = outcome.error
        kept = self._kept(error.signed) if isinstance(error, DocumentNotSavedError | SignatureInvalidError) else None
        if kept and isinstance(error, SignatureInvalidError):  # perhaps it is only that it cannot be judged
            error.signed, error.hint = kept, f"{error.hint} It is kept as {kept.saved_as}."
        elif kept and isinstance(error, DocumentNotSavedError):
            how = "run again with this journal, or move it to its place"
            error.signed, error.hint = kept, f"It is signed, and kept as {kept.saved_as}: {how}."
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
                write_atomically(signed._contents, folder / name, overwrite=False)
                return signed._saved(folder / name)
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


def save_in_folder(documents: Sequence[SignedDocument], folder: Path, *, overwrite: bool) -> list[Path]:
    """Save the documents of an operation, which somebody else has named. If a name is not free, none is saved."""
    names = safe_names(f"{document.external_reference}.{document.name}" for document in documents)
    files = [FileWrite(document._contents, folder / name) for document, name in zip(documents, names, strict=True)]
    for file in files:
        with file:
            require_replaceable(file.target, overwrite=overwrite)
    if all(file.error is None for file in files):
        write_files(files, overwrite=overwrite)
    for file in files:
        if file.error is not None:
            raise not_saved(file.target, file.error)
    return [file.target for file in files]

"""What signing returns."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, Self, TypeAlias

import attrs

from ._arguments import require_flags, require_path
from ._content.contents import Contents, InMemory, InPath
from ._content.snapshots import read
from ._content.writing import write_atomically
from .documents import Document, require_document
from .errors import DocumentNotSavedError, InvalidDocumentError, SignStashError

if TYPE_CHECKING:
    from .models import DocumentResponse, SignOperation
    from .verification import Roots, Verification


def _as_contents(content: bytes | Contents) -> Contents:
    return InMemory(content) if isinstance(content, bytes) else content


@attrs.frozen(kw_only=True)
class SignedDocument:
    """A signed document.

    Attributes:
        name: File name, as it was sent.
        external_reference: The document's external reference.
        operation_id: ID of the operation that signed it, if the service gave one.
        details: The service's description of the document.
        saved_as: The file that `save_to` wrote, or None.
    """

    _contents: Contents = attrs.field(alias="content", repr=False, converter=_as_contents)
    name: str
    external_reference: str
    operation_id: int | None
    details: DocumentResponse = attrs.field(repr=False)
    saved_as: Path | None = None

    @property
    def content(self) -> bytes:
        """The signed contents. If they are long or were saved, this reads a file and blocks; `read` does not.

        Raises:
            DocumentNotSavedError: If they were saved, and the file cannot be read.
        """
        try:
            return read(self._contents)
        except InvalidDocumentError as error:
            raise DocumentNotSavedError(error.problem, error.hint, signed=self) from error.__cause__

    async def read(self) -> bytes:
        """The signed contents, read in a thread if they are in a file.

        Raises:
            DocumentNotSavedError: If they were saved, and the file cannot be read.
        """
        return await asyncio.to_thread(lambda: self.content)

    async def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the signed contents to a file, completely or not at all, so that a power failure does not lose them.

        Args:
            path: The file. Its folders are created.
            overwrite: Whether an existing file is replaced. Only regular files are.

        Raises:
            ConfigurationError: If an argument has the wrong type.
            DocumentNotSavedError: If it cannot be written, or exists.
        """
        require_flags(overwrite=overwrite)
        target = require_path("path", path)

        def save() -> None:
            try:
                write_atomically(self._contents, target, overwrite=overwrite)
            except (OSError, ValueError, InvalidDocumentError) as error:
                raise not_saved(target, error, self) from error

        await asyncio.to_thread(save)

    async def verify(self, original: Document | None = None, *, trusted_roots: Roots = ()) -> Verification:
        """Verify that it is complete, validly signed, and the document that was sent.

        Needs `pip install 'signstash[verify]'`. Runs in a thread, and makes no network requests.

        Args:
            original: The document that was sent; only with it can the result say whether this is what came back.
            trusted_roots: Certificates of trusted authorities: files or their contents, in PEM or DER. Without them
                the result says nothing about who signed it.

        Returns:
            The verdict with its reasons; see `signstash.verification`.

        Raises:
            InvalidDocumentError: If the original, or the file that this was saved to, cannot be read.
            ConfigurationError: If a root cannot be used.
        """
        if original is not None:
            require_document(original)
            await original._load()
        return await asyncio.to_thread(self._verify, original, trusted_roots)

    def _verify(self, original: Document | None, trusted_roots: Roots = ()) -> Verification:
        from .verification import verify_contents  # needs the packages of the extra

        if original is None:
            return verify_contents(self._contents, None, trusted_roots)
        return original._read_with(lambda contents: verify_contents(self._contents, contents, trusted_roots))

    def _saved(self, path: Path) -> Self:
        return attrs.evolve(self, content=InPath(path), saved_as=path)


def not_saved(
    target: str | Path, error: Exception, signed: SignedDocument | None = None, *, unsent: Document | None = None
) -> DocumentNotSavedError:
    """The error for the file of a signed document, or of one that was therefore not sent."""
    so = "" if unsent is None else f", so {unsent.name} was not sent"
    is_signed, then = ("", "try again") if signed is None else ("The document is signed. ", "save it from `signed`")
    if isinstance(error, InvalidDocumentError):
        problem, hint = error.problem, error.hint
    elif isinstance(error, FileExistsError):
        problem = f"{target} exists already{so}."
        hint = f"Choose another place, or replace files with overwrite=True, then {then}."
    else:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).rstrip(".")
        problem = f"{target} cannot be written{so}: {reason}."
        hint = f"Check folder, permissions and space, then {then}."
    failure = DocumentNotSavedError(problem, f"{is_signed}{hint}", signed=signed)
    failure.__cause__ = error
    return failure


@attrs.frozen
class SignedOutcome:
    """The outcome of a document that is signed.

    Attributes:
        document: The document that the caller gave.
        signed: The signed document.
        signed_before: Whether an earlier run with the same journal had it signed, so that it was not sent in this one.
        ok: True.
        error: None.
    """

    document: Document
    signed: SignedDocument
    signed_before: bool = False
    ok: Literal[True] = attrs.field(default=True, init=False, repr=False)
    error: None = attrs.field(default=None, init=False, repr=False)

    @property
    def saved_as(self) -> Path | None:
        """Where the signed contents are saved, or None."""
        return self.signed.saved_as

    def unwrap(self) -> SignedDocument:
        """Return the signed document."""
        return self.signed


@attrs.frozen
class FailedOutcome:
    """The outcome of a document that is not signed, or not known to be.

    Attributes:
        document: The document that the caller gave.
        error: The error, which `unwrap` raises.
        signed_before: Whether an earlier run with the same journal had it signed.
        ok: False.
        signed: None.
        saved_as: None.
    """

    document: Document
    error: SignStashError
    signed_before: bool = False
    ok: Literal[False] = attrs.field(default=False, init=False, repr=False)
    signed: None = attrs.field(default=None, init=False, repr=False)
    saved_as: None = attrs.field(default=None, init=False, repr=False)

    def unwrap(self) -> NoReturn:
        """Raise the error.

        Raises:
            SignStashError: Always.
        """
        raise self.error


Outcome: TypeAlias = SignedOutcome | FailedOutcome
"""The outcome of one document: after `if outcome.signed is None`, type checkers know that there is an `error`.

They know it after `if outcome.ok is False`, too. After `if not outcome.ok` mypy knows it, and pyright does not.
"""


def outcome_of(document: Document, result: SignedDocument | SignStashError, *, signed_before: bool = False) -> Outcome:
    """The outcome of a document, from the signed document or the error."""
    if isinstance(result, SignStashError):
        return FailedOutcome(document, result, signed_before)
    return SignedOutcome(document, result, signed_before)


@attrs.frozen(kw_only=True)
class Progress:
    """The progress of a run.

    Attributes:
        signed: Documents signed in this run.
        signed_before: Documents signed in an earlier run with the same journal.
        failed: Documents with an error.
        total: Number of documents, or None if their source has no length.
        requests: Requests that are done, successfully or not.
        content_bytes: Size of the documents that are done, in bytes.
        in_flight: Requests in flight.
        seconds: Seconds since the run began.
    """

    signed: int = 0
    signed_before: int = 0
    failed: int = 0
    total: int | None = None
    requests: int = 0
    content_bytes: int = 0
    in_flight: int = 0
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class SignedBatch:
    """The result of one request.

    Attributes:
        operation: The service's operation, without the signed contents.
        outcomes: One for each document, in the order in which they were given.
    """

    operation: SignOperation = attrs.field(repr=False)
    outcomes: Sequence[Outcome]

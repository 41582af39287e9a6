"""What signing returns."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import attrs

from ._content.arguments import require_flags, require_path
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
        operation_id: Number of the operation that signed it, if the service gave one.
        details: What else the service says about the document.
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
        """The signed bytes. If they are long or were saved, this reads a file and blocks; `read` does not.

        Raises:
            DocumentNotSavedError: If they were saved, and the file cannot be read.
        """
        try:
            return read(self._contents)
        except InvalidDocumentError as error:
            raise DocumentNotSavedError(error.problem, error.hint, signed=self) from error.__cause__

    async def read(self) -> bytes:
        """The signed bytes, read in a thread if they are in a file.

        Raises:
            DocumentNotSavedError: If they were saved, and the file cannot be read.
        """
        return await asyncio.to_thread(lambda: self.content)

    async def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the signed bytes to a file, completely or not at all, so that a power failure does not lose them.

        Args:
            path: The file. Its folders are made.
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
                raise self._not_saved(target, error) from error

        await asyncio.to_thread(save)

    async def verify(self, original: Document | None = None, *, trusted_roots: Roots = ()) -> Verification:
        """Check whether it is complete, signed, and the document that was sent.

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
        """The same document, with its contents in a file."""
        return type(self)(
            content=InPath(path),
            name=self.name,
            external_reference=self.external_reference,
            operation_id=self.operation_id,
            details=self.details,
            saved_as=path,
        )

    def _not_saved(self, target: Path, error: Exception) -> DocumentNotSavedError:
        """The error for a file that could not be written."""
        if isinstance(error, InvalidDocumentError):
            return DocumentNotSavedError(error.problem, error.hint, signed=self)
        if isinstance(error, FileExistsError):
            problem, hint = f"{target} exists already.", "Choose another name, or replace it with overwrite=True."
        else:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            problem = f"{target} cannot be written: {reason}."
            hint = "Check folder, permissions and space, then save it again."
        return DocumentNotSavedError(problem, hint, signed=self)


@attrs.frozen
class Outcome:
    """The outcome of one document.

    Attributes:
        document: The document that the caller gave.
        result: The signed document, or the error that says why there is none.
        signed_before: Whether an earlier run with the same journal had it signed, so that it was not sent in this one.
    """

    document: Document
    result: SignedDocument | SignStashError
    signed_before: bool = False

    @property
    def ok(self) -> bool:
        """Whether it is signed."""
        return self.error is None

    @property
    def signed(self) -> SignedDocument | None:
        """The signed document, or None."""
        return None if isinstance(self.result, SignStashError) else self.result

    @property
    def saved_as(self) -> Path | None:
        """Where the signed bytes are saved, or None."""
        return None if self.signed is None else self.signed.saved_as

    @property
    def error(self) -> SignStashError | None:
        """Why it was not signed, or None."""
        return self.result if isinstance(self.result, SignStashError) else None


@attrs.frozen(kw_only=True)
class Progress:
    """How far a run has come.

    Attributes:
        signed: Documents that this run had signed.
        signed_before: Documents that an earlier run with the same journal had signed.
        failed: Documents with an error.
        total: Documents that there are, or None if their source has no length.
        requests: Requests that were answered or failed.
        content_bytes: Bytes of the documents that are done.
        in_flight: Requests that are under way.
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
    """What became of one request.

    Attributes:
        operation: The service's operation, without the signed contents.
        outcomes: One for each document, in the order in which they were given.
    """

    operation: SignOperation = attrs.field(repr=False)
    outcomes: Sequence[Outcome]

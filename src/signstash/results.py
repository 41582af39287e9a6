"""What signing returns."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import attrs

from ._content.arguments import path_from, refuse_flags
from ._content.files import make_folder, place
from ._content.sources import Contents, InMemory, read
from .documents import Document, refuse_other_types
from .errors import (
    DocumentNotSavedError,
    InvalidDocumentError,
    SignatureInvalidError,
    SignStashError,
)
from .models import DocumentResponse, SignOperation

if TYPE_CHECKING:
    from .verification import Roots, Verification


def _as_contents(content: bytes | Contents) -> Contents:
    return InMemory(content) if isinstance(content, bytes) else content


@attrs.frozen(kw_only=True)
class SignedDocument:
    """A document that came back signed.

    Attributes:
        name: File name, as it was sent.
        external_reference: The document's external reference.
        operation_id: Number of the operation that signed it, if the service gave one.
        details: What else the service says about the document.
        saved_as: Where the signed bytes were saved by `save_to`, or None.
    """

    _contents: Contents = attrs.field(alias="content", repr=False, converter=_as_contents)
    name: str
    external_reference: str
    operation_id: int | None
    details: DocumentResponse = attrs.field(repr=False)
    saved_as: Path | None = None

    @property
    def content(self) -> bytes:
        """The signed bytes. Long ones, and those that were saved, are in a file: `read` does not block for them.

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
        """Write the signed bytes to a file, whole or not at all.

        Args:
            path: The file. Folders are made.
            overwrite: Whether a file that is there already is replaced.

        Raises:
            ConfigurationError: If an argument is of another type.
            DocumentNotSavedError: If it cannot be written, or is there already.
        """
        refuse_flags(overwrite=overwrite)
        await asyncio.to_thread(self.copy_to, path_from("path", path), overwrite=overwrite)

    async def verify(self, original: Document | None = None, *, trusted_roots: Roots = ()) -> Verification:
        """Find out whether it is whole, signed, and the document that was sent.

        Needs `pip install 'signstash[verify]'`. It works in a thread, and asks nothing of the network.

        Args:
            original: The document that was sent. Without it nobody can tell whether this is what came back.
            trusted_roots: Certificates of the authorities that are trusted: files or their contents, in PEM or DER.
                Without them anybody can have signed it.

        Raises:
            InvalidDocumentError: If the original is no document or cannot be read, or the file that it was saved in.
            ConfigurationError: If a root cannot be used.
        """
        if original is not None:
            refuse_other_types(original)
        return await asyncio.to_thread(self.verified, original, trusted_roots)

    def verified(self, original: Document | None, trusted_roots: Roots = ()) -> Verification:
        """What `verify` finds out. Blocks: call it in a thread."""
        from .verification import verify_contents  # it needs packages that others can do without

        if original is None:
            return verify_contents(self._contents, None, trusted_roots)
        return original.about(lambda contents: verify_contents(self._contents, contents, trusted_roots))

    def copy_to(self, target: Path, *, overwrite: bool, move: bool = False) -> Self:
        """Write the signed bytes to a file, as `save` does. Blocks: call it in a thread.

        Args:
            target: The file. Folders are made.
            overwrite: Whether a file that is there already is replaced.
            move: Whether a temporary file may become the target, so that only what is returned can be read.

        Returns:
            The document with its contents in the target.

        Raises:
            DocumentNotSavedError: If it cannot be written, or is there already.
        """
        try:
            make_folder(target.parent)
            contents = place(self._contents, target, overwrite=overwrite, move=move)
        except FileExistsError as error:
            raise DocumentNotSavedError(
                f"{target} exists already.", "Choose another name, or replace it with overwrite=True.", signed=self
            ) from error
        except InvalidDocumentError as error:
            raise DocumentNotSavedError(error.problem, error.hint, signed=self) from error.__cause__
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise DocumentNotSavedError(
                f"{target} cannot be written: {reason}.",
                "Check folder, permissions and space, then save it again.",
                signed=self,
            ) from error
        return attrs.evolve(self, content=contents, saved_as=target)


@attrs.frozen
class Outcome:
    """What became of one document.

    Attributes:
        document: The document as it was given.
        result: The signed document, or why it was not signed.
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


def verified(outcome: Outcome) -> Outcome:
    """The same outcome, if the signed document holds. Blocks: call it in a thread."""
    signed = outcome.signed
    if signed is None:
        return outcome
    try:
        problems = signed.verified(outcome.document).problems
    except SignStashError as error:  # the original has gone meanwhile
        problems = (error.problem,)
    if not problems:
        return outcome
    return Outcome(
        outcome.document,
        SignatureInvalidError(
            f"Document {signed.name} ({signed.external_reference}) came back, but {'; '.join(problems)}.",
            "Do not use it. It is in this error's `signed`; look at it, and contact the vendor's support.",
            signed=signed,
            problems=problems,
        ),
    )


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

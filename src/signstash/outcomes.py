"""What comes out: the signed documents, and for each one that is not signed the reason."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

import attrs

from .answers import about, error_from_document
from .configuration import refuse_flags
from .contents import Contents, InMemory, read
from .documents import Document, refuse_other_types
from .downloads import put_back
from .errors import (
    DocumentNotSavedError,
    ErrorClasses,
    InvalidDocumentError,
    OutcomeUnknownError,
    SignatureInvalidError,
    SignStashError,
    UnexpectedAnswerError,
)
from .files import make_folder, path_from, place
from .models import DocumentResponse, SigningStatus, SignOperation

if TYPE_CHECKING:
    from .verification import Roots, Verification

logger: Final = logging.getLogger(__name__)

_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What the generated models raise for values of a type that the definition does not know."""


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
            raise DocumentNotSavedError(error.problem, error.cure, signed=self) from error.__cause__

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
            raise DocumentNotSavedError(error.problem, error.cure, signed=self) from error.__cause__
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
    """

    document: Document
    result: SignedDocument | SignStashError

    @property
    def ok(self) -> bool:
        """Whether it is signed."""
        return self.error is None

    @property
    def signed(self) -> SignedDocument | None:
        """The signed document, or None."""
        return None if isinstance(self.result, SignStashError) else self.result

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
class SignedBatch:
    """What became of one request.

    Attributes:
        operation: The service's operation, without the signed contents.
        outcomes: One for each document, in the order in which they were given.
    """

    operation: SignOperation = attrs.field(repr=False)
    outcomes: Sequence[Outcome]


class Model(Protocol):
    """A generated model that an answer is read into."""

    additional_properties: dict[str, Any]

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        """Read it from the fields of the definition."""
        ...


AnyModel = TypeVar("AnyModel", bound=Model)


def leniently(model: type[AnyModel], fields: Mapping[str, Any]) -> AnyModel:
    """Read an object of an answer; a field of an odd type is kept as it came, and costs nothing but itself.

    Args:
        model: Class to read into. All its fields must be optional.
        fields: The object as it came.
    """
    try:
        return model.from_dict(fields)
    except _UNREADABLE:
        readable = {name: value for name, value in fields.items() if _reads(model, {name: value})}
    read = model.from_dict(readable)
    read.additional_properties.update({name: value for name, value in fields.items() if name not in readable})
    return read


def _reads(model: type[Model], fields: Mapping[str, Any]) -> bool:
    try:
        model.from_dict(fields)
    except _UNREADABLE:
        return False
    return True


@attrs.frozen(kw_only=True)
class Answered:
    """What errors about an answer's documents have to know.

    Attributes:
        status_code: HTTP status of the answer.
        client_service: Alias of the client service.
        error_classes: The user's own classes for the service's codes.
        operation_id: Number of the operation, if the answer holds it.
        contents: Signed contents that were taken out of the answer, by the marks that stand in their places.
    """

    status_code: int
    client_service: str
    error_classes: ErrorClasses
    operation_id: int | None = None
    contents: Mapping[str, Contents] = attrs.field(factory=dict[str, Contents], repr=False)

    @property
    def where(self) -> str:
        """Operation and client service, for a message."""
        return about(self.client_service, (), self.operation_id)

    def taken(self, signed_content: object) -> Contents | None:
        """The contents of a document, or None if there are none or they are not base64.

        Args:
            signed_content: What stands in the document.
        """
        text = signed_content if isinstance(signed_content, str) else ""
        contents = self.contents[text] if text in self.contents else InMemory(_decoded(text))
        return None if contents == InMemory(b"") else contents


def read_operation(fields: Mapping[str, Any]) -> SignOperation:
    """Read an operation with its documents, each of them for itself.

    Args:
        fields: The answer.
    """
    if not isinstance(fields.get("documentList"), list):
        return leniently(SignOperation, fields)
    operation = leniently(SignOperation, {name: value for name, value in fields.items() if name != "documentList"})
    operation.document_list = [leniently(DocumentResponse, item) for item in _documents(fields)]
    return operation


def read_batch(fields: Mapping[str, Any], documents: Mapping[str, Document], answered: Answered) -> SignedBatch:
    """Match an answer's documents with those that were sent, by external reference and never by position.

    Args:
        fields: The answer, a SignOperation.
        documents: The documents that were sent, by their external references, in order.
        answered: What is known of the answer.
    """
    answered = attrs.evolve(answered, operation_id=_number(fields.get("id")))
    expected = {item.get("signedContent") for item in _documents(fields) if isinstance(item.get("signedContent"), str)}
    if strays := {mark: contents for mark, contents in answered.contents.items() if mark not in expected}:
        fields = put_back(fields, strays)  # a field of that name somewhere else is kept as it came
    operation = read_operation({**fields, "documentList": [_without_content(item) for item in _documents(fields)]})
    received: dict[str, list[_Received]] = {}
    for item, details in zip(_documents(fields), operation.document_list or (), strict=True):
        reference = item.get("externalReference")
        is_reference = isinstance(reference, str | int) and not isinstance(reference, bool)
        received.setdefault(str(reference) if is_reference else "", []).append(_Received(item, details))
    strangers = len(received.keys() - documents.keys())
    if strangers:
        logger.warning("the answer holds %d references that were not sent%s", strangers, answered.where)
    outcomes = [
        Outcome(document, _result(document, reference, received.get(reference, []), answered))
        for reference, document in documents.items()
    ]
    return SignedBatch(operation=operation, outcomes=tuple(outcomes))


@attrs.frozen
class _Received:
    """A document of an answer: as it came, and as it was read."""

    fields: Mapping[str, Any]
    details: DocumentResponse


def _result(
    document: Document, reference: str, received: Sequence[_Received], answered: Answered
) -> SignedDocument | SignStashError:
    which = f"Document {document.name} ({reference})"
    if not received:
        return OutcomeUnknownError(
            f"{which} is missing from the service's answer{answered.where}.",
            "Look it up by its external reference before you send it again.",
            external_references=(reference,),
        )
    if len(received) > 1:
        return _unusable(f"{which} is in it {len(received)} times", reference, answered)
    # From the answer itself: a value of an odd type must not pass as absent.
    fields = received[0].fields
    sign_error, sign_status = fields.get("signError") or None, fields.get("signStatus") or None
    if sign_status == SigningStatus.RECEIVED and sign_error is None:
        return OutcomeUnknownError(
            f"{which} was received, but is not signed yet{answered.where}.",
            "Look it up by its external reference later, before you send it again.",
            external_references=(reference,),
        )
    if sign_status != SigningStatus.SIGNED or sign_error is not None:
        return error_from_document(
            None if sign_error is None else str(sign_error),
            None if sign_status is None else str(sign_status),
            document=document.name,
            external_reference=reference,
            operation_id=answered.operation_id,
            client_service=answered.client_service,
            error_classes=answered.error_classes,
        )
    contents = answered.taken(fields.get("signedContent"))
    if contents is None:
        return _unusable(f"{which} is signed, but its contents are missing or not base64", reference, answered)
    return SignedDocument(
        content=contents,
        name=document.name,
        external_reference=reference,
        operation_id=answered.operation_id,
        details=received[0].details,
    )


def _unusable(why: str, reference: str, answered: Answered) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(
        f"The service's answer cannot be used: {why}{answered.where}.",
        "On the Integration Service fetch it with download_documents; on a proxy contact the vendor's support.",
        status_code=answered.status_code,
        external_references=(reference,),
        maybe_processed=True,
    )


def _documents(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = fields.get("documentList")
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _without_content(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "signedContent"}


def _number(value: object) -> int | None:
    """An operation's number, also if it is written as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:20])
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def _decoded(text: str) -> bytes:
    """Decode base64 with or without line ends and padding; anything else is nothing."""
    text = "".join(text.split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""

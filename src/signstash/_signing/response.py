"""Turns a response into results: the signed documents, and an error for each that was not signed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol, Self, TypeVar

import attrs

from .. import models
from .._content.base64 import decode_base64
from .._content.contents import Contents, InMemory
from .._errors.mapping import ErrorContext, error_from_document
from .._errors.parsing import operation_id_in
from .._errors.unknown import missing_in_response, not_signed_yet
from .._transport.signed_content import restore_base64
from ..documents import Document
from ..errors import (
    ErrorClasses,
    SignatureInvalidError,
    SignStashError,
    UnexpectedAnswerError,
)
from ..results import Outcome, SignedBatch, SignedDocument, outcome_of

logger: Final = logging.getLogger("signstash")

_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What the generated models raise for values of a type that the definition does not know."""


class Model(Protocol):
    """A generated model that a response is read into."""

    additional_properties: dict[str, Any]

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        """Read it from the fields of the definition."""
        ...


AnyModel = TypeVar("AnyModel", bound=Model)


def parse_leniently(model: type[AnyModel], fields: Mapping[str, Any]) -> AnyModel:
    """Read an object of a response. A field of an unexpected type is kept as it came; the others are read.

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
class ResponseContext:
    """What errors about the documents of a response say.

    Attributes:
        status_code: HTTP status of the response.
        client_service: Alias of the client service.
        error_classes: The user's own classes for the service's codes.
        operation_id: ID of the operation, if the response has it.
        contents: Decoded signed contents, by the marks in their places.
    """

    status_code: int
    client_service: str
    error_classes: ErrorClasses
    operation_id: int | None = None
    contents: Mapping[str, Contents] = attrs.field(factory=dict[str, Contents], repr=False)

    @property
    def where(self) -> str:
        """Operation and client service, for a message."""
        return ErrorContext(client_service=self.client_service, operation_id=self.operation_id).origin


def _signed_contents(signed_content: object, contents: Mapping[str, Contents]) -> Contents | None:
    """The contents of a document, or None if there are none or they are not base64.

    Args:
        signed_content: The field of the response: base64, or the mark of contents that were decoded already.
        contents: Decoded contents by their marks.
    """
    text = signed_content if isinstance(signed_content, str) else ""
    found = contents[text] if text in contents else InMemory(_decoded(text))
    return None if found == InMemory(b"") else found


def read_operation(fields: Mapping[str, Any]) -> models.SignOperation:
    """Read an operation and each of its documents.

    Args:
        fields: The response.
    """
    if not isinstance(fields.get("documentList"), list):
        return parse_leniently(models.SignOperation, fields)
    operation = parse_leniently(
        models.SignOperation, {name: value for name, value in fields.items() if name != "documentList"}
    )
    operation.document_list = [parse_leniently(models.DocumentResponse, item) for item in _documents(fields)]
    return operation


def read_batch(fields: Mapping[str, Any], documents: Mapping[str, Document], context: ResponseContext) -> SignedBatch:
    """Match the documents of a response with those that were sent, by external reference and never by position.

    Args:
        fields: The response, a SignOperation.
        documents: The documents that were sent, by their external references, in order.
        context: What is known of the response.
    """
    context = attrs.evolve(context, operation_id=operation_id_in(fields.get("id")))
    expected = {item.get("signedContent") for item in _documents(fields) if isinstance(item.get("signedContent"), str)}
    if strays := {mark: contents for mark, contents in context.contents.items() if mark not in expected}:
        restore_base64(fields, strays)  # a field of that name somewhere else is kept as it came
    operation = read_operation({**fields, "documentList": [_without_content(item) for item in _documents(fields)]})
    received: dict[str, list[_Received]] = {}
    for item, details in zip(_documents(fields), operation.document_list or (), strict=True):
        reference = item.get("externalReference")
        is_reference = isinstance(reference, str | int) and not isinstance(reference, bool)
        received.setdefault(str(reference) if is_reference else "", []).append(_Received(item, details))
    strangers = len(received.keys() - documents.keys())
    if strangers:
        logger.warning("the response has %d references that were not sent%s", strangers, context.where)
    outcomes = [
        outcome_of(document, _result(document, reference, received.get(reference, []), context))
        for reference, document in documents.items()
    ]
    return SignedBatch(operation=operation, outcomes=tuple(outcomes))


def verified(outcome: Outcome) -> Outcome:
    """The same outcome if the signed document is valid, or an error. Blocks: call it in a thread."""
    signed = outcome.signed
    if signed is None:
        return outcome
    verdict: Literal["invalid", "indeterminate"] = "indeterminate"
    try:
        found = signed._verify(outcome.document)
        if found.ok:
            return outcome
        problems = found.problems
        verdict = "invalid" if found.verdict == "invalid" else "indeterminate"
    except SignStashError as error:  # the original was removed meanwhile
        problems = (error.problem,)
    name = f"Document {signed.name} ({signed.external_reference})"
    was = "was returned, but" if verdict == "invalid" else "was returned, and its signature cannot be judged:"
    hint = (
        "Do not use it. Inspect it (it is this error's `signed`), and contact the vendor's support."
        if verdict == "invalid"
        else "Check it (it is this error's `signed`) with a validation service before you use it."
    )
    return outcome_of(
        outcome.document,
        SignatureInvalidError(
            f"{name} {was} {'; '.join(problems)}.", hint, signed=signed, problems=problems, verdict=verdict
        ),
    )


def read_signed_documents(fields: Mapping[str, Any], contents: Mapping[str, Contents]) -> list[SignedDocument]:
    """The signed documents of an operation with contents.

    Args:
        fields: The response, a SignOperation.
        contents: Decoded contents by their marks.

    Raises:
        ValueError: If a document is signed, but has no usable contents. The message says which.
    """
    found: list[SignedDocument] = []
    for item in _documents(fields):
        if item.get("signStatus") != models.SigningStatus.SIGNED or item.get("signError"):
            continue
        details = parse_leniently(models.DocumentResponse, _without_content(item))
        name, reference = str(item.get("name") or ""), str(item.get("externalReference") or "")
        content = _signed_contents(item.get("signedContent"), contents)
        if content is None:
            raise ValueError(f"has no usable contents of document {name} ({reference})")
        found.append(
            SignedDocument(content=content, name=name, external_reference=reference, operation_id=None, details=details)
        )
    return found


@attrs.frozen
class _Received:
    """A document of a response: as it came, and as it was read."""

    fields: Mapping[str, Any]
    details: models.DocumentResponse


def _result(
    document: Document, reference: str, received: Sequence[_Received], context: ResponseContext
) -> SignedDocument | SignStashError:
    which = f"Document {document.name} ({reference})"
    if not received:
        return missing_in_response(which, context.where, reference)
    if len(received) > 1:
        return _unusable(f"{which} is in it {len(received)} times", reference, context)
    # From the response itself: a value of an unexpected type must not count as missing.
    fields = received[0].fields
    sign_error, sign_status = fields.get("signError") or None, fields.get("signStatus") or None
    if sign_status == models.SigningStatus.RECEIVED and sign_error is None:
        return not_signed_yet(which, context.where, reference)
    if sign_status != models.SigningStatus.SIGNED or sign_error is not None:
        return error_from_document(
            None if sign_error is None else str(sign_error),
            None if sign_status is None else str(sign_status),
            fields.get("causeMessage"),
            document=document.name,
            context=ErrorContext(
                client_service=context.client_service,
                external_references=(reference,),
                operation_id=context.operation_id,
                error_classes=context.error_classes,
            ),
        )
    contents = _signed_contents(fields.get("signedContent"), context.contents)
    if contents is None:
        return _unusable(f"{which} is signed, but its contents are missing or not base64", reference, context)
    return SignedDocument(
        content=contents,
        name=document.name,
        external_reference=reference,
        operation_id=context.operation_id,
        details=received[0].details,
    )


def _unusable(why: str, reference: str, context: ResponseContext) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(
        f"The service's response cannot be used: {why}{context.where}.",
        "On the Integration Service, fetch it with download_documents; on a proxy, contact the vendor's support.",
        status_code=context.status_code,
        external_references=(reference,),
        maybe_processed=True,
    )


def _documents(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = fields.get("documentList")
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _without_content(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "signedContent"}


def _decoded(text: str) -> bytes:
    """Decode base64 with or without line ends and padding; anything else gives nothing."""
    letters = "".join(text.split()).rstrip("=")
    try:
        return decode_base64((letters + "=" * (-len(letters) % 4)).encode())
    except ValueError:
        return b""

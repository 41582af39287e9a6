"""Turns a response into results: the signed documents, and an error for each that was not signed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, Protocol, Self, TypeVar

import attrs

from .. import models
from .._content.base64 import decode_base64
from .._content.contents import Contents, InMemory
from .._errors.mapping import ErrorContext, error_from_document
from .._errors.parsing import operation_id_in
from .._errors.redaction import first_three
from .._errors.unknown import left_open
from .._transport.exchange import ServiceResponse
from .._transport.signed_content import restore_base64
from ..documents import Document
from ..errors import SignatureInvalidError, SignStashError, UnexpectedResponseError
from ..results import Outcome, SignedBatch, SignedDocument, outcome_of

logger: Final = logging.getLogger("signstash")

for _name in dir(models):  # loaded now: at the first response, it would hold the event loop
    getattr(models, _name)

_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What the generated models raise for values of a type that the definition does not know."""


_Received = tuple[Mapping[str, Any], models.DocumentResponse]
"""A document of a response: as it came, and as it was read."""


class Model(Protocol):
    """A generated model that a response is read into."""

    additional_properties: dict[str, Any]

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self: ...


AnyModel = TypeVar("AnyModel", bound=Model)


def parse_leniently(model: type[AnyModel], fields: Mapping[str, Any]) -> AnyModel:
    """Read an object of a response. A field of an unexpected type is kept as it came; the others are read."""
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


def _signed_contents(signed_content: object, contents: Mapping[str, Contents]) -> Contents | None:
    """The contents of a document, or None if there are none or they are not base64.

    The field of the response holds base64, or the mark of contents that were decoded already.
    """
    text = signed_content if isinstance(signed_content, str) else ""
    found = contents[text] if text in contents else InMemory(_decoded(text))
    return None if found == InMemory(b"") else found


def read_operation(fields: Mapping[str, Any]) -> models.SignOperation:
    """Read an operation and each of its documents."""
    if not isinstance(fields.get("documentList"), list):
        return parse_leniently(models.SignOperation, fields)
    operation = parse_leniently(models.SignOperation, _without(fields, "documentList"))
    operation.document_list = [parse_leniently(models.DocumentResponse, item) for item in listed_documents(fields)]
    return operation


def read_batch(fields: Mapping[str, Any], documents: Mapping[str, Document], response: ServiceResponse) -> SignedBatch:
    """Match the documents of a parsed response with those that were sent, by external reference, never by position."""
    items = listed_documents(fields)
    expected = {item.get("signedContent") for item in items if isinstance(item.get("signedContent"), str)}
    if strays := {mark: contents for mark, contents in response.contents.items() if mark not in expected}:
        restore_base64(fields, strays)  # a field of that name somewhere else is kept as it came
    operation = read_operation({**fields, "documentList": [_without(item, "signedContent") for item in items]})
    received: dict[str, list[_Received]] = {}
    for item, details in zip(items, operation.document_list or (), strict=True):
        reference = item.get("externalReference")
        received.setdefault(str(reference) if type(reference) in (str, int) else "", []).append((item, details))
    about = partial(attrs.evolve, response.context, operation_id=operation_id_in(fields.get("id")))
    if (strangers := len(received.keys() - documents.keys())) and response.context.changes_state:
        logger.warning("the response has %d references that were not sent%s", strangers, about().origin)

    def outcome(reference: str, document: Document) -> Outcome:
        context = about(external_references=(reference,))
        return outcome_of(document, _result(document.name, received.get(reference, []), response, context))

    return SignedBatch(operation=operation, outcomes=tuple(outcome(*item) for item in documents.items()))


def verified(outcome: Outcome) -> Outcome:
    """The same outcome if the signed document is valid, or an error. Blocks: call it in a thread."""
    signed = outcome.signed
    if signed is None:
        return outcome
    try:
        found = signed._verify(outcome.document)
        if found.ok:
            return outcome
        problems, is_invalid = found.problems, found.verdict == "invalid"
    except SignStashError as unreadable:  # the original was removed meanwhile
        problems, is_invalid = (unreadable.problem,), False
    verdict: Literal["invalid", "indeterminate"] = "invalid" if is_invalid else "indeterminate"
    was = "was returned, but" if is_invalid else "was returned, and its signature cannot be judged:"
    hint = (
        "Do not use it. Inspect it (it is this error's `signed`), and contact the vendor's support."
        if is_invalid
        else "Check it (it is this error's `signed`) with a validation service before you use it."
    )
    problem = f"Document {signed.name} ({signed.external_reference}) {was} {first_three(problems, '; ')}."
    error = SignatureInvalidError(problem, hint, signed=signed, problems=problems, verdict=verdict)
    return outcome_of(outcome.document, error)


def read_signed_documents(fields: Mapping[str, Any], contents: Mapping[str, Contents]) -> list[SignedDocument]:
    """The signed documents of an operation. A signed one without usable contents raises a `ValueError`."""
    found: list[SignedDocument] = []
    for item in listed_documents(fields):
        if item.get("signStatus") != models.SigningStatus.SIGNED or item.get("signError"):
            continue
        details = parse_leniently(models.DocumentResponse, _without(item, "signedContent"))
        name, reference = str(item.get("name") or ""), str(item.get("externalReference") or "")
        content = _signed_contents(item.get("signedContent"), contents)
        if content is None:
            raise ValueError(f"has no usable contents of document {name} ({reference})")
        found.append(
            SignedDocument(content=content, name=name, external_reference=reference, operation_id=None, details=details)
        )
    return found


def _result(
    name: str, received: Sequence[_Received], response: ServiceResponse, context: ErrorContext
) -> SignedDocument | SignStashError:
    (reference,) = context.external_references
    which = f"Document {name} ({reference})"
    if not received:
        return left_open(f"{which} is missing from the service's response", context)
    if len(received) > 1:
        return _unusable(f"{which} is in it {len(received)} times", response, context)
    # The fields as they came: a value of an unexpected type must not count as missing.
    fields, details = received[0]
    sign_error, sign_status = fields.get("signError") or None, fields.get("signStatus") or None
    if sign_status == models.SigningStatus.RECEIVED and sign_error is None:
        return left_open(f"{which} was received, but is not signed yet", context)
    if sign_status != models.SigningStatus.SIGNED or sign_error is not None:
        return error_from_document(
            None if sign_error is None else str(sign_error),
            None if sign_status is None else str(sign_status),
            fields.get("causeMessage"),
            document=name,
            context=context,
        )
    contents = _signed_contents(fields.get("signedContent"), response.contents)
    if contents is None:
        return _unusable(f"{which} is signed, but its contents are missing or not base64", response, context)
    return SignedDocument(
        content=contents, name=name, external_reference=reference, operation_id=context.operation_id, details=details
    )


def _unusable(why: str, response: ServiceResponse, context: ErrorContext) -> UnexpectedResponseError:
    return UnexpectedResponseError(
        f"The service's response cannot be used: {why}{context.origin}.",
        "On the Integration Service, fetch it with download_documents; on a proxy, contact the vendor's support.",
        status_code=response.status_code,
        external_references=context.external_references,
        maybe_processed=True,
    )


def listed_documents(fields: object) -> list[dict[str, Any]]:
    listed = fields.get("documentList") if isinstance(fields, dict) else None
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _without(fields: Mapping[str, Any], excluded: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != excluded}


def _decoded(text: str) -> bytes:
    """Decode base64 with or without line ends and padding; anything else gives nothing."""
    letters = "".join(text.split()).rstrip("=")
    try:
        return decode_base64((letters + "=" * (-len(letters) % 4)).encode())
    except ValueError:
        return b""

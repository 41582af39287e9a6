"""Makes one `Call` for each operation of the service, from the generated endpoint modules.

This is the only module that knows the generated endpoint functions. It takes method, path and body from them, and
does not use their parsers: those return errors as values, and fail on responses that are not JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import attrs
import httpx

from .. import models
from .._arguments import text_problem
from .._errors.parsing import operation_id_in
from .._generated import api
from .._generated.types import File
from ..errors import ConfigurationError, InvalidDocumentError
from .request_content import ContentSlot
from .signed_content import Received, receive_operation, receive_whole

RESPONSE_LIMIT = 16 * 1024 * 1024
"""Maximum length of a response without documents, in bytes."""
CONTENT_LIMIT = 1024 * 1024 * 1024
"""Maximum length of a response with stored documents, in bytes; the service's largest request is 500 MB."""

for _name in api.__all__:  # loaded now: in the first call, it would hold the event loop
    getattr(api, _name)

_METHOD_OR_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A method or the name of a header: a `token` of RFC 9110, section 5.6.2."""
_FRAMING: Final = ("content-length", "transfer-encoding")
"""Headers that depend on the body, so that callers cannot set them."""
_encode_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

SignRequest = models.SignRequestBase64Document | models.SignRequestDocument
Receive = Callable[[httpx.Response, int], Awaitable[Received]]
"""Reads a success of a maximum length in bytes."""


@attrs.frozen
class Call:
    """One request to the service.

    Attributes:
        path: Path below the service's base URL, ready to be sent.
        arguments: Headers, query parameters and files, as httpx takes them.
        content: The body, if it is not made of files.
        inserts: Contents that take the places of their marks in the body, in order.
        receive: Reads a success, which may have `response_limit` bytes.
        changes_state: Whether the service must not process it twice.
    """

    operation: str
    method: str
    path: str
    arguments: Mapping[str, Any] = attrs.field(repr=False)
    content: bytes = attrs.field(default=b"", repr=False)
    inserts: Sequence[ContentSlot] = attrs.field(default=(), repr=False)
    receive: Receive = attrs.field(default=receive_whole, repr=False)
    response_limit: int = RESPONSE_LIMIT
    changes_state: bool = False
    external_references: Sequence[str] = ()
    operation_id: int | None = None


def _call(operation: str, kwargs: Mapping[str, Any], **details: Any) -> Call:
    """A call from the arguments for httpx that a generated endpoint function makes."""
    arguments = dict(kwargs)
    method, path, body = arguments.pop("method").upper(), arguments.pop("url"), arguments.pop("json", None)
    return Call(operation, method, path, arguments, b"" if body is None else _json(body), **details)


def _json(value: object) -> bytes:
    try:
        return _encode_json(value).encode()
    except (TypeError, ValueError):
        pass  # the encoder's own error would hold the value
    hint = "Look for fields of the given models whose value has another type than the model says."
    raise InvalidDocumentError("The request cannot be written as JSON.", hint)


def any_operation(*, method: str, url: str, **others: Any) -> Call:
    """A call from the arguments for httpx of any endpoint function. With a long body it blocks: call it in a thread."""
    _require_sendable(method, url, others.get("headers", {}), others.get("params"))
    return _call(
        f"{method.upper()} {url.partition('?')[0]}",  # logged; a query may hold keys
        {"method": method, "url": url, **others},
        response_limit=CONTENT_LIMIT,
        changes_state=method.upper() not in ("GET", "HEAD", "OPTIONS"),
    )


def _require_sendable(method: object, path: object, headers: object, params: object) -> None:
    """Check what a caller puts into the head of a request: httpx leaves some of it to the network."""
    if not isinstance(method, str) or not _METHOD_OR_HEADER.fullmatch(method):
        raise ConfigurationError(f"method is {method!r}.", "Give an HTTP method, such as GET.")
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers is of type {type(headers).__name__}.", "Give a mapping of names to texts.")
    for name, value in headers.items():
        if not isinstance(name, str) or not _METHOD_OR_HEADER.fullmatch(name) or name.lower() in _FRAMING:
            raise ConfigurationError(f"headers holds the name {name!r}.", "Give the name of another HTTP header.")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ConfigurationError(f"headers[{name!r}] cannot be sent.", "Give a text of printable ASCII characters.")
    if params is not None and not isinstance(params, Mapping):
        raise ConfigurationError(f"params is of type {type(params).__name__}.", "Give a mapping of names to values.")
    try:
        httpx.URL(f"http://host{path}", params=params)
    except (httpx.InvalidURL, TypeError, ValueError) as error:  # UnicodeError is one
        problem = f"path or params cannot be part of a URL: {str(error).rstrip('.')}."
        raise ConfigurationError(problem, "Correct them.") from error


def sign_base64(body: models.SignRequestBase64Document, inserts: Sequence[ContentSlot], *, folder: Path | None) -> Call:
    """Sign documents that are in the request itself; the body has a mark for each."""
    kwargs = api.sign_document_batch_base_64._get_kwargs(body=body)
    return _signing_call("signDocumentBatchBase64", kwargs, body, inserts, folder)


def sign_multipart(
    body: models.SignRequestDocument, file_names: Sequence[str], inserts: Sequence[ContentSlot], *, folder: Path | None
) -> Call:
    """Sign documents whose contents are parts of a multipart request."""
    files = [
        File(payload=BytesIO(insert.mark.encode()), file_name=name, mime_type=item.document_request.content_type)
        for name, item, insert in zip(file_names, body.documents, inserts, strict=True)
    ]
    parts = models.SignDocumentBatchBinaryBody(files=files, sign_request=body)
    kwargs = api.sign_document_batch_binary._get_kwargs(body=parts)
    return _signing_call("signDocumentBatchBinary", kwargs, body, inserts, folder)


def _signing_call(
    operation: str, kwargs: Mapping[str, Any], body: SignRequest, inserts: Sequence[ContentSlot], folder: Path | None
) -> Call:
    return _call(
        operation,
        kwargs,
        inserts=inserts,
        receive=partial(receive_operation, folder=folder),
        # A signature adds some ten kilobytes, an archive timestamp more; with base64 that is not four times as long.
        response_limit=RESPONSE_LIMIT + 4 * sum(insert.reading.size for insert in inserts),
        changes_state=True,
        external_references=tuple(item.document_request.external_reference for item in body.documents),
    )


def operation_id(external_reference: str) -> Call:
    """Ask for the ID of the operation that signed a document."""
    if (
        not isinstance(external_reference, str)
        or external_reference in ("", ".", "..")
        or text_problem(external_reference)
    ):
        problem = f"external_reference is {external_reference!r}, which cannot be part of a path."
        raise ConfigurationError(problem, "Give a text that is not empty, '.' or '..', and has no control characters.")
    kwargs = api.get_operation_id_by_document_external_reference._get_kwargs(external_reference)
    name = "getOperationIdByDocumentExternalReference"
    return _call(name, kwargs, external_references=(external_reference,))


def status(operation_id: int) -> Call:
    """Ask for the status of an operation."""
    return _call("getStatus", api.get_status._get_kwargs(_valid(operation_id)), operation_id=operation_id)


def detail(operation_id: int, *, include_content: bool, receive: Receive = receive_whole) -> Call:
    """Ask for an operation with its documents."""
    kwargs = api.get_sign_operation_detail._get_kwargs(_valid(operation_id), include_content)
    limit = CONTENT_LIMIT if include_content else RESPONSE_LIMIT
    return _call("getSignOperationDetail", kwargs, receive=receive, response_limit=limit, operation_id=operation_id)


def documents(operation_id: int) -> Call:
    """Ask for the signed documents of an operation, as a ZIP file."""
    kwargs = api.get_sign_operation_documents_content._get_kwargs(_valid(operation_id))
    return _call("getSignOperationDocumentsContent", kwargs, response_limit=CONTENT_LIMIT, operation_id=operation_id)


def resend_mails(operation_id: int, recipients: Iterable[str], *, attach_documents: bool) -> Call:
    """Ask for the e-mails about an operation to be sent again."""
    kwargs = api.resend_delivery_mails._get_kwargs(_valid(operation_id), attach_documents, body=list(recipients))
    return _call("resendDeliveryMails", kwargs, changes_state=True, operation_id=operation_id)


def _valid(operation_id: object) -> int:
    if not isinstance(operation_id, int) or operation_id_in(operation_id) is None:
        hint = "Give the `operation_id` of a signed document, or what `get_operation_id` returns."
        raise ConfigurationError(f"operation_id is {operation_id!r}, not the ID of an operation.", hint)
    return operation_id

"""The requests that a mocked service received, parsed from what was sent."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

import attrs
import httpx

from ..models import (
    PreservationInfo,
    SignatureInfo,
    SignDocumentBase64Document,
    SignDocumentDocument,
    SigningError,
    SignRequestBase64Document,
    SignRequestDocument,
    Unset,
)
from ..settings import Upload
from .validation import MalformedRequestError, require_matching_signatures, require_valid


@attrs.frozen(kw_only=True)
class SentDocument:
    """A document that the mock received.

    Attributes:
        name: File name.
        external_reference: Its external reference.
        content_type: Media type.
        content: The bytes that were sent.
        signature: The requested signature.
        signed: Whether the mock "signed" it.
        sign_error: Its `signError`, from `document_fails` or `certificate_not_provisioned`.
    """

    name: str
    external_reference: str
    content_type: str
    content: bytes = attrs.field(repr=False)
    signature: SignatureInfo = attrs.field(repr=False)
    signed: bool = False
    sign_error: SigningError | None = None


@attrs.frozen(kw_only=True)
class SignRequest:
    """A signing request that the mock received.

    Attributes:
        external_reference: The request's own reference.
        description: Its description.
        documents: The documents, in their order.
        preservation: How the service is to preserve them, or None.
        upload: How contents were sent.
        model: The complete request, as a model of the definition.
        status_code: HTTP status of the response, or None if there was none.
    """

    external_reference: str
    description: str
    documents: Sequence[SentDocument]
    preservation: PreservationInfo | None = attrs.field(repr=False)
    upload: Upload
    model: SignRequestBase64Document | SignRequestDocument = attrs.field(repr=False)
    status_code: int | None = None


@attrs.frozen(kw_only=True)
class ResentMails:
    """A request to send the mails of an operation again.

    Attributes:
        operation_id: ID of the operation.
        recipients: Their addresses.
        attach_documents: Whether the documents are attached.
    """

    operation_id: int
    recipients: Sequence[str]
    attach_documents: bool


def read_sign_request(request: httpx.Request, upload: Upload) -> SignRequest:
    """Parse a signing request.

    Args:
        request: The request.
        upload: How contents were sent.

    Raises:
        MalformedRequestError: If it does not conform to the definition.
    """
    try:
        return _base64_request(request) if upload == "base64" else _multipart_request(request)
    except KeyError as error:
        raise MalformedRequestError(f"missing {error.args[0]}", "0.0.2") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise MalformedRequestError(f"malformed request: {error}") from error


def parse_json(text: bytes) -> Any:
    """Parse JSON.

    Raises:
        MalformedRequestError: If it is malformed. NaN and infinities are: JSON does not have them.
    """
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError(f"malformed JSON: {error}", "0.0.2") from error


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _base64_request(request: httpx.Request) -> SignRequest:
    model = SignRequestBase64Document.from_dict(parse_json(request.content))
    require_valid(model)
    contents = [base64.b64decode(item.document_request.base_64_content, validate=True) for item in model.documents]
    return _sign_request(model, contents, "base64")


def _multipart_request(request: httpx.Request) -> SignRequest:
    parts = _parts(request)
    fields = dict(parts)
    if "signRequest" not in fields:
        raise KeyError("signRequest")
    model = SignRequestDocument.from_dict(parse_json(fields["signRequest"]))
    require_valid(model)
    # How the service matches files with documents is not published; here it is by their order.
    contents = [content for name, content in parts if name == "files"]
    if len(contents) != len(model.documents):
        raise KeyError("files")
    return _sign_request(model, contents, "multipart")


def _sign_request(
    model: SignRequestBase64Document | SignRequestDocument, contents: Sequence[bytes], upload: Upload
) -> SignRequest:
    if not model.documents:
        raise KeyError("documents")
    require_matching_signatures(model.documents)
    items: Sequence[SignDocumentBase64Document | SignDocumentDocument] = model.documents
    documents = [
        SentDocument(
            name=item.document_request.name,
            external_reference=item.document_request.external_reference,
            content_type=item.document_request.content_type.value,
            content=content,
            signature=item.signature_info,
        )
        for item, content in zip(items, contents, strict=True)
    ]
    return SignRequest(
        external_reference=model.external_reference,
        description=model.description,
        documents=tuple(documents),
        preservation=None if isinstance(model.preservation_info, Unset) else model.preservation_info,
        upload=upload,
        model=model,
    )


def _parts(request: httpx.Request) -> list[tuple[str, bytes]]:
    """The names and contents of the parts of a multipart body (RFC 7578)."""
    boundary = re.search('boundary="?([^";]+)', request.headers.get("Content-Type", ""), re.IGNORECASE)
    if boundary is None:
        raise KeyError("multipart boundary")
    parts = []
    for piece in (b"\r\n" + request.content).split(b"\r\n--" + boundary[1].encode())[1:-1]:
        headers, _, content = piece.partition(b"\r\n\r\n")
        name = re.search(rb'[ ;]name="?([^";\r\n]*)', headers, re.IGNORECASE)
        is_file = re.search(rb"[ ;]filename=", headers, re.IGNORECASE) is not None
        if name is not None and (is_file or name[1] != b"files"):
            parts.append((name[1].decode(), content))
    return parts

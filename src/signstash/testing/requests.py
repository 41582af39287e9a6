"""What arrived: the requests to a mocked service, read from what was really sent."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence

import attrs
import httpx

from .._generated.types import Unset
from ..models import (
    PreservationInfo,
    SignatureInfo,
    SignDocumentBase64Document,
    SignDocumentDocument,
    SigningError,
    SignRequestBase64Document,
    SignRequestDocument,
)
from ..settings import Upload


class MalformedRequestError(Exception):
    """A request that the service could not read; the message says what is wrong with it."""


@attrs.frozen(kw_only=True)
class SentDocument:
    """A document that arrived.

    Attributes:
        name: File name.
        external_reference: Its external reference.
        content_type: Media type.
        content: The bytes that were sent.
        signature: What was asked for.
        signed: Whether the mock signed it.
        sign_error: Why the mock did not sign it, if `document_fails` or `certificate_not_provisioned` said so.
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
    """A signing request that arrived.

    Attributes:
        external_reference: The request's own reference.
        description: What it is about.
        documents: The documents, in their order.
        preservation: What becomes of them at the service, or None.
        upload: How contents were sent.
        model: All of it, as the service's own model.
        status_code: HTTP status of the answer, or None if no answer came.
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
    """A request to send the mails about an operation again.

    Attributes:
        operation_id: Number of the operation.
        recipients: Who gets them.
        attach_documents: Whether they carry the documents.
    """

    operation_id: int
    recipients: Sequence[str]
    attach_documents: bool


def read_sign_request(request: httpx.Request, upload: Upload) -> SignRequest:
    """Read a signing request.

    Args:
        request: What arrived.
        upload: How contents were sent.

    Raises:
        MalformedRequestError: If it is not what the definition says.
    """
    try:
        return _base64_request(request) if upload == "base64" else _multipart_request(request)
    except KeyError as error:
        raise MalformedRequestError(f"missing {error.args[0]}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise MalformedRequestError(f"malformed request: {error}") from error


def _base64_request(request: httpx.Request) -> SignRequest:
    model = SignRequestBase64Document.from_dict(json.loads(request.content))
    contents = [base64.b64decode(item.document_request.base_64_content, validate=True) for item in model.documents]
    return _sign_request(model, contents, "base64")


def _multipart_request(request: httpx.Request) -> SignRequest:
    parts = _parts(request)
    model = SignRequestDocument.from_dict(json.loads(next(content for name, content in parts if name != "files")))
    # How the service matches files with documents is not published; here it is by their order.
    contents = [content for name, content in parts if name == "files"]
    return _sign_request(model, contents, "multipart")


def _sign_request(
    model: SignRequestBase64Document | SignRequestDocument, contents: Sequence[bytes], upload: Upload
) -> SignRequest:
    if not model.documents:
        raise KeyError("documents")
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
    """Names and contents of the parts of a multipart body (RFC 7578)."""
    boundary = re.search('boundary="?([^";]+)', request.headers.get("Content-Type", ""))
    if boundary is None:
        raise ValueError("no multipart boundary")
    parts = []
    for piece in (b"\r\n" + request.content).split(b"\r\n--" + boundary[1].encode())[1:-1]:
        headers, _, content = piece.partition(b"\r\n\r\n")
        name = re.search(b'[ ;]name="([^"]*)"', headers)
        parts.append(("" if name is None else name[1].decode(), content))
    return parts

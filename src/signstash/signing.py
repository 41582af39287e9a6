"""Turns documents into one signing request, in either of the two ways of uploading."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO

import attrs

from ._generated.types import UNSET, File
from .configuration import MultipartFileNames, Upload
from .documents import Document, read_all, refuse_other_types, refuse_text
from .errors import InvalidDocumentError
from .models import (
    Base64Document,
    ContentType,
    PreservationInfo,
    SignDocumentBase64Document,
    SignDocumentDocument,
    SignRequestBase64Document,
    SignRequestDocument,
)
from .models import Document as DocumentModel
from .operations import Call, sign_base64, sign_multipart


@attrs.frozen
class SigningRequest:
    """What one request says beside its documents.

    Attributes:
        external_reference: The request's own reference.
        description: What it is about, for the people who see it in the backoffice.
        preservation: What becomes of the signed documents at the service, or None.
    """

    external_reference: str
    description: str = attrs.field(validator=lambda _, __, value: refuse_text("description", value))
    preservation: PreservationInfo | None


def described(documents: Mapping[str, Document], description: str | None) -> str:
    """The description of a request: the given one, or else the names of its documents, shortened."""
    if description is not None:
        return description
    name = next(iter(documents.values())).name
    return name if len(documents) == 1 else f"{name} and {len(documents) - 1} more"


def by_reference(documents: Sequence[Document], client_service: str) -> dict[str, Document]:
    """The documents of one request by their external references, in their order.

    Args:
        documents: What is to be signed.
        client_service: Alias of the client service.

    Raises:
        InvalidDocumentError: If there is none, or one is no document, or two have the same reference.
    """
    if not documents:
        raise InvalidDocumentError("There is no document to sign.", "Give at least one.")
    for document in documents:
        refuse_other_types(document)
    references = [document.reference(client_service) for document in documents]
    twice = [reference for reference, count in Counter(references).items() if count > 1]
    if twice:
        raise InvalidDocumentError(
            f"Several documents have the external reference {twice[0]!r}.",
            "Give each its own, and each Document object once: answers are matched by it.",
        )
    return dict(zip(references, documents, strict=True))


async def signing_call(
    request: SigningRequest,
    documents: Mapping[str, Document],
    *,
    upload: Upload,
    multipart_file_names: MultipartFileNames,
) -> Call:
    """Read the documents and make the call that sends them.

    Args:
        request: What the request says beside its documents.
        documents: The documents by their external references, in order.
        upload: How contents are sent.
        multipart_file_names: What multipart files are called.

    Raises:
        InvalidDocumentError: If a document cannot be used.
    """
    if upload == "multipart" and multipart_file_names == "name":
        _refuse_same_names([document.name for document in documents.values()])
    contents = await read_all(list(documents.values()))
    if upload == "base64":
        return await asyncio.to_thread(_base64_call, request, documents, contents)
    by_name = multipart_file_names == "name"
    return _multipart_call(request, documents, contents, [d.name if by_name else r for r, d in documents.items()])


def _base64_call(request: SigningRequest, documents: Mapping[str, Document], contents: Sequence[bytes]) -> Call:
    items = [
        SignDocumentBase64Document(
            document_request=Base64Document(
                external_reference=reference,
                name=document.name,
                content_type=ContentType(document.content_type),
                base_64_content=base64.b64encode(content).decode("ascii"),
            ),
            signature_info=document.signature,
        )
        for (reference, document), content in zip(documents.items(), contents, strict=True)
    ]
    body = SignRequestBase64Document(
        external_reference=request.external_reference,
        description=request.description,
        documents=items,
        preservation_info=request.preservation or UNSET,
        return_signed_content=True,  # a proxy stores nothing: asked later, it has nothing to give
    )
    return sign_base64(body)


def _multipart_call(
    request: SigningRequest,
    documents: Mapping[str, Document],
    contents: Sequence[bytes],
    file_names: Sequence[str],
) -> Call:
    items = [
        SignDocumentDocument(
            document_request=DocumentModel(
                external_reference=reference, name=document.name, content_type=ContentType(document.content_type)
            ),
            signature_info=document.signature,
        )
        for reference, document in documents.items()
    ]
    body = SignRequestDocument(
        external_reference=request.external_reference,
        description=request.description,
        documents=items,
        preservation_info=request.preservation or UNSET,
        return_signed_content=True,
    )
    files = [
        File(payload=BytesIO(content), file_name=name, mime_type=document.content_type)
        for name, document, content in zip(file_names, documents.values(), contents, strict=True)
    ]
    return sign_multipart(body, files, size=sum(map(len, contents)))


def _refuse_same_names(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidDocumentError(
            f"Several documents are named {', '.join(twice[:3])}, so the service could not tell their files apart.",
            "Give them different names, send them in different requests, or use upload='base64'.",
            document=twice[0],
        )

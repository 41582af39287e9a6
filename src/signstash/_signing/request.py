"""Turns documents into one signing request, for either of the two ways of uploading."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import attrs

from .._content.arguments import require_text
from .._content.snapshots import prepare
from .._transport.endpoints import Call, sign_base64, sign_multipart
from .._transport.request_content import SMALL, ContentSlot
from ..documents import Document, require_document
from ..errors import InvalidDocumentError
from ..models import (
    UNSET,
    Base64Document,
    ContentType,
    Document as DocumentModel,
    PreservationInfo,
    SignDocumentBase64Document,
    SignDocumentDocument,
    SignRequestBase64Document,
    SignRequestDocument,
)
from ..settings import MultipartFileNames, Upload
from .saving import SignedFiles


@attrs.frozen
class SigningRequest:
    """What one request says besides its documents.

    Attributes:
        external_reference: The request's own reference.
        description: What it is about, shown in the backoffice.
        preservation: What the service does with the signed documents, or None.
    """

    external_reference: str
    description: str = attrs.field(validator=lambda _, __, value: require_text("description", value))
    preservation: PreservationInfo | None


def described(documents: Mapping[str, Document], description: str | None) -> str:
    """The description of a request: the given one, or the name of its first document and how many more there are."""
    if description is not None:
        return description
    name = next(iter(documents.values())).name
    return name if len(documents) == 1 else f"{name} and {len(documents) - 1} more"


def index_by_reference(documents: Sequence[Document], client_service: str) -> dict[str, Document]:
    """The documents of one request by their external references, in their order.

    Args:
        documents: What is to be signed.
        client_service: Alias of the client service.

    Raises:
        InvalidDocumentError: If there is none, one is not a `Document`, or two have the same reference.
    """
    if not documents:
        raise InvalidDocumentError("There is no document to sign.", "Give at least one.")
    for document in documents:
        require_document(document)
    references = [document.reference(client_service) for document in documents]
    twice = [reference for reference, count in Counter(references).items() if count > 1]
    if twice:
        raise InvalidDocumentError(
            f"Several documents have the external reference {twice[0]!r}.",
            "Give each its own, and each Document object once: responses are matched by it.",
        )
    return dict(zip(references, documents, strict=True))


async def signing_call(
    request: SigningRequest,
    documents: Mapping[str, Document],
    *,
    upload: Upload,
    multipart_file_names: MultipartFileNames,
    folder: Path | None = None,
    files: SignedFiles | None = None,
) -> Call:
    """Check the documents and make the call that sends them.

    Args:
        request: What the request says besides its documents.
        documents: The documents by their external references, in order.
        upload: How contents are sent.
        multipart_file_names: What multipart files are called.
        folder: Where long signed contents are kept in files until they are saved, or None for the system's folder of
            temporary files.
        files: Where the signed documents will be saved: each claims its file before anything else. The folder of the
            first is then used instead of `folder`.

    Raises:
        InvalidDocumentError: If a document cannot be used. If several cannot, its cause holds the error of each.
        DocumentNotSavedError: If a file cannot be claimed.
    """
    if upload == "multipart" and multipart_file_names == "name":
        _require_different_names([document.name for document in documents.values()])

    for document in documents.values():
        await document._load()

    def make(folder: Path | None = folder) -> Call:
        if files is not None:
            claimed = [files.claim(document) for document in documents.values()]
            folder = claimed[0].parent
        inserts = _inserts(list(documents.values()), "base64" if upload == "base64" else "binary")
        if upload == "base64":
            return sign_base64(_base64_request(request, documents, inserts), inserts, folder=folder)
        names = [d.name if multipart_file_names == "name" else r for r, d in documents.items()]
        return sign_multipart(_multipart_request(request, documents), names, inserts, folder=folder)

    if files is None and len(documents) == 1 and all(document.in_memory for document in documents.values()):
        return make()
    return await asyncio.to_thread(make)


def _inserts(documents: Sequence[Document], encoding: Literal["base64", "binary"]) -> list[ContentSlot]:
    inserts: list[ContentSlot] = []
    errors: list[InvalidDocumentError] = []
    room = SMALL
    for document in documents:
        try:
            reading = document._read_with(partial(prepare, content_type=document.content_type, keep=room))
        except InvalidDocumentError as error:
            errors.append(error)
        else:
            room -= reading.size if reading.in_memory else 0
            inserts.append(ContentSlot(reading, document.name, encoding))
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise InvalidDocumentError(
            f"{len(errors)} of {len(documents)} documents cannot be used: {' '.join(map(str, errors[:3]))}",
            "Fix or leave out each one that `__cause__` lists; nothing was sent.",
        ) from ExceptionGroup("documents that cannot be used", errors)
    return inserts


def _base64_request(
    request: SigningRequest, documents: Mapping[str, Document], inserts: Sequence[ContentSlot]
) -> SignRequestBase64Document:
    items = [
        SignDocumentBase64Document(
            document_request=Base64Document(
                external_reference=reference,
                name=document.name,
                content_type=ContentType(document.content_type),
                base_64_content=insert.mark,
            ),
            signature_info=document.signature,
        )
        for (reference, document), insert in zip(documents.items(), inserts, strict=True)
    ]
    return SignRequestBase64Document(
        external_reference=request.external_reference,
        description=request.description,
        documents=items,
        preservation_info=request.preservation or UNSET,
        return_signed_content=True,  # a proxy stores nothing: asked later, it has nothing to give
    )


def _multipart_request(request: SigningRequest, documents: Mapping[str, Document]) -> SignRequestDocument:
    items = [
        SignDocumentDocument(
            document_request=DocumentModel(
                external_reference=reference, name=document.name, content_type=ContentType(document.content_type)
            ),
            signature_info=document.signature,
        )
        for reference, document in documents.items()
    ]
    return SignRequestDocument(
        external_reference=request.external_reference,
        description=request.description,
        documents=items,
        preservation_info=request.preservation or UNSET,
        return_signed_content=True,
    )


def _require_different_names(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidDocumentError(
            f"Several documents are named {', '.join(twice[:3])}, so the service could not tell their files apart.",
            "Give them different names, send them in different requests, or use upload='base64'.",
            document=twice[0],
        )

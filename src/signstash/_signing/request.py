"""Turns documents into one signing request, for either of the two ways of uploading."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import attrs

from .._arguments import require_text
from .._content.snapshots import prepare
from .._transport.endpoints import Call, sign_base64, sign_multipart
from .._transport.request_content import SMALL, ContentSlot
from ..documents import Document, require_reference, unique_reference
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
from ..options import preservation_from
from ..settings import MultipartFileNames, Upload
from .saving import SignedFiles


def _optional(require: Callable[[str, object], None]) -> Any:
    return attrs.validators.optional(lambda _, attribute, value: require(attribute.name, value))


@attrs.frozen
class RequestOptions:
    """The options of a request, which are arguments of `SignStash.sign`."""

    description: str | None = attrs.field(default=None, validator=_optional(require_text))
    preservation: PreservationInfo | None = attrs.field(default=None, converter=preservation_from)
    external_reference: str | None = attrs.field(default=None, validator=_optional(require_reference))

    def fields(self, documents: Mapping[str, Document], client_service: str) -> dict[str, Any]:
        """What the request says besides its documents."""
        name, more = next(iter(documents.values())).name, len(documents) - 1
        return {
            "external_reference": self.external_reference
            or unique_reference(client_service, "request", secrets.token_hex(6)),
            "description": self.description or (f"{name} and {more} more" if more else name),
            "preservation_info": self.preservation or UNSET,
            "return_signed_content": True,  # a proxy stores nothing: asked later, it has nothing to give
        }


def index_by_reference(documents: Sequence[tuple[str, Document]]) -> dict[str, Document]:
    """The documents of one request by their external references, in their order."""
    if not documents:
        raise InvalidDocumentError("There is no document to sign.", "Give at least one.")
    if twice := _repeated([reference for reference, _ in documents]):
        hint = "Give each its own, and each Document object once: responses are matched by it."
        raise InvalidDocumentError(f"Several documents have the external reference {twice[0]!r}.", hint)
    return dict(documents)


def signing_call(
    documents: Mapping[str, Document],
    fields: Mapping[str, Any],
    *,
    upload: Upload,
    multipart_file_names: MultipartFileNames,
    folder: Path | None,
    files: SignedFiles | None,
) -> Call:
    """Check documents, and make the call that signs them; see `Signer.prepare`. Blocks."""
    for document in documents.values():
        document._read_with(lambda _: None)  # raises for a name that cannot be used, of which others have a part
    if upload == "multipart" and multipart_file_names == "name":
        _require_different_names([document.name for document in documents.values()])
    if files is not None:
        claimed = [files.claim(document) for document in documents.values()]
        folder = claimed[0].parent
    slots = _slots(list(documents.values()), "base64" if upload == "base64" else "binary")
    if upload == "base64":
        return sign_base64(_base64_request(documents, fields, slots), slots, folder=folder)
    names = [d.name if multipart_file_names == "name" else r for r, d in documents.items()]
    return sign_multipart(_multipart_request(documents, fields), names, slots, folder=folder)


def _slots(documents: Sequence[Document], encoding: Literal["base64", "binary"]) -> list[ContentSlot]:
    slots: list[ContentSlot] = []
    errors: list[InvalidDocumentError] = []
    room = SMALL
    for document in documents:
        try:
            reading = document._read_with(partial(prepare, content_type=document.content_type, keep=room))
        except InvalidDocumentError as error:
            errors.append(error)
        else:
            room -= reading.size if reading.in_memory else 0
            slots.append(ContentSlot(reading, document.name, encoding))
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise InvalidDocumentError(
            f"{len(errors)} of {len(documents)} documents cannot be used: {' '.join(map(str, errors[:3]))}",
            "Fix or leave out each one that `__cause__` lists; nothing was sent.",
            external_references=[reference for error in errors for reference in error.external_references],
        ) from ExceptionGroup("documents that cannot be used", errors)
    return slots


def _base64_request(
    documents: Mapping[str, Document], fields: Mapping[str, Any], slots: Sequence[ContentSlot]
) -> SignRequestBase64Document:
    items = [
        SignDocumentBase64Document(
            document_request=Base64Document(base_64_content=slot.mark, **_described(reference, document)),
            signature_info=document.signature,
        )
        for (reference, document), slot in zip(documents.items(), slots, strict=True)
    ]
    return SignRequestBase64Document(documents=items, **fields)


def _multipart_request(documents: Mapping[str, Document], fields: Mapping[str, Any]) -> SignRequestDocument:
    items = [
        SignDocumentDocument(
            document_request=DocumentModel(**_described(reference, document)), signature_info=document.signature
        )
        for reference, document in documents.items()
    ]
    return SignRequestDocument(documents=items, **fields)


def _described(reference: str, document: Document) -> dict[str, Any]:
    return {"external_reference": reference, "name": document.name, "content_type": ContentType(document.content_type)}


def _require_different_names(names: Sequence[str]) -> None:
    if twice := _repeated(names):
        problem = f"Several documents are named {', '.join(twice[:3])}; the service could not tell their files apart."
        hint = "Give them different names, send them in different requests, or use upload='base64'."
        raise InvalidDocumentError(problem, hint, document=twice[0])


def _repeated(texts: Sequence[str]) -> list[str]:
    if len(set(texts)) == len(texts):
        return []
    return [text for text, count in Counter(texts).items() if count > 1]

"""What a mocked service answers: made of the generated models, so that it is what the definition says."""

from __future__ import annotations

import base64
import datetime as dt
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import httpx

from .._errors.codes import ERROR_CODES
from .._generated.types import UNSET
from ..models import (
    Company,
    ContentType,
    DocumentResponse,
    ErrorResponse,
    Folder,
    FolderContent,
    OperationStatus,
    OperationType,
    SigningStatus,
    SignOperation,
    StorageStatus,
)
from .requests import SentDocument, SignRequest

MOCK_SIGNATURE: Final = b"NOT A SIGNATURE, but made by signstash.testing"
"""Stands at the end of every document that a mock has "signed"."""

HTTP_STATUSES: Final[Mapping[str, int]] = {
    "0.0.1": 500,
    "0.0.2": 500,
    "0.0.3": 500,
    "0.0.4": 500,
    "0.0.5": 500,
    "0.0.6": 500,
    "0.0.7": 409,
    "0.0.10": 409,
    "1.1.0": 401,
    "1.1.1": 401,
    "1.1.2": 409,
    "1.1.3": 409,
    "1.1.4": 400,
    "1.2.0": 403,
    "1.3.0": 403,
    "2.2.1": 500,  # not published
}
"""HTTP statuses of the codes in `signstash.errors.ERROR_CODES` (wiki: error table)."""


def token_answer(token: str) -> httpx.Response:
    """A token, as the token server gives it."""
    fields = {"access_token": token, "token_type": "bearer", "expires_in": 86399, "scope": "read write", "jti": token}
    return httpx.Response(200, json=fields)


def credentials_refusal() -> httpx.Response:
    """How the token server refuses credentials, in Spring's words."""
    refusal = {"error": "invalid_client", "error_description": "Bad client credentials"}
    return httpx.Response(401, json=refusal, headers={"WWW-Authenticate": 'Basic realm="oauth2/client"'})


def refusal(code: str, cause: str, *, status_code: int | None = None) -> httpx.Response:
    """How the service refuses a request.

    Args:
        code: The `errorCode`.
        cause: The `causeMessage`.
        status_code: HTTP status, if it is not the code's own.
    """
    meaning = f"{ERROR_CODES[code].meaning}." if code in ERROR_CODES else UNSET
    answer = ErrorResponse(error_code=code, error_code_description=meaning, cause_message=cause)
    return httpx.Response(status_code or HTTP_STATUSES[code], json=answer.to_dict())


def rate_limit(retry_after: float | None) -> httpx.Response:
    """How the service refuses too many requests in parallel."""
    return httpx.Response(429, headers={} if retry_after is None else {"Retry-After": f"{retry_after:g}"})


def gateway_page(status_code: int) -> httpx.Response:
    """What a gateway answers in the service's place."""
    return httpx.Response(status_code, html=f"<html><body><h1>{status_code} from a gateway</h1></body></html>")


def not_found(request: httpx.Request) -> httpx.Response:
    """How the service answers for what is not there, in Spring's words: it has no published code for it."""
    return httpx.Response(404, json={"status": 404, "error": "Not Found", "path": request.url.path})


def mock_signed(document: SentDocument) -> bytes:
    """What comes back for a document: itself, with a remark that does no harm in its format."""
    if "pdf" in document.content_type:
        return document.content + b"\n% " + MOCK_SIGNATURE + b"\n"
    if "xml" in document.content_type:
        return document.content + b"\n<!-- " + MOCK_SIGNATURE + b" -->\n"
    return document.content + b"\n" + MOCK_SIGNATURE


def executed(request: SignRequest, number: int, client_service: str, *, stored: bool) -> SignOperation:
    """The operation that a signing request became, without contents.

    Args:
        request: The request, with documents that say whether they are signed.
        number: Number of the operation.
        client_service: Alias of the client service that asked.
        stored: Whether the service keeps what it signs. A proxy does not, and gets hashes only.
    """
    now = dt.datetime.now(dt.UTC)
    all_signed = all(document.signed for document in request.documents)
    return SignOperation(
        id=number,
        type_=OperationType.SIGN,
        # What a partly failed batch reports as a whole is not published.
        status=OperationStatus.EXECUTED if all_signed else OperationStatus.EXECUTION_ERROR,
        issuer_company=Company(name="Mocked issuer", vat_number="000000000", country_code="PRT", i_18_n_code="pt_PT"),
        issuer_client_service_alias=client_service,
        creation_date=now,
        folder_external_reference=request.external_reference,
        folder=Folder(
            external_reference=request.external_reference,
            description=request.description,
            folder_content=FolderContent.DOCUMENT if stored else FolderContent.HASH,
        ),
        document_list=[
            attrs.evolve(_document(document, stored=stored), reception_date=now) for document in request.documents
        ],
        delivery_info=UNSET if request.preservation is None else request.preservation.delivery_info,
        execution_time=0,
    )


def _document(document: SentDocument, *, stored: bool) -> DocumentResponse:
    answer = DocumentResponse(
        external_reference=document.external_reference,
        name=document.name,
        content_type=ContentType(document.content_type),
    )
    if not document.signed:
        failed = SigningStatus.ERROR_SIGNING
        return attrs.evolve(answer, sign_status=failed, sign_error=document.sign_error or UNSET)
    return attrs.evolve(
        answer,
        sign_status=SigningStatus.SIGNED,
        storage_status=StorageStatus.CONTENT_STORED if stored else StorageStatus.CONTENT_NOT_STORED,
        content_length=len(mock_signed(document)),
    )


def operation_answer(operation: SignOperation, documents: Sequence[SentDocument]) -> httpx.Response:
    """An operation as the service answers it.

    Args:
        operation: The operation, without contents.
        documents: Those whose contents go with it.
    """
    fields = operation.to_dict()
    contents = {document.external_reference: document for document in documents if document.signed}
    for position, described in enumerate(fields["documentList"]):
        described["internalId"] = 1000 * fields["id"] + position
        if described["externalReference"] in contents:
            signed = mock_signed(contents[described["externalReference"]])
            described["signedContent"] = base64.b64encode(signed).decode()
    return httpx.Response(200, json=fields)


def archive_answer(documents: Sequence[SentDocument]) -> httpx.Response:
    """Signed documents as a ZIP file, named as the service names them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for document in documents:
            if document.signed:
                archive.writestr(f"{document.external_reference}.{document.name}", mock_signed(document))
    return httpx.Response(200, content=file.getvalue(), headers={"Content-Type": "application/zip"})

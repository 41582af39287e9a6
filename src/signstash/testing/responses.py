"""Responses of the mocked service, made from the generated models so that they conform to the definition."""

from __future__ import annotations

import base64
import datetime as dt
import io
import zipfile
from collections.abc import Sequence
from typing import Final

import attrs
import httpx

from .._errors.codes import ERROR_CODES
from ..models import (
    UNSET,
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
from .received import SentDocument, SignRequest, read_sign_request
from .validation import MalformedRequestError

MOCK_SIGNATURE: Final = b"NOT A SIGNATURE, but made by signstash.testing"
"""Ends every document that a mock has "signed"."""


def token_response(token: str = "token") -> httpx.Response:  # noqa: S107 - it opens nothing
    """Make a token server's response, for tests with plain respx.

        respx.post(path__regex="/oauth/token$").mock(return_value=token_response())

    Args:
        token: The access token.

    Returns:
        A new response, with HTTP status 200.
    """
    fields = {"access_token": token, "token_type": "bearer", "expires_in": 86399, "scope": "read write", "jti": token}
    return httpx.Response(200, json=fields)


def sign_response(request: httpx.Request, *, operation_id: int = 1) -> httpx.Response:
    """Make a response that "signs" every document of a signing request, for tests with plain respx.

        respx.post(path__regex="/document/sign").mock(side_effect=sign_response)

    Args:
        request: The signing request, with contents in the JSON or as multipart files.
        operation_id: ID of the operation.

    Returns:
        The operation, with HTTP status 200; or an error with code `0.0.2` or `0.0.6` if the request is malformed. What
        comes back for a document is its content and `MOCK_SIGNATURE`.
    """
    multipart = request.headers.get("Content-Type", "").startswith("multipart/form-data")
    try:
        received = read_sign_request(request, "multipart" if multipart else "base64")
    except MalformedRequestError as error:
        return error_response(error.error_code, str(error))
    signed = [attrs.evolve(document, signed=True) for document in received.documents]
    operation = executed(attrs.evolve(received, documents=signed), operation_id, "", stored=False)
    return operation_response(operation, signed)


def rejected_credentials() -> httpx.Response:
    """Make the response to wrong credentials, in Spring's format."""
    body = {"error": "invalid_client", "error_description": "Bad client credentials"}
    return httpx.Response(401, json=body, headers={"WWW-Authenticate": 'Basic realm="oauth2/client"'})


def rejected_grant(grant_type: str) -> httpx.Response:
    """Make the response to a token request whose grant type is missing or is not `client_credentials`."""
    if not grant_type:
        body = {"error": "invalid_request", "error_description": "Missing grant type"}
    else:
        body = {"error": "unsupported_grant_type", "error_description": f"Unsupported grant type: {grant_type}"}
    return httpx.Response(400, json=body)


def error_response(code: str, cause: str, *, status_code: int | None = None) -> httpx.Response:
    """Make the response to a request that the service rejects.

    Args:
        code: The `errorCode`.
        cause: The `causeMessage`.
        status_code: HTTP status, if not the usual one of the code.
    """
    meaning = f"{ERROR_CODES[code].meaning}." if code in ERROR_CODES else UNSET
    body = ErrorResponse(error_code=code, error_code_description=meaning, cause_message=cause)
    return httpx.Response(status_code or ERROR_CODES[code].status, json=body.to_dict())


def rate_limit(retry_after: float | None) -> httpx.Response:
    """Make the response to too many parallel requests."""
    return httpx.Response(429, headers={} if retry_after is None else {"Retry-After": f"{retry_after:g}"})


def gateway_page(status_code: int) -> httpx.Response:
    """Make the response of a gateway in front of the service."""
    return httpx.Response(status_code, html=f"<html><body><h1>{status_code} from a gateway</h1></body></html>")


def not_found(request: httpx.Request) -> httpx.Response:
    """Make the response for an unknown resource, in Spring's format: the service has no published code for it."""
    return httpx.Response(404, json={"status": 404, "error": "Not Found", "path": request.url.path})


def mock_signed(document: SentDocument) -> bytes:
    """Append a comment to a document, which its format permits."""
    if "pdf" in document.content_type:
        return document.content + b"\n% " + MOCK_SIGNATURE + b"\n"
    if "xml" in document.content_type:
        return document.content + b"\n<!-- " + MOCK_SIGNATURE + b" -->\n"
    return document.content + b"\n" + MOCK_SIGNATURE


def executed(request: SignRequest, number: int, client_service: str, *, stored: bool) -> SignOperation:
    """Make the operation of a signing request, without contents.

    Args:
        request: The request, with the state of its documents.
        number: ID of the operation.
        client_service: Alias of the client service.
        stored: Whether the service stores the documents. A proxy does not, and forwards hashes only.
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
    response = DocumentResponse(
        external_reference=document.external_reference,
        name=document.name,
        content_type=ContentType(document.content_type),
    )
    if not document.signed:
        failed = SigningStatus.ERROR_SIGNING
        return attrs.evolve(response, sign_status=failed, sign_error=document.sign_error or UNSET)
    return attrs.evolve(
        response,
        sign_status=SigningStatus.SIGNED,
        storage_status=StorageStatus.CONTENT_STORED if stored else StorageStatus.CONTENT_NOT_STORED,
        content_length=len(mock_signed(document)),
    )


def operation_response(operation: SignOperation, documents: Sequence[SentDocument]) -> httpx.Response:
    """Make the response with an operation.

    Args:
        operation: The operation, without contents.
        documents: The documents whose contents are included.
    """
    fields = operation.to_dict()
    contents = {document.external_reference: document for document in documents if document.signed}
    for position, described in enumerate(fields["documentList"]):
        described["internalId"] = 1000 * fields["id"] + position
        if described["externalReference"] in contents:
            signed = mock_signed(contents[described["externalReference"]])
            described["signedContent"] = base64.b64encode(signed).decode()
    return httpx.Response(200, json=fields)


def zip_response(documents: Sequence[SentDocument]) -> httpx.Response:
    """Make the response with the signed documents as a ZIP file, named as the service names them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for document in documents:
            if document.signed:
                archive.writestr(f"{document.external_reference}.{document.name}", mock_signed(document))
    return httpx.Response(200, content=file.getvalue(), headers={"Content-Type": "application/zip"})

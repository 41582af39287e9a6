"""Endpoints that sign documents."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from starlette.requests import Request
from starlette.responses import Response

from ..models import SignatureInfo
from .authorized_call import ApplyFault, AuthorizedCall, Endpoints
from .error_responses import rejected
from .fault_responses import damaged_fields, damaged_response
from .faults import Faults
from .operation_store import OperationStore, ProcessedDocument, ReferenceInUseError
from .request_log import RequestLog
from .request_validation import Validation
from .signatures import CannotSignError, SignatureMaker
from .signing_requests import SignRequest, read_base64, read_multipart

SECONDS_PER_DOCUMENT: Final = 60.0
"""Seconds that signing a document may take. One that takes longer is not signed."""

COMPANY: Final[Mapping[str, str]] = {
    "name": "Sandbox Test Company",
    "vatNumber": "000000000",
    "countryCode": "PRT",
    "i18nCode": "pt_PT",
    "status": "ACTIVE",
}


@attrs.frozen(kw_only=True)
class SigningEndpoints:
    """The endpoints that sign documents.

    Attributes:
        store: Stores operations.
        validation: Validates requests.
        maker: Signs documents.
        faults: Failures of documents.
        log: Keeps signed documents to be looked at.
        apply_fault: Applies the fault that concerns a request.
        reuse_failed_references: Whether references of documents that were not signed can be used again.
    """

    store: OperationStore
    validation: Validation
    maker: SignatureMaker
    faults: Faults
    log: RequestLog
    apply_fault: ApplyFault
    reuse_failed_references: bool

    def endpoints(self) -> Endpoints:
        """The handlers by method and path."""

        async def base64_contents(request: Request, call: AuthorizedCall) -> Response:
            return await self.respond(await read_base64(request, self.validation), call)

        async def multipart_files(request: Request, call: AuthorizedCall) -> Response:
            return await self.respond(await read_multipart(request, self.validation), call)

        return {
            ("POST", "/api/v0/document/sign/base64"): ("sign", base64_contents),
            ("POST", "/api/v0/document/sign"): ("sign", multipart_files),
        }

    async def respond(self, request: SignRequest, call: AuthorizedCall) -> Response:
        """Sign the documents of a request.

        Args:
            request: The request.
            call: How it was sent.

        Raises:
            RejectedError: If a reference is in use, or a fault occurs.
        """
        call.log_entry.references = [request.reference, *request.document_references]
        fault = await self.apply_fault(call, request.names)
        try:
            await asyncio.to_thread(self.store.reserve, request.reference, request.document_references)
        except ReferenceInUseError as error:
            raise rejected("0.0.7", f"externalReference {error}") from error
        stored = _storage_status(request.fields, call)
        began = time.perf_counter()
        documents = [
            await self._sign(item, content, stored)
            for item, content in zip(request.fields["documents"], request.contents, strict=True)
        ]
        await asyncio.to_thread(self._release, request, documents)
        fields = _operation_fields(request.fields, call, documents, time.perf_counter() - began)
        operation = await asyncio.to_thread(self.store.add, call.token.client_id, call.service, fields, documents)
        for described, document in zip(operation["documentList"], documents, strict=True):
            if document.content is not None and call.service == "proxy":
                self.log.keep(described["internalId"], document.content)
        contents = [document.content if request.fields.get("returnSignedContent") else None for document in documents]
        operation = damaged_fields(operation, fault)
        return damaged_response(await asyncio.to_thread(operation_response, operation, contents), fault)

    async def _sign(self, item: Mapping[str, Any], content: bytes, stored: str) -> ProcessedDocument:
        described = item["documentRequest"]
        fields = {name: described[name] for name in ("externalReference", "name", "contentType")}
        fields["receptionDate"] = _now()
        fault = self.faults.for_document(described["externalReference"], described["name"])
        try:
            if fault is not None:
                raise CannotSignError(f"the fault {fault.kind} of the sandbox", sign_error=fault.error)
            signing = asyncio.to_thread(self.maker.sign, content, SignatureInfo.from_dict(item["signatureInfo"]))
            signed = await asyncio.wait_for(signing, SECONDS_PER_DOCUMENT)
        except TimeoutError:
            return _not_signed(fields, CannotSignError(f"signing it takes longer than {SECONDS_PER_DOCUMENT:g} s"))
        except CannotSignError as error:
            return _not_signed(fields, error)
        done = {"signStatus": "SIGNED", "storageStatus": stored, "contentLength": len(signed)}
        return ProcessedDocument({**fields, **done}, signed)

    def _release(self, request: SignRequest, documents: Sequence[ProcessedDocument]) -> None:
        """Release the references of documents that were not signed, if they can be used again.

        Raises:
            RejectedError: If no document was signed for a reason that has an error code of its own.
        """
        failed = [document for document in documents if document.content is None]
        codes = {document.error_code for document in failed}
        rejection = len(failed) == len(documents) and len(codes) == 1 and codes.pop()
        if not failed or not (rejection or self.reuse_failed_references):
            return
        all_failed = len(failed) == len(documents)
        references = [document.fields["externalReference"] for document in failed]
        self.store.release(request.reference if all_failed else None, references)
        if rejection:
            raise rejected(rejection, failed[0].reason)


def _not_signed(fields: Mapping[str, Any], error: CannotSignError) -> ProcessedDocument:
    known = {"signError": error.sign_error} if error.sign_error else {"causeMessage": error.reason}
    failure = {"signStatus": "ERROR_SIGNING", **known}
    return ProcessedDocument({**fields, **failure}, reason=error.reason, error_code=error.error_code)


def operation_response(operation: Mapping[str, Any], contents: list[bytes | None]) -> Response:
    """Make the response with an operation.

    Args:
        operation: Its fields.
        contents: Contents of its documents, in their order; None leaves one out.
    """
    documents = [
        described if content is None else {**described, "signedContent": base64.b64encode(content).decode()}
        for described, content in zip(operation["documentList"], contents, strict=True)
    ]
    body = json.dumps({**operation, "documentList": documents}, ensure_ascii=False)
    return Response(body, media_type="application/json")


def _storage_status(fields: Mapping[str, Any], call: AuthorizedCall) -> str:
    if call.service == "proxy":
        return "CONTENT_NOT_STORED"
    return "CONTENT_PRESERVED" if fields.get("preservationInfo", {}).get("preserveContent") else "CONTENT_STORED"


def _operation_fields(
    requested: Mapping[str, Any], call: AuthorizedCall, documents: Sequence[ProcessedDocument], seconds: float
) -> dict[str, Any]:
    all_signed = all(document.content is not None for document in documents)
    folder = {
        "externalReference": requested["externalReference"],
        "description": requested["description"],
        "folderContent": "HASH" if call.service == "proxy" else "DOCUMENT",
    }
    fields: dict[str, Any] = {
        "type": "SIGN",
        # What a partly failed batch reports as a whole is not published.
        "status": "EXECUTED" if all_signed else "EXECUTION_ERROR",
        "issuerCompany": dict(COMPANY),
        "issuerClientServiceAlias": call.token.client_id,
        "creationDate": _now(),
        "folderExternalReference": requested["externalReference"],
        "folder": folder,
        "executionTime": round(seconds * 1000),
    }
    delivery = requested.get("preservationInfo", {}).get("deliveryInfo")
    if delivery is not None and call.service == "integration":
        fields["deliveryInfo"] = delivery
    return fields


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

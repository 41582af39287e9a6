"""What a signing request makes happen: its references are taken, its documents signed, the operation kept."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from ..models import SignatureInfo
from .answers import spoilt_fields, spoilt_response
from .call import Call, Handlers, Strike
from .faults import Faults
from .journal import Journal
from .operations import Operations, SignedContent, TakenError
from .refusals import refused
from .requests import SignRequest, read_base64, read_multipart
from .signatures import CannotSignError, SignatureMaker
from .validation import Validation

COMPANY: Final[Mapping[str, str]] = {
    "name": "Sandbox Test Company",
    "vatNumber": "000000000",
    "countryCode": "PRT",
    "i18nCode": "pt_PT",
    "status": "ACTIVE",
}


class Signing:
    """Answers signing requests.

    Args:
        operations: Where operations are kept.
        validation: What requests have to be like.
        maker: Signs documents.
        faults: What fails.
        journal: Where signed documents can be looked at.
        strike: Lets a fault strike a request.
    """

    def __init__(
        self,
        operations: Operations,
        validation: Validation,
        maker: SignatureMaker,
        faults: Faults,
        journal: Journal,
        strike: Strike,
    ) -> None:
        self._operations = operations
        self._validation = validation
        self._maker = maker
        self._faults = faults
        self._journal = journal
        self._strike = strike

    def handlers(self) -> Handlers:
        """What answers which method and path."""

        async def base64_contents(request: Request, call: Call) -> Response:
            return await self._answer(await read_base64(request, self._validation), call)

        async def multipart_files(request: Request, call: Call) -> Response:
            return await self._answer(await read_multipart(request, self._validation), call)

        return {
            ("POST", "/api/v0/document/sign/base64"): ("sign", base64_contents),
            ("POST", "/api/v0/document/sign"): ("sign", multipart_files),
        }

    async def _answer(self, asked: SignRequest, call: Call) -> Response:
        call.arrival.references = [asked.fields["externalReference"], *asked.document_references]
        fault = await self._strike(call, asked.names)
        try:
            await asyncio.to_thread(self._operations.take, asked.fields["externalReference"], asked.document_references)
        except TakenError as taken:
            raise refused("0.0.7", f"externalReference {taken}") from taken
        stored = _storage_status(asked.fields, call)
        began = time.perf_counter()
        documents = [
            await asyncio.to_thread(self._sign, item, content, stored)
            for item, content in zip(asked.fields["documents"], asked.contents, strict=True)
        ]
        fields = _operation_fields(asked.fields, call, documents, time.perf_counter() - began)
        operation = await asyncio.to_thread(
            self._operations.keep, call.token.client_id, call.service, fields, documents
        )
        for described, document in zip(operation["documentList"], documents, strict=True):
            if document.content is not None and call.service == "proxy":
                self._journal.show(described["internalId"], document.content)
        contents = [document.content if asked.fields.get("returnSignedContent") else None for document in documents]
        operation = spoilt_fields(operation, fault)
        return spoilt_response(await asyncio.to_thread(operation_answer, operation, contents), fault)

    def _sign(self, item: Mapping[str, Any], content: bytes, stored: str) -> SignedContent:
        described = item["documentRequest"]
        fields = {name: described[name] for name in ("externalReference", "name", "contentType")}
        fields["receptionDate"] = _now()
        fault = self._faults.for_document(described["externalReference"], described["name"])
        try:
            if fault is not None:
                raise CannotSignError(f"the fault {fault.kind} of the sandbox", sign_error=fault.answers)
            signed = self._maker.sign(content, SignatureInfo.from_dict(item["signatureInfo"]))
        except CannotSignError as error:
            failed = {"signStatus": "ERROR_SIGNING", "signError": error.sign_error}
            return SignedContent({**fields, **failed}, reason=str(error))
        done = {"signStatus": "SIGNED", "storageStatus": stored, "contentLength": len(signed)}
        return SignedContent({**fields, **done}, signed)


def operation_answer(operation: Mapping[str, Any], contents: list[bytes | None]) -> Response:
    """An operation as JSON.

    Args:
        operation: Its fields.
        contents: The contents that its documents are to carry, in their order.
    """
    documents = [
        described if content is None else {**described, "signedContent": base64.b64encode(content).decode()}
        for described, content in zip(operation["documentList"], contents, strict=True)
    ]
    body = json.dumps({**operation, "documentList": documents}, ensure_ascii=False)
    return Response(body, media_type="application/json")


def _storage_status(asked: Mapping[str, Any], call: Call) -> str:
    if call.service == "proxy":
        return "CONTENT_NOT_STORED"
    return "CONTENT_PRESERVED" if asked.get("preservationInfo", {}).get("preserveContent") else "CONTENT_STORED"


def _operation_fields(
    asked: Mapping[str, Any], call: Call, documents: list[SignedContent], seconds: float
) -> dict[str, Any]:
    all_signed = all(document.content is not None for document in documents)
    folder = {
        "externalReference": asked["externalReference"],
        "description": asked["description"],
        "folderContent": "HASH" if call.service == "proxy" else "DOCUMENT",
    }
    fields: dict[str, Any] = {
        "type": "SIGN",
        # What a partly failed batch reports as a whole is not published.
        "status": "EXECUTED" if all_signed else "EXECUTION_ERROR",
        "issuerCompany": dict(COMPANY),
        "issuerClientServiceAlias": call.token.client_id,
        "creationDate": _now(),
        "folderExternalReference": asked["externalReference"],
        "folder": folder,
        "executionTime": round(seconds * 1000),
    }
    delivery = asked.get("preservationInfo", {}).get("deliveryInfo")
    if delivery is not None and call.service == "integration":
        fields["deliveryInfo"] = delivery
    return fields


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

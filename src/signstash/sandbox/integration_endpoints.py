"""Endpoints of the Integration Service that return operations. A proxy stores none and responds with 404."""

from __future__ import annotations

import asyncio
import io
import re
import zipfile
from typing import Any

import attrs
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .authorized_call import ApplyFault, AuthorizedCall, Endpoints
from .error_responses import rejected
from .fault_responses import damaged_fields, damaged_response
from .operation_store import OperationStore
from .request_validation import Validation
from .signing_endpoints import operation_response
from .signing_requests import parse_json, read_json

_MAILS = {"type": "array", "items": {"type": "string"}}


@attrs.frozen(kw_only=True)
class IntegrationEndpoints:
    """The endpoints that return operations.

    Attributes:
        store: Stores operations.
        validation: Validates requests.
        apply_fault: Applies the fault that concerns a request.
    """

    store: OperationStore
    validation: Validation
    apply_fault: ApplyFault

    def endpoints(self) -> Endpoints:
        """The handlers by method and path."""
        operation = "/api/v0/operation"
        by_reference = f"{operation}/id/withDocumentExternalReference/{{reference:path}}"
        return {
            ("GET", by_reference): (
                "query",
                self._operation_id,
            ),
            ("GET", f"{operation}/status/{{number}}"): ("query", self._status),
            ("GET", f"{operation}/sign/detail/{{number}}/contentInResponse/{{flag}}"): ("query", self._detail),
            ("GET", f"{operation}/sign/detail/{{number}}/documents"): ("query", self._documents),
            ("POST", "/api/v0/delivery/mail/resend/{number}/{flag}"): ("query", self._resend),
        }

    async def _operation_id(self, request: Request, call: AuthorizedCall) -> Response:
        reference = request.path_params["reference"]
        call.log_entry.references = [reference]
        fault = await self.apply_fault(call, ())
        number = await asyncio.to_thread(self.store.operation_id, reference, call.token.client_id)
        if number is None:
            raise HTTPException(404)
        return damaged_response(JSONResponse(number), fault)

    async def _status(self, request: Request, call: AuthorizedCall) -> Response:
        fault = await self.apply_fault(call, ())
        operation = await self._operation(request, call)
        base = {name: operation[name] for name in operation if name in _BASE_FIELDS}
        return damaged_response(JSONResponse(damaged_fields(base, fault)), fault)

    async def _detail(self, request: Request, call: AuthorizedCall) -> Response:
        fault = await self.apply_fault(call, ())
        with_contents = _flag(request)
        operation = await self._operation(request, call)
        kept = await asyncio.to_thread(self.store.contents, operation["id"]) if with_contents else {}
        contents = [kept.get(document["internalId"]) for document in operation["documentList"]]
        response = await asyncio.to_thread(operation_response, damaged_fields(operation, fault), contents)
        return damaged_response(response, fault)

    async def _documents(self, request: Request, call: AuthorizedCall) -> Response:
        fault = await self.apply_fault(call, ())
        operation = await self._operation(request, call)
        kept = await asyncio.to_thread(self.store.contents, operation["id"])
        archive = await asyncio.to_thread(_zipped, operation, kept)
        return damaged_response(Response(archive, media_type="application/zip"), fault)

    async def _resend(self, request: Request, call: AuthorizedCall) -> Response:
        recipients = self.validation.valid(parse_json(await read_json(request)), _MAILS, "mails", "recipients")
        fault = await self.apply_fault(call, ())
        _flag(request)
        await self._operation(request, call)
        call.log_entry.recipients = recipients
        return damaged_response(Response(), fault)

    async def _operation(self, request: Request, call: AuthorizedCall) -> dict[str, Any]:
        text = request.path_params["number"]
        if not re.fullmatch("-?[0-9]{1,19}", text) or abs(int(text)) >= 2**63:
            raise rejected("0.0.6", "operationId is not a number")
        operation = await asyncio.to_thread(self.store.find, int(text), call.token.client_id)
        if operation is None:
            raise HTTPException(404)
        return operation


_BASE_FIELDS = (
    "id", "type", "status", "issuerCompany", "issuerClientServiceAlias", "creationDate", "folderExternalReference",
)  # fmt: skip


def _flag(request: Request) -> bool:
    text = request.path_params["flag"]
    if text not in ("true", "false"):
        raise rejected("0.0.6", f"{text!r} is neither true nor false")
    return bool(text == "true")


def _zipped(operation: dict[str, Any], contents: dict[int, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for document in operation["documentList"]:
            if document["internalId"] in contents:
                name = f"{document['externalReference']}.{document['name']}"
                archive.writestr(name, contents[document["internalId"]])
    return file.getvalue()

"""What the Integration Service answers about operations. A proxy keeps nothing, and answers 404."""

from __future__ import annotations

import asyncio
import io
import re
import zipfile
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .answers import spoilt_fields, spoilt_response
from .call import Call, Handlers, Strike
from .operations import Operations
from .refusals import refused
from .requests import parsed, read_json
from .signing import operation_answer
from .validation import Validation

_MAILS = {"type": "array", "items": {"type": "string"}}


class IntegrationQueries:
    """Answers what is asked about operations.

    Args:
        operations: Where operations are kept.
        validation: What requests have to be like.
        strike: Lets a fault strike a request.
    """

    def __init__(self, operations: Operations, validation: Validation, strike: Strike) -> None:
        self._operations = operations
        self._validation = validation
        self._strike = strike

    def handlers(self) -> Handlers:
        """What answers which method and path."""
        operation = "/api/v0/operation"
        return {
            ("GET", f"{operation}/id/withDocumentExternalReference/{{reference:path}}"): ("consult", self._number),
            ("GET", f"{operation}/status/{{number}}"): ("consult", self._status),
            ("GET", f"{operation}/sign/detail/{{number}}/contentInResponse/{{flag}}"): ("consult", self._detail),
            ("GET", f"{operation}/sign/detail/{{number}}/documents"): ("consult", self._documents),
            ("POST", "/api/v0/delivery/mail/resend/{number}/{flag}"): ("consult", self._resend),
        }

    async def _number(self, request: Request, call: Call) -> Response:
        reference = request.path_params["reference"]
        call.arrival.references = [reference]
        fault = await self._strike(call, ())
        number = await asyncio.to_thread(self._operations.number_of, reference, call.token.client_id)
        if number is None:
            raise HTTPException(404)
        return spoilt_response(JSONResponse(number), fault)

    async def _status(self, request: Request, call: Call) -> Response:
        fault = await self._strike(call, ())
        operation = await self._operation(request, call)
        base = {name: operation[name] for name in operation if name in _BASE_FIELDS}
        return spoilt_response(JSONResponse(spoilt_fields(base, fault)), fault)

    async def _detail(self, request: Request, call: Call) -> Response:
        fault = await self._strike(call, ())
        with_contents = _flag(request)
        operation = await self._operation(request, call)
        kept = await asyncio.to_thread(self._operations.contents, operation["id"]) if with_contents else {}
        contents = [kept.get(document["internalId"]) for document in operation["documentList"]]
        answer = await asyncio.to_thread(operation_answer, spoilt_fields(operation, fault), contents)
        return spoilt_response(answer, fault)

    async def _documents(self, request: Request, call: Call) -> Response:
        fault = await self._strike(call, ())
        operation = await self._operation(request, call)
        kept = await asyncio.to_thread(self._operations.contents, operation["id"])
        archive = await asyncio.to_thread(_zipped, operation, kept)
        return spoilt_response(Response(archive, media_type="application/zip"), fault)

    async def _resend(self, request: Request, call: Call) -> Response:
        recipients = self._validation.valid(parsed(await read_json(request)), _MAILS, "mails", "recipients")
        fault = await self._strike(call, ())
        _flag(request)
        await self._operation(request, call)
        call.arrival.recipients = recipients
        return spoilt_response(Response(), fault)

    async def _operation(self, request: Request, call: Call) -> dict[str, Any]:
        text = request.path_params["number"]
        if not re.fullmatch("-?[0-9]{1,19}", text) or abs(int(text)) >= 2**63:
            raise refused("0.0.6", "operationId is no number")
        operation = await asyncio.to_thread(self._operations.find, int(text), call.token.client_id)
        if operation is None:
            raise HTTPException(404)
        return operation


_BASE_FIELDS = (
    "id", "type", "status", "issuerCompany", "issuerClientServiceAlias", "creationDate", "folderExternalReference",
)  # fmt: skip


def _flag(request: Request) -> bool:
    text = request.path_params["flag"]
    if text not in ("true", "false"):
        raise refused("0.0.6", f"{text!r} is neither true nor false")
    return bool(text == "true")


def _zipped(operation: dict[str, Any], contents: dict[int, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for document in operation["documentList"]:
            if document["internalId"] in contents:
                name = f"{document['externalReference']}.{document['name']}"
                archive.writestr(name, contents[document["internalId"]])
    return file.getvalue()

"""The asynchronous mode of newer proxies: start, ask for the status, fetch the result by external reference.

The vendor has not published its paths; these are made up, and served only if they are asked for.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import attrs
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .authorized_call import AuthorizedCall, Endpoints, Handler


@attrs.define
class _Started:
    client_id: str
    described: dict[str, Any]
    result: bytes
    is_finished: bool = False


class AsynchronousMode:
    """Signs at the first request, and reports once that signing is still running.

    Args:
        sign: Responds to a signing request with contents in base64.
    """

    def __init__(self, sign: Handler) -> None:
        self._sign = sign
        self._started: dict[str, _Started] = {}

    def endpoints(self) -> Endpoints:
        """The handlers by method and path."""
        operation = "/api/v0/async/operation"
        return {
            ("POST", "/api/v0/async/document/sign/base64"): ("sign", self._start),
            ("GET", f"{operation}/status/{{reference:path}}"): ("query", self._status),
            ("GET", f"{operation}/result/{{reference:path}}"): ("query", self._result),
        }

    async def _start(self, request: Request, call: AuthorizedCall) -> Response:
        response = await self._sign(request, call)
        if response.status_code != 200:
            return response
        address = {"host": request.url.hostname, "port": request.url.port}
        described = {"id": str(uuid.uuid4()), "status": "REGISTERED", **address}
        started = _Started(call.token.client_id, described, bytes(response.body))
        fields = json.loads(await request.body())
        for item in (fields, *(document["documentRequest"] for document in fields["documents"])):
            self._started[item["externalReference"]] = started
        return JSONResponse(described)

    async def _status(self, request: Request, call: AuthorizedCall) -> Response:
        started = self._find(request, call)
        status = "FINISHED" if started.is_finished else "RUNNING"
        started.is_finished = True
        return JSONResponse([{**started.described, "status": status}])

    async def _result(self, request: Request, call: AuthorizedCall) -> Response:
        started = self._find(request, call)
        if not started.is_finished:
            raise HTTPException(404)
        return Response(started.result, media_type="application/json")

    def _find(self, request: Request, call: AuthorizedCall) -> _Started:
        started = self._started.get(request.path_params["reference"])
        if started is None or started.client_id != call.token.client_id:
            raise HTTPException(404)
        return started

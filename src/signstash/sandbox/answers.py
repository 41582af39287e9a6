"""What faults make of answers: those that come instead of one, and those that are spoilt."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .faults import Fault
from .refusals import RefusedError, refused

HANG_UP: Final = "signstash.hang_up"
"""Name of the ASGI extension that ends a connection: a function of whether it is to be abrupt."""

_GATEWAY_PAGE: Final = "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


class BrokenResponse(Response):
    """An answer that does not arrive whole, because the connection ends.

    Args:
        whole: The answer that would have been, of which half is sent; None to reset the connection without a word.
    """

    def __init__(self, whole: Response | None = None) -> None:
        super().__init__(b"" if whole is None else whole.body, 0 if whole is None else whole.status_code)
        self._silent = whole is None
        if whole is not None:
            self.raw_headers: list[tuple[bytes, bytes]] = whole.raw_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is sent, and hang up."""
        hang_up: Callable[[bool], None] | None = scope.get("extensions", {}).get(HANG_UP)
        if not self._silent:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})
        if hang_up is None:  # no network in between: what httpx would make of it
            raise httpx.ReadError("") if self._silent else httpx.RemoteProtocolError("The answer ended early.")
        hang_up(self._silent)
        while (await receive())["type"] != "http.disconnect":
            pass


def answer_instead(fault: Fault) -> RefusedError:
    """The answer that comes instead of processing the request."""
    cause = f"the fault {fault.kind} of the sandbox"
    response: Response
    if fault.kind == "reset_before":
        response = BrokenResponse()
    elif fault.kind == "too_many_requests":
        headers = {} if fault.seconds is None else {"Retry-After": f"{fault.seconds:g}"}
        response = Response(status_code=fault.status or 429, headers=headers)
    elif fault.kind == "html_answer":
        response = HTMLResponse(_GATEWAY_PAGE, fault.status or 502)
    elif fault.kind == "empty_answer":
        response = Response(status_code=fault.status or 502)
    elif fault.kind == "invalid_client":
        return invalid_client(status=fault.status)
    elif fault.kind == "revoked_token":
        return invalid_token()
    else:
        return refused(fault.answers, cause, status=fault.status)
    return RefusedError(response, cause=cause)


def invalid_client(*, status: int | None = None) -> RefusedError:
    """How Spring's authorization server refuses credentials."""
    body = {"error": "invalid_client", "error_description": "Bad client credentials"}
    challenge = {"WWW-Authenticate": 'Basic realm="oauth2/client"'}
    return RefusedError(JSONResponse(body, status or 401, challenge), cause="Bad client credentials")


def invalid_token() -> RefusedError:
    """How Spring's resource server refuses a token that it does not know."""
    body = {"error": "invalid_token", "error_description": "Token was revoked"}
    challenge = {"WWW-Authenticate": 'Bearer realm="oauth2-resource", error="invalid_token"'}
    return RefusedError(JSONResponse(body, 401, challenge), cause="Token was revoked")


def spoilt_fields(fields: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    """The fields of an operation, with odd dates or unknown values if the fault is of that kind."""
    if fault is not None and fault.kind == "odd_dates":
        return _with_odd_dates(fields)
    if fault is not None and fault.kind == "unknown_enums":
        changed = copy.deepcopy({**fields, "type": "SIGN_AND_SEAL"})
        for document in changed.get("documentList", ()):
            document |= {"storageStatus": "CONTENT_ON_TAPE", "cipherStatus": "CIPHERED_TWICE"}
        return changed
    return fields


def spoilt_response(response: Response, fault: Fault | None) -> Response:
    """The answer, lost or cut if the fault is of that kind."""
    if fault is not None and fault.kind == "reset_after":
        return BrokenResponse()
    if fault is not None and fault.kind == "truncated_answer":
        return BrokenResponse(response)
    if fault is not None and fault.kind == "cut_json":
        return Response(response.body[: len(response.body) // 2], response.status_code, media_type=response.media_type)
    return response


def _with_odd_dates(fields: dict[str, Any]) -> dict[str, Any]:
    """Each date in another way (wire: with `Z`, `+0000`, `+00:00`, in Lisbon's time without a zone, milliseconds)."""
    forms: list[Callable[[dt.datetime], object]] = [
        lambda date: f"{date:%Y-%m-%dT%H:%M:%S}.{date.microsecond // 1000:03}+0000",
        lambda date: date.astimezone(ZoneInfo("Europe/Lisbon")).isoformat(" ", "milliseconds")[:23],
        lambda date: int(date.timestamp() * 1000),
        lambda date: date.isoformat(timespec="milliseconds"),
        lambda date: f"{date:%Y-%m-%dT%H:%M:%S}.{date.microsecond // 1000:03}Z",
    ]
    written = 0

    def rewritten(value: Any, name: str = "") -> Any:
        nonlocal written
        if isinstance(value, dict):
            return {key: rewritten(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [rewritten(item) for item in value]
        if isinstance(value, str) and name.endswith("Date"):
            written += 1
            return forms[(written - 1) % len(forms)](dt.datetime.fromisoformat(value))
        return value

    result: dict[str, Any] = rewritten(fields)
    return result

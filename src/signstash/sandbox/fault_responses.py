"""What faults do to responses: those sent instead of one, and those that are damaged."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import datetime as dt
from collections.abc import Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .error_responses import RejectedError, rejected
from .faults import Fault

HANG_UP: Final = "signstash.hang_up"
"""Name of the ASGI extension that closes a connection: a function of whether to reset it."""

LINGER_BYTES: Final = 1024 * 1024
"""Bytes of a body that are still read after an early response."""
LINGER_SECONDS: Final = 0.2
"""Seconds to wait for each part of it."""

_GATEWAY_PAGE: Final = "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


class BrokenResponse(Response):
    """A response that does not arrive whole, because the connection closes.

    Args:
        whole: The response of which half is sent; None to reset the connection without one.
    """

    def __init__(self, whole: Response | None = None) -> None:
        super().__init__(b"" if whole is None else whole.body, 0 if whole is None else whole.status_code)
        self._reset = whole is None
        if whole is not None:
            self.raw_headers: list[tuple[bytes, bytes]] = whole.raw_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is to be sent, and close the connection."""
        if not self._reset:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})
        hang_up: Callable[[bool], None] | None = scope.get("extensions", {}).get(HANG_UP)
        if hang_up is None:  # without a network: the exceptions that httpx would raise
            raise httpx.ReadError("") if self._reset else httpx.RemoteProtocolError("The response ended early.")
        hang_up(self._reset)
        while (await receive())["type"] != "http.disconnect":
            pass


class EarlyResponse(Response):
    """A response sent before the request's body has arrived, after which the connection closes.

    A little of the body is read before that, as servers do so that the client can read the response (RFC 9112, 9.6).

    Args:
        response: What is sent.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response.body, response.status_code)
        self.raw_headers: list[tuple[bytes, bytes]] = [*response.raw_headers, (b"connection", b"close")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response and close the connection."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        unread, more = LINGER_BYTES, True
        with contextlib.suppress(TimeoutError):
            while more and unread > 0:
                message = await asyncio.wait_for(receive(), LINGER_SECONDS)
                unread -= len(message.get("body", b""))
                more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": b""})
        hang_up: Callable[[bool], None] | None = scope.get("extensions", {}).get(HANG_UP)
        if hang_up is not None:
            hang_up(False)


def response_instead(fault: Fault) -> RejectedError:
    """Make the response that a request gets instead of being processed."""
    cause = f"the fault {fault.kind} of the sandbox"
    response: Response
    if fault.kind == "reset_before":
        response = BrokenResponse()
    elif fault.kind == "too_many_requests":
        headers = {} if fault.seconds is None else {"Retry-After": f"{fault.seconds:g}"}
        response = Response(status_code=fault.status or 429, headers=headers)
    elif fault.kind == "html_response":
        response = HTMLResponse(_GATEWAY_PAGE, fault.status or 502)
    elif fault.kind == "empty_response":
        response = Response(status_code=fault.status or 502)
    elif fault.kind == "invalid_client":
        return invalid_client(status=fault.status)
    elif fault.kind == "revoked_token":
        return invalid_token()
    elif fault.kind == "early_401":
        response = EarlyResponse(invalid_token().response)
    else:
        return rejected(fault.error, cause, status=fault.status)
    return RejectedError(response, cause=cause)


def invalid_client(*, status: int | None = None) -> RejectedError:
    """Make the response to rejected credentials, in the format of Spring's authorization server."""
    body = {"error": "invalid_client", "error_description": "Bad client credentials"}
    challenge = {"WWW-Authenticate": 'Basic realm="oauth2/client"'}
    return RejectedError(JSONResponse(body, status or 401, challenge), cause="Bad client credentials")


def invalid_token() -> RejectedError:
    """Make the response to an unknown token, in the format of Spring's resource server."""
    body = {"error": "invalid_token", "error_description": "Token was revoked"}
    challenge = {"WWW-Authenticate": 'Bearer realm="oauth2-resource", error="invalid_token"'}
    return RejectedError(JSONResponse(body, 401, challenge), cause="Token was revoked")


def damaged_fields(fields: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    """The fields of an operation, with odd dates or unknown values if the fault is of that kind."""
    if fault is not None and fault.kind == "odd_dates":
        return _with_odd_dates(fields)
    if fault is not None and fault.kind == "unknown_enums":
        changed = copy.deepcopy({**fields, "type": "SIGN_AND_SEAL"})
        for document in changed.get("documentList", ()):
            document |= {"storageStatus": "CONTENT_ON_TAPE", "cipherStatus": "CIPHERED_TWICE"}
        return changed
    return fields


def damaged_response(response: Response, fault: Fault | None) -> Response:
    """The response, lost or cut if the fault is of that kind."""
    if fault is not None and fault.kind == "reset_after":
        return BrokenResponse()
    if fault is not None and fault.kind == "truncated_response":
        return BrokenResponse(response)
    if fault is not None and fault.kind == "cut_json":
        return Response(response.body[: len(response.body) // 2], response.status_code, media_type=response.media_type)
    return response


def _with_odd_dates(fields: dict[str, Any]) -> dict[str, Any]:
    """Write each date differently (wire: with `Z`, `+0000`, `+00:00`, Lisbon time without a zone, milliseconds)."""
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

"""How the service rejects a whole request: its published codes as data, and the responses that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

CODES: Final[Mapping[str, tuple[int, str]]] = {
    "0.0.1": (500, "Unhandled server error."),
    "0.0.2": (500, "Mandatory attribute is missing."),
    "0.0.3": (500, "System default configuration is missing."),
    "0.0.4": (500, "Attribute size exceeded."),
    "0.0.5": (500, "E-mail could not be sent."),
    "0.0.6": (500, "Request parameter validation failed."),
    "0.0.7": (409, "Information already exists."),
    "0.0.10": (409, "Access token expired or invalid."),
    "1.1.0": (401, "Licence is invalid."),
    "1.1.1": (401, "Licence is inactive."),
    "1.1.2": (409, "A client service for the licence already exists."),
    "1.1.3": (409, "Client service status does not allow the operation."),
    "1.1.4": (400, "Client service credential is too weak."),
    "1.2.0": (403, "Issuer is inactive."),
    "1.3.0": (403, "Partner is inactive."),
    "2.2.1": (500, "Visible signature elements do not fit."),  # its HTTP status is not published
}
"""HTTP status and description of each code (wiki: error table). The wording is the sandbox's own."""


class RejectedError(Exception):
    """A request gets an error response instead of being processed.

    Attributes:
        response: The response.
        error_code: The service's code, or an empty string.
        cause: The reason.
    """

    def __init__(self, response: Response, *, error_code: str = "", cause: str = "") -> None:
        super().__init__(f"{error_code} {cause}".strip())
        self.response = response
        self.error_code = error_code
        self.cause = cause


def rejected(error_code: str, cause: str, *, status: int | None = None) -> RejectedError:
    """Make the error response with one of the service's codes.

    Args:
        error_code: The code; an unpublished one needs a status.
        cause: The response's `causeMessage`.
        status: HTTP status, if not the published one.
    """
    published, description = CODES.get(error_code, (409, "An error requested of the sandbox."))
    body = {"errorCode": error_code, "errorCodeDescription": description, "causeMessage": cause}
    return RejectedError(JSONResponse(body, status or published), error_code=error_code, cause=cause)


def rejected_by_spring(error: HTTPException, path: str) -> RejectedError:
    """Make the error response in Spring's format, for what the service has no code for: unknown paths and methods."""
    body = {"status": error.status_code, "error": error.detail, "path": path}
    return RejectedError(JSONResponse(body, error.status_code, error.headers), cause=f"{error.detail}: {path}")

"""How the service refuses a request as a whole: its published codes, as data, and the answers that carry them."""

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


class RefusedError(Exception):
    """A request is answered without being processed.

    Attributes:
        response: The answer.
        error_code: The service's code, or an empty text.
        cause: What caused it.
    """

    def __init__(self, response: Response, *, error_code: str = "", cause: str = "") -> None:
        super().__init__(f"{error_code} {cause}".strip())
        self.response = response
        self.error_code = error_code
        self.cause = cause


def refused(error_code: str, cause: str, *, status: int | None = None) -> RefusedError:
    """The refusal with one of the service's codes.

    Args:
        error_code: The code; one that is not published needs a status.
        cause: What the answer gives as `causeMessage`.
        status: HTTP status, instead of the published one.
    """
    published, description = CODES.get(error_code, (409, "An error that the sandbox was told to answer."))
    body = {"errorCode": error_code, "errorCodeDescription": description, "causeMessage": cause}
    return RefusedError(JSONResponse(body, status or published), error_code=error_code, cause=cause)


def refused_by_spring(error: HTTPException, path: str) -> RefusedError:
    """The refusal of what is not there, or cannot be read, as Spring writes it: the service has no code for these."""
    body = {"status": error.status_code, "error": error.detail, "path": path}
    return RefusedError(JSONResponse(body, error.status_code, error.headers), cause=f"{error.detail}: {path}")

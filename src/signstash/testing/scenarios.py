"""Scenarios: what can go wrong in a test, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import httpx

from .._errors.codes import ERROR_CODES
from ..models import SigningError
from . import responses
from .scenario_queue import DocumentFailure, Failure, ScenarioQueue
from .service import Service


class Scenarios:
    """The scenarios of `MockSignStash`.

    Scenarios of signing requests apply in the order in which they were added, each `times` times; so do those of token
    requests, and those of documents. With `times=None` a scenario applies always, and later ones never.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def credentials_rejected(self, *, times: int | None = None) -> None:
        """The token server rejects client ID and secret (`CredentialsRejectedError`).

        This applies to token requests. A client that has a token is not affected.

        Args:
            times: Number of token requests, None for all.
        """
        failure = Failure(lambda _: responses.rejected_credentials())
        self._service.token_failures.add("credentials_rejected()", failure, times)

    def token_expired(self, times: int | None = 1) -> None:
        """The token of a signing request has expired. Once, the client replaces it and the call succeeds.

        Args:
            times: Number of requests, None for all.
        """
        self._fails(f"token_expired(times={times})", _error("0.0.10", "token"), times, ends_token=True)

    def token_rejected_for_good(self) -> None:
        """Every token of a signing request is rejected, new ones too (`TokenRejectedError`)."""
        self._fails("token_rejected_for_good()", _error("0.0.10", "token"), None, ends_token=True)

    def client_service_inactive(self, *, times: int | None = None) -> None:
        """The client service is not active (`ClientServiceInactiveError`).

        Args:
            times: Number of requests, None for all.
        """
        self._fails("client_service_inactive()", _error("1.1.3", "client service"), times)

    def issuer_inactive(self, *, times: int | None = None) -> None:
        """The issuer is not active (`ClientServiceInactiveError`).

        Args:
            times: Number of requests, None for all.
        """
        self._fails("issuer_inactive()", _error("1.2.0", "issuer"), times)

    def certificate_not_provisioned(self, *, times: int | None = None) -> None:
        """No certificate is configured, so documents are not signed (`DocumentCertificateError`).

        Args:
            times: Number of documents, None for all.
        """
        failure = DocumentFailure(SigningError.CONFIGURATION_SIGN_ERROR)
        self._service.document_failures.add("certificate_not_provisioned()", failure, times)

    def document_fails(self, reference: str, sign_error: SigningError | str, *, times: int | None = None) -> None:
        """One document is not signed (`DocumentNotSignedError`); others of its request are.

        Args:
            reference: Its external reference, or its name.
            sign_error: Its `signError`.
            times: How often, None for always.

        Raises:
            ValueError: If `reference` is not a text, or the definition does not contain `sign_error`.
        """
        require_document_name(reference)
        known = [error.value for error in SigningError]
        if sign_error not in known:
            raise ValueError(f"sign_error is {str(sign_error)!r}. Choose one of: {', '.join(known)}.")
        failure = DocumentFailure(SigningError(sign_error), reference)
        name = f"document_fails({reference!r}, {str(sign_error)!r})"
        self._service.document_failures.add(name, failure, times)

    def duplicate_reference(self, *, times: int | None = 1) -> None:
        """A signing request is rejected because a reference is in use (`DuplicateReferenceError`).

        References that the mock itself has signed are rejected anyway.

        Args:
            times: Number of requests, None for all.
        """
        self._fails("duplicate_reference()", _error("0.0.7", "externalReference"), times)

    def rate_limited(self, times: int | None = 1, retry_after: float | None = None) -> None:
        """Signing requests are rejected because there are too many (`RateLimitedError`).

        Args:
            times: Number of requests, None for all.
            retry_after: The `Retry-After` header, in seconds.

        Raises:
            ValueError: If `retry_after` is not a number of seconds.
        """
        is_number = isinstance(retry_after, int | float) and not isinstance(retry_after, bool)
        if retry_after is not None and not (is_number and 0 <= retry_after < math.inf):
            raise ValueError(f"retry_after is {retry_after!r}. Give a number of seconds, or None.")
        self._fails(f"rate_limited(times={times})", lambda _: responses.rate_limit(retry_after), times)

    def timeout(self, *, times: int | None = 1, processed: bool = False) -> None:
        """The response to a signing request takes too long (`OutcomeUnknownError`). The test does not wait.

        Args:
            times: Number of requests, None for all.
            processed: Whether the documents are signed nevertheless, and their references in use.
        """
        self._fails("timeout()", _lost(httpx.ReadTimeout, "mocked timeout"), times, processed=processed)

    def connection_lost_after_send(self, *, times: int | None = 1, processed: bool = True) -> None:
        """The connection is lost after a signing request was sent (`OutcomeUnknownError`).

        Args:
            times: Number of requests, None for all.
            processed: Whether the documents are signed, and their references in use.
        """
        lost = _lost(httpx.ReadError, "mocked loss of the connection")
        self._fails("connection_lost_after_send()", lost, times, processed=processed)

    def connection_refused(self, *, times: int | None = 1) -> None:
        """The connection for a signing request is refused (`ConnectionFailedError`).

        Args:
            times: Number of requests, None for all.
        """
        self._fails("connection_refused()", _lost(httpx.ConnectError, "mocked refused connection"), times)

    def gateway_html(self, status_code: int = 502, *, times: int | None = 1) -> None:
        """A gateway responds to a signing request with a web page (`UnexpectedResponseError`).

        Args:
            status_code: HTTP status of the page.
            times: Number of requests, None for all.

        Raises:
            ValueError: If it is not an HTTP status.
        """
        _require_status(status_code)
        self._fails(f"gateway_html({status_code})", lambda _: responses.gateway_page(status_code), times)

    def api_error(self, code: str, *, times: int | None = 1, status_code: int | None = None) -> None:
        """A signing request is rejected with an error code, and the call raises the exception for this code.

        Args:
            code: The `errorCode`. With `0.0.10` the client gets a new token, as in `token_expired`.
            times: Number of requests, None for all.
            status_code: HTTP status. Required for codes that are not published.

        Raises:
            ValueError: If the code is not published and `status_code` is missing, or it is not an HTTP status.
        """
        if code not in ERROR_CODES and status_code is None:
            published = ", ".join(ERROR_CODES)
            raise ValueError(
                f"code is {code!r}, which is not published. Give a status_code as well, or one of: {published}."
            )
        if status_code is not None:
            _require_status(status_code)
        respond = _error(code, "mocked error", status_code=status_code)
        self._fails(f"api_error({code!r})", respond, times, ends_token=code == "0.0.10")

    def clear_scenarios(self) -> None:
        """Remove all scenarios: from now on requests succeed.

        A client whose credentials were rejected sends them again after 30 seconds, here as well; a new client at once.
        """
        for queue in self._queues():
            queue.clear()

    def _unused_scenarios(self) -> list[str]:
        return [text for queue in self._queues() for text in queue.unused()]

    def _queues(self) -> tuple[ScenarioQueue[Any], ...]:
        return self._service.token_failures, self._service.sign_failures, self._service.document_failures

    def _fails(
        self,
        name: str,
        respond: Callable[[httpx.Request], httpx.Response],
        times: int | None,
        *,
        processed: bool = False,
        ends_token: bool = False,
    ) -> None:
        self._service.sign_failures.add(name, Failure(respond, processed, ends_token), times)


def require_document_name(document: object) -> None:
    """Check what a test gives to say which document it means.

    Raises:
        ValueError: If it is not a text, or an empty one.
    """
    if not isinstance(document, str) or not document:
        raise ValueError(f"A document is {document!r}. Give its name or its external reference.")


def _require_status(status_code: object) -> None:
    if isinstance(status_code, bool) or not isinstance(status_code, int) or not 200 <= status_code < 600:
        raise ValueError(f"status_code is {status_code!r}. Give an integer from 200 to 599.")


def _error(code: str, cause: str, *, status_code: int | None = None) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: responses.error_response(code, cause, status_code=status_code)


def _lost(error: type[httpx.TransportError], text: str) -> Callable[[httpx.Request], httpx.Response]:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error(text, request=request)

    return fail

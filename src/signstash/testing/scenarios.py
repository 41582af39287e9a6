"""What a test can let go wrong, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from ..models import SigningError
from . import answers
from .script import DocumentFailure, Failure, Script
from .service import Service


class Scenarios:
    """The part of `MockSignStash` that says what goes wrong.

    Scenarios of signing requests take place one after the other, in the order in which they were added; so do those of
    token requests, and those of documents. `times` is how often, None for good: then later ones never take place.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def credentials_rejected(self, *, times: int | None = None) -> None:
        """The token server refuses client id and secret (`CredentialsRejectedError`), for good or `times` often.

        It takes place when a token is asked for. A client that has one does not notice.
        """
        failure = Failure(lambda _: answers.credentials_refusal())
        self._service.token_failures.add("credentials_rejected()", failure, times)

    def token_expired(self, times: int | None = 1) -> None:
        """The token of a signing request ends. Once, the client gets a new one and the caller notices nothing."""
        self._fails(f"token_expired(times={times})", _refusal("0.0.10", "token"), times, ends_token=True)

    def token_rejected_for_good(self) -> None:
        """Every token is refused in signing requests, new ones too (`TokenRejectedError`)."""
        self._fails("token_rejected_for_good()", _refusal("0.0.10", "token"), None, ends_token=True)

    def client_service_inactive(self, *, times: int | None = None) -> None:
        """The client service is not active (`ClientServiceInactiveError`). For good, or `times` often."""
        self._fails("client_service_inactive()", _refusal("1.1.3", "client service"), times)

    def issuer_inactive(self, *, times: int | None = None) -> None:
        """The issuer is not active (`ClientServiceInactiveError`). For good, or `times` often."""
        self._fails("issuer_inactive()", _refusal("1.2.0", "issuer"), times)

    def certificate_not_provisioned(self, *, times: int | None = None) -> None:
        """No document is signed, for want of a certificate (`DocumentCertificateError`).

        Args:
            times: How many documents. None for good.
        """
        failure = DocumentFailure(SigningError.CONFIGURATION_SIGN_ERROR)
        self._service.document_failures.add("certificate_not_provisioned()", failure, times)

    def document_fails(self, reference: str, sign_error: SigningError | str, *, times: int | None = None) -> None:
        """One document is not signed (`DocumentNotSignedError`), others of its request are.

        Args:
            reference: Its external reference, or its name.
            sign_error: The `signError` that it gets.
            times: How often. None for good.

        Raises:
            ValueError: If `sign_error` is none that the definition knows.
        """
        known = [error.value for error in SigningError]
        if sign_error not in known:
            raise ValueError(f"sign_error is {str(sign_error)!r}. Choose one of: {', '.join(known)}.")
        failure = DocumentFailure(SigningError(sign_error), reference)
        name = f"document_fails({reference!r}, {str(sign_error)!r})"
        self._service.document_failures.add(name, failure, times)

    def duplicate_reference(self, *, times: int | None = 1) -> None:
        """A signing request is refused because of a reference that was used before (`DuplicateReferenceError`).

        Without this the mock refuses those that it has signed itself.
        """
        self._fails("duplicate_reference()", _refusal("0.0.7", "externalReference"), times)

    def rate_limited(self, times: int | None = 1, retry_after: float | None = None) -> None:
        """Signing requests are refused because there are too many (`RateLimitedError`).

        Args:
            times: How many.
            retry_after: Seconds that the service asks to wait.
        """
        self._fails(f"rate_limited(times={times})", lambda _: answers.rate_limit(retry_after), times)

    def timeout(self, *, times: int | None = 1, processed: bool = False) -> None:
        """The answer to a signing request takes too long (`OutcomeUnknownError`), without any waiting.

        Args:
            times: How many.
            processed: Whether it is signed all the same, so that its references are taken.
        """
        self._fails("timeout()", _lost(httpx.ReadTimeout, "mocked timeout"), times, processed=processed)

    def connection_lost_after_send(self, *, times: int | None = 1, processed: bool = True) -> None:
        """A signing request is sent, and the connection breaks before the answer (`OutcomeUnknownError`).

        Args:
            times: How many.
            processed: Whether it is signed all the same, so that its references are taken.
        """
        lost = _lost(httpx.ReadError, "mocked loss of the connection")
        self._fails("connection_lost_after_send()", lost, times, processed=processed)

    def connection_refused(self, *, times: int | None = 1) -> None:
        """No connection is made for a signing request (`ConnectionFailedError`)."""
        self._fails("connection_refused()", _lost(httpx.ConnectError, "mocked refusal of a connection"), times)

    def gateway_html(self, status_code: int = 502, *, times: int | None = 1) -> None:
        """A gateway answers a signing request with a web page (`UnexpectedAnswerError`).

        Args:
            status_code: HTTP status of the page.
            times: How many.
        """
        self._fails(f"gateway_html({status_code})", lambda _: answers.gateway_page(status_code), times)

    def api_error(self, code: str, *, times: int | None = 1, status_code: int | None = None) -> None:
        """A signing request is refused with a code; `signstash.errors.ERROR_CODES` says which exception it becomes.

        Args:
            code: The `errorCode`. With `0.0.10` the client gets a new token, as in `token_expired`.
            times: How many.
            status_code: HTTP status. To be given for codes that are not published.

        Raises:
            ValueError: If the code is not published, and no status is given.
        """
        if code not in answers.HTTP_STATUSES and status_code is None:
            published = ", ".join(answers.HTTP_STATUSES)
            raise ValueError(
                f"code is {code!r}, which is not published. Give a status_code too, or one of: {published}."
            )
        answer = _refusal(code, "mocked error", status_code=status_code)
        self._fails(f"api_error({code!r})", answer, times, ends_token=code == "0.0.10")

    def clear_scenarios(self) -> None:
        """End all scenarios: from now on everything goes well.

        A client whose credentials were refused asks again after 30 seconds, also here; a new one asks at once.
        """
        for script in self._scripts():
            script.clear()

    def _unused_scenarios(self) -> list[str]:
        return [name for script in self._scripts() for name in script.unused()]

    def _scripts(self) -> tuple[Script[Any], ...]:
        return self._service.token_failures, self._service.sign_failures, self._service.document_failures

    def _fails(
        self,
        name: str,
        answer: Callable[[httpx.Request], httpx.Response],
        times: int | None,
        *,
        processed: bool = False,
        ends_token: bool = False,
    ) -> None:
        self._service.sign_failures.add(name, Failure(answer, processed, ends_token), times)


def _refusal(code: str, cause: str, *, status_code: int | None = None) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: answers.refusal(code, cause, status_code=status_code)


def _lost(error: type[httpx.TransportError], text: str) -> Callable[[httpx.Request], httpx.Response]:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error(text, request=request)

    return fail

"""The state of a mocked service: issues tokens, "signs" documents, and stores operations."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from typing import Final

import attrs
import httpx

from ..models import BaseOperation, SignOperation
from ..settings import Upload
from .received import ResentMails, SentDocument, SignRequest, parse_json, read_sign_request
from .responses import (
    error_response,
    executed,
    not_found,
    operation_response,
    rejected_credentials,
    rejected_grant,
    token_response,
    zip_response,
)
from .scenario_queue import DocumentFailure, Failure, ScenarioQueue
from .validation import MalformedRequestError

_TOKEN: Final = "signstash-mock-token-"  # noqa: S105 - a prefix
_BASE_FIELDS: Final = frozenset(attrs.fields_dict(BaseOperation)) - {"additional_properties"}


@attrs.define
class _Operation:
    operation: SignOperation
    documents: Sequence[SentDocument]


@attrs.define
class Service:
    """A mocked service; its methods are the side effects of routes.

    Attributes:
        reuse_failed_references: Whether references of documents that were not signed can be used again.
        sign_requests: The received signing requests, in order.
        resent_mails: The accepted requests for mails, in order.
        token_failures: How token requests fail.
        sign_failures: How signing requests fail.
        document_failures: How documents fail.
    """

    reuse_failed_references: bool = False
    sign_requests: list[SignRequest] = attrs.field(factory=list[SignRequest], init=False)
    resent_mails: list[ResentMails] = attrs.field(factory=list[ResentMails], init=False)
    token_failures: ScenarioQueue[Failure] = attrs.field(factory=ScenarioQueue[Failure], init=False)
    sign_failures: ScenarioQueue[Failure] = attrs.field(factory=ScenarioQueue[Failure], init=False)
    document_failures: ScenarioQueue[DocumentFailure] = attrs.field(factory=ScenarioQueue[DocumentFailure], init=False)
    _client_services: dict[str, str] = attrs.field(factory=dict[str, str], init=False, repr=False)
    _ended_tokens: set[str] = attrs.field(factory=set[str], init=False, repr=False)
    _taken: set[tuple[str, str]] = attrs.field(factory=set[tuple[str, str]], init=False)
    _operations: list[_Operation] = attrs.field(factory=list[_Operation], init=False)

    def issue_token(self, request: httpx.Request) -> httpx.Response:
        """Issue a token (step 1) for any credentials, unless a scenario rejects them."""
        failure = self.token_failures.next()
        if failure is not None:
            return failure.respond(request)
        try:
            client_id, colon, _ = (
                base64.b64decode(_authorization(request, "basic"), validate=True).decode().partition(":")
            )
        except ValueError:
            return rejected_credentials()
        if not colon:
            return rejected_credentials()
        parameters = {**request.url.params, **httpx.QueryParams(request.content.decode(errors="replace"))}
        if parameters.get("grant_type") != "client_credentials":
            return rejected_grant(parameters.get("grant_type", ""))
        token = _TOKEN + secrets.token_hex(16)
        self._client_services[token] = client_id
        return token_response(token)

    def sign_base64(self, request: httpx.Request) -> httpx.Response:
        """Sign documents with contents in the JSON."""
        media_type = request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            return httpx.Response(415)
        return self._sign(request, "base64")

    def sign_multipart(self, request: httpx.Request) -> httpx.Response:
        """Sign documents with contents as multipart files."""
        return self._sign(request, "multipart")

    def operation_id(self, request: httpx.Request, reference: str) -> httpx.Response:
        """Return the ID of the operation with a document."""
        rejection = self._rejection_of_query(request)
        if rejection is not None:
            return rejection
        for number, operation in reversed(list(enumerate(self._operations, 1))):
            if any(reference == document.external_reference for document in operation.documents):
                return httpx.Response(200, json=number)
        return not_found(request)

    def status(self, request: httpx.Request, number: str) -> httpx.Response:
        """Return the status of an operation."""
        operation = self._operation(request, number)
        if isinstance(operation, httpx.Response):
            return operation
        base = BaseOperation(**{name: getattr(operation.operation, name) for name in _BASE_FIELDS})
        return httpx.Response(200, json=base.to_dict())

    def detail(self, request: httpx.Request, number: str, flag: str) -> httpx.Response:
        """Return an operation with its documents."""
        operation = self._operation(request, number)
        if isinstance(operation, httpx.Response):
            return operation
        return operation_response(operation.operation, operation.documents if flag == "true" else ())

    def documents(self, request: httpx.Request, number: str) -> httpx.Response:
        """Return the signed documents of an operation."""
        operation = self._operation(request, number)
        return operation if isinstance(operation, httpx.Response) else zip_response(operation.documents)

    def resend_mails(self, request: httpx.Request, number: str, flag: str) -> httpx.Response:
        """Record that mails are to be sent again."""
        operation = self._operation(request, number)
        if isinstance(operation, httpx.Response):
            return operation
        try:
            recipients = parse_json(request.content)
        except MalformedRequestError as error:
            return error_response(error.error_code, str(error))
        if not isinstance(recipients, list) or not all(isinstance(recipient, str) for recipient in recipients):
            return error_response("0.0.6", "recipients is not an array of strings")
        mails = ResentMails(operation_id=int(number), recipients=tuple(recipients), attach_documents=flag == "true")
        self.resent_mails.append(mails)
        return httpx.Response(200)

    def _sign(self, request: httpx.Request, upload: Upload) -> httpx.Response:
        try:
            received = read_sign_request(request, upload)
        except MalformedRequestError as error:
            return error_response(error.error_code, str(error))
        if not self._token_holds(request):
            return self._responded(received, error_response("0.0.10", "token"))
        failure = self.sign_failures.next()
        if failure is None:
            return self._responded(*self._process(received, request))
        if failure.ends_token:
            self._ended_tokens.add(_token(request))
        if failure.processed:
            received, _ = self._process(received, request)
        try:
            response = failure.respond(request)
        except httpx.TransportError:
            self.sign_requests.append(received)
            raise
        return self._responded(received, response)

    def _responded(self, received: SignRequest, response: httpx.Response) -> httpx.Response:
        self.sign_requests.append(attrs.evolve(received, status_code=response.status_code))
        return response

    def _process(self, received: SignRequest, request: httpx.Request) -> tuple[SignRequest, httpx.Response]:
        references = [("document", document.external_reference) for document in received.documents]
        references.append(("request", received.external_reference))
        for reference in references:
            if reference in self._taken or references.count(reference) > 1:
                return received, error_response("0.0.7", f"externalReference {reference[1]}")
        received = attrs.evolve(received, documents=tuple(self._signed(document) for document in received.documents))
        self._taken.update(references if not self.reuse_failed_references else _references_in_use(received))
        client_service = self._client_services.get(_token(request), "")
        operation = executed(received, len(self._operations) + 1, client_service, stored=not _is_proxy(request))
        self._operations.append(_Operation(operation, received.documents))
        included = received.documents if received.model.return_signed_content is True else ()
        return received, operation_response(operation, included)

    def _signed(self, document: SentDocument) -> SentDocument:
        failure = self.document_failures.next(lambda failure: failure.concerns(document))
        sign_error = None if failure is None else failure.sign_error
        return attrs.evolve(document, signed=failure is None, sign_error=sign_error)

    def _token_holds(self, request: httpx.Request) -> bool:
        token = _token(request)
        # Tokens of other mocks are valid too: an application may keep its client from test to test.
        return token.startswith(_TOKEN) and token not in self._ended_tokens

    def _operation(self, request: httpx.Request, number: str) -> _Operation | httpx.Response:
        rejection = self._rejection_of_query(request)
        if rejection is not None:
            return rejection
        return self._operations[int(number) - 1] if 0 < int(number) <= len(self._operations) else not_found(request)

    def _rejection_of_query(self, request: httpx.Request) -> httpx.Response | None:
        if _is_proxy(request):
            return not_found(request)
        return None if self._token_holds(request) else error_response("0.0.10", "token")


def _is_proxy(request: httpx.Request) -> bool:
    """Whether the path is certainly a proxy's: the Integration Service's is used for both."""
    return "/einvoice-integration-client-ws/" in request.url.path


def _references_in_use(request: SignRequest) -> set[tuple[str, str]]:
    """References that a processed request leaves in use, if those of documents that were not signed are free again."""
    signed = {("document", document.external_reference) for document in request.documents if document.signed}
    return signed | {("request", request.external_reference)} if signed else set()


def _token(request: httpx.Request) -> str:
    return _authorization(request, "bearer")


def _authorization(request: httpx.Request, expected: str) -> str:
    """The credentials in a header `Authorization` of a scheme, or an empty string."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == expected else ""

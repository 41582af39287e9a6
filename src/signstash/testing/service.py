"""How a mocked Sign'Stash answers: it issues tokens, "signs", and remembers what it signed."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from typing import Final

import attrs
import httpx

from ..models import BaseOperation, SignOperation
from ..settings import Upload
from .answers import archive_answer, credentials_refusal, executed, not_found, operation_answer, refusal, token_answer
from .requests import MalformedRequestError, ResentMails, SentDocument, SignRequest, read_sign_request
from .script import DocumentFailure, Failure, Script

_TOKEN: Final = "signstash-mock-token-"  # noqa: S105 - what tokens begin with
_BASE_FIELDS: Final = frozenset(attrs.fields_dict(BaseOperation)) - {"additional_properties"}


@attrs.define
class _Operation:
    answer: SignOperation
    documents: Sequence[SentDocument]


@attrs.define
class Service:
    """The state of one mocked service, and the side effects of its routes.

    Attributes:
        sign_requests: The signing requests that arrived, in order.
        resent_mails: The requests for mails that were granted, in order.
        token_failures: How token requests fail.
        sign_failures: How signing requests fail.
        document_failures: How documents fail.
    """

    sign_requests: list[SignRequest] = attrs.field(factory=list[SignRequest], init=False)
    resent_mails: list[ResentMails] = attrs.field(factory=list[ResentMails], init=False)
    token_failures: Script[Failure] = attrs.field(factory=Script[Failure], init=False)
    sign_failures: Script[Failure] = attrs.field(factory=Script[Failure], init=False)
    document_failures: Script[DocumentFailure] = attrs.field(factory=Script[DocumentFailure], init=False)
    _client_services: dict[str, str] = attrs.field(factory=dict[str, str], init=False, repr=False)
    _ended_tokens: set[str] = attrs.field(factory=set[str], init=False, repr=False)
    _taken: set[tuple[str, str]] = attrs.field(factory=set[tuple[str, str]], init=False)
    _operations: list[_Operation] = attrs.field(factory=list[_Operation], init=False)

    def issue_token(self, request: httpx.Request) -> httpx.Response:
        """Step 1: a token for any credentials, unless a scenario refuses them."""
        failure = self.token_failures.strike()
        if failure is not None:
            return failure.answer(request)
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        client_id, colon, _ = base64.b64decode(encoded).decode().partition(":") if scheme == "Basic" else ("", "", "")
        if not colon:
            return credentials_refusal()
        token = _TOKEN + secrets.token_hex(16)
        self._client_services[token] = client_id
        return token_answer(token)

    def sign_base64(self, request: httpx.Request) -> httpx.Response:
        """Sign documents whose contents are in the JSON."""
        return self._sign(request, "base64")

    def sign_multipart(self, request: httpx.Request) -> httpx.Response:
        """Sign documents whose contents are multipart files."""
        return self._sign(request, "multipart")

    def operation_id(self, request: httpx.Request, reference: str) -> httpx.Response:
        """The number of the operation that a document is in."""
        refused = self._refusal_of_consultation(request)
        if refused is not None:
            return refused
        for number, operation in enumerate(self._operations, 1):
            if any(reference == document.external_reference for document in operation.documents):
                return httpx.Response(200, json=number)
        return not_found(request)

    def status(self, request: httpx.Request, number: str) -> httpx.Response:
        """How far an operation has come."""
        operation = self._operation(request, number)
        if isinstance(operation, httpx.Response):
            return operation
        base = BaseOperation(**{name: getattr(operation.answer, name) for name in _BASE_FIELDS})
        return httpx.Response(200, json=base.to_dict())

    def detail(self, request: httpx.Request, number: str, flag: str) -> httpx.Response:
        """An operation with its documents."""
        operation = self._operation(request, number)
        if isinstance(operation, httpx.Response):
            return operation
        return operation_answer(operation.answer, operation.documents if flag == "true" else ())

    def documents(self, request: httpx.Request, number: str) -> httpx.Response:
        """The signed documents of an operation."""
        operation = self._operation(request, number)
        return operation if isinstance(operation, httpx.Response) else archive_answer(operation.documents)

    def resend_mails(self, request: httpx.Request, number: str, flag: str) -> httpx.Response:
        """Take note that mails are to be sent again."""
        operation = self._operation(request, number)
        if isinstance(operation, httpx.Response):
            return operation
        recipients = tuple(json.loads(request.content))
        mails = ResentMails(operation_id=int(number), recipients=recipients, attach_documents=flag == "true")
        self.resent_mails.append(mails)
        return httpx.Response(200)

    def _sign(self, request: httpx.Request, upload: Upload) -> httpx.Response:
        try:
            asked = read_sign_request(request, upload)
        except MalformedRequestError as error:
            return refusal("0.0.2", str(error))
        if not self._token_holds(request):
            return self._arrived(asked, refusal("0.0.10", "token"))
        failure = self.sign_failures.strike()
        if failure is None:
            return self._arrived(*self._process(asked, request))
        if failure.ends_token:
            self._ended_tokens.add(_token(request))
        if failure.processed:
            asked, _ = self._process(asked, request)
        try:
            response = failure.answer(request)
        except httpx.TransportError:
            self.sign_requests.append(asked)
            raise
        return self._arrived(asked, response)

    def _arrived(self, asked: SignRequest, response: httpx.Response) -> httpx.Response:
        self.sign_requests.append(attrs.evolve(asked, status_code=response.status_code))
        return response

    def _process(self, asked: SignRequest, request: httpx.Request) -> tuple[SignRequest, httpx.Response]:
        references = [("document", document.external_reference) for document in asked.documents]
        references.append(("request", asked.external_reference))
        for reference in references:
            if reference in self._taken or references.count(reference) > 1:
                return asked, refusal("0.0.7", f"externalReference {reference[1]}")
        self._taken.update(references)
        asked = attrs.evolve(asked, documents=tuple(self._signed(document) for document in asked.documents))
        client_service = self._client_services.get(_token(request), "")
        operation = executed(asked, len(self._operations) + 1, client_service, stored=not _is_proxy(request))
        self._operations.append(_Operation(operation, asked.documents))
        return asked, operation_answer(operation, asked.documents if asked.model.return_signed_content is True else ())

    def _signed(self, document: SentDocument) -> SentDocument:
        failure = self.document_failures.strike(lambda failure: failure.concerns(document))
        sign_error = None if failure is None else failure.sign_error
        return attrs.evolve(document, signed=failure is None, sign_error=sign_error)

    def _token_holds(self, request: httpx.Request) -> bool:
        token = _token(request)
        # One that another mock has issued holds too: an application may keep its client from test to test.
        return token.startswith(_TOKEN) and token not in self._ended_tokens

    def _operation(self, request: httpx.Request, number: str) -> _Operation | httpx.Response:
        refused = self._refusal_of_consultation(request)
        if refused is not None:
            return refused
        return self._operations[int(number) - 1] if 0 < int(number) <= len(self._operations) else not_found(request)

    def _refusal_of_consultation(self, request: httpx.Request) -> httpx.Response | None:
        if _is_proxy(request):
            return not_found(request)
        return None if self._token_holds(request) else refusal("0.0.10", "token")


def _is_proxy(request: httpx.Request) -> bool:
    """Whether a proxy was asked, as far as the path tells: the Integration Service's is in use for both."""
    return "/einvoice-integration-client-ws/" in request.url.path


def _token(request: httpx.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""

"""The client that people await: signs documents, and asks the Integration Service about them."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self, TypedDict, Unpack, get_args

import httpx

from .answers import json_object, json_value, unreadable_answer
from .auth import TokenAuth
from .configuration import (
    TOKEN_URLS,
    Environment,
    Secret,
    credential_problems,
    environment_problems,
    raise_for_problems,
    timeout_problems,
    token_url_problems,
    url_problems,
)
from .documents import Document, refuse_reference, refuse_text, unique_reference
from .errors import ConfigurationError, ErrorClasses, InvalidDocumentError, SignStashError, UnexpectedAnswerError
from .exchange import Answer, Exchange
from .generated import GeneratedClient
from .models import BaseOperation, PreservationInfo, SignOperation
from .operations import Call, detail, operation_id, resend_mails, status
from .operations import documents as documents_of
from .options import Preservation, refuse_addresses
from .outcomes import SignedBatch, SignedDocument, leniently, read_batch
from .signing import MultipartFileNames, SigningRequest, Upload, signing_call

DEFAULT_TIMEOUT: Final = httpx.Timeout(120.0, connect=10.0)
"""Seconds for connecting (10), and for each wait while a request is sent or its answer is read (120)."""
DEFAULT_DEADLINE: Final = 300.0
"""Seconds that a call may take in all, a new token and a second sending included."""

ENVIRONMENT_VARIABLES: Final[Mapping[str, str]] = {
    "base_url": "SIGNSTASH_BASE_URL",
    "client_id": "SIGNSTASH_CLIENT_ID",
    "client_secret": "SIGNSTASH_CLIENT_SECRET",
    "environment": "SIGNSTASH_ENVIRONMENT",
    "token_url": "SIGNSTASH_TOKEN_URL",
}
"""Where `SignStash.from_env` finds the arguments of `SignStash`."""


class ClientOptions(TypedDict, total=False):
    """The arguments of `SignStash` that `SignStash.from_env` takes too; they mean the same there."""

    timeout: float | httpx.Timeout
    deadline: float
    upload: Upload
    multipart_file_names: MultipartFileNames
    http_client: httpx.AsyncClient
    token_http_client: httpx.AsyncClient
    error_classes: ErrorClasses


class SignStash:
    """A client of one Sign'Stash service: a proxy, or the Integration Service.

        async with SignStash(base_url, client_id, client_secret, environment="staging") as client:
            signed = await client.sign(Document.pdf("invoice.pdf"))

    It opens nothing until the first call, may be used by any number of tasks at once, and may be used again from a new
    event loop. Every call can raise the errors that `signstash.errors` draws; `CancelledError` passes through.

    Args:
        base_url: The service's full base, such as `http://proxy:8081/signstash/einvoice-integration-ws`.
        client_id: Alias of the client service.
        client_secret: Its password, as defined in the backoffice.
        environment: `staging` or `production`: which of the vendor's token servers is asked. The proxy must be
            configured for the same.
        token_url: Full URL of the token endpoint, instead of the environment's.
        auth: Authentication of your own, such as a `TokenAuth` that several clients share. It is not closed here.
            Environment, token URL and secret are then not needed.
        timeout: Seconds for each wait on the network, or an `httpx.Timeout`. None of its parts may be missing.
        deadline: Seconds that a call may take in all.
        upload: `base64` puts contents into the JSON, which every proxy takes; `multipart` sends them as files.
        multipart_file_names: What files are called in a multipart upload, `name` or `external_reference`. How the
            service matches files with documents is not published; both are sent in the order of the documents.
        http_client: Your own client, for outbound proxy, CA, limits or transport. It serves the token requests too and
            is not closed here. Without it one is made that obeys `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`.
        token_http_client: Your own client for the token requests alone. It is not closed here.
        error_classes: Exception classes for error codes that `signstash.errors` does not know, by code.

    Raises:
        ConfigurationError: If an argument is missing or cannot work. The message lists all that is wrong.
    """

    def __init__(
        self,
        base_url: str,
        client_id: str | None = None,
        client_secret: str | Secret | None = None,
        *,
        environment: Environment | None = None,
        token_url: str | None = None,
        auth: httpx.Auth | None = None,
        timeout: float | httpx.Timeout = DEFAULT_TIMEOUT,
        deadline: float = DEFAULT_DEADLINE,
        upload: Upload = "base64",
        multipart_file_names: MultipartFileNames = "name",
        http_client: httpx.AsyncClient | None = None,
        token_http_client: httpx.AsyncClient | None = None,
        error_classes: ErrorClasses | None = None,
    ) -> None:
        client_secret = client_secret if isinstance(client_secret, Secret) else Secret(client_secret or "")
        problems = [*url_problems("base_url", base_url), *timeout_problems(timeout, deadline)]
        for name, value, choices in (
            ("upload", upload, get_args(Upload)),
            ("multipart_file_names", multipart_file_names, get_args(MultipartFileNames)),
        ):
            if value not in choices:
                problems.append(f"{name} is {value!r}, not {' or '.join(map(repr, choices))}")
        if auth is None:
            problems += credential_problems(client_id, client_secret)
            problems += environment_problems(environment, token_url)
            problems += [] if token_url is None else token_url_problems(token_url)
        elif client_id is None and not isinstance(auth, TokenAuth):
            problems.append("client_id is missing (external references begin with it)")
        raise_for_problems(problems)

        base_url = base_url.rstrip("/")
        self._own_auth: TokenAuth | None = None
        if auth is None:
            auth = self._own_auth = TokenAuth(
                token_url or TOKEN_URLS[str(environment)],
                str(client_id),
                client_secret,
                base_urls=[base_url],
                http_client=token_http_client or http_client,
            )
        self._client_service = client_id or (auth.client_id if isinstance(auth, TokenAuth) else "")
        self._exchange = Exchange(
            base_url=base_url,
            auth=auth,
            client=self._running_client,
            timeout=timeout if isinstance(timeout, httpx.Timeout) else httpx.Timeout(timeout),
            deadline=deadline,
            client_service=self._client_service,
            error_classes=dict(error_classes or {}),
        )
        self._upload: Upload = upload
        self._multipart_file_names: MultipartFileNames = multipart_file_names
        self._http_client = http_client
        self._own_client: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None
        self._closed = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **options: Unpack[ClientOptions]) -> Self:
        """A client that is set up by `SIGNSTASH_BASE_URL`, `SIGNSTASH_CLIENT_ID` and the other environment variables.

        Args:
            environ: Where the variables are looked up.
            **options: See `ClientOptions`.

        Raises:
            ConfigurationError: If variables are missing or wrong. The message lists all of them.
        """
        given = {name: Secret(environ.get(variable, "")) for name, variable in ENVIRONMENT_VARIABLES.items()}
        try:
            return cls(
                given["base_url"].reveal(),
                given["client_id"].reveal(),
                given["client_secret"],
                environment=given["environment"].reveal() or None,  # type: ignore[arg-type]  # checked in __init__
                token_url=given["token_url"].reveal() or None,
                **options,
            )
        except ConfigurationError as error:
            names = re.compile(rf"\b({'|'.join(ENVIRONMENT_VARIABLES)})\b")
            raise ConfigurationError(
                names.sub(lambda match: ENVIRONMENT_VARIABLES[match[0]], error.problem), "Set or mend these variables."
            ) from None

    def __repr__(self) -> str:
        return f"SignStash(base_url={self._exchange.base_url!r}, client_id={self._client_service!r})"

    async def __aenter__(self) -> Self:
        self._refuse_if_closed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that the client made itself, and refuse further use. May be called more than once."""
        self._closed = True
        own, self._own_client = self._own_client, None
        if self._own_auth is not None:
            await self._own_auth.aclose()
        # Connections of a loop that is gone cannot be closed any more; they went with it.
        if own is not None and own[0] is asyncio.get_running_loop():
            await own[1].aclose()

    async def sign(
        self,
        document: Document,
        *,
        description: str | None = None,
        external_reference: str | None = None,
        preservation: Preservation | PreservationInfo | None = None,
    ) -> SignedDocument:
        """Sign one document.

        Args:
            document: What to sign.
            description: What it is about, for the people who see it in the backoffice. Without it the document's name.
            external_reference: Unique reference of the request, which is not the document's. Without it one is made.
            preservation: What becomes of the signed document at the service.

        Returns:
            The signed document.

        Raises:
            InvalidDocumentError: If the document cannot be used. Nothing was sent.
            AuthenticationError: If credentials or token are refused.
            ApiError: If the service refuses the request; its subclasses say why.
            DocumentNotSignedError: If the service answered, but did not sign it.
            ConnectionFailedError: If the service was not reached.
            OutcomeUnknownError: If it was sent and the answer was lost.
            UnexpectedAnswerError: If the answer cannot be read.
        """
        batch = await self.sign_batch(
            [document], description=description, external_reference=external_reference, preservation=preservation
        )
        result = batch.outcomes[0].result
        if isinstance(result, SignStashError):
            raise result
        return result

    async def sign_batch(
        self,
        documents: Iterable[Document],
        *,
        description: str | None = None,
        external_reference: str | None = None,
        preservation: Preservation | PreservationInfo | None = None,
    ) -> SignedBatch:
        """Sign several documents with one request, which is much faster than one request for each.

        Args:
            documents: What to sign. The vendor advises fewer than 100 documents and some 10 MB in a request.
            description: What they are about, for the people who see it in the backoffice. Without it their names.
            external_reference: Unique reference of the request. Without it one is made.
            preservation: What becomes of the signed documents at the service.

        Returns:
            The operation, and one outcome for each document in the order given. Some may be signed and others not.

        Raises:
            SignStashError: As for `sign`, if the request as a whole failed. A document's own failure is in its outcome.
        """
        by_reference = self._by_reference(list(documents))
        names = [document.name for document in by_reference.values()]
        if description is None:
            description = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        refuse_text("description", description)
        if external_reference is None:
            external_reference = unique_reference(self._client_service, "request", secrets.token_hex(6))
        refuse_reference("external_reference", external_reference)
        if isinstance(preservation, Preservation):
            preservation = preservation.to_model()
        call = await signing_call(
            SigningRequest(external_reference, description, preservation),
            by_reference,
            upload=self._upload,
            multipart_file_names=self._multipart_file_names,
        )
        answer = await self._exchange.send(call)

        def read() -> SignedBatch | None:
            fields = json_object(answer.body)
            if fields is None or not fields.keys() & {"id", "documentList"}:
                return None
            error_classes = self._exchange.error_classes
            return read_batch(fields, by_reference, status_code=answer.status_code, error_classes=error_classes)

        batch = await asyncio.to_thread(read)
        if batch is None:
            raise _unreadable(call, answer, "is no operation")
        return batch

    @property
    def generated(self) -> GeneratedClient:
        """The `client` for generated endpoint functions, for operations that have no method here.

        Their requests get the token, the timeouts and the errors of this client.
        """
        return GeneratedClient(self._exchange)

    async def get_operation_id(self, external_reference: str) -> int:
        """The number of the operation that signed a document. Integration Service only: a proxy keeps nothing.

        Args:
            external_reference: The document's external reference.

        Raises:
            SignStashError: If the service was not reached, or refused.
        """
        call = operation_id(external_reference)
        answer = await self._exchange.send(call)
        number = json_value(answer.body)
        if isinstance(number, bool) or not isinstance(number, int):
            raise _unreadable(call, answer, "is no number of an operation")
        return number

    async def get_status(self, operation_id: int) -> BaseOperation:
        """How far an operation has come. Integration Service only: a proxy keeps nothing.

        Args:
            operation_id: Number of the operation.

        Raises:
            SignStashError: If the service was not reached, or refused.
        """
        call = status(operation_id)
        answer = await self._exchange.send(call)
        fields = json_object(answer.body)
        if fields is None or "id" not in fields:
            raise _unreadable(call, answer, "is no operation")
        return leniently(BaseOperation, fields)

    async def get_operation(self, operation_id: int, *, include_content: bool = False) -> SignOperation:
        """An operation with its documents. Integration Service only: a proxy keeps nothing.

        Args:
            operation_id: Number of the operation.
            include_content: Whether the documents carry their signed contents, in base64.

        Raises:
            SignStashError: If the service was not reached, or refused.
        """
        call = detail(operation_id, include_content=include_content)
        answer = await self._exchange.send(call)

        def read() -> SignOperation | None:
            fields = json_object(answer.body)
            return leniently(SignOperation, fields) if fields is not None and "id" in fields else None

        operation = await asyncio.to_thread(read)
        if operation is None:
            raise _unreadable(call, answer, "is no operation")
        return operation

    async def download_documents(self, operation_id: int) -> bytes:
        """The signed documents of an operation. Integration Service only: a proxy keeps nothing.

        Args:
            operation_id: Number of the operation.

        Returns:
            A ZIP file with entries named `<external reference>.<document name>`. Do not trust these as paths.

        Raises:
            SignStashError: If the service was not reached, or refused.
        """
        call = documents_of(operation_id)
        answer = await self._exchange.send(call)
        if not answer.body.startswith(b"PK"):
            raise _unreadable(call, answer, "is no ZIP file")
        return answer.body

    async def resend_mails(
        self, operation_id: int, recipients: Sequence[str], *, attach_documents: bool = False
    ) -> None:
        """Send the mails about an operation again. Integration Service only: a proxy keeps nothing.

        Args:
            operation_id: Number of the operation.
            recipients: Who gets them.
            attach_documents: Whether they carry the documents.

        Raises:
            SignStashError: If the service was not reached, or refused.
        """
        refuse_addresses("recipients", recipients)
        if not recipients:
            raise InvalidDocumentError("recipients is empty.", "Name who gets the mails.")
        call = resend_mails(operation_id, recipients, attach_documents=attach_documents)
        answer = await self._exchange.send(call)
        if "html" in answer.headers.get("content-type", ""):
            raise _unreadable(call, answer, "is a web page")

    def _by_reference(self, documents: Sequence[Document]) -> dict[str, Document]:
        if not documents:
            raise InvalidDocumentError("There is no document to sign.", "Give at least one.")
        for document in documents:
            if not isinstance(document, Document):
                raise InvalidDocumentError(
                    f"A document is of type {type(document).__name__}.",
                    "Make it with Document.pdf, Document.xml or Document.binary.",
                )
        references = [document.reference(self._client_service) for document in documents]
        twice = [reference for reference, count in Counter(references).items() if count > 1]
        if twice:
            raise InvalidDocumentError(
                f"Several documents have the external reference {twice[0]!r}.",
                "Give each its own, and each Document object once: answers are matched by it.",
            )
        return dict(zip(references, documents, strict=True))

    async def _running_client(self) -> httpx.AsyncClient:
        """The HTTP client for the running event loop: connections belong to the loop that opened them."""
        self._refuse_if_closed()
        if self._http_client is not None:
            return self._http_client
        loop = asyncio.get_running_loop()
        if self._own_client is None or self._own_client[0] is not loop:
            context = await asyncio.to_thread(httpx.create_ssl_context)  # reads some hundred certificates
            self._refuse_if_closed()
            if self._own_client is None or self._own_client[0] is not loop:
                self._own_client = loop, httpx.AsyncClient(verify=context)
        return self._own_client[1]

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ConfigurationError("The client was used after it was closed.", "Make a new one.")


def _unreadable(call: Call, answer: Answer, why: str) -> UnexpectedAnswerError:
    return unreadable_answer(
        answer.status_code,
        answer.headers,
        answer.body,
        why,
        external_references=call.external_references,
        maybe_processed=call.changes_state,
    )

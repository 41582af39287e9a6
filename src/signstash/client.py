"""The client that people await: signs documents, and asks the Integration Service about them.

.. include:: applications.md
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, Unpack, get_args

import attrs
import httpx

from ._errors.parsing import json_object
from ._errors.redaction import Secret
from ._runs.ledger import RunLedger
from ._runs.plan import PlannedDocument, Progress, UnknownOutcomes, batches
from ._runs.run import Run, Transmit
from ._signing.request import SigningRequest, described, index_by_reference, signing_call
from ._signing.response import ResponseContext, read_batch
from ._signing.saving import SaveTo, SignedFiles, file_or_folder
from ._transport.endpoints import Call, detail, operation_id
from ._transport.exchange import SMALL_ANSWER, Answer, Exchange
from ._transport.generated_client import GeneratedClient
from ._transport.http_client import new_http_client
from ._transport.httpx2 import HttpClient, as_httpx
from ._transport.signed_content import receive_operation
from ._transport.tracing import call_span, note_documents
from .auth import TokenAuth
from .documents import Document, refuse_reference, refuse_text, require_iterable, unique_reference
from .errors import ApiError, ConfigurationError, ErrorClasses, SignStashError
from .integration import IntegrationQueries, as_number
from .journal import Journal
from .models import PreservationInfo
from .options import Preservation, preservation_from
from .results import Outcome, SignedBatch, SignedDocument, verified
from .retries import Retries, RetryPolicy
from .settings import (
    ENVIRONMENT_VARIABLES,
    TOKEN_URLS,
    ClientOptions,
    Environment,
    MultipartFileNames,
    Upload,
    client_problems,
    credential_problems,
    environment_problems,
    error_class_problems,
    raise_for_problems,
    retries_problems,
    timeout_problems,
    token_url_problems,
    url_problems,
    verification_problems,
    warn_of_plain_http,
)

DEFAULT_TIMEOUT: Final = httpx.Timeout(120.0, connect=10.0)
"""Seconds for connecting (10), and for each wait while a request is sent or its answer is read (120)."""
DEFAULT_DEADLINE: Final = 300.0
"""Seconds that a call may take in all, a new token and a second sending included."""


class SignStash(IntegrationQueries):
    """A client of one Sign'Stash service: a proxy, or the Integration Service.

        async with SignStash(base_url, client_id, client_secret, environment="staging") as client:
            signed = await client.sign(Document.pdf("invoice.pdf"))

    It opens nothing until the first call, may be used by any number of tasks at once, and may be used again from a new
    event loop when the first one is closed. Close it in the loop that used it last. Every call can raise the errors
    that `signstash.errors` draws; `CancelledError` passes through.

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
        http_client: Your own `httpx.AsyncClient` or `httpx2.AsyncClient`, for outbound proxy, CA, limits or transport.
            It serves the token requests too, without its headers, parameters and cookies, and is not closed here.
            Without it one is made that obeys `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`. A hook of an
            `httpx.AsyncClient` that raises for failing answers keeps a refused token from being replaced.
        token_http_client: Your own client for the token requests alone. It is not closed here.
        error_classes: Exception classes for error codes that `signstash.errors` does not know, by code. A `signError`
            with a class of the certificate family makes a `DocumentCertificateError`.
        retries: How often a call is tried that surely was not processed. Without it once, and as often as
            `RetryPolicy.batch` says in `sign_all`.
        verify_signatures: Whether every document that comes back is verified before it is given out or saved; one that
            does not hold becomes a `SignatureInvalidError`. Needs `pip install 'signstash[verify]'`. Trust is not
            judged: see `SignedDocument.verify`.

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
        http_client: HttpClient | None = None,
        token_http_client: HttpClient | None = None,
        error_classes: ErrorClasses | None = None,
        retries: RetryPolicy | None = None,
        verify_signatures: bool = False,
    ) -> None:
        client_secret = client_secret if isinstance(client_secret, Secret) else Secret(client_secret or "")
        problems = [*url_problems("base_url", base_url), *timeout_problems(timeout, deadline)]
        for name, value, choices in (
            ("upload", upload, get_args(Upload)),
            ("multipart_file_names", multipart_file_names, get_args(MultipartFileNames)),
        ):
            if value not in choices:
                problems.append(f"{name} is {value!r}, not {' or '.join(map(repr, choices))}")
        problems += error_class_problems(error_classes or {})
        problems += client_problems(http_client=http_client, token_http_client=token_http_client)
        problems += retries_problems(retries)
        problems += verification_problems(verify_signatures)
        if auth is None:
            problems += credential_problems(client_id, client_secret)
            problems += environment_problems(environment, token_url)
            problems += [] if token_url is None else token_url_problems(token_url)
        elif client_id is None and not isinstance(auth, TokenAuth):
            problems.append("client_id is missing (external references begin with it)")
        raise_for_problems(problems)

        base_url = base_url.rstrip("/")
        warn_of_plain_http([base_url])
        self._own_auth: TokenAuth | None = None
        if auth is None:
            auth = self._own_auth = TokenAuth(
                token_url or TOKEN_URLS[str(environment)],
                str(client_id),
                client_secret,
                base_urls=[base_url],
                http_client=token_http_client or http_client,
                client_settings=token_http_client is not None,
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
        self._retries = retries
        self._retries_of_calls = Retries(policy=retries or RetryPolicy.none())
        self._verify_signatures = verify_signatures
        self._upload: Upload = upload
        self._multipart_file_names: MultipartFileNames = multipart_file_names
        self._http_client = as_httpx(http_client)
        self._own_client: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None
        self._closed = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Unpack[ClientOptions]) -> Self:
        """A client that is set up by `SIGNSTASH_BASE_URL`, `SIGNSTASH_CLIENT_ID` and the other environment variables.

        Args:
            environ: Where the variables are looked up. Without it in the environment of this process.
            **options: See `ClientOptions`.

        Raises:
            ConfigurationError: If variables are missing or wrong. The message lists all of them.
        """
        environ = os.environ if environ is None else environ
        given = {name: Secret(environ.get(variable, "")) for name, variable in ENVIRONMENT_VARIABLES.items()}
        del environ  # so that no traceback shows the secret
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
        if not hasattr(self, "_exchange"):  # a traceback shows it while it is refused
            return "SignStash(not set up)"
        return f"SignStash(base_url={self._exchange.base_url!r}, client_id={self._client_service!r})"

    async def __aenter__(self) -> Self:
        self._refuse_if_closed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the calls that are under way, close the connections that the client made itself, and refuse further use.

        May be called more than once. A call that is ended raises an `OutcomeUnknownError` if it was sent.
        """
        self._closed = True
        own, self._own_client = self._own_client, None
        if self._own_auth is not None:
            await self._own_auth.aclose()
        await self._exchange.aclose()
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
        save_to: SaveTo | None = None,
        overwrite: bool = False,
    ) -> SignedDocument:
        """Sign one document.

        Args:
            document: What to sign.
            description: What it is about, for the people who see it in the backoffice. Without it the document's name.
            external_reference: Unique reference of the request, which is not the document's. Without it one is made.
            preservation: What becomes of the signed document at the service.
            save_to: File for the signed document, or a folder in which it gets the document's name. Folders are made.
            overwrite: Whether a file that is there already is replaced. If not, the document is not sent.

        Returns:
            The signed document.

        Raises:
            InvalidDocumentError: If the document cannot be used. Nothing was sent.
            DocumentNotSavedError: If `save_to` cannot be used: before anything is sent, if it can be known then.
            AuthenticationError: If credentials or token are refused.
            ApiError: If the service refuses the request; its subclasses say why.
            DocumentNotSignedError: If the service answered, but did not sign it.
            SignatureInvalidError: If what came back does not hold, and `verify_signatures` is set.
            ConnectionFailedError: If the service was not reached.
            OutcomeUnknownError: If it was sent and the answer was lost.
            UnexpectedAnswerError: If the answer cannot be read.
        """
        batch = await self.sign_batch(
            [document],
            description=description,
            external_reference=external_reference,
            preservation=preservation,
            save_to=None if save_to is None else file_or_folder(save_to),
            overwrite=overwrite,
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
        save_to: SaveTo | None = None,
        overwrite: bool = False,
    ) -> SignedBatch:
        """Sign several documents with one request, which is much faster than one request for each.

        Args:
            documents: What to sign. The vendor advises fewer than 100 documents and some 10 MB in a request.
            description: What they are about, for the people who see it in the backoffice. Without it their names.
            external_reference: Unique reference of the request. Without it one is made.
            preservation: What becomes of the signed documents at the service.
            save_to: Folder for the signed documents, each named like its document, or a function that gives each its
                path. Folders are made.
            overwrite: Whether files that are there already are replaced. If not, nothing is sent.

        Returns:
            The operation, and one outcome for each document in the order given. Some may be signed and others not.

        Raises:
            SignStashError: As for `sign`, if the request as a whole failed. A document's own failure is in its outcome.
        """
        kept = preservation_from(preservation)
        if external_reference is None:
            external_reference = unique_reference(self._client_service, "request", secrets.token_hex(6))
        refuse_reference("external_reference", external_reference)
        sent = index_by_reference(list(require_iterable(documents)), self._client_service)
        request = SigningRequest(external_reference, described(sent, description), kept)
        if save_to is None:
            with call_span("sign", sent):
                return await self._sign_request(request, sent, self._tried)
        files = SignedFiles(save_to=save_to, overwrite=overwrite)
        targets: list[Path] = []

        def folder() -> Path:
            targets.extend(files.claim(document) for document in sent.values())
            return targets[0].parent

        with call_span("sign", sent):
            batch = await self._sign_request(request, sent, self._tried, folder=folder)
        return attrs.evolve(batch, outcomes=await asyncio.to_thread(files.save, batch.outcomes, targets))

    def sign_all(
        self,
        documents: Iterable[Document] | AsyncIterable[Document],
        *,
        description: str | None = None,
        preservation: Preservation | PreservationInfo | None = None,
        save_to: SaveTo | None = None,
        overwrite: bool = False,
        journal: Journal | None = None,
        unknown_outcomes: UnknownOutcomes = "set_aside",
        batch_documents: int = 50,
        batch_bytes: int = 10_000_000,
        in_flight: int = 2,
        progress: Callable[[Progress], None] | None = None,
    ) -> AsyncGenerator[Outcome, None]:
        """Sign any number of documents: they are put together into requests, of which few are in flight at once.

            async for outcome in client.sign_all(documents, save_to="signed"):
                ...

        Documents are taken from their source as they are needed, and each gets exactly one outcome, as soon as it is
        known. A request that is refused because of one document is split, so that the others get signed. A fault that
        concerns all ends the run: it is raised after the outcomes of what was in flight. Leaving the loop ends the run
        too; use `contextlib.aclosing` to have it ended at once.

        Args:
            documents: What to sign, in any iterable or asynchronous iterable.
            description: What they are about, for the people who see it in the backoffice.
            preservation: What becomes of the signed documents at the service.
            save_to: Folder for the signed documents, each named like its document, or a function that gives each its
                path. Folders are made.
            overwrite: Whether files that are there already are replaced. If not, their documents are not sent.
            journal: Durable record, with which a run that was ended or killed goes on: documents that it knows as
                signed or set aside are passed over, and get no outcome.
            unknown_outcomes: What happens to documents whose answer was lost; see `signstash.runs.UnknownOutcomes`.
            batch_documents: Documents that a request may have (vendor: fewer than 100).
            batch_bytes: Bytes of documents that a request may have; a longer one is alone in its own.
            in_flight: Requests that may be in flight; fewer, while the service is overloaded.
            progress: Is called after each outcome, and must not wait.

        Returns:
            The outcomes, in the order in which they get known.

        Raises:
            SignStashError: A fault that concerns all documents, while iterating.
        """
        _refuse_numbers(batch_documents=batch_documents, batch_bytes=batch_bytes, in_flight=in_flight)
        if unknown_outcomes not in get_args(UnknownOutcomes):
            choices = ", ".join(get_args(UnknownOutcomes))
            raise ConfigurationError(f"unknown_outcomes is {unknown_outcomes!r}.", f"Give one of {choices}.")
        if progress is not None and not callable(progress):
            raise ConfigurationError(f"progress is {progress!r}.", "Give a function that takes a Progress.")
        kept = preservation_from(preservation)
        if journal is not None and not isinstance(journal, Journal):
            raise ConfigurationError(f"journal is {journal!r}.", "Give a Journal, such as Journal('november.journal').")
        if journal is not None and save_to is None:
            raise ConfigurationError(
                "A journal was given without save_to.", "Give both: what it calls signed must be saved."
            )
        if description is not None:
            refuse_text("description", description)
        files = None if save_to is None else SignedFiles(save_to=save_to, overwrite=overwrite)
        books = RunLedger(client_service=self._client_service, journal=journal, files=files)

        async def send(batch: Sequence[PlannedDocument], transmit: Transmit) -> Sequence[Outcome]:
            sent = index_by_reference([item.document for item in batch], self._client_service)
            reference = unique_reference(self._client_service, "request", secrets.token_hex(6))
            request = SigningRequest(reference, described(sent, description), kept)
            target = batch[0].target
            folder = None if target is None else lambda: target.parent
            signed = await self._sign_request(
                request, sent, lambda call: transmit(lambda: self._exchange.send(call)), folder=folder
            )
            return [Outcome(item.given, outcome.result) for item, outcome in zip(batch, signed.outcomes, strict=True)]

        run = Run(
            send=send,
            look_up=self._look_up,
            books=books,
            retry_policy=self._retries or RetryPolicy.batch(),
            unknown_outcomes=unknown_outcomes,
            in_flight=in_flight,
            progress=progress,
        )
        return run.outcomes(
            batches(require_iterable(documents), books.plan, count=batch_documents, content_bytes=batch_bytes)
        )

    async def _sign_request(
        self,
        request: SigningRequest,
        documents: Mapping[str, Document],
        send: Callable[[Call], Awaitable[Answer]],
        *,
        folder: Callable[[], Path | None] | None = None,
    ) -> SignedBatch:
        call = await signing_call(
            request,
            documents,
            upload=self._upload,
            multipart_file_names=self._multipart_file_names,
            folder=folder,
        )
        answer = await send(call)
        batch = await self._batch(answer, documents)
        if batch is None:
            raise answer.unreadable(call, "is no operation")
        note_documents(failed=sum(not outcome.ok for outcome in batch.outcomes), of=len(batch.outcomes))
        return batch

    async def _batch(self, answer: Answer, documents: Mapping[str, Document]) -> SignedBatch | None:
        """What an operation says of some documents, or None if the answer is no operation."""

        def read() -> SignedBatch | None:
            fields = json_object(answer.body)
            if fields is None or not fields.keys() & {"id", "documentList"}:
                return None
            answered = ResponseContext(
                status_code=answer.status_code,
                client_service=self._client_service,
                error_classes=self._exchange.error_classes,
                contents=answer.contents,
            )
            return read_batch(fields, documents, answered)

        batch = read() if len(answer.body) < SMALL_ANSWER else await asyncio.to_thread(read)
        if batch is None or not self._verify_signatures:
            return batch
        return attrs.evolve(batch, outcomes=await asyncio.to_thread(lambda: tuple(map(verified, batch.outcomes))))

    async def _ask(self, call: Call) -> Answer:
        with call_span(call.operation, call.external_references, call.operation_id):
            return await self._tried(call)

    async def _tried(self, call: Call) -> Answer:
        return await self._retries_of_calls.run(lambda: self._exchange.send(call))

    async def _look_up(self, item: PlannedDocument) -> Outcome | None:
        """What the Integration Service knows of a document whose answer was lost."""
        asking = operation_id(item.reference)
        try:
            number = as_number(await self._exchange.send(asking), asking)
        except ApiError as error:
            if error.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        folder = None if item.target is None else item.target.parent
        call = detail(number, include_content=True, receive=partial(receive_operation, folder=folder))
        answer = await self._exchange.send(call)
        found = await self._batch(answer, {item.reference: item.given})
        if found is None:
            raise answer.unreadable(call, "is no operation")
        return found.outcomes[0]

    @property
    def generated(self) -> GeneratedClient:
        """The `client` for generated endpoint functions, for operations that have no method here.

        Their requests get the token, the timeouts and the errors of this client.
        """
        return GeneratedClient(self._exchange)

    async def _running_client(self) -> httpx.AsyncClient:
        """The HTTP client for the running event loop: connections belong to the loop that opened them."""
        self._refuse_if_closed()
        if self._http_client is not None:
            return self._http_client
        loop = asyncio.get_running_loop()
        own = self._own_client
        if own is not None and own[0] is not loop and not own[0].is_closed():
            raise ConfigurationError(
                "The client was used from a second event loop while it had connections in the first.",
                "Make one client for each event loop, or close the first loop before.",
            )
        if own is None or own[0] is not loop:
            made = await new_http_client()
            own = self._own_client
            if self._closed or (own is not None and own[0] is loop):
                await made.aclose()  # meanwhile this was closed, or another call has made one
                self._refuse_if_closed()
            if own is None or own[0] is not loop:
                own = self._own_client = loop, made
        return own[1]

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ConfigurationError("The client was used after it was closed.", "Make a new one.")


def _refuse_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{name} is {value!r}.", "Give a whole number above 0.")

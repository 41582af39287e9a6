"""The asynchronous client: signs documents, and queries the Integration Service.

.. include:: applications.md
"""

from __future__ import annotations

import copy
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Literal, Self, Unpack

import attrs
import httpx

from . import settings
from ._arguments import require_known_options
from ._errors.redaction import Secret
from ._event_loop import running_loop
from ._transport.other_operations import OtherOperations
from .documents import Document, require_iterable
from .errors import ConfigurationError, ErrorClasses
from .integration import IntegrationQueries
from .retries import Retries, RetryPolicy
from .settings import ClientOptions, Environment, HttpClient, MultipartFileNames, RunOptions, Upload

if TYPE_CHECKING:  # at run time a call imports what it needs
    from ._runs.batching import Batching
    from ._transport.exchange import Exchange
    from .auth import TokenAuth
    from .models import PreservationInfo
    from .options import Preservation
    from .results import Outcome, Progress, SignedBatch, SignedDocument


class SignStash(IntegrationQueries, OtherOperations):
    """A client of one Sign'Stash service: a proxy, or the Integration Service.

        async with SignStash(base_url, client_id, client_secret, environment="staging") as client:
            signed = await client.sign(Document.pdf("invoice.pdf"))

    It connects at the first call, may be used by any number of tasks, and may be used again from a new event loop when
    the first one is closed. Close it in the loop that used it last. Every call can raise the exceptions of
    `signstash.errors`; `CancelledError` passes through, with a note that names the documents concerned.

    Args:
        base_url: Full base URL of the service, such as `http://proxy:8081/signstash/einvoice-integration-ws`.
        client_id: Alias of the client service.
        client_secret: Its password, as defined in the backoffice.
        environment: `staging` or `production`: the vendor's token server. The proxy must be configured for the same.
        token_url: Full URL of the token endpoint, instead of the environment's.
        auth: Your own authentication, such as a `TokenAuth` that several clients share. It is not closed here.
            Environment, token URL and secret are then not needed.
        timeout: Seconds for each wait on the network, also of `http_client`, or an `httpx.Timeout` with all parts set.
        deadline: Seconds that a call, or each request of `sign_all`, may take in all: reading documents, attempts,
            pauses, and a token request.
        upload: `base64` puts contents into the JSON, which every proxy accepts; `multipart` sends them as files.
        multipart_file_names: What files are called in a multipart upload, `name` or `external_reference`.
        http_client: Your own `httpx.AsyncClient` or `httpx2.AsyncClient`, for outbound proxy, CA, limits or transport.
            It sends the token requests too, without its headers, parameters and cookies, and is not closed here.
            The default obeys `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`. If a hook of an
            `httpx.AsyncClient` raises for error responses, a rejected token is not replaced.
        token_http_client: Your own client for the token requests alone. It is not closed here.
        error_classes: Exception classes for error codes that `signstash.errors` does not know, by code. A `signError`
            with a class of the certificate family becomes a `DocumentCertificateError`.
        retries: When a call that was not processed is repeated. By default never; `sign_all` uses `RetryPolicy.batch`.
        verify_signatures: Whether every document is verified before it is returned or saved; an invalid one becomes a
            `SignatureInvalidError`. Needs the extra `verify`. Trust is not checked: see `SignedDocument.verify`.
        instance_urls: URLs of the service's instances, for `at`. Their origins may see the token and the documents.

    Raises:
        ConfigurationError: If an argument is missing or cannot work. The message lists all problems.
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
        timeout: float | httpx.Timeout = settings.DEFAULT_TIMEOUT,
        deadline: float = settings.DEFAULT_DEADLINE,
        upload: Upload = "base64",
        multipart_file_names: MultipartFileNames = "name",
        http_client: HttpClient | None = None,
        token_http_client: HttpClient | None = None,
        error_classes: ErrorClasses | None = None,
        retries: RetryPolicy | None = None,
        verify_signatures: bool = False,
        instance_urls: Iterable[str] = (),
    ) -> None:
        from ._runs.run import OpenRuns
        from ._signing.signer import Signer
        from ._transport.exchange import Exchange
        from ._transport.http_client import HttpClients
        from ._transport.httpx2 import as_httpx
        from ._transport.retrying_exchange import RetryingExchange
        from .auth import TokenAuth

        instances = settings.as_list(instance_urls)
        client_secret = client_secret if isinstance(client_secret, Secret) else Secret(client_secret or "")
        settings.raise_for_problems(
            settings.service_problems(base_url, client_id, client_secret, environment, token_url, auth=auth),
            settings.instance_problems(instance_urls, instances),
            settings.limit_problems(timeout, deadline, retries),
            settings.option_problems(upload, multipart_file_names, error_classes, verify_signatures),
            settings.client_problems(http_client=http_client, token_http_client=token_http_client),
        )
        base_url = base_url.rstrip("/")
        settings.warn_of_plain_http([base_url])
        self._own_auth: TokenAuth | None = None
        if auth is None:
            auth = self._own_auth = TokenAuth(
                token_url or settings.TOKEN_URLS[str(environment)],
                str(client_id),
                client_secret,
                base_urls=[base_url, *instances],
                http_client=token_http_client or http_client,
                client_settings=token_http_client is not None,
            )
        self._exchange = Exchange(
            base_url=base_url,
            auth=auth,
            clients=HttpClients(as_httpx(http_client)),
            timeout=settings.as_timeout(timeout),
            deadline=deadline,
            client_service=str(client_id or getattr(auth, "client_id", "")),
            error_classes=dict(error_classes or {}),
        )
        self._signer = Signer(self._exchange, upload, multipart_file_names, verify_signatures)
        self._retries = retries
        policy = retries or RetryPolicy.none()
        self._retrying = RetryingExchange(self._exchange, Retries(policy=policy, sleep=self._exchange.clients.pause))
        self._origins = frozenset(settings.origin(httpx.URL(url)) for url in (base_url, *instances))
        self._runs = OpenRuns()
        self._is_view = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Unpack[ClientOptions]) -> Self:
        """A client that is configured by `SIGNSTASH_BASE_URL`, `SIGNSTASH_CLIENT_ID` and other environment variables.

        Args:
            environ: The variables. By default those of this process.
            **options: The arguments of `SignStash`, such as `deadline` or `retries`. They override the variables.

        Raises:
            ConfigurationError: If variables are missing or wrong. The message lists all of them.
        """
        arguments, renamed = settings.environment_arguments(os.environ if environ is None else environ, options)
        del environ  # so that no traceback shows the secret
        try:
            return cls(arguments.pop("base_url") or "", **arguments)
        except ConfigurationError as error:
            raise renamed(error) from None

    def __repr__(self) -> str:
        if not hasattr(self, "_exchange"):  # a traceback shows it while arguments are validated
            return "SignStash(not set up)"
        return f"SignStash(base_url={self._exchange.base_url!r}, client_id={self._exchange.client_service!r})"

    async def __aenter__(self) -> Self:
        running_loop()
        self._exchange.clients.raise_if_closed()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the calls in flight, close the client's own connections, and raise `ConfigurationError` on further use.

        May be called more than once; closing a view has no effect. What `sign_all` and `batching` have in flight is
        awaited, saved and recorded first, unless the calling task is cancelled, runs a hook of a request, or was
        started by one. All other calls, also those of views, end, and raise an `OutcomeUnknownError` if they were sent.
        """
        if self._is_view:
            return
        self._exchange.clients.is_closed = True
        async with aclosing(self._exchange.clients), aclosing(self._own_auth) if self._own_auth else nullcontext():
            await self._runs.aclose()

    def with_options(
        self,
        *,
        deadline: float | None = None,
        timeout: float | httpx.Timeout | None = None,
        retries: RetryPolicy | None = None,
    ) -> Self:
        """A view of this client with other limits, which shares its token, its connections and the calls in flight.

        Args:
            deadline: Seconds that a call, or each request of `sign_all`, may take in all.
            timeout: Seconds for each wait on the network, or an `httpx.Timeout`.
            retries: How often a call is attempted.

        Raises:
            ConfigurationError: If an argument cannot work.
        """
        deadline = self._exchange.deadline if deadline is None else deadline
        timeout = self._exchange.timeout if timeout is None else timeout
        settings.raise_for_problems(settings.limit_problems(timeout, deadline, retries))
        exchange = attrs.evolve(self._exchange, timeout=settings.as_timeout(timeout), deadline=deadline)
        return self._view(exchange, retries)

    def at(self, base_url: str) -> Self:
        """A view of this client at another address of the service, which shares token, connections, limits and calls.

            instance = client.at(f"http://{started.host}:{started.port}/signstash/einvoice-integration-client-ws")

        For services behind a load balancer whose responses name the instance that later calls must go to, as the
        asynchronous mode of newer proxies does.

        Args:
            base_url: Full base URL of the instance. It must have the origin of the client's own `base_url`, or of
                one of its `instance_urls`, because a response must not decide who receives the token.

        Raises:
            ConfigurationError: If it is not a URL, or its origin is not named.
        """
        settings.raise_for_problems(settings.url_problems("base_url", base_url))
        url = httpx.URL(base_url)
        if settings.origin(url) not in self._origins:
            problem = f"{url.scheme}://{url.netloc.decode()} is not one of this client's addresses."
            raise ConfigurationError(problem, "Name it in `instance_urls` if it may see the token and the documents.")
        return self._view(attrs.evolve(self._exchange, base_url=base_url.rstrip("/")))

    def _view(self, exchange: Exchange, retries: RetryPolicy | None = None) -> Self:
        view = copy.copy(self)
        retrying = attrs.evolve(self._retrying, exchange=exchange)
        if retries is not None:
            retrying = attrs.evolve(retrying, retries=Retries(policy=retries, sleep=exchange.clients.pause))
        vars(view).update(_is_view=True, _exchange=exchange, _retries=retries or self._retries, _retrying=retrying)
        vars(view).update(_signer=attrs.evolve(self._signer, exchange=exchange))
        return view

    async def sign(
        self,
        document: Document,
        *,
        description: str | None = None,
        external_reference: str | None = None,
        preservation: Preservation | PreservationInfo | None = None,
        save_to: str | os.PathLike[str] | Callable[[Document], str | os.PathLike[str]] | None = None,
        overwrite: bool = False,
    ) -> SignedDocument:
        """Sign one document.

        Args:
            document: What to sign.
            description: Description of the request, shown in the backoffice. By default the document's name.
            external_reference: Unique reference of the request, not of the document. By default a new one.
            preservation: How long and where the service keeps the signed document.
            save_to: Folder for the signed document, which keeps its name, or a function that returns its path.
            overwrite: Whether an existing file is replaced. If not, the document is not sent.

        Returns:
            The signed document.

        Raises:
            InvalidDocumentError: If the document is invalid. Nothing was sent.
            DocumentNotSavedError: If `save_to` cannot be used: before anything is sent, if it can be known then.
            AuthenticationError: If credentials or token are rejected.
            ApiError: If the service rejects the request; its subclasses say why.
            DocumentNotSignedError: If the service processed the request, but did not sign the document.
            SignatureInvalidError: If the returned document is not valid, and `verify_signatures` is set.
            ConnectionFailedError: If the service was not reached.
            OutcomeUnknownError: If it was sent and the response was lost.
            UnexpectedResponseError: If the response cannot be read.
        """
        batch = await self.sign_batch(
            [document],
            description=description,
            external_reference=external_reference,
            preservation=preservation,
            save_to=save_to,
            overwrite=overwrite,
        )
        return batch.outcomes[0].unwrap()

    async def sign_batch(
        self,
        documents: Iterable[Document],
        *,
        description: str | None = None,
        external_reference: str | None = None,
        preservation: Preservation | PreservationInfo | None = None,
        save_to: str | os.PathLike[str] | Callable[[Document], str | os.PathLike[str]] | None = None,
        overwrite: bool = False,
    ) -> SignedBatch:
        """Sign several documents with one request, which is much faster than one request for each.

        The vendor advises fewer than 100 documents and some 10 MB in a request. The arguments are those of `sign`; if a
        file exists already, nothing is sent.

        Returns:
            The operation, and one outcome for each document in the order given. Some may be signed and others not.

        Raises:
            SignStashError: As for `sign`, if the request as a whole failed. A document's own failure is in its outcome.
        """
        from ._signing.request import RequestOptions

        options = RequestOptions(description, preservation, external_reference)
        documents = require_iterable(documents)
        return await self._signer.sign(documents, options, self._retrying, save_to=save_to, overwrite=overwrite)

    def sign_all(
        self,
        documents: Iterable[Document] | AsyncIterable[Document],
        *,
        description: str | None = None,
        preservation: Preservation | PreservationInfo | None = None,
        progress: Callable[[Progress], None] | None = None,
        **options: Unpack[RunOptions],
    ) -> AsyncGenerator[Outcome, None]:
        """Sign any number of documents, several in one request, with few requests in flight at a time.

            async for outcome in client.sign_all(documents, save_to="signed"):
                ...

        Documents are read from their source as they are needed, and each gets exactly one outcome, as soon as it is
        known. A request is sent when it is full, or when the source has nothing ready and a request can be sent, so a
        source may wait between documents and need not end.

        Leaving the loop, or closing it with `contextlib.aclosing`, sends nothing more, and saves and records what is in
        flight. Cancellation ends what is in flight at once; a journal knows what may have been signed.

        Args:
            documents: What to sign, in any iterable or asynchronous iterable.
            description: Description of the requests, shown in the backoffice. By default the documents' names.
            preservation: How long and where the service keeps the signed documents.
            progress: Function that is called after each outcome. It must not block.
            **options: `save_to`, `overwrite`, `journal`, `unknown_outcomes`, `batch_documents`, `batch_bytes`, `linger`
                and `in_flight`, which `RunOptions` describes.

        Raises:
            SignStashError: A fault that concerns all documents, after the outcomes of what was in flight.
        """
        from ._runs.plan import Callers
        from ._runs.run import RunSettings
        from ._signing.request import RequestOptions

        require_known_options("sign_all", options, RunOptions)
        request_options = RequestOptions(description, preservation)
        policy = self._retries or RetryPolicy.batch()
        run_settings = RunSettings(
            signer=self._signer, open_runs=self._runs, retry_policy=policy, progress=progress, **options
        )
        return run_settings.new_run(Callers(lambda _: request_options)).started(require_iterable(documents))

    def stop_runs(self) -> None:
        """Send nothing more in runs of `sign_all`, and end their pauses, as on a signal that stops the program.

            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, client.stop_runs)

        Their loops end after the outcomes of what is in flight. Documents that were not sent get no outcome.
        """
        self._runs.end()

    def batching(
        self, *, max_waiting: int = 1000, when_full: Literal["wait", "raise"] = "wait", **options: Unpack[RunOptions]
    ) -> Batching:
        """Sign documents that arrive one by one, from any number of tasks, several in one request.

            async with client.batching() as batching:  # once, in the application's lifespan
                signed = await batching.sign(document)  # in each request

        Args:
            max_waiting: Maximum number of calls, whose documents wait or are in flight.
            when_full: What a call does beyond `max_waiting`: wait, or raise `RateLimitedError`.
            **options: `save_to`, `overwrite`, `journal`, `unknown_outcomes`, `batch_documents`, `batch_bytes`, `linger`
                and `in_flight`, as for `sign_all`.

        Returns:
            An asynchronous context manager, whose `sign` signs documents. Leaving its block waits for those in flight.
        """
        from ._runs.batching import Batching
        from ._runs.run import RunSettings

        require_known_options("batching", options, RunOptions)
        policy = self._retries or RetryPolicy.none()
        run_settings = RunSettings(signer=self._signer, open_runs=self._runs, retry_policy=policy, **options)
        return Batching(run_settings, deadline=self._exchange.deadline, max_waiting=max_waiting, when_full=when_full)

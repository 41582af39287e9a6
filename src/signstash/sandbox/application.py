"""The sandbox as an ASGI application: routes requests to endpoints."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from ..settings import Credentials
from .administration import Administration
from .asynchronous import AsynchronousMode
from .authorized_call import AuthorizedCall, Endpoints, Handler
from .certificate import Root, new_root, pem
from .definition import as_page, as_swagger2, client_paths, load_definition
from .error_responses import RejectedError, rejected, rejected_by_spring
from .fault_responses import damaged_response, response_instead
from .faults import Fault, Faults, On
from .integration_endpoints import IntegrationEndpoints
from .operation_store import OperationStore, ServiceName
from .request_log import LoggedRequest, RequestLog
from .request_validation import Validation
from .signatures import SignatureMaker
from .signing_endpoints import SigningEndpoints
from .token_server import Token, TokenServer
from .trial import Trial

CLIENT_ID: Final = "PRT.000000000-PRT.000000000-sandbox"
CLIENT_SECRET: Final = "sandbox-secret"  # noqa: S105 - valid for the sandbox only

TOKEN_PATH: Final = "/oauth2/authorization-server/oauth/token"  # noqa: S105 - a path
BASE_PATHS: Final = ("/signstash/einvoice-integration-ws", "/signstash/einvoice-integration-client-ws")
"""The two base paths that are documented for proxies (wiki: integration guide)."""

INTEGRATION_PATH: Final = "/integration-service/signstash/einvoice-integration-ws"
"""Base path of the Integration Service. Its own is also one of the proxy's, hence the prefix."""

MAX_BODY: Final = 1024 * 1024 * 1024
"""Bytes of a request's body."""

_LOG: Final = logging.getLogger("signstash.sandbox")


class Options(TypedDict, total=False):
    """The arguments of `SandboxApplication` that `Sandbox` takes as well, with the same meaning."""

    faults: Iterable[Fault]
    seed: int
    clients: Mapping[str, str] | None
    token_lifetime: int
    state: Path | None
    reuse_failed_references: bool
    asynchronous: bool
    clock: Callable[[], float]


class SandboxApplication:
    """A Sign'Stash as an ASGI application, for tests without a socket.

        application = SandboxApplication()
        http_client = httpx.AsyncClient(transport=httpx.ASGITransport(application))
        client = SignStash(**application.credentials, http_client=http_client)

    Its signatures are real; its certificate is a test certificate that nobody trusts, and says so.

    Attributes:
        base_url: Base URL of the proxy, for `SignStash`.
        integration_base_url: Base URL of the Integration Service.
        token_url: URL of the token server.
        page_url: URL of the sandbox's own page, which is also available as JSON.
        client_id: A client service that the sandbox knows.
        client_secret: Its secret.
        credentials: These as arguments of `SignStash`, for the proxy.
        integration_credentials: The same for the Integration Service.
        root_certificate: The root of its certificates in PEM, to verify signatures with.
        faults: The active faults; see `Fault`.
        request_log: The received requests.

    Args:
        faults: Faults to start with.
        seed: Seed of random faults and delays, so that a run that fails can be repeated.
        clients: Secrets of further client services, by alias.
        token_lifetime: Lifetime of a token in seconds.
        state: SQLite file that keeps operations and the root certificate for the next sandbox. None: in memory only.
        reuse_failed_references: Whether the external reference of a document that was not signed can be used again.
            How the service behaves is not published.
        asynchronous: Whether proxies also sign asynchronously, at made-up paths: the vendor's are not published.
        origin: Scheme, host, and port of the URLs.
        clock: Returns the time in seconds since 1970, for tokens.

    Raises:
        sqlite3.Error: If the state's file cannot be used.
    """

    def __init__(
        self,
        *,
        faults: Iterable[Fault] = (),
        seed: int = 0,
        clients: Mapping[str, str] | None = None,
        token_lifetime: int = 86399,
        state: Path | None = None,
        reuse_failed_references: bool = False,
        asynchronous: bool = False,
        origin: str = "http://sandbox.test",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.base_url: str = origin + BASE_PATHS[0]
        self.integration_base_url: str = origin + INTEGRATION_PATH
        self.token_url: str = origin + TOKEN_PATH
        self.page_url: str = f"{origin}/__sandbox/"
        self.client_id = CLIENT_ID
        self.client_secret = CLIENT_SECRET
        self._store = OperationStore(state)
        root = Root(self._store.remember("root", new_root))
        self.root_certificate: bytes = pem(root.certificate)
        self.faults: Faults = Faults(faults, seed=seed)
        self.request_log: RequestLog = RequestLog()
        self._tokens = TokenServer({CLIENT_ID: CLIENT_SECRET, **(clients or {})}, token_lifetime, clock)
        validation = Validation()
        signing = SigningEndpoints(
            store=self._store,
            validation=validation,
            maker=SignatureMaker(root),
            faults=self.faults,
            log=self.request_log,
            apply_fault=self._apply_fault,
            reuse_failed_references=reuse_failed_references,
        )
        integration = IntegrationEndpoints(
            store=self._store, validation=validation, apply_fault=self._apply_fault
        ).endpoints()
        self._endpoints: dict[ServiceName, Endpoints] = {
            "proxy": signing.endpoints(),
            "integration": signing.endpoints() | integration,
        }
        if asynchronous:
            _, sign = signing.endpoints()["POST", "/api/v0/document/sign/base64"]
            self._endpoints["proxy"] |= AsynchronousMode(sign).endpoints()
        self._administration = Administration(
            store=self._store,
            faults=self.faults,
            log=self.request_log,
            root_certificate=self.root_certificate,
            settings={
                "base_url": self.base_url,
                "integration_base_url": self.integration_base_url,
                "token_url": self.token_url,
                "client_id": CLIENT_ID,
            },
            reuse_failed_references=reuse_failed_references,
            host=httpx.URL(origin).host,
            try_document=Trial(
                signing=signing, validation=validation, log=self.request_log, root_certificate=self.root_certificate
            ).sign,
        )
        self._starlette = Starlette(routes=self._routes(), exception_handlers={HTTPException: self._not_found})

    @property
    def credentials(self) -> Credentials:
        """Arguments of `SignStash` for the proxy."""
        return self._credentials(self.base_url)

    @property
    def integration_credentials(self) -> Credentials:
        """Arguments of `SignStash` for the Integration Service."""
        return self._credentials(self.integration_base_url)

    @property
    def signatures(self) -> Counter[str]:
        """How often a document of each name was signed."""
        return Counter(self._store.signatures("name"))

    @property
    def signed_references(self) -> Counter[str]:
        """How often the document of each external reference was signed."""
        return Counter(self._store.signatures("reference"))

    def reset(self) -> None:
        """Forget operations, external references, requests, and faults. Certificates and tokens stay valid."""
        self._administration.reset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request. Whole URLs, doubled slashes, and none at the end are accepted: clients send them."""
        if scope["type"] == "http":
            path = re.sub("/{2,}", "/", re.sub("^https?://[^/]+", "", scope["path"])).removesuffix("/") or "/"
            scope = {
                **scope,
                "signstash.path": scope["path"],
                "path": path,
                "raw_path": path.encode(errors="surrogateescape"),
            }
            receive = _bounded(receive)
        await self._starlette(scope, receive, send)

    def _credentials(self, base_url: str) -> Credentials:
        return {
            "base_url": base_url,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "token_url": self.token_url,
        }

    def _routes(self) -> list[BaseRoute]:
        routes: list[BaseRoute] = [Route(TOKEN_PATH, self._issue_token, methods=["POST"])]
        definition = load_definition()

        async def openapi3(_: Request) -> Response:
            return JSONResponse(definition)

        async def swagger2(request: Request) -> Response:
            return JSONResponse(as_swagger2(definition, request.url.netloc))

        async def page(_: Request) -> Response:
            return HTMLResponse(as_page(definition))

        places = client_paths(path for endpoints in self._endpoints.values() for _, path in endpoints)
        services: dict[str, ServiceName] = {**dict.fromkeys(BASE_PATHS, "proxy"), INTEGRATION_PATH: "integration"}
        for base, service in services.items():
            for (method, path), (on, handler) in self._endpoints[service].items():
                endpoint = self._authorized(on, service, handler)
                routes += [Route(base + place, endpoint, methods=[method]) for place in {path, places[path]}]
            routes += [
                Route(f"{base}/v3/api-docs", openapi3),
                Route(f"{base}/v2/api-docs", swagger2),
                Route(f"{base}/swagger-ui.html", page),
            ]
        return [*routes, *self._administration.routes()]

    async def _issue_token(self, request: Request) -> Response:
        async def respond(entry: LoggedRequest) -> Response:
            self._apply_early_fault("token", entry)
            entry.client_id = await self._tokens.authenticated(request)
            token = Token(entry.client_id)
            fault = await self._apply_fault(AuthorizedCall("token", "proxy", token, entry))
            response = JSONResponse(self._tokens.issue(token), headers={"Cache-Control": "no-store"})
            return damaged_response(response, fault)

        return await self._logged(request, respond)

    def _authorized(self, on: On, service: ServiceName, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            async def respond(entry: LoggedRequest) -> Response:
                token = self._tokens.check(request)
                entry.client_id = token.client_id
                self._apply_early_fault(on, entry, token)
                return await handler(request, AuthorizedCall(on, service, token, entry))

            return await self._logged(request, respond)

        return endpoint

    async def _logged(self, request: Request, respond: Callable[[LoggedRequest], Awaitable[Response]]) -> Response:
        entry = LoggedRequest(request.method, request.scope["signstash.path"])
        try:
            try:
                response = await respond(entry)
            except HTTPException as error:
                raise rejected_by_spring(error, entry.path) from error
            except ClientDisconnect as error:
                raise RejectedError(Response(status_code=400), cause="the client closed the connection") from error
            except RejectedError:
                raise
            except Exception as error:
                _LOG.exception("The sandbox failed; this is a bug in it")
                raise rejected("0.0.1", f"the sandbox failed: {type(error).__name__}: {error}") from error
        except RejectedError as error:
            response = error.response
            entry.error_code, entry.cause = error.error_code, error.cause
        entry.status = response.status_code
        self.request_log.add(entry)
        return response

    async def _not_found(self, request: Request, error: Exception) -> Response:
        async def respond(_: LoggedRequest) -> Response:
            raise error

        return await self._logged(request, respond)

    def _apply_early_fault(self, on: On, entry: LoggedRequest, token: Token | None = None) -> None:
        """Apply a fault that occurs before the body is read.

        Raises:
            RejectedError: If there is one.
        """
        fault = self.faults.for_headers(on)
        if fault is not None:
            entry.fault = fault.kind
            if token is not None:
                self._tokens.revoke(token)
            raise response_instead(fault)

    async def _apply_fault(self, call: AuthorizedCall, names: Sequence[str] = ()) -> Fault | None:
        """Apply the fault that concerns a request.

        Returns:
            The fault, if it occurs after processing.

        Raises:
            RejectedError: If it occurs before.
        """
        delay, fault = self.faults.for_request(call.on, call.log_entry.references, names)
        if delay:
            await asyncio.sleep(delay)
        if fault is None:
            return None
        call.log_entry.fault = fault.kind
        if fault.moment == "after":
            return fault
        if fault.kind in ("expired_token", "revoked_token"):
            self._tokens.revoke(call.token)
        raise response_instead(fault)


def _bounded(receive: Receive) -> Receive:
    """Receive no more than `MAX_BODY` bytes."""
    received = 0

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise RejectedError(Response(status_code=413), cause=f"the body has more than {MAX_BODY} bytes")
        return message

    return bounded

"""The sandbox as an ASGI application: which address is answered by what."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypedDict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from ..settings import Credentials
from .administration import Administration
from .answers import answer_instead, spoilt_response
from .call import Call, Handler
from .certificate import Root, new_root, pem
from .consultation import IntegrationQueries
from .definition import as_page, as_swagger2, load_definition
from .faults import Fault, Faults, On
from .journal import Arrival, Journal
from .operations import Operations, ServiceName
from .refusals import RefusedError, refused, refused_by_spring
from .signatures import SignatureMaker
from .signing import Signing
from .tokens import Token, TokenServer
from .validation import Validation

CLIENT_ID: Final = "PRT.000000000-PRT.000000000-sandbox"
CLIENT_SECRET: Final = "sandbox-secret"  # noqa: S105 - opens nothing but the sandbox

TOKEN_PATH: Final = "/oauth2/authorization-server/oauth/token"  # noqa: S105 - a path
BASE_PATHS: Final = ("/signstash/einvoice-integration-ws", "/signstash/einvoice-integration-client-ws")
"""The two base paths that are documented for proxies (wiki: integration guide)."""

INTEGRATION_PATH: Final = "/integration-service/signstash/einvoice-integration-ws"
"""Base path of the Integration Service. Its own is also one of the proxy's, so here it has something before it."""

_LOG: Final = logging.getLogger("signstash.sandbox")


class Options(TypedDict, total=False):
    """The arguments of `SandboxApplication` that `Sandbox` takes too; they mean the same there."""

    faults: Iterable[Fault]
    seed: int
    clients: Mapping[str, str] | None
    token_lifetime: int
    state: Path | None
    clock: Callable[[], float]


class SandboxApplication:
    """A Sign'Stash as an ASGI application, for tests without a socket.

        application = SandboxApplication()
        http_client = httpx.AsyncClient(transport=httpx.ASGITransport(application))
        client = SignStash(**application.credentials, http_client=http_client)

    Its signatures are real, its certificate is a test: it names itself so, and nobody trusts its root.

    Attributes:
        base_url: The proxy's, for `SignStash`.
        integration_base_url: The Integration Service's.
        token_url: The token server's.
        page_url: What the sandbox shows of itself: a page to read, or JSON.
        client_id: A client service that the sandbox knows.
        client_secret: Its secret.
        credentials: These as arguments of `SignStash`, for the proxy.
        integration_credentials: The same for the Integration Service.
        root_certificate: The root of its certificates in PEM, for verifying signatures.
        faults: What fails, and how; see `Fault`.
        journal: What arrived.

    Args:
        faults: Faults to begin with.
        seed: What random faults and delays begin with: a run that fails can be repeated.
        clients: Secrets of further client services, by alias.
        token_lifetime: Seconds that a token lives.
        state: SQLite file in which operations and the root certificate outlive the sandbox. Left out, they do not.
        origin: Scheme, host and port in the URLs.
        clock: Gives the seconds since 1970, for tokens.

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
        origin: str = "http://sandbox.test",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.base_url: str = origin + BASE_PATHS[0]
        self.integration_base_url: str = origin + INTEGRATION_PATH
        self.token_url: str = origin + TOKEN_PATH
        self.page_url: str = f"{origin}/__sandbox/"
        self.client_id = CLIENT_ID
        self.client_secret = CLIENT_SECRET
        self._operations = Operations(state)
        root = Root(self._operations.remember("root", new_root))
        self.root_certificate: bytes = pem(root.certificate)
        self.faults: Faults = Faults(faults, seed=seed)
        self.journal: Journal = Journal()
        self._tokens = TokenServer({CLIENT_ID: CLIENT_SECRET, **(clients or {})}, token_lifetime, clock)
        self._validation = Validation()
        self._signing = Signing(
            self._operations, self._validation, SignatureMaker(root), self.faults, self.journal, self._strike
        )
        self._consultation = IntegrationQueries(self._operations, self._validation, self._strike)
        settings = {
            "base_url": self.base_url,
            "integration_base_url": self.integration_base_url,
            "token_url": self.token_url,
            "client_id": CLIENT_ID,
        }
        self._administration = Administration(
            self._operations, self.faults, self.journal, self.root_certificate, settings
        )
        self._starlette = Starlette(routes=self._routes(), exception_handlers={HTTPException: self._nothing_there})

    @property
    def credentials(self) -> Credentials:
        """What `SignStash` takes for the proxy."""
        return self._credentials(self.base_url)

    @property
    def integration_credentials(self) -> Credentials:
        """What `SignStash` takes for the Integration Service."""
        return self._credentials(self.integration_base_url)

    @property
    def signatures(self) -> Counter[str]:
        """How often a document of each name was signed."""
        return Counter(self._operations.signatures("name"))

    @property
    def signed_references(self) -> Counter[str]:
        """How often the document of each external reference was signed."""
        return Counter(self._operations.signatures("reference"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Slashes may be doubled, and left out at the end: clients in other languages do both."""
        if scope["type"] == "http":
            path = re.sub("/{2,}", "/", scope["path"]).removesuffix("/") or "/"
            scope = {
                **scope,
                "signstash.path": scope["path"],
                "path": path,
                "raw_path": path.encode(errors="surrogateescape"),
            }
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

        services: dict[str, ServiceName] = {**dict.fromkeys(BASE_PATHS, "proxy"), INTEGRATION_PATH: "integration"}
        for base, service in services.items():
            handlers = {**self._signing.handlers(), **(self._consultation.handlers() if service != "proxy" else {})}
            for (method, path), (on, handler) in handlers.items():
                routes.append(Route(base + path, self._endpoint(on, service, handler), methods=[method]))
            routes += [
                Route(f"{base}/v3/api-docs", openapi3),
                Route(f"{base}/v2/api-docs", swagger2),
                Route(f"{base}/swagger-ui.html", page),
            ]
        return [*routes, *self._administration.routes()]

    async def _issue_token(self, request: Request) -> Response:
        async def answer(arrival: Arrival) -> Response:
            arrival.client_id = await self._tokens.authenticated(request)
            token = Token(arrival.client_id)
            fault = await self._strike(Call("token", "proxy", token, arrival))
            response = JSONResponse(self._tokens.issue(token), headers={"Cache-Control": "no-store"})
            return spoilt_response(response, fault)

        return await self._answered(request, answer)

    def _endpoint(self, on: On, service: ServiceName, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            async def answer(arrival: Arrival) -> Response:
                token = self._tokens.check(request)
                arrival.client_id = token.client_id
                return await handler(request, Call(on, service, token, arrival))

            return await self._answered(request, answer)

        return endpoint

    async def _answered(self, request: Request, answer: Callable[[Arrival], Awaitable[Response]]) -> Response:
        arrival = Arrival(request.method, request.scope["signstash.path"])
        try:
            try:
                response = await answer(arrival)
            except HTTPException as error:
                raise refused_by_spring(error, arrival.path) from error
            except ClientDisconnect as error:
                raise RefusedError(Response(status_code=400), cause="the client hung up") from error
            except RefusedError:
                raise
            except Exception as error:
                _LOG.exception("The sandbox failed; this is a mistake in it")
                raise refused("0.0.1", f"the sandbox failed: {type(error).__name__}: {error}") from error
        except RefusedError as error:
            response = error.response
            arrival.error_code, arrival.cause = error.error_code, error.cause
        arrival.status = response.status_code
        self.journal.note(arrival)
        return response

    async def _nothing_there(self, request: Request, error: Exception) -> Response:
        async def answer(_: Arrival) -> Response:
            raise error

        return await self._answered(request, answer)

    async def _strike(self, call: Call, names: Sequence[str] = ()) -> Fault | None:
        """Let the fault strike that concerns a request, if one does.

        Returns:
            The fault, if it is one that strikes after processing.

        Raises:
            RefusedError: If it strikes before.
        """
        delay, fault = self.faults.for_request(call.on, call.arrival.references, names)
        if delay:
            await asyncio.sleep(delay)
        if fault is None:
            return None
        call.arrival.fault = fault.kind
        if fault.moment == "after":
            return fault
        if fault.kind in ("expired_token", "revoked_token"):
            self._tokens.revoke(call.token)
        raise answer_instead(fault)

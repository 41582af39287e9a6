"""The mock that tests hold in their hands: a mocked Sign'Stash on a respx router, scenarios, and assertions."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Final, Self

import attrs
import httpx

from .._transport.http_client import use_transport
from ..client import SignStash
from ..retries import use_sleep
from ..settings import Credentials
from . import paths
from .requests import ResentMails, SentDocument, SignRequest
from .scenarios import Scenarios
from .service import Service

try:
    import respx
    from respx.models import AllMockedAssertionError, RouteList
except ImportError as _missing:
    raise ImportError(f"{_missing}. Mocks need more packages: pip install 'signstash[testing]'") from _missing

BASE_URL: Final = "http://signstash.test/signstash/einvoice-integration-ws"
TOKEN_URL: Final = "https://token.test/oauth2/authorization-server/oauth/token"  # noqa: S105 - a path


@attrs.frozen
class Routes:
    """The routes of a mock, for plain respx use: `mock.routes.sign.calls`, or `mock.routes.status.respond(500)`.

    Attributes:
        token: The token endpoint.
        sign: Signing, with contents in the JSON.
        sign_multipart: Signing, with contents as files.
        operation_id: The number of a document's operation.
        status: How far an operation has come.
        detail: An operation with its documents.
        documents: The signed documents of an operation.
        resend_mails: Mails to be sent again.
    """

    token: respx.Route
    sign: respx.Route
    sign_multipart: respx.Route
    operation_id: respx.Route
    status: respx.Route
    detail: respx.Route
    documents: respx.Route
    resend_mails: respx.Route


class MockSignStash(Scenarios):
    """A mocked Sign'Stash for the length of a `with` block: every call by httpx, from whatever client, ends here.

        with MockSignStash() as mock:
            mock.rate_limited(times=1)
            with pytest.raises(RateLimitedError):
                await mock.client.sign(Document.pdf("invoice.pdf"))

    It answers at any base URL. It takes any credentials, "signs" every document, refuses references that were used
    before, and answers for what it signed as the Integration Service does; below a proxy's base path
    `/einvoice-integration-client-ws` only signing is there. What comes back is the document with something added at
    its end, in which is `MOCK_SIGNATURE`.

    Scenarios say what goes wrong. Those of signing requests take place one after the other, in the order in which they
    were added; so do those of token requests. One that lasts for good keeps later ones from taking place, until
    `clear_scenarios`.

    When the block ends, a request that nothing was mocked for fails the test, also if the application has swallowed its
    error (which is not seen while another respx router is active: that may have answered); so does a scenario that took
    place never, or less often than it was told to, and a route of your own that was never called. Pauses before another
    try take no time.

    Attributes:
        routes: The mock's own routes.
        credentials: Arguments for `SignStash(**mock.credentials)`.
        assert_all_called: Whether unused scenarios and routes of your own fail the test.

    Args:
        base_url: What the ready client and `credentials` have as base URL.
        token_url: What they have as token URL, and a path at which tokens are given beside the vendor's own.
        assert_all_called: Whether unused scenarios and routes of your own fail the test.
        assert_all_mocked: Whether a request that nothing is mocked for fails. If not, it gets an empty answer.
    """

    def __init__(
        self,
        *,
        base_url: str = BASE_URL,
        token_url: str = TOKEN_URL,
        assert_all_called: bool = True,
        assert_all_mocked: bool = True,
    ) -> None:
        self._router = _Router(assert_all_mocked=assert_all_mocked)
        self._patches = ExitStack()
        self.assert_all_called = assert_all_called
        self.credentials: Credentials = {
            "base_url": base_url,
            "client_id": "PRT.000000000-PRT.000000000-mock",
            "client_secret": "mock-secret",
            "token_url": token_url,
        }
        service = Service()
        super().__init__(service)

        def route(method: str, pattern: str, answer: Callable[..., httpx.Response]) -> respx.Route:
            return self._router.route(method=method, path__regex=pattern).mock(side_effect=answer)

        token_path = re.escape(httpx.URL(token_url).path)
        self.routes: Routes = Routes(
            token=route("POST", f"(/oauth/token|^{token_path})$", service.issue_token),
            sign=route("POST", paths.SIGN_BASE64, service.sign_base64),
            sign_multipart=route("POST", paths.SIGN_MULTIPART, service.sign_multipart),
            operation_id=route("GET", paths.OPERATION_ID, service.operation_id),
            status=route("GET", paths.STATUS, service.status),
            detail=route("GET", paths.DETAIL, service.detail),
            documents=route("GET", paths.DOCUMENTS, service.documents),
            resend_mails=route("POST", paths.RESEND_MAILS, service.resend_mails),
        )
        self._router.last.update(id(item) for item in attrs.astuple(self.routes, recurse=False))

    def __repr__(self) -> str:
        return f"MockSignStash({len(self.sign_requests)} signing requests)"

    def __enter__(self) -> Self:
        self._router.start()
        self._patches.enter_context(use_transport(_transport_without_certificates))
        self._patches.enter_context(use_sleep(lambda _: asyncio.sleep(0)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        problems = [] if kind is not None else self._problems()
        self._patches.close()
        self._router.stop(quiet=True)
        if problems:
            raise AssertionError("\n".join(problems))

    @property
    def router(self) -> respx.MockRouter:
        """The respx router. Add routes for what else the application calls; they go before the mock's own."""
        return self._router

    @cached_property
    def client(self) -> SignStash:
        """A client that is ready for use. It needs not be closed."""
        return SignStash(**self.credentials)

    @property
    def sign_requests(self) -> Sequence[SignRequest]:
        """The signing requests that arrived, in order, with those that were refused."""
        return tuple(self._service.sign_requests)

    @property
    def signed_documents(self) -> Sequence[SentDocument]:
        """The documents that were "signed", in order."""
        return [document for request in self.sign_requests for document in request.documents if document.signed]

    @property
    def resent_mails(self) -> Sequence[ResentMails]:
        """The requests for mails that were granted, in order."""
        return tuple(self._service.resent_mails)

    def assert_signed(self, document: str, *, times: int = 1) -> SentDocument:
        """Assert that a document was signed, and so often.

        Args:
            document: Its name, or its external reference.
            times: How often.

        Returns:
            The last document of that name that was signed.

        Raises:
            AssertionError: If it was not. The message lists what arrived.
        """
        __tracebackhide__ = True
        if times < 1:
            raise ValueError(f"times is {times!r}. Give a number above 0, or use assert_not_signed.")
        signed = [sent for sent in self.signed_documents if document in (sent.name, sent.external_reference)]
        if len(signed) != times:
            raise AssertionError(f"{document} was signed {_often(len(signed))}, not {_often(times)}.{self._arrived()}")
        return signed[-1]

    def assert_not_signed(self, document: str) -> None:
        """Assert that a document was not signed.

        Args:
            document: Its name, or its external reference.

        Raises:
            AssertionError: If it was. The message lists what arrived.
        """
        __tracebackhide__ = True
        if any(document in (sent.name, sent.external_reference) for sent in self.signed_documents):
            raise AssertionError(f"{document} was signed.{self._arrived()}")

    def _arrived(self) -> str:
        if not self.sign_requests:
            return "\nNo signing request arrived."
        lines = ["\nSigning requests that arrived:"]
        for number, request in enumerate(self.sign_requests, 1):
            answer = "no answer" if request.status_code is None else f"HTTP {request.status_code}"
            lines.append(f"  {number}. {request.description!r} ({answer})")
            for sent in request.documents:
                became = "signed" if sent.signed else f"not signed{f', {sent.sign_error}' if sent.sign_error else ''}"
                lines.append(f"     {sent.name} ({sent.external_reference}): {became}")
        return "\n".join(lines)

    def _problems(self) -> list[str]:
        problems = [f"Nothing was mocked for {call}." for call in self._router.unexpected]
        if not self.assert_all_called:
            return problems
        problems += [f"The scenario {left}." for left in self._unused_scenarios()]
        problems += [
            f"The route {route!r} was never called."
            for route in self._router.routes
            if not route.called and id(route) not in self._router.last
        ]
        return problems


def _transport_without_certificates() -> httpx.AsyncHTTPTransport:
    """The transport of mocked clients: reading certificates takes longer than a test."""
    return httpx.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def _often(times: int) -> str:
    return {0: "never", 1: "once"}.get(times, f"{times} times")


class _Router(respx.MockRouter):
    """A router that asks the mock's own routes last, and remembers what it had no route for.

    Attributes:
        last: The routes that are asked after all others: they answer at any URL.
        unexpected: What it had no route for. An application may swallow the error.
    """

    def __init__(self, *, assert_all_mocked: bool) -> None:
        super().__init__(assert_all_called=False, assert_all_mocked=assert_all_mocked)
        self.last: set[int] = set()
        self.unexpected: list[str] = []

    def add(self, route: respx.Route, *, name: str | None = None) -> respx.Route:
        added = super().add(route, name=name)
        ordered = RouteList()
        for item in sorted(self.routes, key=lambda item: id(item) in self.last):
            ordered.add(item, name=item.name)
        self.routes[:] = ordered
        return added

    def handler(self, request: httpx.Request) -> httpx.Response:
        try:
            return super().handler(request)
        except AllMockedAssertionError:
            raise self._refused(request) from None

    async def async_handler(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().async_handler(request)
        except AllMockedAssertionError:
            raise self._refused(request) from None

    def _refused(self, request: httpx.Request) -> AllMockedAssertionError:
        called = f"{request.method} {request.url}"
        # Another router that is active at the same time may know it.
        if self.Mocker is None or self.Mocker.routers == [self]:
            self.unexpected.append(called)
        return AllMockedAssertionError(
            f"Nothing is mocked for {called}. Add a route to the mock's router, or mend the URL."
        )

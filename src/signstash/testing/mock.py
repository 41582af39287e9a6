"""The mocked Sign'Stash: a respx router, scenarios, and assertions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Final, Self

import attrs
import httpx

from ..client import SignStash
from ..settings import Credentials
from . import paths
from .received import ResentMails, SentDocument, SignRequest
from .scenarios import Scenarios, require_document_name
from .service import Service

try:
    import respx
    from respx.mocks import HTTPCoreMocker
    from respx.models import AllMockedAssertionError, RouteList

    from .interception import intercepted, other_plugin
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
        operation_id: The operation ID of a document.
        status: The status of an operation.
        detail: An operation with its documents.
        documents: The signed documents of an operation.
        resend_mails: Sending mails again.
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
    """A mocked Sign'Stash in a `with` block. It receives every request of clients of httpx and httpx2.

        with MockSignStash() as mock:
            mock.rate_limited(times=1)
            with pytest.raises(RateLimitedError):
                await mock.client.sign(Document.pdf("invoice.pdf"))

    It responds at any base URL. It accepts any credentials, "signs" every document, rejects references that are in use,
    and responds to queries about what it signed as the Integration Service does; below a proxy's base path
    `/einvoice-integration-client-ws` only signing exists. A signed document is the document followed by a comment that
    contains `MOCK_SIGNATURE`.

    Scenarios describe what goes wrong. Those of signing requests apply in the order in which they were added, each
    `times` times; so do those of token requests. One without a limit applies until `clear_scenarios`.

    At its end the block raises an `AssertionError` if a request was not mocked, even if the application swallowed the
    error (unless another respx router is active, which may have responded); if a scenario occurred less often than
    given; or if a route of your own was not called. Pauses before another attempt take no time.

    Attributes:
        routes: The mock's own routes.
        credentials: Arguments for `SignStash(**mock.credentials)`.
        assert_all_called: Whether unused scenarios and routes of your own fail the test.

    Args:
        base_url: Base URL of `client` and `credentials`.
        token_url: Their token URL, whose path issues tokens in addition to the vendor's.
        assert_all_called: Whether unused scenarios and routes of your own fail the test.
        assert_all_mocked: Whether a request that is not mocked fails. If not, it gets an empty response.
        reuse_failed_references: Whether the external reference of a document that was not signed can be used again. How
            the service behaves is not published.
    """

    def __init__(
        self,
        *,
        base_url: str = BASE_URL,
        token_url: str = TOKEN_URL,
        assert_all_called: bool = True,
        assert_all_mocked: bool = True,
        reuse_failed_references: bool = False,
    ) -> None:
        self._router = _Router(assert_all_mocked=assert_all_mocked)
        self._interception = ExitStack()
        self.assert_all_called = assert_all_called
        self.credentials: Credentials = {
            "base_url": base_url,
            "client_id": "PRT.000000000-PRT.000000000-mock",
            "client_secret": "mock-secret",
            "token_url": token_url,
        }
        service = Service(reuse_failed_references=reuse_failed_references)
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
        self._interception.enter_context(intercepted(self._router))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        problems = [] if kind is not None else self._problems()
        self._interception.close()
        if problems:
            raise AssertionError("\n".join(problems))

    @property
    def router(self) -> respx.MockRouter:
        """The respx router. Add routes for other services of the application; they precede the mock's own."""
        return self._router

    @cached_property
    def client(self) -> SignStash:
        """A client for the mock. You do not need to close it."""
        return SignStash(**self.credentials)

    @property
    def sign_requests(self) -> Sequence[SignRequest]:
        """The received signing requests, in order, including rejected ones."""
        return tuple(self._service.sign_requests)

    @property
    def signed_documents(self) -> Sequence[SentDocument]:
        """The "signed" documents, in order."""
        return [document for request in self.sign_requests for document in request.documents if document.signed]

    @property
    def resent_mails(self) -> Sequence[ResentMails]:
        """The accepted requests for mails, in order."""
        return tuple(self._service.resent_mails)

    def assert_signed(self, document: str, *, times: int = 1) -> SentDocument:
        """Assert that a document was signed exactly once, or as often as `times` says.

        Args:
            document: Its name or its external reference.
            times: How often, exactly.

        Returns:
            The document; the last one if there are several.

        Raises:
            AssertionError: If it was not signed, or not that often. The message lists the received requests.
            ValueError: If `document` is not a text, or `times` is not positive.
        """
        __tracebackhide__ = True
        require_document_name(document)
        if times < 1:
            raise ValueError(f"times is {times!r}. Give a positive number, or use assert_not_signed.")
        signed = [sent for sent in self.signed_documents if document in (sent.name, sent.external_reference)]
        if len(signed) != times:
            raise AssertionError(f"{document} {_signed(len(signed), times)}.{self._received()}")
        return signed[-1]

    def assert_not_signed(self, document: str) -> None:
        """Assert that a document was not signed.

        Args:
            document: Its name or its external reference.

        Raises:
            AssertionError: If it was signed. The message lists the received requests.
            ValueError: If `document` is not a text.
        """
        __tracebackhide__ = True
        require_document_name(document)
        if any(document in (sent.name, sent.external_reference) for sent in self.signed_documents):
            raise AssertionError(f"{document} was signed, but should not have been.{self._received()}")

    def _received(self) -> str:
        if not self.sign_requests:
            return f"\nThe mock received no signing request.{_taken_by_other_plugin()}"
        lines = ["\nReceived signing requests:"]
        for number, request in enumerate(self.sign_requests, 1):
            response = "no response" if request.status_code is None else f"HTTP {request.status_code}"
            lines.append(f"  {number}. {request.description!r} ({response})")
            for sent in request.documents:
                state = "signed" if sent.signed else f"not signed{f', {sent.sign_error}' if sent.sign_error else ''}"
                lines.append(f"     {sent.name} ({sent.external_reference}): {state}")
        return "\n".join(lines)

    def _problems(self) -> list[str]:
        problems = [f"{call} was requested, but is not mocked." for call in self._router.unexpected]
        if not self.assert_all_called:
            return problems
        problems += [f"The scenario {text}" for text in self._unused_scenarios()]
        problems += [
            f"The route {route!r} was not called."
            for route in self._router.routes
            if not route.called and id(route) not in self._router.last
        ]
        return problems


def _signed(actual: int, expected: int) -> str:
    if actual == 0:
        return "was not signed"
    return f"was signed {_often(actual)}, expected {_often(expected)}"


def _often(times: int) -> str:
    return {1: "once", 2: "twice"}.get(times, f"{times} times")


def _taken_by_other_plugin() -> str:
    plugin = other_plugin()
    if not plugin:
        return ""
    return (
        f" {plugin} is active in this test and takes the requests of your own httpx clients first: do not use it"
        " together with the mock, or let the SDK make its client."
    )


class _Router(respx.MockRouter):
    """A router that tries the mock's own routes last, and records requests without a route.

    Attributes:
        last: The routes that are tried after all others, since they match any host.
        unexpected: The requests without a route. An application may swallow the error.
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
            raise self._unmocked(request) from None

    async def async_handler(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().async_handler(request)
        except AllMockedAssertionError:
            raise self._unmocked(request) from None

    def _unmocked(self, request: httpx.Request) -> AllMockedAssertionError:
        called = f"{request.method} {request.url}"
        # A router that is tried later may have a route for it.
        if self.Mocker is None or self.Mocker.routers[-1] is self:
            innermost = next(router for router in [*HTTPCoreMocker.routers, self] if isinstance(router, _Router))
            innermost.unexpected.append(called)
        return AllMockedAssertionError(f"{called} is not mocked. Add a route to the mock's router, or fix the URL.")

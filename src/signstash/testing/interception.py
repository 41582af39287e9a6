"""Sends the requests of HTTP clients to a mock's router: of the SDK's own clients, of httpx, and of httpx2."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar
from unittest.mock import patch

import httpx
import respx
from respx.mocks import HTTPCoreMocker
from respx.models import PassThrough

from .. import retries
from .._transport import http_client


class HTTPCore2Mocker(HTTPCoreMocker):
    """respx's interception of httpcore, for httpcore2, which httpx2 is based on."""

    name = "httpcore2"
    targets: ClassVar[list[str]] = [target.replace("httpcore.", "httpcore2.") for target in HTTPCoreMocker.targets]

    @classmethod
    def _send_sync_request(cls, *arguments: Any, **options: Any) -> Any:
        with _errors_of_httpcore2():
            return super()._send_sync_request(*arguments, **options)  # type: ignore[no-untyped-call]

    @classmethod
    async def _send_async_request(cls, *arguments: Any, **options: Any) -> Any:
        with _errors_of_httpcore2():
            return await super()._send_async_request(*arguments, **options)  # type: ignore[no-untyped-call]

    @classmethod
    def from_sync_httpx_response(cls, httpx_response: Any, target: Any, **kwargs: Any) -> Any:  # noqa: ARG003 - respx's signature
        """Convert a response."""
        return import_module("httpcore2").Response(
            status=httpx_response.status_code,
            headers=httpx_response.headers.raw,
            content=httpx_response.stream,
            extensions=httpx_response.extensions,
        )

    @classmethod
    async def from_async_httpx_response(cls, httpx_response: Any, target: Any, **kwargs: Any) -> Any:
        """Convert a response."""
        return cls.from_sync_httpx_response(httpx_response, target, **kwargs)


@contextmanager
def _errors_of_httpcore2() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        raise getattr(import_module("httpcore2"), type(error).__name__)(str(error)) from error


@contextmanager
def intercepted(router: respx.MockRouter) -> Iterator[None]:
    """Send requests to a router, and let pauses between attempts take no time.

    Args:
        router: A respx router, which is started and stopped here.
    """
    with ExitStack() as stack:
        router.start()
        stack.callback(router.stop, quiet=True)
        if find_spec("httpcore2") is not None:
            HTTPCore2Mocker.register(router)
            HTTPCore2Mocker.start()
            stack.callback(HTTPCore2Mocker.stop)
            stack.callback(HTTPCore2Mocker.unregister, router)
            _precede_mocks(HTTPCore2Mocker.routers, router)
        _precede_mocks(HTTPCoreMocker.routers, router)
        # The SDK's own clients would read certificates first, which takes longer than a test.
        stack.enter_context(patch.object(http_client, "new_transport", _RouterTransport))
        stack.enter_context(use_sleep(_skip))
        yield


def use_sleep(sleep: retries.Sleep | None) -> AbstractContextManager[object]:
    """Replace the pauses between the attempts of this process. With None they are those of production."""
    return patch.object(retries, "sleep_of_tests", sleep)


def _precede_mocks(routers: list[respx.Router], router: respx.MockRouter) -> None:
    """Let the mock that started last respond first: an application's tests may have one for the whole session."""
    routers.remove(router)
    first = next((place for place, other in enumerate(routers) if isinstance(other, type(router))), len(routers))
    routers.insert(first, router)


async def _skip(_: float) -> None:
    """Let a pause take no time, but let other tasks run."""
    await asyncio.sleep(0)


class _RouterTransport(httpx.AsyncBaseTransport):
    """Sends requests to the active routers, and to the network if a route lets them pass."""

    def __init__(self) -> None:
        self._network: httpx.AsyncHTTPTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not HTTPCoreMocker.routers:
            raise httpx.ConnectError("The mock in which this client was used first has ended.", request=request)
        # A copy, so that the body is read anew if the request is sent again.
        sent = httpx.Request(
            request.method, request.url, headers=request.headers, stream=request.stream, extensions=request.extensions
        )
        await sent.aread()
        try:
            response: httpx.Response = await HTTPCoreMocker.async_handler(sent)  # type: ignore[no-untyped-call]
        except PassThrough:
            await request.aread()  # or respx would take its stream, as if it was sent
            self._network = self._network or httpx.AsyncHTTPTransport()
            return await self._network.handle_async_request(request)
        return response

    async def aclose(self) -> None:
        if self._network is not None:
            await self._network.aclose()


def other_plugin() -> str:
    """Name the package that intercepts the requests of httpx before respx does, if there is one."""
    for owner, method in (
        (httpx.AsyncHTTPTransport, "handle_async_request"),
        (httpx.HTTPTransport, "handle_request"),
    ):
        package, _, _ = str(getattr(owner, method).__module__).partition(".")
        if package != httpx.__name__:
            return package
    return ""

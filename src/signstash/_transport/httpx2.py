"""Adapts clients of httpx2, a fork with httpx's interface and its own classes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any, cast

import httpx

from .bodies import Redacted
from .cookies import AsyncClient


def as_httpx(client: object) -> httpx.AsyncClient | None:
    """A client of httpx that sends requests through a client of either library."""
    httpx2 = sys.modules.get("httpx2")  # a client of it exists only where it is imported
    if httpx2 is None or not isinstance(client, httpx2.AsyncClient):
        return cast("httpx.AsyncClient | None", client)
    return _Client(client, httpx2)


class _Client(AsyncClient):
    """Builds requests with the settings of a client of httpx2; it has no settings or connections of its own."""

    def __init__(self, client: Any, httpx2: ModuleType) -> None:
        super().__init__(transport=_Transport(client, httpx2), trust_env=False)
        self._client = client

    def build_request(self, method: str, url: httpx.URL | str, **arguments: Any) -> httpx.Request:
        built = self._client.build_request(method, str(url), **arguments)
        return httpx.Request(
            built.method, str(built.url), headers=built.headers.raw, content=built.read(), extensions=built.extensions
        )


class _Transport(httpx.AsyncBaseTransport):
    """Sends requests of httpx through a client of httpx2."""

    def __init__(self, client: Any, httpx2: ModuleType) -> None:
        self._client = client
        self._httpx2 = httpx2

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sent = self._httpx2.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            stream=_body_for(self._httpx2, cast("httpx.AsyncByteStream", request.stream)),
            extensions=request.extensions,
        )
        with _failures_of_httpx(self._httpx2):
            try:
                response = await self._client.send(sent, auth=None, follow_redirects=False, stream=True)
            except self._httpx2.HTTPStatusError as error:
                response = error.response  # a hook of the client raises for error responses
        headers = httpx.Headers(response.headers.raw)
        if response.is_stream_consumed:  # a hook has read it
            headers.pop("content-encoding", None)
            return httpx.Response(response.status_code, headers=headers, stream=httpx.ByteStream(response.content))
        return httpx.Response(response.status_code, headers=headers, stream=_ResponseBody(response, self._httpx2))


class _ResponseBody(httpx.AsyncByteStream):
    """The body of a response of httpx2, as it comes from the network."""

    def __init__(self, response: Any, httpx2: ModuleType) -> None:
        self._response = response
        self._httpx2 = httpx2

    async def __aiter__(self) -> AsyncIterator[bytes]:
        redacted = Redacted()
        with _failures_of_httpx(self._httpx2):
            async with contextlib.aclosing(self._response.aiter_raw()) as pieces:
                async for redacted.piece in pieces:
                    yield redacted.piece

    async def aclose(self) -> None:
        with _failures_of_httpx(self._httpx2):
            await self._response.aclose()


def _body_for(httpx2: ModuleType, stream: httpx.AsyncByteStream) -> object:
    """The same body, of the class that httpx2 requires."""
    return type("Body", (httpx2.AsyncByteStream,), {"__aiter__": lambda _: aiter(stream)})()


@contextlib.contextmanager
def _failures_of_httpx(httpx2: ModuleType) -> Iterator[None]:
    """Raise exceptions of httpx2 as those of httpx with the same names."""
    try:
        yield
    except httpx2.StreamError as error:
        raise httpx.StreamError(str(error)) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error)) from error

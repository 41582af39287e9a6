"""Lets generated endpoint functions use the token, deadline, retries and errors of `SignStash`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NoReturn, cast

import attrs
import httpx

from .._errors.parsing import NOT_JSON, json_value
from .._generated import AuthenticatedClient
from .._generated.errors import UnexpectedStatus
from ..errors import ConfigurationError, SignStashError
from ..retries import Deadline
from .endpoints import any_operation
from .exchange import ServiceResponse
from .requests import Requests
from .tracing import call_span


class GeneratedClient(AuthenticatedClient):
    """The `client` argument of generated endpoint functions; `SignStash.generated` returns it.

        from signstash.api import get_status

        operation = await get_status.asyncio(7, client=client.generated)

    Only the asynchronous functions can be used. A request that fails raises a `SignStashError`, and a success that
    does not match the definition an `UnexpectedAnswerError`. Requests are retried as those of the methods: if the
    service failed, only those that read.
    """

    def __init__(self, requests: Requests) -> None:
        # The exchange adds the token; this class is the one that every endpoint function accepts.
        super().__init__(base_url=requests.exchange.base_url, token="", raise_on_unexpected_status=True)
        self._sender = _Sender(requests)

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """What endpoint functions send their requests with; it has only `request`."""
        return cast("httpx.AsyncClient", self._sender)

    def get_httpx_client(self) -> NoReturn:
        """Raise: the token is fetched asynchronously."""
        raise ConfigurationError(
            "A synchronous endpoint function was called.", "Await `asyncio` or `asyncio_detailed` of the same module."
        )


@attrs.frozen
class _Sender:
    _requests: Requests

    async def request(self, **arguments: Any) -> httpx.Response:
        """Send a request, with the arguments that httpx takes, and return the response if it is a success."""
        deadline = Deadline.after(self._requests.exchange.deadline)
        call = await asyncio.to_thread(any_operation, **arguments)
        with call_span("generated"):
            return _Response(await self._requests.send(call, deadline))


class OtherOperations:
    """The part of `SignStash` for operations that have no method."""

    _requests: Requests

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request that has no method here, such as one of a definition that is newer than this package.

            response = await client.request("GET", "/api/v0/operation/7", params={"withContent": "false"})

        It gets the token, deadline, retries and errors of this client.

        Args:
            method: HTTP method. All but GET, HEAD and OPTIONS are taken to change something: they are not repeated
                once they may have been processed.
            path: Path below `base_url`, quoted where needed.
            json: Body, as `json.dumps` takes it, or None for no body.
            params: Query parameters.
            headers: Headers, in addition to those of this client.

        Returns:
            The response, which is a success.

        Raises:
            SignStashError: If it failed.
        """
        if not path.startswith("/") or ".." in path.split("/"):
            raise ConfigurationError(f"path is {path!r}.", "Give a path that begins with / and stays below base_url.")
        return await _Sender(self._requests).request(
            method=method, url=path, json=json, params=params, headers=dict(headers or {})
        )

    @property
    def generated(self) -> GeneratedClient:
        """The `client` for generated endpoint functions, for operations that have no method here.

        Their requests get the token, deadline, retries and errors of this client.
        """
        return GeneratedClient(self._requests)


class _Response(httpx.Response):
    """A response whose failures to parse are raised as a `SignStashError`."""

    def __init__(self, response: ServiceResponse) -> None:
        headers = httpx.Headers(response.headers)
        # The body has been decompressed and put together.
        for name in ("content-encoding", "content-length", "transfer-encoding"):
            headers.pop(name, None)
        super().__init__(response.status_code, headers=headers, content=response.body)
        self._error = response.unreadable

    def json(self, **_: Any) -> Any:
        value = json_value(self.content)
        if value is NOT_JSON:
            raise self._error("is not JSON")
        return value

    def unreadable(self, failure: Exception) -> Exception:
        """What is raised for a failure of the generated parser, whose text may hold contents of documents."""
        if isinstance(failure, SignStashError):
            return failure
        if isinstance(failure, UnexpectedStatus):
            return self._error("has a status that the definition does not name")
        return self._error(f"does not fit the definition ({type(failure).__name__})")

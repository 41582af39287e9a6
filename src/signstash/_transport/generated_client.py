"""Lets the generated endpoint functions be awaited with the token, the timeouts and the errors of the facade."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, NoReturn, cast

import httpx

from .._errors.parsing import NOT_JSON, json_value
from .._generated import AuthenticatedClient
from .._generated.errors import UnexpectedStatus
from ..errors import ConfigurationError, SignStashError
from .endpoints import Call, any_operation
from .exchange import Answer, Exchange
from .tracing import call_span


class GeneratedClient(AuthenticatedClient):
    """What generated endpoint functions take as `client`; `SignStash.generated` gives it.

        from signstash._generated.api.operation_management import get_status

        operation = await get_status.asyncio(7, client=client.generated)

    Only the asynchronous functions can be used. Whatever keeps a request from success is raised as a `SignStashError`,
    and a success that does not fit the definition as an `UnexpectedAnswerError`.

    Args:
        exchange: How requests reach the service.
    """

    def __init__(self, exchange: Exchange) -> None:
        # The token is put on by the exchange; this class is the one that every endpoint function accepts.
        super().__init__(base_url=exchange.base_url, token="", raise_on_unexpected_status=True)
        self._exchange = exchange

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """What endpoint functions send their requests with; it has nothing but `request`."""
        return cast("httpx.AsyncClient", _Requests(self._exchange))

    def get_httpx_client(self) -> NoReturn:
        """Refuse: the token is fetched asynchronously.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError(
            "A synchronous endpoint function was called.", "Await `asyncio` or `asyncio_detailed` of the same module."
        )


class _Requests:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def request(self, **arguments: Any) -> httpx.Response:
        call = await asyncio.to_thread(any_operation, **arguments)
        with call_span("generated"):
            answer = await self._exchange.send(call)
        return _Answer(answer, call)


class _Answer(httpx.Response):
    """An answer whose body is read as the facade reads it."""

    def __init__(self, answer: Answer, call: Call) -> None:
        headers = httpx.Headers(answer.headers)
        # The body has been decompressed and put together.
        for name in ("content-encoding", "content-length", "transfer-encoding"):
            headers.pop(name, None)
        super().__init__(answer.status_code, headers=headers, content=answer.body)
        self._unreadable = partial(answer.unreadable, call)

    def json(self, **_: Any) -> Any:
        value = json_value(self.content)
        if value is NOT_JSON:
            raise self._unreadable("is not JSON")
        return value

    def unreadable(self, failure: Exception) -> Exception:
        """What is raised for a failure of the generated parser, whose text may hold contents of documents."""
        if isinstance(failure, SignStashError):
            return failure
        if isinstance(failure, UnexpectedStatus):
            return self._unreadable("has a status that the definition does not name")
        return self._unreadable(f"does not fit the definition ({type(failure).__name__})")

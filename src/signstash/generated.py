"""Lets the generated endpoint functions be awaited with the token, the timeouts and the errors of the facade."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn, cast

import httpx

from ._generated import AuthenticatedClient
from .answers import NOT_JSON, json_value, unreadable_answer
from .errors import ConfigurationError
from .exchange import Exchange
from .operations import any_operation
from .tracing import call_span


class GeneratedClient(AuthenticatedClient):
    """What generated endpoint functions take as `client`; `SignStash.generated` gives it.

        from signstash._generated.api.operation_management import get_status

        operation = await get_status.asyncio(7, client=client.generated)

    Only the asynchronous functions can be used. Whatever keeps a request from success is raised as a `SignStashError`.
    A success is read by the generated parser: one with a status that the definition does not name is a generated
    `UnexpectedStatus`, and one that lacks a required field a `KeyError`.

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
        headers = httpx.Headers(answer.headers)
        # The body has been decompressed and put together.
        for name in ("content-encoding", "content-length", "transfer-encoding"):
            headers.pop(name, None)
        response = _Answer(answer.status_code, headers=headers, content=answer.body)
        response.changes_state = call.changes_state
        return response


class _Answer(httpx.Response):
    """An answer whose body is read as the facade reads it."""

    changes_state = False

    def json(self, **_: Any) -> Any:
        value = json_value(self.content)
        if value is NOT_JSON:
            raise unreadable_answer(
                self.status_code, self.headers, self.content, "is not JSON", maybe_processed=self.changes_state
            )
        return value

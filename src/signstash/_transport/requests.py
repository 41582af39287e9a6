"""Sends requests as httpx takes them, with the token, deadline, retries and errors of `SignStash`."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from .._errors.parsing import NOT_JSON, json_value
from ..errors import SignStashError
from ..retries import Deadline, Retries
from .endpoints import any_operation
from .exchange import Exchange, ServiceResponse
from .tracing import call_span


class Requests:
    """Sends requests that have no method.

    Args:
        exchange: Sends them.
        retries: Repeats them.
    """

    def __init__(self, exchange: Exchange, retries: Retries) -> None:
        self.base_url: str = exchange.base_url
        self._exchange = exchange
        self._retries = retries

    async def request(self, **arguments: Any) -> httpx.Response:
        """Send a request, with the arguments that httpx takes, and return the response if it is a success.

        Raises:
            SignStashError: If it failed.
        """
        deadline = Deadline.after(self._exchange.deadline)
        call = await asyncio.to_thread(any_operation, **arguments)
        with call_span("generated"):
            response = await self._retries.run(lambda: self._exchange.send(call, deadline), deadline)
        return _Response(response)


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
        from .._generated.errors import UnexpectedStatus

        if isinstance(failure, UnexpectedStatus):
            return self._error("has a status that the definition does not name")
        return self._error(f"does not fit the definition ({type(failure).__name__})")

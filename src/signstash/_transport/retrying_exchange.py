"""Sends requests with the token, deadline, retries and errors of `SignStash`."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import httpx

from .._errors.parsing import NOT_JSON, json_value
from .._errors.unknown import noted
from ..errors import SignStashError
from ..retries import Deadline, Retries
from .endpoints import Call, any_operation
from .exchange import Exchange, ServiceResponse
from .tracing import call_span


@attrs.frozen(eq=False, repr=False)
class RetryingExchange:
    """Sends the requests of a client or a view, and again where the policy allows it. Only a success is returned."""

    exchange: Exchange
    retries: Retries

    async def ask(self, call: Call) -> ServiceResponse:
        """Send a call under a span of its own. Its deadline begins now."""
        with call_span(call.operation, call.external_references, call.operation_id):
            return await self.send(call, Deadline.after(self.exchange.deadline))

    async def send(self, call: Call, deadline: Deadline) -> ServiceResponse:
        with noted(call.external_references):
            return await self.retries.run(lambda: self.exchange.send(call, deadline), deadline)

    async def request(self, **arguments: Any) -> httpx.Response:
        """Send a request that has no method, with the arguments that httpx takes."""
        deadline = Deadline.after(self.exchange.deadline)
        call = await asyncio.to_thread(any_operation, **arguments)
        with call_span("generated"):
            return _Response(await self.send(call, deadline))


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

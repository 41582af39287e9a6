"""Lets generated endpoint functions use the token, deadline, retries and errors of `SignStash`."""

from __future__ import annotations

from typing import NoReturn, cast

import httpx

from .._generated.client import AuthenticatedClient
from ..errors import ConfigurationError
from .retrying_exchange import RetryingExchange


class GeneratedClient(AuthenticatedClient):
    """The `client` argument of generated endpoint functions; `SignStash.generated` returns it.

        from signstash.api import get_status

        operation = await get_status.asyncio(7, client=client.generated)

    Only the asynchronous functions can be used. A request that fails raises a `SignStashError`, and a success that
    does not match the definition an `UnexpectedResponseError`. Requests are retried as those of the methods: if the
    service failed, only those that read.
    """

    def __init__(self, retrying: RetryingExchange) -> None:
        # The exchange adds the token; this class is the one that every endpoint function accepts.
        super().__init__(base_url=retrying.exchange.base_url, token="", raise_on_unexpected_status=True)
        self._retrying = retrying

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """What endpoint functions send their requests with; it has only `request`."""
        return cast("httpx.AsyncClient", self._retrying)

    def get_httpx_client(self) -> NoReturn:
        """Raise: the token is fetched asynchronously."""
        raise ConfigurationError(
            "A synchronous endpoint function was called.", "Await `asyncio` or `asyncio_detailed` of the same module."
        )

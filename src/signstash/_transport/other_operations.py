"""Requests for operations that `SignStash` has no method for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

import httpx

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from .generated_client import GeneratedClient
    from .retrying_exchange import RetryingExchange


class OtherOperations:
    """The part of `SignStash` for operations that have no method."""

    _retrying: RetryingExchange

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
        parts = re.split(r"[/\\]", unquote(path.partition("?")[0])) if isinstance(path, str) else [".."]
        if parts[0] or not parts[1:] or ".." in parts:
            raise ConfigurationError(f"path is {path!r}.", "Give a path that begins with / and stays below base_url.")
        return await self._retrying.request(method=method, url=path, json=json, params=params, headers=headers or {})

    @property
    def generated(self) -> GeneratedClient:
        """The `client` for generated endpoint functions, for operations that have no method here.

        Their requests get the token, deadline, retries and errors of this client.
        """
        from .generated_client import GeneratedClient

        return GeneratedClient(self._retrying)

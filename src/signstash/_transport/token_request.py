"""Requests an access token from the token server."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

import attrs
import httpx

from .._errors.mapping import shown_headers
from .._errors.network import describe_network_error, hint_for, status_of_invalid_redirect
from .._errors.parsing import json_object, retry_after
from .._errors.redaction import Secret, printable
from ..errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    CredentialsRejectedError,
    RateLimitedError,
    ServiceError,
    SignStashError,
    UnexpectedResponseError,
)
from .bodies import UnusableResponseError, read_error, read_whole
from .http_client import new_http_client

TOKEN_TIMEOUT: Final = 10.0
"""Seconds that connecting to the token server, and each read from it, may take."""
DEFAULT_LIFETIME: Final = 300.0
"""Seconds that a token is kept if the token server does not say how long it is valid."""

_RESPONSE_LIMIT: Final = 1024 * 1024


@attrs.frozen
class IssuedToken:
    """A token as the token server issued it, and its lifetime in seconds from the request on."""

    value: Secret
    lifetime: float


@attrs.frozen(kw_only=True)
class TokenRequest:
    """A request for a token with the `client_credentials` grant (RFC 6749, section 4.4).

    The credentials go into HTTP Basic authentication as they are, in UTF-8 (RFC 7617), and not form-encoded first as
    RFC 6749, section 2.3.1 has it: the vendor's server does not decode them (wiki: integration guide, step 1).

    The attributes are those of `TokenAuth`.
    """

    url: str
    client_id: str
    client_secret: Secret
    http_client: httpx.AsyncClient | None
    client_settings: bool

    async def send(self) -> IssuedToken:
        """Send the request once."""
        try:
            async with asyncio.timeout(3 * TOKEN_TIMEOUT):
                status_code, headers, body = await self._response()
        except UnusableResponseError as unusable:
            raise self._unusable(200, httpx.Headers(), str(unusable)) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:  # TimeoutError is an OSError
            status = status_of_invalid_redirect(error)
            if status is not None:
                raise self._unusable(status, httpx.Headers(), "redirects to an invalid URL") from None
            raise ConnectionFailedError(
                f"The token request to {self.host} for {self.client_id} failed: {describe_network_error(error)}.",
                f"{hint_for(error)} Nothing was sent to the signing service.",
            ) from error
        except RuntimeError as error:  # of a client that is closed, or has connections of another event loop
            raise ConfigurationError(
                f"The HTTP client for token requests cannot be used ({str(error).rstrip('.')}); nothing was sent.",
                "Give one that is open and was made for this event loop.",
            ) from error
        if 200 <= status_code < 300:
            return self._token(json_object(body), status_code, headers)
        raise self._rejection(json_object(body) or {}, status_code, headers)

    @property
    def host(self) -> str:
        return httpx.URL(self.url).host

    async def _response(self) -> tuple[int, httpx.Headers, bytes]:
        if self.http_client is not None:
            return await self._post(self.http_client)
        # One client for each request: one is needed about once a day, and so no connection outlives its event loop.
        async with await new_http_client() as client:
            return await self._post(client)

    async def _post(self, client: httpx.AsyncClient) -> tuple[int, httpx.Headers, bytes]:
        build = client.build_request if self.client_settings or self.http_client is None else httpx.Request
        request = build(
            "POST",
            self.url,
            data={"grant_type": "client_credentials"},
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            extensions={"timeout": httpx.Timeout(TOKEN_TIMEOUT).as_dict()},
        )
        credentials = httpx.BasicAuth(self.client_id.encode(), self.client_secret.reveal().encode())
        try:
            response = await client.send(request, auth=credentials, follow_redirects=False, stream=True)
        except httpx.HTTPStatusError as error:
            response = error.response  # a hook of the client raises for error responses
        try:
            body = read_whole(response, _RESPONSE_LIMIT) if response.is_success else read_error(response)
            return response.status_code, response.headers, await body
        finally:
            await response.aclose()

    def _token(self, fields: dict[str, Any] | None, status_code: int, headers: httpx.Headers) -> IssuedToken:
        if fields is None:
            raise self._unusable(status_code, headers, "is not a JSON object")
        text = fields.pop("access_token", None)
        if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable() or " " in text:
            raise self._unusable(status_code, headers, "contains no usable access_token")
        value = Secret(text)
        # wire: `bearer` in lower case; RFC 6749, section 5.1: it is compared without regard to case.
        token_type = fields.get("token_type")
        if token_type is not None and str(token_type).lower() != "bearer":
            raise self._unusable(status_code, headers, "contains a token of another type than bearer")
        expires_in = fields.get("expires_in")
        try:
            lifetime = DEFAULT_LIFETIME if expires_in is None else float(expires_in)
        except (TypeError, ValueError, OverflowError):
            lifetime = math.nan
        if isinstance(expires_in, bool) or not 0 < lifetime < math.inf:
            raise self._unusable(status_code, headers, "contains an expires_in that is not a positive number")
        return IssuedToken(value, lifetime)

    def _rejection(self, fields: dict[str, Any], status_code: int, headers: httpx.Headers) -> SignStashError:
        code = self._shown(fields["error"]) if isinstance(fields.get("error"), str) else None
        text = fields.get("error_description")
        details: dict[str, Any] = {
            "status_code": status_code,
            "error_code": code,
            "description": self._shown(text) if isinstance(text, str) else None,
            "headers": shown_headers(headers),
        }
        marks = f"HTTP {status_code}{f', {code}' if code else ''}, for {self.client_id}"
        if status_code == 401 or code in ("invalid_client", "unauthorized_client"):
            return CredentialsRejectedError(
                f"The token server {self.host} rejected the credentials ({marks}).",
                "client_id is the alias of the client service and client_secret the password defined for it in the "
                "backoffice; check both, and that they belong to this `environment`.",
                **details,
            )
        if status_code == 429:
            seconds = retry_after(headers)
            return RateLimitedError(
                f"The token server {self.host} accepts no more requests for now ({marks}).",
                "Repeat the call later." if seconds is None else f"Repeat the call after {seconds:.0f} seconds.",
                retryable=True,
                retry_after=seconds,
                **details,
            )
        if status_code >= 500:
            return ServiceError(
                f"The token server {self.host} failed ({marks}).",
                "Repeat the call later; nothing was sent to the signing service.",
                retryable=True,
                **details,
            )
        if code is not None:
            return AuthenticationError(
                f"The token server {self.host} rejected the request ({marks}).",
                "Ask the vendor's support whether the client service may use the client_credentials grant.",
                **details,
            )
        return self._unusable(status_code, headers, "is not a token response")

    def _shown(self, text: str) -> str:
        """A text of the token server without the secret, which it may quote."""
        return printable(text.replace(self.client_secret.reveal(), "(hidden)"), 300)

    def _unusable(self, status_code: int, headers: httpx.Headers, why: str) -> UnexpectedResponseError:
        content_type = self._shown(headers.get("content-type", ""))
        marks = f"HTTP {status_code}, " if status_code else ""
        return UnexpectedResponseError(
            f"The response of {self.url} to {self.client_id} ({marks}{content_type or 'no content type'}) {why}.",
            "Check that this is the token server's URL, and that no gateway or login page responds instead.",
            status_code=status_code,
            headers=shown_headers(headers),
            content_type=content_type,
        )

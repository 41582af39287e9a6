"""Requests an access token from the token server."""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import aclosing, nullcontext
from typing import Any, Final

import attrs
import httpx

from .._errors.mapping import ErrorContext, error_from_token_server, unreadable_response
from .._errors.network import error_from_network
from .._errors.parsing import json_object
from .._errors.redaction import Secret
from ..errors import SignStashError
from .bodies import UnusableResponseError, read_error, read_whole
from .http_client import new_http_client, opened

TOKEN_TIMEOUT: Final = 10.0
"""Seconds that connecting to the token server, and each read from it, may take."""
DEFAULT_LIFETIME: Final = 300.0
"""Seconds that a token is kept if the token server does not say how long it is valid."""

_RESPONSE_LIMIT: Final = 1024 * 1024


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TokenRequest:
    """A request for a token with the `client_credentials` grant (RFC 6749, section 4.4).

    The credentials go into HTTP Basic authentication as they are, in UTF-8 (RFC 7617), and not form-encoded first as
    RFC 6749, section 2.3.1 has it: the vendor's server does not decode them (wiki: integration guide, step 1).

    The attributes are those of `TokenAuth`, and its token URL.
    """

    url: str
    client_id: str
    client_secret: Secret
    http_client: httpx.AsyncClient | None
    client_settings: bool

    async def send(self) -> tuple[Secret, float]:
        """Send the request once. Returns the token, and its lifetime in seconds from the request on."""
        context = ErrorContext(client_service=self.client_id, token_server=self.url)
        try:
            async with asyncio.timeout(3 * TOKEN_TIMEOUT):
                # A token is needed about once a day; a client that is kept would be bound to one event loop.
                async with nullcontext(self.http_client) if self.http_client else new_http_client() as client:
                    result = await self._post(client, context)
        except UnusableResponseError as unusable:
            raise unreadable_response(unusable.status_code, {}, b"", str(unusable), context) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, RuntimeError) as error:
            raise error_from_network(error, "The token request", "", context) from error
        # Raised here: the traceback has no local variables with the response, which may hold token and secret.
        if isinstance(result, SignStashError):
            raise result
        return result

    async def _post(self, client: httpx.AsyncClient, context: ErrorContext) -> tuple[Secret, float] | SignStashError:
        build = client.build_request if self.client_settings or self.http_client is None else httpx.Request
        request = build(
            "POST",
            self.url,
            data={"grant_type": "client_credentials"},
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            extensions={"timeout": httpx.Timeout(TOKEN_TIMEOUT).as_dict()},
        )
        credentials = httpx.BasicAuth(self.client_id.encode(), self.client_secret.reveal().encode())
        async with aclosing(await opened(client, request, credentials)) as response:
            if response.is_success:
                try:
                    return _token_in(json_object(await read_whole(response, _RESPONSE_LIMIT)))
                except ValueError as error:
                    return unreadable_response(response.status_code, response.headers, b"", str(error), context)
            fields, secret = json_object(await read_error(response)) or {}, self.client_secret.reveal()
            texts = {name: text.replace(secret, "(hidden)") for name, text in fields.items() if isinstance(text, str)}
            return error_from_token_server(response.status_code, response.headers, texts, context)


def _token_in(fields: dict[str, Any] | None) -> tuple[Secret, float]:
    """The token of a response and its lifetime, or a `ValueError` that says what is wrong with it."""
    if fields is None:
        raise ValueError("is not a JSON object")
    token = Secret(fields.pop("access_token", None))
    # RFC 6750, section 2.1
    if not isinstance(token.reveal(), str) or not re.fullmatch(r"[!-~]+", token.reveal()):
        raise ValueError("contains no usable access_token")
    # wire: `bearer` in lower case; RFC 6749, section 5.1: it is compared without regard to case.
    token_type = fields.get("token_type")
    if token_type is not None and str(token_type).lower() != "bearer":
        raise ValueError("contains a token of another type than bearer")
    expires_in = fields.get("expires_in")
    try:
        lifetime = DEFAULT_LIFETIME if expires_in is None else float(expires_in)
    except (TypeError, ValueError, OverflowError):
        lifetime = math.nan
    if isinstance(expires_in, bool) or not 0 < lifetime < math.inf:
        raise ValueError("contains an expires_in that is not a positive number")
    return token, lifetime

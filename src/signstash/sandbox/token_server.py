"""The token server: issues tokens and checks them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from starlette.requests import Request
from starlette.responses import JSONResponse

from .error_responses import RejectedError, rejected
from .fault_responses import invalid_client


@attrs.frozen
class Token:
    """An issued token.

    Attributes:
        client_id: Alias of the client service it was issued to.
        identifier: Its `jti`.
    """

    client_id: str
    identifier: str = attrs.field(factory=lambda: secrets.token_hex(16))


@attrs.define
class TokenServer:
    """Issues and checks tokens.

    Attributes:
        clients: Secrets of the client services, by alias.
        lifetime: Lifetime of a token in seconds.
        clock: Seconds since 1970.
    """

    clients: Mapping[str, str] = attrs.field(repr=False)
    lifetime: int
    clock: Callable[[], float]
    _revoked: set[str] = attrs.field(factory=set[str], init=False, repr=False)
    _key: bytes = attrs.field(factory=lambda: secrets.token_bytes(32), init=False, repr=False)

    async def authenticated(self, request: Request) -> str:
        """Authenticate a token request and return the client service's alias.

        Raises:
            RejectedError: If the credentials or the grant type are not valid, in the format of Spring.
        """
        client_id, secret = _basic(request.headers.get("authorization", ""))
        expected = self.clients.get(client_id)
        if expected is None or not secrets.compare_digest(expected.encode(), secret.encode()):
            raise invalid_client()
        async with request.form(max_files=0, max_fields=10) as form:
            grant = form.get("grant_type") or request.query_params.get("grant_type")
        if not grant:
            raise _bad("invalid_request", "Missing grant type")
        if grant != "client_credentials":
            raise _bad("unsupported_grant_type", f"Unsupported grant type: {grant}")
        return client_id

    def issue(self, token: Token) -> dict[str, Any]:
        """The response body with a token."""
        claims = {"client_id": token.client_id, "scope": ["read", "write"], "jti": token.identifier}
        return {
            "access_token": self._signed({**claims, "exp": int(self.clock()) + self.lifetime}),
            "token_type": "bearer",
            "expires_in": self.lifetime,
            "scope": "read write",
            "jti": token.identifier,
        }

    def check(self, request: Request) -> Token:
        """Check the token of a request and return it.

        Raises:
            RejectedError: If it is missing, expired, revoked, or not from here.
        """
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        signed = given.strip().rpartition(".")[0]
        if scheme.lower() != "bearer" or not hmac.compare_digest(self._seal(signed).encode(), given.strip().encode()):
            raise rejected("0.0.10", "token")
        claims = json.loads(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))
        if claims["exp"] <= self.clock() or claims["jti"] in self._revoked:
            raise rejected("0.0.10", "token")
        return Token(claims["client_id"], claims["jti"])

    def revoke(self, token: Token) -> None:
        """Make a token invalid."""
        self._revoked.add(token.identifier)

    def _signed(self, claims: Mapping[str, Any]) -> str:
        head, body = (_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return self._seal(f"{head}.{body}")

    def _seal(self, text: str) -> str:
        return f"{text}.{_base64url(hmac.new(self._key, text.encode(), hashlib.sha256).digest())}"


def _bad(error: str, description: str) -> RejectedError:
    return RejectedError(JSONResponse({"error": error, "error_description": description}, 400), cause=description)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _basic(header: str) -> tuple[str, str]:
    """User and password of HTTP Basic authentication (RFC 7617), or two empty strings."""
    scheme, _, encoded = header.partition(" ")
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (user, password) if scheme.lower() == "basic" else ("", "")

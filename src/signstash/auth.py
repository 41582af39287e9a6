"""OAuth 2.0 client-credentials authentication: acquires, caches, refreshes and replaces the access token."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from typing import Final

import attrs
import httpx

from . import errors, settings
from ._errors.mapping import ErrorContext, error_from_response
from ._errors.redaction import Secret
from ._event_loop import running_loop
from ._transport.bodies import read_error, without_credentials
from ._transport.httpx2 import as_httpx
from ._transport.request_content import RequestBody
from ._transport.token_request import TokenRequest
from .errors import AuthenticationError, ConfigurationError, CredentialsRejectedError, ServiceError, SignStashError
from .retries import LONGEST_RETRY_AFTER, Retries, RetryPolicy, current_attempt
from .settings import HttpClient

logger: Final = logging.getLogger("signstash")

TOKEN_ATTEMPTS: Final = 3
"""How often a token request is attempted before its failure is raised."""
REJECTION_PAUSE: Final = 30.0
"""Seconds for which rejected credentials are not sent again: calls fail at once, with the same error."""
RENEWAL_PAUSE: Final = 5.0
"""Seconds until a failed early renewal is repeated, and a token that was rejected when it was new is replaced."""
_PROCESSED_NOTHING: Final = "The signing service processed nothing."


@attrs.define(eq=False)
class _Token:
    """An access token, as the header that carries it, and its times, in seconds of the auth object's clock.

    Before `early` it is used; between `early` and `due` it is used while a renewal runs in the background; from `due`
    on it is not used. Before `kept_until` it is not replaced if it is rejected.
    """

    authorization: Secret
    issued: float
    early: float
    due: float
    kept_until: float = -math.inf


class TokenAuth(httpx.Auth):
    """Puts Sign'Stash's access token on the requests of an `httpx.AsyncClient`.

        auth = TokenAuth("https://.../oauth/token", client_id, client_secret, base_urls=["http://proxy:8081/..."])
        async with httpx.AsyncClient(auth=auth) as client:
            await client.get("http://proxy:8081/...")   # carries "Authorization: Bearer <token>"

    - The credentials are sent with HTTP Basic authentication in UTF-8 (RFC 7617).
    - However many calls need a token, one request fetches it. The waiting calls share the token, or the failure.
    - In the last tenth of its lifetime (five minutes at most) the token is refreshed in the background; if that fails,
      again after `RENEWAL_PAUSE` seconds. A token is not used in its last thirty seconds, or last twentieth if that is
      shorter.
    - While `Retry-After` of the token server lasts, ten minutes at most, calls without a token fail at once.
    - A rejected token (HTTP 401 without a licence code, or code `0.0.10`) is dropped, unless a newer one has already
      replaced it, and the request is sent once more with a new one, byte for byte the same. If that is rejected too,
      `TokenRejectedError` is raised, and no other token is requested for `RENEWAL_PAUSE` seconds.
    - Rejected credentials are not sent again for `REJECTION_PAUSE` seconds, so that the account is not locked.
    - The token goes to the origins of `base_urls` and nowhere else. (A client of your own that follows redirects keeps
      it when a host redirects to its own https.)
    - A request body that can be read only once is read into memory before it is sent, so that it can be sent again.

    One object may serve several clients, but one event loop at a time.

    Args:
        token_url: Full URL of the token endpoint. Plain HTTP is accepted for local and private hosts only.
        client_id: Alias of the client service.
        client_secret: Its secret, as defined in the backoffice.
        base_urls: The services that may see the token, by URL; only scheme, host and port count.
        http_client: Client for the token requests alone, with its own proxy or CA. It is not closed here. By default
            each token request makes its own client.
        client_settings: Whether that client's headers, parameters and cookies are sent with token requests. False if
            it is the client of another service.
        clock: Monotonic clock, in seconds.
        jitter: Returns numbers between 0 and 1 that spread renewals and repeated attempts.

    Raises:
        ConfigurationError: If an argument cannot work. The message lists all problems.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | Secret,
        *,
        base_urls: str | Iterable[str],
        http_client: HttpClient | None = None,
        client_settings: bool = True,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        client_secret = client_secret if isinstance(client_secret, Secret) else Secret(client_secret)
        base_urls = settings.as_list(base_urls)
        settings.raise_for_problems(
            settings.token_url_problems(token_url),
            settings.credential_problems(client_id, client_secret),
            [] if base_urls else ["base_urls is missing"],
            *(settings.url_problems("base_urls", url) for url in base_urls),
            settings.client_problems(http_client=http_client),
        )
        settings.warn_of_plain_http(base_urls)
        self.client_id = client_id
        self._token_host = httpx.URL(token_url).host
        self._request = TokenRequest(
            url=token_url,
            client_id=client_id,
            client_secret=client_secret,
            http_client=as_httpx(http_client),
            client_settings=client_settings,
        )
        self._origins = frozenset(settings.origin(httpx.URL(url)) for url in base_urls)
        self._clock = clock
        self._jitter = jitter
        policy = RetryPolicy(attempts=TOKEN_ATTEMPTS, shortest_pause=0.2, first_bound=0.5, longest_bound=1, deadline=30)
        self._retries = Retries(policy=policy, allowance=math.inf, clock=clock, jitter=jitter)
        self._token: _Token | None = None
        self._renewal: asyncio.Task[_Token | SignStashError] | None = None
        self._next_renewal = -math.inf
        self._failure: SignStashError | None = None  # raised instead of asking again before `_next_renewal`
        self._closed = False

    def __repr__(self) -> str:
        return f"TokenAuth(token_url={self._request.url!r}, client_id={self.client_id!r})"

    async def aclose(self) -> None:
        """Stop refreshing, and raise `ConfigurationError` on further use. May be called more than once."""
        self._closed = True
        self._token = None
        renewal = self._renewal
        if renewal is not None and renewal.get_loop() is asyncio.get_running_loop():
            renewal.cancel()
            await asyncio.wait([renewal])

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Authenticate one request; called by httpx.

        Raises:
            ConfigurationError: If the request goes to an origin that may not see the token, or after `aclose`.
            CredentialsRejectedError: If the token server rejects the credentials.
            TokenRejectedError: If the service rejects a new token as well.
            ConnectionFailedError: If the token server cannot be reached.
            ServiceError: If the token server fails.
            RateLimitedError: If the token server accepts no more requests for now.
            UnexpectedResponseError: If the token server's response is not a usable token.
        """
        if settings.origin(request.url) not in self._origins:
            problem = f"A request to {request.url.host} would carry the access token to a host that may not see it."
            raise ConfigurationError(problem, "Name the host in `base_urls`, or send the request with another client.")
        body = request.stream if isinstance(request.stream, RequestBody) else None  # which can be sent again
        if body is None:
            await request.aread()  # without it httpx would send the body of a pipe again as an empty file
        token = first = await self._current_token()
        while True:
            request.headers["Authorization"] = token.authorization.reveal()
            response = yield request
            if response.status_code < 400:
                return
            # The caller of another client gets all of the response.
            text = await read_error(response) if body else without_credentials(response, await response.aread())
            error = error_from_response(response.status_code, response.headers, text, ErrorContext())
            if not isinstance(error, AuthenticationError):
                return
            if body is not None:
                body.handed_over = False  # rejected, so not processed
            if token is not first:
                token.kept_until = self._clock() + RENEWAL_PAUSE
            if self._clock() < token.kept_until:
                problem = f"The service rejected the access token of {self.client_id}, and a newly issued one as well"
                error.problem = f"{problem}: {error.problem[0].lower()}{error.problem[1:]}"
                raise error
            logger.debug("token rejected by %s with HTTP %d; replacing it", request.url.host, response.status_code)
            # A rejection that comes late is about an older token, and must not discard the new one.
            if self._token is token:
                self._token = None
            token = await self._current_token()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Raise `ConfigurationError`: a synchronous client would have to block while the token is fetched."""
        problem = f"TokenAuth was used with a synchronous httpx.Client, for a request to {request.url.host}."
        raise ConfigurationError(problem, "Use it with httpx.AsyncClient, and await the calls.")

    def discard_token(self, authorization: str) -> bool:
        """Drop a token that may have been rejected by a connection that was closed before the request was complete.

        Args:
            authorization: The request's `Authorization` header.

        Returns:
            Whether the request may succeed with another token. A token that is new is kept.
        """
        token = self._token
        if token is not None and token.authorization.reveal() == authorization:  # else it has been replaced meanwhile
            if self._clock() < token.issued + RENEWAL_PAUSE:
                return False
            self._token = None
        return True

    async def _current_token(self) -> _Token:
        running_loop()
        if self._closed:
            raise ConfigurationError("The client, or its TokenAuth, is closed.", "Make a new one.")
        token, now = self._token, self._clock()
        if token is not None and now < token.due:
            if now >= max(token.early, self._next_renewal):
                self._renewal_task()
            return token
        if self._failure is not None and now < self._next_renewal:
            failure, left = self._failure.copy_for_raise(), self._next_renewal - now
            if isinstance(failure, errors.ApiError | errors.AuthenticationError | errors.UnexpectedResponseError):
                failure.retry_after = failure.retry_after and left
            if failure.retryable:
                failure.hint = f"Repeat it after {left:.0f} seconds. {_PROCESSED_NOTHING}"
            raise failure
        renewal = self._renewal_task()
        await asyncio.wait([renewal])  # a caller who is cancelled leaves the renewal to the others
        if renewal.cancelled():
            raise ConfigurationError("The client, or its TokenAuth, was closed meanwhile.", "Make a new one.")
        renewed = renewal.result()
        if isinstance(renewed, SignStashError):
            raise renewed.copy_for_raise()
        return renewed

    def _renewal_task(self) -> asyncio.Task[_Token | SignStashError]:
        renewal = self._renewal
        # A loop that is gone (a second asyncio.run) never finishes its tasks.
        if renewal is None or renewal.done() or renewal.get_loop() is not asyncio.get_running_loop():
            renewal = self._renewal = asyncio.create_task(self._renew(), name="signstash token renewal")
        return renewal

    async def _renew(self) -> _Token | SignStashError:
        """Fetch a token and keep it. Failures are returned, since any number of calls may wait, or none."""
        self._failure, self._next_renewal = None, self._clock() + RENEWAL_PAUSE  # whatever is raised
        try:
            self._token = await self._retries.run(self._fetch)
        except SignStashError as error:
            pause = REJECTION_PAUSE if isinstance(error, CredentialsRejectedError) else 0.0
            pause = max(pause, min(getattr(error, "retry_after", None) or 0.0, LONGEST_RETRY_AFTER))
            self._failure = error if pause else None
            self._next_renewal = self._clock() + (pause or RENEWAL_PAUSE)
            error.hint = f"{error.hint} {_PROCESSED_NOTHING}"
            if self._token is not None and self._clock() < self._token.due:  # else it is raised
                logger.warning("no new token: %s", error)
            return error
        return self._token

    async def _fetch(self) -> _Token:
        sent_at, outcome = self._clock(), "issued"
        try:
            value, lifetime = await self._request.send()
            due = sent_at + lifetime - min(30.0, lifetime / 20)
            if self._clock() >= due:
                problem = "The token server's tokens expire before they can be used."
                hint = "Ask the vendor's support for a longer lifetime, and check that this machine is not overloaded."
                raise ServiceError(problem, hint, status_code=200, retryable=True)
        except SignStashError as error:
            outcome = type(error).__name__
            raise
        finally:
            seconds = self._clock() - sent_at
            logger.info("token: %s, %.0f ms, attempt %d", outcome, 1000 * seconds, current_attempt.get())
        early = due - min(300.0, lifetime / 10) * (1 - 0.2 * self._jitter())
        return _Token(Secret(f"Bearer {value.reveal()}"), issued=sent_at, early=early, due=due)

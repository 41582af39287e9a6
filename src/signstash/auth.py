"""Who is asking: acquires the token, keeps it, renews it before it ends, and replaces it when it is refused."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from typing import Any, Final

import attrs
import httpx

from ._errors.mapping import error_from_answer
from ._errors.network import describe_network_error, hint_for
from ._errors.parsing import json_object, retry_after
from ._errors.redaction import Secret, printable
from ._transport.bodies import (
    ReplayableStream,
    RequestBody,
    UnusableAnswerError,
    is_replayable,
    read_refusal,
    read_whole,
)
from ._transport.http_client import in_one_event_loop, new_http_client, origin
from ._transport.httpx2 import HttpClient, as_httpx
from .errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    CredentialsRejectedError,
    RateLimitedError,
    ServiceError,
    SignStashError,
    TokenRejectedError,
    UnexpectedAnswerError,
)
from .settings import (
    client_problems,
    credential_problems,
    raise_for_problems,
    token_url_problems,
    url_problems,
    warn_of_plain_http,
)

logger: Final = logging.getLogger(__name__)

TOKEN_TIMEOUT: Final = 10.0
"""Seconds that connecting to the token server, and each read from it, may take."""
TOKEN_ATTEMPTS: Final = 3
"""How often a failing token server is asked before the failure is reported."""
REJECTION_PAUSE: Final = 30.0
"""Seconds for which refused credentials are not sent again: calls fail at once, with the same error."""
RENEWAL_PAUSE: Final = 5.0
"""Seconds until a failed early renewal is tried again, and a token that was refused when it was new is replaced."""
LIFETIME_IF_UNSAID: Final = 300.0
"""Seconds that a token is kept if the token server does not say how long it lives."""

_ANSWER_LIMIT: Final = 1024 * 1024


@attrs.frozen(eq=False)
class _Token:
    """One access token and its times, in seconds of the auth object's clock.

    Before `early` it is simply used; between `early` and `due` it is used while a renewal runs beside it;
    from `due` on it is not used any more.
    """

    value: Secret
    early: float
    due: float


class TokenAuth(httpx.Auth):
    """Puts Sign'Stash's access token on the requests of an `httpx.AsyncClient`.

        auth = TokenAuth("https://.../oauth/token", client_id, client_secret, base_urls=["http://proxy:8081/..."])
        async with httpx.AsyncClient(auth=auth) as client:
            await client.get("http://proxy:8081/...")   # carries "Authorization: Bearer <token>"

    - The token is got with the `client_credentials` grant (RFC 6749, section 4.4). The credentials go into HTTP
      Basic authentication as they are, in UTF-8 (RFC 7617), and not form-encoded first as RFC 6749, section 2.3.1
      has it: the vendor's server does not decode them (wiki: integration guide, step 1).
    - However many calls need a token, one request fetches it. Those who wait share the token, or the failure.
    - In the last tenth of its lifetime (five minutes at most) the token is renewed beside the calls that go on
      using it; if that fails it is tried again after `RENEWAL_PAUSE` seconds. A token is not used at all in its last
      thirty seconds, or last twentieth if that is shorter.
    - A refused token (HTTP 401 without a licence code, or code `0.0.10`) is dropped, unless a newer one has already
      taken its place, and the request is sent once more with a new one, byte for byte the same. If that is
      refused too, `TokenRejectedError` is raised, and no other token is asked for during `RENEWAL_PAUSE` seconds.
    - Refused credentials are not sent again for `REJECTION_PAUSE` seconds, lest the account be locked.
    - The token goes to the origins of `base_urls` and nowhere else. (A client of your own that follows redirects keeps
      it when a host sends it on to its own https.)

    One object may serve several clients, but one event loop at a time.

    Args:
        token_url: Full URL of the token endpoint. Plain HTTP is accepted for local and private hosts only.
        client_id: Alias of the client service.
        client_secret: Its secret, as defined in the backoffice.
        base_urls: The services that may see the token, by URL; only scheme, host and port count.
        http_client: Client for the token requests alone, for a proxy or a CA of its own. Not closed here.
            Without it each token request makes its own, with httpx's defaults.
        client_settings: Whether that client's headers, parameters and cookies go with token requests. Not if it is
            the client of another service.
        clock: Monotonic clock, in seconds.
        sleep: Waits for some seconds between attempts.
        jitter: Gives numbers between 0 and 1 that spread renewals and repeated attempts.

    Raises:
        ConfigurationError: If an argument cannot work. The message lists all that is wrong.
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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        client_secret = client_secret if isinstance(client_secret, Secret) else Secret(client_secret)
        base_urls = [base_urls] if isinstance(base_urls, str) else list(base_urls or ())
        raise_for_problems(
            [
                *token_url_problems(token_url),
                *credential_problems(client_id, client_secret),
                *([] if base_urls else ["base_urls is missing"]),
                *(problem for url in base_urls for problem in url_problems("base_urls", url)),
                *client_problems(http_client=http_client),
            ]
        )
        warn_of_plain_http(base_urls)
        self.client_id = client_id
        self._token_url = token_url
        self._client_secret = client_secret
        self._origins = frozenset(origin(httpx.URL(url)) for url in base_urls)
        self._http_client = as_httpx(http_client)
        self._client_settings = client_settings
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._token: _Token | None = None
        self._renewal: asyncio.Task[_Token | SignStashError] | None = None
        self._next_early_renewal = -math.inf
        self._rejection: tuple[CredentialsRejectedError, float] | None = None
        self._refused_when_new: tuple[_Token, float] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"TokenAuth(token_url={self._token_url!r}, client_id={self.client_id!r})"

    async def aclose(self) -> None:
        """End the renewal that may be under way, and refuse further use. May be called more than once."""
        self._closed = True
        self._token = None
        renewal, self._renewal = self._renewal, None
        if renewal is not None and renewal.get_loop() is asyncio.get_running_loop():
            renewal.cancel()
            await asyncio.wait([renewal])

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Authenticate one request; called by httpx.

        Raises:
            ConfigurationError: If the request goes to an origin that may not see the token, or after `aclose`.
            CredentialsRejectedError: If the token server refuses the credentials.
            TokenRejectedError: If the service refuses a new token as well.
            ConnectionFailedError: If the token server cannot be reached.
            ServiceError: If the token server fails.
            RateLimitedError: If the token server refuses for the number of requests.
            UnexpectedAnswerError: If the token server's answer is not a usable token.
        """
        if origin(request.url) not in self._origins:
            raise ConfigurationError(
                f"A request to {request.url.host} would carry the access token to a host that it is not meant for.",
                "Name the host in `base_urls`, or send the request with another client.",
            )
        kept: ReplayableStream | None = None
        stream = request.stream
        if isinstance(stream, httpx.AsyncByteStream) and not is_replayable(stream):
            request.stream = kept = ReplayableStream(stream)
        try:
            token = await self._current_token()
            request.headers["Authorization"] = f"Bearer {token.value.reveal()}"
            response = yield request
            refusal = await token_refusal(response)
            if refusal is None:
                return
            if self._may_be_replaced(token):
                self._drop(token)
                if isinstance(stream, RequestBody):
                    stream.refused()
                logger.debug("token refused by %s with HTTP %d; replacing it", request.url.host, response.status_code)
                token = await self._current_token()
                request.headers["Authorization"] = f"Bearer {token.value.reveal()}"
                response = yield request
                refusal = await token_refusal(response)
                if refusal is not None:
                    self._refused_when_new = token, self._clock() + RENEWAL_PAUSE
        finally:
            if kept is not None:
                await kept.aclose()
        if refusal is not None:
            raise TokenRejectedError(
                f"The service refused the access token of {self.client_id}, and a newly issued one as well: "
                f"{refusal.problem}",
                refusal.hint,
                status_code=refusal.status_code,
                error_code=refusal.error_code,
                description=refusal.description,
            )

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Refuse: a synchronous client would have to block while the token is fetched.

        Raises:
            ConfigurationError: Always, so that no request goes out without its token.
        """
        raise ConfigurationError(
            f"TokenAuth was put on a synchronous httpx.Client, for a request to {request.url.host}.",
            "Use it with httpx.AsyncClient, and await the calls.",
        )

    async def _current_token(self) -> _Token:
        for _ in range(2):
            if self._closed:
                raise ConfigurationError("The client was used after it was closed.", "Make a new one.")
            token, now = self._token, self._clock()
            if token is not None and now < token.due:
                if now >= token.early and now >= self._next_early_renewal:
                    self._renewal_task()
                return token
            if self._rejection is not None and now < self._rejection[1] and not self._is_renewing():
                raise self._rejection[0].again()
            renewed = await self._renewed()
            if self._clock() < renewed.due:
                return renewed
        raise ServiceError(
            "The token server's tokens end before they can be used.",
            "Ask the vendor's support for a longer lifetime, and check that this machine is not overloaded.",
            status_code=200,
            retryable=True,
        )

    async def _renewed(self) -> _Token:
        """The token of the one renewal that is under way, or its failure."""
        renewal = self._renewal_task()
        try:
            # Shielded, so that a caller who is cancelled leaves the renewal to the others.
            renewed = await asyncio.shield(renewal)
        except asyncio.CancelledError:
            if renewal.cancelled() and not _is_being_cancelled():
                raise ConfigurationError("The client was closed while it fetched a token.", "Make a new one.") from None
            raise
        if isinstance(renewed, SignStashError):
            raise renewed.again()
        return renewed

    def _drop(self, token: _Token) -> None:
        # A refusal that comes late is about an older token, and must not cost the new one.
        if self._token is token:
            self._token = None

    def _may_be_replaced(self, token: _Token) -> bool:
        """Whether another token may be better than this one, which was refused."""
        refused, until = self._refused_when_new or (None, 0.0)
        return token is not refused or self._clock() >= until

    def _is_renewing(self) -> bool:
        return (
            self._renewal is not None
            and not self._renewal.done()
            # A loop that was left behind (a second asyncio.run) never finishes what it began.
            and self._renewal.get_loop() is asyncio.get_running_loop()
        )

    def _renewal_task(self) -> asyncio.Task[_Token | SignStashError]:
        if self._renewal is None or not self._is_renewing():
            self._renewal = asyncio.create_task(self._renew(), name="signstash token renewal")
        return self._renewal

    async def _renew(self) -> _Token | SignStashError:
        """Fetch a token and keep it. Failures are returned, since any number of callers may wait, or none."""
        renewed = await self._fetch()
        if isinstance(renewed, _Token):
            self._token, self._rejection = renewed, None
            return renewed
        rejected = isinstance(renewed, CredentialsRejectedError)
        self._next_early_renewal = self._clock() + (REJECTION_PAUSE if rejected else RENEWAL_PAUSE)
        if isinstance(renewed, CredentialsRejectedError):
            self._rejection = renewed, self._next_early_renewal
        logger.warning("no new token: %s", renewed)
        return renewed

    async def _fetch(self) -> _Token | SignStashError:
        attempt = 0
        while True:
            attempt += 1
            asked_at = self._clock()
            result = await self._ask()
            told_as = "got one" if isinstance(result, _Token) else type(result).__name__
            logger.info("token: %s, %.0f ms, attempt %d", told_as, 1000 * (self._clock() - asked_at), attempt)
            transient = isinstance(result, ConnectionFailedError | RateLimitedError | ServiceError)
            if not transient or attempt == TOKEN_ATTEMPTS:
                return result
            await self._sleep(0.5 * 2 ** (attempt - 1) * (0.5 + 0.5 * self._jitter()))

    async def _ask(self) -> _Token | SignStashError:
        """One request to the token server, and what became of it."""
        asked_at = self._clock()
        host = httpx.URL(self._token_url).host
        try:
            async with asyncio.timeout(3 * TOKEN_TIMEOUT):
                status_code, headers, body = await self._exchange()
        except UnusableAnswerError as unusable:
            return self._unusable(200, httpx.Headers(), str(unusable))
        except ConfigurationError as error:
            return error
        except (httpx.InvalidURL, UnicodeError):
            return self._unusable(302, httpx.Headers(), "redirects to what is no address")
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            failure = ConnectionFailedError(
                f"The token server {host} could not be asked for a token of {self.client_id}: "
                f"{describe_network_error(error)}.",
                f"{hint_for(error)} Nothing was sent to the signing service.",
            )
            failure.__cause__ = error
            return failure
        return self._judge(status_code, headers, body, asked_at, host)

    async def _exchange(self) -> tuple[int, httpx.Headers, bytes]:
        if self._http_client is not None:
            if self._http_client.is_closed:
                raise ConfigurationError("The HTTP client for token requests is closed.", "Give one that is open.")
            with in_one_event_loop():
                return await self._post(self._http_client)
        # One client a request: it is needed about once a day, and so no connection outlives its event loop.
        async with await new_http_client() as client:
            return await self._post(client)

    async def _post(self, client: httpx.AsyncClient) -> tuple[int, httpx.Headers, bytes]:
        build = client.build_request if self._client_settings else httpx.Request
        request = build(
            "POST",
            self._token_url,
            data={"grant_type": "client_credentials"},
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            extensions={"timeout": httpx.Timeout(TOKEN_TIMEOUT).as_dict()},
        )
        credentials = httpx.BasicAuth(self.client_id.encode(), self._client_secret.reveal().encode())
        try:
            response = await client.send(request, auth=credentials, follow_redirects=False, stream=True)
        except httpx.HTTPStatusError as error:
            response = error.response  # a hook of the client raises for failing answers
        try:
            body = read_whole(response, _ANSWER_LIMIT) if response.is_success else read_refusal(response)
            return response.status_code, response.headers, await body
        finally:
            await response.aclose()

    def _judge(
        self, status_code: int, headers: httpx.Headers, body: bytes, asked_at: float, host: str
    ) -> _Token | SignStashError:
        answer = json_object(body)
        if 200 <= status_code < 300:
            return self._read_token(answer, status_code, headers, asked_at)
        code, text = (None, None) if answer is None else (answer.get("error"), answer.get("error_description"))
        code = self._shown(code) if isinstance(code, str) else None
        description = self._shown(text) if isinstance(text, str) else None
        if status_code == 401 or code in ("invalid_client", "unauthorized_client"):
            return CredentialsRejectedError(
                f"The token server {host} refused the credentials of {self.client_id} (HTTP {status_code}"
                f"{f', {code}' if code else ''}).",
                "client_id is the alias of the client service and client_secret the password defined for it in the "
                "backoffice; check both, and that `environment` is theirs.",
                status_code=status_code,
                error_code=code,
                description=description,
            )
        if status_code == 429:
            return RateLimitedError(
                f"The token server {host} takes no more requests for now (HTTP 429, for {self.client_id}).",
                "Repeat the call later.",
                status_code=status_code,
                retryable=True,
                retry_after=retry_after(headers),
            )
        if status_code >= 500:
            return ServiceError(
                f"The token server {host} failed {TOKEN_ATTEMPTS} times (HTTP {status_code}, for {self.client_id}).",
                "Repeat the call later; nothing was sent to the signing service.",
                status_code=status_code,
                retryable=True,
            )
        if code is not None:
            return AuthenticationError(
                f"The token server {host} refused the request (HTTP {status_code}, {code}, for {self.client_id}).",
                "Ask the vendor's support whether the client service may use the client_credentials grant.",
                status_code=status_code,
                error_code=code,
                description=description,
            )
        return self._unusable(status_code, headers, "is no token")

    def _read_token(
        self, answer: dict[str, Any] | None, status_code: int, headers: httpx.Headers, asked_at: float
    ) -> _Token | SignStashError:
        if answer is None:
            return self._unusable(status_code, headers, "is no JSON object")
        text = answer.pop("access_token", None)
        if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable() or " " in text:
            return self._unusable(status_code, headers, "holds no usable access_token")
        value = Secret(text)
        kind = answer.get("token_type")
        # wire: `bearer` in lower case; RFC 6749, section 5.1: it is compared without regard to case.
        if kind is not None and str(kind).lower() != "bearer":
            return self._unusable(status_code, headers, "holds a token of another type than bearer")
        try:
            lifetime = float(answer["expires_in"]) if answer.get("expires_in") is not None else LIFETIME_IF_UNSAID
        except (TypeError, ValueError, OverflowError):
            lifetime = math.nan
        if isinstance(answer.get("expires_in"), bool) or not 0 < lifetime < math.inf:
            return self._unusable(status_code, headers, "holds a token whose expires_in is no time to come")
        end = asked_at + lifetime
        due = end - min(30.0, lifetime / 20)
        early = due - min(300.0, lifetime / 10) * (1 - 0.2 * self._jitter())
        return _Token(value, early=early, due=due)

    def _shown(self, text: str) -> str:
        """What the token server says, without the secret that it may quote."""
        return printable(text.replace(self._client_secret.reveal(), "(hidden)"), 300)

    def _unusable(self, status_code: int, headers: httpx.Headers, why: str) -> UnexpectedAnswerError:
        content_type = self._shown(headers.get("content-type", ""))
        return UnexpectedAnswerError(
            f"The answer of {self._token_url} to {self.client_id} (HTTP {status_code}, "
            f"{content_type or 'no content type'}) {why}.",
            "Check that this is the token server's URL, and that no gateway or login page stands before it.",
            status_code=status_code,
            content_type=content_type,
        )


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def token_refusal(response: httpx.Response) -> TokenRejectedError | None:
    """The error for an answer that refuses the token, or None for any other answer.

    Such a refusal is HTTP 401 without a code that means something else, or code `0.0.10` (integration guide, step 6).
    """
    if response.status_code < 400:
        return None
    body = await read_refusal(response)
    error = error_from_answer(response.status_code, response.headers, body)
    return error if isinstance(error, TokenRejectedError) else None

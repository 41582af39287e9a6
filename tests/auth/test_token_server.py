"""Responses and failures of the token server: which exception they raise, and how often the request is repeated."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from signstash import (
    AuthenticationError,
    ConnectionFailedError,
    CredentialsRejectedError,
    RateLimitedError,
    ServiceError,
    SignStashError,
    UnexpectedResponseError,
)
from signstash._transport.token_request import DEFAULT_LIFETIME
from signstash.auth import REJECTION_PAUSE, RENEWAL_PAUSE, TOKEN_ATTEMPTS
from tests.auth.vendor import Response, Vendor, call, calls, failure_of, settle
from tests.conftest import CLIENT_ID, TOKEN_URL, MockedService, new_client, token_response

INVALID_CLIENT = {"error": "invalid_client", "error_description": "Bad client credentials"}


REJECTIONS: list[dict[str, Any]] = [
    {"status_code": 401, "json": INVALID_CLIENT},
    {"status_code": 401},
    {"status_code": 401, "html": "<html>Unauthorized</html>"},
    {"status_code": 400, "json": INVALID_CLIENT},
]


class TestRejectedCredentials:
    @pytest.mark.parametrize("rejection", REJECTIONS)
    async def test_step_1_rejected_credentials_raise_without_a_retry(
        self, client: httpx.AsyncClient, vendor: Vendor, rejection: dict[str, Any]
    ) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(**rejection)
        error = await failure_of(client)

        assert type(error) is CredentialsRejectedError
        assert error.status_code == rejection["status_code"]
        assert len(vendor.token_requests) == 1
        assert vendor.clock.pauses == []
        assert vendor.arrivals == []

    async def test_step_1_the_error_says_where_the_credentials_come_from(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(401, json=INVALID_CLIENT)
        error = await failure_of(client)

        assert isinstance(error, CredentialsRejectedError)
        assert (error.error_code, error.description) == ("invalid_client", "Bad client credentials")
        for word in ("token.test", CLIENT_ID, "client_id is the alias", "backoffice"):
            assert word in str(error)

    async def test_rejected_credentials_are_not_sent_again_during_the_pause(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(401, json=INVALID_CLIENT)
        first = await failure_of(client)
        vendor.clock.now += REJECTION_PAUSE - 0.1
        later = [await failure_of(client) for _ in range(10)]

        assert {type(error) for error in later} == {CredentialsRejectedError}
        assert {str(error) for error in later} == {str(first)}
        assert len({id(error) for error in later}) == 10
        assert len(vendor.token_requests) == 1

    async def test_rejected_credentials_are_sent_again_after_the_pause(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(401, json=INVALID_CLIENT)
        await failure_of(client)
        vendor.clock.now += REJECTION_PAUSE
        await asyncio.gather(*calls(client, 100), return_exceptions=True)
        assert len(vendor.token_requests) == 2

        vendor.respond_to_token = vendor.issue
        await failure_of(client)
        assert len(vendor.token_requests) == 2

        vendor.clock.now += REJECTION_PAUSE
        assert (await call(client)).status_code == 200
        assert len(vendor.token_requests) == 3

    async def test_concurrent_calls_during_the_pause_fail_without_a_request(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(401, json=INVALID_CLIENT)
        await failure_of(client)
        failures = await asyncio.gather(*calls(client, 100), return_exceptions=True)

        assert {type(failure) for failure in failures} == {CredentialsRejectedError}
        assert len(vendor.token_requests) == 1

    async def test_credentials_rejected_in_an_early_renewal_fail_no_call(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        await call(client)
        vendor.clock.now += 880
        vendor.respond_to_token = lambda _: httpx.Response(401, json=INVALID_CLIENT)
        for _ in range(3):
            assert (await call(client)).status_code == 200
            await settle()

    async def test_credentials_rejected_in_an_early_renewal_are_not_sent_again_during_the_pause(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        await call(client)
        vendor.clock.now += 880
        vendor.respond_to_token = lambda _: httpx.Response(401, json=INVALID_CLIENT)
        for _ in range(int(REJECTION_PAUSE)):
            await call(client)
            await settle()
            vendor.clock.now += 0.99

        assert len(vendor.token_requests) == 2

    async def test_a_rejected_token_does_not_send_rejected_credentials_again(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        await call(client)
        vendor.refused.add("token-1")
        vendor.respond_to_token = lambda _: httpx.Response(401, json=INVALID_CLIENT)
        for _ in range(5):
            assert type(await failure_of(client)) is CredentialsRejectedError

        assert len(vendor.token_requests) == 2
        assert len(vendor.arrivals) == 2

    async def test_a_client_that_raises_for_status_changes_nothing(self, vendor: Vendor) -> None:
        async def raise_for_status(response: httpx.Response) -> None:
            response.raise_for_status()

        http_client = vendor.client(event_hooks={"response": [raise_for_status]})
        vendor.respond_to_token = lambda _: httpx.Response(401, json=INVALID_CLIENT)
        client = vendor.client(vendor.auth(http_client=http_client))

        assert type(await failure_of(client)) is CredentialsRejectedError
        assert len(vendor.token_requests) == 1


FAILURES: dict[str, tuple[Callable[[], Response], type[SignStashError]]] = {
    "500": (lambda: httpx.Response(500), ServiceError),
    "502 of a gateway": (lambda: httpx.Response(502, html="<html>Bad Gateway</html>"), ServiceError),
    "503": (lambda: httpx.Response(503), ServiceError),
    "429": (lambda: httpx.Response(429, headers={"Retry-After": "7"}), RateLimitedError),
    "no connection": (lambda: httpx.ConnectError("refused"), ConnectionFailedError),
    "slow to connect": (lambda: httpx.ConnectTimeout("slow"), ConnectionFailedError),
    "slow to response": (lambda: httpx.ReadTimeout("slow"), ConnectionFailedError),
    "broken off": (lambda: httpx.ReadError("broken"), ConnectionFailedError),
    "no HTTP": (lambda: httpx.RemoteProtocolError("no HTTP"), ConnectionFailedError),
    "proxy refused": (lambda: httpx.ProxyError("407"), ConnectionFailedError),
    "broken off in the response": (lambda: httpx.Response(200, stream=BrokenAnswer()), ConnectionFailedError),
}


class BrokenAnswer(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"access_token": "tok'
        raise httpx.ReadError("broken")


@pytest.mark.parametrize(("failure", "expected"), FAILURES.values(), ids=FAILURES.keys())
class TestFailingServer:
    async def test_a_failing_server_is_retried_and_then_reported(
        self, client: httpx.AsyncClient, vendor: Vendor, failure: Callable[[], Response], expected: type[SignStashError]
    ) -> None:
        vendor.respond_to_token = lambda _: failure()
        error = await failure_of(client)

        assert type(error) is expected
        assert "token.test" in str(error)
        assert error.maybe_processed is False
        assert len(vendor.token_requests) == TOKEN_ATTEMPTS
        assert vendor.arrivals == []

    async def test_pauses_between_attempts_grow(
        self, client: httpx.AsyncClient, vendor: Vendor, failure: Callable[[], Response], expected: type[SignStashError]
    ) -> None:
        vendor.respond_to_token = lambda _: failure()
        await failure_of(client)

        assert len(vendor.clock.pauses) == TOKEN_ATTEMPTS - 1
        if expected is not RateLimitedError:
            assert vendor.clock.pauses == sorted(set(vendor.clock.pauses))
        assert min(vendor.clock.pauses) > 0

    async def test_a_temporary_failure_is_not_reported(
        self, client: httpx.AsyncClient, vendor: Vendor, failure: Callable[[], Response], expected: type[SignStashError]
    ) -> None:
        vendor.respond_to_token = lambda number: failure() if number < TOKEN_ATTEMPTS else vendor.issue(number)

        assert (await call(client)).status_code == 200
        assert vendor.arrivals[0].token == f"token-{TOKEN_ATTEMPTS}"

    async def test_all_waiting_calls_share_a_failure(
        self, client: httpx.AsyncClient, vendor: Vendor, failure: Callable[[], Response], expected: type[SignStashError]
    ) -> None:
        vendor.respond_to_token = lambda _: failure()
        failures = await asyncio.gather(*calls(client, 50), return_exceptions=True)

        assert {type(failure) for failure in failures} == {expected}
        assert len(vendor.token_requests) == TOKEN_ATTEMPTS

    async def test_the_next_call_after_a_failure_tries_again(
        self, client: httpx.AsyncClient, vendor: Vendor, failure: Callable[[], Response], expected: type[SignStashError]
    ) -> None:
        vendor.respond_to_token = lambda _: failure()
        await failure_of(client)
        vendor.respond_to_token = vendor.issue
        vendor.clock.now += 7 if expected is RateLimitedError else 0

        assert (await call(client)).status_code == 200


@pytest.mark.parametrize("status_code", [429, 503, 401, 404])
class TestRetryAfter:
    """No token is requested before the time that the token server names: 200 s from the failure on."""

    def refuse(self, vendor: Vendor, status_code: int) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(status_code, headers={"Retry-After": "200"})

    async def test_calls_fail_without_a_request(
        self, client: httpx.AsyncClient, vendor: Vendor, status_code: int
    ) -> None:
        self.refuse(vendor, status_code)
        first = await failure_of(client)
        vendor.clock.now += 199.9
        later = [await failure_of(client) for _ in range(3)]

        assert {type(error) for error in later} == {type(first)}
        assert len(vendor.token_requests) == 1
        vendor.clock.now += 0.1
        vendor.respond_to_token = vendor.issue
        assert (await call(client)).status_code == 200

    async def test_calls_learn_how_long_is_left(
        self, client: httpx.AsyncClient, vendor: Vendor, status_code: int
    ) -> None:
        self.refuse(vendor, status_code)
        first: Any = await failure_of(client)
        vendor.clock.now += 150
        later: Any = await failure_of(client)

        assert (first.retry_after, later.retry_after) == (200, 50)
        assert ("after 200 seconds" in first.hint) is ("after 50 seconds" in later.hint) is first.retryable
        assert "200" not in later.hint
        assert later.hint.endswith(" The signing service processed nothing.")

    async def test_no_longer_than_ten_minutes(
        self, client: httpx.AsyncClient, vendor: Vendor, status_code: int
    ) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(status_code, headers={"Retry-After": "31536000"})
        first: Any = await failure_of(client)
        vendor.clock.now += 599.9
        await failure_of(client)
        vendor.clock.now += 0.1
        vendor.respond_to_token = vendor.issue

        assert first.retry_after == 31536000
        assert len(vendor.token_requests) == 1
        assert (await call(client)).status_code == 200

    async def test_early_renewals_wait(self, client: httpx.AsyncClient, vendor: Vendor, status_code: int) -> None:
        vendor.lifetime = 10_000
        await call(client)
        vendor.clock.now += 9_700
        self.refuse(vendor, status_code)
        for _ in range(20):
            assert (await call(client)).status_code == 200
            await settle()
            vendor.clock.now += 9.9

        assert len(vendor.token_requests) == 2
        vendor.clock.now += 3
        await call(client)
        await settle()
        assert len(vendor.token_requests) == 3

    async def test_a_rejected_token_is_not_replaced(
        self, client: httpx.AsyncClient, vendor: Vendor, status_code: int
    ) -> None:
        await call(client)
        vendor.refused.add("token-1")
        self.refuse(vendor, status_code)
        failures = {type(await failure_of(client)) for _ in range(3)}

        assert len(failures) == 1
        assert (len(vendor.token_requests), len(vendor.arrivals)) == (2, 2)


class TestReported:
    @pytest.mark.parametrize(
        "failure",
        [
            lambda: httpx.ConnectError("no route to host"),
            lambda: httpx.Response(503),
            lambda: httpx.Response(429, headers={"Retry-After": "60"}),
            lambda: httpx.Response(401),
            lambda: httpx.Response(400, json={"error": "invalid_scope"}),
            lambda: httpx.Response(200, text="<html>"),
            lambda: httpx.Response(302, headers={"Location": "https://elsewhere.test"}),
            lambda: httpx.Response(200, json={}),
        ],
    )
    async def test_it_says_that_nothing_was_processed(
        self, client: httpx.AsyncClient, vendor: Vendor, failure: Callable[[], Response]
    ) -> None:
        vendor.respond_to_token = lambda _: failure()
        first, later = await failure_of(client), await failure_of(client)

        for error in (first, later):
            assert error.hint.endswith(" The signing service processed nothing.")
            assert error.hint.count("processed") == 1
            assert not error.maybe_processed

    async def test_it_is_logged_only_if_it_is_not_raised(
        self, client: httpx.AsyncClient, vendor: Vendor, caplog: pytest.LogCaptureFixture
    ) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(401)
        await failure_of(client)
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

        vendor.clock.now += 30
        vendor.respond_to_token = vendor.issue
        await call(client)
        vendor.clock.now += 880
        vendor.respond_to_token = lambda _: httpx.Response(401)
        await call(client)
        await settle()
        (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert record.getMessage().startswith("no new token: The token server rejected the credentials")

    async def test_a_connection_that_failed_keeps_its_cause(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.respond_to_token = lambda _: httpx.ConnectError("no route to host")
        error = await failure_of(client)

        assert isinstance(error.__cause__, httpx.ConnectError)
        assert "no route to host" in str(error)

    async def test_a_failing_server_is_retryable(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(503)
        error = await failure_of(client)

        assert isinstance(error, ServiceError)
        assert (error.status_code, error.retryable) == (503, True)

    async def test_too_many_requests_carry_retry_after(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(429, headers={"Retry-After": "7"})
        error = await failure_of(client)

        assert isinstance(error, RateLimitedError)
        assert error.retry_after == 7
        assert "after 7 seconds" in error.hint
        assert vendor.clock.pauses == [7.0] * (TOKEN_ATTEMPTS - 1)

    async def test_a_long_retry_after_is_reported_at_once(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(429, headers={"Retry-After": "60"})
        error = await failure_of(client)

        assert "after 60 seconds" in error.hint
        assert len(vendor.token_requests) == 1

    async def test_the_client_raises_the_same_error(self, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("signstash.auth.TOKEN_ATTEMPTS", 1)
        vendor.respond_to_token = lambda _: httpx.ConnectError("no route to host")
        async with new_client(http_client=vendor.client()) as client:
            with pytest.raises(ConnectionFailedError, match=r"token\.test"):
                await client.get_status(7)

    async def test_a_server_that_never_responds_is_abandoned(
        self, client: httpx.AsyncClient, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("signstash._transport.token_request.TOKEN_TIMEOUT", 0.0)
        vendor.token_gate.clear()
        error = await failure_of(client)

        assert type(error) is ConnectionFailedError
        assert len(vendor.token_requests) == TOKEN_ATTEMPTS

    async def test_every_wait_for_the_server_is_limited(self, vendor: Vendor, service: MockedService) -> None:
        await call(vendor.client(vendor.auth(http_client=vendor.client(timeout=None))))

        limits = service.token.calls.last.request.extensions["timeout"]
        assert limits == dict.fromkeys(("connect", "read", "write", "pool"), 10.0)


def token(**changes: Any) -> Callable[[], httpx.Response]:
    return lambda: token_response("token-1", **changes)


def raw(
    body: str | bytes, status_code: int = 200, *, location: str = "", encoding: str = ""
) -> Callable[[], httpx.Response]:
    headers = {"Location": location, "Content-Encoding": encoding}
    return lambda: httpx.Response(
        status_code, content=body, headers={name: headers[name] for name in headers if headers[name]}
    )


def raw_token(expires_in: str) -> Callable[[], httpx.Response]:
    return raw(f'{{"access_token": "token-1", "token_type": "bearer", "expires_in": {expires_in}}}')


USABLE: dict[str, tuple[Callable[[], httpx.Response], float]] = {
    "as the guide says": (token(expires_in=1000), 1000),
    "lifetime as a string": (token(expires_in="1000"), 1000),
    "lifetime with a fraction": (token(expires_in=99.5), 99.5),
    "lifetime missing": (token(expires_in=None), DEFAULT_LIFETIME),
    "lifetime null": (raw_token("null"), DEFAULT_LIFETIME),
    "lifetime of ages": (token(expires_in=10**12), 10**12),
    "type Bearer": (token(expires_in=1000, token_type="Bearer"), 1000),
    "type missing": (token(expires_in=1000, token_type=None), 1000),
    "nothing but the token": (lambda: httpx.Response(200, json={"access_token": "token-1"}), DEFAULT_LIFETIME),
    "201": (lambda: httpx.Response(201, json={"access_token": "token-1", "expires_in": 1000}), 1000),
    "no content type": (raw('{"access_token": "token-1", "expires_in": 1000}'), 1000),
}

UNUSABLE: dict[str, Callable[[], httpx.Response]] = {
    "lifetime zero": token(expires_in=0),
    "lifetime negative": token(expires_in=-1),
    "lifetime true": token(expires_in=True),
    "lifetime a word": token(expires_in="soon"),
    "lifetime a list": token(expires_in=[3600]),
    "lifetime too large for a float": raw_token("1" + "0" * 400),
    "lifetime infinite": raw_token("1e999"),
    "lifetime Infinity": raw_token("Infinity"),
    "lifetime inf as a string": token(expires_in="inf"),
    "lifetime NaN": raw_token("NaN"),
    "lifetime nan as a string": token(expires_in="nan"),
    "type mac": token(token_type="mac"),
    "type empty": token(token_type=""),
    "type a number": token(token_type=1),
    "token missing": lambda: httpx.Response(200, json={"token_type": "bearer", "expires_in": 1000}),
    "token null": raw('{"access_token": null}'),
    "token empty": raw('{"access_token": ""}'),
    "token a number": raw('{"access_token": 1}'),
    "token not ASCII": raw('{"access_token": "tökén"}'),
    "token with a line end": raw('{"access_token": "a\\r\\nX-Injected:b"}'),
    "token with a blank": raw('{"access_token": "a b"}'),
    "web page": lambda: httpx.Response(200, html="<html>Login</html>"),
    "empty": lambda: httpx.Response(200),
    "204": lambda: httpx.Response(204),
    "list": raw('["token-1"]'),
    "string": raw('"token-1"'),
    "null": raw("null"),
    "cut short": raw('{"access_token": "token-1", "expi'),
    "not UTF-8": raw(b'{"access_token": "token-1\xff"}'),
    "deeper than it can be": raw("[" * 100_000),
    "far too long": raw(json.dumps({"access_token": "token-1", "more": "x" * 2_000_000})),
    "far too long when decompressed": raw(
        gzip.compress(json.dumps({"access_token": "token-1", "more": "x" * 20_000_000}).encode()),
        encoding="gzip",
    ),
    "forbidden": raw("<html>Forbidden</html>", 403),
    "not found": raw("", 404),
    "not found, in JSON": raw('{"status": 404, "error": "Not Found"}', 404),
    "another method, in JSON": raw('{"status": 405, "error": "Method Not Allowed"}', 405),
    "redirect": raw("", 302, location="https://elsewhere.test/oauth/token"),
    "redirect to nowhere": raw("", 302),
}

ODD_REFUSALS = ["invalid_request", "unsupported_grant_type", "invalid_scope"]


class TestUnusualResponses:
    @pytest.mark.parametrize(("response", "lifetime"), USABLE.values(), ids=USABLE.keys())
    async def test_a_usable_response_is_used_for_its_lifetime(
        self, client: httpx.AsyncClient, vendor: Vendor, response: Callable[[], httpx.Response], lifetime: float
    ) -> None:
        vendor.respond_to_token = lambda number: response() if number == 1 else vendor.issue(number)
        early = lifetime - min(30, lifetime / 20) - min(300, lifetime / 10) * 0.9
        started = vendor.clock.now
        vendor.clock.now = started
        await call(client)
        vendor.clock.now = started + early - 0.1
        await call(client)
        await settle()
        assert [arrival.token for arrival in vendor.arrivals] == ["token-1", "token-1"]
        assert len(vendor.token_requests) == 1

        vendor.clock.now = started + lifetime
        await call(client)
        assert vendor.arrivals[-1].token == "token-2"

    @pytest.mark.parametrize("response", UNUSABLE.values(), ids=UNUSABLE.keys())
    async def test_an_unusable_response_is_one_clear_error(
        self, client: httpx.AsyncClient, vendor: Vendor, response: Callable[[], httpx.Response]
    ) -> None:
        vendor.respond_to_token = lambda _: response()
        error = await failure_of(client)

        assert type(error) is UnexpectedResponseError
        assert TOKEN_URL in str(error)
        assert "Check that this is the token server's URL" in error.hint
        assert error.excerpt == ""
        assert len(vendor.token_requests) == 1
        assert vendor.arrivals == []

    @pytest.mark.parametrize("response", UNUSABLE.values(), ids=UNUSABLE.keys())
    async def test_a_usable_response_after_an_unusable_one_is_used(
        self, client: httpx.AsyncClient, vendor: Vendor, response: Callable[[], httpx.Response]
    ) -> None:
        vendor.respond_to_token = lambda number: response() if number == 1 else vendor.issue(number)
        await failure_of(client)

        assert (await call(client)).status_code == 200
        assert vendor.arrivals[0].token == "token-2"

    @pytest.mark.parametrize("code", ODD_REFUSALS)
    async def test_other_oauth_errors_are_reported_by_code(
        self, client: httpx.AsyncClient, vendor: Vendor, code: str
    ) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(400, json={"error": code, "error_description": "no"})
        error = await failure_of(client)

        assert type(error) is AuthenticationError
        assert (error.status_code, error.error_code, error.description) == (400, code, "no")
        assert code in str(error)
        assert len(vendor.token_requests) == 1

    async def test_fields_of_unexpected_types_in_a_rejection_are_ignored(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(401, json={"error": 7, "error_description": ["no"]})
        error = await failure_of(client)

        assert isinstance(error, CredentialsRejectedError)
        assert (error.error_code, error.description) == (None, None)

    async def test_an_unusable_response_to_an_early_renewal_fails_no_call(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        await call(client)
        vendor.clock.now += 880
        vendor.respond_to_token = lambda _: httpx.Response(200, html="<html>Login</html>")
        for _ in range(3):
            assert (await call(client)).status_code == 200
            await settle()
            vendor.clock.now += RENEWAL_PAUSE

        assert {arrival.token for arrival in vendor.arrivals} == {"token-1"}


class TestGivenClient:
    async def test_a_closed_token_client_raises_an_error_of_the_sdk(self, vendor: Vendor) -> None:
        http_client = vendor.client()
        await http_client.aclose()
        client = vendor.client(vendor.auth(http_client=http_client))

        assert "closed" in str(await failure_of(client))

"""The access token: how it is requested, how long it is used, and when it is renewed."""

from __future__ import annotations

import asyncio
import base64
import inspect
import logging
import time
import unicodedata
import urllib.parse
from collections import Counter

import httpx
import pytest

from signstash import ConfigurationError, ServiceError, TokenAuth
from signstash.auth import RENEWAL_PAUSE, TOKEN_ATTEMPTS
from tests.auth.vendor import CALL_URL, Vendor, call, calls, failure_of, settle, until
from tests.conftest import BASE_URL, CLIENT_ID, CLIENT_SECRET, TOKEN_URL

ODD_TEXTS = [
    "plain",
    "100%",
    "%41%2B",
    "a+b",
    "a b",
    " blanks around ",
    "'\"\\&=?#/",
    "senha-ção",
    "日本語",
    "key-🔑",
    unicodedata.normalize("NFD", "é"),
]


class TestStep1:
    async def test_step_1_the_token_request_follows_the_guide(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        await call(client)

        (asked,) = vendor.token_requests
        assert str(asked.url) == TOKEN_URL
        assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
        assert urllib.parse.parse_qs(asked.body.decode(), strict_parsing=True) == {"grant_type": ["client_credentials"]}

    async def test_the_call_carries_the_token(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        response = await call(client)

        assert response.text == "done"
        assert vendor.arrivals[0].headers["authorization"] == "Bearer token-1"
        assert vendor.arrivals[0].body == b'{"a":"call"}'

    async def test_a_received_token_is_logged_without_a_warning(
        self, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "signstash")
        await call(client)

        assert [record.levelname for record in caplog.records if record.name == "signstash"] == ["INFO"]

    @pytest.mark.parametrize("secret", [*ODD_TEXTS, "a:b", ":", "::a:"])
    async def test_a_secret_of_any_characters_arrives_intact(self, vendor: Vendor, secret: str) -> None:
        auth = TokenAuth(TOKEN_URL, CLIENT_ID, secret, base_urls=[BASE_URL], http_client=vendor.client())

        await call(vendor.client(auth))

        assert _credentials(vendor) == f"{CLIENT_ID}:{secret}".encode()

    @pytest.mark.parametrize("client_id", ODD_TEXTS)
    async def test_a_client_id_of_any_characters_arrives_intact(self, vendor: Vendor, client_id: str) -> None:
        auth = TokenAuth(TOKEN_URL, client_id, CLIENT_SECRET, base_urls=[BASE_URL], http_client=vendor.client())

        await call(vendor.client(auth))

        assert _credentials(vendor) == f"{client_id}:{CLIENT_SECRET}".encode()

    def test_the_docstring_names_the_specification_of_the_encoding(self) -> None:
        assert "RFC 7617" in (TokenAuth.__doc__ or "")

    @pytest.mark.parametrize(
        ("client_id", "secret"),
        [("a:b", "s"), ("a\n", "s"), ("a\udce7", "s"), ("", "s"), ("a", ""), ("a", "s\n"), ("a", "s\udce7")],
        ids=[
            "colon",
            "line end",
            "half a character",
            "nothing",
            "no secret",
            "secret's line end",
            "half a character of it",
        ],
    )
    def test_credentials_that_basic_cannot_encode_raise(self, client_id: str, secret: str) -> None:
        with pytest.raises(ConfigurationError, match="client_"):
            TokenAuth(TOKEN_URL, client_id, secret, base_urls=[BASE_URL])

    async def test_an_authorization_header_of_the_caller_is_replaced(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        await client.get(CALL_URL, headers={"Authorization": "Bearer mine"})

        assert vendor.arrivals[0].headers.get_list("authorization") == ["Bearer token-1"]


def _credentials(vendor: Vendor) -> bytes:
    scheme, encoded = vendor.token_requests[0].headers["authorization"].split(" ")
    assert scheme == "Basic"
    return base64.b64decode(encoded, validate=True)


class TestLifetime:
    """A token of 1000 s, by the docstring: renewed beside the calls from 880 s on (90 s of jitter's middle before the
    end of its use), and not used any more from 970 s on.
    """

    async def test_one_token_serves_until_the_early_window(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        await call(client)
        vendor.clock.now += 879.9
        await call(client)
        await settle()

        assert [arrival.token for arrival in vendor.arrivals] == ["token-1", "token-1"]
        assert len(vendor.token_requests) == 1

    async def test_the_old_token_is_used_during_an_early_renewal(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        await call(client)
        vendor.clock.now += 880
        vendor.token_gate.clear()
        for _ in range(20):
            await asyncio.gather(*calls(client, 5))
            await settle()

        assert {arrival.token for arrival in vendor.arrivals} == {"token-1"}
        assert len(vendor.token_requests) == 2

    async def test_the_new_token_of_an_early_renewal_is_used_at_once(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        await call(client)
        vendor.clock.now += 880
        await call(client)
        await settle()
        await call(client)

        assert [arrival.token for arrival in vendor.arrivals] == ["token-1", "token-1", "token-2"]
        assert len(vendor.token_requests) == 2

    async def test_a_failed_early_renewal_is_not_an_error(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        await call(client)
        vendor.clock.now += 880
        vendor.respond_to_token = lambda _: httpx.Response(503)
        for _ in range(5):
            assert (await call(client)).status_code == 200
            await settle()

        assert {arrival.token for arrival in vendor.arrivals} == {"token-1"}
        assert len(vendor.token_requests) == 1 + TOKEN_ATTEMPTS

    @pytest.mark.parametrize(
        "failure", [httpx.Response(200, text="no token"), LookupError("of the user's own HTTP client")]
    )
    async def test_a_failed_early_renewal_is_repeated_after_a_pause(
        self, client: httpx.AsyncClient, vendor: Vendor, failure: httpx.Response | Exception
    ) -> None:
        await call(client)
        vendor.clock.now += 880
        vendor.respond_to_token = lambda _: failure
        await call(client)
        await settle()
        vendor.respond_to_token = vendor.issue

        vendor.clock.now += RENEWAL_PAUSE - 0.1
        await call(client)
        await settle()
        assert len(vendor.token_requests) == 2

        vendor.clock.now += 0.1
        await call(client)
        await settle()
        assert len(vendor.token_requests) == 3
        await call(client)
        assert vendor.arrivals[-1].token == "token-3"

    async def test_calls_with_an_expired_token_wait_for_one_renewal(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        await call(client)
        vendor.clock.now += 970
        vendor.token_gate.clear()
        waiting = calls(client, 100)
        await settle()
        assert len(vendor.arrivals) == 1

        vendor.token_gate.set()
        await asyncio.gather(*waiting)
        assert [arrival.token for arrival in vendor.arrivals[1:]] == ["token-2"] * 100
        assert len(vendor.token_requests) == 2

    async def test_calls_with_an_expired_token_join_an_early_renewal(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        await call(client)
        vendor.clock.now += 880
        vendor.token_gate.clear()
        await call(client)
        vendor.clock.now += 90
        waiting = calls(client, 10)
        await settle()
        vendor.token_gate.set()
        await asyncio.gather(*waiting)

        assert Counter(arrival.token for arrival in vendor.arrivals) == {"token-1": 2, "token-2": 10}
        assert len(vendor.token_requests) == 2

    async def test_a_failed_renewal_of_an_expired_token_is_an_error(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        await call(client)
        vendor.clock.now += 970
        vendor.respond_to_token = lambda _: httpx.Response(503)

        assert type(await failure_of(client)) is ServiceError
        assert len(vendor.arrivals) == 1

    @pytest.mark.parametrize(("lifetime", "due"), [(1000, 970), (86_399, 86_369), (100, 95), (4, 3.8)])
    async def test_a_token_is_used_until_shortly_before_it_expires(
        self, client: httpx.AsyncClient, vendor: Vendor, lifetime: int, due: float
    ) -> None:
        vendor.lifetime = lifetime
        await call(client)
        vendor.token_gate.clear()
        vendor.clock.now += due - 0.01
        await call(client)
        assert vendor.arrivals[-1].token == "token-1"

        vendor.clock.now += 0.02
        (waiting,) = calls(client, 1)
        await settle()
        assert len(vendor.arrivals) == 2
        vendor.token_gate.set()
        await waiting
        assert vendor.arrivals[-1].token == "token-2"

    @pytest.mark.parametrize(
        ("lifetime", "jitter", "early"),
        [(1000, 0.0, 870), (1000, 1.0, 890), (86_399, 0.0, 86_069), (86_399, 1.0, 86_129), (100, 0.0, 85)],
    )
    async def test_the_early_window_starts_before_the_token_expires(
        self, vendor: Vendor, lifetime: int, jitter: float, early: float
    ) -> None:
        vendor.lifetime = lifetime
        client = vendor.client(vendor.auth(jitter=lambda: jitter))
        await call(client)
        vendor.clock.now += early - 0.1
        await call(client)
        await settle()
        assert len(vendor.token_requests) == 1

        vendor.clock.now += 0.2
        await call(client)
        await settle()
        assert len(vendor.token_requests) == 2

    async def test_the_lifetime_counts_from_the_request(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.token_gate.clear()
        (waiting,) = calls(client, 1)
        await until(lambda: vendor.asking)
        vendor.clock.now += 500
        vendor.token_gate.set()
        await waiting

        vendor.clock.now += 470
        await call(client)
        assert vendor.arrivals[-1].token == "token-2"

    async def test_a_token_that_expires_on_arrival_is_not_used(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        def late(number: int) -> httpx.Response:
            vendor.clock.now += vendor.lifetime
            return vendor.issue(number)

        vendor.lifetime = 5
        vendor.respond_to_token = late
        error = await failure_of(client)

        assert type(error) is ServiceError
        assert error.retryable
        assert "expire before they can be used" in str(error)
        assert vendor.arrivals == []
        assert len(vendor.token_requests) == TOKEN_ATTEMPTS

    async def test_a_token_that_expires_on_arrival_is_requested_again(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        def late_once(number: int) -> httpx.Response:
            vendor.clock.now += vendor.lifetime if number == 1 else 0
            return vendor.issue(number)

        vendor.lifetime = 5
        vendor.respond_to_token = late_once
        await call(client)

        assert [arrival.token for arrival in vendor.arrivals] == ["token-2"]

    def test_the_default_clock_is_monotonic(self) -> None:
        assert inspect.signature(TokenAuth).parameters["clock"].default is time.monotonic

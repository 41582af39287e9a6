"""Step 6: a rejected token is replaced once and the call repeated; other rejections are raised."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from signstash import (
    ClientServiceInactiveError,
    ConnectionFailedError,
    CredentialsRejectedError,
    RetryPolicy,
    TokenRejectedError,
)
from tests.auth.vendor import CALL_URL, Arrival, Vendor, call, calls, failure_of, settle, until
from tests.conftest import (
    BASE_URL,
    PDF,
    mock_signed,
    new_client,
    pdf,
    signed_response,
)

SPRING_BODY = {"error": "invalid_token", "error_description": "The access token expired"}
WWW_AUTHENTICATE = {"WWW-Authenticate": 'Bearer realm="oauth2-resource", error="invalid_token"'}

REFUSALS: dict[str, dict[str, Any]] = {
    "spring": {"status_code": 401, "json": SPRING_BODY, "headers": WWW_AUTHENTICATE},
    "empty": {"status_code": 401},
    "gateway": {"status_code": 401, "html": "<html>Unauthorized</html>"},
    "unknown code": {"status_code": 401, "json": {"errorCode": "0.9.9"}},
    "0.0.10": {"status_code": 409, "json": {"errorCode": "0.0.10", "errorCodeDescription": "Expired or invalid token"}},
    "0.0.10 with 401": {"status_code": 401, "json": {"errorCode": "0.0.10"}},
}

OTHERS: dict[str, dict[str, Any]] = {
    "licence": {"status_code": 401, "json": {"errorCode": "1.1.0"}},
    "inactive": {"status_code": 401, "json": {"errorCode": "1.1.1"}},
    "duplicate": {"status_code": 409, "json": {"errorCode": "0.0.7"}},
    "conflict": {"status_code": 409},
    "forbidden": {"status_code": 403, "json": {"error": "access_denied"}},
    "failed": {"status_code": 500, "json": {"errorCode": "0.0.1"}},
    "too many": {"status_code": 429},
    "a success that quotes a code": {"status_code": 200, "json": {"errorCode": "0.0.10"}},
}


def tokens(vendor: Vendor) -> list[str]:
    return [arrival.token for arrival in vendor.arrivals]


class TestStep6:
    @pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
    async def test_step_6_a_rejected_token_is_replaced_once(
        self, client: httpx.AsyncClient, vendor: Vendor, refusal: dict[str, Any]
    ) -> None:
        vendor.respond = lambda arrival: httpx.Response(**(refusal if arrival.token == "token-1" else SUCCESS))

        assert (await call(client)).text == "done"
        assert tokens(vendor) == ["token-1", "token-2"]
        assert len(vendor.token_requests) == 2

    async def test_the_new_token_serves_the_next_calls(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.refused.add("token-1")
        await call(client)
        await call(client)

        assert tokens(vendor) == ["token-1", "token-2", "token-2"]
        assert len(vendor.token_requests) == 2

    async def test_every_token_may_be_replaced(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        for number in (1, 2, 3):
            vendor.refused.add(f"token-{number}")
            await call(client)

        assert tokens(vendor) == ["token-1", "token-2", "token-2", "token-3", "token-3", "token-4"]

    async def test_a_call_with_a_rejected_token_is_repeated_without_a_pause(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.refused.add("token-1")
        started = vendor.clock.now
        await call(client)

        assert vendor.clock.pauses == []
        assert vendor.clock.now == started

    async def test_the_repetition_does_not_count_as_a_retry(self, vendor: Vendor) -> None:
        vendor.refused.add("token-1")
        vendor.respond = lambda _: httpx.Response(200, json={"id": 7, "status": "EXECUTED"})
        async with new_client(
            http_client=vendor.client(),
            retries=RetryPolicy.none(),
        ) as client:
            assert (await client.get_status(7)).id == 7

    async def test_a_document_rejected_for_its_token_is_signed_with_the_new_token(self, vendor: Vendor) -> None:
        def respond(arrival: Arrival) -> httpx.Response:
            return signed_response(httpx.Request("POST", arrival.url, content=arrival.body))

        vendor.refused.add("token-1")
        vendor.respond = respond
        async with new_client(http_client=vendor.client()) as client:
            signed = await client.sign(pdf())

        assert signed.content == mock_signed(PDF)
        assert tokens(vendor) == ["token-1", "token-2"]

    async def test_a_repetition_that_was_not_sent_means_not_processed(self, vendor: Vendor) -> None:
        class Breaking(httpx.AsyncHTTPTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                if request.headers["authorization"] == "Bearer token-2":
                    raise httpx.WriteError("broken")
                return await super().handle_async_request(request)

        vendor.refused.add("token-1")
        http_client = vendor.client(transport=Breaking(verify=False))
        async with new_client(http_client=http_client) as client:
            with pytest.raises(ConnectionFailedError) as failed:
                await client.sign(pdf())

        assert failed.value.maybe_processed is False

    async def test_a_failing_token_server_fails_the_call(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.refused.add("token-1")
        vendor.respond_to_token = lambda number: vendor.issue(1) if number == 1 else httpx.Response(401)

        assert type(await failure_of(client)) is CredentialsRejectedError
        assert tokens(vendor) == ["token-1"]


SUCCESS: dict[str, Any] = {"status_code": 200, "text": "done"}


class TestSecondRejection:
    @pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
    async def test_a_rejected_new_token_is_an_error(
        self, client: httpx.AsyncClient, vendor: Vendor, refusal: dict[str, Any]
    ) -> None:
        vendor.respond = lambda _: httpx.Response(**refusal)
        error = await failure_of(client)

        assert type(error) is TokenRejectedError
        assert error.status_code == refusal["status_code"]
        assert tokens(vendor) == ["token-1", "token-2"]
        assert len(vendor.token_requests) == 2

    async def test_the_error_names_the_likely_causes(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.respond = lambda _: httpx.Response(**REFUSALS["0.0.10"])
        error = await failure_of(client)

        assert "`environment`" in error.hint
        assert "proxy is configured for" in error.hint
        assert "proxy's service domain" in error.hint
        assert re.search("newly issued one as well: [a-z]", error.problem)

    async def test_the_error_quotes_the_service(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.respond = lambda _: httpx.Response(**REFUSALS["0.0.10"])
        error = await failure_of(client)

        assert isinstance(error, TokenRejectedError)
        assert error.error_code == "0.0.10"
        assert error.description == "Expired or invalid token"
        assert "Expired or invalid token" in str(error)

    async def test_the_client_raises_the_same_error(self, vendor: Vendor) -> None:
        vendor.respond = lambda _: httpx.Response(401, json=SPRING_BODY)
        async with new_client(http_client=vendor.client()) as client:
            with pytest.raises(TokenRejectedError, match="environment") as refused:
                await client.sign(pdf())

        assert refused.value.maybe_processed is False
        assert tokens(vendor) == ["token-1", "token-2"]

    async def test_a_token_rejected_twice_is_replaced_after_a_pause(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.refused |= {"token-1", "token-2"}
        await failure_of(client)
        vendor.clock.now += 4.9
        assert type(await failure_of(client)) is TokenRejectedError
        assert tokens(vendor) == ["token-1", "token-2", "token-2"]

        vendor.clock.now += 0.1
        assert (await call(client)).status_code == 200
        assert tokens(vendor)[3:] == ["token-2", "token-3"]

    async def test_rejected_calls_do_not_request_a_token_each_time(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.respond = lambda _: httpx.Response(**REFUSALS["spring"])
        for _ in range(20):
            await failure_of(client)
            vendor.clock.now += 1

        assert len(vendor.token_requests) == 5  # two, and one more every five seconds

    async def test_a_token_accepted_later_is_used_at_once(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.refused |= {"token-1", "token-2"}
        await failure_of(client)
        vendor.refused.clear()

        assert (await call(client)).status_code == 200
        assert tokens(vendor) == ["token-1", "token-2", "token-2"]


class TestLateRejection:
    async def test_a_late_rejection_of_the_old_token_keeps_the_new_one(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        late = asyncio.Event()

        async def respond(arrival: Arrival) -> httpx.Response:
            if arrival.token == "token-1" and len(vendor.arrivals) == 1:
                await late.wait()
            return httpx.Response(401 if arrival.token == "token-1" else 200)

        vendor.respond = respond
        (slow,) = calls(client, 1)
        await until(lambda: vendor.arrivals)
        await call(client)
        assert tokens(vendor) == ["token-1", "token-1", "token-2"]

        late.set()
        assert (await slow).status_code == 200
        assert tokens(vendor)[3:] == ["token-2"]
        assert len(vendor.token_requests) == 2

    async def test_a_late_rejection_of_a_token_renewed_early_keeps_the_new_one(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        late = asyncio.Event()

        async def respond(arrival: Arrival) -> httpx.Response:
            if arrival.token == "token-1":
                await late.wait()
            return httpx.Response(401 if arrival.token == "token-1" else 200)

        vendor.respond = respond
        vendor.clock.now = 0
        (first,) = calls(client, 1)
        await until(lambda: vendor.arrivals)
        vendor.clock.now = 880
        (second,) = calls(client, 1)
        await until(lambda: len(vendor.token_requests) == 2)
        await settle()
        late.set()
        await asyncio.gather(first, second)

        assert tokens(vendor) == ["token-1", "token-1", "token-2", "token-2"]
        assert len(vendor.token_requests) == 2

    async def test_a_late_second_rejection_keeps_a_newer_token(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        late = asyncio.Event()

        async def respond(arrival: Arrival) -> httpx.Response:
            if arrival.token == "token-2" and tokens(vendor).count("token-2") == 1:
                await late.wait()
            return httpx.Response(200 if arrival.token == "token-3" else 401)

        vendor.respond = respond
        (slow,) = calls(client, 1)
        await until(lambda: tokens(vendor) == ["token-1", "token-2"])
        await call(client)
        late.set()
        with pytest.raises(TokenRejectedError):
            await slow

        await call(client)
        assert tokens(vendor) == ["token-1", "token-2", "token-2", "token-3", "token-3"]
        assert len(vendor.token_requests) == 3


class TestOtherRejections:
    @pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
    async def test_other_rejections_cause_no_new_token_and_no_repetition(
        self, client: httpx.AsyncClient, vendor: Vendor, other: dict[str, Any]
    ) -> None:
        vendor.respond = lambda _: httpx.Response(**other)
        response = await call(client)

        assert response.status_code == other["status_code"]
        assert tokens(vendor) == ["token-1"]
        assert len(vendor.token_requests) == 1

    @pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
    async def test_other_rejections_keep_the_token(
        self, client: httpx.AsyncClient, vendor: Vendor, other: dict[str, Any]
    ) -> None:
        vendor.respond = lambda _: httpx.Response(**other)
        await call(client)
        await call(client)

        assert tokens(vendor) == ["token-1", "token-1"]

    @pytest.mark.parametrize("code", ["1.1.0", "1.1.1"])
    async def test_a_licence_error_is_reported_as_one(self, vendor: Vendor, code: str) -> None:
        vendor.respond = lambda _: httpx.Response(401, json={"errorCode": code})
        async with new_client(http_client=vendor.client()) as client:
            with pytest.raises(ClientServiceInactiveError) as refused:
                await client.sign(pdf())

        assert refused.value.error_code == code
        assert tokens(vendor) == ["token-1"]
        assert len(vendor.token_requests) == 1

    async def test_the_rejecting_response_can_still_be_read(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.respond = lambda _: httpx.Response(401, json={"errorCode": "1.1.0"})

        assert (await call(client)).json() == {"errorCode": "1.1.0"}

    @pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
    async def test_a_long_error_response_reaches_the_caller_whole(
        self, client: httpx.AsyncClient, vendor: Vendor, headers: dict[str, str]
    ) -> None:
        page = b"<p>no such operation</p>" * 100_000
        body = gzip.compress(page) if headers else page
        vendor.respond = lambda _: httpx.Response(404, headers=headers, stream=httpx.ByteStream(body))

        assert (await client.get(CALL_URL)).content == page

    async def test_a_successful_response_is_left_to_its_caller_to_read(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        read: list[bytes] = []

        async def chunks() -> AsyncIterator[bytes]:
            for chunk in (b"long ", b"response"):
                read.append(chunk)
                yield chunk

        vendor.respond = lambda _: httpx.Response(200, content=chunks())
        async with client.stream("GET", BASE_URL) as response:
            assert read == []
            assert await response.aread() == b"long response"

"""Which clients' requests a mock receives, and what it leaves unchanged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import httpx2
import pytest
import respx

from signstash import (
    ConnectionFailedError,
    OutcomeUnknownError,
    RateLimitedError,
    RetryPolicy,
    SignStash,
    SignStashError,
)
from signstash._transport import http_client as own_clients
from signstash.settings import Credentials, Upload
from signstash.testing import MOCK_SIGNATURE, MockSignStash, sign_response, token_response
from tests.conftest import INVOICE, invoice


@pytest.fixture
async def http_client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient() as http_client:
        yield http_client


class TestClientsOfHttpx2:
    async def test_clients_of_httpx2_sign_documents(self, http_client: httpx2.AsyncClient) -> None:
        with MockSignStash() as mock:
            client = SignStash(**mock.credentials, http_client=http_client)

            signed = await client.sign(invoice())

        assert signed.content.startswith(INVOICE.read_bytes())
        mock.assert_signed("invoice.pdf")

    @pytest.mark.parametrize(
        ("scenario", "raised"),
        [
            ("rate_limited", RateLimitedError),
            ("timeout", OutcomeUnknownError),
            ("connection_lost_after_send", OutcomeUnknownError),
            ("connection_refused", ConnectionFailedError),
        ],
    )
    async def test_scenarios_apply_to_clients_of_httpx2(
        self, scenario: str, raised: type[SignStashError], http_client: httpx2.AsyncClient
    ) -> None:
        with MockSignStash() as mock:
            getattr(mock, scenario)()
            client = SignStash(**mock.credentials, http_client=http_client)

            with pytest.raises(raised):
                await client.sign(invoice())
            await client.sign(invoice("second.pdf"))

    async def test_exceptions_are_those_of_httpx2(self, http_client: httpx2.AsyncClient) -> None:
        with MockSignStash() as mock:
            mock.router.get("https://ledger.example/").mock(side_effect=httpx.ReadTimeout("slow"))
            with pytest.raises(httpx2.ReadTimeout):
                await http_client.get("https://ledger.example/")
            with pytest.raises(httpx2.ReadTimeout):
                await asyncio.to_thread(httpx2.get, "https://ledger.example/")


class TestWholeProcess:
    async def test_clients_and_policies_are_not_patched(self) -> None:
        before = own_clients.new_http_client, RetryPolicy.pause
        with MockSignStash():
            assert (own_clients.new_http_client, RetryPolicy.pause) == before

    async def test_pauses_and_transports_are_those_of_production_after_the_mock(self) -> None:
        with MockSignStash() as mock:
            await mock.client.sign(invoice())
        async with own_clients.new_http_client() as http_client:
            assert type(http_client._transport).__module__.startswith("signstash._transport.")

    async def test_a_client_made_in_a_mock_sends_nothing_afterwards(self) -> None:
        with MockSignStash() as mock:
            client = mock.client
            await client.sign(invoice())

        with pytest.raises(ConnectionFailedError, match="has ended"):
            await client.sign(invoice("second.pdf"))

    async def test_a_route_may_pass_requests_to_the_network(self) -> None:
        with MockSignStash(assert_all_called=False) as mock:
            mock.router.post(url__startswith="http://127.0.0.1:9/").pass_through()
            credentials: Credentials = {**mock.credentials, "base_url": "http://127.0.0.1:9/x"}
            client = SignStash(**credentials)

            with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1"):
                await client.sign(invoice())


class TestPlainRespx:
    @pytest.mark.parametrize("upload", ["base64", "multipart"])
    async def test_public_responses_work_with_plain_respx(self, upload: Upload, respx_mock: respx.MockRouter) -> None:
        respx_mock.post("https://token.example/oauth/token").mock(return_value=token_response())
        sign = respx_mock.post(path__regex="/api/v0/document/sign").mock(side_effect=sign_response)
        client = SignStash(
            "https://proxy.example/x", "id", "secret", token_url="https://token.example/oauth/token", upload=upload
        )

        batch = await client.sign_batch([invoice("a.pdf"), invoice("b.pdf")])

        assert [outcome.ok for outcome in batch.outcomes] == [True, True]
        assert all(MOCK_SIGNATURE in outcome.signed.content for outcome in batch.outcomes if outcome.signed)
        assert sign.calls.last.request.headers["Authorization"] == "Bearer token"

    def test_a_malformed_request_is_rejected(self) -> None:
        response = sign_response(httpx.Request("POST", "https://proxy.example/", content=b"{}"))

        assert (response.status_code, json.loads(response.content)["errorCode"]) == (500, "0.0.2")

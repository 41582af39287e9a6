"""The token is sent only to the service, and the credentials only to the token server."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trustme

from signstash import ConfigurationError, ConnectionFailedError, TokenAuth, UnexpectedResponseError
from signstash.testing.interception import use_sleep
from tests.auth.vendor import CALL_URL, Arrival, Vendor, call, failure_of
from tests.conftest import BASE_URL, CLIENT_ID, CLIENT_SECRET, TOKEN_URL, MockedService, new_client, pdf
from tests.fault_server import FaultServer, at_once, has_nothing

OWN_HEADERS = {"accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host"}


class TestToken:
    @pytest.mark.parametrize(
        "url",
        [
            "http://elsewhere.test:8081/",
            "http://proxy.test/",
            "http://proxy.test:8082/",
            "https://proxy.test:8081/",
            "http://proxy.test.elsewhere.test:8081/",
            "http://sub.proxy.test:8081/",
            "http://proxy.test:8081@elsewhere.test:8081/",
            TOKEN_URL,
        ],
    )
    async def test_the_token_goes_to_no_other_origin(self, client: httpx.AsyncClient, vendor: Vendor, url: str) -> None:
        with pytest.raises(ConfigurationError, match="base_urls") as refused:
            await client.get(url)

        assert httpx.URL(url).host in str(refused.value)
        assert vendor.arrivals == []
        assert vendor.token_requests == []

    @pytest.mark.parametrize(
        ("base_url", "url"),
        [
            ("http://proxy.test", "http://proxy.test:80/x"),
            ("https://proxy.test:443/base", "https://PROXY.test/other?x=1"),
            ("http://10.0.0.7:8081", "http://10.0.0.7:8081/x"),
            ("http://[::1]:8081", "http://[::1]:8081/x"),
            ("https://assinatura-ção.test", "https://ASSINATURA-ÇÃO.test/x"),
        ],
    )
    async def test_another_spelling_of_the_origin_gets_the_token(self, vendor: Vendor, base_url: str, url: str) -> None:
        await vendor.client(vendor.auth(base_urls=[base_url])).get(url)

        assert vendor.arrivals[0].token == "token-1"

    @pytest.mark.parametrize("status_code", [301, 302, 303, 307, 308])
    async def test_a_redirect_to_another_origin_does_not_carry_the_token(
        self, auth: TokenAuth, vendor: Vendor, status_code: int
    ) -> None:
        def redirect(arrival: Arrival) -> httpx.Response:
            if arrival.url.host == "elsewhere.test":
                return httpx.Response(200, text="elsewhere")
            return httpx.Response(status_code, headers={"Location": "http://elsewhere.test:8081/"})

        vendor.respond = redirect
        response = await vendor.client(auth, follow_redirects=True).post(CALL_URL, json={})

        assert response.text == "elsewhere"
        assert [arrival.url.host for arrival in vendor.arrivals] == ["proxy.test", "elsewhere.test"]
        assert "authorization" not in vendor.arrivals[1].headers

    async def test_a_redirect_within_the_origin_is_the_callers_choice(self, auth: TokenAuth, vendor: Vendor) -> None:
        vendor.respond = lambda arrival: (
            httpx.Response(200) if arrival.url.path == "/new" else httpx.Response(308, headers={"Location": "/new"})
        )
        await vendor.client(auth, follow_redirects=True).post(CALL_URL, content=_once())

        assert [arrival.token for arrival in vendor.arrivals] == ["token-1", "token-1"]
        assert [arrival.body for arrival in vendor.arrivals] == [b"once", b"once"]

    async def test_the_client_itself_follows_no_redirect(self, vendor: Vendor) -> None:
        vendor.respond = lambda _: httpx.Response(307, headers={"Location": "http://elsewhere.test/"})
        http_client = vendor.client(follow_redirects=True)
        async with new_client(http_client=http_client) as client:
            with pytest.raises(UnexpectedResponseError, match="redirects"):
                await client.sign(pdf())

        assert [arrival.url.host for arrival in vendor.arrivals] == ["proxy.test"]

    def test_a_synchronous_client_raises_before_anything_is_sent(self, auth: TokenAuth, service: MockedService) -> None:
        with httpx.Client(auth=auth, verify=False) as client:
            for use in (client.get, client.post):
                with pytest.raises(ConfigurationError, match=r"httpx\.AsyncClient"):
                    use(CALL_URL)

        assert len(service.router.calls) == 0


async def _once() -> AsyncIterator[bytes]:
    yield b"once"


class TestCredentials:
    @pytest.mark.parametrize("status_code", [301, 302, 303, 307, 308])
    async def test_the_token_servers_redirects_are_not_followed(self, vendor: Vendor, status_code: int) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(
            status_code, headers={"Location": "https://elsewhere.test/token"}
        )
        auth = vendor.auth(http_client=vendor.client(follow_redirects=True))
        error = await failure_of(vendor.client(auth))

        assert type(error) is UnexpectedResponseError
        assert len(vendor.token_requests) == 1
        assert vendor.arrivals == []

    @pytest.mark.parametrize("location", ["/oauth/token2", "http://[", "https://token.test:99999/"])
    async def test_a_redirect_of_the_token_server_raises_one_error(self, vendor: Vendor, location: str) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(302, headers={"Location": location})
        error = await failure_of(vendor.client(vendor.auth()))

        assert type(error) is UnexpectedResponseError
        assert vendor.arrivals == []

    @pytest.mark.parametrize("url", ["http://tokens.example.test.com/", "http://8.8.8.8/"])
    def test_credentials_are_not_sent_unencrypted(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="https"):
            TokenAuth(url, CLIENT_ID, CLIENT_SECRET, base_urls=[BASE_URL])

    async def test_credentials_do_not_go_to_the_service(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        vendor.refused.add("token-1")
        await call(client)

        assert [arrival.headers["authorization"] for arrival in vendor.arrivals] == ["Bearer token-1", "Bearer token-2"]

    async def test_the_token_does_not_go_to_the_token_server(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        await call(client)
        vendor.clock.now += 1000
        await call(client)

        assert len(vendor.token_requests) == 2
        assert all(asked.headers["authorization"].startswith("Basic ") for asked in vendor.token_requests)


class TestGivenClient:
    """Token requests use a separate client: the settings of the service's client do not apply to them."""

    async def test_a_client_without_settings_sends_only_the_request(self, service: MockedService) -> None:
        auth = TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=[BASE_URL])
        settings: dict[str, Any] = {
            "headers": {"X-Gateway-Key": "k"},
            "params": {"p": "q"},
            "cookies": {"c": "d"},
            "base_url": BASE_URL,
            "verify": False,
        }
        async with httpx.AsyncClient(auth=auth, **settings) as client:
            service.router.get(url__startswith=BASE_URL).respond(200)
            await client.get("/api/v0/anything")
        await auth.aclose()

        asked = service.token.calls.last.request
        assert str(asked.url) == TOKEN_URL
        assert {name.lower() for name in asked.headers} - {"user-agent"} == OWN_HEADERS
        assert asked.headers["accept"] == "application/json"

    async def test_the_token_client_verifies_certificates_even_if_the_services_client_does_not(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        async with FaultServer(has_nothing, tls=context) as server, httpx.AsyncClient(verify=False) as client:
            assert (await client.get(server.url)).status_code == 404
            client.auth = TokenAuth(f"{server.url}/token", CLIENT_ID, CLIENT_SECRET, base_urls=[BASE_URL])
            with use_sleep(at_once), pytest.raises(ConnectionFailedError, match="certificate verify failed"):
                await client.get(CALL_URL)

    async def test_a_given_token_client_keeps_its_settings(self, vendor: Vendor) -> None:
        token_client = vendor.client(headers={"X-Outbound-Key": "k"})
        vendor.respond = lambda _: httpx.Response(200, json={"id": 7, "status": "EXECUTED"})
        async with new_client(
            http_client=vendor.client(headers={"X-Gateway-Key": "k"}),
            token_http_client=token_client,
        ) as client:
            await client.get_status(7)

        assert not token_client.is_closed
        (asked,) = vendor.token_requests
        assert asked.headers["x-outbound-key"] == "k"
        assert "x-gateway-key" not in asked.headers
        assert "x-outbound-key" not in vendor.arrivals[0].headers

    @pytest.mark.parametrize(
        "settings",
        [
            {"headers": {"X-Gateway-Key": "k"}},
            {"headers": {"Content-Type": "application/json"}},
            {"params": {"gateway-key": "k"}},
            {"cookies": {"gateway-session": "k"}},
            {"base_url": "http://elsewhere.test"},
            {"auth": ("gateway-user", "k")},
        ],
    )
    async def test_settings_of_the_services_client_do_not_reach_the_token_server(
        self, vendor: Vendor, settings: dict[str, Any]
    ) -> None:
        vendor.respond = lambda _: httpx.Response(200, json={"id": 7, "status": "EXECUTED"})
        http_client = vendor.client(**settings)
        async with new_client(http_client=http_client) as client:
            await client.get_status(7)

        (asked,) = vendor.token_requests
        assert str(asked.url) == TOKEN_URL
        assert set(asked.headers) - {"user-agent"} <= OWN_HEADERS
        assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
        assert asked.headers["authorization"].startswith("Basic UFJU")

    async def test_the_first_call_makes_the_first_request(self, service: MockedService) -> None:
        auth = TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=[BASE_URL])
        await auth.aclose()

        assert len(service.router.calls) == 0

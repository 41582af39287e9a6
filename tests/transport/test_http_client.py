"""A client of httpx2 does for the user what one of httpx does. The faults are tested with it by `make pytest`, too."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest

from signstash import (
    ConfigurationError,
    Document,
    OutcomeUnknownError,
    ServiceError,
    SignStash,
    TokenAuth,
    UnexpectedResponseError,
)
from tests.conftest import BASE_URL, CLIENT_ID, CLIENT_SECRET, PDF, TOKEN_URL, signed_answer, token_answer


class Service:
    """A token server and a proxy, to which a client of httpx2 leads.

    Attributes:
        token_requests: What arrived at the token server.
        sign_requests: What arrived at the proxy.
        statuses: What the proxy answers next; it signs when none is left.
        headers: Headers of the proxy's answers.
        compressed: Whether the proxy compresses signed documents.
    """

    def __init__(self, *statuses: int, headers: dict[str, str] | None = None, compressed: bool = False) -> None:
        self.token_requests: list[httpx2.Request] = []
        self.sign_requests: list[httpx2.Request] = []
        self.statuses = list(statuses)
        self.headers = headers or {}
        self.compressed = compressed

    def client(self, **settings: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer), **settings)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/oauth/token"):
            self.token_requests.append(request)
            return httpx2.Response(200, content=token_answer().content)
        self.sign_requests.append(request)
        if self.statuses:
            return httpx2.Response(self.statuses.pop(0), headers=self.headers, json={"error": "invalid_token"})
        same = httpx.Request(request.method, str(request.url), content=request.read())
        content = signed_answer(same).content
        if self.compressed:
            return httpx2.Response(200, headers={"Content-Encoding": "gzip"}, content=gzip.compress(content))
        return httpx2.Response(200, headers=self.headers, content=content)


def facade(http_client: httpx2.AsyncClient, **options: Any) -> SignStash:
    return SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL, http_client=http_client, **options)


async def sign(client: SignStash) -> bytes:
    return (await client.sign(Document.pdf(PDF, name="invoice.pdf"))).content


async def raises(response: httpx2.Response) -> None:
    response.raise_for_status()


async def reads(response: httpx2.Response) -> None:
    await response.aread()


async def test_a_given_client_signs_and_stays_open() -> None:
    service = Service()
    async with service.client() as http_client:
        async with facade(http_client) as client:
            assert await sign(client) == b"signed:" + PDF
        assert not http_client.is_closed

    (request,) = service.sign_requests
    assert json.loads(request.content)["documents"][0]["documentRequest"]["name"] == "invoice.pdf"
    assert request.headers["content-length"] == str(len(request.content))


async def test_settings_of_a_given_client_do_not_reach_the_token_server() -> None:
    service = Service()
    settings = {"headers": {"X-Gateway-Key": "k"}, "params": {"tenant": "7"}, "cookies": {"a": "b"}}
    async with service.client(**settings, base_url="http://elsewhere.test") as http_client:
        await sign(facade(http_client))

    assert service.sign_requests[0].headers["x-gateway-key"] == "k"
    assert service.sign_requests[0].headers["cookie"] == "a=b"
    assert service.sign_requests[0].url.params["tenant"] == "7"
    assert not {"x-gateway-key", "cookie"} & service.token_requests[0].headers.keys()
    assert service.token_requests[0].url == TOKEN_URL


async def test_authentication_and_timeouts_of_a_given_client_are_ignored() -> None:
    service = Service()
    async with service.client(auth=("own", "one"), timeout=None) as http_client:
        await sign(facade(http_client, timeout=httpx.Timeout(7.0, connect=3.0)))

    assert service.sign_requests[0].headers["authorization"].startswith("Bearer ")
    assert service.sign_requests[0].extensions["timeout"] == {"connect": 3.0, "read": 7.0, "write": 7.0, "pool": 7.0}
    assert None not in service.token_requests[0].extensions["timeout"].values()


async def test_a_given_token_client_keeps_its_settings() -> None:
    service, tokens = Service(), Service()
    async with (
        service.client() as http_client,
        tokens.client(headers={"X-Gateway-Key": "k"}) as token_http_client,
        facade(http_client, token_http_client=token_http_client) as client,
    ):
        await sign(client)

    assert service.token_requests == []
    assert tokens.token_requests[0].headers["x-gateway-key"] == "k"
    assert tokens.token_requests[0].content == b"grant_type=client_credentials"


async def test_a_given_client_keeps_the_cookies_and_sends_them_once() -> None:
    service = Service(headers={"Set-Cookie": "route=one"})
    async with service.client() as http_client, facade(http_client) as client:
        await sign(client)
        await sign(client)

        assert dict(http_client.cookies) == {"route": "one"}
    assert [request.headers.get_list("cookie") for request in service.sign_requests] == [[], ["route=one"]]


async def test_a_request_with_a_rejected_token_is_repeated_with_the_same_body() -> None:
    service = Service(401)
    async with service.client() as http_client, facade(http_client) as client:
        assert await sign(client) == b"signed:" + PDF

    assert len(service.token_requests) == 2
    assert service.sign_requests[0].read() == service.sign_requests[1].read()


async def test_proxies_of_the_environment_do_not_bypass_a_given_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    service = Service()
    async with service.client(trust_env=False) as http_client, facade(http_client) as client:
        assert await sign(client) == b"signed:" + PDF


async def test_a_hook_may_read_a_compressed_response() -> None:
    service = Service(compressed=True)
    async with service.client(event_hooks={"response": [reads]}) as http_client, facade(http_client) as client:
        assert await sign(client) == b"signed:" + PDF


async def test_redirects_are_not_followed() -> None:
    service = Service(302, headers={"Location": "http://elsewhere.test/"})
    async with service.client(follow_redirects=True) as http_client, facade(http_client) as client:
        with pytest.raises(UnexpectedResponseError, match="redirects to another URL"):
            await sign(client)

    assert len(service.sign_requests) == 1


@pytest.mark.parametrize("hook", [raises, reads])
async def test_hooks_do_not_change_the_mapping_of_responses(hook: Callable[..., Any]) -> None:
    service = Service(503)
    async with service.client(event_hooks={"response": [hook]}) as http_client, facade(http_client) as client:
        with pytest.raises(ServiceError, match="HTTP 503"):
            await sign(client)
        assert await sign(client) == b"signed:" + PDF


async def test_a_lost_response_keeps_its_cause_and_is_pickled_without_it() -> None:
    def lose(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("slow", request=request)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(lose)) as http_client, Service().client() as tokens:
        with pytest.raises(OutcomeUnknownError, match="the response took too long") as lost:
            await sign(facade(http_client, token_http_client=tokens))

    assert isinstance(lost.value.__cause__, httpx.ReadTimeout)
    assert isinstance(lost.value.__cause__.__cause__, httpx2.ReadTimeout)
    assert pickle.loads(pickle.dumps(lost.value)).maybe_processed


async def test_a_closed_client_raises() -> None:
    http_client = Service().client()
    await http_client.aclose()

    with pytest.raises(ConfigurationError, match="closed"):
        await sign(facade(http_client))


def test_a_synchronous_client_raises() -> None:
    with httpx2.Client() as http_client:
        for make in (facade, lambda client: TokenAuth(TOKEN_URL, "a", "b", base_urls=BASE_URL, http_client=client)):
            with pytest.raises(ConfigurationError, match=r"Client, not an httpx.AsyncClient or httpx2.AsyncClient"):
                make(http_client)  # type: ignore[arg-type]

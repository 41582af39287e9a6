"""Clients of httpx2 work like those of httpx. `make pytest` runs the tests of faults with them, too."""

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
    OutcomeUnknownError,
    ServiceError,
    SignStash,
    TokenAuth,
    UnexpectedResponseError,
)
from tests.conftest import (
    BASE_URL,
    PDF,
    TOKEN_URL,
    MockedService,
    mock_signed,
    new_client,
    pdf,
    signed_response,
)


def facade(http_client: httpx2.AsyncClient, **options: Any) -> SignStash:
    return new_client(http_client=http_client, **options)


async def sign(client: SignStash) -> bytes:
    return (await client.sign(pdf())).content


async def raises(response: httpx2.Response) -> None:
    response.raise_for_status()


async def reads(response: httpx2.Response) -> None:
    await response.aread()


async def test_a_given_client_signs_and_stays_open(service: MockedService) -> None:
    async with httpx2.AsyncClient() as http_client:
        async with facade(http_client) as client:
            assert await sign(client) == mock_signed(PDF)
        assert not http_client.is_closed

    request = service.sign.calls.last.request
    assert json.loads(request.content)["documents"][0]["documentRequest"]["name"] == "invoice.pdf"
    assert request.headers["content-length"] == str(len(request.content))


async def test_settings_of_a_given_client_do_not_reach_the_token_server(service: MockedService) -> None:
    settings: dict[str, Any] = {"headers": {"X-Gateway-Key": "k"}, "params": {"tenant": "7"}, "cookies": {"a": "b"}}
    async with httpx2.AsyncClient(**settings, base_url="http://elsewhere.test") as http_client:
        await sign(facade(http_client))

    assert service.sign.calls[0].request.headers["x-gateway-key"] == "k"
    assert service.sign.calls[0].request.headers["cookie"] == "a=b"
    assert service.sign.calls[0].request.url.params["tenant"] == "7"
    assert not {"x-gateway-key", "cookie"} & service.token.calls[0].request.headers.keys()
    assert service.token.calls[0].request.url == TOKEN_URL


async def test_authentication_and_timeouts_of_a_given_client_are_ignored(service: MockedService) -> None:
    async with httpx2.AsyncClient(auth=("own", "one"), timeout=None) as http_client:
        await sign(facade(http_client, timeout=httpx.Timeout(7.0, connect=3.0)))

    assert service.sign.calls[0].request.headers["authorization"].startswith("Bearer ")
    assert service.sign.calls[0].request.extensions["timeout"] == {
        "connect": 3.0,
        "read": 7.0,
        "write": 7.0,
        "pool": 7.0,
    }
    assert None not in service.token.calls[0].request.extensions["timeout"].values()


async def test_a_given_token_client_keeps_its_settings(service: MockedService) -> None:
    async with (
        httpx2.AsyncClient() as http_client,
        httpx2.AsyncClient(headers={"X-Gateway-Key": "k"}) as token_http_client,
        facade(http_client, token_http_client=token_http_client) as client,
    ):
        await sign(client)

    (asked,) = [call.request for call in service.token.calls]
    assert asked.headers["x-gateway-key"] == "k"
    assert asked.content == b"grant_type=client_credentials"
    assert "x-gateway-key" not in service.sign.calls[0].request.headers


async def test_a_given_client_keeps_the_cookies_and_sends_them_once(service: MockedService) -> None:
    def set_cookie(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Set-Cookie": "route=one"}, content=signed_response(request).content)

    service.sign.mock(side_effect=set_cookie)
    async with httpx2.AsyncClient() as http_client, facade(http_client) as client:
        await sign(client)
        await sign(client)

        assert dict(http_client.cookies) == {"route": "one"}
    assert [call.request.headers.get_list("cookie") for call in service.sign.calls] == [[], ["route=one"]]


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_cookie_that_cannot_be_sent_back_is_reported(service: MockedService, library: Any) -> None:
    def greet(request: httpx.Request) -> httpx.Response:
        headers = [(b"Set-Cookie", "name=João".encode())]
        return httpx.Response(200, headers=headers, content=signed_response(request).content)

    service.sign.mock(side_effect=greet)
    async with library.AsyncClient() as http_client, facade(http_client) as client:
        await sign(client)
        with pytest.raises(ConfigurationError, match="nothing was sent") as failed:
            await client.sign(pdf("FT_31"))

    assert failed.value.external_references == ("FT_31",)
    assert not failed.value.maybe_processed
    assert service.sign.call_count == 1


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_cookie_that_cannot_be_sent_to_the_token_server_is_reported(
    service: MockedService, library: Any
) -> None:
    async with (
        library.AsyncClient(cookies={"name": "João"}) as tokens,
        new_client(token_http_client=tokens) as client,
    ):
        with pytest.raises(ConfigurationError, match="nothing was sent") as failed:
            await client.sign(pdf("FT_31"))

    assert failed.value.external_references == ("FT_31",)
    assert "ASCII" in failed.value.hint
    assert service.token.call_count == 0


async def test_a_request_with_a_rejected_token_is_repeated_with_the_same_body(service: MockedService) -> None:
    service.sign_effects(httpx.Response(401), signed_response)
    async with httpx2.AsyncClient() as http_client, facade(http_client) as client:
        assert await sign(client) == mock_signed(PDF)

    assert service.token.call_count == 2
    assert service.sign.calls[0].request.read() == service.sign.calls[1].request.read()


async def test_proxies_of_the_environment_do_not_bypass_a_given_client(
    service: MockedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with httpx2.AsyncClient(trust_env=False) as http_client, facade(http_client) as client:
        assert await sign(client) == mock_signed(PDF)


async def test_a_hook_may_read_a_compressed_response(service: MockedService) -> None:
    def compressed(request: httpx.Request) -> httpx.Response:
        content = gzip.compress(signed_response(request).content)
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=content)

    service.sign.mock(side_effect=compressed)
    async with httpx2.AsyncClient(event_hooks={"response": [reads]}) as http_client, facade(http_client) as client:
        assert await sign(client) == mock_signed(PDF)


async def test_redirects_are_not_followed(service: MockedService) -> None:
    service.sign.respond(302, headers={"Location": "http://elsewhere.test/"})
    async with httpx2.AsyncClient(follow_redirects=True) as http_client, facade(http_client) as client:
        with pytest.raises(UnexpectedResponseError, match="redirects to another URL"):
            await sign(client)

    assert service.sign.call_count == 1


@pytest.mark.parametrize("hook", [raises, reads])
async def test_hooks_do_not_change_the_mapping_of_responses(service: MockedService, hook: Callable[..., Any]) -> None:
    service.sign_effects(httpx.Response(503), signed_response)
    async with httpx2.AsyncClient(event_hooks={"response": [hook]}) as http_client, facade(http_client) as client:
        with pytest.raises(ServiceError, match="HTTP 503"):
            await sign(client)
        assert await sign(client) == mock_signed(PDF)


async def test_a_lost_response_keeps_its_cause_and_is_pickled_without_it(service: MockedService) -> None:
    service.sign.mock(side_effect=httpx.ReadTimeout("slow"))
    async with httpx2.AsyncClient() as http_client, facade(http_client) as client:
        with pytest.raises(OutcomeUnknownError, match="the response took too long") as lost:
            await sign(client)

    assert isinstance(lost.value.__cause__, httpx.ReadTimeout)
    assert isinstance(lost.value.__cause__.__cause__, httpx2.ReadTimeout)
    assert pickle.loads(pickle.dumps(lost.value)).maybe_processed


async def test_a_closed_client_raises(service: MockedService) -> None:
    http_client = httpx2.AsyncClient()
    await http_client.aclose()

    with pytest.raises(ConfigurationError, match="closed"):
        await sign(facade(http_client))


def test_a_synchronous_client_raises() -> None:
    with httpx2.Client() as http_client:
        for make in (facade, lambda client: TokenAuth(TOKEN_URL, "a", "b", base_urls=BASE_URL, http_client=client)):
            with pytest.raises(ConfigurationError, match=r"Client, not an httpx.AsyncClient or httpx2.AsyncClient"):
                make(http_client)  # type: ignore[arg-type]

"""`SignStash.at`: the same client at another address of the service."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from signstash import ConfigurationError, RetryPolicy, SignStash, TokenAuth
from signstash.api import get_status
from tests.conftest import BASE_URL, CLIENT_ID, CLIENT_SECRET, PATHS, TOKEN_URL, MockedService, new_client, url_of

INSTANCE = "http://10.0.0.5:8080/signstash/einvoice-integration-ws"
STATUS = PATHS["getStatus"].format(operationId=7)


@pytest.fixture
def client_options() -> dict[str, Any]:
    retries = RetryPolicy(attempts=2, first_bound=0.001, longest_bound=0.001, deadline=1000)
    return {"instance_urls": ["http://10.0.0.5:8080"], "retries": retries}


async def test_calls_to_an_instance_have_the_same_token_and_retries(client: SignStash, service: MockedService) -> None:
    there = service.router.get(INSTANCE + STATUS)
    there.side_effect = [httpx.Response(503), httpx.Response(200, json={"id": 7})]
    here = service.router.get(url_of("getStatus", operationId=7)).respond(json={"id": 7})

    await client.get_status(7)
    operation = await get_status.asyncio(7, client=client.at(INSTANCE + "/").generated)

    assert operation.id == 7
    assert [here.call_count, there.call_count, service.token.call_count] == [1, 2, 1]
    assert there.calls.last.request.headers["authorization"] == here.calls.last.request.headers["authorization"]


async def test_an_unlisted_instance_never_gets_the_token(client: SignStash, service: MockedService) -> None:
    for url in ("http://10.0.0.6:8080/x", "http://10.0.0.5:8081/x", "https://10.0.0.5:8080/x", "http://user@10.0.0.5/"):
        with pytest.raises(ConfigurationError):
            client.at(url)

    assert len(service.router.calls) == 0
    with pytest.raises(ConfigurationError, match=r"http://10\.0\.0\.6 is not one of .*instance_urls"):
        client.at("http://10.0.0.6/signstash")


async def test_a_given_auth_keeps_its_instances(service: MockedService) -> None:
    auth = TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=[BASE_URL, INSTANCE])
    async with SignStash(BASE_URL, auth=auth) as client:
        with pytest.raises(ConfigurationError, match="instance_urls"):
            client.at(INSTANCE)
    await auth.aclose()


def test_an_instance_that_is_not_a_url_is_named() -> None:
    with pytest.raises(ConfigurationError, match="instance_urls does not begin with http"):
        new_client(instance_urls=["10.0.0.5:8080"])


async def test_closing_the_client_closes_its_views_only(client: SignStash, service: MockedService) -> None:
    service.router.get(INSTANCE + STATUS).respond(json={"id": 7})
    view = client.at(INSTANCE)
    await view.aclose()

    assert (await view.get_status(7)).id == 7
    await client.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await view.get_status(7)

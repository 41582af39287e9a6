"""Concurrent calls and several clients share one token request, whichever of them are cancelled."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from signstash import CredentialsRejectedError, SignStash, TokenAuth
from tests.auth.vendor import Arrival, Vendor, call, calls, failure_of, renewals, settle, status, until
from tests.conftest import BASE_URL, TOKEN_URL, new_client


class TestSharedRequest:
    async def test_a_thousand_calls_on_a_cold_token_cost_one_request(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        responses = await asyncio.gather(*calls(client, 1000))

        assert {response.status_code for response in responses} == {200}
        assert {arrival.token for arrival in vendor.arrivals} == {"token-1"}
        assert len(vendor.token_requests) == 1

    async def test_a_thousand_calls_of_a_cold_client_cost_one_token(self, vendor: Vendor) -> None:
        vendor.respond = lambda _: httpx.Response(200, json={"id": 7, "status": "EXECUTED"})
        async with (
            vendor.client() as http_client,
            new_client(http_client=http_client) as client,
        ):
            await asyncio.gather(*(client.get_status(7) for _ in range(1000)))

        assert len(vendor.arrivals) == 1000
        assert len(vendor.token_requests) == 1

    async def test_step_6_a_thousand_rejections_over_seconds_cost_one_token(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        held: list[asyncio.Event] = []

        async def refuse_in_turn(arrival: Arrival) -> httpx.Response:
            if arrival.token == "token-1":
                held.append(asyncio.Event())
                await held[-1].wait()
                return httpx.Response(401)
            return httpx.Response(200)

        vendor.respond = refuse_in_turn
        running = calls(client, 1000)
        await until(lambda: len(held) == 1000)
        vendor.token_gate.clear()
        for number, refusal in enumerate(held):
            vendor.clock.now += 0.005
            refusal.set()
            if number == 300:  # the first calls wait for the new token; later ones find it
                await settle()
                vendor.token_gate.set()
            if number % 10 == 0:
                await settle()
        responses = await asyncio.gather(*running)

        assert {response.status_code for response in responses} == {200}
        assert Counter(arrival.token for arrival in vendor.arrivals) == {"token-1": 1000, "token-2": 1000}
        assert len(vendor.token_requests) == 2

    async def test_a_hundred_calls_with_wrong_credentials_cost_one_request(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.respond_to_token = lambda _: httpx.Response(401, json={"error": "invalid_client"})
        failures = await asyncio.gather(*calls(client, 100), return_exceptions=True)

        assert {type(failure) for failure in failures} == {CredentialsRejectedError}
        assert len(vendor.token_requests) == 1
        assert vendor.arrivals == []

    async def test_calls_that_share_a_failure_do_not_share_its_traceback(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.respond_to_token = lambda _: httpx.ConnectError("refused")
        failures = await asyncio.gather(*calls(client, 10), return_exceptions=True)

        assert len({id(failure) for failure in failures}) == 10
        assert {str(failure) for failure in failures} == {str(failures[0])}
        causes = [failure.__cause__ for failure in failures if isinstance(failure, BaseException)]
        assert [type(cause) for cause in causes] == [httpx.ConnectError] * 10

    async def test_calls_run_concurrently(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        open_up = asyncio.Event()

        async def wait(_: Arrival) -> httpx.Response:
            await open_up.wait()
            return httpx.Response(200)

        vendor.respond = wait
        running = calls(client, 200)
        await until(lambda: len(vendor.arrivals) == 200)

        open_up.set()
        await asyncio.gather(*running)

    async def test_repeated_calls_run_concurrently(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        open_up = asyncio.Event()

        async def wait(_: Arrival) -> httpx.Response:
            await open_up.wait()
            return httpx.Response(200)

        vendor.respond = wait
        vendor.refused.add("token-1")
        running = calls(client, 200)
        await until(lambda: len(vendor.arrivals) == 400)

        open_up.set()
        assert {response.status_code for response in await asyncio.gather(*running)} == {200}

    async def test_a_call_in_flight_does_not_delay_a_renewal(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        open_up = asyncio.Event()

        async def wait(arrival: Arrival) -> httpx.Response:
            if arrival.token == "token-1":
                await open_up.wait()
            return httpx.Response(200)

        vendor.respond = wait
        (slow,) = calls(client, 1)
        await until(lambda: vendor.arrivals)
        vendor.clock.now += 970
        assert (await call(client)).status_code == 200

        open_up.set()
        assert (await slow).status_code == 200
        assert [arrival.token for arrival in vendor.arrivals] == ["token-1", "token-2"]


class TestCancellation:
    @pytest.mark.parametrize("position", [0, 1, 2, 3, 4])
    async def test_a_cancelled_waiting_call_cancels_only_itself(
        self, client: httpx.AsyncClient, vendor: Vendor, position: int
    ) -> None:
        vendor.token_gate.clear()
        waiting = calls(client, 5)
        await until(lambda: vendor.asking)
        waiting[position].cancel()
        await settle()
        assert [task.cancelled() for task in waiting] == [number == position for number in range(5)]

        vendor.token_gate.set()
        others = [task for task in waiting if not task.cancelled()]
        assert [response.status_code for response in await asyncio.gather(*others)] == [200] * 4
        assert len(vendor.token_requests) == 1

    async def test_cancelling_all_waiting_calls_leaves_the_token_to_the_next(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.token_gate.clear()
        waiting = calls(client, 5)
        await until(lambda: vendor.asking)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert all(task.cancelled() for task in waiting)
        (late,) = calls(client, 1)
        await settle()

        vendor.token_gate.set()
        assert (await late).status_code == 200
        assert len(vendor.token_requests) == 1

    async def test_cancelling_all_waiting_calls_leaves_no_warning_of_a_failure(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        vendor.respond_to_token = lambda _: httpx.Response(403, text="no")
        vendor.token_gate.clear()
        (waiting,) = calls(client, 1)
        await until(lambda: vendor.asking)
        waiting.cancel()
        await asyncio.wait([waiting])
        vendor.token_gate.set()
        await until(lambda: not renewals())
        await failure_of(client)

        assert complaints == []

    async def test_a_timeout_of_one_waiting_call_ends_only_that_call(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        vendor.token_gate.clear()
        (patient,) = calls(client, 1)
        await until(lambda: vendor.asking)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await call(client)

        vendor.token_gate.set()
        assert (await patient).status_code == 200
        assert len(vendor.token_requests) == 1

    async def test_a_call_cancelled_in_flight_does_not_affect_others(
        self, client: httpx.AsyncClient, vendor: Vendor
    ) -> None:
        open_up = asyncio.Event()

        async def wait(_: Arrival) -> httpx.Response:
            await open_up.wait()
            return httpx.Response(200)

        vendor.respond = wait
        running = calls(client, 3)
        await until(lambda: len(vendor.arrivals) == 3)
        running[0].cancel()
        await asyncio.wait(running[:1])
        open_up.set()

        assert running[0].cancelled()
        assert [response.status_code for response in await asyncio.gather(*running[1:])] == [200, 200]
        await call(client)
        assert {arrival.token for arrival in vendor.arrivals} == {"token-1"}
        assert len(vendor.token_requests) == 1

    @pytest.mark.parametrize("position", [0, 1, 2])
    async def test_a_call_cancelled_during_replacement_does_not_affect_others(
        self, client: httpx.AsyncClient, vendor: Vendor, position: int
    ) -> None:
        all_sent = asyncio.Event()

        async def refuse(arrival: Arrival) -> httpx.Response:
            await all_sent.wait()
            return httpx.Response(401 if arrival.token == "token-1" else 200)

        vendor.respond = refuse
        running = calls(client, 3)
        await until(lambda: len(vendor.arrivals) == 3)
        vendor.token_gate.clear()
        all_sent.set()
        await settle()
        running[position].cancel()
        await settle()
        vendor.token_gate.set()
        others = [task for task in running if not task.cancelled()]

        assert len(others) == 2
        assert [response.status_code for response in await asyncio.gather(*others)] == [200, 200]
        assert len(vendor.token_requests) == 2


class TestSeveralClients:
    async def test_one_auth_serves_several_clients_with_one_token(self, auth: TokenAuth, vendor: Vendor) -> None:
        clients = [vendor.client(auth) for _ in range(5)]
        await asyncio.gather(*(call(client) for client in clients))

        assert [arrival.token for arrival in vendor.arrivals] == ["token-1"] * 5
        assert len(vendor.token_requests) == 1

    async def test_one_auth_serves_several_services(self, vendor: Vendor) -> None:
        other = "https://other-proxy.test/signstash"
        auth = vendor.auth(base_urls=[BASE_URL, other])
        vendor.respond = lambda _: httpx.Response(200, json={"id": 7, "status": "EXECUTED"})
        http_client = vendor.client()
        for base_url in (BASE_URL, other):
            async with SignStash(base_url, auth=auth, http_client=http_client) as client:
                await status(client)

        assert [arrival.url.host for arrival in vendor.arrivals] == ["proxy.test", "other-proxy.test"]
        assert [arrival.token for arrival in vendor.arrivals] == ["token-1", "token-1"]

    async def test_closing_one_client_leaves_the_auth_to_the_others(self, auth: TokenAuth, vendor: Vendor) -> None:
        vendor.respond = lambda _: httpx.Response(200, json={"id": 7, "status": "EXECUTED"})
        http_client = vendor.client()
        first, second = (SignStash(BASE_URL, auth=auth, http_client=http_client) for _ in range(2))
        await status(first)
        await first.aclose()
        await status(second)

        assert len(vendor.token_requests) == 1

    async def test_client_services_share_a_pool_and_not_a_token(self, vendor: Vendor) -> None:
        vendor.respond = lambda _: httpx.Response(200, json={"id": 7, "status": "EXECUTED"})
        http_client = vendor.client()
        clients = [
            SignStash(BASE_URL, f"PRT.{issuer}", "secret", token_url=TOKEN_URL, http_client=http_client)
            for issuer in range(3)
        ]
        for _ in range(2):
            for client in clients:
                await status(client)

        tokens = [arrival.token for arrival in vendor.arrivals]
        assert tokens == ["token-1", "token-2", "token-3"] * 2
        assert len({asked.headers["authorization"] for asked in vendor.token_requests}) == 3

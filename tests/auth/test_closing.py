"""Closing a `TokenAuth`, and its use in a second event loop."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from signstash import ConfigurationError, CredentialsRejectedError, SignStashError, TokenAuth
from tests.auth.vendor import Arrival, Vendor, call, calls, failure_of, renewals, settle, status, until
from tests.conftest import new_client


async def call_once(vendor: Vendor, auth: TokenAuth) -> None:
    assert (await call(vendor.client(auth))).status_code == 200


class TestClosing:
    async def test_closing_ends_the_renewal_and_raises_for_waiting_calls(
        self, client: httpx.AsyncClient, auth: TokenAuth, vendor: Vendor
    ) -> None:
        vendor.token_gate.clear()
        waiting = calls(client, 3)
        await until(lambda: vendor.asking)
        await auth.aclose()
        failures = await asyncio.gather(*waiting, return_exceptions=True)

        assert renewals() == []
        assert vendor.asking == 0
        assert [type(failure) for failure in failures] == [ConfigurationError] * 3
        assert "closed" in str(failures[0])

    async def test_closing_ends_a_renewal_without_waiting_calls(
        self, client: httpx.AsyncClient, auth: TokenAuth, vendor: Vendor
    ) -> None:
        await call(client)
        vendor.clock.now += 880
        vendor.token_gate.clear()
        await call(client)
        await until(lambda: vendor.asking)
        await auth.aclose()

        assert renewals() == []
        assert vendor.asking == 0

    async def test_a_waiting_call_cancelled_during_closing_is_cancelled(
        self, client: httpx.AsyncClient, auth: TokenAuth, vendor: Vendor
    ) -> None:
        vendor.token_gate.clear()
        (waiting,) = calls(client, 1)
        await until(lambda: vendor.asking)
        (renewal,) = renewals()
        renewal.add_done_callback(lambda _: waiting.cancel())
        await auth.aclose()
        await asyncio.wait([waiting])

        assert waiting.cancelled()

    async def test_a_second_cancellation_closes_the_connections_all_the_same(
        self, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def slow(*_: object) -> None:
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    if ending.is_set():
                        raise

        ending = asyncio.Event()
        client = new_client(token_http_client=vendor.client(event_hooks={"request": [slow]}))
        signing = asyncio.create_task(client.get_status(7))
        await until(renewals)
        await settle()
        http_client = client._exchange.clients._pool.client  # type: ignore[union-attr]
        closing = asyncio.create_task(client.aclose())
        await settle()
        closing.cancel()
        await settle()
        ending.set()
        for renewal in renewals():
            renewal.cancel()

        with pytest.raises(asyncio.CancelledError):
            await closing
        assert http_client.is_closed
        with pytest.raises(SignStashError):
            await signing

    async def test_use_after_closing_raises(self, client: httpx.AsyncClient, auth: TokenAuth, vendor: Vendor) -> None:
        await call(client)
        await auth.aclose()
        await auth.aclose()
        error = await failure_of(client)

        assert type(error) is ConfigurationError
        assert "TokenAuth, is closed" in str(error)
        assert len(vendor.arrivals) == 1
        assert len(vendor.token_requests) == 1

    async def test_a_token_rejected_after_closing_is_not_replaced(
        self, client: httpx.AsyncClient, auth: TokenAuth, vendor: Vendor
    ) -> None:
        open_up = asyncio.Event()

        async def refuse(_: Arrival) -> httpx.Response:
            await open_up.wait()
            return httpx.Response(401)

        vendor.respond = refuse
        (running,) = calls(client, 1)
        await until(lambda: vendor.arrivals)
        await auth.aclose()
        open_up.set()

        with pytest.raises(ConfigurationError, match="closed"):
            await running
        assert len(vendor.token_requests) == 1

    async def test_an_unused_auth_can_be_closed(self, vendor: Vendor) -> None:
        await vendor.auth().aclose()

    async def test_a_closing_client_ends_its_renewal(self, vendor: Vendor) -> None:
        vendor.token_gate.clear()
        async with new_client(http_client=vendor.client()) as client:
            waiting = asyncio.create_task(client.get_status(7))
            await until(lambda: vendor.asking)

        assert renewals() == []
        with pytest.raises(ConfigurationError, match="closed"):
            await waiting


class TestEventLoops:
    def test_the_token_serves_a_second_event_loop(self, vendor: Vendor) -> None:
        auth = vendor.auth()
        for _ in range(2):
            asyncio.run(call_once(vendor, auth))

        assert [arrival.token for arrival in vendor.arrivals] == ["token-1", "token-1"]
        assert len(vendor.token_requests) == 1

    def test_a_renewal_that_ended_with_its_loop_does_not_block_other_loops(self, vendor: Vendor) -> None:
        auth = vendor.auth()

        async def leave_while_it_renews() -> None:
            vendor.token_gate.clear()
            calls(vendor.client(auth), 1)
            await until(lambda: vendor.asking)

        asyncio.run(leave_while_it_renews())
        vendor.token_gate.set()
        asyncio.run(call_once(vendor, auth))

        assert [arrival.token for arrival in vendor.arrivals] == ["token-2"]

    def test_a_renewal_in_a_stopped_loop_does_not_block_other_loops(self, vendor: Vendor) -> None:
        auth = vendor.auth()
        first = asyncio.new_event_loop()

        async def leave_while_it_renews() -> asyncio.Task[httpx.Response]:
            vendor.token_gate.clear()
            (left,) = calls(vendor.client(auth), 1)
            await until(lambda: vendor.asking)
            return left

        async def use_and_close() -> None:
            await call(vendor.client(auth))
            await auth.aclose()

        left = first.run_until_complete(leave_while_it_renews())
        vendor.token_gate = asyncio.Event()
        vendor.token_gate.set()
        asyncio.run(use_and_close())
        assert vendor.arrivals[0].token == "token-2"

        for task in (left, *asyncio.all_tasks(first)):
            task.cancel()
        first.run_until_complete(asyncio.gather(left, return_exceptions=True))
        first.close()

    def test_an_auth_can_be_closed_from_another_loop_than_its_renewals(self, vendor: Vendor) -> None:
        auth = vendor.auth()
        first = asyncio.new_event_loop()

        async def leave_while_it_renews() -> list[asyncio.Task[object]]:
            vendor.token_gate.clear()
            tasks: list[asyncio.Task[object]] = [*calls(vendor.client(auth), 1)]
            await until(lambda: vendor.asking)
            return tasks + renewals()

        tasks = first.run_until_complete(leave_while_it_renews())
        asyncio.run(auth.aclose())

        for task in tasks:
            task.cancel()
        first.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        first.close()

    def test_a_client_serves_a_second_event_loop_with_the_same_token(self, vendor: Vendor) -> None:
        vendor.respond = lambda _: httpx.Response(200, json={"id": 7, "status": "EXECUTED"})
        client = new_client(http_client=vendor.client())
        for _ in range(2):
            asyncio.run(status(client))

        assert len(vendor.arrivals) == 2
        assert len(vendor.token_requests) == 1

    def test_rejected_credentials_are_remembered_in_a_second_event_loop(self, vendor: Vendor) -> None:
        auth = vendor.auth()
        vendor.respond_to_token = lambda _: httpx.Response(401)
        for _ in range(2):
            with pytest.raises(CredentialsRejectedError):
                asyncio.run(call_once(vendor, auth))

        assert len(vendor.token_requests) == 1

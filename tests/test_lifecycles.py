"""A closed client leaves no task, connection or file, and clients work in several event loops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from signstash import (
    ConfigurationError,
    ConnectionFailedError,
    Document,
    Journal,
    OutcomeUnknownError,
    RetryPolicy,
    SignStash,
    SignStashError,
    TokenAuth,
)
from signstash.api import get_status
from signstash.sandbox import Fault, Sandbox
from tests.conftest import CLIENT_ID
from tests.fault_server import Connection, FaultServer

pytestmark = pytest.mark.sandbox

LONG = bytes(2_000_000)
"""Long enough to be kept in files on its way."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A separate sandbox for faults, in a thread of this process."""

    async def sign_first(sandbox: Sandbox) -> None:
        async with SignStash(**sandbox.credentials) as client:
            await sign(client)

    with Sandbox() as sandbox:
        asyncio.run(sign_first(sandbox))  # generating its keys takes longer than the tests wait
        yield sandbox
    gc.collect()  # unclosed resources warn now, which is an error


@pytest.fixture(autouse=True)
def no_faults(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.faults.clear()


def descriptors() -> set[str]:
    """The sockets, pipes and files that this process has open."""
    if sys.platform != "linux":
        return set()
    found = set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - no folder of a file system
        with contextlib.suppress(OSError):  # the one by which it is listed
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")  # noqa: PTH115
    return {item for item in found if not item.endswith("/dev/null")}  # uvloop's reserve


async def gone(found: Callable[[], set[Any]]) -> set[Any]:
    """What is left after other tasks and threads had time to end."""
    for _ in range(6000):
        if not found():
            return set()
        await asyncio.sleep(0.01)
    return found()


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fail if the block leaves a task or a descriptor."""
    gc.collect()  # what earlier tests left
    tasks, opened = asyncio.all_tasks(), descriptors()
    yield
    assert asyncio.all_tasks() - tasks == set()
    assert await gone(lambda: descriptors() - opened) == set()


def documents(count: int, content: bytes = b"any") -> list[Document]:
    return [Document.binary(content, name=f"{number}.bin") for number in range(count)]


async def sign(client: SignStash) -> None:
    await client.sign(Document.binary(b"any", name="a.bin"))


async def sign_many_at_once(client: SignStash) -> None:
    await asyncio.gather(*(sign(client) for _ in range(8)))


async def sign_long_ones(client: SignStash) -> None:
    await client.sign_batch(documents(2, LONG))


async def end_early(client: SignStash) -> None:
    async with contextlib.aclosing(client.sign_all(documents(16), batch_documents=2)) as outcomes:
        async for _ in outcomes:
            break


async def be_cancelled(client: SignStash) -> None:
    signing = asyncio.create_task(client.sign_batch(documents(3, LONG)))
    await asyncio.sleep(0.03)
    signing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await signing


async def cancel_a_run(client: SignStash) -> None:
    async def run() -> None:
        async for _ in client.sign_all(documents(16), batch_documents=2):
            started.set()

    started = asyncio.Event()
    running = asyncio.create_task(run())
    await started.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def run_out_of_time(client: SignStash) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.02):
            await sign_long_ones(client)


async def do_nothing(_: SignStash) -> None:
    pass


LIVES = [sign, sign_many_at_once, sign_long_ones, end_early, be_cancelled, cancel_a_run, run_out_of_time, do_nothing]


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
async def test_a_closed_client_leaves_nothing(sandbox: Sandbox, life: Callable[[SignStash], Awaitable[None]]) -> None:
    async with SignStash(**sandbox.credentials) as warm_up:  # what is made once, such as threads
        await sign_long_ones(warm_up)
    async with nothing_left(), SignStash(**sandbox.credentials) as client:
        await life(client)


@pytest.mark.parametrize(
    "fault", ["invalid_client", "reset_before", "reset_after", "truncated_response", "html_response"]
)
async def test_a_failing_service_leaves_nothing(sandbox: Sandbox, fault: Any) -> None:
    sandbox.faults.add(Fault(fault))
    async with nothing_left(), SignStash(**sandbox.credentials) as client:
        for _ in range(2):
            with contextlib.suppress(SignStashError):
                await sign_long_ones(client)
        with contextlib.suppress(SignStashError):
            [outcome async for outcome in client.sign_all(documents(6), batch_documents=2)]


async def test_a_start_that_fails_leaves_nothing(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    async with nothing_left():
        with pytest.raises(ConfigurationError):
            SignStash(**(sandbox.credentials | {"client_secret": ""}))
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
        async with SignStash(**sandbox.credentials) as client:
            with pytest.raises(ConfigurationError):
                await sign(client)
        with pytest.raises(ConfigurationError, match="closed"):
            async with client:
                pass


async def test_a_run_with_journal_and_files_leaves_nothing_open(sandbox: Sandbox, tmp_path: Path) -> None:
    async with nothing_left(), SignStash(**sandbox.credentials) as client:
        with Journal(tmp_path / "run.journal") as journal:
            run = client.sign_all(documents(20, LONG), save_to=tmp_path / "signed", journal=journal, batch_documents=2)
            async with contextlib.aclosing(run) as outcomes:
                async for _ in outcomes:
                    break


async def test_a_hundred_clients_leave_nothing(sandbox: Sandbox) -> None:
    context = httpx.create_ssl_context()
    async with nothing_left():
        for _ in range(100):
            async with (
                httpx.AsyncClient(verify=context) as http_client,
                SignStash(**sandbox.credentials, http_client=http_client) as client,
            ):
                await client.aclose()
                await client.aclose()


async def test_closing_from_many_tasks_at_once_works(sandbox: Sandbox) -> None:
    async with nothing_left():
        client = SignStash(**sandbox.credentials)
        await sign(client)
        await asyncio.gather(*(client.aclose() for _ in range(10)))


async def test_calls_in_flight_at_closing_raise_an_error_of_the_sdk(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("latency", seconds=3600))
    async with nothing_left():
        client = SignStash(**sandbox.credentials)
        signing = [asyncio.create_task(sign(client)) for _ in range(3)]
        await asyncio.sleep(0.1)
        await client.aclose()
        failures = await asyncio.gather(*signing, return_exceptions=True)

    assert all(isinstance(failure, SignStashError) for failure in failures)


@pytest.fixture
def silent_host() -> Iterator[str]:
    """The URL of a host whose queue for connections is full."""
    with contextlib.ExitStack() as opened:
        host = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            first = opened.enter_context(socket.socket())
            first.setblocking(False)
            first.connect_ex(host.getsockname())
        yield f"http://127.0.0.1:{host.getsockname()[1]}"


def connections_to(url: str) -> int:
    """The number of connections to a host, including those being made."""
    port = f":{httpx.URL(url).port:04X}"
    return sum(line.split()[2].endswith(port) for line in Path("/proc/net/tcp").read_text().splitlines()[1:])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse a connection for which they have no room")
async def test_closing_abandons_connections_being_made(silent_host: str) -> None:
    async with nothing_left():
        client = SignStash(silent_host, CLIENT_ID, auth=httpx.BasicAuth("a", "b"))
        before = connections_to(silent_host)
        signing = [asyncio.create_task(sign(client)) for _ in range(3)]
        assert await gone(lambda: set(range(before + 3 - connections_to(silent_host)))) == set()
        await asyncio.gather(client.aclose(), client.aclose())
        failures = await asyncio.gather(*signing, return_exceptions=True)

    for failure in failures:
        assert isinstance(failure, ConnectionFailedError)
        assert "the client was closed meanwhile" in str(failure)


async def test_documents_sent_before_closing_are_in_doubt() -> None:
    async def reads(connection: Connection) -> None:
        await connection.request()
        await connection.stay()

    async with nothing_left(), FaultServer(reads) as server:
        client = SignStash(server.url, CLIENT_ID, auth=httpx.BasicAuth("a", "b"))
        signing = asyncio.create_task(sign(client))
        await server.reached.wait()
        await client.aclose()
        (failure,) = await asyncio.gather(signing, return_exceptions=True)

    assert isinstance(failure, OutcomeUnknownError)
    assert "the client was closed meanwhile" in str(failure)


USES: dict[str, Callable[[SignStash], Awaitable[Any]]] = {
    "sign": sign,
    "sign_all": end_early,
    "get_status": lambda client: client.get_status(1),
    "generated": lambda client: get_status.asyncio(1, client=client.generated),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
async def test_use_after_closing_raises_an_error_of_the_sdk(
    sandbox: Sandbox, use: Callable[[SignStash], Awaitable[Any]]
) -> None:
    client = SignStash(**sandbox.credentials)
    await client.aclose()
    with pytest.raises(ConfigurationError, match="after it was closed"):
        await use(client)


class TestAnotherEventLoop:
    def test_a_client_works_in_a_second_loop_while_the_first_is_open(self, sandbox: Sandbox) -> None:
        client = SignStash(**sandbox.credentials)
        with asyncio.Runner() as first, asyncio.Runner() as second:
            first.run(sign(client))
            with pytest.raises(ConfigurationError, match="second event loop"):
                second.run(sign(client))
            first.run(sign(client))
            first.run(client.aclose())

    def test_a_given_http_client_in_a_second_loop_raises(self, sandbox: Sandbox) -> None:
        http_client = httpx.AsyncClient(verify=False)
        client = SignStash(**sandbox.credentials, http_client=http_client)
        with asyncio.Runner() as first, asyncio.Runner() as second:
            first.run(sign(client))
            with pytest.raises(ConfigurationError, match="another event loop"):
                second.run(sign(client))
            first.run(client.aclose())
            first.run(http_client.aclose())

    def test_a_given_token_client_in_a_second_loop_raises(self, sandbox: Sandbox) -> None:
        tokens = httpx.AsyncClient(verify=False)
        auth = TokenAuth(
            sandbox.token_url, sandbox.client_id, sandbox.client_secret, base_urls=sandbox.base_url, http_client=tokens
        )

        async def ask() -> None:
            async with httpx.AsyncClient(verify=False, auth=auth) as http_client:
                await http_client.get(f"{sandbox.base_url}/v3/api-docs")

        with asyncio.Runner() as first, asyncio.Runner() as second:
            first.run(tokens.get(sandbox.token_url))
            with pytest.raises(ConfigurationError, match="made for this event loop"):
                second.run(ask())
            first.run(ask())
            first.run(auth.aclose())
            first.run(tokens.aclose())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop")
class TestUvloop:
    @pytest.fixture
    def run(self) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
        with asyncio.Runner(loop_factory=importlib.import_module("uvloop").new_event_loop) as runner:
            yield runner.run

    @pytest.mark.parametrize("life", [sign_many_at_once, end_early, be_cancelled], ids=lambda life: life.__name__)
    def test_a_closed_client_leaves_nothing_on_uvloop(self, sandbox: Sandbox, run: Any, life: Any) -> None:
        async def live() -> None:
            async with SignStash(**sandbox.credentials) as warm_up:
                await sign_long_ones(warm_up)
            async with nothing_left(), SignStash(**sandbox.credentials) as client:
                await life(client)

        run(live())

    def test_a_stopped_run_is_resumed_on_uvloop(self, sandbox: Sandbox, run: Any, tmp_path: Path) -> None:
        sandbox.faults.add(Fault("too_many_requests", times=2, seconds=0), Fault("reset_after", times=1))
        policy = RetryPolicy(attempts=3, first_bound=0.001, longest_bound=0.001, deadline=1000)

        async def sign_all() -> list[bool]:
            with Journal(tmp_path / "run.journal") as journal:
                async with SignStash(**sandbox.integration_credentials, retries=policy) as client:
                    run = client.sign_all(
                        documents(20),
                        save_to=tmp_path / "signed",
                        journal=journal,
                        batch_documents=2,
                        unknown_outcomes="look_up",
                    )
                    return [outcome.ok async for outcome in run]

        assert run(sign_all()) == [True] * 20
        assert len(list((tmp_path / "signed").iterdir())) == 20
        assert run(sign_all()) == [True] * 20  # which the journal knows

    def test_closing_during_a_request_works_on_uvloop(self, sandbox: Sandbox, run: Any) -> None:
        sandbox.faults.add(Fault("latency", seconds=3600))

        async def live() -> Any:
            async with nothing_left():
                client = SignStash(**sandbox.credentials)
                signing = asyncio.create_task(sign(client))
                await asyncio.sleep(0.1)
                await client.aclose()
                return (await asyncio.gather(signing, return_exceptions=True))[0]

        failure = run(live())
        assert isinstance(failure, SignStashError)

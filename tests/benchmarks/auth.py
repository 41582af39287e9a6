"""What the auth layer costs a call with a good token, in CPU time, against a bare httpx call with a fixed header.

    python -m tests.benchmarks.auth [--rounds 15] [--calls 300]

Each row compares the two in rounds that alternate, so that both see the same weather. The goal is a ratio under 1.03
for a call over a connection; without one, all that is left to compare with is httpx's own bookkeeping.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import attrs
import httpx

from signstash import TokenAuth
from tests.benchmarks.processes import stub

TOKEN = "t" * 900
"""As long as a JWT is."""
TOKEN_ANSWER = f'{{"access_token": "{TOKEN}", "token_type": "bearer", "expires_in": 86399}}'.encode()
DOCUMENT = "J" * 270_000
"""A document of 200 KB in base64."""

Call = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


@attrs.frozen
class Row:
    """What a kind of call costs.

    Attributes:
        name: What was called.
        ratios: CPU time with the auth layer by CPU time without, one for each round.
        milliseconds: CPU time of a call with the auth layer, one for each round.
    """

    name: str
    ratios: list[float]
    milliseconds: list[float]

    def __str__(self) -> str:
        ratio, call = statistics.median(self.ratios), statistics.median(self.milliseconds)
        return f"{self.name:44} {ratio:.3f} [{min(self.ratios):.3f}-{max(self.ratios):.3f}] {call:8.3f} ms per call"


def rows(*, rounds: int, calls: int) -> Iterator[Row]:
    """Measure each kind of call.

    Args:
        rounds: Rounds of each.
        calls: Calls in a round.
    """
    with stub(_serve) as url:

        async def get(client: httpx.AsyncClient) -> httpx.Response:
            return await client.get(url)

        async def sign(client: httpx.AsyncClient) -> httpx.Response:
            return await client.post(url, json={"base64Content": DOCUMENT})

        yield asyncio.run(_compare("a question, over a connection", get, url, _over_a_connection, rounds, calls))
        yield asyncio.run(_compare("a document, over a connection", sign, url, _over_a_connection, rounds, calls))
        yield asyncio.run(_compare("a question, without a connection", get, url, _NoConnection, rounds, calls))


async def _compare(
    name: str, call: Call, url: str, transport: Callable[[], httpx.AsyncBaseTransport], rounds: int, calls: int
) -> Row:
    bare = httpx.AsyncClient(transport=transport(), headers={"Authorization": f"Bearer {TOKEN}"})
    for_tokens = httpx.AsyncClient(transport=transport())
    auth = TokenAuth(f"{url}/token", "alias", "secret", base_urls=[url], http_client=for_tokens)
    with_auth = httpx.AsyncClient(transport=transport(), auth=auth)
    ratios, milliseconds = [], []
    async with bare, for_tokens, with_auth, contextlib.aclosing(auth):
        for client in (bare, with_auth):
            await _cpu_time(client, call, max(calls // 10, 1))
        for number in range(rounds):
            first, second = (bare, with_auth) if number % 2 else (with_auth, bare)
            taken = {first: await _cpu_time(first, call, calls), second: await _cpu_time(second, call, calls)}
            ratios.append(taken[with_auth] / taken[bare])
            milliseconds.append(1000 * taken[with_auth] / calls)
    return Row(name, ratios, milliseconds)


async def _cpu_time(client: httpx.AsyncClient, call: Call, calls: int) -> float:
    gc.collect()
    started = time.process_time()
    for _ in range(calls):
        answer = await call(client)
        assert answer.status_code == 200
    return time.process_time() - started


def _over_a_connection() -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(verify=False)


class _NoConnection(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=TOKEN_ANSWER if request.url.path == "/token" else b"{}")


def _serve(ours: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Answers, "127.0.0.1", 0)
        ours.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


class _Answers(asyncio.Protocol):
    """Answers each request as soon as it is there, with the same few bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end]).lower()
            _, _, length = head.partition(b"content-length: ")
            end += 4 + int(length.partition(b"\r\n")[0] or 0)
            if len(self._received) < end:
                return
            del self._received[:end]
            answer = TOKEN_ANSWER if head.startswith(b"post /token ") else b"{}"
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))


def main() -> None:
    """Print a line for each row."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=15, help="rounds of each row")
    arguments.add_argument("--calls", type=int, default=300, help="calls in a round")
    given = arguments.parse_args()
    for row in rows(rounds=given.rounds, calls=given.calls):
        print(row, flush=True)  # noqa: T201 - it is for people


if __name__ == "__main__":
    main()

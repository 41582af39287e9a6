"""Documents that arrive one by one: `batching` against one request each, with as many requests in flight.

    python -m tests.benchmarks.batching [--callers 200] [--fixed 0.05] [--each 0.001]

A stub in a process of its own takes a fixed time for each request and some more for each document. All callers come at
once, and each waits for its own document. The last row is a lonely call. The goals: ten times the throughput, and no
more than 5 % on the latency of a lonely call.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator

from signstash import Document, SignedDocument, SignStash
from tests.benchmarks.processes import stub
from tests.benchmarks.runs import CONTENT, serve

Sign = Callable[[Document], Awaitable[SignedDocument]]


async def _latencies(sign: Sign, callers: int) -> tuple[float, list[float]]:
    began = time.perf_counter()

    async def call(number: int) -> float:
        signed = await sign(Document.pdf(CONTENT, name=f"{number}.pdf"))
        assert signed.content == CONTENT
        return time.perf_counter() - began

    latencies = await asyncio.gather(*map(call, range(callers)))
    return max(latencies), sorted(latencies)


async def _one_request_each(client: SignStash, callers: int) -> tuple[float, list[float]]:
    two_at_a_time = asyncio.Semaphore(2)

    async def sign(document: Document) -> SignedDocument:
        async with two_at_a_time:
            return await client.sign(document)

    return await _latencies(sign, callers)


async def _lonely(client: SignStash, calls: int) -> tuple[float, float]:
    """Median seconds of a lonely call, without and with batching, in turn."""
    plain: list[float] = []
    batched: list[float] = []
    async with client.batching() as batching:
        for _ in range(calls):
            for seconds, sign in ((plain, client.sign), (batched, batching.sign)):
                began = time.perf_counter()
                await sign(Document.pdf(CONTENT, name="lonely.pdf"))
                seconds.append(time.perf_counter() - began)
    return statistics.median(plain), statistics.median(batched)


async def _measure(url: str, callers: int, calls: int) -> list[str]:
    async with SignStash(url, "alias", "secret", token_url=f"{url}/token") as client:
        await client.sign(Document.pdf(CONTENT, name="first.pdf"))
        each, each_latencies = await _one_request_each(client, callers)
        async with client.batching(in_flight=2) as batching:
            together, latencies = await _latencies(batching.sign, callers)
        plain, batched = await _lonely(client, calls)
    return [
        _row("one request each", callers, each, each_latencies),
        f"{_row('batching', callers, together, latencies)}   {each / together:.1f} times the throughput",
        f"lonely call: {1000 * plain:.1f} ms, with batching {1000 * batched:.1f} ms ({batched / plain:.3f} of it)",
    ]


def _row(name: str, callers: int, seconds: float, latencies: list[float]) -> str:
    median, slow = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.95)]
    return f"{name:17} {callers / seconds:7.0f} documents/s   median {median:6.3f} s   95 % {slow:6.3f} s"


def rows(*, callers: int, fixed: float, each: float, calls: int) -> Iterator[str]:
    """Measure, and say so in lines."""
    yield f"{callers} callers at once; a request takes {fixed} s and {each} s for each document; 2 requests in flight"
    with stub(serve, fixed, each) as url:
        yield from asyncio.run(_measure(url, callers, calls))


def main() -> None:
    """Print the rows."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--callers", type=int, default=200)
    arguments.add_argument("--fixed", type=float, default=0.05, help="seconds for a request")
    arguments.add_argument("--each", type=float, default=0.001, help="seconds for a document")
    given = arguments.parse_args()
    for row in rows(callers=given.callers, fixed=given.fixed, each=given.each, calls=100):
        print(row, flush=True)  # noqa: T201 - it is for people


if __name__ == "__main__":
    main()

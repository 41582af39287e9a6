"""Signing in volume: `sign_all` against the loop that integrations write, and against the best of httpx by hand.

    python -m tests.benchmarks.runs [--documents 2000] [--fixed 0.05] [--each 0.001]

A stub in a process of its own takes a fixed time for each request and some more for each document, and gives the
documents back as they came. Each program signs one document before its time begins. The goal: twenty times ahead of
the loop, and not behind the hand-made one. The last rows show the peak of Python's memory while many more documents go
through.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import socket
import statistics
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from signstash import Document, SignStash
from tests.benchmarks.processes import stub
from tests.conftest import BASE64_PATH

CONTENT = b"%PDF-1.7\n" + b"x" * 2_000
PATH = BASE64_PATH


async def with_sign_all(url: str, documents: int) -> float:
    """The SDK, with its defaults."""
    async with SignStash(url, "alias", "secret", token_url=f"{url}/token") as client:
        await client.sign(Document.pdf(CONTENT, name="first.pdf"))
        started = time.perf_counter()
        given = (Document.pdf(CONTENT, name=f"{number}.pdf") for number in range(documents))
        done = 0
        async for outcome in client.sign_all(given):
            assert outcome.signed is not None
            assert outcome.signed.content == CONTENT
            done += 1
        taken = time.perf_counter() - started
    assert done == documents
    return taken


async def with_a_loop(url: str, documents: int) -> float:
    """One request for each document, one after another."""
    async with httpx.AsyncClient(headers={"Authorization": "Bearer t"}) as client:
        await _signed(client, url, range(1))
        started = time.perf_counter()
        for number in range(documents):
            assert await _signed(client, url, range(number, number + 1)) == 1
        return time.perf_counter() - started


async def with_httpx_by_hand(url: str, documents: int) -> float:
    """Requests of 50, two at a time, without anything that could go wrong."""
    two_at_a_time = asyncio.Semaphore(2)

    async def sign(numbers: range) -> int:
        async with two_at_a_time:
            return await _signed(client, url, numbers)

    async with httpx.AsyncClient(headers={"Authorization": "Bearer t"}) as client:
        await _signed(client, url, range(1))
        started = time.perf_counter()
        starts = range(0, documents, 50)
        done = await asyncio.gather(*(sign(range(start, min(start + 50, documents))) for start in starts))
        taken = time.perf_counter() - started
    assert sum(done) == documents
    return taken


async def _signed(client: httpx.AsyncClient, url: str, numbers: range) -> int:
    documents = [
        {
            "documentRequest": {
                "externalReference": f"reference-{number}",
                "name": f"{number}.pdf",
                "contentType": "application/pdf",
                "base64Content": base64.b64encode(CONTENT).decode(),
            },
            "signatureInfo": {"signatureType": "PAdES"},
        }
        for number in numbers
    ]
    request = {"externalReference": f"request-{numbers[0]}", "description": "d", "documents": documents}
    answer = await client.post(url + PATH, json=request)
    received = {item["externalReference"]: item["signedContent"] for item in answer.json()["documentList"]}
    return sum(base64.b64decode(received[f"reference-{number}"]) == CONTENT for number in numbers)


def rows(*, documents: int, fixed: float, each: float, many: tuple[int, int], rounds: int) -> Iterator[str]:
    """Measure, and say so in lines."""
    yield f"{documents} documents of {len(CONTENT):,} bytes; a request takes {fixed} s and {each} s for each document"
    with stub(serve, fixed, each) as url:
        seconds = {
            name: statistics.median(asyncio.run(run(url, documents)) for _ in range(rounds))
            for name, run in (("by hand", with_httpx_by_hand), ("sign_all", with_sign_all))
        }
        # A tenth of the documents says how long the loop takes, and is long enough to wait for.
        seconds["loop"] = 10 * asyncio.run(with_a_loop(url, documents // 10))
    for name, taken in seconds.items():
        yield f"{name:10} {taken:8.2f} s   sign_all is {taken / seconds['sign_all']:6.2f} times as fast"
    with stub(serve, 0.0, 0.0) as url:
        for count in many:
            tracemalloc.start()
            asyncio.run(with_sign_all(url, count))
            yield f"peak memory of sign_all, {count:6} documents: {tracemalloc.get_traced_memory()[1] / 2**20:6.1f} MiB"
            tracemalloc.stop()


def serve(ours: Connection, fixed: float, each: float) -> None:
    """Serve a stub that takes so many seconds for a request, and for each document; it knows what it signed."""
    signed: Counter[str] = Counter()

    async def token(_: Request) -> Response:
        return JSONResponse({"access_token": "t", "token_type": "bearer", "expires_in": 86399})

    async def sign(request: Request) -> Response:
        sent: list[dict[str, Any]] = [item["documentRequest"] for item in json.loads(await request.body())["documents"]]
        await asyncio.sleep(fixed + each * len(sent))
        signed.update(item["name"] for item in sent)
        listed = [
            {
                "externalReference": item["externalReference"],
                "name": item["name"],
                "contentType": item["contentType"],
                "signStatus": "SIGNED",
                "signedContent": item["base64Content"],
            }
            for item in sent
        ]
        return JSONResponse({"id": 1, "status": "EXECUTED", "documentList": listed})

    async def record(_: Request) -> Response:
        return JSONResponse(signed)

    routes = [Route("/token", token, methods=["POST"]), Route(PATH, sign, methods=["POST"]), Route("/signed", record)]
    application = Starlette(routes=routes)
    listening = socket.create_server(("127.0.0.1", 0))
    ours.send(listening.getsockname()[1])
    uvicorn.Server(uvicorn.Config(application, log_level="error", lifespan="off", ws="none")).run(sockets=[listening])


def main() -> None:
    """Print the rows."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, default=2000)
    arguments.add_argument("--fixed", type=float, default=0.05, help="seconds for a request")
    arguments.add_argument("--each", type=float, default=0.001, help="seconds for a document")
    given = arguments.parse_args()
    for row in rows(documents=given.documents, fixed=given.fixed, each=given.each, many=(1000, 20_000), rounds=5):
        print(row, flush=True)  # noqa: T201 - it is for people


if __name__ == "__main__":
    main()

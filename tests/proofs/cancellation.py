"""Proves that cancelled calls leave the client usable: 20,000 on asyncio, and as many on uvloop.

    python -m tests.proofs.cancellation [COUNT]

Calls have random limits on their time, up to twice as long as a response takes, so that they are cut off at every
moment of a request, and about half of them succeed. Afterwards a hundred calls at once, as many as a pool has
connections, must succeed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable

import uvloop

from signstash import SignStash
from tests.conftest import CLIENT_ID, CLIENT_SECRET, token_response

AT_ONCE = 40


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, EOFError, asyncio.CancelledError), contextlib.closing(writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
            await reader.readexactly(int(length))
            is_token = b"/token " in head.split(b"\r\n")[0]
            body = token_response().content if is_token else b'{"id": 7, "status": "EXECUTED"}'
            await asyncio.sleep(random.random() * 0.002)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            await asyncio.sleep(0)
            writer.write(body)
            if random.random() < 0.02:
                return


async def prove(count: int) -> tuple[int, int]:
    """Cut off so many calls. Returns how many were cut off, and how many succeeded meanwhile."""
    cancelled = succeeded = 0
    longest = 0.15
    slots = asyncio.Semaphore(AT_ONCE)
    async with await asyncio.start_server(_serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with SignStash(url, CLIENT_ID, CLIENT_SECRET, token_url=f"{url}/token") as client:

            async def call() -> None:
                nonlocal cancelled, succeeded
                async with slots:
                    try:
                        async with asyncio.timeout(random.random() * longest):
                            await client.get_status(7)
                        succeeded += 1
                    except TimeoutError:
                        cancelled += 1

            while cancelled < count:
                before = succeeded
                await asyncio.gather(*(call() for _ in range(500)))
                longest *= 1.3 if succeeded - before < 250 else 0.8  # as fast as the machine is now
            async with asyncio.timeout(30):
                await asyncio.gather(*(client.get_status(7) for _ in range(100)))
    return cancelled, succeeded


def main() -> None:
    """Prove it on both event loops."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop,
        "uvloop": uvloop.new_event_loop,
    }
    for name, new_loop in loops.items():
        with asyncio.Runner(loop_factory=new_loop) as runner:
            cancelled, succeeded = runner.run(prove(count))
        print(f"{name}: {cancelled:,} calls cut off, {succeeded:,} succeeded meanwhile, then 100 at once succeeded")


if __name__ == "__main__":
    main()

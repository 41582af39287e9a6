"""Volume: `sign_all` with journal and saved files, against a program of the same care and the loop of integrations.

    python -m tests.benchmarks.volume [--documents 20000] [--large 20000]

Each program runs in a process of its own: documents a second, CPU time of the process for each document, and peak
memory above what is there when one document is signed. A stub in another process gives documents back as they came; it
shares the machine, so documents a second are a lower bound. Files are removed as soon as they are saved.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from signstash import Document, Journal, SignStash
from tests.benchmarks.limits import Limits
from tests.benchmarks.payloads import memory
from tests.benchmarks.processes import stub
from tests.benchmarks.runs import PATH, serve

Program = Callable[[str, int, int, Path], Awaitable[None]]


def content(number: int, size: int) -> bytes:
    """A document that no other one is like."""
    return b"%%PDF-1.7\n%d\n" % number + b"x" * (size - 20)


async def with_sign_all(url: str, count: int, size: int, folder: Path) -> None:
    """The SDK: a journal, and files that a power failure does not lose."""
    documents = (Document.pdf(content(number, size), name=f"{number}.pdf") for number in range(count))
    async with SignStash(url, "alias", "secret", token_url=f"{url}/token") as client:
        with Journal(folder / "run.journal") as journal:
            async for outcome in client.sign_all(documents, save_to=folder, journal=journal):
                assert outcome.saved_as is not None, outcome.error
                outcome.saved_as.unlink()


async def with_care(url: str, count: int, size: int, folder: Path) -> None:
    """Over httpx: requests of 50 documents, two at a time, files synced and renamed, and a synced log of requests."""
    two_at_a_time = asyncio.Semaphore(2)

    def note(log: int, numbers: range, what: str) -> None:
        os.write(log, "".join(f"{number} {what}\n" for number in numbers).encode())
        os.fdatasync(log)

    def save(items: list[dict[str, Any]]) -> None:
        for item in items:
            partial = folder / f".{item['name']}.part"
            with partial.open("wb") as file:
                file.write(base64.b64decode(item["signedContent"]))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(folder / item["name"])
        sync_folder(folder)

    async def sign(client: httpx.AsyncClient, log: int, numbers: range) -> None:
        async with two_at_a_time:
            body = await asyncio.to_thread(_request, numbers, size)
            await asyncio.to_thread(note, log, numbers, "sent")
            answer = await client.post(url + PATH, content=body)
            items = (await asyncio.to_thread(answer.json))["documentList"]
            await asyncio.to_thread(save, items)
            await asyncio.to_thread(note, log, numbers, "signed")
            for item in items:
                (folder / item["name"]).unlink()

    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    async with httpx.AsyncClient(timeout=120, headers={"Authorization": "Bearer t"}) as client:
        batches = [range(start, min(start + 50, count)) for start in range(0, count, 50)]
        await asyncio.gather(*(sign(client, log, numbers) for numbers in batches))
    os.close(log)


async def with_a_loop(url: str, count: int, size: int, folder: Path) -> None:
    """One request for each document, one after another, and files that are simply written."""
    async with httpx.AsyncClient(timeout=120, headers={"Authorization": "Bearer t"}) as client:
        for number in range(count):
            answer = await client.post(url + PATH, content=_request(range(number, number + 1), size))
            (item,) = answer.json()["documentList"]
            (folder / item["name"]).write_bytes(base64.b64decode(item["signedContent"]))
            (folder / item["name"]).unlink()


PROGRAMS: dict[str, Program] = {"sign_all": with_sign_all, "with care": with_care, "loop": with_a_loop}


def _request(numbers: range, size: int) -> bytes:
    documents = [
        {
            "documentRequest": {
                "externalReference": f"reference-{number}",
                "name": f"{number}.pdf",
                "contentType": "application/pdf",
                "base64Content": base64.b64encode(content(number, size)).decode(),
            },
            "signatureInfo": {"signatureType": "PAdES"},
        }
        for number in numbers
    ]
    return json.dumps(
        {"externalReference": f"request-{numbers[0]}", "description": "d", "documents": documents}
    ).encode()


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


async def alone(program: str, url: str, count: int, size: int) -> None:
    """Run one program, and print seconds, CPU seconds and MiB."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "first").mkdir()
        await PROGRAMS[program](url, 1, size, Path(folder, "first"))
        before, began, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
        await PROGRAMS[program](url, count, size, Path(folder))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(seconds, cpu, memory("VmHWM") - before)  # noqa: T201


def measured(program: str, url: str, count: int, size: int) -> tuple[float, float, float]:
    """Seconds, CPU seconds and MiB that a program needs in a process of its own."""
    arguments = ["--alone", program, url, str(count), str(size)]
    command = [sys.executable, "-m", "tests.benchmarks.volume", *arguments]
    seconds, cpu, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(cpu), float(peak)


def rows(documents: int, large: int) -> Iterator[str]:
    """Measure, and say so in lines."""
    limits = Limits.measured()
    yield str(limits)
    with stub(serve, 0.0, 0.0) as url:
        for count, size in ((documents, 2_000), (large, 200_000)):
            for program in PROGRAMS:
                # A tenth of the documents tells how the loop fares, and is long enough to wait for.
                many = count if program != "loop" else max(count // 10, 1)
                seconds, cpu, peak = measured(program, url, many, size)
                yield (
                    f"{many:6} x {size:7,} bytes: {program:9} {many / seconds:7.0f} documents/s"
                    f" {1e6 * cpu / many:7.0f} µs CPU a document   peak {peak:6.1f} MiB"
                )
            yield f"a document of {size:7,} bytes: {limits.of(1, size, syncs=1)}"


def main() -> None:
    """Print the rows."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, default=20_000, help="documents of 2 KB")
    arguments.add_argument("--large", type=int, default=20_000, help="documents of 200 KB")
    arguments.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.alone is not None:
        program, url, count, size = given.alone
        asyncio.run(alone(program, url, int(count), int(size)))
        return
    for row in rows(given.documents, given.large):
        print(row, flush=True)  # noqa: T201 - it is for people


if __name__ == "__main__":
    main()

"""Large payloads: memory and CPU time of signing from disk to disk, against programs written by hand.

    python -m tests.benchmarks.payloads [--rounds 7] [--large 25]

The same documents are signed by the SDK, by the leanest program over httpx that does the same (read, base64, json,
post, parse, decode, write), by one that takes the same care (its files survive a power failure), and by the leanest
over aiohttp. A stub on loopback, in a process of its own, takes the request and streams the answer. CPU times are
medians of rounds in which the programs take turns; peak memory is that of a fresh process for each program, above what
it needs when everything is imported.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import attrs
import httpx
import trustme

from signstash import Document, SignStash
from tests.benchmarks.processes import stub
from tests.conftest import BASE64_PATH

PATH = BASE64_PATH
TOKEN_ANSWER = b'{"access_token": "t", "token_type": "bearer", "expires_in": 86399}'
SIGNED = b"%PDF-1.7\n" + b"signed" * 1000


@attrs.frozen
class Work:
    """What a program has to do.

    Attributes:
        url: Where the stub is.
        paths: The documents.
        folder: Where the signed ones go.
        contents: The documents if they are in memory, and so stay the signed ones.
    """

    url: str
    paths: Sequence[Path]
    folder: Path
    contents: Sequence[bytes] = ()

    @property
    def base_url(self) -> str:
        """The stub's base URL, which tells it what to answer."""
        return f"{self.url}/{len(self.paths)}/{self.paths[0].stat().st_size}"

    def check(self) -> None:
        """Every signed document is there, whole."""
        for path in () if self.contents else self.paths:
            assert (self.folder / path.name).stat().st_size == path.stat().st_size

    def request(self) -> dict[str, Any]:
        """The request as a program by hand makes it."""
        return {
            "externalReference": "request",
            "description": "d",
            "documents": [
                {
                    "documentRequest": {
                        "externalReference": f"r{number}",
                        "name": path.name,
                        "contentType": "application/pdf",
                        "base64Content": base64.b64encode(content).decode(),
                    },
                    "signatureInfo": {"signatureType": "PAdES"},
                }
                for number, (path, content) in enumerate(
                    zip(self.paths, self.contents or map(Path.read_bytes, self.paths), strict=True)
                )
            ],
            "returnSignedContent": True,
        }

    def save(self, answer: dict[str, Any]) -> None:
        """Write the answer's documents as a program by hand does it."""
        for item in answer["documentList"]:
            signed = base64.b64decode(item["signedContent"])
            if not self.contents:
                (self.folder / item["name"]).write_bytes(signed)


Sign = Callable[[Work], Awaitable[object]]
HEADERS = {"Authorization": "Bearer t"}


@contextlib.asynccontextmanager
async def with_signstash(work: Work) -> AsyncIterator[Sign]:
    """The SDK."""
    async with SignStash(work.base_url, "alias", "secret", token_url=f"{work.url}/token") as client:

        async def sign(work: Work) -> None:
            sources: Sequence[Path | bytes] = work.contents or work.paths
            documents = [
                Document.pdf(source, name=path.name, external_reference=f"r{number}")
                for number, (path, source) in enumerate(zip(work.paths, sources, strict=True))
            ]
            if work.contents:
                await client.sign(documents[0])
            elif len(documents) == 1:
                await client.sign(documents[0], save_to=work.folder, overwrite=True)
            else:
                batch = await client.sign_batch(documents, save_to=work.folder, overwrite=True)
                assert all(outcome.ok for outcome in batch.outcomes)

        yield sign


@contextlib.asynccontextmanager
async def with_httpx(_: Work) -> AsyncIterator[Sign]:
    """The leanest program over httpx."""

    async def sign(work: Work) -> None:
        answer = await client.post(work.base_url + PATH, json=work.request())
        work.save(answer.json())

    async with httpx.AsyncClient(verify=False, timeout=120, headers=HEADERS) as client:
        yield sign


@contextlib.asynccontextmanager
async def with_care(_: Work) -> AsyncIterator[Sign]:
    """The same over httpx, with files read and written in threads, synced and renamed, and their folder synced."""

    def save(work: Work, answer: dict[str, Any]) -> None:
        for item in answer["documentList"]:
            partial = work.folder / f".{item['name']}.part"
            with partial.open("wb") as file:
                file.write(base64.b64decode(item["signedContent"]))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(work.folder / item["name"])
        descriptor = os.open(work.folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    async def sign(work: Work) -> None:
        answer = await client.post(work.base_url + PATH, json=await asyncio.to_thread(work.request))
        if work.contents:
            work.save(answer.json())
        else:
            await asyncio.to_thread(save, work, answer.json())

    async with httpx.AsyncClient(verify=False, timeout=120, headers=HEADERS) as client:
        yield sign


@contextlib.asynccontextmanager
async def with_aiohttp(_: Work) -> AsyncIterator[Sign]:
    """The leanest program over aiohttp."""

    async def sign(work: Work) -> None:
        async with client.post(work.base_url + PATH, json=work.request()) as answer:
            work.save(await answer.json())

    async with aiohttp.ClientSession(headers=HEADERS, connector=aiohttp.TCPConnector(ssl=False)) as client:
        yield sign


PROGRAMS = {"signstash": with_signstash, "httpx": with_httpx, "with care": with_care, "aiohttp": with_aiohttp}


async def cpu_times(work: Work, *, rounds: int, requests: int) -> dict[str, list[float]]:
    """Milliseconds of CPU time for a request in each round, by program."""
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    async with contextlib.AsyncExitStack() as stack:
        programs = {name: await stack.enter_async_context(made(work)) for name, made in PROGRAMS.items()}
        for sign in programs.values():
            await sign(work)
            work.check()
        for number in range(rounds):
            for name in sorted(programs, key=lambda name: (list(programs).index(name) + number) % len(programs)):
                started = time.process_time()
                for _ in range(requests):
                    await programs[name](work)
                taken[name].append(1000 * (time.process_time() - started) / requests)
    return taken


def _compared(name: str, given: Work, rounds: int, requests: int) -> Iterator[str]:
    yield from _lines(name, asyncio.run(cpu_times(given, rounds=rounds, requests=requests)))


def _lines(name: str, times: Mapping[str, Sequence[float]]) -> Iterator[str]:
    for program, taken in times.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(times["signstash"], taken, strict=True))
        milliseconds = statistics.median(taken)
        yield f"CPU, {name}: {program:9} {milliseconds:8.2f} ms; signstash needs {ratio:.2f} of it"


def import_times(rounds: int) -> dict[str, list[float]]:
    """Milliseconds of CPU time of fresh processes that import the client, or only httpx."""
    programs = {"signstash": "from signstash import SignStash, Document", "httpx": "import httpx"}
    taken: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as cache:
        for number in range(rounds + 1):  # the first one compiles
            for name, program in programs.items():
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
                subprocess.run([sys.executable, "-c", program], check=True, env=environment)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                if number:
                    taken[name].append(1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return taken


def peak(work: Work, program: str) -> tuple[float, float]:
    """MiB that a program needs above what is imported, and the longest milliseconds that it held its event loop."""
    arguments = [program, work.url, str(work.paths[0].parent), str(len(work.paths))]
    command = [sys.executable, "-m", "tests.benchmarks.payloads", "--alone", *arguments]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    memory, held = map(float, printed.split())
    return memory, held


async def alone(work: Work, program: str) -> None:
    """Sign once, and print peak memory and the longest hold of the event loop."""
    held = 0.0

    async def probe() -> None:
        nonlocal held
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            held = max(held, time.perf_counter() - started - 0.001)

    async with PROGRAMS[program](work) as sign:
        small = attrs.evolve(work, paths=[work.folder / "small.pdf"])
        small.paths[0].write_bytes(SIGNED)
        with contextlib.suppress(Exception):  # what it imports and opens is all that is wanted of it
            await sign(small)
        imported = memory("VmRSS")
        probing = asyncio.create_task(probe())
        await sign(work)
        probing.cancel()
    work.check()
    print(memory("VmHWM") - imported, 1000 * held)  # noqa: T201


def memory(kind: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at its peak. What getrusage tells includes the process that started it."""
    return int(Path("/proc/self/status").read_text("ascii").partition(f"{kind}:")[2].split()[0]) / 1024


@contextlib.contextmanager
def secure_stub() -> Iterator[str]:
    """The URL of a stub that speaks TLS; new clients trust its CA."""
    ca = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        trusted, certificate = Path(folder, "ca.pem"), Path(folder, "server.pem")
        ca.cert_pem.write_to_path(trusted)
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        with mock.patch.dict(os.environ, SSL_CERT_FILE=str(trusted)), stub(serve, certificate) as url:
            yield url.replace("http:", "https:")


def serve(ours: Connection, certificate: Path | None = None) -> None:
    """Serve a stub that signs whatever it gets; the base URL says how many documents, and how long they are."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    if tls and certificate:
        tls.load_cert_chain(certificate)

    async def serve() -> None:
        server = await asyncio.start_server(_answer, "127.0.0.1", 0, limit=2**20, ssl=tls)
        ours.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            left = int(head.partition("content-length: ")[2].partition("\r")[0])
            while left:
                left -= len(await reader.read(min(left, 2**20)))
            target = head.split()[1]
            pieces = [TOKEN_ANSWER] if target == "/token" else _signed(*map(int, target.split("/")[1:3]))
            length = sum(map(len, pieces))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()


def _signed(count: int, size: int) -> list[bytes]:
    """The answer, in which the contents of all documents are the same bytes."""
    content = base64.b64encode((SIGNED * (size // len(SIGNED) + 1))[:size])
    pieces = [
        b'{"id":1,"type":"SIGN","status":"EXECUTED","creationDate":"2026-11-23T10:00:00.000+0000","documentList":['
    ]
    for number in range(count):
        document = (
            f'{{"externalReference":"r{number}","name":"{number}.pdf","contentType":"application/pdf","contentLength":'
            f'{size},"signStatus":"SIGNED","signError":null,"storageStatus":"CONTENT_NOT_STORED","signedContent":"'
        )
        pieces += [document.encode(), content, b'"}' if number == count - 1 else b'"},']
    return [*pieces, b"]}"]


@contextlib.contextmanager
def work(url: str, *, count: int, size: int) -> Iterator[Work]:
    """Documents on disk, and a folder for the signed ones."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.pdf") for number in range(count)]
        for path in paths:
            path.write_bytes(b"%PDF-1.7\n" + b"x" * (size - 9))
        Path(folder, "signed").mkdir()
        yield Work(url, paths, Path(folder, "signed"))


def rows(*, rounds: int, requests: int, large: int, megabytes: int = 20) -> Iterator[str]:
    """Measure, and say so in lines."""
    yield ", ".join(f"{name} {version(name)}" for name in ("httpx", "aiohttp")) + f", Python {sys.version.split()[0]}"
    yield from _lines("import", import_times(rounds))
    with stub(serve) as url:
        for count, size, times_more in ((1, 20_000, 50), (50, 200_000, 1)):
            with work(url, count=count, size=size) as given:
                yield from _compared(f"{count:2} x {size:,} bytes", given, rounds, requests * times_more)
        with work(url, count=1, size=20_000) as given:
            given = attrs.evolve(given, contents=[path.read_bytes() for path in given.paths])
            yield from _compared(" 1 x 20,000 bytes in memory", given, rounds, requests * 50)
        for count, program in ((1, "signstash"), (large, "signstash"), (large, "httpx")):
            with work(url, count=count, size=megabytes * 1_000_000) as given:
                memory, held = peak(given, program)
            yield f"{count:2} x {megabytes} MB: {program:9} peak {memory:7.1f} MiB; event loop held for {held:6.1f} ms"


def main() -> None:
    """Print the rows."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--large", type=int, default=25, help="documents in the largest request")
    arguments.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.alone is not None:
        program, url, folder, count = given.alone
        paths = [Path(folder, f"{number}.pdf") for number in range(int(count))]
        asyncio.run(alone(Work(url, paths, Path(folder, "signed")), program))
        return
    for row in rows(rounds=given.rounds, requests=5, large=given.large):
        print(row, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

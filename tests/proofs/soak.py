"""What `make soak` runs: a month-end that goes on and on, against a sandbox that fails in many ways.

SIGNSTASH_SOAK_SECONDS=3600 python -m tests.proofs.soak

Fails if memory or descriptors grow, a task is left, or the books do not balance.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import httpx

from signstash import Document, Journal, Outcome, OutcomeUnknownError, RetryPolicy, SignStash, SignStashError

FAULTS: Final = {
    "too_many_requests": {"share": 0.04, "seconds": 0},
    "reset_before": {"share": 0.03},
    "reset_after": {"share": 0.03},
    "truncated_response": {"share": 0.03},
    "cut_json": {"share": 0.02},
    "html_response": {"share": 0.03},
    "empty_response": {"share": 0.02},
    "expired_token": {"share": 0.02},
    "0.0.6": {"share": 0.02},
    "TIMESTAMP_SIGN_ERROR": {"share": 0.005},
    "random_latency": {"share": 0.1, "seconds": 0.05},
    "odd_dates": {"share": 0.1},
    "unknown_enums": {"share": 0.05},
}
"""What fails, and which share of requests or documents."""

DOCUMENTS: Final = 100
"""Documents of a run."""
LEAST: Final = 4
"""Minimum number of runs, even on a slow machine: fewer runs show no trend."""
IN_FLIGHT: Final = 4
"""Requests that a run may have in flight."""
KEPT: Final = 2 * IN_FLIGHT
"""Connections that two clients keep between runs."""
LONG: Final = bytes(1_200_000)
"""What each twenty-fifth document holds: long enough to be kept in a file on its way."""
RETRIES: Final = RetryPolicy(attempts=5, first_bound=0.01, longest_bound=0.05, deadline=1000)

CANCELLED: Final = 0.2
"""Share of runs that are cancelled at a random moment, and begun again."""
CHANCE: Final = random.Random(20261127)

MORE_MEMORY: Final = 4.0
"""MiB by which the memory may seem to grow: what the allocator keeps for itself goes up and down by as much."""
MORE_OBJECTS: Final = 1000
"""Python objects by which it may seem to grow: caches are filled, now and then."""


@attrs.define
class Books:
    """What became of each document, in a byte; they are numbered in the order in which they were given."""

    entries: bytearray = attrs.field(factory=bytearray)

    def open(self) -> int:
        """A new document's number."""
        self.entries.append(ord("?"))
        return len(self.entries) - 1

    def close(self, outcome: Outcome) -> None:
        """Take note of an outcome; a second one for the same document is a failure."""
        number = int(outcome.document.name.partition(".")[0])
        assert self.entries[number] == ord("?"), f"document {number} has two outcomes"
        self.entries[number] = ord(kind(outcome))

    def count(self, letter: str) -> int:
        """Documents of a kind."""
        return self.entries.count(letter.encode())


def kind(outcome: Outcome) -> str:
    """Signed, held for a person, or failed."""
    if outcome.ok:
        return "s"
    return "a" if isinstance(outcome.error, OutcomeUnknownError) else "f"


@attrs.frozen
class Sample:
    """What the process holds between two runs."""

    memory: float
    objects: int
    descriptors: int
    tasks: int


def sample() -> Sample:
    for _ in range(3):  # what has a finalizer is only freed by the collection after it
        gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        memory=pages * resource.getpagesize() / 2**20,
        objects=len(gc.get_objects()),
        descriptors=len(list(Path("/proc/self/fd").iterdir())) - 1,  # the one by which they are listed
        tasks=len(asyncio.all_tasks()),
    )


async def settled(before: Sample, kept: int = 0) -> Sample:
    """A sample when tasks and threads of cancelled runs have ended and closed their files, or after a minute."""
    for _ in range(1200):
        taken = sample()
        if taken.descriptors <= before.descriptors + kept and taken.tasks <= before.tasks:
            break
        await asyncio.sleep(0.05)
    return taken


@attrs.frozen
class Figures:
    """What a soak run came to."""

    seconds: float
    given: int
    signed: int
    held: int
    failed: int
    most_often_signed: int
    runs: int
    ended_early: int
    faults: int
    samples: Sequence[Sample]
    before: Sample
    after: Sample

    def growth(self, name: str) -> float:
        """By how much something grew from the second quarter of the run to the last; the first one warms up."""
        values = [float(getattr(item, name)) for item in self.samples]
        quarter = max(len(values) // 4, 1)
        return statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter] or values)

    def __str__(self) -> str:
        return (
            f"{self.seconds:.0f} s, {self.runs} runs ({self.ended_early} ended early and were begun again), "
            f"{self.faults} faults\n"
            f"{self.given} documents given = {self.signed} signed + {self.held} held + {self.failed} failed; "
            f"none was signed more than {self.most_often_signed} time\n"
            f"memory: {self.samples[-1].memory:.1f} MiB, {self.growth('memory'):+.2f} MiB since the second quarter; "
            f"objects: {self.samples[-1].objects}, {self.growth('objects'):+.0f}\n"
            f"descriptors: {self.before.descriptors} before, {max(item.descriptors for item in self.samples)} at most "
            f"between runs, {self.after.descriptors} after; tasks: {self.after.tasks}"
        )


async def soak(seconds: float, more_memory: float = MORE_MEMORY) -> Figures:
    """Sign for so many seconds, and check that nothing grows, nothing is left, and the books balance.

    Raises:
        AssertionError: If that is not so.
    """
    books, samples = Books(), list[Sample]()
    runs = ended_early = 0
    with served() as settings, tempfile.TemporaryDirectory() as folder:
        async with SignStash.from_env(settings) as client:  # imports and threads are made once
            await client.sign(Document.binary(LONG, name="warm-up.bin"))
        before, started = sample(), time.monotonic()
        async with clients(settings) as both:
            while time.monotonic() - started < seconds or runs < LEAST:
                ended_early += await run(both[runs % 2], books, Path(folder, str(runs)))
                runs += 1
                samples.append(await settled(before, KEPT))
        after = await settled(before)
        signed, faults = await told_by_sandbox(settings["SIGNSTASH_BASE_URL"])
    figures = Figures(
        seconds=time.monotonic() - started,
        given=len(books.entries),
        signed=books.count("s"),
        held=books.count("a"),
        failed=books.count("f"),
        most_often_signed=max(signed.values()),
        runs=runs,
        ended_early=ended_early,
        faults=faults,
        samples=samples,
        before=before,
        after=after,
    )
    check(figures, books, signed, more_memory)
    return figures


def check(figures: Figures, books: Books, signed: Counter[str], more_memory: float) -> None:
    assert figures.given == figures.signed + figures.held + figures.failed, figures
    assert figures.most_often_signed == 1, figures
    for number, entry in enumerate(books.entries):
        expected = {"s": (1,), "f": (0,), "a": (0, 1)}[chr(entry)]
        assert signed[f"soak_{number}"] in expected, f"document {number}: {chr(entry)}"
    assert all(item.tasks == figures.before.tasks for item in figures.samples), figures
    assert figures.after.descriptors == figures.before.descriptors, figures
    most = figures.before.descriptors + KEPT
    assert all(item.descriptors <= most for item in figures.samples), figures
    assert figures.growth("memory") < more_memory, figures
    assert figures.growth("objects") < MORE_OBJECTS, figures


async def run(client: SignStash, books: Books, folder: Path) -> int:
    """Sign some documents, however often the run is cancelled or ended by failures in a row; how often it was."""
    left = {number: document(number) for number in (books.open() for _ in range(DOCUMENTS))}
    ended = 0
    with Journal(folder.with_suffix(".journal")) as journal:
        while left:
            outcomes = client.sign_all(
                list(left.values()),
                save_to=folder,
                journal=journal,
                batch_documents=8,
                in_flight=IN_FLIGHT,
                unknown_outcomes="send_again",
            )

            async def take(outcomes: AsyncGenerator[Outcome, None] = outcomes) -> None:
                async for outcome in outcomes:
                    books.close(outcome)
                    del left[int(outcome.document.name.partition(".")[0])]

            taking = asyncio.create_task(take())
            cancels = CHANCE.random() < CANCELLED
            await asyncio.wait([taking], timeout=CHANCE.random() * 0.2 if cancels else None)
            taking.cancel()
            try:
                await taking
            except asyncio.CancelledError:
                ended += 1
            except SignStashError:
                ended += 1
    for path in folder.iterdir():
        path.unlink()
    return ended


def document(number: int) -> Document:
    content = LONG if number % 25 == 0 else b"document %d" % number
    return Document.binary(content, name=f"{number}.bin", external_reference=f"soak_{number}")


@contextlib.asynccontextmanager
async def clients(settings: dict[str, str]) -> AsyncIterator[tuple[SignStash, SignStash]]:
    """One for each way of uploading."""
    async with (
        SignStash.from_env(settings, retries=RETRIES) as base64,
        SignStash.from_env(settings, retries=RETRIES, upload="multipart") as multipart,
    ):
        yield base64, multipart


@contextlib.contextmanager
def served() -> Iterator[dict[str, str]]:
    """A sandbox in a process of its own, whose memory is not ours; what a client is set up with."""
    faults = json.dumps([{"kind": name, **options} for name, options in FAULTS.items()])
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "faults.json")
        script.write_text(faults)
        command = [sys.executable, "-m", "signstash.sandbox", "--port", "0", "--script", str(script)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                assert process.stdout is not None
                told = "".join(process.stdout.readline() for _ in range(7))
                yield dict(re.findall(r"export (\w+)='(.*)'", told))
            finally:
                process.terminate()


async def told_by_sandbox(base_url: str) -> tuple[Counter[str], int]:
    """How often each reference was signed, and how many faults struck."""
    async with httpx.AsyncClient(base_url=httpx.URL(base_url).copy_with(path="/"), timeout=60) as http_client:
        everything = (await http_client.get("/__sandbox")).json()
        struck = (await http_client.get("/__sandbox/faults")).json()
    return Counter(everything["signed"]), sum(fault["fired"] for fault in struck)


if __name__ == "__main__":
    print(asyncio.run(soak(float(os.environ.get("SIGNSTASH_SOAK_SECONDS", "180")))))

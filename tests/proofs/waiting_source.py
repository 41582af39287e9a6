"""What `make prove-source` runs: `sign_all` over a queue that is filled irregularly, and left in the middle.

python -m tests.proofs.waiting_source [--documents 10000] [--seed N]

Every document is signed once, also those in flight when the run is left; memory stays flat, and a document that comes
alone is signed at once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Final

import attrs

from signstash import Document, Journal, Outcome, SignStash
from tests.benchmarks.processes import stub
from tests.benchmarks.runs import serve
from tests.proofs.soak import Sample, sample

BURSTS: Final = (1, 1, 1, 1, 5, 20, 50, 300)
"""How many documents come at once."""
PAUSES: Final = (0.0, 0.05, 0.5, 2.0)
"""Seconds at most until more come."""
WARM_UP: Final = 0.1
"""Share of the documents after which memory is measured first."""


@attrs.define
class Queue:
    """A queue that is filled by bursts, and knows when each document came.

    Attributes:
        names: Names of the documents that are still to come.
        chance: Chooses how many come, and when.
        pause: Waits so many seconds.
        came: When each document without an outcome came.
        alone: Documents that came when there was no other.
        taken: Documents that were taken, by their names.
    """

    names: list[str]
    chance: random.Random
    pause: Callable[[float], Awaitable[object]]
    came: dict[str, float] = attrs.field(factory=dict[str, float])
    alone: set[str] = attrs.field(factory=set[str])
    taken: dict[str, Document] = attrs.field(factory=dict[str, Document])
    _queue: asyncio.Queue[Document] = attrs.field(factory=lambda: asyncio.Queue(maxsize=100))

    async def fill(self) -> None:
        """Put in all documents."""
        while self.names:
            burst = [self.names.pop() for _ in range(min(self.chance.choice(BURSTS), len(self.names)))]
            is_alone = len(burst) == 1 and not self.came
            for name in burst:
                self.came[name] = time.monotonic()
                await self._queue.put(Document.binary(f"document {name}".encode(), name=name))
            while is_alone and burst[0] in self.came:
                self.alone.add(burst[0])
                await self.pause(0.005)
            await self.pause(self.chance.random() * self.chance.choice(PAUSES))

    async def documents(self) -> AsyncIterator[Document]:
        """The documents as they come, without end."""
        while True:
            document = await self._queue.get()
            self.taken[document.name] = document
            yield document


@attrs.define
class Proof:
    """Documents of a queue, signed in two runs.

    Attributes:
        client: The client.
        queue: Where documents come from.
        journal: Record of both runs.
        folder: Folder for signed documents.
        done: Names of documents with an outcome.
        latencies: Seconds from queue to outcome.
        alone: The same of documents that came alone.
        samples: What the process held now and then.
    """

    client: SignStash
    queue: Queue
    journal: Journal
    folder: Path
    done: set[str] = attrs.field(factory=set[str])
    latencies: list[float] = attrs.field(factory=list[float])
    alone: list[float] = attrs.field(factory=list[float])
    samples: list[Sample] = attrs.field(factory=list[Sample])

    async def run(self, source: AsyncIterator[Document], wanted: Iterable[str], *, every: int) -> None:
        """Take outcomes until all that is wanted is signed; then leave the run, with whatever is in flight."""
        left = set(wanted)
        outcomes = self.client.sign_all(source, journal=self.journal, save_to=self.folder)
        async with aclosing(outcomes):
            async for outcome in outcomes:
                self.count(outcome)
                left.discard(outcome.document.name)
                if len(self.latencies) % every == 0:
                    self.samples.append(sample())
                if not left:
                    break

    def count(self, outcome: Outcome) -> None:
        """Note the outcome of a document."""
        name = outcome.document.name
        assert outcome.ok, outcome.error
        self.latencies.append(time.monotonic() - self.queue.came.pop(name))
        if name in self.queue.alone:
            self.alone.append(self.latencies[-1])
        del self.queue.taken[name]
        self.done.add(name)


async def prove(
    client: SignStash,
    documents: int,
    *,
    folder: Path,
    chance: random.Random,
    pause: Callable[[float], Awaitable[object]],
) -> tuple[Proof, int]:
    """Sign the documents of a queue, and leave the run in the middle.

    Args:
        client: The client.
        documents: How many documents are signed.
        folder: Where journal and signed files are kept.
        chance: Chooses when documents come.
        pause: Waits so many seconds.

    Returns:
        What was measured, and how many documents were signed when the first run was left, without an outcome.

    Raises:
        AssertionError: If a document was lost, or not accounted for.
    """
    names = [f"{number}.bin" for number in range(documents)]
    with Journal(folder / "journal") as journal:
        queue = Queue(list(names), chance, pause)
        proof = Proof(client, queue, journal, folder / "signed")
        filling = asyncio.create_task(queue.fill())
        every = max(1, int(documents * WARM_UP))
        await proof.run(queue.documents(), names[documents // 2 :], every=every)  # the later half comes first
        # What was taken and has no outcome: the journal knows what was signed, and the rest was not sent.
        open_documents, states = list(queue.taken.values()), {entry.name: entry.state for entry in journal.entries()}
        assert {states.get(document.name, "planned") for document in open_documents} <= {"signed", "planned"}
        in_flight = sum(states.get(document.name) == "signed" for document in open_documents)
        queue.taken.clear()

        async def rest() -> AsyncIterator[Document]:
            for document in open_documents:
                queue.taken[document.name] = document
                yield document
            async for document in queue.documents():
                yield document

        await proof.run(rest(), set(names) - proof.done, every=every)
        await filling
        assert not queue.came
        assert not queue.taken
        assert {entry.name for entry in journal.entries("signed")} == set(names)
    return proof, in_flight


async def main(documents: int, chance: random.Random) -> None:
    """Prove it with a stub in a process of its own, and print what was measured."""
    logging.disable()
    with tempfile.TemporaryDirectory() as folder, stub(serve, 0.05, 0.001) as url:
        async with SignStash(url, "alias", "secret", token_url=f"{url}/token") as client:
            await client.sign(Document.binary(b"first", name="first.bin"))
            began = time.monotonic()
            proof, in_flight = await prove(client, documents, folder=Path(folder), chance=chance, pause=asyncio.sleep)
            seconds = time.monotonic() - began
            signed: dict[str, int] = (await client.request("GET", "/signed")).json()
    del signed["first.bin"]
    assert len(signed) == documents
    assert set(signed.values()) == {1}
    first, *_, last = proof.samples
    print(
        f"{documents} documents in {seconds:.0f} s, each signed once; {in_flight} were signed while the run was left\n"
        f"latency: {figures(proof.latencies)}; {len(proof.alone)} that came alone: {figures(proof.alone)}\n"
        f"memory: {first.memory:.1f} MiB after the first tenth, {last.memory:.1f} MiB at the end; "
        f"objects: {first.objects}, {last.objects}; tasks: {last.tasks}"
    )
    assert max(proof.alone) < 0.5
    assert last.memory < first.memory + 8


def figures(seconds: list[float]) -> str:
    """Median and extremes of times."""
    ordered = sorted(seconds)
    slow = ordered[int(len(ordered) * 0.95)]
    return f"median {statistics.median(ordered):.3f} s, 95 % {slow:.3f} s, longest {ordered[-1]:.3f} s"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    asyncio.run(main(given.documents, random.Random(given.seed)))

"""A run in a process of its own, for `kills.py` to end: signs documents, and says when each is done.

python signing_process.py sign_all|batching FOLDER DOCUMENTS [LONGEST FILE]
"""

import asyncio
import contextlib
import logging
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from signstash import Document, Journal, RunOptions, SignStash, SignStashError

CALLERS = 50
"""Calls of `batching` at a time."""


def documents(count: int) -> list[Document]:
    """The same documents each time, in new objects."""
    return [Document.binary(f"document {number}".encode(), name=f"{number}.bin") for number in range(count)]


async def main(way: str, folder: Path, count: int) -> None:
    """Sign all that the journal does not know as done."""
    with Journal(folder / "run.journal") as journal:
        print("opened", flush=True)
        options: RunOptions = {
            "journal": journal,
            "save_to": folder / "signed",
            "overwrite": True,
            "unknown_outcomes": "send_again",
            "batch_documents": 10,
            "in_flight": 3,
        }
        before = {entry.name for entry in journal.entries("signed")}
        async with SignStash.from_env() as client:
            signs = one_by_one if way == "batching" else all_together
            async for name, is_signed in signs(client, documents(count), options):
                if name not in before:
                    print(name, is_signed, flush=True)


async def all_together(
    client: SignStash, given: list[Document], options: RunOptions
) -> AsyncIterator[tuple[str, bool]]:
    """One run."""
    async for outcome in client.sign_all(given, **options):
        yield outcome.document.name, outcome.ok


async def one_by_one(client: SignStash, given: list[Document], options: RunOptions) -> AsyncIterator[tuple[str, bool]]:
    """Calls at the same time, each with one document after another."""
    left = iter(given)
    told: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()

    async def call() -> None:
        for document in left:
            try:
                await batching.sign(document)
            except SignStashError:
                told.put_nowait((document.name, False))
            else:
                told.put_nowait((document.name, True))

    async with client.batching(**options) as batching, asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(call())
        for _ in given:
            yield await told.get()


if __name__ == "__main__":
    if len(sys.argv) > 4:  # no file may get longer: to the journal it is as if the disk were full
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
    logging.disable()
    with contextlib.suppress(SignStashError, KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))

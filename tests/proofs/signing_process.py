"""A run in a process of its own, for `kills.py` to end: signs documents, and says when each is done."""

import asyncio
import contextlib
import resource
import sys
from pathlib import Path

from signstash import Document, Journal, SignStash, SignStashError


def documents(count: int) -> list[Document]:
    """The same documents each time, in new objects."""
    return [Document.binary(f"document {number}".encode(), name=f"{number}.bin") for number in range(count)]


async def main(folder: Path, count: int) -> None:
    """Sign all that the journal does not know as done."""
    with Journal(folder / "run.journal") as journal:
        print("opened", flush=True)
        async with SignStash.from_env() as client:
            async for outcome in client.sign_all(
                documents(count),
                journal=journal,
                save_to=folder / "signed",
                overwrite=True,
                unknown_outcomes="send_again",
                batch_documents=10,
                in_flight=3,
            ):
                if not outcome.signed_before:
                    print(outcome.document.name, outcome.ok, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 3:  # no file may get longer: to the journal it is as if the disk were full
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    with contextlib.suppress(SignStashError, KeyboardInterrupt):
        asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))

"""What `make prove-watch` runs: a watch that is killed again and again loses no file and signs none twice.

python -m tests.proofs.watch_kills [--documents 500] [--kills 20] [--seed N]
"""

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from signstash import Journal
from signstash.sandbox import Sandbox

COMMAND = Path(sys.executable).with_name("signstash")


def prove(folder: Path, sandbox: Sandbox, *, documents: int, kills: int, chance: random.Random) -> str:
    """Drop files while the command is killed, start it again each time, and balance the books.

    Args:
        folder: Where inbox, journal and signed files are kept.
        sandbox: What signs.
        documents: How many files are dropped.
        kills: How often the command is killed.
        chance: Chooses when.

    Returns:
        What came of it, in a line.

    Raises:
        AssertionError: If a document is lost, torn, or signed twice.
    """
    environment = {
        **os.environ,
        "SIGNSTASH_BASE_URL": sandbox.base_url,
        "SIGNSTASH_TOKEN_URL": sandbox.token_url,
        "SIGNSTASH_CLIENT_ID": sandbox.client_id,
        "SIGNSTASH_CLIENT_SECRET": sandbox.client_secret,
    }
    inbox, signed, done = folder / "inbox", folder / "signed", folder / "done"
    inbox.mkdir()
    names = [f"{number}.xml" for number in range(documents)]
    left = iter(names)
    command: list[str | Path] = [
        COMMAND,
        "watch",
        inbox,
        "-o",
        signed,
        "--done",
        done,
        "--journal",
        folder / "j",
        "--settle",
        "0",
    ]
    command += ["--unknown", "send_again"]
    killed = 0
    for attempt in range(kills + 1):
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            process.stderr.readline()  # it has begun
            for name in itertools.islice(left, documents // kills + 1):
                partial = inbox / f".{name}"
                partial.write_text(f"<invoice number='{name}'/>")
                partial.rename(inbox / name)
            if attempt < kills:
                time.sleep(chance.random() * 1.5)  # anywhere: before the request, in it, before the file is moved
                process.send_signal(signal.SIGKILL)
            else:
                wait_until(lambda: held_in(signed) == names_in(inbox))
                process.send_signal(signal.SIGTERM)
            process.stderr.read()
            killed += process.wait() == -signal.SIGKILL
    held = held_in(signed)
    files = {path.name for path in signed.iterdir() if path.suffix == ".xml"}
    assert names_in(done) == files, "each signed file has its original among those that are done"
    assert files | held == set(names), f"lost: {set(names) - files - held}"
    assert not files & held
    assert all(name in (signed / name).read_text() for name in files)
    assert all("<ds:Signature" in (signed / name).read_text() for name in files)
    with Journal(folder / "j") as journal:
        assert {entry.name for entry in journal.entries("signed")} == files
        assert {entry.name for entry in journal.entries("held")} == held
    twice = {name: count for name, count in sandbox.signatures.items() if count > 1}
    assert not twice, f"signed twice: {twice}"
    assert set(sandbox.signatures) == set(names)
    return f"{documents} files, killed {killed} times: {len(files)} signed, {len(held)} held, 0 twice"


def names_in(folder: Path) -> set[str]:
    """Names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def held_in(signed: Path) -> set[str]:
    """Names of the documents for which a file says why they are not signed."""
    return {path.name.removesuffix(".failed.txt") for path in signed.glob("*.failed.txt")}


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something is so, for two minutes at most."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def main() -> None:
    """Prove it as often as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        chance = random.Random(arguments.seed)
        print(prove(Path(folder), sandbox, documents=arguments.documents, kills=arguments.kills, chance=chance))


if __name__ == "__main__":
    main()

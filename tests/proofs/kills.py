"""What `make prove-kills` runs: a run that is killed again and again loses no document and signs none twice.

python -m tests.proofs.kills [--documents 500] [--kills 20] [--seed N]
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from signstash import Journal
from signstash.sandbox import Sandbox

PROCESS = Path(__file__).with_name("signing_process.py")


def prove(folder: Path, sandbox: Sandbox, *, documents: int, kills: int, chance: random.Random) -> str:
    """Kill a run, go on with it, and balance the books.

    Args:
        folder: Where journal and signed files are kept.
        sandbox: What signs.
        documents: How many documents are signed.
        kills: How often the run is killed.
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
    command = [sys.executable, str(PROCESS), str(folder), str(documents)]
    killed = 0
    for attempt in range(kills + 1):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            if attempt < kills:
                for _ in range(chance.randrange(2 * documents // kills)):
                    process.stdout.readline()
                time.sleep(chance.random() * 0.05)  # anywhere between two outcomes: request, answer, file, record
                process.send_signal(signal.SIGKILL)
            process.stdout.read()
            killed += process.wait() == -signal.SIGKILL
    with Journal(folder / "run.journal") as journal:
        states = {entry.name: entry for entry in journal.entries()}
    names = {f"{number}.bin" for number in range(documents)}
    files = {path.name for path in (folder / "signed").iterdir() if not path.name.endswith(".part")}
    set_aside = {name for name, entry in states.items() if entry.state == "set_aside"}
    assert set(states) == names, f"not in the journal: {names - set(states)}"
    assert all(states[name].state in ("signed", "set_aside") for name in names)
    assert all(states[name].reason for name in set_aside)
    assert {name for name, entry in states.items() if entry.state == "signed"} == files
    assert all(f"document {name[:-4]}".encode() in (folder / "signed" / name).read_bytes() for name in files)
    twice = {name: count for name, count in sandbox.signatures.items() if count > 1}
    assert not twice, f"signed twice: {twice}"
    assert set(sandbox.signatures) == names
    return f"{documents} documents, killed {killed} times: {len(files)} signed, {len(set_aside)} set aside, 0 twice"


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

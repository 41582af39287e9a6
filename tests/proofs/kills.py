"""What `make prove-kills` runs: what is ended again and again loses no document and signs none twice.

It is a run of `sign_all`, and fifty callers of `batching` at a time.

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
from collections import Counter
from pathlib import Path

import attrs

from signstash import ConfigurationError, Journal
from signstash.sandbox import Sandbox

PROCESS = Path(__file__).with_name("signing_process.py")


ENDINGS = ("older journal", "full disk", "journal copied away", "interrupt", "kill")
"""How a run is ended: by SIGKILL, by Ctrl-C, or because the journal cannot grow any more; and what happens to the
journal then: it alone is moved away and back, or an older copy of it is restored, of the time when the run began."""


@attrs.define
class Proof:
    """A run that is ended and gone on with.

    Attributes:
        folder: Where journal and signed files are kept.
        sandbox: What signs.
        documents: How many documents are signed.
        chance: Chooses when a run is ended.
        way: `sign_all` or `batching`.
        ended: How often runs ended in each way.
        told: What the process said of each document, last: whether it is signed.
    """

    folder: Path
    sandbox: Sandbox
    documents: int
    chance: random.Random
    way: str = "sign_all"
    ended: Counter[str] = attrs.field(factory=Counter[str])
    told: dict[str, str] = attrs.field(factory=dict[str, str])

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.folder / "run.journal"

    def prove(self, endings: int) -> str:
        """End a run so often, go on with it, and balance the books.

        Returns:
            The result, in a line.

        Raises:
            AssertionError: If a document is lost, torn, signed twice, or recorded as what it is not.
        """
        for number in range(endings):
            self.run(ENDINGS[number % len(ENDINGS)], endings)
        self.run("none", endings)
        return self.balance()

    def run(self, ending: str, endings: int) -> None:
        """Go on with the run, and end it in one of the ways."""
        environment = {
            **os.environ,
            "SIGNSTASH_BASE_URL": self.sandbox.base_url,
            "SIGNSTASH_TOKEN_URL": self.sandbox.token_url,
            "SIGNSTASH_CLIENT_ID": self.sandbox.client_id,
            "SIGNSTASH_CLIENT_SECRET": self.sandbox.client_secret,
        }
        command = [sys.executable, str(PROCESS), self.way, str(self.folder), str(self.documents)]
        if ending == "full disk":
            size = self.journal.stat().st_size if self.journal.exists() else 0
            command.append(str(size + self.chance.randrange(20_000)))
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            if process.stdout.readline() == "opened\n":
                self.expect_lock()
            older = self.journal.read_bytes()
            if ending not in ("none", "full disk"):
                for _ in range(1 + self.chance.randrange(2 * self.documents // endings)):
                    self.listen(process.stdout.readline())
                time.sleep(self.chance.random() * 0.05)  # anywhere between two outcomes
                process.send_signal(signal.SIGINT if ending == "interrupt" else signal.SIGKILL)
            for line in process.stdout:
                self.listen(line)
            status = process.wait()
        assert status in (0, -signal.SIGKILL, -signal.SIGINT, 130), f"{ending}: {status}"
        self.ended[ending] += 1
        if ending == "journal copied away":
            moved = self.journal.rename(self.folder / "moved")
            for path in self.folder.glob("run.journal*"):
                path.unlink()
            moved.rename(self.journal)
        if ending == "older journal":
            self.journal.write_bytes(older)

    def listen(self, line: str) -> None:
        """Note what the process says of a document; what it called signed has to be signed at that moment."""
        name, _, is_signed = line.strip().partition(" ")
        if is_signed == "True":
            assert self.sandbox.signatures[name] == 1, f"{name} is called signed"
        if is_signed:
            self.told[name] = is_signed

    def expect_lock(self) -> None:
        """Try to get in while a process uses the journal; what this process does with the file does not help."""
        self.journal.read_bytes()
        for _ in range(2):
            try:
                Journal(self.journal).close()
            except ConfigurationError:
                continue
            raise AssertionError("a second process got in")

    def balance(self) -> str:
        """Compare the journal, the files, and what the service signed."""
        with Journal(self.journal) as journal:
            states = {entry.name: entry for entry in journal.entries()}
        names = {f"{number}.bin" for number in range(self.documents)}
        files = {path.name for path in (self.folder / "signed").iterdir() if not path.name.endswith(".part")}
        held = {name for name, entry in states.items() if entry.state == "held"}
        signed = {name for name, entry in states.items() if entry.state == "signed"}
        assert set(states) == names, f"not in the journal: {names - set(states)}"
        assert signed | held == names, {name: entry.state for name, entry in states.items()}
        assert all(states[name].reason for name in held)
        assert signed <= files, f"recorded as signed, without a file: {signed - files}"
        for name in files:
            assert f"document {name[:-4]}".encode() in (self.folder / "signed" / name).read_bytes(), f"{name} is torn"
        twice = {name: count for name, count in self.sandbox.signatures.items() if count > 1}
        assert not twice, f"signed twice: {twice}"
        assert set(self.sandbox.signatures) == names
        claimed = {name for name, is_signed in self.told.items() if is_signed == "True"}
        assert claimed <= files, f"called signed, without a file: {claimed - files}"
        ended = ", ".join(f"{count} by {way}" for way, count in self.ended.items() if way != "none")
        total = f"{len(signed)} signed, {len(held)} held, 0 lost, 0 twice"
        return f"{self.way}: {self.documents} documents, ended {ended}: {total}"


def main() -> None:
    """Prove it as often as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    for way in ("sign_all", "batching"):
        with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
            chance = random.Random(arguments.seed)
            print(Proof(Path(folder), sandbox, arguments.documents, chance, way).prove(arguments.kills), flush=True)


if __name__ == "__main__":
    main()

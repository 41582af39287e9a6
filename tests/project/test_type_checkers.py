"""What type checkers say of programs that use the package: a misspelt name or value is an error."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from pathlib import Path

import signstash
import signstash.testing
from signstash import Document, Preservation, SignStash
from signstash import Documnet  # wrong
from signstash.testing import MockSignStash
from signstash.testing import SignStashMok  # wrong
from signstash.blocking import BlockingSignStash
from signstash.models import SigningStatus
from signstash.models import SignatureStatus  # wrong
from signstash.sandbox import Fault, Sandbox
from signstash.sandbox import Sandpit  # wrong
from signstash.verification import verify_file
from signstash.verification import verify_fil  # wrong

Document.pdf("invoice.pdf", signature_type="PAdES")
Document.pdf("invoice.pdf", signature_type="PADES")  # wrong
Document.xml("invoice.xml", canonical_transform="EXCLUSIV")  # wrong
Fault("too_many_requests")
Fault("too_many_request")  # wrong
Preservation(deliver_to=["ana@example.pt"])
Preservation(deliver_to="ana@example.pt")  # wrong
verify_file("invoice.pdf", trusted_roots=Path("roots").glob("*.pem"))
verify_file("invoice.pdf", trusted_roots=["root.pem"])
verify_file("invoice.pdf", trusted_roots={"root.pem", b"pem"})
verify_file("invoice.pdf", trusted_roots="root.pem")  # wrong
verify_file("invoice.pdf", trusted_roots=b"pem")  # wrong

async def sign(client: SignStash, document: Document) -> None:
    await client.sign(document, save_to=lambda document: f"signed/{document.name}")
    await client.sign(document, save_to=lambda document: Path(document.name))
    await client.sign(document, save_to=lambda document: document.nme)  # wrong
    await client.sign_batch([document], save_to=lambda document: document.nme)  # wrong
    client.sign_all([document], save_to=lambda document: document.nme)  # wrong
    BlockingSignStash(client).sign(document, save_to=lambda document: document.nme)  # wrong

try:
    signstash.SignStash.from_env()
    signstash.testing.MockSignStash()
    signstash.testing.MockService()  # wrong
except signstash.RateLimitedError:
    pass
except signstash.RateLimitError:  # wrong
    pass
"""
WRONG = [number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")]


@pytest.mark.parametrize(
    "checker", [("mypy", "--strict"), ("pyright", "--pythonpath", sys.executable)], ids=lambda checker: checker[0]
)
def test_a_misspelt_name_is_an_error(checker: tuple[str, ...], tmp_path: Path) -> None:
    tmp_path.joinpath("program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", *checker, "program.py"]

    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert [int(line) for line in re.findall(r"program\.py:(\d+)(?::\d+ -)?:? error", ended.stdout)] == WRONG

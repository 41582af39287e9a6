"""Independent programs that judge signatures, and keys for them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from signstash.verification import Verdict, Verification
from tests.conftest import require


@attrs.frozen
class Judges:
    """The command lines of OpenSSL, xmlsec1, pdfsig and qpdf, in a folder with keys."""

    folder: Path

    def run(self, name: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        """Run a command."""
        return subprocess.run([require(name), *arguments], check=False, capture_output=True, cwd=self.folder)

    def make(self, name: str, *arguments: str | Path) -> None:
        """Run a command that must succeed."""
        ended = self.run(name, *arguments)
        assert ended.returncode == 0, ended.stderr.decode()

    def key(self, name: str, *options: str) -> None:
        """Make a key with a certificate of its own."""
        if not (self.folder / f"{name}.key").exists():
            self.make("openssl", "req", "-x509", "-newkey", *options, "-nodes", "-keyout", f"{name}.key", "-out",
                      f"{name}.crt", "-days", "30", "-subj", f"/CN={name}")  # fmt: skip

    def openssl_accepts(self, content: bytes, *options: str) -> bool:
        """Whether OpenSSL accepts a CMS message, whatever its certificate."""
        (self.folder / "judged").write_bytes(content)
        form = "PEM" if content.lstrip().startswith(b"-----") else "DER"
        return not self.run(
            "openssl", "cms", "-verify", "-noverify", "-binary", "-inform", form, "-in", "judged",
            "-out", os.devnull, *options
        ).returncode  # fmt: skip

    def openssl_reads(self, content: bytes) -> bool:
        """Whether OpenSSL can parse a CMS message."""
        (self.folder / "judged").write_bytes(content)
        return not self.run("openssl", "cms", "-cmsout", "-noout", "-inform", "DER", "-in", "judged").returncode

    def xmlsec_accepts(self, content: bytes, ids: Sequence[str] = ()) -> bool:
        """Whether xmlsec1 accepts an XML signature, whatever its certificate."""
        (self.folder / "judged.xml").write_bytes(content)
        return not self.run("xmlsec1", "--verify", "--insecure", *ids, "judged.xml").returncode

    def pdfsig_says(self, content: bytes) -> list[str]:
        """pdfsig's verdict on each signature."""
        (self.folder / "judged.pdf").write_bytes(content)
        lines = self.run("pdfsig", "-nocert", "judged.pdf").stdout.decode("utf-8", "replace").splitlines()
        return [line.partition(": ")[2] for line in lines if "Signature Validation:" in line]


@pytest.fixture(scope="session")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Judges:
    made = Judges(tmp_path_factory.mktemp("judges"))
    made.key("rsa", "rsa:2048")
    made.key("ec", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    return made


def assert_agrees(found: Verification, *, accepted: bool) -> None:
    """A judge's verdict and ours do not contradict each other."""
    if accepted:
        assert found.verdict is not Verdict.INVALID, found
    else:
        assert found.verdict is not Verdict.VALID, found

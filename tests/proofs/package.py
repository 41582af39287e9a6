"""What `make prove-package` runs: the package as users get it, installed in every way that it promises.

Each step has a virtual environment of its own. It needs a package index, and some minutes; with `--short`, as in CI, it
takes one Python, and with the lowest versions the tests of what has to do with other packages.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads(PROJECT.joinpath("pyproject.toml").read_text("utf-8"))
EXTRAS: dict[str, list[str]] = SETTINGS["project"]["optional-dependencies"]
MODULES = {
    "cli": "signstash.command_line.progress_bar",
    "sandbox": "signstash.sandbox",
    "speed": "pybase64",
    "testing": "signstash.testing.mock",
    "verify": "signstash.verification",
}
"""What each extra is there for."""
GO_WITHOUT = {"cli", "speed"}
"""Extras without which there is something else to see instead of an error."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TESTS_OF_PACKAGES = (
    "tests/command_line", "tests/sandbox", "tests/test_client.py", "tests/testing",
    "tests/transport/test_http_client.py", "tests/transport/test_tracing.py", "tests/verification",
)  # fmt: skip
"""Tests of what has to do with other packages."""
UV = [str(Path(sysconfig.get_path("scripts"), "uv")), "--quiet", "--no-python-downloads"]


class Environment:
    """A new virtual environment.

    Args:
        folder: Where it is made.
        version: Which Python it has.
    """

    def __init__(self, folder: Path, version: str) -> None:
        run(*UV, "venv", "--clear", "--python", version, folder)
        self.python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"

    def install(self, *what: object) -> None:
        """Install packages."""
        run(*UV, "pip", "install", "--python", self.python, *what)

    def runs(self, program: str) -> str:
        """Run a program that shows no warning, and return what it says; its error, if it ends in one."""
        command = [str(self.python), "-W", "error", "-c", program]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.python.parent)
        return (ended.stdout + ended.stderr).strip()


def run(*command: object, folder: Path = PROJECT) -> None:
    """Run a command that has to succeed."""
    subprocess.run([str(part) for part in command], cwd=folder, check=True)


def is_here(version: str) -> bool:
    """Whether a Python is on the path."""
    return (
        subprocess.run([*UV, "python", "find", "--system", version], capture_output=True, check=False).returncode == 0
    )


def build(folder: Path, source: Path = PROJECT) -> tuple[Path, Path]:
    """Build the wheel and the sdist from a folder with the project."""
    run(sys.executable, "-m", "hatchling", "build", "--directory", folder, folder=source)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def prove_extras(wheel: Path, folder: Path, version: str) -> None:
    """Every extra works alone, and without it its error names it."""
    assert MODULES.keys() == EXTRAS.keys(), "MODULES has to name what each extra is there for"
    for extra in (None, *EXTRAS):
        environment = Environment(folder, version)
        environment.install(wheel if extra is None else f"{wheel}[{extra}]")
        said = environment.runs("from signstash import *; import signstash.command_line")
        assert said == "", said
        for other, module in MODULES.items():
            said = environment.runs(f"import {module}")
            if other == extra or set(EXTRAS[other]) <= set(EXTRAS.get(extra or "", ())):
                assert said == "", said
            elif other not in GO_WITHOUT:
                assert said.endswith(f"pip install 'signstash[{other}]'"), said
        print(f"Python {version}, {extra or 'no extra'}: installed and imported", flush=True)


def lowest_versions(folder: Path) -> Path:
    """The requirements of every extra in their lowest versions that are allowed."""
    lowest = folder / "lowest.txt"
    run(*UV, "pip", "compile", "--resolution", "lowest-direct", "--all-extras", "--output-file", lowest,
        "--python-version", PYTHONS[0], "pyproject.toml", "--no-header")  # fmt: skip
    return lowest


def prove_tests(
    wheel: Path, sdist: Path, folder: Path, version: str, constraints: Path, tests: Sequence[str] = ()
) -> None:
    """The sdist's tests pass with what is installed from the wheel."""
    environment = Environment(folder / "tests", version)
    environment.install("--constraints", constraints, "--group", "dev", f"{wheel}[{','.join(EXTRAS)}]")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    tested = environment.runs("import signstash; print(signstash.__file__)")
    assert Path(tested).is_relative_to(folder / "tests"), tested
    # What is published today is judged with today's tools, by tests/project/test_packaging.py in the project itself.
    run(environment.python, "-m", "pytest", "-q", "--numprocesses", "2", "--dist", "worksteal",
        "--ignore", "tests/project/test_packaging.py", *tests,
        folder=unpacked)  # fmt: skip
    print(f"Python {version}, {constraints.name}: the sdist's tests pass", flush=True)


def main(*, short: bool) -> None:
    """Prove it on every Python that is on the path."""
    os.environ.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, sdist = build(folder / "dist")
        for version in PYTHONS[:1] if short else PYTHONS:
            if not is_here(version):
                run(*UV, "pip", "compile", "--all-extras", "--only-binary", ":all:", "--python-version", version,
                    "--output-file", folder / f"{version}.txt", "pyproject.toml")  # fmt: skip
                print(f"Python {version}: not here; there are wheels for it of all that is needed", flush=True)
                continue
            prove_extras(wheel, folder / version, version)
            if version == PYTHONS[0]:
                tests = TESTS_OF_PACKAGES if short else ()
                prove_tests(wheel, sdist, folder / "tests-lowest", version, lowest_versions(folder), tests)
            else:
                prove_tests(wheel, sdist, folder / f"tests-{version}", version, PROJECT / "requirements-dev.lock")


if __name__ == "__main__":
    main(short="--short" in sys.argv)

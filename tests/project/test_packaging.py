"""The wheel and the sdist: reproducible, complete, and with dependencies that users can accept."""

from __future__ import annotations

import email
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import signstash

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text("utf-8"))["project"]
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "build", "node_modules", "__pycache__", ".*_cache", ".hypothesis")

LICENCES = {
    "Apache 2.0",
    "Apache Software License",
    "Apache-2.0",
    "Apache-2.0 AND MIT",
    "Apache-2.0 OR BSD-2-Clause",
    "Apache-2.0 OR BSD-3-Clause",
    "MIT OR Apache-2.0",
    "BSD License",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MIT",
    "MIT License",
    "MIT-0",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "BSD-3-Clause, Apache-2.0, dependency licenses",  # pypdfium2, which holds PDFium
}
"""What users may get with the package and its extras, as packages write it: what asks for notices, or for the source
of the changed files at most (MPL)."""


def build(source: Path, folder: Path) -> dict[str, Path]:
    """The wheel (`whl`) and the sdist (`gz`), built from a folder with the project."""
    command: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "--directory", folder]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return {path.suffix[1:]: path for path in folder.iterdir()}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(ROOT, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def wheel(built: dict[str, Path]) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(built["whl"]) as archive:
        yield archive


@pytest.fixture(scope="module")
def unpacked(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(built["gz"]) as archive:
        archive.extractall(folder, filter="data")
    (project,) = folder.iterdir()
    return project


class TestBuilding:
    def test_another_checkout_builds_the_same_files(self, built: dict[str, Path], tmp_path: Path) -> None:
        copy = tmp_path / "elsewhere"
        shutil.copytree(ROOT, copy, ignore=NOT_COPIED, copy_function=shutil.copy)  # with times of their own
        for path in copy.rglob("*.py"):
            path.chmod(0o600)

        again = build(copy, tmp_path / "dist")

        assert {kind: digest(path) for kind, path in again.items()} == {
            kind: digest(path) for kind, path in built.items()
        }

    def test_the_sdist_builds_the_same_wheel(self, built: dict[str, Path], unpacked: Path, tmp_path: Path) -> None:
        assert digest(build(unpacked, tmp_path)["whl"]) == digest(built["whl"])

    def test_twine_accepts_wheel_and_sdist(self, built: dict[str, Path]) -> None:
        command: list[str | Path] = [sys.executable, "-m", "twine", "check", "--strict", *built.values()]

        ended = subprocess.run(command, check=False, capture_output=True, text=True)

        assert ended.returncode == 0, ended.stdout


PACKAGED = (".py", ".typed", ".md", ".css", ".js")
"""Suffixes of the package's files."""


class TestWheel:
    def test_the_wheel_holds_the_package_and_nothing_else(self, wheel: zipfile.ZipFile) -> None:
        source = ROOT / "src"
        files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.suffix in PACKAGED}

        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}

        assert packed == files | {"signstash/sandbox/signstash.json", "signstash/sandbox/contract.json"}
        assert "signstash/py.typed" in packed

    def test_the_wheel_holds_both_licences(self, wheel: zipfile.ZipFile) -> None:
        licence = wheel.read(next(name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))).decode()

        assert licence.startswith("MIT License")
        assert re.search(r"_generated is written by openapi-python-client.*Copyright \(c\) 2020", licence, re.DOTALL)

    def test_the_version_is_that_of_the_source_and_the_changelog(self, wheel: zipfile.ZipFile) -> None:
        name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        newest = re.search(r"^## (\S+)", ROOT.joinpath("CHANGELOG.md").read_text("utf-8"), re.MULTILINE)

        assert newest
        assert email.message_from_bytes(wheel.read(name))["Version"] == signstash.__version__ == newest[1]


class TestSdist:
    def test_the_sdist_holds_the_tests_and_their_data(self, unpacked: Path) -> None:
        for folder in ("tests", "openapi"):
            files = {path.relative_to(ROOT) for path in ROOT.joinpath(folder).rglob("*") if path.is_file()}
            needed = {path for path in files if not {"__pycache__", "node_modules"} & {*path.parts}}
            assert [path for path in needed if not unpacked.joinpath(path).is_file()] == []

    def test_the_tests_run_from_the_sdist(self, unpacked: Path) -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_retries.py"]
        environment = {**os.environ, "PYTHONPATH": str(unpacked / "src"), "PYTHONDONTWRITEBYTECODE": "1"}

        ended = subprocess.run(command, cwd=unpacked, env=environment, check=False, capture_output=True, text=True)

        assert ended.returncode == 0, ended.stdout


class TestDependencies:
    def test_the_core_needs_attrs_and_httpx_alone(self) -> None:
        assert sorted(Requirement(text).name for text in PROJECT["dependencies"]) == ["attrs", "httpx"]

    @pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
    def test_versions_have_lower_bounds_only(self, extra: str) -> None:
        bounds = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]

        assert [text for text in bounds if {one.operator for one in Requirement(text).specifier} != {">="}] == []

    @pytest.mark.parametrize(
        ("extra", "module"),
        [("sandbox", "signstash.sandbox"), ("testing", "signstash.testing.mock"), ("verify", "signstash.verification")],
    )
    def test_an_import_error_names_the_missing_extra(self, extra: str, module: str) -> None:
        package = Requirement(PROJECT["optional-dependencies"][extra][-1]).name
        program = f"import sys; sys.modules[{package!r}] = None; import {module}"

        ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)

        assert ended.stderr.strip().endswith(f"pip install 'signstash[{extra}]'")

    def test_every_licence_is_permissive(self) -> None:
        refused = {
            package.name: licence(package) for package in installed_with_extras() if licence(package) not in LICENCES
        }

        assert refused == {}


KNOWN = {"name": "leaky", "version": "1", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["2"]}]}
CLEAN = {"name": "clean", "version": "1", "vulns": []}
UNASKED = {"name": "private", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ({"dependencies": [CLEAN]}, 0, "0 known vulnerabilities in 1"),
        ({"dependencies": [CLEAN, KNOWN, UNASKED]}, 1, "leaky 1: PYSEC-2026-1, fixed in 2"),
        ({"dependencies": [CLEAN, UNASKED]}, 3, "has no data on 1 of"),
        (None, 3, "has no data on all of"),
    ],
)
def test_an_audit_without_data_does_not_pass(said: Any, status: int, words: str, tmp_path: Path) -> None:
    response = "raise SystemExit('no connection')" if said is None else f"print({json.dumps(json.dumps(said))})"
    tmp_path.joinpath("pip_audit.py").write_text(response)

    ended = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stderr) == (status, "")
    assert words in ended.stdout


def installed_with_extras() -> Iterator[importlib.metadata.Distribution]:
    """The packages that the package and its extras need on this machine."""
    seen = set[tuple[str, str]]()
    waiting = [("signstash", extra) for extra in ("", *PROJECT["optional-dependencies"])]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) not in seen:
            seen.add((name, extra))
            distribution = importlib.metadata.distribution(name)
            yield distribution
            needed = [Requirement(text) for text in distribution.requires or ()]
            waiting += [
                (one.name, wanted)
                for one in needed
                if one.marker is None or one.marker.evaluate({"extra": extra})
                for wanted in ("", *one.extras)
            ]


def licence(distribution: importlib.metadata.Distribution) -> str:
    """The licence that a package declares."""
    metadata = distribution.metadata.json
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get("classifier", ()) if text.startswith("License")]
    return str(metadata.get("license_expression") or metadata.get("license") or " AND ".join(classifiers))

"""What `make prove-regeneration` runs: the client made anew, from both forms of the definition, passes the whole suite.

All of it happens in a copy of the project, against a sandbox that publishes the definition.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from signstash.sandbox import Sandbox

PROJECT = Path(__file__).resolve().parents[1]
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "build", "node_modules", "__pycache__", ".*_cache", ".hypothesis")
CONVERTER = PROJECT / "openapi" / "node_modules"


def prove(specification: str) -> None:
    """Regenerate from a definition in a copy of the project, and run all tests there."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(PROJECT, copy, ignore=NOT_COPIED)
        if CONVERTER.exists():
            (copy / "openapi" / "node_modules").symlink_to(CONVERTER)
        environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        for command in (
            ["openapi/regenerate.py", specification],
            ["-m", "pytest", "-q", "-m", "not own_definition"],
        ):
            subprocess.run([sys.executable, *command], cwd=copy, env=environment, check=True)


def main() -> None:
    """Prove it for OpenAPI 3 and for Swagger 2.0, and run every changed definition through."""
    changes = [sys.executable, "-m", "pytest", "-q", "--timeout", "300", "tests/test_regeneration.py"]
    subprocess.run(changes, cwd=PROJECT, env={**os.environ, "SIGNSTASH_ALL_CHANGES": "1"}, check=True)
    with Sandbox() as sandbox:
        for form in ("v3", "v2"):
            print(f"== {form}/api-docs", flush=True)
            prove(f"{sandbox.base_url}/{form}/api-docs")


if __name__ == "__main__":
    main()

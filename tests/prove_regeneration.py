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
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "build", "dist", "__pycache__", ".*_cache", ".hypothesis")


def prove(specification: str) -> None:
    """Regenerate from a definition in a copy of the project, and run all tests there."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(PROJECT, copy, ignore=NOT_COPIED, symlinks=True)
        environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        for command in (
            ["openapi/regenerate.py", specification],
            ["-m", "pytest", "-q", "-m", "not own_definition"],
        ):
            subprocess.run([sys.executable, *command], cwd=copy, env=environment, check=True)


def main() -> None:
    """Prove it for OpenAPI 3 and for Swagger 2.0."""
    with Sandbox() as sandbox:
        for form in ("v3", "v2"):
            print(f"== {form}/api-docs", flush=True)
            prove(f"{sandbox.base_url}/{form}/api-docs")


if __name__ == "__main__":
    main()

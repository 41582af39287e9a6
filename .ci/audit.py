"""Asks PyPI's vulnerability service about every version in the lock.

The exit status is 0 if no vulnerability is known, 1 if some are, and 3 if the service has no data.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements-dev.lock"


def main() -> int:
    """Print the known vulnerabilities."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    ended = subprocess.run(
        [*command, "--disable-pip", "--require-hashes", "--requirement", LOCK],
        capture_output=True,
        text=True,
        check=False,
    )
    packages = json.loads(ended.stdout)["dependencies"] if ended.stdout.startswith("{") else []
    known = [(package, fault) for package in packages for fault in package.get("vulns", ())]
    for package, fault in known:
        fixed = ", ".join(fault["fix_versions"]) or "no version"
        print(f"{package['name']} {package['version']}: {fault['id']}, fixed in {fixed}")
    unasked = [package["name"] for package in packages if "skip_reason" in package]
    if not known and (unasked or not packages):
        why = "it does not know them" if unasked else "".join(ended.stderr.strip().splitlines()[-1:])
        print(f"The vulnerability service has no data on {len(unasked) or 'all'} of the locked packages: {why}")
        return 3
    print(f"{len(known)} known vulnerabilities in {len(packages)} locked packages.")
    return 1 if known else 0


if __name__ == "__main__":
    sys.exit(main())

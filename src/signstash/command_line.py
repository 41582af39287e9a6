"""The command `signstash`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for.

    Args:
        arguments: The command's arguments; those of this process if they are left out.

    Returns:
        The exit status: 2 if the command cannot be used in that way.
    """
    parser = argparse.ArgumentParser(prog="signstash", description="Sign'Stash, the service that signs documents.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    commands.add_parser("sandbox", add_help=False, help="serve a Sign'Stash on this machine, for tests")
    _, options = parser.parse_known_args(arguments)
    try:
        from .sandbox.__main__ import main as serve  # it needs packages that others can do without
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return serve(options, program="signstash sandbox")

"""The command `signstash failed`: what a journal has held, for a person to decide."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError
from ..journal import Entry, Journal
from . import SIGNED, SOME_FAILED
from .display import Lines

_EXAMPLES: Final = """
list    X
        it aside), and what failed (the next run tries it again)
retry   the next run sends them again under the same references, so that
        nothing is signed twice
settle  they are signed and in safe hands: someone has fetched them
drop    forget them: the next run takes them for new documents, which the
        service may then sign a second time

examples:
  signstash failed list --journal november.journal
  signstash failed retry --journal november.journal --all
"""


def _argument_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        usage=f"{program} [list|retry|settle|drop] --journal FILE [REFERENCES... | --all]",
        description="Decide what becomes of documents that a run has held.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = ("list", "retry", "settle", "drop")
    parser.add_argument("action", nargs="?", default="list", choices=actions, metavar="ACTION",
                        help="list (as a rule), retry, settle or drop")  # fmt: skip
    parser.add_argument("references", nargs="*", metavar="REFERENCES", help="external references of documents")
    parser.add_argument("--journal", type=Path, required=True, metavar="FILE", help="record of the run")
    parser.add_argument("--all", action="store_true", help="all that are held")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--debug", action="store_true", help="show where errors come from")
    return parser


def main(arguments: Sequence[str], *, program: str) -> int:
    """Show or change what is held.

    Args:
        arguments: The command's options.
        program: What the command is called.

    Returns:
        The exit status: 1 if something is held or failed, and only listed.

    Raises:
        ConfigurationError: If there is no such journal, or a reference is not held.
    """
    given = _argument_parser(program).parse_intermixed_args(arguments)
    if not given.journal.exists():
        raise ConfigurationError(f"The journal {given.journal} is not there.", "Check what --journal names.")
    lines = Lines(as_json=given.json)
    with Journal(given.journal) as journal:
        held = journal.entries("held")
        if given.action == "list":
            if given.references:
                raise ConfigurationError("list takes no references.", "Name what is to be done: retry, settle or drop.")
            listed = [*held, *journal.entries("sent"), *journal.entries("failed")]
            _show(listed, lines)
            return SOME_FAILED if listed else SIGNED
        if given.all == bool(given.references):
            raise ConfigurationError("It is not said of which documents.", "Give their references, or --all.")
        references = [entry.reference for entry in held] if given.all else given.references
        change = {"retry": journal.requeue, "settle": journal.settle, "drop": journal.drop}[given.action]
        change(*references)
    lines.note(f"{len(references)} documents: {_DONE[given.action]}.")
    return SIGNED


_DONE: Final = {"retry": "the next run sends them again", "settle": "taken as signed", "drop": "forgotten"}


def _show(entries: Sequence[Entry], lines: Lines) -> None:
    for entry in entries:
        state = entry.state.replace("_", " ")
        reason = entry.reason or ("The run ended before its answer was recorded." if entry.state == "sent" else None)
        lines.result(
            f"{state:<10} {entry.name} ({entry.reference}): {reason}",
            {
                "status": entry.state,
                "name": entry.name,
                "external_reference": entry.reference,
                "operation_id": entry.operation_id,
                "reason": reason,
            },
        )
    if not entries:
        lines.note("Nothing is held, and nothing failed.")

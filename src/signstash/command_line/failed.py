"""The command `signstash failed`: lists what a journal knows as failed or in doubt, and records decisions."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from ..errors import ConfigurationError
from ..journal import Entry, Journal, State
from . import SIGNED, SOME_FAILED
from .causes import without_names
from .display import Lines
from .formatting import count_of_documents, of_the_command, printable, wrapped

_EXAMPLES: Final = """
actions:
  list    list documents that are in doubt, were being sent when a run ended,
          or failed, with the next step for each (default)
  retry   send them again in the next run, under the same references: the
          service rejects a reference that it has signed, so nothing is signed
          twice
  settle  record them as signed, so that they are not sent again: you have the
          signed documents
  drop    forget them: the next run treats them as new documents, which the
          service may sign a second time

The actions apply to documents in doubt, and drop also to a signed document
whose signed file is lost. Those that failed are sent by the next run. Files
that cannot be read, or whose signed file exists already, are not in the
journal: `signstash sign` reports them in every run.

examples:
  signstash failed --journal november.journal
  signstash failed retry --journal november.journal --all
"""


@attrs.frozen
class _Advice:
    heading: str
    next_steps: str


_ADVICE_FOR_LOST: Final = _Advice(
    "probably signed, but without signed contents: held for manual review",
    "look up each reference in the backoffice, then run\n"
    "  {failed} ACTION REFERENCES... (or --all)\n"
    "with one of these actions (at a proxy, retry has the same result again, because\n"
    "a proxy returns signed contents only once):\n"
    "  settle  it is signed, and you have the signed document or can do without it\n"
    "  drop    you need the signed document: forget this one, so that the next run signs\n"
    "          it a second time, as a new document. Check that it may be signed again\n"
    "  retry   you use the Integration Service: `signstash sign ... --unknown look_up`\n"
    "          then fetches it",
)

_ADVICE: Final[Mapping[State, _Advice]] = {
    "held": _Advice(
        "in doubt, held for manual review",
        "look up each reference in the backoffice, then run\n"
        "  {failed} ACTION REFERENCES... (or --all)\n"
        "with one of these actions:\n"
        "  retry   it is not there, or you cannot look it up: send it again, under the\n"
        "          same reference, so that it is not signed twice\n"
        "  settle  it is signed, and you have the signed document, such as a file that\n"
        "          exists already: `signstash verify` shows whether it is signed\n"
        "  drop    it is not signed: forget it, so that it is sent as a new document",
    ),
    "received": _Advice(
        "signed, but not saved where they belong",
        "run the same sign or watch command again, with --force if other files have\n"
        "their names. It saves them from where they are kept, and sends nothing.",
    ),
    "sent": _Advice(
        "in doubt, because they were being sent when a run ended",
        "run the same sign or watch command again: it holds them for manual review,\n"
        "unless its option --unknown says otherwise.",
    ),
    "requeued": _Advice("to be sent again", "run the same sign or watch command again."),
    "failed": _Advice("failed, not signed", "fix the cause, then run the same sign or watch command again."),
}
"""A group of documents, and what to do about them."""


def _argument_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        usage=f"{program} [ACTION] --journal FILE [REFERENCES... | --all]",
        description="List documents that failed or are in doubt, and decide about those in doubt.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = ("list", "retry", "settle", "drop")
    parser.add_argument("action", nargs="?", default="list", choices=actions, metavar="ACTION",
                        help="list (default), retry, settle or drop")  # fmt: skip
    parser.add_argument("references", nargs="*", metavar="REFERENCES", help="external references of documents")
    parser.add_argument("--journal", type=Path, required=True, metavar="FILE", help="record of the run")
    parser.add_argument("--all", action="store_true", help="all documents that are in doubt")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def main(arguments: Sequence[str], *, program: str) -> int:
    """List documents, or record a decision about them, and return the exit status."""
    given = _argument_parser(program).parse_intermixed_args(arguments)
    if not os.path.exists(given.journal):  # noqa: PTH110 - Path's raises for a name that is too long
        raise ConfigurationError(f"The journal {printable(given.journal)} does not exist.", "Check --journal.")
    lines = Lines(as_json=given.json)
    with _opened(given.journal, lines, only_list=given.action == "list") as journal:
        if given.action == "list":
            if given.references:
                raise ConfigurationError("list takes no references.", "Name an action: retry, settle or drop.")
            listed: Mapping[State, Sequence[Entry]] = {state: journal.entries(state) for state in _ADVICE}
            _list(listed, lines, journal=given.journal, as_json=given.json)
            return SOME_FAILED if any(listed.values()) else SIGNED
        if given.all == bool(given.references):
            named = "Both references and --all are given." if given.all else "No documents are named."
            raise ConfigurationError(named, "Give references of documents, or --all.")
        in_doubt = [entry.reference for entry in journal.entries("held")]
        references = in_doubt if given.all else given.references
        if not references:
            lines.note("No document is held for manual review.")
            return SIGNED
        known = {*in_doubt, *(entry.reference for entry in journal.entries("signed") if given.action == "drop")}
        if unknown := [reference for reference in references if reference not in known]:
            raise ConfigurationError(
                f"{unknown[0]!r} is not {'held or signed' if given.action == 'drop' else 'held'} in the journal.",
                f"Give references that `signstash failed --journal {shlex.quote(str(given.journal))}` lists.",
            )
        change = {"retry": journal.requeue, "settle": journal.settle, "drop": journal.drop}[given.action]
        change(*references)
    lines.note(f"{count_of_documents(len(references))} {_DONE[given.action]}")
    return SIGNED


@contextlib.contextmanager
def _opened(path: Path, lines: Lines, *, only_list: bool) -> Iterator[Journal]:
    """The journal, or a copy that can be listed if nothing can be written here."""
    with contextlib.ExitStack() as opened:
        try:
            journal = Journal(path)
        except ConfigurationError as error:
            if not only_list or getattr(error.__cause__, "errno", None) not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            copy = Path(opened.enter_context(tempfile.TemporaryDirectory()), path.name)
            try:
                shutil.copyfile(path, copy)
            except OSError:
                raise error from None
            journal = Journal(copy)
            lines.note("The journal cannot be written here, so a copy of it is listed.")
        yield opened.enter_context(journal)


_DONE: Final = {
    "retry": "will be sent again under the same references. Next: run the same sign or watch command again.",
    "settle": "recorded as signed. They are not sent again.",
    "drop": "forgotten. Next: run the same sign or watch command again. It sends them as new documents.",
}


def _list(listed: Mapping[State, Sequence[Entry]], lines: Lines, *, journal: Path, as_json: bool) -> None:
    if not any(listed.values()):
        lines.note("The journal has no document that failed or is in doubt.")
    for state, entries in listed.items():
        if as_json:
            for entry in entries:
                lines.result("", _fields(entry))
        elif entries:
            for advice, probably_signed in ((_ADVICE[state], False), (_ADVICE_FOR_LOST, True)):
                group = [entry for entry in entries if entry.probably_signed is probably_signed]
                if group:
                    _show_group(group, advice, lines, journal=journal)


def _show_group(entries: Sequence[Entry], advice: _Advice, lines: Lines, *, journal: Path) -> None:
    next_steps = advice.next_steps.format(failed=f"signstash failed --journal {shlex.quote(str(journal))}")
    documents = count_of_documents(len(entries))
    lines.result(f"{documents} {advice.heading}:\n{_by_reason(entries)}\nNext: {next_steps}\n", {})


def _by_reason(entries: Sequence[Entry]) -> str:
    """The documents with their references, grouped by the reason."""
    groups: dict[str, list[str]] = {}
    for entry in entries:
        reason = without_names(
            of_the_command(entry.reason or ""),
            [entry.reference, entry.name, entry.saved_as or "", entry.kept_as or ""],
        )
        kept = f", kept as {printable(entry.kept_as)}" if entry.kept_as else ""
        groups.setdefault(reason, []).append(wrapped(f"  {printable(entry.name)}  {entry.reference}{kept}", indent=4))
    return "\n".join(
        "\n".join([*documents, *([wrapped(f"    {printable(reason)}", indent=4)] if reason else [])])
        for reason, documents in groups.items()
    )


def _fields(entry: Entry) -> Mapping[str, object]:
    return {
        "status": entry.state,
        "name": entry.name,
        "external_reference": entry.reference,
        "operation_id": entry.operation_id,
        "probably_signed": entry.probably_signed,
        "kept_as": entry.kept_as,
        "reason": entry.reason,
    }

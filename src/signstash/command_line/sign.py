"""The command `signstash sign`: signs files and folders."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Final, get_args

from ..errors import ConfigurationError, InvalidDocumentError
from ..journal import Entry, Journal
from ..retries import RetryPolicy
from ..settings import UnknownOutcomes
from . import SIGNED, SOME_FAILED
from .display import Lines
from .document_names import entry_of, lost_file, with_different_names
from .formatting import count_of_documents, printable, size_of, status_column
from .plan import Plan, PlannedFile, parts_of_journal, with_unwritable_folders
from .settings import add_connection_options, settings_from
from .sign_run import Signing
from .signature_options import add_signature_options, signature_options

_EXAMPLES: Final = """
examples:
  signstash sign invoices -o signed --journal november.journal
  signstash sign invoice.pdf --visible page=1,x=60,y=50,width=200,height=50
"""


def _argument_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        usage=f"{program} FILES... [-o DIR] [options]",
        description="Sign files, patterns such as '*.pdf', and folders with everything below them.",
        epilog=_EXAMPLES,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=27),
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILES", help=argparse.SUPPRESS)
    add(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for signed files; else <name>.signed.pdf",
    )
    add("--journal", type=Path, metavar="FILE", help="record of the run; the same command continues from it")
    add("--dry-run", action="store_true", help="show what would be signed, and send nothing")
    add_run_options(parser)
    add("--retries", choices=("batch", "interactive", "none"), default="batch", metavar="WHICH",
        help="batch (a minute apart; default), interactive (within seconds), none")  # fmt: skip
    add_signature_options(parser)
    add_connection_options(parser)
    return parser


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for how documents are found and sent."""
    add = parser.add_argument
    add("--force", action="store_true", help="replace signed files that exist; never originals")
    add("--binary", action="store_true", help="also sign files that are neither PDF nor XML, with CAdES")
    add("--unknown", choices=get_args(UnknownOutcomes), default="hold", metavar="WHAT",
        help="if a response is lost: hold for manual review (default), look_up, send_again")  # fmt: skip
    add("--in-flight", type=_at_least_one, default=2, metavar="N", help="concurrent requests (default: %(default)s)")
    add("--json", action="store_true", help="one JSON object per line")


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def main(arguments: Sequence[str], *, program: str) -> int:
    """Sign files, and return the exit status."""
    given = _argument_parser(program).parse_intermixed_args(arguments)
    own_files = [*parts_of_journal(given.journal), *own_files_of(given)]
    plan = Plan(output=given.output, binary=given.binary, own_files=own_files)
    files = plan.files(given.files)
    options = signature_options(given)
    for make in {file.make for file in files}:  # options that cannot work fail before anything is sent
        try:
            make(b"", name="any", **options[make])
        except InvalidDocumentError as error:
            raise ConfigurationError(error.problem.removeprefix("Document any: "), error.hint) from error
    if given.dry_run:
        return _show_plan(files, plan.remarks, given)
    client = settings_from(given).client(retries=getattr(RetryPolicy, given.retries)())
    files = with_unwritable_folders(files)
    with nullcontext() if given.journal is None else Journal(given.journal) as journal:
        if journal is not None:
            files = with_different_names(files, journal)
        return asyncio.run(Signing(files, plan.remarks, given, options, journal).run(client))


def own_files_of(given: argparse.Namespace) -> list[Path]:
    """Return the files that the command itself reads, which are never documents."""
    names = (given.config, given.secret_file, given.visible_image)
    return [Path(name) for name in names if name is not None]


def _show_plan(files: Sequence[PlannedFile], remarks: Sequence[str], given: argparse.Namespace) -> int:
    entries: Mapping[PlannedFile, Entry | None] = {}
    if given.journal is not None and os.path.exists(given.journal):  # noqa: PTH110 - Path's raises for too long names
        with Journal(given.journal) as journal:
            files = with_different_names(files, journal)
            entries = {file: entry_of(file, journal) for file in files}
    known = {"signed", "held", "received"} | ({"sent"} if given.unknown == "hold" else set[str]())
    lines, problems = Lines(as_json=given.json), 0
    for file in files:
        status, remark = "planned", ""
        if file.problem is not None:
            status, remark = "failed", f": {file.problem}"
        elif (entry := entries.get(file)) is not None and entry.state in known:
            status, remark = "passed_over", ": the journal knows it"
            if entry.state in ("held", "sent"):
                status, remark = "in_doubt", ": it may be signed, and is not sent (see `signstash failed`)"
            elif (lost := lost_file(entry)) is not None:
                status, remark = "failed", f": it is signed, but {printable(lost)} is missing or was replaced"
        elif os.path.lexists(file.target) and not given.force:
            status, remark = "failed", ": it exists already (--force replaces it)"
        problems += status in ("failed", "in_doubt")
        fields = {"status": status, "file": str(file.path), "saved_as": str(file.target), "bytes": file.size}
        paths = f"{printable(file.path)} ({size_of(file.size)}) -> {printable(file.target)}"
        lines.result(f"{status_column(status)}{paths}{remark}", fields)
    for remark in remarks:
        lines.note(remark)
    lines.note(f"{count_of_documents(len(files))}, {size_of(sum(file.size for file in files))}. Nothing was sent.")
    return SOME_FAILED if problems else SIGNED

"""The command `signstash watch`: signs what arrives in a folder, until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from ..client import SignStash
from ..errors import ConfigurationError
from ..journal import Journal
from ..retries import RetryPolicy
from .display import Display, Lines
from .inbox import Inbox, changes
from .plan import Plan, make_writable, parts_of_journal
from .settings import add_connection_options, settings_from
from .sign import add_run_options, own_files_of
from .signature_options import add_signature_options, signature_options
from .watch_loop import Watch
from .watch_report import WatchReport

_EXAMPLES: Final = """
A file is signed when it was renamed into place, or has not changed for --settle
seconds. If it cannot be signed, <name>.failed.txt in the output folder says
why. Ctrl-C or SIGTERM finishes what is in flight; the same command continues.

examples:
  signstash watch inbox -o signed --done archive --journal watch.journal
"""


def argument_parser(program: str) -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        usage=f"{program} INBOX -o DIR --journal FILE [options]",
        description="Sign the files in a folder and those that arrive in it, until stopped.",
        epilog=_EXAMPLES,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=27),
    )
    add = parser.add_argument
    add("inbox", type=Path, metavar="INBOX", help=argparse.SUPPRESS)
    add("-o", "--output", type=Path, metavar="DIR", required=True, help="folder for signed files")
    add("--journal", type=Path, metavar="FILE", required=True, help="record of what was signed")
    add("--done", type=Path, metavar="DIR", help="folder that originals of signed documents are moved to")
    add("--settle", type=_seconds, default=2.0, metavar="SECONDS",
        help="how long a file must not change (default: 2)")  # fmt: skip
    add("--rescan", type=_seconds, default=10.0, metavar="SECONDS",
        help="how often to search the whole folder, as network shares need (default: 10)")  # fmt: skip
    add("--status", type=Path, metavar="FILE", help="JSON file for monitoring, replaced atomically")
    add_run_options(parser)
    add_signature_options(parser)
    add_connection_options(parser)
    return parser


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (seconds := float(text)) <= 86_400:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")


def main(arguments: Sequence[str], *, program: str) -> int:
    """Watch a folder, and return the exit status."""
    given = argument_parser(program).parse_intermixed_args(arguments)
    watch = new_watch(given, Lines(as_json=given.json))
    with Journal(given.journal) as journal:
        return asyncio.run(watch.run(journal, changes(watch.inbox.folder, min(1.0, max(given.settle / 2, 0.1)))))


def new_watch(given: argparse.Namespace, display: Display, *, clock: Callable[[], float] = time.monotonic) -> Watch:
    """Prepare the watching of a folder.

    Args:
        given: The command's options.
        display: Where it says what happens.
        clock: Monotonic clock, in seconds.

    Raises:
        ConfigurationError: If folders, settings or options cannot be used.
    """
    options = signature_options(given)
    for make, arguments in options.items():  # options that cannot work fail before anything is sent
        make(b"", name="any", **arguments)
    inbox = _inbox(given, clock)
    settings = settings_from(given)
    client = settings.client(retries=RetryPolicy.interactive())
    for folder in filter(None, (given.output, given.done, None if given.status is None else given.status.parent)):
        make_writable(folder)

    def renewed() -> SignStash:
        return settings_from(given, ask=False).client(retries=RetryPolicy.interactive())

    return Watch(
        given=given,
        inbox=inbox,
        options=options,
        client=client,
        new_client=None if settings.asked else renewed,
        display=display,
        report=WatchReport(display, as_json=given.json, status_file=given.status, clock=clock),
        clock=clock,
    )


def _inbox(given: argparse.Namespace, clock: Callable[[], float]) -> Inbox:
    folder = Path(given.inbox)
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder.", "Name the folder to watch.")
    folders = {"-o": given.output, "--done": given.done, "INBOX": folder}
    resolved: dict[Path, str] = {}
    for name, path in folders.items():
        if path is not None and (other := resolved.setdefault(path.resolve(), name)) != name:
            raise ConfigurationError(f"{other} and {name} are the same folder, {path}.", "Name different folders.")
    not_documents = (given.output, given.done, given.status, *parts_of_journal(given.journal), *own_files_of(given))
    return Inbox(
        folder=folder,
        output=given.output,
        plan=Plan(output=given.output, binary=given.binary),
        left_out=[path for path in not_documents if path is not None],
        settle=given.settle,
        rescan=given.rescan,
        clock=clock,
    )

"""The command `signstash`: finds the module of a command, and turns its errors into an exit status."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Final

import attrs

from ..errors import ConfigurationError, InvalidDocumentError, SignStashError

SIGNED: Final = 0
"""Exit status: everything went well."""
SOME_FAILED: Final = 1
"""Exit status: some documents failed, or are in doubt."""
USAGE: Final = 2
"""Exit status: the command, or its configuration, cannot be used in that way. Nothing was sent."""
FAULT_OF_ALL: Final = 3
"""Exit status: a fault that concerns all documents ended it."""
INTERRUPTED: Final = 128 + signal.SIGINT
"""Exit status: it was interrupted."""


@attrs.frozen
class _Command:
    module: str
    summary: str


_COMMANDS: Final[Mapping[str, _Command]] = {
    "sign": _Command(".sign", "sign files and folders"),
    "check": _Command(".check", "check settings and connection; signs nothing"),
    "failed": _Command(".failed", "list what a journal has held, send it again, or forget it"),
    "verify": _Command(".verify", "tell who signed files, when, and whether they are whole"),
    "sandbox": _Command("..sandbox.__main__", "serve a Sign'Stash on this machine, for tests"),
}

_EXAMPLES: Final = """
examples:
  signstash sandbox                          in one terminal, and in another one,
  signstash check                            with the settings that it printed,
  signstash sign invoice.pdf                 makes invoice.signed.pdf
  signstash sign invoices -o signed --journal november.journal

Each command has its own --help. Settings come from environment variables
(SIGNSTASH_BASE_URL, SIGNSTASH_CLIENT_ID, SIGNSTASH_CLIENT_SECRET,
SIGNSTASH_ENVIRONMENT), a file (--config) and options; the later ones win.

exit status: 0 all is well, 1 some documents failed, 2 wrong usage or settings,
  3 a fault that concerns all documents, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for.

    Args:
        arguments: The command's arguments; those of this process if they are left out.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show must not end a run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in _COMMANDS:
        _argument_parser().parse_args(given)  # it ends the process
    name, *options = given
    debug = "--debug" in options
    try:
        with _log(debug=debug):
            return int(import_module(_COMMANDS[name].module, __name__).main(options, program=f"signstash {name}"))
    except SignStashError as error:
        complain(error, debug=debug)
        return USAGE if isinstance(error, ConfigurationError | InvalidDocumentError) else FAULT_OF_ALL
    except ImportError as error:  # an extra is missing, and its text says which
        complain(error, debug=debug)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


def _argument_parser() -> argparse.ArgumentParser:
    from .. import __version__

    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="signstash",
        description="Sign documents with Sign'Stash.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="signstash COMMAND ...",
    )
    parser.add_argument("--version", action="version", version=f"signstash {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for name, command in _COMMANDS.items():
        commands.add_parser(name, add_help=False, help=command.summary)
    return parser


@contextlib.contextmanager
def _log(*, debug: bool) -> Iterator[None]:
    """Write the log to standard error, or nowhere: what people have to know is told to them."""
    logger = logging.getLogger("signstash")
    handler = logging.StreamHandler() if debug else logging.NullHandler()
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG if debug else level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def complain(error: BaseException, *, debug: bool) -> None:
    """Say what went wrong, and with `--debug` where."""
    if debug:
        traceback.print_exception(error)
    sys.stderr.write(f"signstash: {error}\n")

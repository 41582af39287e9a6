"""The command `signstash`: runs a subcommand and turns its errors into an exit status.

.. include:: guide.md
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Final

import attrs

from ..errors import ConfigurationError, InvalidDocumentError, SignStashError

SIGNED: Final = 0
"""Exit status: success."""
SOME_FAILED: Final = 1
"""Exit status: some documents failed or are in doubt."""
USAGE: Final = 2
"""Exit status: wrong usage or settings. Nothing was sent."""
FAULT_OF_ALL: Final = 3
"""Exit status: a fault that concerns all documents ended the command."""
INTERRUPTED: Final = 128 + signal.SIGINT
"""Exit status: interrupted."""


@attrs.frozen
class _Command:
    module: str
    summary: str


_COMMANDS: Final[Mapping[str, _Command]] = {
    "sign": _Command(".sign", "sign files and folders"),
    "watch": _Command(".watch", "sign what arrives in a folder, until stopped"),
    "check": _Command(".check", "check settings and connection"),
    "failed": _Command(".failed", "list documents that failed or are in doubt"),
    "verify": _Command(".verify", "verify signed files: by whom, when, and whether they changed"),
    "sandbox": _Command("..sandbox.__main__", "run a local Sign'Stash for tests"),
}

_EXAMPLES: Final = """
examples:
  signstash sandbox                  in one terminal, then in another one,
  signstash check                    with the settings that it printed:
  signstash sign invoice.pdf         writes invoice.signed.pdf
  signstash sign invoices -o signed --journal november.journal
  signstash watch inbox -o signed --journal watch.journal

Run a command with --help for its options. Settings come from environment
variables (SIGNSTASH_BASE_URL, SIGNSTASH_CLIENT_ID, SIGNSTASH_CLIENT_SECRET,
SIGNSTASH_ENVIRONMENT or SIGNSTASH_TOKEN_URL), a file (--config), and options;
later ones override earlier ones.

exit status: 0 success, 1 some documents failed or are in doubt, 2 wrong usage
  or settings, 3 a fault that concerns all documents, lost output, or an error
  of the command, 130 interrupted (`signstash verify --help` lists its own)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The command's arguments. Defaults to those of this process.

    Returns:
        The exit status.
    """
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show must not end a run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in _COMMANDS:
        _argument_parser().parse_args(given)  # exits
    name, *options = _with_plain_names(given)
    debug = "--debug" in options
    try:
        with _log(debug=debug):
            status = int(import_module(_COMMANDS[name].module, __name__).main(options, program=f"signstash {name}"))
        return _status_with_output(status, debug=debug)
    except SignStashError as error:
        report_error(error, debug=debug)
        return USAGE if isinstance(error, ConfigurationError | InvalidDocumentError) else FAULT_OF_ALL
    except ImportError as error:  # an extra is missing; the text says which
        report_error(error, debug=debug)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - Python would end with 1, which says that only some documents failed
        traceback.print_exc()
        return FAULT_OF_ALL


def _with_plain_names(arguments: Sequence[str]) -> list[str]:
    """Return arguments without `--`, after which names may begin with a hyphen; `parse_intermixed_args` forgets it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    names = (f"./{name}" if name.startswith("-") else name for name in arguments[end + 1 :])
    return [*arguments[:end], *names]


def _status_with_output(status: int, *, debug: bool) -> int:
    """Report lost output, which is a failure even if the command did everything else."""
    from .display import lost_output

    error = lost_output()
    if error is None:
        return status
    report_error(
        OSError(f"The output is not complete: {error.strerror}. Make room, or write it elsewhere."), debug=debug
    )
    return status or FAULT_OF_ALL


def _open_closed_streams() -> None:
    """Give standard streams that were closed to the null device.

    Otherwise the next file or socket gets their number, and what is written to a stream ends up in it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            continue
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which is this one
        setattr(sys, name, os.fdopen(descriptor, "r" if descriptor == 0 else "w", closefd=False))


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
    """Write the log to standard error with `--debug`, and nowhere without it."""
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


def report_error(error: BaseException, *, debug: bool) -> None:
    """Write an error to standard error, with a traceback if `debug` is set."""
    from .formatting import of_the_command, wrapped

    with contextlib.suppress(OSError):  # the disk may be full, or the reader gone
        if debug:
            traceback.print_exception(error)
        text = of_the_command(f"signstash: {error}")
        sys.stderr.write(f"{wrapped(text, indent=0, stream=sys.stderr)}\n")
        sys.stderr.flush()

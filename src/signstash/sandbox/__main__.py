"""Serve a sandbox until interrupted: `python -m signstash.sandbox`."""

import argparse
import json
import signal
import sqlite3
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from .administration import read_faults
from .faults import KINDS, Fault
from .server import Sandbox


def fault(text: str) -> Fault:
    """Parse a fault as written in a shell: `too_many_requests,times=2,seconds=1`."""
    kind, *options = text.split(",")
    fields: dict[str, object] = {"kind": kind}
    for option in options:
        name, _, value = option.partition("=")
        try:
            fields[name] = value if name in ("kind", "reference", "name", "code", "on") else json.loads(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{name} is {value!r}, not a number") from None
    try:
        return Fault.from_dict(fields)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def script(name: str) -> list[Fault]:
    """Read the faults in a file with a JSON array of them."""
    try:
        return read_faults(json.loads(Path(name).read_text("utf-8")))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{name}: {error}") from error


def credentials(text: str) -> tuple[str, str]:
    """Parse a client service written as `alias:secret`."""
    alias, separator, secret = text.partition(":")
    if not (alias and separator and secret):
        raise argparse.ArgumentTypeError("it does not have the form ALIAS:SECRET")
    return alias, secret


def argument_parser(program: str) -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    kinds = "".join(f"\n  {name:<32} {kind.meaning}" for name, kind in KINDS.items())
    parser = argparse.ArgumentParser(
        prog=program,
        description=__doc__,
        epilog=f"faults:{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8081, help="port; 0 means a free one (default: %(default)s)")
    parser.add_argument("--allow-remote", action="store_true", help="allow a --host that other machines can reach")
    parser.add_argument("--state", type=Path, metavar="FILE", help="SQLite file that keeps the operations")
    parser.add_argument("--client", type=credentials, action="append", default=[], metavar="ALIAS:SECRET",
                        help="another client service")  # fmt: skip
    parser.add_argument("--token-lifetime", type=int, default=86399, metavar="SECONDS",
                        help="lifetime of a token (default: %(default)s)")  # fmt: skip
    parser.add_argument("--fault", type=fault, action="append", default=[], metavar="KIND[,NAME=VALUE...]",
                        help="a fault, for example too_many_requests,times=2,seconds=1")  # fmt: skip
    parser.add_argument("--script", type=script, default=[], metavar="FILE", help="JSON file with an array of faults")
    parser.add_argument("--seed", type=int, default=0, help="seed of random faults (default: %(default)s)")
    parser.add_argument("--reuse-failed-references", action="store_true",
                        help="let references of documents that were not signed be used again")  # fmt: skip
    parser.add_argument("--asynchronous", action="store_true",
                        help="let proxies also sign asynchronously, at made-up paths")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None, *, program: str = "python -m signstash.sandbox") -> int:
    """Serve a sandbox and print the settings of clients.

    Args:
        arguments: Command-line arguments, by default those of this process.
        program: Name of the command.

    Returns:
        The exit status: 2 if the sandbox cannot start.
    """
    options = argument_parser(program).parse_args(arguments)
    try:
        sandbox = Sandbox(
            host=options.host,
            port=options.port,
            allow_remote=options.allow_remote,
            state=options.state,
            clients=dict(options.client),
            token_lifetime=options.token_lifetime,
            faults=[*options.script, *options.fault],
            seed=options.seed,
            reuse_failed_references=options.reuse_failed_references,
            asynchronous=options.asynchronous,
        )
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the port is out of range"
        return _fail(f"The sandbox cannot listen on {options.host}:{options.port}: {reason}.")
    except sqlite3.Error as error:
        return _fail(f"The state cannot be stored in {options.state}: {error}.")
    except ValueError as error:
        return _fail(str(error).replace("allow_remote=True", "--allow-remote"))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())  # sent when a container is stopped
    with sandbox:
        settings = {
            "SIGNSTASH_BASE_URL": sandbox.base_url,
            "SIGNSTASH_TOKEN_URL": sandbox.token_url,
            "SIGNSTASH_CLIENT_ID": sandbox.client_id,
            "SIGNSTASH_CLIENT_SECRET": sandbox.client_secret,
        }
        lines = "".join(f"  export {name}='{value}'\n" for name, value in settings.items())
        sys.stdout.write(
            "Sign'Stash sandbox, with a test certificate. Press Ctrl-C to stop.\n"
            f"Page:                   {sandbox.page_url}\n"
            f"Integration Service:    {sandbox.integration_base_url}\n{lines}"
        )
        sys.stdout.flush()
        try:
            ended.wait()
        except KeyboardInterrupt:
            return 0
    return 0


def _fail(why: str) -> int:
    sys.stderr.write(f"{why}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())

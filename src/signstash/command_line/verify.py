"""The command `signstash verify`: who signed files, when, and whether they are whole."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError
from ..verification import Verification, verify_file
from . import SIGNED, SOME_FAILED
from .display import Lines
from .plan import files_below
from .text import printable

_EXAMPLES: Final = """
Trust is judged only against the roots that are given; revocation, and whether
a certificate is qualified, are not judged.

examples:
  signstash verify signed/*.pdf
  signstash verify signed --originals invoices --root multicert-root.pem
"""


def _argument_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        usage=f"{program} FILES... [options]",
        description="Verify signed files, and folders with all that is below them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILES", help=argparse.SUPPRESS)
    parser.add_argument("--originals", type=Path, metavar="DIR", help="folder with what was signed, by the same names")
    parser.add_argument("--root", type=Path, action="append", default=[], metavar="FILE",
                        help="certificate that is trusted, in PEM or DER")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--debug", action="store_true", help="show where errors come from")
    return parser


def main(arguments: Sequence[str], *, program: str) -> int:
    """Verify files.

    Args:
        arguments: The command's options.
        program: What the command is called.

    Returns:
        The exit status: 1 if a file does not hold.

    Raises:
        SignStashError: If a file, its original or a root cannot be read.
    """
    given = _argument_parser(program).parse_intermixed_args(arguments)
    lines, status = Lines(as_json=given.json), SIGNED
    for path, place in _found(given.files):
        original = None if given.originals is None else given.originals / place
        found = verify_file(path, original=original, trusted_roots=given.root)
        _show(path, found, lines)
        status = status if found.ok else SOME_FAILED
    return status


def _found(paths: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """The files, each with its place below the folder that was named."""
    for path in paths:
        if not path.is_dir():
            yield path, Path(path.name)
            continue
        unreadable: list[OSError] = []
        below = list(files_below(path, unreadable))
        if unreadable:
            folders = [f"{printable(str(error.filename))} cannot be read ({error.strerror})" for error in unreadable]
            raise ConfigurationError(f"{'; '.join(folders)}.", "Check permissions.")
        if not below:
            raise ConfigurationError(f"{path} holds no files.", "Name others.")
        yield from ((file, file.relative_to(path)) for file in below)


def _show(path: Path, found: Verification, lines: Lines) -> None:
    status = "ok" if found.ok else "failed"
    times = [
        f"{what} {time:%Y-%m-%d %H:%M:%S %Z}"
        for what, time in (("claimed time", found.signed_at), ("timestamp", found.timestamped_at))
        if time is not None
    ]
    named = " ".join([str(found.signer), *found.identifiers])
    signer = [] if found.signer is None else [f"by {named} (issued by {found.issuer})"]
    trust = {None: "trust not judged", True: "trusted", False: "not trusted"}[found.trusted]
    about = ", ".join([str(found.signature_type), *signer, *times, trust])
    lines.result(
        f"{status:<7} {printable(path)}: {'; '.join([*found.problems, about])}",
        {
            "status": status,
            "file": str(path),
            "problems": found.problems,
            "signature_type": found.signature_type,
            "signer": found.signer,
            "identifiers": found.identifiers,
            "issuer": found.issuer,
            "signed_at": None if found.signed_at is None else found.signed_at.isoformat(),
            "timestamped_at": None if found.timestamped_at is None else found.timestamped_at.isoformat(),
            "trusted": found.trusted,
        },
    )

"""The command `signstash verify`: who signed files, when, and whether they are valid."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError
from ..verification import Verdict, Verification, verify_file
from . import SIGNED, SOME_FAILED
from .display import Lines
from .plan import files_below
from .text import printable

INDETERMINATE: Final = 4
"""Exit status: no file is invalid, but some cannot be judged."""

_STATUS: Final = {Verdict.VALID: "ok", Verdict.INVALID: "failed", Verdict.INDETERMINATE: "unclear"}

_EXAMPLES: Final = """
Each file is valid (ok), invalid (failed) or indeterminate (unclear): nothing
is wrong with it, but it cannot be judged here. --json has it as "verdict".
Trust is judged only against the roots that are given; revocation, and whether
a certificate is qualified, are not judged: use a validation service.

examples:
  signstash verify signed/*.pdf
  signstash verify signed --originals invoices --root multicert-root.pem

exit status: 0 all are valid, 1 some are invalid, 4 none is invalid and some
  are indeterminate, 2 wrong usage or unreadable files, 130 interrupted
"""


def _argument_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        usage=f"{program} FILES... [options]",
        description="Verify signed files, and folders with everything below them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILES", help=argparse.SUPPRESS)
    parser.add_argument("--originals", type=Path, metavar="DIR", help="folder with what was signed, by the same names")
    parser.add_argument("--root", type=Path, action="append", default=[], metavar="FILE",
                        help="certificate that is trusted, in PEM or DER")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def main(arguments: Sequence[str], *, program: str) -> int:
    """Verify files, and return the exit status."""
    given = _argument_parser(program).parse_intermixed_args(arguments)
    lines, verdicts = Lines(as_json=given.json), set()
    for path, place in _found(given.files):
        original = None if given.originals is None else given.originals / place
        found = verify_file(path, original=original, trusted_roots=given.root)
        _show(path, found, lines)
        verdicts.add(found.verdict)
    if Verdict.INVALID in verdicts:
        return SOME_FAILED
    return INDETERMINATE if Verdict.INDETERMINATE in verdicts else SIGNED


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
    status = _STATUS[found.verdict]
    times = [
        f"{what} {time:%Y-%m-%d %H:%M:%S %Z}"
        for what, time in (("claimed time", found.signed_at), ("timestamp", found.timestamped_at))
        if time is not None
    ]
    named = " ".join([str(found.signer), *found.identifiers])
    signer = [] if found.signer is None else [f"by {named} (issued by {found.issuer})"]
    trust = {None: "trust not judged", True: "trusted", False: "not trusted"}[found.trusted]
    kind = "unknown type" if found.signature_type is None else str(found.signature_type)
    is_unsigned = "it holds no signature" in found.problems
    about = [] if is_unsigned else [", ".join([kind, *signer, *times, trust])]
    lines.result(
        f"{status:<7} {printable(path)}: {'; '.join([*found.problems, *about, *found.notes])}",
        {
            "status": status,
            "verdict": found.verdict,
            "file": str(path),
            "problems": found.problems,
            "notes": found.notes,
            "signature_type": found.signature_type,
            "signer": found.signer,
            "identifiers": found.identifiers,
            "issuer": found.issuer,
            "signed_at": None if found.signed_at is None else found.signed_at.isoformat(),
            "timestamped_at": None if found.timestamped_at is None else found.timestamped_at.isoformat(),
            "trusted": found.trusted,
        },
    )

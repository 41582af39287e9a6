"""The command `signstash verify`: who signed files, when, and whether they are valid."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError, InvalidDocumentError, SignStashError
from ..verification import Verdict, Verification, verify_file
from . import SIGNED, SOME_FAILED, USAGE, report_error
from .display import Lines
from .formatting import printable
from .plan import REASON_SUFFIX, beside, files_below

INDETERMINATE: Final = 4
"""Exit status: no file is invalid, but some cannot be judged."""

_EXAMPLES: Final = """
Each file is valid, invalid or indeterminate. An indeterminate file has no known
fault, but cannot be judged here. Trust is judged only against the given roots.
Revocation, and whether a certificate is qualified, are not judged: use a
validation service.

examples:
  signstash verify signed/*.pdf
  signstash verify signed --originals invoices --root multicert-root.pem

exit status: 0 all are valid, 1 some are invalid, 2 none is invalid and some
  cannot be read, or wrong usage, 4 some are indeterminate, 130 interrupted
"""


def _argument_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        usage=f"{program} FILES... [options]",
        description="Verify signed files, and folders with everything below them, without\n"
        "originals (X.pdf) whose signed files (X.signed.pdf) are in the same folder.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILES", help=argparse.SUPPRESS)
    parser.add_argument(
        "--originals",
        type=Path,
        metavar="DIR",
        help="folder with what was signed, by the same names or X.pdf for X.signed.pdf",
    )
    parser.add_argument("--root", type=Path, action="append", default=[], metavar="FILE",
                        help="certificate that is trusted, in PEM or DER")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def main(arguments: Sequence[str], *, program: str) -> int:
    """Verify files, and return the exit status."""
    given = _argument_parser(program).parse_intermixed_args(arguments)
    lines = Lines(as_json=given.json)
    verdicts: set[Verdict] = set()
    unreadable: list[SignStashError] = []
    for path, place in _found(given.files, unreadable):
        original = None if given.originals is None else _original(path, given.originals / place)
        try:
            found = verify_file(path, original=original, trusted_roots=given.root)
        except InvalidDocumentError as error:
            unreadable.append(error)
            if given.json:
                lines.result("", {"status": "unreadable", "file": str(path), "problems": [str(error)]})
        else:
            _show(path, found, lines)
            verdicts.add(found.verdict)
    for problem in unreadable:
        report_error(problem, debug=given.debug)
    if Verdict.INVALID in verdicts:
        return SOME_FAILED
    if unreadable:
        return USAGE
    return INDETERMINATE if Verdict.INDETERMINATE in verdicts else SIGNED


def _found(paths: Sequence[Path], unreadable: list[SignStashError]) -> Iterator[tuple[Path, Path]]:
    """The files, each with its path below the named folder, without originals next to their signed files."""
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 - Path's raises for a name that is too long
            yield path, Path(path.name)
            continue
        errors: list[OSError] = []
        below = dict.fromkeys(files_below(path, errors))
        for unread in errors:
            problem = f"{printable(str(unread.filename))} cannot be read ({unread.strerror})."
            unreadable.append(ConfigurationError(problem, "Check permissions."))
        if not below and not errors:
            unreadable.append(ConfigurationError(f"{path} holds no files.", "Name others."))
        yield from (
            (file, file.relative_to(path))
            for file in below
            if beside(file) not in below and not file.name.endswith(REASON_SUFFIX)
        )


def _original(signed: Path, namesake: Path) -> Path:
    """The original of a signed file: of the same name, or `X.pdf` of `X.signed.pdf`, as `sign` names files."""
    original = namesake.with_name(f"{namesake.stem.removesuffix('.signed')}{namesake.suffix}")
    is_itself = os.path.realpath(namesake) == os.path.realpath(signed)
    return original if is_itself or os.path.lexists(original) else namesake


def _show(path: Path, found: Verification, lines: Lines) -> None:
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
        f"{found.verdict:<13} {printable(path)}: {'; '.join([*found.problems, *about, *found.notes])}",
        {
            "status": found.verdict,
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

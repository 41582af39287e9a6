"""The command `signstash sign`: signs files and folders."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, get_args

import attrs

from ..client import SignStash
from ..documents import Document
from ..errors import ConfigurationError, DocumentNotSavedError, InvalidDocumentError, SignedContent, SignStashError
from ..journal import Entry, Journal, State
from ..options import UnknownOutcomes, VisibleSignature
from ..results import SignedDocument
from ..retries import RetryPolicy
from . import FAULT_OF_ALL, INTERRUPTED, SIGNED, SOME_FAILED, complain
from .display import Display, Lines, length, open_display, shown, table
from .plan import MakeDocument, Plan, PlannedFile, real_path
from .settings import add_connection_options, settings_from

_EXAMPLES: Final = """
examples:
  signstash sign invoices -o signed --journal november.journal
  signstash sign invoice.pdf --visible page=1,x=60,y=50,width=200,height=50
"""

_STATUSES: Final = ("signed", "signed_before", "in_doubt", "failed", "not_sent")
"""What becomes of a file. `signed_before` is what a journal knows as signed."""

_PLACES: Final = ("x", "y", "page", "width", "height", "field", "placeholder")


def _argument_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        usage=f"{program} FILES... [-o DIR] [options]",
        description="Sign files, patterns such as '*.pdf', and folders with all that is below them.",
        epilog=_EXAMPLES,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=27, width=100),
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILES", help=argparse.SUPPRESS)
    add("-o", "--output", type=Path, metavar="DIR", help="folder for what is signed; else <name>.signed.pdf")
    add("--force", action="store_true", help="replace what was signed before; originals never")
    add("--binary", action="store_true", help="sign what is neither PDF nor XML too, with CAdES")
    add("--journal", type=Path, metavar="FILE", help="record with which an ended run goes on")
    add("--unknown", choices=get_args(UnknownOutcomes), default="hold", metavar="WHAT",
        help="if an answer is lost: hold (default), look_up, send_again")  # fmt: skip
    add("--retries", choices=("batch", "interactive", "none"), default="batch", metavar="WHICH",
        help="batch (three times, a minute apart; as a rule), interactive (within seconds), none")  # fmt: skip
    add("--in-flight", type=int, default=2, metavar="N", help="requests at the same time (%(default)s)")
    add("--dry-run", action="store_true", help="show what would be signed, and send nothing")
    add("--json", action="store_true", help="one JSON object a line")
    signature = parser.add_argument_group("signature")
    add = signature.add_argument
    add("--reason", metavar="TEXT", help="why it is signed")
    add("--location", metavar="TEXT", help="where it is signed")
    add("--description", metavar="TEXT", help="what it is about, for the backoffice")
    add("--timestamp", action="store_true", help="add a qualified timestamp")
    add("--visible", type=_place, metavar="PLACE",
        help="on PDF: page=1,x=60,y=50 or field=NAME or placeholder=WORD")  # fmt: skip
    add("--visible-text", metavar="TEXT", help="its text, such as 'Signed by $certificate.getCommonName()'")
    add("--visible-image", type=Path, metavar="FILE", help="its picture, PNG or JPG")
    add("--xml-element", metavar="NAME", help="on XML: element that takes the signature")
    add_connection_options(parser)
    return parser


def _place(text: str) -> dict[str, Any]:
    place: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in _PLACES or not value:
            raise argparse.ArgumentTypeError(f"{part!r} is not one of {', '.join(_PLACES)} with a value")
        try:
            place[name] = value if name in ("field", "placeholder") else int(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{name} is {value!r}, not a whole number") from None
    return place


def _visible_signature(given: argparse.Namespace) -> VisibleSignature | None:
    if given.visible is None:
        if given.visible_text is not None or given.visible_image is not None:
            raise ConfigurationError("The visible signature has no place.", "Give it with --visible.")
        return None
    place = dict(given.visible)
    width, height = place.pop("width", None), place.pop("height", None)
    if (width is None) != (height is None):
        raise ConfigurationError("The visible signature has only one of width and height.", "Give both, or none.")
    try:
        image = None if given.visible_image is None else given.visible_image.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{given.visible_image} cannot be read: {error.strerror}.", "Check --visible-image."
        ) from error
    return VisibleSignature(
        **place, size=None if width is None else (width, height), text=given.visible_text, image=image
    )


def _signature_options(given: argparse.Namespace) -> Mapping[MakeDocument, Mapping[str, Any]]:
    """What is asked for each kind of document."""
    common = {"reason": given.reason, "location": given.location, "timestamp": given.timestamp}
    visible = {"visible_signature": _visible_signature(given)}
    return {
        Document.pdf: {**common, **visible},
        Document.xml: {**common, "signature_location": given.xml_element},
        Document.binary: common,
    }


def main(arguments: Sequence[str], *, program: str) -> int:
    """Sign files.

    Args:
        arguments: The command's options.
        program: What the command is called.

    Returns:
        The exit status.

    Raises:
        SignStashError: If nothing can be signed, or a fault that concerns all documents ended the run.
    """
    given = _argument_parser(program).parse_intermixed_args(arguments)
    files = Plan(output=given.output, binary=given.binary).files(given.files)
    signature_options = _signature_options(given)
    for make in {file.make for file in files}:  # what cannot work is said before anything is sent
        make(b"", name="any", **signature_options[make])
    if given.dry_run:
        return _show_plan(files, given)
    client = settings_from(given).client(retries=getattr(RetryPolicy, given.retries)())
    with nullcontext() if given.journal is None else Journal(given.journal) as journal:
        return asyncio.run(_Signing(files, given, signature_options, journal).run(client))


def _show_plan(files: Sequence[PlannedFile], given: argparse.Namespace) -> int:
    states: Mapping[Path, State] = {}
    if given.journal is not None and given.journal.exists():
        with Journal(given.journal) as journal:
            states = _states(journal)
    lines, refused = Lines(as_json=given.json), 0
    for file in files:
        status, remark = "planned", ""
        if states.get(real_path(file.target)) in ("signed", "held"):
            status, remark = "passed_over", ": the journal knows it"
        elif file.target.exists() and not given.force:
            status, remark = "failed", ": it exists already (--force replaces it)"
            refused += 1
        fields = {"status": status, "file": str(file.path), "saved_as": str(file.target), "bytes": file.size}
        paths = f"{shown(file.path)} ({length(file.size)}) -> {shown(file.target)}"
        lines.result(f"{_word(status)}{paths}{remark}", fields)
    lines.note(f"{len(files)} documents, {length(sum(file.size for file in files))}. Nothing was sent.")
    return SOME_FAILED if refused else SIGNED


def _word(status: str) -> str:
    return f"{status.replace('_', ' '):<13}"


def _states(journal: Journal | None) -> dict[Path, State]:
    """What a journal knows of the files for signed documents."""
    entries = [] if journal is None else journal.entries()
    return {Path(entry.saved_as): entry.state for entry in entries if entry.saved_as is not None}


class _Interruption:
    """What Ctrl-C does: the first one lets what is in flight end, the second one ends all at once.

    Attributes:
        asked: Whether there was one.
    """

    def __init__(self, display: Display) -> None:
        self.asked = False
        self._display = display
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def __enter__(self) -> Self:
        for number in self._before:
            signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(self._interrupt))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self) -> None:
        if self.asked and self._task is not None:
            self._task.cancel()
        elif not self.asked:
            self.asked = True
            self._display.note("Waiting for what is in flight. Once more ends it at once, also a pause between tries.")


class _Waiting(logging.Handler):
    """Tells why nothing happens: that requests are tried again, and when."""

    def __init__(self, display: Display) -> None:
        super().__init__(logging.INFO)
        self._display = display
        self._logger = logging.getLogger("signstash.retries")

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self._display.note(record.getMessage())

    def __enter__(self) -> Self:
        self._before = self._logger.level
        self._logger.addHandler(self)
        self._logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._before)


@attrs.define
class _Signing:
    """One run of the command.

    Attributes:
        files: What is to be signed.
        given: The command's options.
        signature_options: What is asked for each kind of document.
        journal: Record of the run, or None.
    """

    files: Sequence[PlannedFile]
    given: argparse.Namespace
    signature_options: Mapping[MakeDocument, Mapping[str, Any]]
    journal: Journal | None
    _sent: dict[Document, PlannedFile] = attrs.field(init=False, factory=dict[Document, PlannedFile])
    _told: set[PlannedFile] = attrs.field(init=False, factory=set[PlannedFile])
    _counts: Counter[str] = attrs.field(init=False, factory=Counter[str])
    _signed_bytes: int = attrs.field(init=False, default=0)

    async def run(self, client: SignStash) -> int:
        """Sign the files, and show what becomes of them.

        Args:
            client: The client, which is closed at the end.

        Returns:
            The exit status.

        Raises:
            SignStashError: If a fault that concerns all documents ended the run.
        """
        began = time.monotonic()
        left = self._left()
        fault: SignStashError | None = None
        cancelled = False
        with (
            open_display(
                as_json=self.given.json, documents=len(left), content_bytes=sum(file.size for file in left)
            ) as display,
            _Interruption(display) as interruption,
            nullcontext() if self.given.debug else _Waiting(display),
        ):
            try:
                async with client:
                    await self._sign(client, display, interruption)
            except SignStashError as error:
                fault = error
            except asyncio.CancelledError:
                if not interruption.asked:
                    raise
                cancelled = True
            complete = fault is None and not interruption.asked
            self._account_for_the_rest(display, complete=complete, cancelled=cancelled)
        self._sum_up(time.monotonic() - began)
        if fault is not None:
            if not self._told:
                raise fault
            complain(fault, debug=self.given.debug)  # whatever it is: something may have been sent
            return FAULT_OF_ALL
        if self._counts["not_sent"] or cancelled:
            return INTERRUPTED
        return SIGNED if self._counts["signed"] + self._counts["signed_before"] == len(self.files) else SOME_FAILED

    def _left(self) -> list[PlannedFile]:
        """What an earlier run has not done with."""
        states = _states(self.journal)
        return [file for file in self.files if states.get(real_path(file.target)) not in ("signed", "held")]

    async def _sign(self, client: SignStash, display: Display, interruption: _Interruption) -> None:
        outcomes = client.sign_all(
            self._documents(display, interruption),
            description=self.given.description,
            save_to=lambda document: self._sent[document].target,
            overwrite=self.given.force,
            journal=self.journal,
            unknown_outcomes=self.given.unknown,
            in_flight=self.given.in_flight,
        )
        async with aclosing(outcomes):
            async for outcome in outcomes:
                result = outcome.result
                if isinstance(result, DocumentNotSavedError) and result.signed is not None:
                    result = await _saved_elsewhere(result, result.signed)
                file = self._sent.pop(outcome.document)
                if outcome.ok and outcome.signed_before:
                    self._told.add(file)
                    self._counts["signed_before"] += 1
                else:
                    self._tell(display, file, result)

    def _documents(self, display: Display, interruption: _Interruption) -> Iterator[Document]:
        for file in self.files:
            if interruption.asked:
                return
            try:
                document = file.make(file.path, **self.signature_options[file.make])
            except InvalidDocumentError as error:
                self._tell(display, file, error)
            else:
                self._sent[document] = file
                yield document

    def _tell(self, display: Display, file: PlannedFile, result: SignedDocument | SignStashError) -> None:
        fields: dict[str, Any] = {"file": str(file.path)}
        if isinstance(result, SignedDocument):
            status, text = "signed", f"{shown(file.path)} -> {shown(file.target)}"
            fields |= {"saved_as": str(file.target), "operation_id": result.operation_id}
            fields["external_reference"] = result.external_reference
            self._signed_bytes += file.size
        else:
            status = "in_doubt" if result.maybe_processed else "failed"
            message = str(result).replace("overwrite=True", "--force")
            text = f"{shown(file.path)}: {message}"
            fields |= {"error": type(result).__name__, "message": message}
        self._told.add(file)
        self._counts[status] += 1
        display.result(_word(status) + text, {"status": status, **fields}, content_bytes=file.size)

    def _account_for_the_rest(self, display: Display, *, complete: bool, cancelled: bool) -> None:
        """Count the files of which nothing was told."""
        begun = set(self._sent.values()) if cancelled else set[PlannedFile]()
        states = _states(self.journal)
        targets = {real_path(file.target) for file in self.files}
        entries = [] if self.journal is None else self.journal.entries()
        elsewhere = {entry.name: entry.state for entry in entries if _place_of(entry) not in targets}
        for file in self.files:
            if file in self._told:
                continue
            state = states.get(real_path(file.target))
            if state is None:  # by what it is called the journal may know it from another folder
                state = elsewhere.get(file.path.name)
            if state == "signed":
                self._counts["signed_before"] += 1
            elif state == "held" or (file in begun and (self.journal is None or state == "sent")):
                self._counts["in_doubt"] += 1
            elif complete:
                self._tell(display, file, _twin(file))
            else:
                self._counts["not_sent"] += 1

    def _sum_up(self, seconds: float) -> None:
        rate = self._counts["signed"] / seconds if seconds else 0.0
        lines = Lines(as_json=self.given.json)
        counts = {status: self._counts[status] for status in _STATUSES}
        totals = table([(_word(status), count) for status, count in counts.items() if count or status == "signed"])
        lines.result(
            f"\n{totals}\n{length(self._signed_bytes)} signed in {seconds:.1f} s, {rate:.1f} documents a second",
            {"summary": counts, "bytes": self._signed_bytes, "seconds": round(seconds, 3)},
        )
        for advice in self._advice():
            lines.note(advice)

    def _advice(self) -> Iterator[str]:
        if self._counts["in_doubt"] and self.journal is not None:
            yield f"What is in doubt: signstash failed list --journal {self.given.journal}"
        elif self._counts["in_doubt"]:
            yield "What is in doubt may be signed, and the same command would sign it a second time: ask first."
        if self._counts["not_sent"] and self.journal is not None:
            yield "The same command goes on with what was not sent."
        elif self._counts["not_sent"] and not self._counts["in_doubt"]:
            yield "The same command goes on with what was not sent; what is signed is refused, since its file exists."


def _place_of(entry: Entry) -> Path | None:
    return None if entry.saved_as is None else Path(entry.saved_as)


def _twin(file: PlannedFile) -> SignStashError:
    return InvalidDocumentError(
        f"{shown(file.path)} was passed over: the journal knows another file of the same name and contents.",
        "Sign it in a run of its own, with another journal.",
        document=file.path.name,
    )


async def _saved_elsewhere(error: DocumentNotSavedError, signed: SignedContent) -> SignStashError:
    """Save what cannot be saved in its place, so that it does not end with the process."""
    rescued = Path(tempfile.mkdtemp(prefix="signstash-")) / signed.name
    try:
        await signed.save(rescued)
    except DocumentNotSavedError:
        return error
    return DocumentNotSavedError(error.problem, f"It is signed, and saved as {rescued}.", signed=signed)

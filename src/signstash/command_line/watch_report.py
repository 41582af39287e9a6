"""What `signstash watch` says: results, a summary a minute, and the status file."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import attrs

from ..errors import DocumentNotSavedError, SignStashError
from ..results import SignedDocument
from .causes import Causes, without_names
from .display import Display
from .formatting import of_the_command, wrapped
from .plan import PlannedFile
from .watch_files import write_status

SUMMARY_INTERVAL: Final = 60.0
"""Seconds between two summaries."""
_STATUS_INTERVAL: Final = 1.0
_HEARTBEAT: Final = 30.0


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@attrs.define
class WatchReport:
    """Counts results, and reports them.

    Attributes:
        display: Where results and summaries go.
        as_json: Whether each result is shown, as JSON; people get the causes of failures with the next summary.
        status_file: File for monitoring, or None.
        clock: Monotonic clock, in seconds.
        now: Current time.
    """

    display: Display
    as_json: bool = False
    status_file: Path | None = None
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], dt.datetime] = _now
    _signed: int = attrs.field(init=False, default=0)
    _problems: dict[Path, str] = attrs.field(init=False, factory=dict[Path, str])
    _since_summary: Counter[str] = attrs.field(init=False, factory=Counter[str])
    _causes: Causes = attrs.field(init=False, factory=Causes)
    _last_summary: float = attrs.field(init=False, default=float("-inf"))
    _last_success: dt.datetime | None = attrs.field(init=False, default=None)
    _written: float = attrs.field(init=False, default=float("-inf"))
    _status: dict[str, Any] = attrs.field(init=False, factory=dict[str, Any])
    _said: set[str] = attrs.field(init=False, factory=set[str])
    _fault: str | None = attrs.field(init=False, default=None)

    @property
    def has_problems(self) -> bool:
        """Whether documents failed or are in doubt, and were not signed since."""
        return bool(self._problems)

    def result(
        self,
        file: PlannedFile,
        result: SignedDocument | SignStashError,
        *,
        signed_before: bool = False,
        names: Iterable[str] = (),
    ) -> None:
        """Count the result of a document.

        Args:
            file: The document.
            result: The signed document, or the error.
            signed_before: Whether the journal knew it as signed.
            names: What in an error message tells the document apart from others.
        """
        fields: dict[str, Any] = {"file": str(file.path)}
        if isinstance(result, SignedDocument):
            status = "signed_before" if signed_before else "signed"
            if not signed_before:
                self._signed += 1
                self._last_success, self._fault = self.now(), None
            self._problems.pop(file.path, None)
            fields |= {
                "saved_as": str(file.target),
                "operation_id": result.operation_id,
                "external_reference": result.external_reference,
            }
        else:
            is_signed = isinstance(result, DocumentNotSavedError) and result.signed is not None
            status = "in_doubt" if result.maybe_processed and not is_signed else "failed"
            message = of_the_command(str(result))
            self._problems[file.path] = status
            self._causes.add(status, file.path, message, names=names)
            fields |= {"error": type(result).__name__, "message": message}
        self._since_summary[status] += 1
        if self.as_json:
            self.display.result("", {"status": status, **fields})

    def remark(self, remarks: Iterable[str]) -> None:
        """Show remarks, each once."""
        for remark in remarks:
            if remark not in self._said:
                self._said.add(remark)
                self.display.note(remark)

    def failing(self, fault: SignStashError) -> None:
        """Report once that the service fails."""
        problem = without_names(fault.problem, ())
        if problem != self._fault:
            self._fault = problem
            self.display.note(f"{without_names(str(fault), ())} Trying again until it succeeds.")

    def update(self, *, waiting: int, fault: SignStashError | None) -> None:
        """Write what is due.

        Args:
            waiting: Number of documents that are not done.
            fault: Why nothing is signed at the moment, or None.
        """
        now = self.clock()
        for path in [path for path in self._problems if not os.path.lexists(path)]:
            del self._problems[path]
        if self._since_summary and now - self._last_summary >= SUMMARY_INTERVAL:
            self._last_summary = now
            self._summarise(waiting)
        status = self._current(waiting, fault)
        age = now - self._written
        if age >= _HEARTBEAT or (age >= _STATUS_INTERVAL and status != self._status):
            self._write(status)

    def stopped(self, *, waiting: int, fault: BaseException | None) -> None:
        """Write the last summary and status."""
        if self._since_summary:
            self._summarise(waiting)
        self._write({**self._current(waiting, fault), "state": "stopped"})

    def _current(self, waiting: int, fault: BaseException | None) -> dict[str, Any]:
        counts = Counter(self._problems.values())
        return {
            "state": "watching" if fault is None else "failing",
            "last_success": None if self._last_success is None else self._last_success.isoformat(),
            "signed": self._signed,
            "waiting": waiting,
            "in_doubt": counts["in_doubt"],
            "failed": counts["failed"],
            "fault": None if fault is None else str(fault),
        }

    def _summarise(self, waiting: int) -> None:
        counts = {status: self._since_summary[status] for status in ("signed", "signed_before", "in_doubt", "failed")}
        texts = [f"{count:,} {status.replace('_', ' ')}" for status, count in counts.items() if count]
        text = f"{self.now().astimezone():%H:%M:%S} {', '.join([*texts, f'{waiting:,} waiting'])}"
        self.display.result(
            "\n".join([*map(wrapped, self._causes.lines), text]), {"summary": counts, "waiting": waiting}
        )
        self._since_summary.clear()
        self._causes = Causes()

    def _write(self, status: dict[str, Any]) -> None:
        self._written, self._status = self.clock(), status
        if self.status_file is None:
            return
        try:
            write_status(self.status_file, {**status, "updated": self.now().isoformat(), "pid": os.getpid()})
        except OSError as error:
            self.remark([f"{self.status_file} cannot be written: {error.strerror}."])

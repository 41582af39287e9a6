"""A durable record of a run: which document has which reference, and what became of it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, get_args

import attrs

from ._content.arguments import require_path
from .errors import ConfigurationError

State = Literal["planned", "sent", "signed", "failed", "held", "requeued"]
"""What is known of a document.

- `planned`: it has a reference, and nothing was sent.
- `sent`: a request with it went out, and no answer is recorded.
- `signed`: its signed bytes are saved.
- `failed`: it was refused and not signed; the next run tries it again.
- `held`: it is signed and its bytes are not saved, or whether it is signed is not known: a person decides.
- `requeued`: a person decided that it is sent again.
"""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS documents (
    reference TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    state TEXT NOT NULL,
    saved_as TEXT,
    operation_id INTEGER,
    reason TEXT,
    run INTEGER NOT NULL,
    changed TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE INDEX IF NOT EXISTS documents_by_contents ON documents (digest, name);
CREATE INDEX IF NOT EXISTS documents_by_state ON documents (state);
CREATE TABLE IF NOT EXISTS runs (run INTEGER PRIMARY KEY, began TEXT NOT NULL DEFAULT (datetime('now')));
"""

_VERSION: Final = 1


@attrs.frozen(kw_only=True)
class Entry:
    """What a journal knows of one document.

    Attributes:
        reference: Its external reference.
        name: Its file name.
        digest: SHA-256 of its contents, in hexadecimal digits.
        state: What is known of it.
        saved_as: Where its signed bytes are, or are to be.
        operation_id: Number of the operation that signed it, if it is known.
        reason: Why it is not signed, or None.
        run: Number of the last run that had to do with it.
    """

    reference: str
    name: str
    digest: str
    state: State
    saved_as: str | None = None
    operation_id: int | None = None
    reason: str | None = None
    run: int = 0


_COLUMNS: Final = tuple(field.name for field in attrs.fields(Entry))
_SELECT: Final = "SELECT reference, name, digest, state, saved_as, operation_id, reason, run FROM documents"
_RECORD: Final = """
INSERT INTO documents (reference, name, digest, state, saved_as, operation_id, reason, run)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (reference) DO UPDATE SET
    name = excluded.name, digest = excluded.digest, state = excluded.state, saved_as = excluded.saved_as,
    operation_id = excluded.operation_id, reason = excluded.reason, run = excluded.run,
    changed = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE documents.state != 'signed'
"""


class Journal:
    """A record of runs in one file (SQLite), with which a run that was killed goes on.

        with Journal("november.journal") as journal:
            async for outcome in client.sign_all(documents, journal=journal, save_to="signed"):
                ...

    What is written is on disk before the method returns, so not even a power failure loses it. One process at a time
    may use it.

    Args:
        path: The file. It is made if it is not there; its folder must be.

    Raises:
        ConfigurationError: If the file cannot be used, is no journal, or another process uses it.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = require_path("path", path)
        self._lock = threading.Lock()
        self._running = False
        self._closed = False
        try:
            self._database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=1)
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise
        except (sqlite3.Error, ValueError) as error:
            raise ConfigurationError(
                f"The journal {self._path} cannot be used: {error}.",
                "Check that it is a journal, that no other process uses it, and that its folder is there.",
            ) from error

    def _prepare(self) -> None:
        run = self._database.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        (version,) = run("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"it was written by another version ({version})")
        self._database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called more than once."""
        with self._lock:
            self._closed = True
            self._database.close()

    def entries(self, state: State | None = None) -> list[Entry]:
        """What is recorded, in the order of first record.

        Args:
            state: Only documents in this state.

        Raises:
            ConfigurationError: If there is no such state, or the file cannot be read.
        """
        if state is not None and state not in get_args(State):
            raise ConfigurationError(f"state is {state!r}.", f"Give one of {', '.join(get_args(State))}.")
        where, values = ("", ()) if state is None else ("WHERE state = ?", (state,))
        return self._select(f"{where} ORDER BY rowid", values)

    @contextlib.contextmanager
    def run(self) -> Iterator[int]:
        """One run with this journal, from its number on.

        Raises:
            ConfigurationError: If another one is under way, or the file cannot be written.
        """
        with self._lock:
            if self._running:
                raise ConfigurationError(
                    f"The journal {self._path} is used by another run.", "Wait for its end, or use another journal."
                )
            number = self._using(lambda: self._database.execute("INSERT INTO runs DEFAULT VALUES").lastrowid)
            self._running = True
        try:
            yield int(number)
        finally:
            self._running = False

    def requeue(self, *references: str) -> None:
        """Let the next run take up documents that are held, under the same references.

        It sends them again, and the service refuses what it has signed; with `unknown_outcomes="look_up"` it looks them
        up before.

        Args:
            *references: Their external references.

        Raises:
            ConfigurationError: If one of them is not held.
        """
        self._release(references, "UPDATE documents SET state = 'requeued', reason = NULL WHERE reference = ?")

    def settle(self, *references: str) -> None:
        """Take note that documents that are held are signed and in safe hands, fetched by a person.

        Args:
            *references: Their external references.

        Raises:
            ConfigurationError: If one of them is not held.
        """
        self._release(references, "UPDATE documents SET state = 'signed', reason = NULL WHERE reference = ?")

    def drop(self, *references: str) -> None:
        """Forget documents that are held: the next run takes them for new ones.

        Those without a reference of their own get another one, under which the service signs them a second time.

        Args:
            *references: Their external references.

        Raises:
            ConfigurationError: If one of them is not held.
        """
        self._release(references, "DELETE FROM documents WHERE reference = ?")

    def _release(self, references: Sequence[str], statement: str) -> None:
        known = {entry.reference for entry in self.entries("held")}
        unknown = [reference for reference in references if reference not in known]
        if unknown:
            raise ConfigurationError(
                f"{unknown[0]!r} is not held in the journal.", "Give references of `entries('held')`."
            )
        self._write(statement, [(reference,) for reference in references])

    def index_by_reference(self, reference: str) -> Entry | None:
        """What is recorded under an external reference."""
        return next(iter(self._select("WHERE reference = ?", (reference,))), None)

    def by_contents(self, digest: str, name: str) -> Entry | None:
        """What is recorded of a document with these contents and this name."""
        return next(iter(self._select("WHERE digest = ? AND name = ?", (digest, name))), None)

    def record(self, entries: Iterable[Entry]) -> None:
        """Write what is known of some documents now, all of it or nothing."""
        self._write(_RECORD, [attrs.astuple(entry) for entry in entries])

    def _select(self, where: str, values: Sequence[Any]) -> list[Entry]:
        with self._lock:
            found = self._using(lambda: self._database.execute(f"{_SELECT} {where}", values).fetchall())
        return [Entry(**dict(zip(_COLUMNS, row, strict=True))) for row in found]

    def _write(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        def write() -> None:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(statement, rows)
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

        with self._lock:
            self._using(write)

    def _using(self, work: Callable[[], Any]) -> Any:
        if self._closed:
            raise ConfigurationError(f"The journal {self._path} was used after it was closed.", "Open it again.")
        try:
            return work()
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"The journal {self._path} cannot be used: {error}.",
                "Check disk space and permissions, then run again.",
            ) from error

"""Runs over many documents, and their durable record: the external reference and the state of each document.

.. include:: runs.md
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

import attrs

from ._arguments import require_path
from ._journal.records import RecordFile
from .errors import ConfigurationError

State = Literal["planned", "sent", "received", "signed", "failed", "held", "requeued", "dropped"]
"""The state of a document in a journal.

- `planned`: it has a reference, and nothing was sent.
- `sent`: a request with it went out, and no response is recorded.
- `received`: it is signed, and its signed contents are not in their file yet; `kept_as` says where they are.
- `signed`: its signed contents are saved.
- `failed`: it is not signed; the next run sends it again.
- `held`: whether it is signed is not known, or its signed contents are lost: it needs a manual decision.
- `requeued`: somebody decided that the next run sends it again.
- `dropped`: somebody decided that it is forgotten: the next run treats it as a new document.
"""


@attrs.frozen(kw_only=True)
class Entry:
    """The record of one document.

    Attributes:
        reference: Its external reference.
        name: Its file name.
        digest: SHA-256 of its contents, in hexadecimal digits.
        state: Its state.
        reference_number: Number of its reference, from 1, or 0 if it is the caller's own. A document gets another
            reference after a failure that may have used up the last one.
        used_up: Whether a failed request may have used up this reference.
        probably_signed: Whether it is held although it is probably signed: its reference is used, or its contents are
            lost.
        saved_as: File of its signed contents, which may not be written yet.
        kept_as: Where its signed contents are if they could not be saved there.
        signed_digest: SHA-256 of its signed contents, by which they are recognised.
        operation_id: ID of the operation that signed it, if it is known.
        reason: Why it is not signed, or None.
        run: Number of the last run that recorded it.
    """

    reference: str
    name: str
    digest: str
    state: State
    reference_number: int = 0
    used_up: bool = False
    probably_signed: bool = False
    saved_as: str | None = None
    kept_as: str | None = None
    signed_digest: str | None = None
    operation_id: int | None = None
    reason: str | None = None
    run: int = 0


_FIELDS: Final = {field.name: field.default for field in attrs.fields(Entry)}


class Journal:
    """A durable record of runs in one file, with which a run that was stopped or killed continues.

        with Journal("november.journal") as journal:
            async for outcome in client.sign_all(documents, journal=journal, save_to="signed"):
                ...

    Records are on disk before a method returns, so that a power failure loses none. The file is complete at every
    moment: it may be copied or moved while it is in use, and restored while it is not, also after a crash. Each
    document gets the same references from every copy of a journal, so the service rejects documents that it signed
    after an older copy was made. One case is open: if the service does not keep the reference of a document that it
    failed to sign, an older copy without that attempt can get the document signed twice. Each line is JSON with a
    checksum, and is never changed. While the file is open, there is a lock in the same folder (`.lock`), and after a
    full disk a folder of signed documents that could not be saved (`.recovered`).

    One process at a time may use it, not a forked child, and one client service, that of its first run.

    Args:
        path: The file. It is created if it does not exist; its folder must.

    Raises:
        ConfigurationError: If the file cannot be used, is not a journal, is damaged, or is in use.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = require_path("path", path)
        if str(self._path) == ":memory:":
            raise ConfigurationError("A journal cannot be in memory.", "Give the path of a file.")
        self._mutex = threading.Lock()
        self._running: Sequence[str] = ()
        self._belongs_to: Sequence[str] = ()
        self._closed = False
        self._offsets: dict[bytes, int] = {}
        self._aliases: dict[bytes, bytes] = {}
        self._last_run = 0
        with self._explained("Check its folder, permissions and disk space."):
            self._file = RecordFile(self._path, self._index)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a run that still records requests in flight closes it at its end. May be called again."""
        with self._mutex if self._file.is_own else contextlib.nullcontext():
            self._closed = True
            if not self._running:
                self._file.close()

    @property
    def recovery_folder(self) -> Path:
        """Folder next to the journal, for signed documents that could not be saved in their files."""
        return Path(f"{os.path.realpath(self._path)}.recovered")

    def entries(self, state: State | None = None) -> list[Entry]:
        """The recorded documents, in the order in which they were first recorded.

        Args:
            state: Only documents in this state. By default all but those that are dropped.

        Raises:
            ConfigurationError: If there is no such state, or the file cannot be read.
        """
        if state is not None and state not in get_args(State):
            raise ConfigurationError(f"state is {state!r}.", f"Give one of {', '.join(get_args(State))}.")
        with self._used():
            entries = [Entry(**self._file.read(offset)) for offset in self._offsets.values()]
        return [entry for entry in entries if (entry.state == state if state else entry.state != "dropped")]

    @contextlib.contextmanager
    def _run(self, *client: str) -> Iterator[int]:
        """One run of a client service (alias, token server) with this journal, and no other one. Gives its number."""
        with self._used():
            if self._running:
                problem = f"The journal {self._path} is used by another run."
                raise ConfigurationError(problem, "Wait for its end, or use another journal.")
            if any(known and given and known != given for known, given in zip(self._belongs_to, client, strict=False)):
                owner, other = (" at ".join(filter(None, each)) for each in (self._belongs_to, client))
                problem = f"The journal {self._path} belongs to client service {owner}, not to {other}."
                raise ConfigurationError(
                    problem, "Give the settings of that one, or give this one a journal of its own."
                )
            self._running = client
        try:
            yield self._last_run + 1
        finally:
            self._running = ()
            if self._closed:
                self._file.close()

    def requeue(self, *references: str) -> None:
        """Let the next run send held documents again, under the same references.

        The service rejects references that it has signed. With `unknown_outcomes="look_up"` they are looked up first.

        Args:
            *references: Their external references.

        Raises:
            ConfigurationError: If one of them is not held.
        """
        self._decide(references, "requeued")

    def settle(self, *references: str) -> None:
        """Record that held documents are signed, and that you have the signed documents.

        Args:
            *references: Their external references.

        Raises:
            ConfigurationError: If one of them is not held.
        """
        self._decide(references, "signed", saved_as=None, kept_as=None)

    def drop(self, *references: str) -> None:
        """Forget documents that are held, or signed and whose files are lost: the next run treats them as new ones.

        Documents without a reference of your own get a new one, under which the service may sign them a second time.

        Args:
            *references: Their external references.

        Raises:
            ConfigurationError: If one of them is neither held nor signed.
        """
        self._decide(references, "dropped", ("held", "signed"))

    def _decide(self, references: Sequence[str], state: State, of: Sequence[State] = ("held",), **changes: Any) -> None:
        held = {entry.reference: entry for found in of for entry in self.entries(found)}
        unknown = [reference for reference in references if not isinstance(reference, str) or reference not in held]
        if unknown:
            raise ConfigurationError(f"{unknown[0]!r} is not {' or '.join(of)} in the journal.", "See `entries()`.")
        self._record(
            attrs.evolve(held[reference], state=state, probably_signed=False, reason=None, **changes)
            for reference in dict.fromkeys(references)
        )

    def _find(self, *, own_reference: str | None, digest: str, name: str) -> Entry | None:
        """What is recorded of a document: by the caller's own reference, or by contents and name."""
        key = _key(digest, name) if own_reference is None else _key(own_reference)
        with self._used():
            offset = self._offsets.get(key) or self._offsets.get(self._aliases.get(key, key))
            return None if offset is None else Entry(**self._file.read(offset))

    def _distinction(self, digest: str, name: str, number: int) -> str:
        """What makes the reference of a document unique, and is the same in every copy of this journal."""
        return _key(self._file.identity, digest, name, str(number)).hex()[:12]

    def _record(self, entries: Iterable[Entry], *, keep: bool = False) -> None:
        """Write what is known of some documents now, so that it is on disk when this returns.

        If this fails, entries with `keep` still count, and are written as soon as there is room.
        """
        records = [
            {name: value for name, default in _FIELDS.items() if (value := getattr(entry, name)) != default}
            for entry in entries
        ]
        if records:
            with self._used():
                is_new = self._running and not self._belongs_to
                self._file.append([{"client": self._running}, *records] if is_new else records, keep=keep)

    def _index(self, offset: int, record: dict[str, Any]) -> None:
        self._last_run = max(self._last_run, record.get("run", 0))
        self._belongs_to = record.get("client", self._belongs_to)
        if "reference" not in record:  # the client service, or the number of a run, as before 0.1.0
            return
        contents, is_own = _key(record["digest"], record["name"]), not record.get("reference_number")
        key = _key(record["reference"]) if is_own else contents
        self._offsets[key] = offset
        if is_own:
            self._aliases[contents] = key
        if "signed_digest" in record:  # its signed file may replace the original
            self._aliases[_key(record["signed_digest"], record["name"])] = key

    @contextlib.contextmanager
    def _used(self) -> Iterator[None]:
        if not self._file.is_own:  # nor is its mutex, which a thread of the parent may have held
            problem = f"The journal {self._path} was opened by the parent of this process."
            raise ConfigurationError(problem, "Open it after the fork.")
        with self._mutex, self._explained("Check disk space and permissions, then run again."):
            if self._closed and not self._running:
                raise ConfigurationError(f"The journal {self._path} was used after it was closed.", "Open it again.")
            yield

    @contextlib.contextmanager
    def _explained(self, hint: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).rstrip(".")
            raise ConfigurationError(f"The journal {self._path} cannot be used: {reason}.", hint) from error


def _key(*parts: str) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()

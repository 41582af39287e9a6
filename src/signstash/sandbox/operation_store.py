"""Stores operations, their documents, and the external references in use."""

from __future__ import annotations

import json
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

ServiceName = Literal["proxy", "integration"]
"""The proxy signs and stores nothing; the Integration Service stores what it signed and answers queries about it."""

_TABLES = """
CREATE TABLE IF NOT EXISTS taken (kind TEXT, reference TEXT, PRIMARY KEY (kind, reference)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS operations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL, service TEXT NOT NULL, fields TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, operation INTEGER NOT NULL REFERENCES operations, reference TEXT NOT NULL,
    name TEXT NOT NULL, signed INTEGER NOT NULL, reason TEXT NOT NULL, fields TEXT NOT NULL, content BLOB
);
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS documents_by_reference ON documents (reference);
CREATE INDEX IF NOT EXISTS documents_by_operation ON documents (operation);
"""


class ReferenceInUseError(Exception):
    """An external reference is in use; the message is the reference."""


@attrs.frozen
class ProcessedDocument:
    """A document that was processed.

    Attributes:
        fields: Its part of the response, without the content.
        content: The signed document, or None if it was not signed.
        reason: Why it was not signed.
        error_code: The service's `errorCode` for the reason, or an empty string.
    """

    fields: dict[str, Any]
    content: bytes | None = attrs.field(default=None, repr=False)
    reason: str = ""
    error_code: str = ""


class OperationStore:
    """Stores operations in SQLite: in memory, or in a file that outlives the sandbox. It is thread-safe.

    Args:
        path: The file; None stores everything in memory.

    Raises:
        sqlite3.Error: If the file cannot be used.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path or ":memory:", check_same_thread=False)
        weakref.finalize(self, self._database.close)  # it can be queried after the sandbox was closed
        self._database.executescript(_TABLES)

    def remember(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return the value stored under a name; make and store it the first time."""
        with self._lock, self._database:
            row = self._database.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
            if row is not None:
                return bytes(row[0])
            value = make()
            self._database.execute("INSERT INTO kept VALUES (?, ?)", (name, value))
        return value

    def reserve(self, request_reference: str, document_references: Iterable[str]) -> None:
        """Reserve the references of a request: all of them, or none.

        Raises:
            ReferenceInUseError: If one is in use.
        """
        rows = [("request", request_reference), *(("document", reference) for reference in document_references)]
        with self._lock, self._database:  # which rolls back when it raises
            for row in rows:
                try:
                    self._database.execute("INSERT INTO taken VALUES (?, ?)", row)
                except sqlite3.IntegrityError:
                    raise ReferenceInUseError(row[1]) from None

    def release(self, request_reference: str | None, document_references: Iterable[str]) -> None:
        """Make references available again.

        Args:
            request_reference: The request's reference; None leaves it in use.
            document_references: References of documents.
        """
        rows = [("document", reference) for reference in document_references]
        if request_reference is not None:
            rows.append(("request", request_reference))
        with self._lock, self._database:
            self._database.executemany("DELETE FROM taken WHERE kind = ? AND reference = ?", rows)

    def clear(self) -> None:
        """Forget operations, documents, and references; the root certificate stays. IDs go on."""
        with self._lock, self._database:
            for table in ("taken", "documents", "operations"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant

    def add(
        self, client_id: str, service: ServiceName, fields: dict[str, Any], documents: Sequence[ProcessedDocument]
    ) -> dict[str, Any]:
        """Store an operation; contents only on the Integration Service.

        Returns:
            The operation as in a response, without contents: its fields, IDs, and documents.
        """
        with self._lock, self._database:
            row = (client_id, service, json.dumps(fields))
            number = self._database.execute(
                "INSERT INTO operations (client_id, service, fields) VALUES (?, ?, ?)", row
            ).lastrowid
            listed = []
            for document in documents:
                content = document.content if service == "integration" else None
                signed = document.content is not None
                described = (document.fields["externalReference"], document.fields["name"], signed, document.reason)
                internal = self._database.execute(
                    "INSERT INTO documents (operation, reference, name, signed, reason, fields, content)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (number, *described, json.dumps(document.fields), content),
                ).lastrowid
                listed.append({**document.fields, "internalId": internal})
        return {"id": number, **fields, "documentList": listed}

    def find(self, number: int, client_id: str) -> dict[str, Any] | None:
        """An operation of the Integration Service as in a response, without contents; None if there is none."""
        with self._lock:
            found = self._database.execute(
                "SELECT fields FROM operations WHERE id = ? AND client_id = ? AND service = 'integration'",
                (number, client_id),
            ).fetchone()
            documents = self._database.execute(
                "SELECT id, fields FROM documents WHERE operation = ? ORDER BY id", (number,)
            ).fetchall()
        if found is None:
            return None
        listed = [{**json.loads(fields), "internalId": internal} for internal, fields in documents]
        return {"id": number, **json.loads(found[0]), "documentList": listed}

    def operation_id(self, reference: str, client_id: str) -> int | None:
        """The ID of the latest operation with a document; None if the Integration Service has none."""
        with self._lock:
            found = self._database.execute(
                "SELECT operations.id FROM documents JOIN operations ON operations.id = operation"
                " WHERE reference = ? AND client_id = ? AND service = 'integration' ORDER BY operations.id DESC",
                (reference, client_id),
            ).fetchone()
        return None if found is None else int(found[0])

    def contents(self, number: int) -> dict[int, bytes]:
        """The stored contents of an operation, by document ID."""
        with self._lock:
            rows = self._database.execute(
                "SELECT id, content FROM documents WHERE operation = ? AND content IS NOT NULL ORDER BY id", (number,)
            )
            return dict(rows.fetchall())

    def content(self, document: int) -> bytes | None:
        """The stored content of a document, or None."""
        with self._lock:
            found = self._database.execute("SELECT content FROM documents WHERE id = ?", (document,)).fetchone()
        return None if found is None else found[0]

    def signatures(self, by: Literal["name", "reference"]) -> dict[str, int]:
        """How often a document of each name, or of each external reference, was signed."""
        with self._lock:
            return dict(
                self._database.execute(
                    f"SELECT {by}, count(*) FROM documents WHERE signed GROUP BY {by} ORDER BY min(id)"  # noqa: S608 - a constant
                ).fetchall()
            )

    def latest(self, limit: int) -> list[dict[str, Any]]:
        """The latest documents with their operations, latest first, for people to inspect."""
        columns = {
            "document": "documents.id",
            "operation": "operation",
            "service": "service",
            "clientId": "client_id",
            "externalReference": "reference",
            "name": "name",
            "signed": "signed",
            "reason": "reason",
            "kept": "content IS NOT NULL",
            "fields": "documents.fields",
        }
        with self._lock:
            rows = self._database.execute(
                f"SELECT {', '.join(columns.values())} FROM documents JOIN operations ON operations.id = operation"  # noqa: S608 - as above
                " ORDER BY documents.id DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [_shown(dict(zip(columns, row, strict=True))) for row in rows]


def _shown(document: dict[str, Any]) -> dict[str, Any]:
    fields = json.loads(document.pop("fields"))
    shown = {name: fields[name] for name in ("signError", "contentType", "contentLength") if name in fields}
    return {**document, "signed": bool(document["signed"]), "kept": bool(document["kept"]), **shown}

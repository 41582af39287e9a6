"""What arrived at the sandbox, for people and tests to look at. Secrets and tokens are not in it."""

from __future__ import annotations

import datetime as dt
import threading
from collections import deque
from typing import Any, Final

import attrs

ARRIVALS: Final = 1000
"""How many requests are kept."""

CONTENT_BYTES: Final = 64 * 1024 * 1024
"""How much of what proxies signed is kept, only to be looked at."""


@attrs.define
class Arrival:
    """A request, and how it was answered.

    Attributes:
        method: HTTP method.
        path: Its path. Headers and body are not kept: the token and the contents are in them.
        client_id: Alias of the client service, once it is known.
        references: External references of its documents, once they are known.
        fault: Kind of the fault that struck it.
        status: HTTP status of the answer; 0 if the connection was reset instead.
        error_code: The `errorCode` that it got.
        cause: Why it was refused.
        recipients: Who would have got mails. The sandbox sends none.
        time: When it arrived.
    """

    method: str
    path: str
    client_id: str = ""
    references: list[str] = attrs.field(factory=list)
    fault: str = ""
    status: int = 0
    error_code: str = ""
    cause: str = ""
    recipients: list[str] = attrs.field(factory=list)
    time: str = attrs.field(factory=lambda: dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), init=False)


class Journal:
    """The newest requests, and the newest documents that proxies signed. It can be used from any thread."""

    def __init__(self) -> None:
        self._arrivals: deque[Arrival] = deque(maxlen=ARRIVALS)
        self._contents: dict[int, bytes] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def note(self, arrival: Arrival) -> None:
        """Keep a request that was answered."""
        with self._lock:
            self._arrivals.append(arrival)

    def show(self, document: int, content: bytes) -> None:
        """Keep a signed document to be looked at, until newer ones need the room."""
        with self._lock:
            self._contents[document] = content
            self._bytes += len(content)
            while self._bytes > CONTENT_BYTES:
                self._bytes -= len(self._contents.pop(next(iter(self._contents))))

    def content(self, document: int) -> bytes | None:
        """A signed document, if it is still there."""
        with self._lock:
            return self._contents.get(document)

    def arrivals(self) -> list[dict[str, Any]]:
        """The requests as JSON, oldest first."""
        with self._lock:
            return [attrs.asdict(arrival) for arrival in self._arrivals]

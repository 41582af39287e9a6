"""The requests that the sandbox received, for people and tests to inspect. Secrets and tokens are not recorded."""

from __future__ import annotations

import datetime as dt
import threading
from collections import deque
from typing import Any, Final

import attrs

MAX_REQUESTS: Final = 1000
"""Number of requests that are kept."""

MAX_CONTENT_BYTES: Final = 64 * 1024 * 1024
"""Size of the documents signed through the proxy that are kept, only to be looked at."""


@attrs.define
class LoggedRequest:
    """A request and its response.

    Attributes:
        method: HTTP method.
        path: Its path. Headers and body are not kept: they contain the token and the documents.
        client_id: Alias of the client service, once known.
        references: External references of the request and its documents, once known.
        fault: Kind of the fault that occurred.
        status: HTTP status of the response; 0 if the connection was reset instead.
        error_code: The response's `errorCode`.
        cause: Why it was rejected.
        recipients: Addresses that would have got mails. The sandbox sends none.
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


class RequestLog:
    """The latest requests, and the latest documents that were signed through the proxy. It is thread-safe."""

    def __init__(self) -> None:
        self._requests: deque[LoggedRequest] = deque(maxlen=MAX_REQUESTS)
        self._contents: dict[int, bytes] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, request: LoggedRequest) -> None:
        """Record a request that got its response."""
        with self._lock:
            self._requests.append(request)

    def keep(self, document: int, content: bytes) -> None:
        """Keep a signed document until later ones need the space."""
        with self._lock:
            self._contents[document] = content
            self._bytes += len(content)
            while self._bytes > MAX_CONTENT_BYTES:
                self._bytes -= len(self._contents.pop(next(iter(self._contents))))

    def content(self, document: int) -> bytes | None:
        """A signed document, if it is still kept."""
        with self._lock:
            return self._contents.get(document)

    def entries(self) -> list[dict[str, Any]]:
        """The requests as JSON, oldest first."""
        with self._lock:
            return [attrs.asdict(request) for request in self._requests]

    def clear(self) -> None:
        """Forget all requests and documents."""
        with self._lock:
            self._requests.clear()
            self._contents.clear()
            self._bytes = 0

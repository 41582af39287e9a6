"""Tells OpenTelemetry of calls, if the application uses it: one span for a call, however often it is tried."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentelemetry.trace import Span

SHOWN_REFERENCES: Final = 20
"""External references that a span names; how many documents there are it says beside."""

_span: ContextVar[Span | None] = ContextVar("signstash_span", default=None)


@contextlib.contextmanager
def call_span(operation: str, references: Iterable[str] = (), operation_id: int | None = None) -> Iterator[None]:
    """A span for a call, under the caller's current one. It records the exception that leaves the block.

    Nothing happens in a process that has not imported OpenTelemetry's API: nobody could have asked for spans.

    Args:
        operation: What is done; the span is called `signstash.` and this.
        references: External references of the documents that it is about.
        operation_id: Number of the operation that it is about, or None.
    """
    if "opentelemetry.trace" not in sys.modules:
        yield
        return
    from opentelemetry import trace

    with trace.get_tracer("signstash").start_as_current_span(f"signstash.{operation}") as span:
        before = _span.set(span if span.is_recording() else None)
        try:
            note(external_references=list(islice(references, SHOWN_REFERENCES)), operation_id=operation_id)
            yield
        finally:
            _span.reset(before)


def is_traced() -> bool:
    """Whether what is noted is kept."""
    return _span.get() is not None


def note(**attributes: str | int | Sequence[str] | None) -> None:
    """Put attributes on the span of the call that is under way, if it has one; what is None or empty is left out."""
    span = _span.get()
    if span is None:
        return
    for name, value in attributes.items():
        if value is not None and value != []:
            span.set_attribute(f"signstash.{name}", value)


def note_documents(*, failed: int, of: int) -> None:
    """Put what became of documents on the span; it is in error if one was not signed."""
    span = _span.get()
    if span is None:
        return
    note(documents_failed=failed)
    if failed:
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR, f"{failed} of {of} documents were not signed"))

"""Traces calls with OpenTelemetry, if the application uses it: one span for a call, with all its attempts."""

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
"""External references that a span names at most; it also has the number of documents."""

_span: ContextVar[Span | None] = ContextVar("signstash_span", default=None)


@contextlib.contextmanager
def call_span(operation: str, references: Iterable[str] = (), operation_id: int | None = None) -> Iterator[None]:
    """A span for a call, under the caller's current one. It records the exception that leaves the block.

    It is called `signstash.` and the operation. Without OpenTelemetry's API imported nothing happens: no tracer can
    have been set up.
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
        except BaseException as error:  # the SDK of OpenTelemetry sets no status for a cancellation
            note(maybe_processed=getattr(error, "maybe_processed", None))
            span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            _span.reset(before)


def note(**attributes: str | int | Sequence[str] | None) -> None:
    """Set attributes of the current call's span, if there is one; None and empty lists are left out."""
    if (span := _span.get()) is not None:
        for name, value in attributes.items():
            if value is not None and value != []:
                span.set_attribute(f"signstash.{name}", value)


def note_documents(*, failed: int, of: int) -> None:
    """Set the number of failed documents on the span; its status is an error if there are any."""
    note(documents_failed=failed)
    if failed and (span := _span.get()) is not None:
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR, f"{failed} of {of} documents were not signed"))

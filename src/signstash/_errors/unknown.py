"""Errors of documents that may be signed, or were not sent, and what cancellations say of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence

from ..errors import (
    ConnectionFailedError,
    DocumentNotSignedError,
    DuplicateReferenceError,
    OutcomeUnknownError,
    SignStashError,
)
from .codes import AFTER_SIGNING, CHECK_RESULT
from .mapping import ErrorContext, subject_of


def response_lost(problem: str, context: ErrorContext) -> OutcomeUnknownError:
    """The request was sent, and its response was lost; the problem is a sentence without its full stop."""
    references = context.external_references
    return outcome_unknown(references, context.sentence(problem), AFTER_SIGNING if references else CHECK_RESULT)


def is_certainly_not_signed(error: SignStashError | None) -> bool:
    """Whether a response says that a document was not signed, so that its next attempt needs another reference."""
    return isinstance(error, DocumentNotSignedError) and not error.maybe_processed


def reading_took_too_long(deadline: float, references: Sequence[str]) -> ConnectionFailedError:
    problem = f"{subject_of(references)}reading took longer than the deadline of {deadline:g} s."
    hint = "Nothing was sent: give a longer `deadline`, or read from a faster disk."
    return ConnectionFailedError(problem, hint, external_references=references)


@contextlib.contextmanager
def noted(references: Iterable[str], *, maybe_processed: bool = False) -> Iterator[None]:
    """Put a note on a cancellation before a request, as in a pause between two attempts, or after its response."""
    try:
        yield
    except asyncio.CancelledError as error:
        if maybe_processed > getattr(error, "maybe_processed", -1):
            context = ErrorContext(external_references=[*references], changes_state=True)
            note_cancellation(error, context, maybe_processed=maybe_processed)
        raise


def note_cancellation(error: BaseException, context: ErrorContext, *, maybe_processed: bool) -> None:
    """Say on a cancellation, the cause of the `TimeoutError` of `asyncio.timeout`, what is known now."""
    if maybe_processed:
        text = str(response_lost("The call was cancelled after its request was sent", context))
    else:
        problem = context.sentence("The call was cancelled")
        text = f"{problem} Nothing was {'processed' if context.changes_state else 'changed'}."
    others = [each for each in getattr(error, "__notes__", ()) if not each.startswith("signstash: ")]
    error.__notes__ = [*others, f"signstash: {text}"]
    vars(error).update(maybe_processed=maybe_processed, external_references=tuple(context.external_references))


def left_open(problem: str, context: ErrorContext) -> OutcomeUnknownError:
    """A response does not say whether a document is signed; the problem names it, without its full stop."""
    hint = "Look it up by its external reference before you send it again."
    return outcome_unknown(context.external_references, f"{problem}{context.origin}.", hint)


def outcome_unknown(
    references: Sequence[str], problem: str, hint: str, cause: SignStashError | None = None
) -> OutcomeUnknownError:
    error = OutcomeUnknownError(problem, hint, external_references=references)
    error.__cause__ = cause
    return error


def reference_used_by_failure(name: str, reference: str, error: DuplicateReferenceError) -> DuplicateReferenceError:
    """The reference is the caller's own, and an earlier attempt under it failed."""
    used = f"its external reference {reference!r} was used before"
    changed = error.copy_for_raise()
    changed.problem = f"Document {name}: {used}, probably by the earlier attempt that failed."
    changed.hint = "If nothing else has used it, give the document another external_reference, and sign it again."
    changed.__cause__ = error
    return changed

"""The errors for unknown outcomes: a document was sent, and nothing proves whether it is signed."""

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
from .mapping import ErrorContext


def response_lost(problem: str, context: ErrorContext) -> OutcomeUnknownError:
    """The request was sent, and its response was lost; the problem is a sentence without its full stop."""
    references = context.external_references
    return _unknown(references, context.sentence(problem), AFTER_SIGNING if references else CHECK_RESULT)


def is_certainly_not_signed(error: SignStashError | None) -> bool:
    """Whether a response says that a document was not signed, so that its next attempt needs another reference."""
    return isinstance(error, DocumentNotSignedError) and not error.maybe_processed


def reading_took_too_long(deadline: float, references: Sequence[str]) -> ConnectionFailedError:
    sentence = ErrorContext(external_references=references).sentence
    problem = sentence(f"Reading took longer than the deadline of {deadline:g} s")
    hint = "Nothing was sent: give a longer `deadline`, or read from a faster disk."
    return ConnectionFailedError(problem, hint, external_references=references)


def not_sent_in_time(name: str, reference: str, seconds: float) -> ConnectionFailedError:
    problem = f"Document {name} ({reference}) was not sent within {seconds:g} s, because others were in flight."
    hint = "Sign it again later, or give a longer `deadline`."
    return ConnectionFailedError(problem, hint, external_references=(reference,))


def response_not_awaited(name: str, reference: str, seconds: float) -> OutcomeUnknownError:
    problem = f"Whether document {name} ({reference}) is signed was not known after {seconds:g} s."
    hint = "Its outcome will be logged. Look it up by its external reference before you send it again."
    return _unknown((reference,), problem, hint)


@contextlib.contextmanager
def noted(references: Iterable[str], *, maybe_processed: bool = False) -> Iterator[None]:
    """Put a note on a cancellation before a request, as in a pause between two attempts, or after its response."""
    try:
        yield
    except asyncio.CancelledError as error:
        if not hasattr(error, "maybe_processed"):
            vars(error)["maybe_processed"] = maybe_processed
            error.add_note(cancelled(ErrorContext(external_references=[*references]), maybe_processed=maybe_processed))
        raise


def cancelled(context: ErrorContext, *, maybe_processed: bool) -> str:
    """The note on a cancellation, which is the cause of the `TimeoutError` of `asyncio.timeout`."""
    if maybe_processed:
        text = str(response_lost("The call was cancelled after its request was sent", context))
    else:
        text = f"{context.sentence('The call was cancelled')} Nothing was processed."
    references = ", ".join(context.external_references)
    return f"signstash: {text}{f' External references: {references}.' if references else ''}"


def left_open(problem: str, context: ErrorContext) -> OutcomeUnknownError:
    """A response does not say whether a document is signed; the problem names it, without its full stop."""
    hint = "Look it up by its external reference before you send it again."
    return _unknown(context.external_references, f"{problem}{context.origin}.", hint)


def sent_by_an_earlier_run(reference: str) -> OutcomeUnknownError:
    problem = "An earlier run sent it and ended before its response was recorded."
    return _unknown((reference,), problem, "Look it up by its external reference.")


def held_for_review(name: str, reference: str, cause: SignStashError) -> OutcomeUnknownError:
    """The response was lost, and nothing that the SDK may do by itself settles the outcome."""
    problem = f"Whether document {name} ({reference}) is signed is not known: {cause.problem}"
    hint = (
        "Look it up by its external reference on the Integration Service, or send it again under the same one: if it "
        "is signed, the service rejects it (DuplicateReferenceError)."
    )
    return _unknown((reference,), problem, hint, cause)


def held_before(name: str, reference: str, reason: str | None) -> OutcomeUnknownError:
    reason = (reason or "").removeprefix(f"Whether document {name} ({reference}) is signed is not known: ")
    problem = f"Document {name} ({reference}) is held for review since an earlier run, and was not sent: {reason}"
    hint = "Decide with `signstash failed`, or with `requeue`, `settle` or `drop` of the journal."
    return _unknown((reference,), problem, hint)


def reference_used(name: str, reference: str, cause: SignStashError) -> OutcomeUnknownError:
    problem = (
        f"Document {name} ({reference}) was sent and its response was lost; sent again, the service says that the "
        "reference is used. It was probably signed by the first request, but nothing proves it."
    )
    hint = (
        "Look it up by its external reference on the Integration Service. A proxy returns its contents only once: "
        "there, check in the backoffice whether it is signed."
    )
    return _unknown((reference,), problem, hint, cause)


def signed_but_lost(name: str, reference: str, cause: SignStashError) -> OutcomeUnknownError:
    problem = f"Document {name} ({reference}) is signed, but an earlier run ended before it was saved."
    hint = "Fetch it from the Integration Service by its reference; a proxy returns its contents only once."
    return _unknown((reference,), problem, hint, cause)


def _unknown(
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

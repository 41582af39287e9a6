"""Errors of single documents of a run, which mostly come from errors of requests or of the whole run."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors.mapping import subject_of
from .._errors.unknown import outcome_unknown
from ..errors import (
    CertificateNotProvisionedError,
    ConnectionFailedError,
    DocumentCertificateError,
    DocumentNotSavedError,
    OutcomeUnknownError,
    SignStashError,
)


def not_sent_in_time(name: str, reference: str, seconds: float) -> ConnectionFailedError:
    problem = f"Document {name} ({reference}) was not processed within {seconds:g} s."
    hint = "Sign it again later, or give a longer `deadline`."
    return ConnectionFailedError(problem, hint, external_references=(reference,))


def response_not_awaited(name: str, reference: str, seconds: float) -> OutcomeUnknownError:
    problem = f"Whether document {name} ({reference}) is signed was not known after {seconds:g} s."
    hint = "Sign the same Document object again to get its outcome, which will be logged otherwise."
    return outcome_unknown((reference,), problem, hint)


def reason_of(error: SignStashError) -> str:
    """What happened, without the documents to which it happened."""
    reason = error.problem.removeprefix(subject_of(error.external_references))
    return f"{reason[:1].lower()}{reason[1:]}"


def for_document(error: SignStashError, reference: str, problem: str = "") -> SignStashError:
    """The error of a request, for one of its documents; with a problem of its own if one is given."""
    own = error.copy_for_raise()
    own.problem, own.external_references = problem or subject_of([reference]) + reason_of(error), (reference,)
    own.args = own.problem, own.hint
    return own


def error_of_run(fault: SignStashError, name: str, reference: str, *, maybe_processed: bool) -> SignStashError:
    """The error that ended a run, for a document without a result: mostly, it is about other documents."""
    if isinstance(fault, DocumentNotSavedError):  # it holds another document
        why = getattr(fault.__cause__, "strerror", None) or type(fault.__cause__).__name__
        hint = "Check folder, permissions and space, then sign it again."
        fault = DocumentNotSavedError(f"another one could not be saved ({why}).", hint)
    elif fault.maybe_processed:
        fault = ConnectionFailedError(reason_of(fault), "Sign it again later.")
    what = "was sent and has no result" if maybe_processed else "was not processed"
    problem = f"Document {name} ({reference}) {what}, because of an error that concerns all: {reason_of(fault)}"
    if maybe_processed:
        return outcome_unknown((reference,), problem, "Look it up by its external reference before you send it again.")
    return for_document(fault, reference, "" if reference in fault.external_references else problem)


def no_certificate(first: DocumentCertificateError, references: Sequence[str]) -> CertificateNotProvisionedError:
    """The error of a request of which no document could be signed, from that of its first one."""
    problem = subject_of(references) + first.problem.split(" was not signed: ", 1)[-1]
    return CertificateNotProvisionedError(
        problem, first.hint, external_references=references, status_code=first.status_code
    )


def sent_by_an_earlier_run(*references: str) -> OutcomeUnknownError:
    problem = "An earlier run sent it and ended before its response was recorded."
    return outcome_unknown(references, problem, "Look it up by its external reference.")


def held_for_review(name: str, reference: str, cause: SignStashError) -> OutcomeUnknownError:
    """The response was lost, and nothing that the SDK may do by itself settles the outcome."""
    problem = f"Whether document {name} ({reference}) is signed is not known: {reason_of(cause)}"
    hint = (
        "Look it up by its external reference on the Integration Service, or send it again under the same one: if it "
        "is signed, the service rejects it (DuplicateReferenceError)."
    )
    return outcome_unknown((reference,), problem, hint, cause)


def held_before(name: str, reference: str, reason: str | None) -> OutcomeUnknownError:
    reason = (reason or "").removeprefix(held_for_review(name, reference, SignStashError("", "")).problem)
    problem = f"Document {name} ({reference}) is held for review, and was not sent again: {reason}"
    hint = "Decide with `signstash failed`, or with `requeue`, `settle` or `drop` of the journal."
    return outcome_unknown((reference,), problem, hint)


def reference_used(name: str, reference: str, cause: SignStashError) -> OutcomeUnknownError:
    problem = (
        f"Document {name} ({reference}) was sent and its response was lost; sent again, the service says that the "
        "reference is used. It was probably signed by the first request, but nothing proves it."
    )
    hint = (
        "Look it up by its external reference on the Integration Service. A proxy returns its contents only once: "
        "there, check in the backoffice whether it is signed."
    )
    return outcome_unknown((reference,), problem, hint, cause)


def signed_but_lost(name: str, reference: str, cause: SignStashError) -> OutcomeUnknownError:
    problem = f"Document {name} ({reference}) is signed, but an earlier run ended before it was saved."
    hint = "Fetch it from the Integration Service by its reference; a proxy returns its contents only once."
    return outcome_unknown((reference,), problem, hint, cause)

"""What an answer means: which exception a failing one becomes, and which refusal is about the token."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from ..errors import (
    AuthenticationError,
    CertificateNotProvisionedError,
    DocumentCertificateError,
    DocumentNotSignedError,
    ErrorClasses,
    RateLimitedError,
    SignStashError,
    UnexpectedAnswerError,
)
from .codes import (
    ERROR_CODES,
    ERROR_FAMILIES,
    OTHER_FAILURE,
    OTHER_REFUSAL,
    OTHER_SIGN_ERROR,
    SIGN_ERRORS,
    STATUSES,
    ErrorRule,
)
from .parsing import json_object, retry_after
from .redaction import printable

PLAIN_STATUSES: Final = (401, 413, 429)
"""Statuses that say enough by themselves, whatever page a gateway puts below them."""


def error_from_answer(
    status_code: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    signing: bool = False,
    external_references: Sequence[str] = (),
    operation_id: int | None = None,
    client_service: str = "",
    error_classes: ErrorClasses | None = None,
) -> SignStashError:
    """The exception for a failing answer of the service.

    Args:
        status_code: HTTP status, anything but 2xx.
        headers: The answer's headers.
        body: The answer's body, or its beginning.
        signing: Whether the request signs, so that a gateway's failure leaves its outcome open.
        external_references: References of the documents in the request.
        operation_id: Number of the operation that was asked for.
        client_service: Alias of the client service, to be named in the message.
        error_classes: Classes for codes that are not in `ERROR_CODES`, or that replace what is there.

    Returns:
        The exception, not yet raised.
    """
    if 300 <= status_code < 400:
        # Following would carry documents and token to wherever the answer points.
        why = "redirects to another address, which is not followed"
        return unreadable_answer(
            status_code, headers, b"", why, external_references=external_references, client_service=client_service
        )
    answer = json_object(body)
    if answer is None and body.strip() and status_code not in PLAIN_STATUSES:
        return unreadable_answer(
            status_code,
            headers,
            body,
            "is not the service's JSON",
            external_references=external_references,
            client_service=client_service,
            maybe_processed=signing and status_code >= 500,
        )
    answer = answer or {}
    # A token refused by Spring's own filter comes in OAuth's shape (RFC 6750) instead of the service's.
    code = _text(answer.get("errorCode")) or None
    description = _text(answer.get("errorCodeDescription") or answer.get("error_description")) or None
    cause_message = _text(answer.get("causeMessage")) or None

    rule = _rule_for(code, status_code, error_classes or {})
    said = "; ".join(text for text in (cause_message, description) if text)
    marks = ", ".join(text for text in (f"code {code}" if code else "", f"HTTP {status_code}") if text)
    where = about(client_service, external_references, operation_id)
    problem = f"{rule.meaning} ({marks}){': ' + said if said else ''}{where}."
    if issubclass(rule.raises, AuthenticationError):
        oauth_code = _text(answer.get("error")) or None
        return rule.raises(
            problem, rule.hint, status_code=status_code, error_code=code or oauth_code, description=description
        )
    details: dict[str, Any] = {
        "status_code": status_code,
        "error_code": code,
        "description": description,
        "cause_message": cause_message,
        "retryable": rule.retryable,
        "body": body,
    }
    if issubclass(rule.raises, RateLimitedError):
        details["retry_after"] = retry_after(headers)
    error = rule.raises(problem, rule.hint, **details)
    error.maybe_processed = signing and rule.maybe_processed
    return error


def error_from_document(
    sign_error: str | None,
    sign_status: str | None,
    *,
    document: str,
    external_reference: str,
    operation_id: int | None,
    client_service: str,
    error_classes: ErrorClasses | None = None,
) -> DocumentNotSignedError:
    """The exception for one document that an answered request did not sign.

    Args:
        sign_error: The document's `signError`, as it came.
        sign_status: The document's `signStatus`, as it came.
        document: Name of the document.
        external_reference: The document's external reference.
        operation_id: Number of the operation.
        client_service: Alias of the client service.
        error_classes: As for `error_from_answer`; a class of the certificate family turns the failure into
            a `DocumentCertificateError`.

    Returns:
        The exception, not yet raised.
    """
    rule = SIGN_ERRORS.get(sign_error or "", OTHER_SIGN_ERROR)
    raises: type[DocumentNotSignedError] = (
        DocumentCertificateError if issubclass(rule.raises, DocumentCertificateError) else DocumentNotSignedError
    )
    if issubclass((error_classes or {}).get(sign_error or "", SignStashError), CertificateNotProvisionedError):
        raises = DocumentCertificateError
    marks = [text for text in (_text(sign_error), f"status {_text(sign_status)}" if sign_status else "") if text]
    error = raises(
        f"Document {document} ({external_reference}) was not signed: {rule.meaning}"
        f"{' (' + ', '.join(marks) + ')' if marks else ''}{about(client_service, (), operation_id)}.",
        rule.hint,
        document=document,
        external_reference=external_reference,
        sign_error=sign_error,
        sign_status=sign_status,
        operation_id=operation_id,
        retryable=rule.retryable,
    )
    # An error or the word ERROR_SIGNING says that it is not signed; anything else says nothing, or both.
    error.maybe_processed = sign_status == "SIGNED" or (sign_error is None and sign_status != "ERROR_SIGNING")
    return error


def unreadable_answer(
    status_code: int,
    headers: Mapping[str, str],
    body: bytes,
    why: str,
    *,
    external_references: Sequence[str] = (),
    operation_id: int | None = None,
    client_service: str = "",
    maybe_processed: bool = False,
) -> UnexpectedAnswerError:
    """The exception for an answer that cannot be read, with a hint that fits what it may have done."""
    content_type = printable(headers.get("content-type", ""), 100)
    if maybe_processed:
        hint = (
            "The request may have been processed: look the documents up by their external references before "
            "you send them again."
        )
    else:
        hint = "Check `base_url` and what answers there: a gateway or a login page may stand in between."
    # A 2xx body may hold signed documents or a token; only a refusal is quoted.
    excerpt = "" if 200 <= status_code < 300 else _excerpt(body)
    quoted = f" It begins: {excerpt!r}." if excerpt else ""
    where = about(client_service, external_references, operation_id)
    return UnexpectedAnswerError(
        f"The answer (HTTP {status_code}, {content_type or 'no content type'}) {why}{where}.{quoted}",
        hint,
        status_code=status_code,
        content_type=content_type,
        excerpt=excerpt,
        external_references=external_references,
        maybe_processed=maybe_processed,
    )


def about(client_service: str, external_references: Sequence[str], operation_id: int | None = None) -> str:
    """What a failure is about, for its message: whose it is, which operation, and the first three documents."""
    rest = len(external_references) - 3
    documents = ", ".join(external_references[:3]) + (f" and {rest} more" if rest > 0 else "")
    known = {
        "client service": client_service,
        "operation": "" if operation_id is None else str(operation_id),
        "documents": documents,
    }
    parts = [f"{name} {value}" for name, value in known.items() if value]
    return f" [{'; '.join(parts)}]" if parts else ""


def _rule_for(code: str | None, status_code: int, error_classes: ErrorClasses) -> ErrorRule:
    """Code, then family, then status; a class given by the user keeps the text of what it replaces."""
    families = [code.rsplit(".", depth)[0] for depth in range(1, code.count(".") + 1)] if code else []
    known = next((ERROR_FAMILIES[family] for family in families if family in ERROR_FAMILIES), None)
    by_status = STATUSES.get(status_code, OTHER_FAILURE if status_code >= 500 else OTHER_REFUSAL)
    rule = ERROR_CODES.get(code or "") or known or by_status
    if code and code in error_classes:
        given = error_classes[code]
        # That class is about one document; a whole request for want of a certificate is its parent.
        raises = CertificateNotProvisionedError if issubclass(given, DocumentCertificateError) else given
        return attrs.evolve(rule, raises=raises)
    return rule


def _text(value: object) -> str:
    """A field of an error body as one short printable line, whatever type it has."""
    if value is None:
        return ""
    return printable(value if isinstance(value, str) else json.dumps(value), 300)


def _excerpt(body: bytes) -> str:
    return printable(body[:2000].decode("utf-8", "replace"), 120)

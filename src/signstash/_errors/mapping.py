"""Maps responses to exceptions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from ..errors import (
    BODY_LIMIT,
    AuthenticationError,
    CertificateNotProvisionedError,
    DocumentCertificateError,
    DocumentNotSignedError,
    ErrorClasses,
    SignStashError,
    UnexpectedResponseError,
)
from . import codes
from .parsing import json_object, retry_after
from .redaction import first_three, printable

PLAIN_STATUSES: Final = (401, 413, 429)
"""Statuses that are clear by themselves, whatever page a gateway sends with them."""

REQUEST_ID_HEADERS: Final = ("x-request-id", "x-correlation-id", "request-id", "x-amzn-requestid", "cf-ray")
"""Headers in which gateways name a request, for the people who look after them."""

_HIDDEN: Final = ("set-cookie", "authorization", "proxy-authorization", "cookie", "location")


@attrs.frozen(kw_only=True)
class ErrorContext:
    """What an error says about the call that failed. A call that changes state must not be processed twice."""

    client_service: str = ""
    token_server: str = ""
    external_references: Sequence[str] = ()
    operation_id: int | None = None
    changes_state: bool = False
    error_classes: ErrorClasses = attrs.field(factory=dict[str, Any])

    def sentence(self, problem: str) -> str:
        """A problem as one sentence that begins with the documents concerned."""
        subject = subject_of(self.external_references)
        return f"{subject}{problem[0].lower() if subject else problem[0]}{problem[1:]}{self.origin}."

    @property
    def origin(self) -> str:
        """Client service, token server and operation, in brackets."""
        named = {"client service": self.client_service, "token server": self.token_server}
        parts = [f"{name} {value}" for name, value in {**named, "operation": self.operation_id}.items() if value]
        return f" [{'; '.join(parts)}]" if parts else ""


def subject_of(references: Sequence[str]) -> str:
    """Documents as the beginning of a sentence: the first three, and how many more."""
    return f"Document{'s' * (len(references) > 1)} {first_three(references)}: " if references else ""


def error_from_response(
    status_code: int, headers: Mapping[str, str], body: bytes, context: ErrorContext
) -> SignStashError:
    """The exception for an error response of the service."""
    if 300 <= status_code < 400:
        # Following it would send documents and token to wherever it points.
        why = "redirects to another URL, which is not followed"
        return unreadable_response(status_code, headers, b"", why, context)
    fields = json_object(body)
    if fields is None and body.strip() and status_code not in PLAIN_STATUSES:
        return unreadable_response(status_code, headers, body, "is not the service's JSON", context)
    fields = fields or {}
    code = _text(fields.get("errorCode")) or None
    rule = _rule_for(code, status_code, context.error_classes)
    is_lookup = context.operation_id is not None or (context.external_references and not context.changes_state)
    if rule is codes.STATUSES[404] and is_lookup:
        rule = codes.UNKNOWN_TO_SERVICE
    return _error(rule, code, fields, context, body=body[:BODY_LIMIT], **_response_details(status_code, headers))


def error_from_token_server(
    status_code: int, headers: Mapping[str, str], fields: Mapping[str, str], context: ErrorContext
) -> SignStashError:
    """The exception for an error response of the token server, whose fields do not quote the secret."""
    code = _text(fields.get("error")) or None
    is_rejection = code and status_code not in (404, 405)  # servers say these in JSON too: the URL is wrong
    other = codes.OTHER_TOKEN_FAILURE if status_code >= 500 else codes.OTHER_TOKEN_REJECTION if is_rejection else None
    rule = codes.TOKEN_ERRORS.get(code or "") or codes.TOKEN_ERRORS.get(status_code) or other
    if rule is None:
        return unreadable_response(status_code, headers, b"", "is not a token response", context)
    return _error(rule, code, fields, context, **_response_details(status_code, headers))


def _error(
    rule: codes.ErrorRule, code: str | None, fields: Mapping[str, Any], context: ErrorContext, **details: Any
) -> SignStashError:
    # A token rejected by Spring's own filter comes in OAuth's shape (RFC 6750) instead of the service's.
    description = _text(fields.get("errorCodeDescription") or fields.get("error_description"))
    cause_message = _text(fields.get("causeMessage"))
    marks = f"{f'code {code}, ' if code else ''}HTTP {details['status_code']}{_request_id(details['headers'])}"
    texts = "; ".join(text.rstrip(".") for text in (cause_message, description) if text)
    problem = context.sentence(f"{rule.meaning} ({marks}){f': {texts}' if texts else ''}")
    maybe_processed = context.changes_state and rule.maybe_processed
    hint = codes.AFTER_SIGNING if maybe_processed and context.external_references else rule.hint
    if details["retry_after"] is not None:
        hint = hint.replace("later", f"after {details['retry_after']:.0f} seconds", 1)
    details |= {"error_code": code, "description": description or None}
    if issubclass(rule.raises, AuthenticationError):
        details["error_code"] = code or _text(fields.get("error")) or None
        details.pop("body", None)
    else:
        details["retryable"] = rule.retryable and not maybe_processed
        details |= {"cause_message": cause_message or None, "maybe_processed": maybe_processed}
    return rule.raises(problem, hint, external_references=context.external_references, **details)


def error_from_document(
    sign_error: str | None, sign_status: str | None, cause_message: object, *, document: str, context: ErrorContext
) -> DocumentNotSignedError:
    """The exception for one document of a processed request that was not signed; the context is about it alone.

    An error class of the certificate family turns the failure into a `DocumentCertificateError`.
    """
    rule = codes.SIGN_ERRORS.get(sign_error or "", codes.OTHER_SIGN_ERROR)
    own = context.error_classes.get(sign_error or "", rule.raises)
    if issubclass(own, CertificateNotProvisionedError) and rule.raises is not DocumentCertificateError:
        rule = codes.CLASSES[CertificateNotProvisionedError]
    raises = DocumentCertificateError if rule.raises is DocumentCertificateError else DocumentNotSignedError
    marks = [text for text in (_text(sign_error), f"status {_text(sign_status)}" if sign_status else "") if text]
    cause = _text(cause_message)
    # An error or the status ERROR_SIGNING says that it is not signed; anything else says nothing, or both.
    maybe_processed = sign_status == "SIGNED" or (sign_error is None and sign_status != "ERROR_SIGNING")
    (reference,) = context.external_references
    return raises(
        f"Document {document} ({reference}) was not signed: {rule.meaning[0].lower()}{rule.meaning[1:]}"
        f"{' (' + ', '.join(marks) + ')' if marks else ''}{': ' + cause.rstrip('.') if cause else ''}{context.origin}.",
        codes.AFTER_SIGNING if maybe_processed else rule.hint,
        external_references=(reference,),
        document=document,
        external_reference=reference,
        sign_error=sign_error,
        sign_status=sign_status,
        operation_id=context.operation_id,
        retryable=rule.retryable and not maybe_processed,
        maybe_processed=maybe_processed,
    )


def unreadable_response(
    status_code: int, headers: Mapping[str, str], body: bytes, why: str, context: ErrorContext
) -> UnexpectedResponseError:
    """The exception for a response that cannot be read, with the reason as the end of a sentence.

    After a success or a server error, a request that changes state may have been processed.
    """
    content_type = printable(headers.get("content-type", ""), 100)
    is_success, is_failure = 200 <= status_code < 300, status_code >= 500
    maybe_processed = context.changes_state and (is_success or is_failure)
    if maybe_processed:
        hint = codes.AFTER_SIGNING if context.external_references else codes.CHECK_RESULT
    elif context.token_server:
        hint = "Check that this is the token server's URL, and that no gateway or login page responds instead."
    else:
        hint = "Check `base_url` and what responds there, such as a gateway or a login page."
    # A 2xx body may hold signed documents or a token; only an error response is quoted.
    excerpt = "" if is_success else printable(body[:2000].decode("utf-8", "replace"), 120)
    marks = f"HTTP {status_code}, {content_type or 'no content type'}{_request_id(headers)}"
    problem = context.sentence(f"The response ({marks}) {why}")
    return UnexpectedResponseError(
        f"{problem} It begins: {excerpt!r}." if excerpt else problem,
        hint,
        external_references=context.external_references,
        retryable=is_failure and not maybe_processed,
        maybe_processed=maybe_processed,
        content_type=content_type,
        excerpt=excerpt,
        **_response_details(status_code, headers),
    )


def _response_details(status_code: int, headers: Mapping[str, str]) -> dict[str, Any]:
    """The attributes of every error from a response. Headers with cookies and credentials are left out."""
    shown = {name.lower(): printable(value, 500) for name, value in headers.items() if name.lower() not in _HIDDEN}
    return {"status_code": status_code, "headers": shown, "retry_after": retry_after(headers)}


def _request_id(headers: Mapping[str, str]) -> str:
    request_id = next((headers[name] for name in REQUEST_ID_HEADERS if headers.get(name)), "")
    return f", request {printable(request_id, 100)}" if request_id else ""


def _rule_for(code: str | None, status_code: int, error_classes: ErrorClasses) -> codes.ErrorRule:
    """Code, then family, then status. A class of the user's that refines none of these codes says what happened."""
    family = codes.ERROR_FAMILIES.get((code or "").partition(".")[0])
    by_status = codes.STATUSES.get(status_code, codes.OTHER_FAILURE if status_code >= 500 else codes.OTHER_REJECTION)
    known = codes.ERROR_CODES.get(code or "")
    rule = known or family or by_status
    if code and code in error_classes:
        own = error_classes[code]
        # That class is about one document; a whole request without a certificate is its parent.
        raises = CertificateNotProvisionedError if issubclass(own, DocumentCertificateError) else own
        if not (known and issubclass(raises, known.raises)):
            rule = next((codes.CLASSES[kind] for kind in raises.__mro__ if kind in codes.CLASSES), rule)
        return attrs.evolve(rule, raises=raises)
    return rule


def _text(value: object) -> str:
    """A field of an error body as one short printable line, whatever type it has."""
    if value is None:
        return ""
    return printable(value if isinstance(value, str) else json.dumps(value), 300)

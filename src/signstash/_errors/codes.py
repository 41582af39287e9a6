"""The error codes of the service, and the exception for each."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..errors import (
    ApiError,
    AuthenticationError,
    CertificateNotProvisionedError,
    ClientServiceInactiveError,
    CredentialsRejectedError,
    DocumentCertificateError,
    DocumentNotSignedError,
    DuplicateReferenceError,
    InvalidRequestError,
    RateLimitedError,
    ServiceError,
    SignStashError,
    TokenRejectedError,
)


@attrs.frozen
class ErrorRule:
    """The exception for one code of the service, its meaning (a sentence's start), what to do, and the HTTP status."""

    raises: type[SignStashError]
    meaning: str
    hint: str
    status: int = 500  # of a published code
    retryable: bool = False
    maybe_processed: bool = False


_SUPPORT = "Contact the vendor's support; repeating does not help."
_ENVIRONMENT = "Check that `environment` is the one the proxy is configured for, and the proxy's service domain."
AFTER_SIGNING = (
    "On the Integration Service, ask with get_operation_id and get_status whether it went through. On a proxy, send "
    "the same Document objects again: if the first request went through they are rejected (DuplicateReferenceError), "
    "and nothing is signed twice."
)
"""What to do about documents that may be signed, however that became unknown."""
CHECK_RESULT = "Check the result; repeat only if the request is idempotent."
"""The same for a request without documents."""


def _failure(meaning: str) -> ErrorRule:
    hint = "Repeat it later; contact the vendor's support if it keeps failing."
    return ErrorRule(ServiceError, meaning, hint, retryable=True, maybe_processed=True)


def _invalid(meaning: str, hint: str, status: int = 500) -> ErrorRule:
    return ErrorRule(InvalidRequestError, meaning, hint, status)


def _too_many(meaning: str, hint: str) -> ErrorRule:
    return ErrorRule(RateLimitedError, meaning, hint, retryable=True)


def _inactive(meaning: str, task: str, status: int = 401) -> ErrorRule:
    hint = f"An operator of the issuer must {task} in the Sign'Stash backoffice; repeating does not help."
    return ErrorRule(ClientServiceInactiveError, meaning, hint, status)


def _no_certificate(meaning: str, task: str) -> ErrorRule:
    hint = f"An operator of the issuer must {task} for the client service in the backoffice; repeating does not help."
    return ErrorRule(DocumentCertificateError, meaning, hint)


def _not_signed(meaning: str) -> ErrorRule:
    # Whether the service frees the reference of a document that it did not sign is not published.
    hint = (
        "Sign the document again later. If you chose its external reference and it is then rejected as used "
        "(DuplicateReferenceError), give the document a new one."
    )
    return ErrorRule(DocumentNotSignedError, meaning, hint, retryable=True)


ERROR_CODES: Mapping[str, ErrorRule] = {
    "0.0.1": _failure("The service failed unexpectedly"),
    "0.0.2": _invalid("A mandatory field is missing or the request is malformed", "Add or correct the named field."),
    "0.0.3": ErrorRule(ServiceError, "The client service is not set up at the vendor", _SUPPORT),
    "0.0.4": _invalid("A field is larger than allowed", "Make the named field smaller."),
    "0.0.5": _failure("An e-mail could not be sent"),
    "0.0.6": _invalid("A field failed validation", "Correct the named field."),
    "0.0.7": ErrorRule(
        DuplicateReferenceError,
        "The external reference was used before",
        "Look up what was signed under it. If nothing was, an earlier attempt that failed may have used it up: give "
        "the document a new one, as for any other document.",
        status=409,
    ),
    "0.0.10": ErrorRule(TokenRejectedError, "The access token is expired or invalid", _ENVIRONMENT, status=409),
    "1.1.0": _inactive("The licence of the client service is invalid or absent", "check the client service"),
    "1.1.1": _inactive("The client service or its issuer account is inactive", "activate it"),
    "1.1.2": ErrorRule(ApiError, "The licence already has a client service", _SUPPORT, status=409),
    "1.1.3": _inactive("The client service's state does not allow the operation", "activate the client service", 409),
    "1.1.4": _invalid("The secret of the client service is too weak", "Choose a stronger secret.", 400),
    "1.2.0": ErrorRule(
        ClientServiceInactiveError,
        "The issuer is inactive",
        "An operator of the issuer or the vendor's support must activate the issuer; repeating does not help.",
        status=403,
    ),
    "1.3.0": ErrorRule(ClientServiceInactiveError, "The partner is inactive", _SUPPORT, status=403),
    "2.2.1": _invalid(
        "The elements of the visible signature do not fit",
        "Check that the document has its page, and that its area fits on the page and is larger than its picture.",
    ),
}
"""The published codes (wiki: error table, which lacks the status of `2.2.1`). Others fall back to family or status."""

ERROR_FAMILIES: Mapping[str, ErrorRule] = {
    "1": _inactive("The licence, the issuer or the partner does not allow this", "check client service and issuer"),
    "2": ErrorRule(
        ApiError,
        "The signature or its certificate is invalid",
        "Check the signature's options, and the certificate of the client service in the backoffice.",
    ),
}

STATUSES: Mapping[int, ErrorRule] = {
    **dict.fromkeys((400, 422), _invalid("The service rejected the request", "Correct what the service names.")),
    401: ErrorRule(TokenRejectedError, "The service rejected the access token", _ENVIRONMENT),
    403: ErrorRule(ApiError, "The service forbids the request", "Check what the client service is allowed to do."),
    404: ErrorRule(
        ApiError,
        "There is nothing at this URL",
        "Check `base_url`, which includes the service's base path; only the Integration Service answers queries.",
    ),
    413: _invalid("The request is too large", "Send fewer or smaller documents in a request."),
    415: _invalid("The service does not accept this way of uploading", "Use upload='base64'."),
    429: _too_many("The service accepts no more requests for now", "Send fewer at once, and repeat this one later."),
}

UNKNOWN_TO_SERVICE = ErrorRule(
    ApiError,
    "The service knows no such document or operation",
    "The Integration Service says this of what it has not processed. A proxy stores nothing: check that `base_url` is "
    "that of the Integration Service.",
)
"""The rule for status 404 of a call about an operation or a reference."""

CLASSES: Mapping[type[SignStashError], ErrorRule] = {
    CertificateNotProvisionedError: _no_certificate(
        "The client service has no usable certificate", "configure a valid one"
    ),
    ClientServiceInactiveError: ERROR_FAMILIES["1"],
    DuplicateReferenceError: ERROR_CODES["0.0.7"],
    InvalidRequestError: STATUSES[400],
    RateLimitedError: STATUSES[429],
}
"""What classes mean to which users map codes of their own; the other classes leave it to the status."""

OTHER_REJECTION = ErrorRule(ApiError, "The service rejected the request", "Send this text to the vendor's support.")

OTHER_FAILURE = _failure("The service failed")

_CREDENTIALS = ErrorRule(
    CredentialsRejectedError,
    "The token server rejected the credentials",
    "client_id is the alias of the client service and client_secret the password defined for it in the backoffice; "
    "check both, and that they belong to this `environment`.",
)

TOKEN_ERRORS: Mapping[str | int, ErrorRule] = {
    "invalid_client": _CREDENTIALS,
    "unauthorized_client": _CREDENTIALS,
    401: _CREDENTIALS,
    429: _too_many("The token server accepts no more requests for now", "Repeat the call later."),
}
"""The token server's `error` values (RFC 6749, section 5.2), and its statuses."""

OTHER_TOKEN_REJECTION = ErrorRule(
    AuthenticationError,
    "The token server rejected the request",
    "Ask the vendor's support whether the client service may use the client_credentials grant.",
)

OTHER_TOKEN_FAILURE = _failure("The token server failed")

SIGN_ERRORS: Mapping[str, ErrorRule] = {
    "INVALID_CERT_SERVICE_CREDS": _no_certificate(
        "the certificate service rejected the client service, usually because no credits are left",
        "buy credits or set the certificate's credentials",
    ),
    "INVALID_CERT_ACCESS_ACCOUNT": _no_certificate(
        "access to the certificate's account was denied", "renew the access, which expires after 60 days,"
    ),
    "INVALID_CERTIFICATE_SIGN_ERROR": _no_certificate(
        "the certificate is missing, expired or revoked", "configure a valid certificate"
    ),
    "CONFIGURATION_SIGN_ERROR": _no_certificate("signing is not configured", "configure certificate and signature"),
    "CERT_SERVICE_GLOBAL_ERROR": _not_signed("the certificate service failed"),
    "TIMESTAMP_SIGN_ERROR": _not_signed("the timestamp failed"),
    "STORAGE_SERVICE_GLOBAL_ERROR": _not_signed("the storage failed"),
    "SIGN_OPERATION_INTERNAL_ERROR": _not_signed("the service failed while signing"),
}
"""The service's `signError` values; their meaning is not published, this is how integrators read them."""

OTHER_SIGN_ERROR = ErrorRule(
    DocumentNotSignedError,
    "the service did not sign it",
    "Check whether the document is damaged, protected or signed before; else contact the vendor's support.",
)

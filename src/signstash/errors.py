"""Which exception a failure becomes, and what its reader can do about it.

    SignStashError
    ├── ConfigurationError                  the SDK was set up or called wrongly; nothing was sent
    ├── InvalidDocumentError                a document was refused here; nothing was sent
    ├── AuthenticationError
    │   ├── CredentialsRejectedError        step 1: client id or secret refused
    │   └── TokenRejectedError              step 6: a new token was refused as well
    ├── ApiError                            the service refused the request
    │   ├── ClientServiceInactiveError      step 9: client service, issuer or partner not active
    │   ├── CertificateNotProvisionedError  step 10: no usable certificate
    │   ├── InvalidRequestError             the request itself is at fault
    │   ├── DuplicateReferenceError         an external reference was used before
    │   ├── RateLimitedError                too many requests at once
    │   └── ServiceError                    the service is at fault
    ├── DocumentNotSignedError              one document of an answered request was not signed
    │   └── DocumentCertificateError        ... for want of a certificate (also CertificateNotProvisionedError)
    ├── SignatureInvalidError               a document came back whose signature does not hold
    ├── DocumentNotSavedError               a signed document could not be written to disk
    ├── ConnectionFailedError               no connection; nothing was processed
    ├── OutcomeUnknownError                 sent, but the answer was lost
    └── UnexpectedAnswerError               an answer that cannot be read

The service's `errorCode` decides, then its family, then the HTTP status (wiki: integration guide, error table).

.. include:: errors.md
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .results import SignedDocument

BODY_LIMIT = 4096
"""How many bytes of a refused request's answer an error keeps, in `ApiError.body`."""


class SignStashError(Exception):
    """Root of everything that this package raises.

    Its text is two sentences: what happened, and what to do. Errors can be pickled and copied.

    Attributes:
        problem: What happened, in one sentence.
        hint: What the reader can do about it, in one sentence.
        maybe_processed: Whether the service may have processed the request although it failed. When false,
            repeating the request cannot sign anything twice.
    """

    maybe_processed: bool = False

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem, hint)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.problem} {self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        cause = None if self.__cause__ is None else _portable(self.__cause__)
        return _rebuild, (type(self), self.args, dict(self.__dict__), cause)

    def again(self) -> SignStashError:
        """A copy to raise elsewhere, so that callers who share a failure do not share its traceback."""
        other = copy.copy(self)
        other.__cause__ = self.__cause__
        return other


def _rebuild(
    cls: type[SignStashError], args: tuple[Any, ...], state: dict[str, Any], cause: BaseException | None
) -> SignStashError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    error.__cause__ = cause
    return error


def _portable(cause: BaseException) -> BaseException:
    """The cause without what must not travel: httpx keeps the request, and with it the token, on its errors."""
    if isinstance(cause, SignStashError | BaseExceptionGroup):
        return cause
    return RuntimeError(f"{type(cause).__name__}: {cause}")


class ConfigurationError(SignStashError):
    """The SDK was set up or called in a way that cannot work. Nothing was sent."""


class InvalidDocumentError(SignStashError):
    """A document, or what was asked for it, was refused before anything was sent.

    Attributes:
        document: Name of the document, if it has one.
    """

    def __init__(self, problem: str, hint: str, *, document: str | None = None) -> None:
        super().__init__(problem, hint)
        self.document = document


class AuthenticationError(SignStashError):
    """The token server or the service does not accept who is asking.

    Attributes:
        status_code: HTTP status of the answer.
        error_code: The token server's `error` or the service's `errorCode`, if the answer held one.
        description: What the server said about it, if anything.
    """

    def __init__(
        self,
        problem: str,
        hint: str,
        *,
        status_code: int,
        error_code: str | None = None,
        description: str | None = None,
    ) -> None:
        super().__init__(problem, hint)
        self.status_code = status_code
        self.error_code = error_code
        self.description = description


class CredentialsRejectedError(AuthenticationError):
    """The token server refused the client id or secret (integration guide, step 1). Repeating does not help."""


class TokenRejectedError(AuthenticationError):
    """The service refused the token, and a newly issued one as well (integration guide, step 6)."""


class ApiError(SignStashError):
    """The service answered, and refused the request.

    Attributes:
        status_code: HTTP status of the answer. It misleads: 500 covers faults of the request too.
        error_code: The service's code, such as `0.0.2`, exactly as it came, or None.
        description: The service's text for the code, or None.
        cause_message: The service's word on this very request, such as a missing field, or None.
        retryable: Whether the same request may succeed later without anybody changing anything.
        body: The answer's first bytes, `BODY_LIMIT` at most. Not part of the message.
    """

    def __init__(
        self,
        problem: str,
        hint: str,
        *,
        status_code: int,
        error_code: str | None = None,
        description: str | None = None,
        cause_message: str | None = None,
        retryable: bool = False,
        body: bytes = b"",
    ) -> None:
        super().__init__(problem, hint)
        self.status_code = status_code
        self.error_code = error_code
        self.description = description
        self.cause_message = cause_message
        self.retryable = retryable
        self.body: bytes = body[:BODY_LIMIT]


class ClientServiceInactiveError(ApiError):
    """The client service, its issuer or its partner is not active (integration guide, step 9)."""


class CertificateNotProvisionedError(ApiError):
    """The client service has no certificate that it can sign with (integration guide, step 10).

    Raised for a whole request, and in its subclass `DocumentCertificateError` for one document.
    """


class InvalidRequestError(ApiError):
    """The request is at fault: something is missing, too large, or not accepted."""


class DuplicateReferenceError(ApiError):
    """An external reference was used before, so nothing was signed a second time (code `0.0.7`)."""


class RateLimitedError(ApiError):
    """Too many requests at once. Nothing was processed.

    Attributes:
        retry_after: Seconds to wait, if the service said so, else None.
    """

    def __init__(
        self,
        problem: str,
        hint: str,
        *,
        status_code: int,
        error_code: str | None = None,
        description: str | None = None,
        cause_message: str | None = None,
        retryable: bool = False,
        body: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            problem,
            hint,
            status_code=status_code,
            error_code=error_code,
            description=description,
            cause_message=cause_message,
            retryable=retryable,
            body=body,
        )
        self.retry_after = retry_after


class ServiceError(ApiError):
    """The service is at fault, or not set up."""


class DocumentNotSignedError(SignStashError):
    """The request was answered, but this document of it was not signed.

    Attributes:
        document: Name of the document.
        external_reference: The document's external reference.
        sign_error: The service's `signError`, exactly as it came, or None.
        sign_status: The service's `signStatus`, exactly as it came, or None.
        operation_id: Number of the operation.
        retryable: Whether the same document may be signed later without anybody changing anything.
    """

    def __init__(
        self,
        problem: str,
        hint: str,
        *,
        document: str,
        external_reference: str,
        sign_error: str | None = None,
        sign_status: str | None = None,
        operation_id: int | None = None,
        retryable: bool = False,
    ) -> None:
        SignStashError.__init__(self, problem, hint)
        self.document = document
        self.external_reference = external_reference
        self.sign_error = sign_error
        self.sign_status = sign_status
        self.operation_id = operation_id
        self.retryable = retryable


class DocumentCertificateError(DocumentNotSignedError, CertificateNotProvisionedError):
    """One document was not signed for want of a usable certificate.

    Both `except DocumentNotSignedError` and `except CertificateNotProvisionedError` catch it.
    """

    status_code = 200
    error_code = None
    description = None
    cause_message = None
    body = b""


class SignatureInvalidError(SignStashError):
    """A document came back that is not what was sent, or whose signature does not hold.

    Attributes:
        signed: What came back.
        problems: What is wrong with it.
    """

    maybe_processed = True

    def __init__(self, problem: str, hint: str, *, signed: SignedDocument, problems: Sequence[str]) -> None:
        super().__init__(problem, hint)
        self.signed = signed
        self.problems: tuple[str, ...] = tuple(problems)


class DocumentNotSavedError(SignStashError):
    """A signed document could not be written to disk.

    Attributes:
        signed: The signed document, so that nothing is lost; None if it was not sent, or is still at the service.
    """

    def __init__(self, problem: str, hint: str, *, signed: SignedDocument | None = None) -> None:
        super().__init__(problem, hint)
        self.signed = signed


class ConnectionFailedError(SignStashError):
    """The request did not reach the service whole, so nothing was processed. Repeating it is safe."""


class OutcomeUnknownError(SignStashError):
    """The request went out and its answer was lost: the documents may or may not be signed.

    Attributes:
        external_references: External references of the documents concerned.
    """

    maybe_processed = True

    def __init__(self, problem: str, hint: str, *, external_references: Sequence[str] = ()) -> None:
        super().__init__(problem, hint)
        self.external_references: tuple[str, ...] = tuple(external_references)


class UnexpectedAnswerError(SignStashError):
    """An answer came that cannot be read: not JSON, cut short, or of the wrong shape.

    Attributes:
        status_code: HTTP status of the answer.
        content_type: Its content type, or an empty string.
        excerpt: Its beginning, made printable and short. Empty where it could hold a document or a token.
        external_references: External references of the documents concerned, if documents were sent.
    """

    def __init__(
        self,
        problem: str,
        hint: str,
        *,
        status_code: int,
        content_type: str = "",
        excerpt: str = "",
        external_references: Sequence[str] = (),
        maybe_processed: bool = False,
    ) -> None:
        super().__init__(problem, hint)
        self.status_code = status_code
        self.content_type = content_type
        self.excerpt = excerpt
        self.external_references: tuple[str, ...] = tuple(external_references)
        self.maybe_processed = maybe_processed


ErrorClasses = Mapping[str, type[ApiError]]
"""Classes for codes that the table below does not know, or is to treat otherwise."""

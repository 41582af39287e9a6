"""The exceptions that this package raises.

The service's `errorCode` decides, then its family, then the HTTP status (wiki: integration guide, error table).

.. include:: errors.md
"""

from __future__ import annotations

import copy
import copyreg
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import attrs

BODY_LIMIT = 4096
"""How many bytes of an error response are kept in `ApiError.body`."""


class SignedContent(Protocol):
    """The signed document that an error carries: a `SignedDocument`."""

    @property
    def name(self) -> str:
        """File name, as it was sent."""
        ...

    @property
    def external_reference(self) -> str:
        """The document's external reference."""
        ...

    @property
    def operation_id(self) -> int | None:
        """ID of the operation that signed it."""
        ...

    @property
    def saved_as(self) -> Path | None:
        """Where it was saved, or None."""
        ...

    @property
    def content(self) -> bytes:
        """The signed contents."""
        ...

    async def read(self) -> bytes:
        """The signed contents, read in a thread."""
        ...

    async def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the signed contents to a file."""
        ...


@attrs.define(slots=False, eq=False, repr=False, auto_exc=False)
class SignStashError(Exception):
    """Root of all exceptions of this package.

    Its text is two sentences: what happened, and what to do. Errors can be pickled and copied.

    Attributes:
        problem: What happened, in one sentence. It begins with the documents concerned.
        hint: What to do about it, in one sentence.
        external_references: External references of the documents concerned, if any.
        retryable: Whether the same call may succeed later without any change. Never if `maybe_processed`.
        maybe_processed: Whether the request was or may have been processed. If not, repeating it signs nothing twice.
    """

    problem: str
    hint: str
    external_references: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=tuple[str, ...])
    retryable: bool = attrs.field(default=False, kw_only=True)
    maybe_processed: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if signed := getattr(self, "signed", None):  # of some subclasses
            self.maybe_processed, self.external_references = True, (signed.external_reference,)

    def __str__(self) -> str:
        return f"{self.problem} {self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        cause = None if self.__cause__ is None else _portable(self.__cause__)
        return copyreg.__newobj__, (type(self), *self.args), {**vars(self), "__cause__": cause}  # type: ignore[attr-defined]  # missing in typeshed

    def copy_for_raise(self) -> Self:
        """A copy to raise elsewhere, so that callers who share a failure do not share its traceback."""
        other = copy.copy(self)
        other.__cause__ = self.__cause__
        return other


def _portable(cause: BaseException) -> BaseException:
    """The cause without the request that httpx keeps on its errors, which holds the token."""
    if isinstance(cause, SignStashError | BaseExceptionGroup):
        return cause
    return RuntimeError(f"{type(cause).__name__}: {cause}")


class ConfigurationError(SignStashError):
    """The SDK was set up or called in a way that cannot work. The call sent nothing; a run sends nothing more."""


@attrs.define(slots=False, eq=False, repr=False, auto_exc=False)
class InvalidDocumentError(SignStashError):
    """A document or its options are invalid. Nothing was sent.

    Attributes:
        document: Name of the document, if it has one.
    """

    document: str | None = attrs.field(default=None, kw_only=True)


@attrs.define(slots=False, eq=False, repr=False, auto_exc=False)
class _ResponseError(SignStashError):
    """An error that comes from a response.

    Attributes:
        status_code: HTTP status of the response. Unreliable: invalid requests also return 500.
        error_code: The service's `errorCode`, such as `0.0.2`, or the token server's `error`, as it came, or None.
        description: The server's text about it, or None.
        headers: Headers of the response, by lower-case name, without cookies.
        retry_after: Seconds to wait, if the server said so, else None.
    """

    status_code: int = attrs.field(kw_only=True)
    error_code: str | None = attrs.field(default=None, kw_only=True)
    description: str | None = attrs.field(default=None, kw_only=True)
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], kw_only=True)
    retry_after: float | None = attrs.field(default=None, kw_only=True)


class AuthenticationError(_ResponseError):
    """The token server or the service does not accept the client service."""


class CredentialsRejectedError(AuthenticationError):
    """The token server rejected the client ID or secret (integration guide, step 1). Repeating does not help."""


class TokenRejectedError(AuthenticationError):
    """The service rejected the token, and a newly issued one as well (integration guide, step 6)."""


@attrs.define(slots=False, eq=False, repr=False, auto_exc=False)
class ApiError(_ResponseError):
    """The service rejected the request.

    Attributes:
        cause_message: The service's text about this request, such as the name of a missing field, or None.
        body: The first `BODY_LIMIT` bytes of the response. Not part of the message.
    """

    cause_message: str | None = attrs.field(default=None, kw_only=True)
    body: bytes = attrs.field(default=b"", kw_only=True)


class ClientServiceInactiveError(ApiError):
    """The client service, its issuer or its partner is not active (integration guide, step 9)."""


class CertificateNotProvisionedError(ApiError):
    """The client service has no certificate that it can sign with (integration guide, step 10).

    Raised for a whole request, and as its subclass `DocumentCertificateError` for one document.
    """


class InvalidRequestError(ApiError):
    """The request is invalid: something is missing, too large, or not accepted."""


class DuplicateReferenceError(ApiError):
    """An external reference was used before, so the request was not processed (code `0.0.7`)."""


class RateLimitedError(ApiError):
    """Too many requests. Nothing was processed."""


class ServiceError(ApiError):
    """The service failed, or is not set up."""


@attrs.define(slots=False, eq=False, repr=False, auto_exc=False)
class DocumentNotSignedError(SignStashError):
    """The request was processed, but this document of it was not signed.

    Attributes:
        document: Name of the document.
        external_reference: The document's external reference.
        sign_error: The service's `signError`, as it came, or None.
        sign_status: The service's `signStatus`, as it came, or None.
        operation_id: ID of the operation.
    """

    document: str = attrs.field(kw_only=True)
    external_reference: str = attrs.field(kw_only=True)
    sign_error: str | None = attrs.field(default=None, kw_only=True)
    sign_status: str | None = attrs.field(default=None, kw_only=True)
    operation_id: int | None = attrs.field(default=None, kw_only=True)


@attrs.define(slots=False, eq=False, repr=False, auto_exc=False)
class DocumentCertificateError(DocumentNotSignedError, CertificateNotProvisionedError):
    """One document was not signed because there is no usable certificate.

    Both `except DocumentNotSignedError` and `except CertificateNotProvisionedError` catch it.
    """

    status_code: int = attrs.field(default=200, kw_only=True)


@attrs.define(slots=False, eq=False, repr=False, auto_exc=False)
class SignatureInvalidError(SignStashError):
    """A returned document failed verification, or cannot be judged.

    Attributes:
        signed: What was returned, a `SignedDocument`.
        problems: Why it is not valid, or cannot be judged.
        verdict: "invalid" if it is not the document that was sent or its signature is not valid, "indeterminate" if
            that cannot be judged here: see `signstash.verification.Verdict`.
    """

    signed: SignedContent = attrs.field(kw_only=True)
    problems: tuple[str, ...] = attrs.field(kw_only=True, converter=tuple[str, ...])
    verdict: Literal["invalid", "indeterminate"] = attrs.field(default="invalid", kw_only=True)
    maybe_processed: bool = attrs.field(default=True, kw_only=True)


@attrs.define(slots=False, eq=False, repr=False, auto_exc=False)
class DocumentNotSavedError(SignStashError):
    """A signed document could not be written to disk, or its file not be read.

    Attributes:
        signed: The `SignedDocument`, to be saved elsewhere; None if it was not sent, or is still at the service.
    """

    signed: SignedContent | None = attrs.field(default=None, kw_only=True)


@attrs.define(slots=False, eq=False, repr=False, auto_exc=False)
class ConnectionFailedError(SignStashError):
    """The request did not reach the service completely, so nothing was processed. Repeating it is safe."""

    retryable: bool = attrs.field(default=True, kw_only=True)


@attrs.define(slots=False, eq=False, repr=False, auto_exc=False)
class OutcomeUnknownError(SignStashError):
    """The request was sent and its response was lost: the documents may or may not be signed."""

    maybe_processed: bool = attrs.field(default=True, kw_only=True)


@attrs.define(slots=False, eq=False, repr=False, auto_exc=False)
class UnexpectedResponseError(_ResponseError):
    """A response that cannot be read: not JSON, cut short, or of the wrong shape.

    Attributes:
        content_type: Its content type, or an empty string.
        excerpt: Its beginning, made printable and short. Empty if it could hold a document or a token.
    """

    content_type: str = attrs.field(default="", kw_only=True)
    excerpt: str = attrs.field(default="", kw_only=True)


ErrorClasses = Mapping[str, type[ApiError]]
"""Exception classes for error codes that this package does not know, or that replace its own."""

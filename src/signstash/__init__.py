"""Async Python SDK for Sign'Stash, the service that puts qualified digital signatures on documents.

Begin with `SignStash` and `Document`. Elsewhere are:

- `signstash.options`: what can be asked for a signature
- `signstash.errors`: what can go wrong, and which code of the service means what
- `signstash.consultation`: questions to the Integration Service
- `signstash.models`: the service's own model, generated
- `signstash.generated`: operations without a method here
- `signstash.testing` and `signstash.sandbox`: a mock and a local service, for tests
- `signstash.verification`: whether what came back is signed
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import models
    from .auth import TokenAuth
    from .client import SignStash
    from .documents import Document
    from .errors import (
        ApiError,
        AuthenticationError,
        CertificateNotProvisionedError,
        ClientServiceInactiveError,
        ConfigurationError,
        ConnectionFailedError,
        CredentialsRejectedError,
        DocumentCertificateError,
        DocumentNotSavedError,
        DocumentNotSignedError,
        DuplicateReferenceError,
        InvalidDocumentError,
        InvalidRequestError,
        OutcomeUnknownError,
        RateLimitedError,
        ServiceError,
        SignatureInvalidError,
        SignStashError,
        TokenRejectedError,
        UnexpectedAnswerError,
    )
    from .journal import Journal
    from .options import Preservation, VisibleSignature
    from .outcomes import Outcome, SignedBatch, SignedDocument
    from .retries import RetryPolicy
    from .runs import Progress

__version__ = "0.1.0"


__all__ = [
    "ApiError",
    "AuthenticationError",
    "CertificateNotProvisionedError",
    "ClientServiceInactiveError",
    "ConfigurationError",
    "ConnectionFailedError",
    "CredentialsRejectedError",
    "Document",
    "DocumentCertificateError",
    "DocumentNotSavedError",
    "DocumentNotSignedError",
    "DuplicateReferenceError",
    "InvalidDocumentError",
    "InvalidRequestError",
    "Journal",
    "Outcome",
    "OutcomeUnknownError",
    "Preservation",
    "Progress",
    "RateLimitedError",
    "RetryPolicy",
    "ServiceError",
    "SignStash",
    "SignStashError",
    "SignatureInvalidError",
    "SignedBatch",
    "SignedDocument",
    "TokenAuth",
    "TokenRejectedError",
    "UnexpectedAnswerError",
    "VisibleSignature",
    "models",
]

_MODULES = {
    "Document": "documents",
    "Journal": "journal",
    "Outcome": "outcomes",
    "Preservation": "options",
    "Progress": "runs",
    "RetryPolicy": "retries",
    "SignStash": "client",
    "SignedBatch": "outcomes",
    "SignedDocument": "outcomes",
    "TokenAuth": "auth",
    "VisibleSignature": "options",
}
"""Where names are that are not exceptions."""


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: an application that only catches errors loads only these."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "models":
        return import_module(".models", __name__)
    value = getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

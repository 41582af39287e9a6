"""Async Python SDK for Sign'Stash, the service that puts qualified digital signatures on documents.

Begin with `SignStash` and `Document`. Elsewhere are:

- `signstash.options`: what can be asked for a signature
- `signstash.errors`: what can go wrong, and which code of the service means what
- `signstash.integration`: queries of the Integration Service
- `signstash.models`: the service's own model, generated
- `signstash.testing` and `signstash.sandbox`: a mock and a local service, for tests
- `signstash.verification`: whether what came back is signed

.. include:: security.md
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import (
    ApiError as ApiError,
    AuthenticationError as AuthenticationError,
    CertificateNotProvisionedError as CertificateNotProvisionedError,
    ClientServiceInactiveError as ClientServiceInactiveError,
    ConfigurationError as ConfigurationError,
    ConnectionFailedError as ConnectionFailedError,
    CredentialsRejectedError as CredentialsRejectedError,
    DocumentCertificateError as DocumentCertificateError,
    DocumentNotSavedError as DocumentNotSavedError,
    DocumentNotSignedError as DocumentNotSignedError,
    DuplicateReferenceError as DuplicateReferenceError,
    InvalidDocumentError as InvalidDocumentError,
    InvalidRequestError as InvalidRequestError,
    OutcomeUnknownError as OutcomeUnknownError,
    RateLimitedError as RateLimitedError,
    ServiceError as ServiceError,
    SignatureInvalidError as SignatureInvalidError,
    SignStashError as SignStashError,
    TokenRejectedError as TokenRejectedError,
    UnexpectedAnswerError as UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from . import models as models
    from ._runs.plan import Progress as Progress
    from .auth import TokenAuth as TokenAuth
    from .client import SignStash as SignStash
    from .documents import Document as Document
    from .journal import Journal as Journal
    from .options import Preservation as Preservation, VisibleSignature as VisibleSignature
    from .results import Outcome as Outcome, SignedBatch as SignedBatch, SignedDocument as SignedDocument
    from .retries import RetryPolicy as RetryPolicy
else:
    # Imported on first use: an application that only catches errors loads no client, nor does pytest by the plugin.
    _MODULES = {
        "Document": "documents",
        "Journal": "journal",
        "Outcome": "results",
        "Preservation": "options",
        "Progress": "_runs.plan",
        "RetryPolicy": "retries",
        "SignStash": "client",
        "SignedBatch": "results",
        "SignedDocument": "results",
        "TokenAuth": "auth",
        "VisibleSignature": "options",
    }
    __all__ = sorted({"models", *_MODULES, *(name for name in globals() if name.endswith("Error"))})

    def __getattr__(name: str) -> Any:
        if name == "models":
            return import_module(".models", __name__)
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"

"""Async Python SDK for Sign'Stash, the service that puts qualified digital signatures on documents.

Start with `SignStash` and `Document`. Also here are:

- `signstash.blocking`: the client for applications without an event loop
- `signstash.options`: options of a signature
- `signstash.journal`: runs over many documents, and the record of a run
- `signstash.errors`: the exceptions
- `signstash.integration`: queries of the Integration Service
- `signstash.settings`: settings of the client, token, connections, logs and traces
- `signstash.models` and `signstash.api`: data model and operations of the service, generated
- `signstash.testing` and `signstash.sandbox`: a mock and a local service, for tests
- `signstash.verification`: verification of signed documents
- `signstash.command_line`: the command `signstash`

Their guides are installed with them, as Markdown files.

.. include:: security.md
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import models as models
    from ._runs.batching import Batching as Batching
    from .auth import TokenAuth as TokenAuth
    from .client import SignStash as SignStash
    from .documents import Document as Document
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
        UnexpectedResponseError as UnexpectedResponseError,
    )
    from .journal import Journal as Journal
    from .options import Preservation as Preservation, VisibleSignature as VisibleSignature
    from .results import (
        Outcome as Outcome,
        Progress as Progress,
        SignedBatch as SignedBatch,
        SignedDocument as SignedDocument,
    )
    from .retries import RetryPolicy as RetryPolicy
    from .settings import RunOptions as RunOptions
else:
    # Imported on first use: the pytest plugin, and an application that only catches errors, load no client.
    _MODULES = {
        "Batching": "_runs.batching",
        "Document": "documents",
        "Journal": "journal",
        "Outcome": "results",
        "Preservation": "options",
        "Progress": "results",
        "RetryPolicy": "retries",
        "RunOptions": "settings",
        "SignStash": "client",
        "SignedBatch": "results",
        "SignedDocument": "results",
        "TokenAuth": "auth",
        "VisibleSignature": "options",
    }

    def __getattr__(name: str) -> Any:
        if name == "__all__":
            errors = (name for name in vars(import_module(".errors", __name__)) if name.endswith("Error"))
            return sorted({"models", *_MODULES, *(name for name in errors if not name.startswith("_"))})
        if name == "models":
            return import_module(".models", __name__)
        module = "errors" if name.endswith("Error") else _MODULES.get(name)
        value = module and getattr(import_module(f".{module}", __name__), name, None)
        if value is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})


__version__ = "0.1.0"

"""Async Python SDK for Sign'Stash, the service that puts qualified digital signatures on documents."""

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
    "SignedBatch",
    "SignedDocument",
    "TokenAuth",
    "TokenRejectedError",
    "UnexpectedAnswerError",
    "VisibleSignature",
    "models",
]

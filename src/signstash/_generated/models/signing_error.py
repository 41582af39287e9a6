from enum import StrEnum
from typing import Self


class SigningError(StrEnum):
    CERT_SERVICE_GLOBAL_ERROR = "CERT_SERVICE_GLOBAL_ERROR"
    CONFIGURATION_SIGN_ERROR = "CONFIGURATION_SIGN_ERROR"
    INVALID_CERTIFICATE_SIGN_ERROR = "INVALID_CERTIFICATE_SIGN_ERROR"
    INVALID_CERT_ACCESS_ACCOUNT = "INVALID_CERT_ACCESS_ACCOUNT"
    INVALID_CERT_SERVICE_CREDS = "INVALID_CERT_SERVICE_CREDS"
    SIGN_OPERATION_INTERNAL_ERROR = "SIGN_OPERATION_INTERNAL_ERROR"
    STORAGE_SERVICE_GLOBAL_ERROR = "STORAGE_SERVICE_GLOBAL_ERROR"
    TIMESTAMP_SIGN_ERROR = "TIMESTAMP_SIGN_ERROR"

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = "UNKNOWN"
        unknown._value_ = value
        return unknown

from enum import StrEnum
from typing import Self


class OperationStatus(StrEnum):
    EXECUTED = "EXECUTED"
    EXECUTION_ERROR = "EXECUTION_ERROR"
    EXECUTION_FAILED = "EXECUTION_FAILED"
    PENDING_EXECUTION = "PENDING_EXECUTION"

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

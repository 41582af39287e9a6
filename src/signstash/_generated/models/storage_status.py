from enum import StrEnum
from typing import Self


class StorageStatus(StrEnum):
    CONTENT_NOT_STORED = "CONTENT_NOT_STORED"
    CONTENT_PRESERVED = "CONTENT_PRESERVED"
    CONTENT_STORED = "CONTENT_STORED"
    DELETED = "DELETED"

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

from enum import StrEnum
from typing import Self


class CanonicalTransform(StrEnum):
    EXCLUSIVE = "EXCLUSIVE"
    EXCLUSIVE_WITH_COMMENTS = "EXCLUSIVE_WITH_COMMENTS"

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

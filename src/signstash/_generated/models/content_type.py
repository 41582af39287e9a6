from enum import StrEnum
from typing import Self


class ContentType(StrEnum):
    APPLICATIONOCTET_STREAM = "application/octet-stream"
    APPLICATIONPDF = "application/pdf"
    APPLICATIONXML = "application/xml"
    TEXTXML = "text/xml"

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

"""Checks the fields of received requests as the service does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

import attrs

from ..models import SignDocumentBase64Document, SignDocumentDocument, Unset

_TYPES: Final = {"str": str, "bool": bool, "int": int}


class MalformedRequestError(Exception):
    """A request that the service rejects because of its fields; the message says why.

    Attributes:
        error_code: `0.0.2` if something is missing, `0.0.6` if a value is not valid.
    """

    def __init__(self, message: str, error_code: str = "0.0.6") -> None:
        super().__init__(message)
        self.error_code = error_code


def require_valid(model: Any) -> None:
    """Check the types of a model's fields, and that mandatory texts are not blank.

    Raises:
        MalformedRequestError: If a field is not valid.
    """
    for field in attrs.fields(type(model)):
        value = getattr(model, field.name)
        name = re.sub("_(.)", lambda match: match[1].upper(), field.name)
        expected = _TYPES.get(str(field.type).partition(" ")[0])
        for item in value if isinstance(value, list) else [value]:
            if attrs.has(type(item)):
                require_valid(item)
        if isinstance(value, Unset):
            continue
        if expected is not None and type(value) is not expected:
            raise MalformedRequestError(f"{name} is not of type {expected.__name__}")
        if isinstance(value, Enum) and value.name == "UNKNOWN":
            raise MalformedRequestError(f"{name} is not one of {[item.value for item in type(value)]}")
        if isinstance(value, str):
            value.encode()  # raises a ValueError for half of a surrogate pair
            if field.default is attrs.NOTHING and not value.strip():
                raise MalformedRequestError(f"missing {name}", "0.0.2")


def require_matching_signatures(documents: Sequence[SignDocumentBase64Document | SignDocumentDocument]) -> None:
    """Check that signatures have the settings of their type only.

    Raises:
        MalformedRequestError: If one has others.
    """
    for document in documents:
        signature = document.signature_info.to_dict()
        is_pdf = signature["signatureType"] == "PAdES"
        if is_pdf and signature.get("advancedSignatureInfo"):
            raise MalformedRequestError("advancedSignatureInfo is for XML only")
        if not is_pdf and "visibleSignatureInfo" in signature:
            raise MalformedRequestError("visibleSignatureInfo is for PDF only")

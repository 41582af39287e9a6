from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, show_without_contents, without_null

T = TypeVar("T", bound="ErrorResponse")


@_attrs_define
class ErrorResponse:
    """Why a request was refused. The code decides what to do; the HTTP status is only a hint."""

    error_code: str | Unset = UNSET
    """ Code of the fault, such as 0.0.2: a family and a number within it. """
    error_code_description: str | Unset = UNSET
    """ What the code means. """
    cause_message: str | Unset = UNSET
    """ What caused the fault in this request, such as the name of a missing field. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        error_code = self.error_code

        error_code_description = self.error_code_description

        cause_message = self.cause_message

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if error_code is not UNSET:
            field_dict["errorCode"] = error_code
        if error_code_description is not UNSET:
            field_dict["errorCodeDescription"] = error_code_description
        if cause_message is not UNSET:
            field_dict["causeMessage"] = cause_message

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(src_dict, {"errorCode", "errorCodeDescription", "causeMessage"})
        error_code = d.pop("errorCode", UNSET)

        error_code_description = d.pop("errorCodeDescription", UNSET)

        cause_message = d.pop("causeMessage", UNSET)

        error_response = cls(
            error_code=error_code,
            error_code_description=error_code_description,
            cause_message=cause_message,
        )

        error_response.additional_properties = d
        return error_response

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties

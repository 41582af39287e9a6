from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.document_attribute_key import DocumentAttributeKey
from ..types import UNSET, Unset, show_without_contents, without_null

T = TypeVar("T", bound="DocumentAttributeResponse")


@_attrs_define
class DocumentAttributeResponse:
    """One attribute of the signature that was asked for, as the service recorded it."""

    attribute_key: DocumentAttributeKey | Unset = UNSET
    """ Names of the signature attributes that the service records for a document. """
    attribute_value: str | Unset = UNSET
    """ Value of the attribute. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        attribute_key: str | Unset = UNSET
        if not isinstance(self.attribute_key, Unset):
            attribute_key = self.attribute_key.value

        attribute_value = self.attribute_value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if attribute_key is not UNSET:
            field_dict["attributeKey"] = attribute_key
        if attribute_value is not UNSET:
            field_dict["attributeValue"] = attribute_value

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(src_dict, {"attributeKey", "attributeValue"})
        _attribute_key = d.pop("attributeKey", UNSET)
        attribute_key: DocumentAttributeKey | Unset
        if isinstance(_attribute_key, Unset):
            attribute_key = UNSET
        else:
            attribute_key = DocumentAttributeKey(_attribute_key)

        attribute_value = d.pop("attributeValue", UNSET)

        document_attribute_response = cls(
            attribute_key=attribute_key,
            attribute_value=attribute_value,
        )

        document_attribute_response.additional_properties = d
        return document_attribute_response

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

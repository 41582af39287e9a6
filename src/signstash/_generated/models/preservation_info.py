from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, show_without_contents, without_null

T = TypeVar("T", bound="PreservationInfo")


@_attrs_define
class PreservationInfo:
    """Whether and under which name the service keeps the signed documents, and to whom it delivers them."""

    preserve_content: bool = False
    """ Whether the service keeps the signed documents for long-term preservation. """
    alias: str | Unset = UNSET
    """ Name under which the kept document is shown. """
    delivery_info: DeliveryInfo | Unset = UNSET
    """ Who receives the signed documents by e-mail, and in which form. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        preserve_content = self.preserve_content

        alias = self.alias

        delivery_info: dict[str, Any] | Unset = UNSET
        if not isinstance(self.delivery_info, Unset):
            delivery_info = self.delivery_info.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "preserveContent": preserve_content,
            }
        )
        if alias is not UNSET:
            field_dict["alias"] = alias
        if delivery_info is not UNSET:
            field_dict["deliveryInfo"] = delivery_info

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(src_dict, {"preserveContent", "alias", "deliveryInfo"})
        preserve_content = d.pop("preserveContent")

        alias = d.pop("alias", UNSET)

        _delivery_info = d.pop("deliveryInfo", UNSET)
        delivery_info: DeliveryInfo | Unset
        if isinstance(_delivery_info, Unset):
            delivery_info = UNSET
        else:
            delivery_info = DeliveryInfo.from_dict(_delivery_info)

        preservation_info = cls(
            preserve_content=preserve_content,
            alias=alias,
            delivery_info=delivery_info,
        )

        preservation_info.additional_properties = d
        return preservation_info

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


from ..models.delivery_info import DeliveryInfo

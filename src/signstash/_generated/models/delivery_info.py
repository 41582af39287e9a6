from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, show_without_contents, without_null

T = TypeVar("T", bound="DeliveryInfo")


@_attrs_define
class DeliveryInfo:
    """Who receives the signed documents by e-mail, and in which form."""

    person_receiver: list[Person]
    """ The people who receive the e-mail. """
    attach_documents: bool | Unset = False
    """ Whether the signed documents are attached to the e-mail; if not, it holds a link. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        person_receiver = []
        for person_receiver_item_data in self.person_receiver:
            person_receiver_item = person_receiver_item_data.to_dict()
            person_receiver.append(person_receiver_item)

        attach_documents = self.attach_documents

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "personReceiver": person_receiver,
            }
        )
        if attach_documents is not UNSET:
            field_dict["attachDocuments"] = attach_documents

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(src_dict, {"personReceiver", "attachDocuments"})
        person_receiver = []
        _person_receiver = d.pop("personReceiver")
        for person_receiver_item_data in _person_receiver:
            person_receiver_item = Person.from_dict(person_receiver_item_data)

            person_receiver.append(person_receiver_item)

        attach_documents = d.pop("attachDocuments", UNSET)

        delivery_info = cls(
            person_receiver=person_receiver,
            attach_documents=attach_documents,
        )

        delivery_info.additional_properties = d
        return delivery_info

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


from ..models.person import Person

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, parse_datetime, show_without_contents, without_null

T = TypeVar("T", bound="SignatureQueuePriority")


@_attrs_define
class SignatureQueuePriority:
    """The queue in which the operation waits and the hours during which it is served."""

    id: int | Unset = UNSET
    """ Number of the queue. """
    name: str | Unset = UNSET
    """ Name of the queue. """
    start_time: datetime.datetime | Unset = UNSET
    """ From when the queue is served. """
    end_time: datetime.datetime | Unset = UNSET
    """ Until when the queue is served. """
    default_priority: bool | Unset = False
    """ Whether this is the queue for operations that name none. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        name = self.name

        start_time: str | Unset = UNSET
        if not isinstance(self.start_time, Unset):
            start_time = self.start_time.isoformat()

        end_time: str | Unset = UNSET
        if not isinstance(self.end_time, Unset):
            end_time = self.end_time.isoformat()

        default_priority = self.default_priority

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if name is not UNSET:
            field_dict["name"] = name
        if start_time is not UNSET:
            field_dict["startTime"] = start_time
        if end_time is not UNSET:
            field_dict["endTime"] = end_time
        if default_priority is not UNSET:
            field_dict["defaultPriority"] = default_priority

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(src_dict, {"id", "name", "startTime", "endTime", "defaultPriority"})
        id = d.pop("id", UNSET)

        name = d.pop("name", UNSET)

        _start_time = d.pop("startTime", UNSET)
        start_time: datetime.datetime | Unset
        if isinstance(_start_time, Unset):
            start_time = UNSET
        else:
            start_time = parse_datetime(_start_time)

        _end_time = d.pop("endTime", UNSET)
        end_time: datetime.datetime | Unset
        if isinstance(_end_time, Unset):
            end_time = UNSET
        else:
            end_time = parse_datetime(_end_time)

        default_priority = d.pop("defaultPriority", UNSET)

        signature_queue_priority = cls(
            id=id,
            name=name,
            start_time=start_time,
            end_time=end_time,
            default_priority=default_priority,
        )

        signature_queue_priority.additional_properties = d
        return signature_queue_priority

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

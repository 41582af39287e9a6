from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.content_type import ContentType
from ..types import show_without_contents, without_null

T = TypeVar("T", bound="Base64Document")


@_attrs_define
class Base64Document:
    """A document to sign whose contents travel inside the JSON request, encoded in base64."""

    external_reference: str
    """ The caller's own name for this document. It must be unique: a reference that was used before is refused with
    409 and code 0.0.7. """
    name: str
    """ File name of the document, with its ending. """
    base_64_content: str
    """ Contents of the document in base64 (RFC 4648, section 4), without line breaks. """
    content_type: ContentType
    """ Media type of a document. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        external_reference = self.external_reference

        name = self.name

        base_64_content = self.base_64_content

        content_type = self.content_type.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "externalReference": external_reference,
                "name": name,
                "base64Content": base_64_content,
                "contentType": content_type,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(src_dict, {"externalReference", "name", "base64Content", "contentType"})
        external_reference = d.pop("externalReference")

        name = d.pop("name")

        base_64_content = d.pop("base64Content")

        content_type = ContentType(d.pop("contentType"))

        base_64_document = cls(
            external_reference=external_reference,
            name=name,
            base_64_content=base_64_content,
            content_type=content_type,
        )

        base_64_document.additional_properties = d
        return base_64_document

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

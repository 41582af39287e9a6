from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.folder_content import FolderContent
from ..types import UNSET, Unset, show_without_contents, without_null

T = TypeVar("T", bound="Folder")


@_attrs_define
class Folder:
    """The folder in which the service groups the documents of one request."""

    folder_id: str | Unset = UNSET
    """ Identifier of the folder, given by the service. """
    external_reference: str | Unset = UNSET
    """ The caller's own name for the folder: the external reference of the request. """
    description: str | Unset = UNSET
    """ What the folder is about: the description of the request. """
    folder_content: FolderContent | Unset = UNSET
    """ What a folder holds: whole documents, or hashes alone (requests that came through a proxy). """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        folder_id = self.folder_id

        external_reference = self.external_reference

        description = self.description

        folder_content: str | Unset = UNSET
        if not isinstance(self.folder_content, Unset):
            folder_content = self.folder_content.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if folder_id is not UNSET:
            field_dict["folderId"] = folder_id
        if external_reference is not UNSET:
            field_dict["externalReference"] = external_reference
        if description is not UNSET:
            field_dict["description"] = description
        if folder_content is not UNSET:
            field_dict["folderContent"] = folder_content

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(
            src_dict, {"folderId", "externalReference", "description", "folderContent"}
        )
        folder_id = d.pop("folderId", UNSET)

        external_reference = d.pop("externalReference", UNSET)

        description = d.pop("description", UNSET)

        _folder_content = d.pop("folderContent", UNSET)
        folder_content: FolderContent | Unset
        if isinstance(_folder_content, Unset):
            folder_content = UNSET
        else:
            folder_content = FolderContent(_folder_content)

        folder = cls(
            folder_id=folder_id,
            external_reference=external_reference,
            description=description,
            folder_content=folder_content,
        )

        folder.additional_properties = d
        return folder

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

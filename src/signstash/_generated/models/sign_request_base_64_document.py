from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, show_without_contents, without_null

T = TypeVar("T", bound="SignRequestBase64Document")


@_attrs_define
class SignRequestBase64Document:
    """A request to sign one or more documents whose contents are in the request itself."""

    external_reference: str
    """ The caller's own name for this request. It must be unique: a reference that was used before is refused with
    409 and code 0.0.7. """
    description: str
    """ What the request is about, for the people who see it in the backoffice. """
    documents: list[SignDocumentBase64Document]
    """ The documents to sign, each with its signature. Fewer than 100 of 200 KB are advised for one request. """
    preservation_info: PreservationInfo | Unset = UNSET
    """ Whether and under which name the service keeps the signed documents, and to whom it delivers them. """
    return_signed_content: bool | Unset = False
    """ Whether the answer carries the signed contents. Through a proxy this is the only way to get them. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        external_reference = self.external_reference

        description = self.description

        documents = []
        for documents_item_data in self.documents:
            documents_item = documents_item_data.to_dict()
            documents.append(documents_item)

        preservation_info: dict[str, Any] | Unset = UNSET
        if not isinstance(self.preservation_info, Unset):
            preservation_info = self.preservation_info.to_dict()

        return_signed_content = self.return_signed_content

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "externalReference": external_reference,
                "description": description,
                "documents": documents,
            }
        )
        if preservation_info is not UNSET:
            field_dict["preservationInfo"] = preservation_info
        if return_signed_content is not UNSET:
            field_dict["returnSignedContent"] = return_signed_content

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(
            src_dict,
            {
                "externalReference",
                "description",
                "documents",
                "preservationInfo",
                "returnSignedContent",
            },
        )
        external_reference = d.pop("externalReference")

        description = d.pop("description")

        documents = []
        _documents = d.pop("documents")
        for documents_item_data in _documents:
            documents_item = SignDocumentBase64Document.from_dict(documents_item_data)

            documents.append(documents_item)

        _preservation_info = d.pop("preservationInfo", UNSET)
        preservation_info: PreservationInfo | Unset
        if isinstance(_preservation_info, Unset):
            preservation_info = UNSET
        else:
            preservation_info = PreservationInfo.from_dict(_preservation_info)

        return_signed_content = d.pop("returnSignedContent", UNSET)

        sign_request_base_64_document = cls(
            external_reference=external_reference,
            description=description,
            documents=documents,
            preservation_info=preservation_info,
            return_signed_content=return_signed_content,
        )

        sign_request_base_64_document.additional_properties = d
        return sign_request_base_64_document

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


from ..models.preservation_info import PreservationInfo
from ..models.sign_document_base_64_document import SignDocumentBase64Document

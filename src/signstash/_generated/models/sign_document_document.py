from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import show_without_contents, without_null

T = TypeVar("T", bound="SignDocumentDocument")


@_attrs_define
class SignDocumentDocument:
    """One entry of a multipart signing request: the document and the signature it is to get."""

    document_request: Document
    """ A document to sign whose contents travel as a part of a multipart request. """
    signature_info: SignatureInfo
    """ The signature that a document is to get. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        document_request = self.document_request.to_dict()

        signature_info = self.signature_info.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "documentRequest": document_request,
                "signatureInfo": signature_info,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(src_dict, {"documentRequest", "signatureInfo"})
        document_request = Document.from_dict(d.pop("documentRequest"))

        signature_info = SignatureInfo.from_dict(d.pop("signatureInfo"))

        sign_document_document = cls(
            document_request=document_request,
            signature_info=signature_info,
        )

        sign_document_document.additional_properties = d
        return sign_document_document

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


from ..models.document import Document
from ..models.signature_info import SignatureInfo

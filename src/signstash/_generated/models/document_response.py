from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.cipher_status import CipherStatus
from ..models.content_type import ContentType
from ..models.signing_error import SigningError
from ..models.signing_status import SigningStatus
from ..models.storage_status import StorageStatus
from ..types import UNSET, Unset, parse_datetime, show_without_contents, without_null

T = TypeVar("T", bound="DocumentResponse")


@_attrs_define
class DocumentResponse:
    """What became of one document: its states, its own failure if it has one, and its signed contents if they were asked
    for.

    """

    external_reference: str | Unset = UNSET
    """ The caller's own name for the document, as in the request. """
    name: str | Unset = UNSET
    """ File name of the document, as in the request. """
    internal_id: int | Unset = UNSET
    """ Number of the document, given by the service. """
    sign_status: SigningStatus | Unset = UNSET
    """ How far the signature of a single document has come. Only SIGNED means that it is signed. """
    sign_error: SigningError | Unset = UNSET
    """ Why a single document was not signed. """
    cipher_status: CipherStatus | Unset = UNSET
    """ Whether the stored contents of a document are encrypted. """
    storage_status: StorageStatus | Unset = UNSET
    """ Whether the service holds the contents of a document. """
    content_length: int | Unset = UNSET
    """ Size of the document, in bytes. """
    additional_content_length: int | Unset = UNSET
    """ Size of what is stored besides the document, in bytes. """
    reception_date: datetime.datetime | Unset = UNSET
    """ When the service received the document. """
    storage_period: int | Unset = UNSET
    """ How long the document is kept; the unit is not published. """
    storage_end_date: datetime.datetime | Unset = UNSET
    """ When the document stops being kept. """
    signed_content: str | Unset = UNSET
    """ The signed contents in base64. Present only when the request asked for them. """
    document_attributes: list[DocumentAttributeResponse] | Unset = UNSET
    """ The attributes of the signature that was asked for. """
    content_type: ContentType | Unset = UNSET
    """ Media type of a document. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        external_reference = self.external_reference

        name = self.name

        internal_id = self.internal_id

        sign_status: str | Unset = UNSET
        if not isinstance(self.sign_status, Unset):
            sign_status = self.sign_status.value

        sign_error: str | Unset = UNSET
        if not isinstance(self.sign_error, Unset):
            sign_error = self.sign_error.value

        cipher_status: str | Unset = UNSET
        if not isinstance(self.cipher_status, Unset):
            cipher_status = self.cipher_status.value

        storage_status: str | Unset = UNSET
        if not isinstance(self.storage_status, Unset):
            storage_status = self.storage_status.value

        content_length = self.content_length

        additional_content_length = self.additional_content_length

        reception_date: str | Unset = UNSET
        if not isinstance(self.reception_date, Unset):
            reception_date = self.reception_date.isoformat()

        storage_period = self.storage_period

        storage_end_date: str | Unset = UNSET
        if not isinstance(self.storage_end_date, Unset):
            storage_end_date = self.storage_end_date.isoformat()

        signed_content = self.signed_content

        document_attributes: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.document_attributes, Unset):
            document_attributes = []
            for document_attributes_item_data in self.document_attributes:
                document_attributes_item = document_attributes_item_data.to_dict()
                document_attributes.append(document_attributes_item)

        content_type: str | Unset = UNSET
        if not isinstance(self.content_type, Unset):
            content_type = self.content_type.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if external_reference is not UNSET:
            field_dict["externalReference"] = external_reference
        if name is not UNSET:
            field_dict["name"] = name
        if internal_id is not UNSET:
            field_dict["internalId"] = internal_id
        if sign_status is not UNSET:
            field_dict["signStatus"] = sign_status
        if sign_error is not UNSET:
            field_dict["signError"] = sign_error
        if cipher_status is not UNSET:
            field_dict["cipherStatus"] = cipher_status
        if storage_status is not UNSET:
            field_dict["storageStatus"] = storage_status
        if content_length is not UNSET:
            field_dict["contentLength"] = content_length
        if additional_content_length is not UNSET:
            field_dict["additionalContentLength"] = additional_content_length
        if reception_date is not UNSET:
            field_dict["receptionDate"] = reception_date
        if storage_period is not UNSET:
            field_dict["storagePeriod"] = storage_period
        if storage_end_date is not UNSET:
            field_dict["storageEndDate"] = storage_end_date
        if signed_content is not UNSET:
            field_dict["signedContent"] = signed_content
        if document_attributes is not UNSET:
            field_dict["documentAttributes"] = document_attributes
        if content_type is not UNSET:
            field_dict["contentType"] = content_type

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(
            src_dict,
            {
                "externalReference",
                "name",
                "internalId",
                "signStatus",
                "signError",
                "cipherStatus",
                "storageStatus",
                "contentLength",
                "additionalContentLength",
                "receptionDate",
                "storagePeriod",
                "storageEndDate",
                "signedContent",
                "documentAttributes",
                "contentType",
            },
        )
        external_reference = d.pop("externalReference", UNSET)

        name = d.pop("name", UNSET)

        internal_id = d.pop("internalId", UNSET)

        _sign_status = d.pop("signStatus", UNSET)
        sign_status: SigningStatus | Unset
        if isinstance(_sign_status, Unset):
            sign_status = UNSET
        else:
            sign_status = SigningStatus(_sign_status)

        _sign_error = d.pop("signError", UNSET)
        sign_error: SigningError | Unset
        if isinstance(_sign_error, Unset):
            sign_error = UNSET
        else:
            sign_error = SigningError(_sign_error)

        _cipher_status = d.pop("cipherStatus", UNSET)
        cipher_status: CipherStatus | Unset
        if isinstance(_cipher_status, Unset):
            cipher_status = UNSET
        else:
            cipher_status = CipherStatus(_cipher_status)

        _storage_status = d.pop("storageStatus", UNSET)
        storage_status: StorageStatus | Unset
        if isinstance(_storage_status, Unset):
            storage_status = UNSET
        else:
            storage_status = StorageStatus(_storage_status)

        content_length = d.pop("contentLength", UNSET)

        additional_content_length = d.pop("additionalContentLength", UNSET)

        _reception_date = d.pop("receptionDate", UNSET)
        reception_date: datetime.datetime | Unset
        if isinstance(_reception_date, Unset):
            reception_date = UNSET
        else:
            reception_date = parse_datetime(_reception_date)

        storage_period = d.pop("storagePeriod", UNSET)

        _storage_end_date = d.pop("storageEndDate", UNSET)
        storage_end_date: datetime.datetime | Unset
        if isinstance(_storage_end_date, Unset):
            storage_end_date = UNSET
        else:
            storage_end_date = parse_datetime(_storage_end_date)

        signed_content = d.pop("signedContent", UNSET)

        _document_attributes = d.pop("documentAttributes", UNSET)
        document_attributes: list[DocumentAttributeResponse] | Unset = UNSET
        if _document_attributes is not UNSET:
            document_attributes = []
            for document_attributes_item_data in _document_attributes:
                document_attributes_item = DocumentAttributeResponse.from_dict(
                    document_attributes_item_data
                )

                document_attributes.append(document_attributes_item)

        _content_type = d.pop("contentType", UNSET)
        content_type: ContentType | Unset
        if isinstance(_content_type, Unset):
            content_type = UNSET
        else:
            content_type = ContentType(_content_type)

        document_response = cls(
            external_reference=external_reference,
            name=name,
            internal_id=internal_id,
            sign_status=sign_status,
            sign_error=sign_error,
            cipher_status=cipher_status,
            storage_status=storage_status,
            content_length=content_length,
            additional_content_length=additional_content_length,
            reception_date=reception_date,
            storage_period=storage_period,
            storage_end_date=storage_end_date,
            signed_content=signed_content,
            document_attributes=document_attributes,
            content_type=content_type,
        )

        document_response.additional_properties = d
        return document_response

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


from ..models.document_attribute_response import DocumentAttributeResponse

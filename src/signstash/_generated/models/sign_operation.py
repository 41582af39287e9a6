from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.operation_status import OperationStatus
from ..models.operation_type import OperationType
from ..types import UNSET, Unset, parse_datetime, show_without_contents, without_null

T = TypeVar("T", bound="SignOperation")


@_attrs_define
class SignOperation:
    """A signing operation with its documents."""

    id: int | Unset = UNSET
    """ Number of the operation, given by the service. """
    type_: OperationType | Unset = UNSET
    """ What an operation does: sign documents, or extend the preservation of signed ones. """
    status: OperationStatus | Unset = UNSET
    """ How far an operation has come. EXECUTED means that all of it went well. """
    issuer_company: Company | Unset = UNSET
    """ The issuer: the company on whose behalf the client service signs. """
    issuer_client_service_alias: str | Unset = UNSET
    """ Alias of the client service that asked for the operation. """
    creation_date: datetime.datetime | Unset = UNSET
    """ When the operation was created. """
    folder_external_reference: str | Unset = UNSET
    """ External reference of the folder that holds the documents. """
    signature_queue_priority: SignatureQueuePriority | Unset = UNSET
    """ The queue in which the operation waits and the hours during which it is served. """
    folder: Folder | Unset = UNSET
    """ The folder in which the service groups the documents of one request. """
    document_list: list[DocumentResponse] | Unset = UNSET
    """ The documents of the operation and what became of each. """
    delivery_info: DeliveryInfo | Unset = UNSET
    """ Who receives the signed documents by e-mail, and in which form. """
    execution_time: int | Unset = UNSET
    """ How long the execution took, in milliseconds. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        type_: str | Unset = UNSET
        if not isinstance(self.type_, Unset):
            type_ = self.type_.value

        status: str | Unset = UNSET
        if not isinstance(self.status, Unset):
            status = self.status.value

        issuer_company: dict[str, Any] | Unset = UNSET
        if not isinstance(self.issuer_company, Unset):
            issuer_company = self.issuer_company.to_dict()

        issuer_client_service_alias = self.issuer_client_service_alias

        creation_date: str | Unset = UNSET
        if not isinstance(self.creation_date, Unset):
            creation_date = self.creation_date.isoformat()

        folder_external_reference = self.folder_external_reference

        signature_queue_priority: dict[str, Any] | Unset = UNSET
        if not isinstance(self.signature_queue_priority, Unset):
            signature_queue_priority = self.signature_queue_priority.to_dict()

        folder: dict[str, Any] | Unset = UNSET
        if not isinstance(self.folder, Unset):
            folder = self.folder.to_dict()

        document_list: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.document_list, Unset):
            document_list = []
            for document_list_item_data in self.document_list:
                document_list_item = document_list_item_data.to_dict()
                document_list.append(document_list_item)

        delivery_info: dict[str, Any] | Unset = UNSET
        if not isinstance(self.delivery_info, Unset):
            delivery_info = self.delivery_info.to_dict()

        execution_time = self.execution_time

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if type_ is not UNSET:
            field_dict["type"] = type_
        if status is not UNSET:
            field_dict["status"] = status
        if issuer_company is not UNSET:
            field_dict["issuerCompany"] = issuer_company
        if issuer_client_service_alias is not UNSET:
            field_dict["issuerClientServiceAlias"] = issuer_client_service_alias
        if creation_date is not UNSET:
            field_dict["creationDate"] = creation_date
        if folder_external_reference is not UNSET:
            field_dict["folderExternalReference"] = folder_external_reference
        if signature_queue_priority is not UNSET:
            field_dict["signatureQueuePriority"] = signature_queue_priority
        if folder is not UNSET:
            field_dict["folder"] = folder
        if document_list is not UNSET:
            field_dict["documentList"] = document_list
        if delivery_info is not UNSET:
            field_dict["deliveryInfo"] = delivery_info
        if execution_time is not UNSET:
            field_dict["executionTime"] = execution_time

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(
            src_dict,
            {
                "id",
                "type",
                "status",
                "issuerCompany",
                "issuerClientServiceAlias",
                "creationDate",
                "folderExternalReference",
                "signatureQueuePriority",
                "folder",
                "documentList",
                "deliveryInfo",
                "executionTime",
            },
        )
        id = d.pop("id", UNSET)

        _type_ = d.pop("type", UNSET)
        type_: OperationType | Unset
        if isinstance(_type_, Unset):
            type_ = UNSET
        else:
            type_ = OperationType(_type_)

        _status = d.pop("status", UNSET)
        status: OperationStatus | Unset
        if isinstance(_status, Unset):
            status = UNSET
        else:
            status = OperationStatus(_status)

        _issuer_company = d.pop("issuerCompany", UNSET)
        issuer_company: Company | Unset
        if isinstance(_issuer_company, Unset):
            issuer_company = UNSET
        else:
            issuer_company = Company.from_dict(_issuer_company)

        issuer_client_service_alias = d.pop("issuerClientServiceAlias", UNSET)

        _creation_date = d.pop("creationDate", UNSET)
        creation_date: datetime.datetime | Unset
        if isinstance(_creation_date, Unset):
            creation_date = UNSET
        else:
            creation_date = parse_datetime(_creation_date)

        folder_external_reference = d.pop("folderExternalReference", UNSET)

        _signature_queue_priority = d.pop("signatureQueuePriority", UNSET)
        signature_queue_priority: SignatureQueuePriority | Unset
        if isinstance(_signature_queue_priority, Unset):
            signature_queue_priority = UNSET
        else:
            signature_queue_priority = SignatureQueuePriority.from_dict(_signature_queue_priority)

        _folder = d.pop("folder", UNSET)
        folder: Folder | Unset
        if isinstance(_folder, Unset):
            folder = UNSET
        else:
            folder = Folder.from_dict(_folder)

        _document_list = d.pop("documentList", UNSET)
        document_list: list[DocumentResponse] | Unset = UNSET
        if _document_list is not UNSET:
            document_list = []
            for document_list_item_data in _document_list:
                document_list_item = DocumentResponse.from_dict(document_list_item_data)

                document_list.append(document_list_item)

        _delivery_info = d.pop("deliveryInfo", UNSET)
        delivery_info: DeliveryInfo | Unset
        if isinstance(_delivery_info, Unset):
            delivery_info = UNSET
        else:
            delivery_info = DeliveryInfo.from_dict(_delivery_info)

        execution_time = d.pop("executionTime", UNSET)

        sign_operation = cls(
            id=id,
            type_=type_,
            status=status,
            issuer_company=issuer_company,
            issuer_client_service_alias=issuer_client_service_alias,
            creation_date=creation_date,
            folder_external_reference=folder_external_reference,
            signature_queue_priority=signature_queue_priority,
            folder=folder,
            document_list=document_list,
            delivery_info=delivery_info,
            execution_time=execution_time,
        )

        sign_operation.additional_properties = d
        return sign_operation

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


from ..models.company import Company
from ..models.delivery_info import DeliveryInfo
from ..models.document_response import DocumentResponse
from ..models.folder import Folder
from ..models.signature_queue_priority import SignatureQueuePriority

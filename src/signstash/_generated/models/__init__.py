"""Contains all the data models used in inputs/outputs"""

from typing import TYPE_CHECKING

from ..types import importer

if TYPE_CHECKING:
    from .advanced_signature_info import AdvancedSignatureInfo
    from .base_64_document import Base64Document
    from .base_operation import BaseOperation
    from .canonical_transform import CanonicalTransform
    from .cipher_status import CipherStatus
    from .company import Company
    from .company_status import CompanyStatus
    from .content_type import ContentType
    from .delivery_info import DeliveryInfo
    from .delivery_status import DeliveryStatus
    from .document import Document
    from .document_attribute_key import DocumentAttributeKey
    from .document_attribute_response import DocumentAttributeResponse
    from .document_response import DocumentResponse
    from .error_response import ErrorResponse
    from .folder import Folder
    from .folder_content import FolderContent
    from .operation_status import OperationStatus
    from .operation_type import OperationType
    from .person import Person
    from .preservation_info import PreservationInfo
    from .sign_document_base_64_document import SignDocumentBase64Document
    from .sign_document_batch_binary_body import SignDocumentBatchBinaryBody
    from .sign_document_document import SignDocumentDocument
    from .sign_operation import SignOperation
    from .sign_request_base_64_document import SignRequestBase64Document
    from .sign_request_document import SignRequestDocument
    from .signature_info import SignatureInfo
    from .signature_queue_priority import SignatureQueuePriority
    from .signature_transform import SignatureTransform
    from .signature_type import SignatureType
    from .signing_error import SigningError
    from .signing_status import SigningStatus
    from .storage_status import StorageStatus
    from .visible_image_type import VisibleImageType
    from .visible_signature_info import VisibleSignatureInfo
    from .visible_signature_location_type import VisibleSignatureLocationType
    from .visible_signature_template_type import VisibleSignatureTemplateType
else:
    # Imported on first use: most programs need a few of them.
    __getattr__ = importer(
        __name__,
        {
            "AdvancedSignatureInfo": ".advanced_signature_info",
            "Base64Document": ".base_64_document",
            "BaseOperation": ".base_operation",
            "CanonicalTransform": ".canonical_transform",
            "CipherStatus": ".cipher_status",
            "Company": ".company",
            "CompanyStatus": ".company_status",
            "ContentType": ".content_type",
            "DeliveryInfo": ".delivery_info",
            "DeliveryStatus": ".delivery_status",
            "Document": ".document",
            "DocumentAttributeKey": ".document_attribute_key",
            "DocumentAttributeResponse": ".document_attribute_response",
            "DocumentResponse": ".document_response",
            "ErrorResponse": ".error_response",
            "Folder": ".folder",
            "FolderContent": ".folder_content",
            "OperationStatus": ".operation_status",
            "OperationType": ".operation_type",
            "Person": ".person",
            "PreservationInfo": ".preservation_info",
            "SignDocumentBase64Document": ".sign_document_base_64_document",
            "SignDocumentBatchBinaryBody": ".sign_document_batch_binary_body",
            "SignDocumentDocument": ".sign_document_document",
            "SignOperation": ".sign_operation",
            "SignRequestBase64Document": ".sign_request_base_64_document",
            "SignRequestDocument": ".sign_request_document",
            "SignatureInfo": ".signature_info",
            "SignatureQueuePriority": ".signature_queue_priority",
            "SignatureTransform": ".signature_transform",
            "SignatureType": ".signature_type",
            "SigningError": ".signing_error",
            "SigningStatus": ".signing_status",
            "StorageStatus": ".storage_status",
            "VisibleImageType": ".visible_image_type",
            "VisibleSignatureInfo": ".visible_signature_info",
            "VisibleSignatureLocationType": ".visible_signature_location_type",
            "VisibleSignatureTemplateType": ".visible_signature_template_type",
        },
    )

__all__ = (
    "AdvancedSignatureInfo",
    "Base64Document",
    "BaseOperation",
    "CanonicalTransform",
    "CipherStatus",
    "Company",
    "CompanyStatus",
    "ContentType",
    "DeliveryInfo",
    "DeliveryStatus",
    "Document",
    "DocumentAttributeKey",
    "DocumentAttributeResponse",
    "DocumentResponse",
    "ErrorResponse",
    "Folder",
    "FolderContent",
    "OperationStatus",
    "OperationType",
    "Person",
    "PreservationInfo",
    "SignatureInfo",
    "SignatureQueuePriority",
    "SignatureTransform",
    "SignatureType",
    "SignDocumentBase64Document",
    "SignDocumentBatchBinaryBody",
    "SignDocumentDocument",
    "SigningError",
    "SigningStatus",
    "SignOperation",
    "SignRequestBase64Document",
    "SignRequestDocument",
    "StorageStatus",
    "VisibleImageType",
    "VisibleSignatureInfo",
    "VisibleSignatureLocationType",
    "VisibleSignatureTemplateType",
)

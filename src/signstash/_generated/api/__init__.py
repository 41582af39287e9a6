"""The operations of the definition, one module each"""

from .document_sign import sign_document_batch_base_64, sign_document_batch_binary
from .operation_management import (
    get_operation_id_by_document_external_reference,
    get_sign_operation_detail,
    get_sign_operation_documents_content,
    get_status,
    resend_delivery_mails,
)

__all__ = (
    "resend_delivery_mails",
    "get_operation_id_by_document_external_reference",
    "get_sign_operation_detail",
    "get_sign_operation_documents_content",
    "get_status",
    "sign_document_batch_binary",
    "sign_document_batch_base_64",
)

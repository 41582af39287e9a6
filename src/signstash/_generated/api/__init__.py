"""The operations of the definition, one module each"""

from typing import TYPE_CHECKING

from ..types import importer

if TYPE_CHECKING:
    from .document_sign import sign_document_batch_base_64, sign_document_batch_binary
    from .operation_management import (
        get_operation_id_by_document_external_reference,
        get_sign_operation_detail,
        get_sign_operation_documents_content,
        get_status,
        resend_delivery_mails,
    )
else:
    # Imported on first use: most programs need a few of them.
    __getattr__ = importer(
        __name__,
        {
            "resend_delivery_mails": ".operation_management.resend_delivery_mails",
            "get_operation_id_by_document_external_reference": ".operation_management.get_operation_id_by_document_external_reference",
            "get_sign_operation_detail": ".operation_management.get_sign_operation_detail",
            "get_sign_operation_documents_content": ".operation_management.get_sign_operation_documents_content",
            "get_status": ".operation_management.get_status",
            "sign_document_batch_binary": ".document_sign.sign_document_batch_binary",
            "sign_document_batch_base_64": ".document_sign.sign_document_batch_base_64",
        },
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

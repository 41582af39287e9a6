"""Queries of the Integration Service about operations. A proxy signs and stores nothing."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from ._content.archives import UnusableArchiveError, extract
from ._content.arguments import path_from, refuse_flags
from ._signing.response import parse_leniently, read_operation
from ._signing.signer import operation_id_from
from ._transport.endpoints import (
    CONTENT_LIMIT,
    Call,
    detail,
    documents as documents_of,
    operation_id,
    resend_mails,
    status,
)
from ._transport.exchange import ServiceResponse
from .errors import DocumentNotSavedError, InvalidDocumentError
from .models import BaseOperation, SignOperation
from .options import refuse_addresses


class IntegrationQueries(ABC):
    """The part of `SignStash` that queries the Integration Service."""

    @abstractmethod
    async def _ask(self, call: Call) -> ServiceResponse:
        """Send a call, and return its response if it is a success."""

    async def get_operation_id(self, external_reference: str) -> int:
        """The ID of the operation that signed a document. Integration Service only: a proxy stores nothing.

        Args:
            external_reference: The document's external reference.

        Raises:
            SignStashError: If the service was not reached, or rejected the request.
        """
        return await operation_id_from(await self._ask(operation_id(external_reference)))

    async def get_status(self, operation_id: int) -> BaseOperation:
        """The status of an operation. Integration Service only: a proxy stores nothing.

        Args:
            operation_id: ID of the operation.

        Raises:
            SignStashError: If the service was not reached, or rejected the request.
        """
        response = await self._ask(status(operation_id))
        fields = await response.json()
        if not isinstance(fields, dict) or "id" not in fields:
            raise response.unreadable("is not an operation")
        return parse_leniently(BaseOperation, fields)

    async def get_operation(self, operation_id: int, *, include_content: bool = False) -> SignOperation:
        """An operation with its documents. Integration Service only: a proxy stores nothing.

        Args:
            operation_id: ID of the operation.
            include_content: Whether the documents carry their signed contents, in base64.

        Raises:
            SignStashError: If the service was not reached, or rejected the request.
        """
        refuse_flags(include_content=include_content)
        response = await self._ask(detail(operation_id, include_content=include_content))
        fields = await response.json()
        if not isinstance(fields, dict) or "id" not in fields:
            raise response.unreadable("is not an operation")
        return await asyncio.to_thread(read_operation, fields)

    async def download_documents(
        self, operation_id: int, save_to: str | os.PathLike[str], *, overwrite: bool = False
    ) -> list[Path]:
        """Save the signed documents of an operation. Integration Service only: a proxy stores nothing.

        The service sends them as a ZIP file, which is extracted; it is never in memory as a whole.

        Args:
            operation_id: ID of the operation.
            save_to: Folder for the documents. It is created if it does not exist.
            overwrite: Whether existing files are replaced. If not, none is written.

        Returns:
            The files. Each is named `<external reference>.<document name>`, with `_` for what cannot be in a name.

        Raises:
            DocumentNotSavedError: If a file exists already or cannot be written.
            SignStashError: If the service was not reached, rejected the request, or did not send a ZIP file.
        """
        refuse_flags(overwrite=overwrite)
        folder = path_from("save_to", save_to)
        response = await self._ask(documents_of(operation_id))
        try:
            return await asyncio.to_thread(
                extract, response.contents[""], folder, overwrite=overwrite, limit=CONTENT_LIMIT
            )
        except UnusableArchiveError as error:
            raise response.unreadable(str(error)) from error.__cause__
        except FileExistsError as error:
            raise DocumentNotSavedError(
                f"{error} exists already.", "Choose another folder, or replace files with overwrite=True."
            ) from error
        except OSError as error:
            raise DocumentNotSavedError(
                f"{error.filename or folder} cannot be written: {error.strerror}.",
                "Check folder, permissions and space, then download again.",
            ) from error

    async def resend_mails(
        self, operation_id: int, recipients: Sequence[str], *, attach_documents: bool = False
    ) -> None:
        """Send the e-mails about an operation again. Integration Service only: a proxy stores nothing.

        Args:
            operation_id: ID of the operation.
            recipients: E-mail addresses.
            attach_documents: Whether the documents are attached.

        Raises:
            SignStashError: If the service was not reached, or rejected the request.
        """
        refuse_flags(attach_documents=attach_documents)
        refuse_addresses("recipients", recipients)
        if not recipients:
            raise InvalidDocumentError("recipients is empty.", "Give at least one e-mail address.")
        response = await self._ask(resend_mails(operation_id, recipients, attach_documents=attach_documents))
        if "html" in response.headers.get("content-type", ""):
            raise response.unreadable("is a web page")

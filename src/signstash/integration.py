"""Queries of the Integration Service about operations. A proxy signs and stores nothing.

.. include:: integration.md
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._arguments import IterableNotStr, require_flags, require_path
from ._content.files import make_folder
from .errors import InvalidDocumentError
from .options import require_addresses

if TYPE_CHECKING:
    from ._transport.exchange import ServiceResponse
    from ._transport.retrying_exchange import RetryingExchange
    from .models import BaseOperation, SignOperation


class IntegrationQueries:
    """The part of `SignStash` that queries the Integration Service."""

    _retrying: RetryingExchange

    async def get_operation_id(self, external_reference: str) -> int:
        """The ID of the operation that signed a document. Integration Service only: a proxy stores nothing.

        Args:
            external_reference: The document's external reference.

        Raises:
            ApiError: With `status_code` 404 if nothing was processed under this reference.
            SignStashError: If the service was not reached, or rejected the request.
        """
        from ._signing.signer import operation_id_from
        from ._transport.endpoints import operation_id

        return await operation_id_from(await self._retrying.ask(operation_id(external_reference)))

    async def get_status(self, operation_id: int) -> BaseOperation:
        """The status of an operation. Integration Service only: a proxy stores nothing.

        Args:
            operation_id: ID of the operation.

        Raises:
            SignStashError: If the service was not reached, or rejected the request.
        """
        from ._signing.response import parse_leniently
        from ._transport.endpoints import status
        from .models import BaseOperation

        return parse_leniently(BaseOperation, await _operation_in(await self._retrying.ask(status(operation_id))))

    async def get_operation(self, operation_id: int, *, include_content: bool = False) -> SignOperation:
        """An operation with its documents. Integration Service only: a proxy stores nothing.

        Args:
            operation_id: ID of the operation.
            include_content: Whether the documents carry their signed contents, in base64.

        Raises:
            SignStashError: If the service was not reached, or rejected the request.
        """
        from ._signing.response import read_operation
        from ._transport.endpoints import detail

        require_flags(include_content=include_content)
        fields = await _operation_in(await self._retrying.ask(detail(operation_id, include_content=include_content)))
        return await asyncio.to_thread(read_operation, fields)

    async def download_documents(
        self, operation_id: int, save_to: str | os.PathLike[str], *, overwrite: bool = False
    ) -> list[Path]:
        """Save the signed documents of an operation. Integration Service only: a proxy stores nothing.

        Long documents go from the network to files; they are never in memory as a whole.

        Args:
            operation_id: ID of the operation.
            save_to: Folder for the documents. It is created if it does not exist.
            overwrite: Whether existing files are replaced. If not, and one exists, none is written.

        Returns:
            The files. Each is named `<external reference>.<document name>`, with `_` for what cannot be in a name.

        Raises:
            DocumentNotSavedError: If a file exists already or cannot be written.
            SignStashError: If the service was not reached, rejected the request, or did not send the documents.
        """
        from ._transport.endpoints import detail
        from ._transport.signed_content import receive_operation

        require_flags(overwrite=overwrite)
        folder = require_path("save_to", save_to).absolute()
        try:
            await asyncio.to_thread(make_folder, folder)
        except OSError as error:
            from .results import not_saved

            raise not_saved(error.filename or folder, error) from error
        call = detail(operation_id, include_content=True, receive=partial(receive_operation, folder=folder))
        response = await self._retrying.ask(call)
        fields = await _operation_in(response)
        return await asyncio.to_thread(_save_documents, response, fields, folder, overwrite=overwrite)

    async def resend_mails(
        self, operation_id: int, recipients: IterableNotStr[str], *, attach_documents: bool = False
    ) -> None:
        """Send the e-mails about an operation again. Integration Service only: a proxy stores nothing.

        Args:
            operation_id: ID of the operation.
            recipients: E-mail addresses.
            attach_documents: Whether the documents are attached.

        Raises:
            SignStashError: If the service was not reached, or rejected the request.
        """
        from ._transport.endpoints import resend_mails

        require_flags(attach_documents=attach_documents)
        require_addresses("recipients", recipients)
        if not recipients:
            raise InvalidDocumentError("recipients is empty.", "Give at least one e-mail address.")
        response = await self._retrying.ask(resend_mails(operation_id, recipients, attach_documents=attach_documents))
        if "html" in response.headers.get("content-type", ""):
            raise response.unreadable("is a web page")


async def _operation_in(response: ServiceResponse) -> dict[str, Any]:
    fields = await response.json()
    if not isinstance(fields, dict) or "id" not in fields:
        raise response.unreadable("is not an operation")
    return fields


def _save_documents(
    response: ServiceResponse, fields: Mapping[str, Any], folder: Path, *, overwrite: bool
) -> list[Path]:
    from ._signing.response import read_signed_documents
    from ._signing.saving import save_in_folder

    try:
        documents = read_signed_documents(fields, response.contents)
    except ValueError as error:
        raise response.unreadable(str(error)) from None
    return save_in_folder(documents, folder, overwrite=overwrite)

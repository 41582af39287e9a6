"""What can be asked of the Integration Service about operations. A proxy signs and keeps nothing.

.. include:: integration.md
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from ._content.archives import UnusableArchiveError, extract
from ._content.arguments import path_from, refuse_flags
from ._errors.parsing import json_object, json_value
from ._signing.response import parse_leniently, read_operation
from ._transport.endpoints import (
    CONTENT_LIMIT,
    Call,
    detail,
    documents as documents_of,
    operation_id,
    resend_mails,
    status,
)
from ._transport.exchange import Answer
from .errors import DocumentNotSavedError, InvalidDocumentError
from .models import BaseOperation, SignOperation
from .options import refuse_addresses


def as_number(answer: Answer, call: Call) -> int:
    """The number of an operation.

    Raises:
        UnexpectedAnswerError: If the answer is something else.
    """
    number = json_value(answer.body)
    if isinstance(number, bool) or not isinstance(number, int):
        raise answer.unreadable(call, "is no number of an operation")
    return number


class IntegrationQueries(ABC):
    """The part of `SignStash` that asks the Integration Service."""

    @abstractmethod
    async def _ask(self, call: Call) -> Answer:
        """Send a call, and return the answer if it is a success."""

    async def get_operation_id(self, external_reference: str) -> int:
        """The number of the operation that signed a document. Integration Service only: a proxy keeps nothing.

        Args:
            external_reference: The document's external reference.

        Raises:
            SignStashError: If the service was not reached, or refused.
        """
        call = operation_id(external_reference)
        return as_number(await self._ask(call), call)

    async def get_status(self, operation_id: int) -> BaseOperation:
        """How far an operation has come. Integration Service only: a proxy keeps nothing.

        Args:
            operation_id: Number of the operation.

        Raises:
            SignStashError: If the service was not reached, or refused.
        """
        call = status(operation_id)
        answer = await self._ask(call)
        fields = json_object(answer.body)
        if fields is None or "id" not in fields:
            raise answer.unreadable(call, "is no operation")
        return parse_leniently(BaseOperation, fields)

    async def get_operation(self, operation_id: int, *, include_content: bool = False) -> SignOperation:
        """An operation with its documents. Integration Service only: a proxy keeps nothing.

        Args:
            operation_id: Number of the operation.
            include_content: Whether the documents carry their signed contents, in base64.

        Raises:
            SignStashError: If the service was not reached, or refused.
        """
        refuse_flags(include_content=include_content)
        call = detail(operation_id, include_content=include_content)
        answer = await self._ask(call)

        def read() -> SignOperation | None:
            fields = json_object(answer.body)
            return read_operation(fields) if fields is not None and "id" in fields else None

        operation = await asyncio.to_thread(read)
        if operation is None:
            raise answer.unreadable(call, "is no operation")
        return operation

    async def download_documents(
        self, operation_id: int, save_to: str | os.PathLike[str], *, overwrite: bool = False
    ) -> list[Path]:
        """Save the signed documents of an operation. Integration Service only: a proxy keeps nothing.

        The service sends them as a ZIP file, which is extracted; it is never in memory as a whole.

        Args:
            operation_id: Number of the operation.
            save_to: Folder for the documents. It is made if it is not there.
            overwrite: Whether files that are there already are replaced. If not, none is written.

        Returns:
            The files. Each is named `<external reference>.<document name>`, with `_` for what cannot be in a name.

        Raises:
            DocumentNotSavedError: If a file is there already or cannot be written.
            SignStashError: If the service was not reached, refused, or did not send a ZIP file.
        """
        refuse_flags(overwrite=overwrite)
        folder = path_from("save_to", save_to)
        call = documents_of(operation_id)
        answer = await self._ask(call)
        try:
            return await asyncio.to_thread(
                extract, answer.contents[""], folder, overwrite=overwrite, limit=CONTENT_LIMIT
            )
        except UnusableArchiveError as error:
            raise answer.unreadable(call, str(error)) from error.__cause__
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
        """Send the mails about an operation again. Integration Service only: a proxy keeps nothing.

        Args:
            operation_id: Number of the operation.
            recipients: Who gets them.
            attach_documents: Whether they carry the documents.

        Raises:
            SignStashError: If the service was not reached, or refused.
        """
        refuse_flags(attach_documents=attach_documents)
        refuse_addresses("recipients", recipients)
        if not recipients:
            raise InvalidDocumentError("recipients is empty.", "Name who gets the mails.")
        call = resend_mails(operation_id, recipients, attach_documents=attach_documents)
        answer = await self._ask(call)
        if "html" in answer.headers.get("content-type", ""):
            raise answer.unreadable(call, "is a web page")

"""Signs documents with one request: makes it, sends it, and reads what came back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path

import attrs

from .._errors.parsing import json_object, json_value
from .._transport.endpoints import Call, detail, operation_id
from .._transport.exchange import SMALL_ANSWER, Answer, Exchange
from .._transport.signed_content import receive_operation
from .._transport.tracing import note_documents
from ..documents import Document, unique_reference
from ..errors import ApiError
from ..models import PreservationInfo
from ..results import Outcome, SignedBatch
from ..settings import MultipartFileNames, Upload
from .request import SigningRequest, described, signing_call
from .response import ResponseContext, read_batch, verified


@attrs.frozen(kw_only=True)
class RequestOptions:
    """What is asked for all documents of a request.

    Attributes:
        external_reference: The request's own reference, or None for one that is made.
        description: What it is about, for the people who see it in the backoffice, or None for the documents' names.
        preservation: What the service does with the signed documents, or None.
    """

    external_reference: str | None = None
    description: str | None = None
    preservation: PreservationInfo | None = None


@attrs.frozen(kw_only=True)
class Signer:
    """Signs documents with one request each time.

    Attributes:
        exchange: Sends requests.
        upload: How contents are sent.
        multipart_file_names: What files are called in a multipart upload.
        verify_signatures: Whether what comes back is verified.
    """

    exchange: Exchange
    upload: Upload
    multipart_file_names: MultipartFileNames
    verify_signatures: bool

    @property
    def client_service(self) -> str:
        """Alias of the client service."""
        return self.exchange.client_service

    async def prepare(self, documents: Mapping[str, Document], options: RequestOptions, folder: Path | None) -> Call:
        """Read documents, and make the request that signs them. It may be sent more than once.

        Args:
            documents: The documents by their external references, in order.
            options: What is asked for all of them.
            folder: Where long signed contents are kept in files until they are saved, or None for the system's folder
                of temporary files.

        Raises:
            InvalidDocumentError: If a document cannot be used. If several cannot, its cause holds the error of each.
        """
        reference = options.external_reference
        if reference is None:
            reference = unique_reference(self.client_service, "request", secrets.token_hex(6))
        return await signing_call(
            SigningRequest(reference, described(documents, options.description), options.preservation),
            documents,
            upload=self.upload,
            multipart_file_names=self.multipart_file_names,
            folder=folder,
        )

    async def send(self, call: Call) -> Answer:
        """Send a request once, and return the response.

        Raises:
            SignStashError: If the service refuses it or cannot be reached, or the response is lost.
        """
        return await self.exchange.send(call)

    async def read(self, answer: Answer, call: Call, documents: Mapping[str, Document]) -> SignedBatch:
        """Read the response to a request.

        Args:
            answer: The response.
            call: The request.
            documents: The documents by their external references, in order.

        Raises:
            UnexpectedAnswerError: If the response cannot be read.
        """
        batch = await self._batch(answer, documents)
        if batch is None:
            raise answer.unreadable(call, "is no operation")
        note_documents(failed=sum(not outcome.ok for outcome in batch.outcomes), of=len(batch.outcomes))
        return batch

    async def look_up(self, reference: str, document: Document, folder: Path | None) -> Outcome | None:
        """Ask the Integration Service for a document whose response was lost.

        Args:
            reference: External reference under which the document was sent.
            document: The document.
            folder: As for `prepare`.

        Returns:
            What became of the document, or None if the service does not know it.

        Raises:
            SignStashError: If the service refuses or cannot be reached.
        """
        asking = operation_id(reference)
        try:
            number = operation_number(await self.exchange.send(asking), asking)
        except ApiError as error:
            if error.status_code == HTTPStatus.NOT_FOUND:
                return None
            raise
        call = detail(number, include_content=True, receive=partial(receive_operation, folder=folder))
        answer = await self.exchange.send(call)
        batch = await self._batch(answer, {reference: document})
        if batch is None:
            raise answer.unreadable(call, "is no operation")
        return batch.outcomes[0]

    async def _batch(self, answer: Answer, documents: Mapping[str, Document]) -> SignedBatch | None:
        """What an operation says of documents, or None if the response is no operation."""

        def read() -> SignedBatch | None:
            fields = json_object(answer.body)
            if fields is None or not fields.keys() & {"id", "documentList"}:
                return None
            context = ResponseContext(
                status_code=answer.status_code,
                client_service=self.client_service,
                error_classes=self.exchange.error_classes,
                contents=answer.contents,
            )
            return read_batch(fields, documents, context)

        batch = read() if len(answer.body) < SMALL_ANSWER else await asyncio.to_thread(read)
        if batch is None or not self.verify_signatures:
            return batch
        return attrs.evolve(batch, outcomes=await asyncio.to_thread(lambda: tuple(map(verified, batch.outcomes))))


def operation_number(answer: Answer, call: Call) -> int:
    """Read the ID of an operation.

    Raises:
        UnexpectedAnswerError: If the response is something else.
    """
    number = json_value(answer.body)
    if isinstance(number, bool) or not isinstance(number, int):
        raise answer.unreadable(call, "is not an operation ID")
    return number

"""Signs documents with one request: makes it, sends it, and reads what came back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

import attrs

from .._content.arguments import require_text
from .._errors.parsing import operation_id_in
from .._errors.unknown import is_certainly_not_signed, reading_took_too_long, reference_used_by_failure
from .._transport.endpoints import Call, detail, operation_id
from .._transport.exchange import SMALL_BODY, Delivery, Exchange, ServiceResponse
from .._transport.signed_content import receive_operation
from .._transport.tracing import note_documents
from ..documents import Document, require_reference, unique_reference
from ..errors import ApiError, DuplicateReferenceError
from ..models import PreservationInfo
from ..options import Preservation, preservation_from
from ..results import Outcome, SignedBatch
from ..retries import Deadline
from ..settings import MultipartFileNames, Upload
from .request import SigningRequest, described, signing_call
from .response import ResponseContext, read_batch, verified
from .saving import SignedFiles

FEW_OBJECTS: Final = 200
"""Objects of a response that are read in the event loop; more are read in a thread."""


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

    @classmethod
    def of(
        cls,
        description: str | None,
        preservation: Preservation | PreservationInfo | None,
        external_reference: str | None = None,
    ) -> Self:
        """Validate what a caller asks for.

        Raises:
            InvalidDocumentError: If one of the arguments cannot be used.
        """
        if description is not None:
            require_text("description", description)
        if external_reference is not None:
            require_reference("external_reference", external_reference)
        return cls(
            external_reference=external_reference, description=description, preservation=preservation_from(preservation)
        )


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

    async def prepare(
        self,
        documents: Mapping[str, Document],
        options: RequestOptions,
        folder: Path | None = None,
        *,
        files: SignedFiles | None = None,
        deadline: Deadline | None = None,
    ) -> Call:
        """Read documents, and make the request that signs them. It may be sent more than once.

        Args:
            documents: The documents by their external references, in order.
            options: What is asked for all of them.
            folder: Where long signed contents are kept in files until they are saved, or None for the system's folder
                of temporary files.
            files: Where the signed documents will be saved, if their files are still to be claimed.
            deadline: When the call ends. By default it begins now.

        Raises:
            InvalidDocumentError: If a document cannot be used. If several cannot, its cause holds the error of each.
            DocumentNotSavedError: If a file cannot be claimed.
            ConnectionFailedError: If reading them takes longer than the deadline allows.
        """
        reference = options.external_reference
        if reference is None:
            reference = unique_reference(self.client_service, "request", secrets.token_hex(6))
        deadline = deadline or Deadline.after(self.exchange.deadline)
        try:
            async with asyncio.timeout_at(deadline.at):
                return await signing_call(
                    SigningRequest(reference, described(documents, options.description), options.preservation),
                    documents,
                    upload=self.upload,
                    multipart_file_names=self.multipart_file_names,
                    folder=folder,
                    files=files,
                )
        except TimeoutError as error:
            raise reading_took_too_long(self.exchange.deadline, tuple(documents)) from error

    async def send(self, call: Call, delivery: Delivery | None = None) -> ServiceResponse:
        """Send a request once, and return the response.

        Args:
            call: The request.
            delivery: Records whether the service may have the request, also if this is cancelled.

        Raises:
            SignStashError: If the service rejects it or cannot be reached, or the response is lost.
        """
        return await self.exchange.send(call, delivery=delivery)

    async def read(self, response: ServiceResponse, documents: Mapping[str, Document]) -> SignedBatch:
        """Read the response to a request.

        Args:
            response: The response.
            documents: The documents by their external references, in order.

        Raises:
            UnexpectedAnswerError: If the response cannot be read.
        """
        batch = await self._batch(response, documents)
        if batch is None:
            raise response.unreadable("is not an operation")
        for (reference, document), outcome in zip(documents.items(), batch.outcomes, strict=True):
            document._note_attempt(reference, failed=is_certainly_not_signed(outcome.error))
        note_documents(failed=sum(not outcome.ok for outcome in batch.outcomes), of=len(batch.outcomes))
        return batch

    def note_doubt(self, documents: Mapping[str, Document]) -> None:
        """Take note that a request may have signed documents, so that what comes later is not put down to a failure.

        Args:
            documents: The documents of the request by their external references.
        """
        for reference, document in documents.items():
            document._note_attempt(reference, failed=False)

    def explained(self, error: DuplicateReferenceError, documents: Mapping[str, Document]) -> DuplicateReferenceError:
        """The same error, or a better one if the last attempt under the caller's own reference failed.

        Args:
            error: What was raised for a request.
            documents: The documents of the request by their external references.
        """
        (reference, document), *others = documents.items()
        if others or not document._attempts.failed:  # of several documents it may be another one
            return error
        return reference_used_by_failure(document.name, reference, error)

    async def look_up(self, reference: str, document: Document, folder: Path | None) -> Outcome | None:
        """Ask the Integration Service for a document whose response was lost.

        Args:
            reference: External reference under which the document was sent.
            document: The document.
            folder: As for `prepare`.

        Returns:
            What became of the document, or None if the service does not know it.

        Raises:
            SignStashError: If the service rejects the query or cannot be reached.
        """
        try:
            found = await operation_id_from(await self.exchange.send(operation_id(reference)))
        except ApiError as error:
            if error.status_code == HTTPStatus.NOT_FOUND:
                return None
            raise
        call = detail(found, include_content=True, receive=partial(receive_operation, folder=folder))
        response = await self.exchange.send(call)
        batch = await self._batch(response, {reference: document})
        if batch is None:
            raise response.unreadable("is not an operation")
        return batch.outcomes[0]

    async def _batch(self, response: ServiceResponse, documents: Mapping[str, Document]) -> SignedBatch | None:
        """What a response says about documents, or None if it is not an operation."""
        fields = await response.json()
        if not isinstance(fields, dict) or not fields.keys() & {"id", "documentList"}:
            return None
        context = ResponseContext(
            status_code=response.status_code,
            client_service=self.client_service,
            error_classes=self.exchange.error_classes,
            contents=response.contents,
        )
        read = partial(read_batch, fields, documents, context)
        is_small = len(response.body) < SMALL_BODY and response.body.count(b"{") < FEW_OBJECTS
        batch = read() if is_small else await asyncio.to_thread(read)
        if not self.verify_signatures:
            return batch
        return attrs.evolve(batch, outcomes=await asyncio.to_thread(lambda: tuple(map(verified, batch.outcomes))))


async def operation_id_from(response: ServiceResponse) -> int:
    """Read the ID of an operation.

    Raises:
        UnexpectedAnswerError: If the response is something else.
    """
    found = operation_id_in(await response.json())
    if found is None:
        raise response.unreadable("is not an operation ID")
    return found

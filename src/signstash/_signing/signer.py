"""Signs documents with one request: makes it, sends it, and reads what came back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

import attrs

from .._arguments import require_flags
from .._errors.parsing import operation_id_in
from .._errors.unknown import is_certainly_not_signed, noted, reading_took_too_long, reference_used_by_failure
from .._event_loop import completed, in_thread
from .._transport.endpoints import Call, detail, operation_id
from .._transport.exchange import SMALL_BODY, Exchange, ServiceResponse
from .._transport.retrying_exchange import RetryingExchange
from .._transport.signed_content import receive_operation
from .._transport.tracing import call_span, note_documents
from ..documents import Document, require_document
from ..errors import ApiError, DuplicateReferenceError
from ..results import Outcome, SignedBatch
from ..retries import Deadline
from ..settings import MultipartFileNames, SaveTo, Upload
from .request import RequestOptions, index_by_reference, signing_call
from .response import listed_documents, read_batch, verified
from .saving import SignedFiles

FEW_OBJECTS: Final = 200
"""Objects of a response that are read in the event loop; more are read in a thread."""


@attrs.frozen(eq=False, repr=False)
class Signer:
    """Signs documents with one request each time, which `exchange` sends; `SignStash` describes its options."""

    exchange: Exchange
    upload: Upload
    multipart_file_names: MultipartFileNames
    verify_signatures: bool

    async def sign(
        self,
        documents: Iterable[Document],
        options: RequestOptions,
        retrying: RetryingExchange,
        *,
        save_to: SaveTo | None,
        overwrite: bool,
    ) -> SignedBatch:
        """Sign documents with one request, and save them if it is asked for."""
        require_flags(overwrite=overwrite)
        given = [require_document(document) for document in documents]
        sent = index_by_reference([(document.reference(self.exchange.client_service), document) for document in given])
        files = None if save_to is None else SignedFiles(save_to=save_to, overwrite=overwrite)
        deadline = Deadline.after(self.exchange.deadline)
        with call_span("sign", sent):
            try:
                with self.noting_doubt(sent):
                    call = await self.prepare(sent, options, files=files, deadline=deadline)
                    response = await retrying.send(call, deadline)
            except DuplicateReferenceError as error:
                if len(given) > 1 or not given[0]._state.failed:  # of several documents, the service does not say which
                    raise
                raise reference_used_by_failure(given[0].name, next(iter(sent)), error) from error.__cause__
            return await self.read(response, sent, files)

    async def prepare(
        self,
        documents: Mapping[str, Document],
        options: RequestOptions,
        folder: Path | None = None,
        *,
        files: SignedFiles | None = None,
        deadline: Deadline,
    ) -> Call:
        """Read documents, and make the request that signs them. It may be sent more than once.

        Args:
            documents: The documents by their external references, in order.
            options: The options of the request.
            folder: Where long signed contents are kept in files until they are saved, or None for the system's folder
                of temporary files.
            files: Where the signed documents will be saved: each claims its file before anything else. The folder of
                the first is then used instead of `folder`.
            deadline: Reading beyond it raises a `ConnectionFailedError`.
        """
        make = partial(
            signing_call,
            documents,
            options.fields(documents, self.exchange.client_service),
            upload=self.upload,
            multipart_file_names=self.multipart_file_names,
            folder=folder,
            files=files,
        )
        if files is None and len(documents) == 1 and all(document.in_memory for document in documents.values()):
            return make()
        try:
            async with asyncio.timeout_at(deadline.at):
                for document in documents.values():
                    await document._load()
                return await in_thread(make)
        except TimeoutError as error:
            raise reading_took_too_long(self.exchange.deadline, tuple(documents)) from error

    async def read(
        self, response: ServiceResponse, documents: Mapping[str, Document], files: SignedFiles | None = None
    ) -> SignedBatch:
        """Read the response to a request, and save what is signed in the files that are claimed."""
        _note_doubt(documents)  # until it is read
        fields = await response.json()
        if not isinstance(fields, dict) or not fields.keys() & {"id", "documentList"}:
            raise response.unreadable("is not an operation")

        def read() -> SignedBatch:
            batch = read_batch(fields, documents, response)
            outcomes = tuple(map(verified, batch.outcomes)) if self.verify_signatures else batch.outcomes
            for (reference, document), outcome in zip(documents.items(), outcomes, strict=True):
                document._note_request(reference, failed=is_certainly_not_signed(outcome.error))
            note_documents(failed=sum(not outcome.ok for outcome in outcomes), of=len(outcomes))
            saved = outcomes if files is None else files.save(outcomes, list(files.claimed))
            return SignedBatch(operation=batch.operation, outcomes=saved)

        is_small = len(response.body) < SMALL_BODY and response.body.count(b"{") < FEW_OBJECTS
        with noted(documents, maybe_processed=True):
            if files is not None:
                return await completed(in_thread(read))
            return read() if is_small and not self.verify_signatures else await in_thread(read)

    @contextlib.contextmanager
    def noting_doubt(self, documents: Mapping[str, Document]) -> Iterator[None]:
        """Record on documents that a failed request may have signed them, and name them on a cancellation."""
        try:
            with noted(documents):
                yield
        except BaseException as error:  # a cancellation, too
            if getattr(error, "maybe_processed", True):
                _note_doubt(documents)
            raise

    async def look_up(
        self, documents: Mapping[str, Document], folder: Path | None, deadline: Deadline
    ) -> Mapping[str, Outcome]:
        """Ask the Integration Service for the operation of the first document, and take all of these that it has."""
        reference = next(iter(documents))
        try:
            found = await operation_id_from(await self.exchange.send(operation_id(reference), deadline))
        except ApiError as error:
            if error.status_code == HTTPStatus.NOT_FOUND:
                return {}
            raise
        call = detail(found, include_content=True, receive=partial(receive_operation, folder=folder))
        response = await self.exchange.send(call, deadline)
        listed = {str(item.get("externalReference")) for item in listed_documents(await response.json())} | {reference}
        given = {reference: document for reference, document in documents.items() if reference in listed}
        return dict(zip(given, (await self.read(response, given)).outcomes, strict=True))


def _note_doubt(documents: Mapping[str, Document]) -> None:
    """Record that documents may be signed, so that a later rejection of their references may mean just that."""
    for reference, document in documents.items():
        document._note_request(reference, failed=False)


async def operation_id_from(response: ServiceResponse) -> int:
    """The ID of an operation that is the whole response."""
    found = operation_id_in(await response.json())
    if found is None:
        raise response.unreadable("is not an operation ID")
    return found

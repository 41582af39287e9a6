"""Signs documents with one request."""

from __future__ import annotations

from collections.abc import Iterable

from .._content.arguments import require_flags
from .._errors.unknown import noted
from .._signing.request import RequestOptions, index_by_reference
from .._signing.saving import SignedFiles
from .._signing.signer import Signer
from .._transport.requests import Requests
from .._transport.tracing import call_span
from ..documents import Document
from ..results import SignedBatch
from ..retries import Deadline
from ..settings import SaveTo
from .concurrency import completed


async def sign_with_one_request(
    signer: Signer,
    requests: Requests,
    documents: Iterable[Document],
    options: RequestOptions,
    *,
    save_to: SaveTo | None,
    overwrite: bool,
) -> SignedBatch:
    """Sign documents, and save them if it is asked for."""
    require_flags(overwrite=overwrite)
    sent = index_by_reference(list(documents), signer.client_service)
    files = None if save_to is None else SignedFiles(save_to=save_to, overwrite=overwrite)
    deadline = Deadline.after(signer.exchange.deadline)
    with call_span("sign", sent):
        with signer.explaining(sent):
            call = await signer.prepare(sent, options, files=files, deadline=deadline)
            response = await requests.send(call, deadline)
        with noted(sent, maybe_processed=True):
            received = signer.read(response, sent, files)
            return await (received if files is None else completed(received))

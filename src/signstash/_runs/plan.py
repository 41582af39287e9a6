"""Plans which documents a request carries."""

from __future__ import annotations

import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import Literal

import attrs

from ..documents import Document, refuse_other_types
from ..errors import (
    SignStashError,
)
from ..results import Outcome

UnknownOutcomes = Literal["set_aside", "look_up", "send_again"]
"""What happens to documents whose request went out and whose answer was lost.

- `set_aside`: each gets an `OutcomeUnknownError`, for a person to decide.
- `look_up`: on the Integration Service they are looked up by their references, and their signed contents fetched; what
  is not there is sent again. If the service cannot be asked, the next run with the same journal asks again.
- `send_again`: they are sent again under the same references. The service refuses those that went through
  (`DuplicateReferenceError`); these are then known to be signed, but a proxy does not have their contents any more.
"""


@attrs.frozen(kw_only=True)
class Progress:
    """How far a run has come.

    Attributes:
        signed: Documents that are signed.
        failed: Documents that are not, each with its reason.
        requests: Requests that were answered or failed.
        content_bytes: Bytes of the documents that are done.
        in_flight: Requests that are under way.
        seconds: Seconds since the run began.
    """

    signed: int = 0
    failed: int = 0
    requests: int = 0
    content_bytes: int = 0
    in_flight: int = 0
    seconds: float = 0.0


@attrs.frozen(eq=False)
class PlannedDocument:
    """A document that is to be sent.

    Attributes:
        given: The document as the caller gave it.
        document: The same, with the reference under which it is sent.
        reference: That reference.
        size: Length of its contents in bytes.
        target: Where its signed bytes are to be saved, or None.
        digest: SHA-256 of its contents, or an empty text if nobody asks for it.
        replaces: Whether its target was there before.
        lost: Whether an earlier run sent it and recorded no answer.
        requeued: Whether a person decided that it is sent again.
        identity: By what it would be recognised in the same run.
    """

    given: Document
    document: Document
    reference: str
    size: int
    target: Path | None = None
    digest: str = ""
    replaces: bool = False
    lost: bool = False
    requeued: bool = False
    identity: str = ""


async def batches(
    documents: Iterable[Document] | AsyncIterable[Document],
    plan: Callable[[Document], Awaitable[PlannedDocument | Outcome | None]],
    *,
    count: int,
    content_bytes: int,
) -> AsyncGenerator[list[PlannedDocument] | Outcome, None]:
    """Put documents together into batches, taking no more of them than the next batch needs.

    Args:
        documents: What is to be signed.
        plan: What is to be done with each.
        count: Documents that a batch may have.
        content_bytes: Bytes that a batch may have; a longer document is alone in its own.

    Yields:
        Batches, and the outcomes that are known without sending anything.
    """
    batch: list[PlannedDocument] = []
    room = content_bytes
    async with contextlib.aclosing(_each(documents)) as source:
        async for document in source:
            refuse_other_types(document)
            item = await plan(document)
            if isinstance(item, Outcome):
                yield item
            elif item is not None and item.lost:
                yield [item]
            elif item is not None:
                if batch and item.size > room:
                    yield batch
                    batch, room = [], content_bytes
                batch.append(item)
                room -= item.size
                if len(batch) == count or room <= 0:
                    yield batch
                    batch, room = [], content_bytes
    if batch:
        yield batch


async def _each(documents: Iterable[Document] | AsyncIterable[Document]) -> AsyncGenerator[Document, None]:
    if isinstance(documents, AsyncGenerator):
        async with contextlib.aclosing(documents):
            async for document in documents:
                yield document
    elif isinstance(documents, AsyncIterable):
        async for document in documents:
            yield document
    else:
        with contextlib.closing(documents) if isinstance(documents, Generator) else contextlib.nullcontext():
            for document in documents:
                yield document


@attrs.frozen
class Batch:
    """Documents that are to be sent with one request, or one that is to be looked up.

    Attributes:
        items: The documents.
        lost: The error by which the answer to an earlier request with them was lost, or None.
        ask: Whether the service is asked what became of the document, before it is sent.
    """

    items: Sequence[PlannedDocument]
    lost: SignStashError | None = None
    ask: bool = False


@attrs.frozen
class BatchResult:
    """What came of a batch. Documents that are neither in outcomes nor in what is next were not sent.

    Attributes:
        outcomes: By document.
        unsettled: Documents whose outcome stays unknown for now: the next run settles it.
        next: What is to be done with others.
    """

    outcomes: Mapping[PlannedDocument, Outcome] = attrs.field(factory=dict[PlannedDocument, Outcome])
    unsettled: Sequence[PlannedDocument] = ()
    next: Sequence[Batch] = ()

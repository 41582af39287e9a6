"""What a run plans: documents, the batches that they are sent in, and what came of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from .._signing.request import RequestOptions
from ..documents import Document
from ..errors import SignStashError
from ..results import Outcome


class Callers(Protocol):
    """Those who want the documents of a run signed."""

    def _options_for(self, document: Document, /) -> RequestOptions:
        """What is asked for a document. Documents with different options are in different requests."""
        ...

    def _want(self, document: Document, /) -> bool:
        """Whether a document that is about to be sent is still wanted."""
        ...

    def _sending(self, documents: Sequence[Document], /) -> None:
        """Take note that documents are sent now."""
        ...


@attrs.frozen
class OneCaller:
    """A caller who wants every document, with the same options."""

    options: RequestOptions

    def _options_for(self, _: Document, /) -> RequestOptions:
        return self.options

    def _want(self, _: Document, /) -> bool:
        return True

    def _sending(self, _: Sequence[Document], /) -> None: ...


@attrs.frozen(eq=False)
class PlannedDocument:
    """A document that is to be sent.

    Attributes:
        given: The document as the caller gave it.
        document: The same, with the reference under which it is sent.
        attempt: Number of the reference that the SDK made for it, from 1, or 0 if the reference is the caller's own.
        digest: SHA-256 of its contents, or empty without a journal.
        failed_before: Whether an earlier attempt failed that may have used up its reference, which is the caller's own.
        lost: Whether an earlier run sent it and recorded no response.
        is_signed: Whether a response to an earlier run said that it is signed, and its signed bytes are lost.
        requeued: Whether somebody decided that it is sent again.
        identity: What it is recognised by in the same run.
    """

    given: Document
    document: Document
    reference: str
    size: int
    attempt: int = 0
    target: Path | None = None
    digest: str = ""
    failed_before: bool = False
    lost: bool = False
    is_signed: bool = False
    requeued: bool = False
    identity: str = ""

    @property
    def folder(self) -> Path | None:
        return None if self.target is None else self.target.parent


@attrs.frozen(eq=False)
class Batch:
    """Documents that are to be sent with one request, or one that is to be looked up.

    Attributes:
        lost: The error by which the response to an earlier request with them was lost, or None.
        look_up: Whether the service is asked what became of the document, before it is sent.
    """

    items: Sequence[PlannedDocument]
    options: RequestOptions
    lost: SignStashError | None = None
    look_up: bool = False


@attrs.frozen
class BatchResult:
    """What came of a batch. Documents that are neither in `outcomes` nor in `next` were not sent.

    Attributes:
        outcomes: By document.
        unresolved: Documents whose outcome stays unknown for now: the next run resolves it.
        next: Batches that are to follow.
    """

    outcomes: Mapping[PlannedDocument, Outcome] = attrs.field(factory=dict[PlannedDocument, Outcome])
    unresolved: Sequence[PlannedDocument] = ()
    next: Sequence[Batch] = ()


class OpenBatch:
    """The batch that documents are added to until it is full; one that is longer than all its bytes is alone in it."""

    def __init__(self, options: RequestOptions, documents: int, content_bytes: int) -> None:
        self.options = options
        self._most, self._most_bytes = documents, content_bytes
        self._items: list[PlannedDocument] = []
        self.room = content_bytes
        """Bytes that it still has room for."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def places(self) -> int:
        """Documents that it still has room for."""
        return self._most - len(self._items)

    def add(self, item: PlannedDocument) -> list[Batch]:
        """Add a document, and return the batches that are full now."""
        full = [self.take()] if self._items and item.size > self.room else []
        self._items.append(item)
        self.room -= item.size
        if len(self._items) == self._most or self.room <= 0:
            full.append(self.take())
        return full

    def take(self) -> Batch:
        """Close it as it is, and open the next one."""
        items, self._items, self.room = self._items, [], self._most_bytes
        return Batch(items, self.options)

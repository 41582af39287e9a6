"""What a run plans: documents, the batches that they are sent in, and the results of batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from .._signing.request import RequestOptions
from ..documents import Document
from ..errors import SignStashError
from ..journal import Entry
from ..results import Outcome


@attrs.frozen(eq=False, repr=False)
class Callers:
    """The callers of a run, who want its documents signed.

    Attributes:
        options_for: The request options of a document. Documents with different ones are in different requests.
        is_wanted: Whether a document that is about to be sent is still wanted.
        sending: Is called when documents are sent, or an earlier run is known to have sent them; with None, when they
            were not processed and follow in another request; with False, when they are not sent any more.
        are_waiting: Whether somebody waits for each document, and not for the end of the run.
    """

    options_for: Callable[[Document], RequestOptions]
    is_wanted: Callable[[Document], bool] = lambda _: True
    sending: Callable[[Sequence[PlannedDocument], bool | None], None] = lambda *_: None
    are_waiting: bool = False


@attrs.frozen(eq=False)
class PlannedDocument:
    """A document that is to be sent.

    Attributes:
        given: The document as the caller gave it.
        document: The same, whose contents may not change any more.
        entry: Its record: the reference under which it is sent, and the state in which an earlier run left it.
        size: Bytes of its contents.
        target: The file for the signed document, or None.
        failed_before: Whether an earlier request failed that may have used up its reference, which is the caller's own.
    """

    given: Document
    document: Document
    entry: Entry
    size: int
    target: Path | None
    failed_before: bool

    @property
    def reference(self) -> str:
        return self.entry.reference

    @property
    def is_signed(self) -> bool:
        """Whether a response to an earlier run said that it is signed, and its signed contents are lost."""
        return self.entry.state == "received"

    @property
    def folder(self) -> Path | None:
        return None if self.target is None else self.target.parent


@attrs.define(eq=False)
class Batch:
    """Documents that are to be sent with one request, or to be looked up.

    Attributes:
        size: Bytes of the documents, while it is being filled.
        lost: The error by which the response to an earlier request with them was lost, or None.
        look_up: Whether the documents are looked up at the service before they are sent.
    """

    items: list[PlannedDocument]
    options: RequestOptions
    lost: SignStashError | None = None
    look_up: bool = False
    size: int = 0


@attrs.frozen(eq=False, repr=False)
class BatchResult:
    """The result of a batch. Documents that are neither in `outcomes` nor in `next` were not sent.

    Attributes:
        outcomes: By document.
        unresolved: Documents whose outcome stays unknown for now: the next run resolves it.
        next: Batches that are to follow.
    """

    outcomes: Mapping[PlannedDocument, Outcome] = attrs.field(factory=dict[PlannedDocument, Outcome])
    unresolved: Sequence[PlannedDocument] = ()
    next: Sequence[Batch] = ()

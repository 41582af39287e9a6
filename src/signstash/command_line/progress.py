"""How far a run is."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .formatting import duration, size_of


@attrs.frozen(kw_only=True)
class RunProgress:
    """How far a run is.

    Attributes:
        documents: Number of documents in the run.
        total_bytes: Their size in all.
        done: Documents with a result.
        signed: Those of them that were signed.
        skipped: Those of them that had been signed before.
        content_bytes: Size of the documents with a result.
        problems: One line for each cause of failure so far.
    """

    documents: int
    total_bytes: int
    done: int = 0
    signed: int = 0
    skipped: int = 0
    content_bytes: int = 0
    problems: Sequence[str] = ()

    def text(self, seconds: float) -> str:
        """Return how much is done after some seconds, the rate, and the remaining time.

        Rate and remaining time are those of the whole run, as in the summary: batches end in bursts, in which any
        shorter window shows nonsense. They are not known before something is signed.
        """
        rate = f"{self.signed / seconds:.1f}/s" if self.signed and seconds else "-/s"
        worked = self.done - self.skipped if self.signed else 0  # what cannot be read has a result at once
        left = duration((self.documents - self.done) * seconds / worked if worked else None)
        sizes = f"{size_of(self.content_bytes)} of {size_of(self.total_bytes)}"
        return f"{self.done:,} of {self.documents:,}, {sizes}, {rate}, {left} left"

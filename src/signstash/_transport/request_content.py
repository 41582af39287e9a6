"""The body of a signing request: written by the generated code, with contents put in while it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from typing import Final, Literal

import attrs
import httpx

from .._content.base64 import encode_base64
from .._content.snapshots import ContentSnapshot
from ..errors import ConfigurationError, InvalidDocumentError
from .bodies import Redacted

BLOCK: Final = 192 * 1024
"""Bytes of contents that are read at once; a multiple of three, so that each block is base64 of its own."""
PORTION: Final = 512 * 1024
"""Bytes of a body that are made ready in one visit to a thread."""
TAKEN_AT_ONCE: Final = 64 * 1024
"""Most bytes of a final portion that are sent with one write. The last byte of a longer one is sent separately: if
sending fails before it, the service cannot have the whole request."""
SMALL: Final = 256 * 1024
"""Bytes of contents up to which a request is read before it is sent, and its body made ready without a thread."""


@attrs.frozen
class ContentSlot:
    """Contents that take the place of a mark: a text that nothing else in the request can hold."""

    reading: ContentSnapshot
    document: str
    encoding: Literal["base64", "binary"]
    mark: str = attrs.field(init=False, factory=lambda: secrets.token_hex(16), repr=False)

    @property
    def length(self) -> int:
        """Bytes that they take in the body."""
        return self.reading.size if self.encoding == "binary" else (self.reading.size + 2) // 3 * 4

    def blocks(self) -> Iterator[bytes]:
        """The contents as they are written. Each block may have to be waited for: take it in a thread."""
        blocks = self.reading.blocks(BLOCK)
        try:
            yield from blocks if self.encoding == "binary" else map(encode_base64, blocks)
        except InvalidDocumentError as error:
            problem = f"Document {self.document}: {error.problem}"
            raise InvalidDocumentError(problem, error.hint, document=self.document) from error.__cause__


class RequestBody(httpx.AsyncByteStream):
    """A body with contents in the places of their marks. It can be sent again, and its length is known.

    Attributes:
        handed_over: Whether the last attempt reached the body's end. Until then the server cannot have processed the
            request, because the body is shorter than its Content-Length.
    """

    handed_over = False

    def __init__(self, frame: bytes, inserts: Sequence[ContentSlot]) -> None:
        self._inserts = inserts
        self._pieces: list[bytes] = []
        for insert in inserts:
            piece, mark, frame = frame.partition(insert.mark.encode())
            if not mark:
                raise ConfigurationError(
                    "The generated code does not write contents where they were put.",
                    "Generate it again from the proxy's definition.",
                )
            self._pieces.append(piece)
        self._pieces.append(frame)
        self.length: int = sum(map(len, self._pieces)) + sum(insert.length for insert in inserts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self.length
        self.handed_over = not left
        is_ready = left <= 2 * SMALL and all(insert.reading.in_memory for insert in self._inserts)
        portions = self._portions()
        try:
            while portion := next(portions, b"") if is_ready else await asyncio.to_thread(next, portions, b""):
                left -= len(portion)
                # From the last byte on the request may have been sent, whatever fails.
                if not left and len(portion) > TAKEN_AT_ONCE:
                    yield portion[:-1]
                    portion = portion[-1:]
                self.handed_over = not left
                yield portion
                portion = b""  # a traceback of the next one would show it
        finally:
            # Cancelled while its thread reads, it ends with the thread.
            with contextlib.suppress(ValueError):
                portions.close()

    def _portions(self) -> Generator[bytes, None, None]:
        redacted, length = Redacted(), 0
        for redacted.piece in self._blocks():
            redacted.pieces.append(redacted.piece)
            length += len(redacted.piece)
            if length >= PORTION:
                yield b"".join(redacted.pieces)
                redacted.pieces, length = [], 0
        if redacted.pieces:
            yield b"".join(redacted.pieces)

    def _blocks(self) -> Iterator[bytes]:
        for piece, insert in zip(self._pieces, self._inserts, strict=False):
            yield piece
            yield from insert.blocks()
        yield self._pieces[-1]

"""Reads response bodies of bounded length."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import httpx

ERROR_LIMIT: Final = 1024 * 1024
"""Bytes of an error response that are read; the rest is cut off."""

_PIECE: Final = 256 * 1024
"""Bytes that are decompressed at once."""


class UnusableResponseError(Exception):
    """A response is longer than allowed, or cannot be read in another way; the message says which."""

    def __init__(self, why: str, status_code: int = 200) -> None:
        super().__init__(why)
        self.status_code = status_code


class _CutStream(httpx.AsyncByteStream):
    """A response stream that ends after `limit` bytes, or where the connection breaks."""

    def __init__(self, stream: httpx.AsyncByteStream, limit: int) -> None:
        self._stream = stream
        self._room = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk[: self._room]
                self._room -= len(chunk)
                if self._room <= 0:
                    return
        except httpx.TransportError:
            return  # the status is known, and half an error response is better than none

    async def aclose(self) -> None:
        await self._stream.aclose()


async def read_error(response: httpx.Response) -> bytes:
    """Read an error response, which may be incomplete, and keep it on the response for the next reader."""
    if isinstance(response.stream, httpx.AsyncByteStream) and not response.is_stream_consumed:
        # Decompressed, a short response may become a thousand times as long.
        limit = {"identity": ERROR_LIMIT, None: 0}.get(_encoding(response), ERROR_LIMIT // 64)
        response.stream = _CutStream(response.stream, limit)
    try:
        body = await response.aread()
    except (httpx.DecodingError, httpx.StreamError):  # compressed, and damaged; the second time it is consumed
        return b""
    return without_credentials(response, body)


def without_credentials(response: httpx.Response, body: bytes) -> bytes:
    """The body without the request's credentials, which servers and gateways quote."""
    for name, value in response.request.headers.raw:
        # Short values are not tokens; replacing them would corrupt the text.
        if name.lower() == b"authorization" and len(credentials := value.partition(b" ")[2]) > 10:
            body = body.replace(credentials, b"(hidden)")
    return body


async def response_bytes(response: httpx.Response, limit: int) -> AsyncGenerator[bytes, None]:
    """Read a response piece by piece. If it is or may become longer than the limit: `UnusableResponseError`."""
    if (encoding := _encoding(response)) is None:
        raise UnusableResponseError("is compressed in a way that was not asked for")
    length, redacted = 0, Redacted()
    raw = response.aiter_raw() if encoding == "identity" else _inflated(response.aiter_raw())
    pieces = response.aiter_bytes() if response.is_stream_consumed else raw
    async for redacted.piece in pieces:
        length += len(redacted.piece)
        if length > limit:
            raise UnusableResponseError(f"is longer than the allowed {limit:,} bytes")
        yield redacted.piece


async def _inflated(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Decompress gzip or deflate in short pieces: httpx would decompress each chunk as a whole."""
    inflating, redacted = zlib.decompressobj(zlib.MAX_WBITS | 32), Redacted()
    async for chunk in chunks:
        redacted.piece = chunk
        while redacted.piece and not inflating.eof:
            try:
                yield inflating.decompress(redacted.piece, _PIECE)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            redacted.piece = inflating.unconsumed_tail
    while not inflating.eof and (rest := inflating.decompress(b"", _PIECE)):
        yield rest


async def read_whole(response: httpx.Response, limit: int) -> bytes:
    """Read a response as a whole, under the same limit."""
    redacted = Redacted()
    async for redacted.piece in response_bytes(response, limit):
        redacted.pieces.append(redacted.piece)
    return b"".join(redacted.pieces)


class Redacted:
    """Pieces of a body, which may be a token or a document: as local variables tracebacks would show them."""

    def __init__(self) -> None:
        self.piece = b""
        self.pieces: list[bytes] = []


def _encoding(response: httpx.Response) -> str | None:
    """The encoding of a response, or None if one chunk of it could grow by more than a thousand times."""
    encoding: str = response.headers.get("content-encoding", "identity").strip().lower()
    return encoding if encoding in ("identity", "gzip", "deflate") else None

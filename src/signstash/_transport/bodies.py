"""Bodies on their way: requests that can be sent again, and answers that cannot grow without end."""

from __future__ import annotations

import asyncio
import os
import tempfile
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from typing import Final, TypeVar

import httpx

Result = TypeVar("Result")

SPOOL_LIMIT = 1024 * 1024
"""Bytes of a one-shot body that are kept in memory; beyond, they go to a temporary file."""


class UnusableAnswerError(Exception):
    """An answer is longer than it may be, or compressed in a way that could make it so; the message says which."""


class RequestBody(httpx.AsyncByteStream):
    """A request body that can be sent again, and that knows whether it was handed over whole.

    Attributes:
        replayable: Tells `TokenAuth` that this body needs no copy for a second sending.
        handed_over: Whether the last sending came as far as the body's last byte. As long as it did not, the server
            cannot have processed the request, because the body falls short of its Content-Length.
    """

    def __init__(self, source: httpx.AsyncByteStream, *, replayable: bool = True) -> None:
        self._source = source
        self.replayable = replayable
        self.handed_over: bool = False

    def refused(self) -> None:
        """Take note that the last sending was answered with a refusal, so it was not processed."""
        self.handed_over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.handed_over = False
        last = b""
        async for chunk in self._source:
            if last:
                yield last
            last = chunk
        # The very last byte goes by itself: whoever takes it may have sent it, whatever fails from then on.
        if len(last) > 1:
            yield last[:-1]
        self.handed_over = True
        yield last[-1:]


def is_replayable(stream: httpx.AsyncByteStream) -> bool:
    """Whether a request body can be sent again as it is."""
    return isinstance(stream, httpx.ByteStream) or getattr(stream, "replayable", False) is True


class ReplayableStream(httpx.AsyncByteStream):
    """Makes a body that can be read once sendable again: what passes is kept, in a file if it is long.

    A second sending first repeats what the first one took, then goes on with what it left. Without this httpx would
    send a multipart body from a pipe again as an empty file, without an error.
    """

    replayable = True

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        self._source = source
        self._unread: AsyncIterator[bytes] | None = None
        self._kept = tempfile.SpooledTemporaryFile(max_size=SPOOL_LIMIT)  # noqa: SIM115 - lives as long as the body
        self._length = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        position = 0
        while position < self._length:
            chunk = await self._kept_chunk(position)
            position += len(chunk)
            yield chunk
        if self._unread is None:
            self._unread = aiter(self._source)
        async for chunk in self._unread:
            await self._keep(chunk)
            yield chunk

    async def _keep(self, chunk: bytes) -> None:
        def append() -> None:
            self._kept.seek(0, os.SEEK_END)
            self._kept.write(chunk)

        self._length += len(chunk)
        await self._off_loop(append)

    async def _kept_chunk(self, position: int) -> bytes:
        def read() -> bytes:
            self._kept.seek(position)
            return self._kept.read(65536)

        return await self._off_loop(read)

    async def _off_loop(self, work: Callable[[], Result]) -> Result:
        # In memory there is nothing to wait for; on disk it must not hold the event loop.
        return work() if self._length <= SPOOL_LIMIT else await asyncio.to_thread(work)

    async def aclose(self) -> None:
        """Let go of what was kept; the body itself belongs to whoever made it."""
        self._kept.close()


class _CutStream(httpx.AsyncByteStream):
    """An answer's stream that ends after `limit` bytes, or where the connection breaks."""

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
            return  # the status has told the essential: half a refusal is a refusal

    async def aclose(self) -> None:
        await self._stream.aclose()


_PIECE: Final = 256 * 1024
"""Bytes that are decompressed at once."""

REFUSAL_LIMIT = 1024 * 1024
"""Bytes of a refusal that are read; the rest is cut off."""


async def read_refusal(response: httpx.Response) -> bytes:
    """Read an answer that needs not be complete, and keep it on the response for the next reader."""
    if isinstance(response.stream, httpx.AsyncByteStream) and not response.is_stream_consumed:
        # Compressed, a short answer may become a thousand times as long, or longer still.
        limit = REFUSAL_LIMIT if "content-encoding" not in response.headers else REFUSAL_LIMIT // 64
        limit = limit if _grows_little(response) else 0
        response.stream = _CutStream(response.stream, limit)
    try:
        body = await response.aread()
    except (httpx.DecodingError, httpx.StreamError):  # compressed, and damaged; the second time it is consumed
        return b""
    credentials = response.request.headers.get("Authorization", "").partition(" ")[2].encode()
    # Servers and gateways quote what they refuse. What is as short as a word is no token, and would cost words.
    return body.replace(credentials, b"(hidden)") if len(credentials) > 10 else body


async def answer_bytes(response: httpx.Response, limit: int) -> AsyncGenerator[bytes, None]:
    """Read an answer of at most `limit` bytes, piece by piece.

    Raises:
        UnusableAnswerError: If it is longer, also if it becomes so by decompression, or may explode by it.
    """
    if not _grows_little(response):
        raise UnusableAnswerError("is compressed in a way that was not asked for")
    length, passing = 0, Passing()
    is_identity = response.headers.get("content-encoding", "identity").strip().lower() == "identity"
    pieces = response.aiter_bytes() if is_identity or response.is_stream_consumed else _inflated(response.aiter_raw())
    async for passing.piece in pieces:
        length += len(passing.piece)
        if length > limit:
            raise UnusableAnswerError(f"is longer than the {limit:,} bytes that it may have")
        yield passing.piece


async def _inflated(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What gzip or deflate has made short, in pieces that are short too: httpx would decompress each chunk whole."""
    inflating, passing = zlib.decompressobj(zlib.MAX_WBITS | 32), Passing()
    async for chunk in chunks:
        passing.piece = chunk
        while passing.piece and not inflating.eof:
            try:
                yield inflating.decompress(passing.piece, _PIECE)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            passing.piece = inflating.unconsumed_tail
    while not inflating.eof and (rest := inflating.decompress(b"", _PIECE)):
        yield rest


async def read_whole(response: httpx.Response, limit: int) -> bytes:
    """Read an answer of at most `limit` bytes.

    Raises:
        UnusableAnswerError: If it is longer, also if it becomes so by decompression, or may explode by it.
    """
    passing = Passing()
    async for passing.piece in answer_bytes(response, limit):
        passing.pieces.append(passing.piece)
    return b"".join(passing.pieces)


class Passing:
    """What has come of an answer, which may be a token or a document: as a local value a traceback would show it."""

    def __init__(self) -> None:
        self.piece = b""
        self.pieces: list[bytes] = []


def _grows_little(response: httpx.Response) -> bool:
    """Whether one chunk of the answer cannot grow by more than a thousand times: httpx decompresses chunks whole."""
    return response.headers.get("content-encoding", "identity").strip().lower() in ("identity", "gzip", "deflate")

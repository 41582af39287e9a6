"""Takes signed contents out of an answer while it arrives, so that only the little beside them is read as JSON."""

from __future__ import annotations

import asyncio
import binascii
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import httpx

from .._content.files import InTemporaryFile, TemporaryFile
from .._content.sources import SPOOL_LIMIT, Contents, InMemory, read
from ..errors import DocumentNotSavedError
from .bodies import Redacted, UnusableResponseError, read_whole, response_bytes

FRAME_LIMIT: Final = 16 * 1024 * 1024
"""Bytes that an answer may have beside its signed contents."""
MEMORY_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of signed contents that an answer may have in memory; the rest goes to files."""
SLICE: Final = 256 * 1024
"""Bytes that are looked at in one go, so that the event loop is held for about a millisecond."""

# A string ends at the first quote that is not escaped. Possessive, so that no answer makes these patterns slow.
_TEXT: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_ESCAPED_TEXT: Final = re.compile(rb'[^"\\]*+(?:\\(?:u[0-9a-fA-F]{4}|[^u])[^"\\]*+)*+', re.DOTALL)
_CONTENT: Final = re.compile(rb'"signedContent"\s*:\s*"')
# All up to a signed content, or up to a string that is not complete yet.
_OTHER: Final = re.compile(
    rb'[^"]*+(?:"(?!signedContent"\s*(?:\Z|:\s*(?:"|\Z)))' + _TEXT.pattern + rb'"[^"]*+)*+', re.DOTALL
)
_LONGEST_BEGINNING: Final = 64
"""Bytes in which a signed content is recognised; a longer string is another one."""
_BLANKS: Final = b" \t\r\n\f\v"


@attrs.frozen
class Received:
    """A successful answer that was read.

    Attributes:
        body: The answer, with a mark in the place of each signed content that was taken out.
        contents: What was taken out, by mark; what is not base64 is empty.
    """

    body: bytes = attrs.field(repr=False)
    contents: Mapping[str, Contents] = attrs.field(factory=dict[str, Contents], repr=False)


async def receive_whole(response: httpx.Response, limit: int) -> Received:
    """Read an answer as it is.

    Args:
        response: The answer, not yet read.
        limit: Bytes that it may have.

    Raises:
        UnusableResponseError: If it is longer, or may become so by decompression.
    """
    return Received(await read_whole(response, limit))


async def receive_file(response: httpx.Response, limit: int) -> Received:
    """Read an answer into a file, which is the only one of its contents.

    Args:
        response: The answer, not yet read.
        limit: Bytes that it may have.

    Raises:
        UnusableResponseError: If it is longer, or may become so by decompression.
        DocumentNotSavedError: If the file cannot be written.
    """
    file, passing = TemporaryFile(None), Redacted()
    length = 0

    async def write() -> None:
        try:
            await asyncio.to_thread(file.append, passing.pieces)
        except OSError as error:
            raise DocumentNotSavedError(
                f"The answer cannot be kept in {file.path.parent}: {error.strerror}.",
                "Make room there, or name another folder with TMPDIR.",
            ) from error

    async for passing.piece in response_bytes(response, limit):
        passing.pieces.append(passing.piece)
        length += len(passing.piece)
        if length >= SPOOL_LIMIT:
            await write()
            passing.pieces, length = [], 0
    await write()
    return Received(b"", {"": InTemporaryFile(file)})


async def receive_operation(response: httpx.Response, limit: int, folder: Path | None) -> Received:
    """Read an operation with its signed contents.

    Args:
        response: The answer, not yet read.
        limit: Bytes that it may have.
        folder: Where long contents are kept in files, or None for the system's own place.

    Raises:
        UnusableResponseError: If it is longer, or may become so by decompression.
    """
    taker, passing = SignedContentParser(folder), Redacted()
    try:
        async for passing.piece in response_bytes(response, limit):
            for start in range(0, len(passing.piece), SLICE):
                taker.feed(passing.piece[start : start + SLICE])
                if taker.crowded:
                    await asyncio.to_thread(taker.make_room)
    except BaseException:
        taker.discard()
        raise
    return await asyncio.to_thread(taker.received) if taker.has_files else taker.received()


class SignedContentParser:
    """Reads an answer's JSON piece by piece, and decodes the strings that are called `signedContent`.

    It knows as much of JSON as it takes to find them; whether the rest is JSON turns out when what is left is parsed.

    Args:
        folder: Where long contents are kept in files, or None for the system's own place.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._name = secrets.token_hex(16)
        self._frame: list[bytes] = []
        self._frame_length = 0
        self._contents: list[_Content] = []
        self._content: _Content | None = None
        self._in_text = False
        self._held = b""

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the answer.

        Raises:
            UnusableResponseError: If there is too much beside the contents.
        """
        piece, self._held = self._held + piece if self._held else piece, b""
        position = 0
        while position < len(piece):
            if self._content is not None:
                position = self._take_content(self._content, piece, position)
            elif self._in_text:
                position = self._pass_text(piece, position)
            else:
                position = self._pass_other(piece, position)

    def _pass_other(self, piece: bytes, start: int) -> int:
        end = _OTHER.match(piece, start).end()  # type: ignore[union-attr]  # it matches nothing, too
        begun = _CONTENT.match(piece, end)
        if begun is not None:
            self._content = _Content(self._folder)
            self._keep(piece[start : begun.end()])
            self._keep(f"{self._name}:{len(self._contents)}".encode())
            self._contents.append(self._content)
            return begun.end()
        self._keep(piece[start:end])
        if len(piece) - end < _LONGEST_BEGINNING:
            self._held = piece[end:]
            return len(piece)
        self._in_text = True
        self._keep(b'"')
        return end + 1

    def _pass_text(self, piece: bytes, start: int) -> int:
        end = _TEXT.match(piece, start).end()  # type: ignore[union-attr]  # it matches nothing, too
        self._keep(piece[start : end + 1] if piece[end : end + 1] == b'"' else piece[start:end])
        if end < len(piece) and piece[end : end + 1] == b"\\":  # what is escaped comes with the next piece
            self._held = piece[end:]
            return len(piece)
        self._in_text = end == len(piece)
        return end + 1

    def _take_content(self, content: _Content, piece: bytes, start: int) -> int:
        end = piece.find(b'"', start)
        stop = end if end >= 0 else len(piece)
        if piece.find(b"\\", start, stop) < 0:
            content.add(memoryview(piece)[start:stop])
        else:
            end = _ESCAPED_TEXT.match(piece, start).end()  # type: ignore[union-attr]  # it matches nothing, too
            text = _unescaped(piece[start:end])
            content.add(text.encode("ascii", "replace") if text is not None else b"?")
            if piece[end : end + 1] == b"\\":
                if len(piece) - end < 6:
                    self._held = piece[end:]
                    return len(piece)
                content.add(b"?")  # no escape that JSON knows
                return end + 2
        if 0 <= end < len(piece):
            content.finish()
            self._content = None
            self._keep(b'"')
            return end + 1
        return len(piece)

    def _keep(self, piece: bytes) -> None:
        self._frame.append(piece)
        self._frame_length += len(piece)
        if self._frame_length > FRAME_LIMIT:
            raise UnusableResponseError(f"has more than {FRAME_LIMIT:,} bytes beside signed contents")

    @property
    def crowded(self) -> bool:
        """Whether so much is in memory that `make_room` should be called."""
        return bool(self._contents) and (
            self._contents[-1].in_memory > SPOOL_LIMIT
            or sum(content.in_memory for content in self._contents) > MEMORY_LIMIT
        )

    @property
    def has_files(self) -> bool:
        """Whether `received` has to do with files, and may block."""
        return any(content.in_file for content in self._contents)

    def make_room(self) -> None:
        """Move long contents to files. Blocks: call it in a thread."""
        everything = sum(content.in_memory for content in self._contents) > MEMORY_LIMIT
        for content in self._contents:
            if content.in_memory > SPOOL_LIMIT or (everything and content.in_memory):
                content.spill()

    def received(self) -> Received:
        """What has come."""
        return Received(
            b"".join([*self._frame, self._held]),
            {f"{self._name}:{number}": content.result() for number, content in enumerate(self._contents)},
        )

    def discard(self) -> None:
        """Remove the files; nobody will ask for them."""
        for content in self._contents:
            content.discard()


def restore_base64(value: Any, contents: Mapping[str, Contents]) -> Any:
    """What was read of an answer, with its signed contents in base64 again. Blocks if there is a file."""
    if isinstance(value, dict):
        return {name: restore_base64(item, contents) for name, item in value.items()}
    if isinstance(value, list):
        return [restore_base64(item, contents) for item in value]
    if isinstance(value, str) and value in contents:
        return binascii.b2a_base64(read(contents[value]), newline=False).decode("ascii")
    return value


def _unescaped(text: bytes) -> str | None:
    """A string of JSON, or None if it is none."""
    try:
        return str(json.loads(b'"%b"' % text, strict=False))
    except ValueError:
        return None


class _Content:
    """A signed content on its way: base64, with or without line ends and padding."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._blocks: list[bytes] = []
        self._file: TemporaryFile | None = None
        self._written = 0
        self._no_room = False
        self._rest = b""
        self._padded = False
        self._bad = False
        self.in_memory = 0

    def add(self, text: bytes | memoryview) -> None:
        """Decode the next piece of it."""
        if self._bad or not text:
            return
        text = memoryview(self._rest + text) if self._rest else memoryview(text)
        try:
            self._decode(text)
        except binascii.Error:
            try:
                self._decode(memoryview(bytes(text).translate(None, _BLANKS)))
            except binascii.Error:
                self._bad = True
                self.discard()

    def _decode(self, text: memoryview) -> None:
        if self._padded:
            text = memoryview(bytes(text).lstrip(b"="))
        cut = len(text) - len(text) % 4
        block = binascii.a2b_base64(text[:cut], strict_mode=True)
        if block and self._padded:
            raise binascii.Error("data after the padding")
        self._rest = bytes(text[cut:])
        self._padded = self._padded or (cut > 0 and text[cut - 1] == ord("="))
        if block:
            self._blocks.append(block)
            self.in_memory += len(block)

    def finish(self) -> None:
        """Take note that it is complete."""
        rest = self._rest.translate(None, _BLANKS).rstrip(b"=")
        self._rest = b""
        if rest:
            self.add(rest + b"=" * (-len(rest) % 4))
            self._bad = self._bad or bool(self._rest)

    @property
    def in_file(self) -> bool:
        """Whether some of it is in a file."""
        return self._file is not None

    def spill(self) -> None:
        """Move to a file what is in memory, unless there is no room for it. Blocks."""
        if self._no_room:
            return
        self._file = self._file or TemporaryFile(self._folder)
        try:
            self._file.append(self._blocks)
        except OSError:  # a signature is worth more than memory
            self._no_room = True
        else:
            self._written += self.in_memory
            self._blocks, self.in_memory = [], 0

    def result(self) -> Contents:
        """The contents; none, if they are not base64. Blocks if there is a file."""
        if self._file is None or not self._written or self._bad:
            return InMemory(b"".join(self._blocks))
        self.spill()
        if not self._blocks:
            return InTemporaryFile(self._file)
        with self._file.path.open("rb") as file:
            return InMemory(b"".join([file.read(self._written), *self._blocks]))

    def discard(self) -> None:
        """Let go of it."""
        self._blocks, self.in_memory = [], 0
        if self._file is not None:
            self._file.remove()

"""Takes signed contents out of a response while it arrives, so that only the rest is parsed as JSON."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import httpx

from .._content.base64 import decode_base64, encode_base64
from .._content.contents import SPOOL_LIMIT, Contents, InMemory, Spool
from .._content.snapshots import read
from .bodies import Redacted, UnusableResponseError, read_whole, response_bytes

FRAME_LIMIT: Final = 16 * 1024 * 1024
"""Bytes that a response may have besides its signed contents."""
MEMORY_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of signed contents of one response that are kept in memory; the rest goes to files."""
CONTENT_COUNT_LIMIT: Final = 10_000
"""Signed contents that a response may have; a request has fewer than 100."""
SHORT: Final = 1024
"""Bytes of a content that is one object as soon as it is complete, because there may be many of them."""
SLICE: Final = 64 * 1024
"""Bytes that are parsed at once, so that no response holds the event loop for long."""

# A string ends at the first quote that is not escaped. Possessive quantifiers keep these patterns linear.
_TEXT: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_ESCAPED_TEXT: Final = re.compile(rb'[^"\\]*+(?:\\(?:u[0-9a-fA-F]{4}|[^u])[^"\\]*+)*+', re.DOTALL)
_CONTENT: Final = re.compile(rb'"signedContent"\s*:\s*"')
# Everything up to a signed content, or up to a string that is not complete yet.
_OTHER: Final = re.compile(
    rb'[^"]*+(?:"(?!signedContent"\s*(?:\Z|:\s*(?:"|\Z)))' + _TEXT.pattern + rb'"[^"]*+)*+', re.DOTALL
)
_LONGEST_BEGINNING: Final = 64
"""Bytes in which a signed content is recognised; a longer string is another one."""
_BLANKS: Final = b" \t\r\n\f\v"


@attrs.frozen
class Received:
    """The body of a response, with marks in place of its signed contents, which are empty if they are not base64."""

    body: bytes = attrs.field(repr=False)
    contents: Mapping[str, Contents] = attrs.field(factory=dict[str, Contents], repr=False)


async def receive_whole(response: httpx.Response, limit: int) -> Received:
    """Read a response of at most `limit` bytes as it is."""
    return Received(await read_whole(response, limit))


async def receive_operation(response: httpx.Response, limit: int, folder: Path | None) -> Received:
    """Read an operation of at most `limit` bytes with its signed contents; long ones go to files in a folder."""
    parser, passing, begun = SignedContentParser(folder), Redacted(), False
    try:
        async for passing.piece in response_bytes(response, limit):
            for start in range(0, len(passing.piece), SLICE):
                if begun:
                    await asyncio.sleep(0)  # others get their turn, however fast the response arrives
                parser.feed(passing.piece[start : start + SLICE])
                begun = True
                if parser.over_memory_limit:
                    await asyncio.to_thread(parser.make_room)
    except BaseException:  # a cancellation, too, leaves no temporary file
        parser.discard()
        raise
    return await asyncio.to_thread(parser.received) if parser.has_files else parser.received()


class SignedContentParser:
    """Reads JSON piece by piece, and decodes the strings that are named `signedContent`.

    It understands no more of JSON than it needs to find them; the rest is checked when it is parsed.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._name = secrets.token_hex(16)
        self._frame: list[bytes] = []
        self._frame_length = 0
        self._contents: list[Contents] = []
        self._long: dict[int, _Content] = {}
        self._content: _Content | None = None
        self._arrived = 0
        self._in_text = False
        self._held = b""

    def feed(self, piece: bytes) -> None:
        """Parse the next piece of the response."""
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
        end = _OTHER.match(piece, start).end()  # type: ignore[union-attr]  # it matches the empty string, too
        begun = _CONTENT.match(piece, end)
        if begun is not None:
            self._content = _Content(self._folder)
            self._keep(piece[start : begun.end()])
            self._keep(f"{self._name}:{len(self._contents)}".encode())
            self._contents.append(_NOTHING)
            if len(self._contents) > CONTENT_COUNT_LIMIT:
                raise UnusableResponseError(f"has more than {CONTENT_COUNT_LIMIT:,} signed contents")
            return begun.end()
        self._keep(piece[start:end])
        if len(piece) - end < _LONGEST_BEGINNING:
            self._held = piece[end:]
            return len(piece)
        self._in_text = True
        self._keep(b'"')
        return end + 1

    def _pass_text(self, piece: bytes, start: int) -> int:
        end = _TEXT.match(piece, start).end()  # type: ignore[union-attr]  # it matches the empty string, too
        self._keep(piece[start : end + 1] if piece[end : end + 1] == b'"' else piece[start:end])
        if end < len(piece) and piece[end : end + 1] == b"\\":  # the escaped character comes with the next piece
            self._held = piece[end:]
            return len(piece)
        self._in_text = end == len(piece)
        return end + 1

    def _take_content(self, content: _Content, piece: bytes, start: int) -> int:
        end = piece.find(b'"', start)
        stop = end if end >= 0 else len(piece)
        if piece.find(b"\\", start, stop) < 0:
            content.add(memoryview(piece)[start:stop])
        elif content.is_bad:
            end = _TEXT.match(piece, start).end()  # type: ignore[union-attr]  # it matches the empty string, too
            if piece[end : end + 1] == b"\\":  # the escaped character comes with the next piece
                self._held = piece[end:]
                return len(piece)
        else:
            end = _ESCAPED_TEXT.match(piece, start).end()  # type: ignore[union-attr]  # as above
            text = _unescaped(piece[start:end])
            content.add(text.encode("ascii", "replace") if text is not None else b"?")
            if piece[end : end + 1] == b"\\":
                if len(piece) - end < 6:
                    self._held = piece[end:]
                    return len(piece)
                content.reject()  # not an escape of JSON
                return end
        if 0 <= end < len(piece):
            content.finish()
            self._content = None
            if len(content.spool) > SHORT:
                self._long[len(self._contents) - 1] = content
                self._arrived += content.spool.in_memory
            elif not content.is_bad:
                self._contents[-1] = content.contents()
            self._keep(b'"')
            return end + 1
        return len(piece)

    def _keep(self, piece: bytes) -> None:
        self._frame.append(piece)
        self._frame_length += len(piece)
        if self._frame_length > FRAME_LIMIT:
            raise UnusableResponseError(f"has more than {FRAME_LIMIT:,} bytes besides signed contents")

    @property
    def over_memory_limit(self) -> bool:
        """Whether so much is in memory that `make_room` should be called."""
        current = 0 if self._content is None else self._content.spool.in_memory
        return current > SPOOL_LIMIT or self._arrived + current > MEMORY_LIMIT

    @property
    def has_files(self) -> bool:
        """Whether some contents are in files, so that `received` blocks."""
        return any(content.spool.in_file for content in self._long.values())

    def make_room(self) -> None:
        """Move long contents to files, or all of them if they are long together. Blocks: call it in a thread."""
        spools = [content.spool for content in self._spooled()]
        everything = sum(spool.in_memory for spool in spools) > MEMORY_LIMIT
        for spool in spools:
            if spool.in_memory > SPOOL_LIMIT or (everything and spool.in_memory):
                spool.spill()
        current = 0 if self._content is None else self._content.spool.in_memory
        self._arrived = sum(spool.in_memory for spool in spools) - current

    def received(self) -> Received:
        """The parsed response."""
        for number, content in self._long.items():
            self._contents[number] = content.contents()
        contents = {f"{self._name}:{number}": content for number, content in enumerate(self._contents)}
        return Received(b"".join([*self._frame, self._held]), contents)

    def discard(self) -> None:
        for content in self._spooled():
            content.spool.discard()

    def _spooled(self) -> list[_Content]:
        """The contents that may get into files: long ones, and the one that is arriving."""
        return [*self._long.values(), *([] if self._content is None else [self._content])]


def restore_base64(value: Any, contents: Mapping[str, Contents]) -> None:
    """Replace marks in a parsed response by the contents that they stand for, in base64. Blocks if there is a file."""
    parents: list[Any] = [value]
    while parents:  # not recursive: a response may be nested deeply
        parent = parents.pop()
        entries = list(parent.items() if isinstance(parent, dict) else enumerate(parent))
        for key, item in entries:
            if isinstance(item, dict | list):
                parents.append(item)
            elif isinstance(item, str) and item in contents:
                parent[key] = encode_base64(read(contents[item])).decode("ascii")


def _unescaped(text: bytes) -> str | None:
    """A string of JSON, or None if it is invalid."""
    try:
        return str(json.loads(b'"%b"' % text, strict=False))
    except ValueError:
        return None


class _Content:
    """A signed content while it arrives: base64, with or without line ends and padding."""

    def __init__(self, folder: Path | None) -> None:
        self.spool = Spool(folder)
        self._rest = b""
        self._padded = False
        self.is_bad = False

    def add(self, text: bytes | memoryview) -> None:
        if self.is_bad or not text:
            return
        text = memoryview(self._rest + text) if self._rest else memoryview(text)
        try:
            self._decode(text)
        except ValueError:
            try:
                self._decode(memoryview(bytes(text).translate(None, _BLANKS)))
            except ValueError:
                self.reject()

    def _decode(self, text: memoryview) -> None:
        if self._padded:
            text = memoryview(bytes(text).lstrip(b"="))
        cut = len(text) - len(text) % 4
        whole = text[:cut]
        if bytes(whole[-3:]) == b"===":  # more padding than there should be
            letters = bytes(whole).rstrip(b"=")
            whole = memoryview(letters + b"=" * (-len(letters) % 4))
        block = decode_base64(whole)
        if block and self._padded:
            raise ValueError("data after the padding")
        self._rest = bytes(text[cut:])
        self._padded = self._padded or (cut > 0 and text[cut - 1] == ord("="))
        if block:
            self.spool.add(block)

    def reject(self) -> None:
        """Drop it: it is not base64."""
        self.is_bad = True
        self.spool.discard()

    def finish(self) -> None:
        """Decode what is left at its end."""
        rest = self._rest.translate(None, _BLANKS).rstrip(b"=")
        self._rest = b""
        if rest:
            self.add(rest + b"=" * (-len(rest) % 4))
            if self._rest:
                self.reject()

    def contents(self) -> Contents:
        """The contents; empty if they are not base64. Blocks if there is a file."""
        return _NOTHING if self.is_bad else self.spool.contents()


_NOTHING: Final = InMemory(b"")

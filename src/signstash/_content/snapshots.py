"""Contents as they were at one moment: their length, their digest, and whether they are what they claim to be."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import BinaryIO, Final

import attrs

from ..errors import InvalidDocumentError
from ..models import ContentType
from .contents import SPOOL_LIMIT, Contents, InMemory, fingerprint_of

_HEADER: Final = 1024
"""Bytes at the start of a file in which PDF readers look for `%PDF-`."""
_KEPT: Final = 64 * 1024
"""Bytes of contents that stay in memory once they were read for their digest."""


@attrs.frozen
class ContentSnapshot:
    """Contents that must be the same whenever they are read: else reading raises an error.

    Attributes:
        fingerprint: Their state when they were checked; first their length in bytes.
    """

    contents: Contents
    fingerprint: tuple[int, ...] = attrs.field(repr=False)

    @property
    def size(self) -> int:
        return self.fingerprint[0]

    @property
    def in_memory(self) -> bool:
        return isinstance(self.contents, InMemory)

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        with self.contents.opened() as file:
            if fingerprint_of(file) != self.fingerprint:
                raise InvalidDocumentError("it changed since the run looked at it.", "Start again with what it is now.")
            yield file

    def blocks(self, length: int) -> Iterator[bytes]:
        """The contents in blocks. Each may block: take it in a thread."""
        if isinstance(self.contents, InMemory):
            content = self.contents.content
            yield from (content[start : start + length] for start in range(0, self.size, length))
            return
        left = self.size
        with self.contents.opened() as file:
            while left and fingerprint_of(file) == self.fingerprint and (block := file.read(min(length, left))):
                left -= len(block)
                yield block
                block = b""  # a traceback of the next one would show it
            if not left and fingerprint_of(file) == self.fingerprint:
                return
        raise InvalidDocumentError(
            "it changed while it was being sent, so the request was not completed.",
            "Make sure that no program writes to it, then send it again.",
        )


def snapshot(contents: Contents) -> ContentSnapshot:
    """Contents as they are now. Blocks."""
    if isinstance(contents, InMemory):
        return ContentSnapshot(contents, (len(contents.content),))
    with contents.opened() as file:
        return ContentSnapshot(contents, fingerprint_of(file))


def digested(contents: Contents) -> tuple[Contents, str]:
    """Contents as they are now, and their SHA-256 in hexadecimal digits. Blocks."""
    if isinstance(contents, InMemory):
        return contents, hashlib.sha256(contents.content).hexdigest()
    with contents.opened() as file:
        found = fingerprint_of(file)
        start = file.read(min(found[0] + 1, _KEPT))
        digest = hashlib.sha256(start)
        while len(start) != found[0] and (block := file.read(SPOOL_LIMIT)):
            digest.update(block)
        is_whole = len(start) == found[0] == fingerprint_of(file)[0]
    return InMemory(start) if is_whole else ContentSnapshot(contents, found), digest.hexdigest()


def digest_of(contents: Contents) -> str:
    """SHA-256 of contents, in hexadecimal digits. Blocks."""
    return digested(contents)[1]


def read(contents: Contents) -> bytes:
    """The contents as bytes. Blocks."""
    with contents.opened() as file:
        return file.read()


def prepare(contents: Contents, content_type: str, *, keep: int) -> ContentSnapshot:
    """Check contents before they are sent, and keep up to `keep` bytes in memory. Blocks."""
    if isinstance(contents, InMemory):
        prepared, start = snapshot(contents), contents.content[:_HEADER]
    else:
        with contents.opened() as file:
            found = fingerprint_of(file)
            start = file.read(found[0] + 1 if found[0] <= keep else _HEADER)
        is_whole = len(start) == found[0] <= keep
        prepared = ContentSnapshot(InMemory(start), (len(start),)) if is_whole else ContentSnapshot(contents, found)
    problem = _type_problem(start[:_HEADER], content_type)
    del start  # a traceback would show it
    if problem is not None:
        raise InvalidDocumentError(*problem)
    return prepared


def _type_problem(start: bytes, content_type: str) -> tuple[str, str] | None:
    if not start:
        return "it is empty.", "Check what wrote it."
    if content_type == ContentType.APPLICATIONPDF and b"%PDF-" not in start:
        return "it is not a PDF: '%PDF-' is not at its start.", "Check the file, or use Document.binary."
    if content_type.endswith("xml") and not _begins_like_xml(start):
        return "it is not XML: its first character is not '<'.", "Check the file, or use Document.binary."
    return None


def _begins_like_xml(start: bytes) -> bool:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        start = start.decode("utf-16", "replace").encode()
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")

"""Contents as they were at one moment: their length, their digest, and whether they are what they claim to be."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Final

import attrs

from ..errors import InvalidDocumentError
from ..models import ContentType
from .contents import SPOOL_LIMIT, Contents, InMemory, OpenContent

_HEADER: Final = 1024
"""Bytes at the start of a file in which PDF readers look for `%PDF-`."""
_KEPT: Final = 64 * 1024
"""Bytes of contents that stay in memory once they were read for their digest."""


@attrs.frozen
class ContentSnapshot:
    """Contents that must be the same whenever they are read.

    Attributes:
        fingerprint: How they were found; first their length in bytes.
    """

    contents: Contents
    fingerprint: tuple[int, ...] = attrs.field(repr=False)

    @property
    def size(self) -> int:
        return self.fingerprint[0]

    @property
    def in_memory(self) -> bool:
        return isinstance(self.contents, InMemory)

    def blocks(self, length: int) -> Iterator[bytes]:
        """The contents in blocks. Each may block: take it in a thread."""
        if isinstance(self.contents, InMemory):
            content = self.contents.content
            yield from (content[start : start + length] for start in range(0, self.size, length))
            return
        left = self.size
        with self.contents.opened() as opened:
            while left and opened.fingerprint() == self.fingerprint and (block := opened.read(min(length, left))):
                left -= len(block)
                yield block
            if not left and opened.fingerprint() == self.fingerprint:
                return
        raise InvalidDocumentError(
            "it changed while it was being sent, so the request was not completed.",
            "Let nobody write to it, then send it again.",
        )


@attrs.frozen
class Unmodified:
    """Contents that raise an error when they are opened after they have changed."""

    _snapshot: ContentSnapshot

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenContent]:
        with self._snapshot.contents.opened() as opened:
            if opened.fingerprint() != self._snapshot.fingerprint:
                raise InvalidDocumentError("it changed since the run looked at it.", "Start again with what it is now.")
            yield opened


@attrs.frozen
class Fingerprint:
    """What identifies contents.

    Attributes:
        contents: The same contents, which raise an error when they have changed.
        digest: Their SHA-256, in hexadecimal digits.
    """

    contents: Contents
    digest: str


def fingerprint(contents: Contents) -> Fingerprint:
    """Read contents once, for their digest. Blocks."""
    if isinstance(contents, InMemory):
        return Fingerprint(contents, hashlib.sha256(contents.content).hexdigest())
    with contents.opened() as opened:
        found = opened.fingerprint()
        start = opened.read(_KEPT)
        digest = hashlib.sha256(start)
        while block := opened.read(SPOOL_LIMIT):
            digest.update(block)
        is_whole = len(start) == found[0] == opened.fingerprint()[0]
    kept = InMemory(start) if is_whole else Unmodified(ContentSnapshot(contents, found))
    return Fingerprint(kept, digest.hexdigest())


def snapshot(contents: Contents) -> ContentSnapshot:
    """Contents as they are now. Blocks."""
    if isinstance(contents, InMemory):
        return ContentSnapshot(contents, (len(contents.content),))
    with contents.opened() as opened:
        return ContentSnapshot(contents, opened.fingerprint())


def digest_of(contents: Contents) -> str:
    """SHA-256 of contents, in hexadecimal digits. Blocks."""
    return fingerprint(contents).digest


def read(contents: Contents) -> bytes:
    """The contents as bytes. Blocks."""
    if isinstance(contents, InMemory):
        return contents.content
    with contents.opened() as opened:
        return opened.read()


def prepare(contents: Contents, content_type: str, *, keep: int) -> ContentSnapshot:
    """Check contents before they are sent, and keep up to `keep` bytes in memory. Blocks."""
    if isinstance(contents, InMemory):
        prepared, start = snapshot(contents), contents.content[:_HEADER]
    else:
        with contents.opened() as opened:
            found = opened.fingerprint()
            start = opened.read(keep + 1 if found[0] <= keep else _HEADER)
        is_whole = len(start) == found[0] <= keep
        prepared = ContentSnapshot(InMemory(start), (len(start),)) if is_whole else ContentSnapshot(contents, found)
    _require_type(start[:_HEADER], content_type)
    return prepared


def _require_type(start: bytes, content_type: str) -> None:
    if not start:
        raise InvalidDocumentError("it is empty.", "Check what wrote it.")
    if content_type == ContentType.APPLICATIONPDF and b"%PDF-" not in start:
        raise InvalidDocumentError(
            "it is not a PDF: '%PDF-' is not at its start.", "Check the file, or use Document.binary."
        )
    if content_type.endswith("xml") and not _begins_like_xml(start):
        raise InvalidDocumentError(
            "it is not XML: its first character is not '<'.", "Check the file, or use Document.binary."
        )


def _begins_like_xml(start: bytes) -> bool:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        start = start.decode("utf-16", "replace").encode()
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")

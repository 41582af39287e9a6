"""The file that is verified, with what it is compared with, read in blocks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

import attrs
from asn1crypto import x509

from .._content.contents import Contents
from .report import NotJudgedError

_BLOCK: Final = 1024 * 1024


@attrs.frozen
class SignedFile:
    """A file that is verified.

    Attributes:
        file: The signed document, or its detached signature.
        size: Its length in bytes.
        original: What was sent to be signed, or None if it is not known.
        roots: Certificates of the authorities that are trusted.
    """

    file: BinaryIO
    size: int
    original: Contents | None
    roots: list[x509.Certificate]


def limit_size(size: int, most: int, kind: str) -> None:
    """Reject a document that takes too much memory or time."""
    if size > most:
        raise NotJudgedError(f"it has {size} bytes; {kind} judged up to {most}")


def blocks(file: BinaryIO, length: int = sys.maxsize) -> Iterator[bytes]:
    """The next bytes of a file, all or as many as `length`."""
    while length and (block := file.read(min(_BLOCK, length))):
        length -= len(block)
        yield block


def length_of_original(file: BinaryIO, original: Contents) -> int | None:
    """The length of the original, if the file begins with it, else None."""
    file.seek(0)
    length = 0
    with original.opened() as opened:
        for block in blocks(opened):
            if file.read(len(block)) != block:
                return None
            length += len(block)
    return length

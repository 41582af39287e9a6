"""Finds a word in a PDF."""

from __future__ import annotations

import threading
from typing import Final

import pypdfium2

from .signer import CannotSignError

_PDFIUM: Final = threading.Lock()
"""PDFium is not thread-safe."""


def find_word(word: str, content: bytes) -> tuple[int, float, float]:
    """Find the first occurrence of a word.

    Returns:
        The index of its page, and the lower left corner of the word in user space.

    Raises:
        CannotSignError: If the document does not contain it.
    """
    with _PDFIUM, pypdfium2.PdfDocument(content) as document:
        for index in range(len(document)):
            text = document[index].get_textpage()  # closed with the document
            found = text.search(word, match_case=True).get_next()
            if found is not None:
                boxes = [text.get_charbox(found[0] + offset) for offset in range(found[1])]
                left = boxes[0][0]
                bottom = boxes[0][1]
                return index, left, bottom
    raise CannotSignError(f"the document does not contain the placeholder {word!r}")

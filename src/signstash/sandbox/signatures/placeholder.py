"""Where in a PDF a word is."""

from __future__ import annotations

import threading
from typing import Final

import pypdfium2

from .signer import CannotSignError

_PDFIUM: Final = threading.Lock()
"""PDFium must not be used by two threads at once."""


def find_word(word: str, content: bytes) -> tuple[int, int, int]:
    """Page (from 0) and lower left corner of a word's first occurrence.

    Raises:
        CannotSignError: If the document does not hold it.
    """
    with _PDFIUM, pypdfium2.PdfDocument(content) as document:
        for number in range(len(document)):
            text = document[number].get_textpage()  # the document closes it
            found = text.search(word, match_case=True).get_next()
            if found is not None:
                left, bottom, *_ = text.get_charbox(found[0])
                return number, round(left), round(bottom)
    raise CannotSignError(f"the document does not hold the placeholder {word!r}")

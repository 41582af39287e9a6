"""Opens PDFs for an incremental update that leaves everything shown on their pages as it is."""

from __future__ import annotations

import contextlib
import re
from io import BytesIO
from typing import Any, BinaryIO, Final

from pyhanko.pdf_utils.crypt import AuthStatus, StandardSecurityHandler
from pyhanko.pdf_utils.generic import BooleanObject, DictionaryObject, NumberObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfReadError
from pyhanko.pdf_utils.reader import PdfFileReader

from .pdf_page import resolved
from .signer import CannotSignError

HEADER_WITHIN: Final = 1024
"""The bytes in which readers look for the header (ISO 32000-1, Annex H, implementation note 13)."""

_REFERENCE: Final = re.compile(rb"(\d(?<![\d.]\d)\d{0,6})\s+\d{1,5}\s+(?:R|obj)\b")  # a digit first is fast
_HIGHEST_NUMBER: Final = 8_388_607
"""Most indirect objects in a file (ISO 32000-1, Annex C)."""
_MOST_DANGLING: Final = 100_000
"""Object numbers above those of the cross-reference table up to which a reference counts as real."""


class PdfWriter(IncrementalPdfFileWriter):
    """Writes an incremental update of a PDF, without the other changes that pyHanko makes.

    Three repairs: the trailer's `/Size` becomes large enough that no object number is used twice, a document encrypted
    with an empty user password is opened, and `/NeedAppearances` stays, since forms without appearances are blank
    without it.

    Args:
        content: The document, starting with its header.

    Raises:
        CannotSignError: If it cannot be read, or needs a password.
    """

    def __init__(self, content: bytes) -> None:
        try:
            reader = PdfFileReader(BytesIO(content), strict=False)
        except Exception as error:  # pyHanko raises many kinds for damaged files
            raise CannotSignError(f"the PDF cannot be read ({type(error).__name__}: {error})") from error
        if reader.encrypted:
            _decrypt(reader)
        reader.trailer["/Size"] = NumberObject(_highest_number(reader, content) + 1)
        super().__init__(reader.stream, prev=reader)
        form = resolved(self.root, "/AcroForm")
        flag = resolved(form, "/NeedAppearances") if isinstance(form, DictionaryObject) else None
        self._needs_appearances = isinstance(flag, BooleanObject) and bool(flag.value)

    def write(self, stream: BinaryIO) -> None:
        """Write the document and its update."""
        if self._needs_appearances:
            form: Any = self.root["/AcroForm"]
            form["/NeedAppearances"] = BooleanObject(True)
            self.update_container(form)
        super().write(stream)  # type: ignore[no-untyped-call]


def without_preamble(content: bytes) -> bytes:
    """A PDF from its header on. Its cross-reference table counts from there, so what precedes it belongs to no PDF.

    Raises:
        CannotSignError: If it has no header.
    """
    start = content[:HEADER_WITHIN].find(b"%PDF-")
    if start < 0:
        raise CannotSignError("the document is not a PDF: its first 1024 bytes hold no %PDF- header")
    return content[start:]


def _decrypt(reader: PdfFileReader) -> None:
    if not isinstance(reader.security_handler, StandardSecurityHandler):
        raise CannotSignError("the PDF is encrypted for certain recipients")
    if reader.decrypt("").status == AuthStatus.FAILED:
        raise CannotSignError("the PDF is encrypted and needs a password to be opened")


def _highest_number(reader: PdfFileReader, content: bytes) -> int:
    """The highest object number that a PDF defines or refers to, whatever its trailer says."""
    numbers = {1}
    with contextlib.suppress(KeyError, TypeError, ValueError, PdfReadError):
        size: Any = reader.trailer["/Size"]
        numbers.add(int(size) - 1)
    for revision in range(reader.xrefs.total_revisions):
        numbers.update(ref.idnum for ref in reader.xrefs.explicit_refs_in_revision(revision))
        numbers.update(ref.idnum for ref in reader.xrefs.refs_freed_in_revision(revision))
    defined = max(number for number in numbers if number <= _HIGHEST_NUMBER)
    # A reference to an object that does not exist means null, until a new object takes its number.
    referred = (int(match[1]) for match in _REFERENCE.finditer(content))
    return max([defined, *(number for number in referred if number <= defined + _MOST_DANGLING)])

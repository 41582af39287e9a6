"""PDF files, and the signatures in their form fields."""

from __future__ import annotations

import re
from typing import Any, BinaryIO, Final

import attrs
from asn1crypto import x509
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.crypt import AuthStatus, StandardSecurityHandler
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.validation.pdf_embedded import extract_contents

from .report import NotJudgedError

TIMESTAMP: Final = "/ETSI.RFC3161"
"""SubFilter of a document timestamp (ISO 32000-2, 12.8.5)."""
TAIL: Final = 2048
"""Bytes at the end in which the last `%%EOF` must be; PDF readers look into the last 1,024 (ISO 32000-1, annex H.3)."""
_END: Final = re.compile(rb"startxref\s+(\d{1,10})\s+%%EOF")
_TABLE: Final = re.compile(rb"\s*(?:xref|\d+\s+\d+\s+obj)")


@attrs.frozen
class PdfSignature:
    """A signature field with its value.

    Attributes:
        name: The field's name.
        field: The field.
        value: The signature dictionary.
        contents: The signature itself, mostly a CMS message.
        byte_range: What it covers: two offsets with their lengths; what is between them is the signature.
        certificates: Certificates that the document holds for all of its signatures.
        problem: Why it cannot be judged, or "".
    """

    name: str
    field: Any
    value: Any
    contents: bytes
    byte_range: tuple[int, ...]
    certificates: list[x509.Certificate]
    problem: str = ""

    @property
    def end(self) -> int:
        """End of the bytes that it covers."""
        return self.byte_range[2] + self.byte_range[3]

    @property
    def subfilter(self) -> str:
        """Its type."""
        return str(self.value["/SubFilter"]) if "/SubFilter" in self.value else ""

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{'document timestamp' if self.subfilter == TIMESTAMP else 'signature'} {self.name}"


def open_pdf(file: BinaryIO, size: int) -> PdfFileReader:
    """Open a PDF of a length in bytes."""
    file.seek(max(0, size - TAIL))
    end = _END.findall(file.read())
    file.seek(int(end[-1]) if end and int(end[-1]) < size else size)
    if not _TABLE.match(file.read(64)):  # pyHanko would look for it in the whole file
        raise NotJudgedError("it is not a whole PDF: it does not end with the place of a cross-reference table")
    file.seek(0)
    reader = PdfFileReader(file, strict=False)
    if reader.encrypted:
        handler = reader.security_handler
        if not isinstance(handler, StandardSecurityHandler) or reader.decrypt("").status == AuthStatus.FAILED:
            raise NotJudgedError("it is encrypted, and needs a password or key")
    return reader


def signatures_of(reader: PdfFileReader) -> list[PdfSignature]:
    """The signatures, those that cover the least first."""
    certificates = _certificates(reader)
    fields: Any = enumerate_sig_fields(reader, filled_status=True)
    found = [_signature(name, value.get_object(), field.get_object(), certificates) for name, value, field in fields]
    return sorted(found, key=lambda signature: signature.end)


def _certificates(reader: PdfFileReader) -> list[x509.Certificate]:
    """The certificates in the document security store (ISO 32000-2, 12.8.4.3), which paths may need."""
    try:
        held: Any = reader.root["/DSS"]["/Certs"]
        return [x509.Certificate.load(held[number].data, strict=True) for number in range(min(len(held), 100))]
    except Exception:  # noqa: BLE001 - without it, or if it is broken, paths are built without it
        return []


def _signature(name: str, value: Any, field: Any, certificates: list[x509.Certificate]) -> PdfSignature:
    try:
        numbers = [int(number) for number in value["/ByteRange"]] if "/ByteRange" in value else []
        if len(numbers) == 4:
            return PdfSignature(name, field, value, extract_contents(value), tuple(numbers), certificates)
        problem = f"its ByteRange has {len(numbers)} numbers, not 4"
    except Exception as error:  # noqa: BLE001 - a broken signature must not hide what is known of the others
        problem = f"its value is broken ({type(error).__name__}: {error})"
    return PdfSignature(name, field, generic.DictionaryObject(), b"", (0, 0, 0, 0), certificates, problem)

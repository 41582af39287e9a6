"""Verification of signed documents: whether they are whole, signed, and what was sent. Needs the extra `verify`.

.. include:: guide.md
"""

# `cades`, `pades` and `xades` judge a file of one format, with `cms*`, `pdf_*` and `xml_*` for its parts. PDF
# signatures and timestamps are CMS. All formats share `report`, `algorithms`, `trust` and `signed_file`. Where to add
# - a digest or signature algorithm: `algorithms`, with its names in `cms_algorithms` and `xml_algorithms`,
# - a type of PDF signature: `pades`; a transform, or what a detached XML signature refers to: `xml_references`,
# - what a verification tells: `report`, from the signers and timestamps that `cms` and `xml_signature` judge.
from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

from .._content.contents import Contents, fingerprint_of
from .._content.sources import Source, contents_of
from ..errors import ConfigurationError, InvalidDocumentError
from ..models import SignatureType

try:
    from .cades import ARMOUR, verify_cms
    from .pades import verify_pdf
    from .report import Findings, NotJudgedError, Verdict, Verification
    from .signed_file import SignedFile
    from .trust import Roots, certificates
    from .xades import verify_xml
except ImportError as _missing:
    raise ImportError(f"{_missing}. Verification needs more packages: pip install 'signstash[verify]'") from _missing

__all__ = ["Roots", "Verdict", "Verification", "verify_file"]


def verify_file(
    signed: str | os.PathLike[str] | bytes, *, original: Source | None = None, trusted_roots: Roots = ()
) -> Verification:
    """Verify a signed document. Blocks: in an event loop call it in a thread, or use `SignedDocument.verify`.

    Args:
        signed: The document: a path, or its bytes. Its kind is recognized by its structure. Documents are judged up to
            1 GiB (PDF), 128 MiB (CMS) and 64 MiB (XML); larger ones are indeterminate.
        original: What was sent to be signed; without it nobody can tell whether this is the document that was sent.
        trusted_roots: Certificates of the authorities that are trusted: files or their contents, in PEM or DER.

    Raises:
        InvalidDocumentError: If a file cannot be read.
        ConfigurationError: If a root cannot be used, or an event loop is running in this thread.
    """
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise ConfigurationError(
            "verify_file was called in an event loop, which it would block.",
            "Await SignedDocument.verify, or call it with asyncio.to_thread.",
        )
    return verify_contents(contents_of(signed), None if original is None else contents_of(original), trusted_roots)


def verify_contents(signed: Contents, original: Contents | None, trusted_roots: Roots) -> Verification:
    """Verify a signed document, as `verify_file` does."""
    roots = certificates(trusted_roots)
    findings = Findings()
    with signed.opened() as file, _without_logs():
        try:
            _judge(SignedFile(file, fingerprint_of(file)[0], original, roots), findings)
        except NotJudgedError as error:
            findings.indeterminate(str(error))
        except InvalidDocumentError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a broken document raises in its parser is its own failure
            findings.indeterminate(f"it cannot be read ({type(error).__name__}: {error})")
    return findings.report()


_START: Final = 64 * 1024
"""Bytes at the start of a file in which a PEM armour is looked for."""
_PDF_START: Final = 1024
"""Bytes at the start of a file in which PDF readers look for `%PDF-` (ISO 32000-1, annex H.3)."""
_DER: Final = re.compile(rb"\x30(?:\x80|[\x00-\x7f]|\x81.|\x82..|\x83...|\x84....)\x06", re.DOTALL)
_XML: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*<|\xff\xfe(?:[\s]\0)*<\0|\xfe\xff(?:\0\s)*\0<|<\0|\0<")


def _judge(signed: SignedFile, findings: Findings) -> None:
    """Judge a file by its kind, which its structure tells: `%PDF-` within a CMS message does not make it a PDF."""
    if not signed.size:
        findings.invalid("it is empty")
        return
    start = signed.file.read(_START)
    signed.file.seek(0)
    if _DER.match(start) or start.startswith(b"-----BEGIN "):
        kind, judge = SignatureType.CADES, verify_cms
    elif _XML.match(start):
        kind, judge = SignatureType.XADES, verify_xml
    elif b"%PDF-" in start[:_PDF_START]:
        kind, judge = SignatureType.PADES, verify_pdf
    elif ARMOUR.search(start):
        kind, judge = SignatureType.CADES, verify_cms
    else:
        raise NotJudgedError("it is neither a PDF, nor XML, nor a CMS message")
    findings.signature_type = kind
    judge(signed, findings)


_verifying: ContextVar[bool] = ContextVar("_verifying", default=False)


def _is_not_verifying(_: logging.LogRecord) -> bool:
    return not _verifying.get()


@contextlib.contextmanager
def _without_logs() -> Iterator[None]:
    """Keep the libraries' log lines from the terminal: what they say is in the result."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("pyhanko", "pyhanko_certvalidator"):
            logging.getLogger(name).addFilter(_is_not_verifying)  # added once
    before = _verifying.set(True)
    try:
        yield
    finally:
        _verifying.reset(before)

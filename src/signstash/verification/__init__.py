"""Whether a signed document is whole, signed, and the one that was sent. It needs the extra `verify`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import BinaryIO

from .._content.contents import Contents
from .._content.snapshots import read
from .._content.sources import Source, contents_of
from ..errors import ConfigurationError
from ..models import SignatureType

try:
    from .cms import verify_cms, verify_pdf
    from .report import Verification, with_problem
    from .trust import Roots, certificates
    from .xml import verify_xml
except ImportError as _missing:
    raise ImportError(f"{_missing}. Verification needs more packages: pip install 'signstash[verify]'") from _missing

__all__ = ["Roots", "Verification", "verify_file"]

_BLOCK = 1024 * 1024


def verify_file(
    signed: str | os.PathLike[str] | bytes, *, original: Source | None = None, trusted_roots: Roots = ()
) -> Verification:
    """Verify a signed document. Blocks: in an event loop call it in a thread, or use `SignedDocument.verify`.

    Args:
        signed: The document: a path, or its bytes. What it is, is seen from how it begins.
        original: What was sent to be signed; without it nobody can tell whether this is what came back.
        trusted_roots: Certificates of the authorities that are trusted: files or their contents, in PEM or DER.

    Raises:
        InvalidDocumentError: If a file cannot be read.
        ConfigurationError: If a root cannot be used, or an event loop is running here.
    """
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise ConfigurationError(
            "verify_file was called in an event loop, which it would hold.",
            "Await SignedDocument.verify, or call it with asyncio.to_thread.",
        )
    return verify_contents(contents_of(signed), None if original is None else contents_of(original), trusted_roots)


def verify_contents(signed: Contents, original: Contents | None, trusted_roots: Roots) -> Verification:
    """Verify a signed document, as `verify_file` does.

    Args:
        signed: Its contents.
        original: What was sent to be signed, or None.
        trusted_roots: Certificates of the authorities that are trusted.
    """
    roots = certificates(trusted_roots)
    with signed.opened() as opened:
        file = opened.file
        start = file.read(1024)
        file.seek(0)
        if b"%PDF-" in start:
            length = 0 if original is None else _length_if_extended(file, original)
            found = _guarded(SignatureType.PADES, lambda: verify_pdf(file, length or 0, roots))
            return found if length is not None else with_problem(found, "it does not begin with what was sent")
        sent = None if original is None else read(original)
        if _is_xml(start):
            return _guarded(SignatureType.XADES, lambda: verify_xml(file, sent, roots))
        return _guarded(SignatureType.CADES, lambda: verify_cms(file, sent, roots))


_verifying: ContextVar[bool] = ContextVar("_verifying", default=False)


def _is_told_elsewhere(_: logging.LogRecord) -> bool:
    return not _verifying.get()


# They tell with a traceback of all that they find, which is in the report.
for _name in ("pyhanko.sign.validation.generic_cms", "pyhanko.sign.diff_analysis.policies"):
    logging.getLogger(_name).addFilter(_is_told_elsewhere)


def _guarded(signature_type: SignatureType, verify: Callable[[], Verification]) -> Verification:
    before = _verifying.set(True)
    try:
        return verify()
    except Exception as error:  # noqa: BLE001 - whatever a broken document brings up in its parser is its own failure
        problem = f"it cannot be read ({type(error).__name__}: {error})"
        return Verification(signature_type=signature_type, problems=(problem,))
    finally:
        _verifying.reset(before)


def _is_xml(start: bytes) -> bool:
    return start.startswith((b"\xff\xfe", b"\xfe\xff")) or start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _length_if_extended(file: BinaryIO, original: Contents) -> int | None:
    """The length of what was sent, if a PDF begins with it (ISO 32000-1, 7.5.6: incremental updates), and else None."""
    file.seek(0)
    with original.opened() as opened:
        while block := opened.read(_BLOCK):
            if file.read(len(block)) != block:
                return None
    return file.tell()

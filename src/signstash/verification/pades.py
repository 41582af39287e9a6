"""PAdES signatures, and the other signatures that a PDF can hold."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

import attrs
from asn1crypto import core, x509
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from .._content.contents import Contents, fingerprint_of
from .algorithms import Content, SignatureAlgorithm, digest_of_blocks, matches, unreliable
from .cms import judge_signers, judge_timestamp
from .cms_message import SignedData, parse
from .pdf_changes import Change, changes_between
from .pdf_document import TAIL, TIMESTAMP, PdfSignature, open_pdf, signatures_of
from .pdf_updates import ProtectedRevision, judge_updates, newest
from .report import Findings, NotJudgedError
from .signed_file import SignedFile, blocks, length_of_original, limit_size
from .trust import judge_trust

MAX_BYTES: Final = 1024 * 1024 * 1024
"""Bytes that a PDF may have; it is streamed."""

_MAX_STEPS: Final = 2500
"""Bound of the work for all signatures: their number times the revisions."""
_MAX_DIGESTED: Final = 16 * MAX_BYTES
"""Bound of the bytes that all signatures cover."""
_HEXADECIMAL: Final = re.compile(rb"<[0-9A-Fa-f\s]*>")
_Roots = list[x509.Certificate]


def verify_pdf(signed: SignedFile, findings: Findings) -> None:
    """Judge the signatures of a PDF; signer and time are those of the newest."""
    limit_size(signed.size, MAX_BYTES, "PDFs are")
    original = signed.original
    # Incremental updates extend a PDF (ISO 32000-1, 7.5.6), so it begins with what was sent: None if it does not.
    sent = 0 if original is None else length_of_original(signed.file, original) or None
    reader = open_pdf(signed.file, signed.size)
    signatures = signatures_of(reader)
    revisions = reader.xrefs.total_revisions
    if len(signatures) * revisions > _MAX_STEPS or sum(signature.end for signature in signatures) > _MAX_DIGESTED:
        raise NotJudgedError(f"it has too many signatures and revisions: {len(signatures)} and {revisions}")
    earlier = [signature for signature in signatures if sent and signature.end <= sent]  # they are sorted by it
    new = signatures[len(earlier) :]
    if all(signature.subfilter == TIMESTAMP for signature in new):
        findings.invalid(
            "it was not signed anew: its signatures were in what was sent" if earlier else "it holds no signature"
        )
    if original is not None:
        _judge_sent(reader, sent, original, findings)
    for signature in earlier:
        findings.include_earlier(_findings_about(reader, signed, signature, []))
    for signature in new:
        findings.include(_findings_about(reader, signed, signature, signed.roots))
    _judge_end(reader, signed, signatures, findings)


def _findings_about(reader: PdfFileReader, signed: SignedFile, signature: PdfSignature, roots: _Roots) -> Findings:
    findings = Findings(signature.label)
    with findings.judging():
        if signature.problem:
            raise NotJudgedError(signature.problem)
        if _judge_byte_range(signed, signature, findings):
            covered = Content(lambda name: _digest(signed.file, signature, name), name="the document")
            _judge_value(signature, covered, roots, findings)
            if signature.end < signed.size:
                _judge_updates(reader, signature, findings)
    return findings


def _judge_byte_range(signed: SignedFile, signature: PdfSignature, findings: Findings) -> bool:
    """Whether the ByteRange leaves out the signature value alone (ETSI EN 319 142-1, 5.3)."""
    first, length, second, rest = signature.byte_range
    if min(signature.byte_range) < 0 or length > second or second + rest > signed.size:
        findings.invalid(f"the ByteRange of {findings.label} does not fit the file")
        return False
    if first != 0:
        findings.invalid(f"{findings.label} does not cover the beginning of the file")
    signed.file.seek(first + length)
    gap = signed.file.read(second - first - length)
    digits = b"".join(gap[1:-1].split())
    digits += b"0" * (len(digits) % 2)  # a last one may be left out (ISO 32000-1, 7.3.4.3)
    if not _HEXADECIMAL.fullmatch(gap) or bytes.fromhex(digits.decode()) != signature.contents:
        findings.invalid(f"{findings.label} leaves out more of the file than its own value")
    return True


def _digest(file: BinaryIO, signature: PdfSignature, name: str) -> bytes:
    def covered() -> Iterator[bytes]:
        first, length, second, rest = signature.byte_range
        for start, remaining in ((first, length), (second, rest)):
            file.seek(start)
            yield from blocks(file, remaining)

    return digest_of_blocks(name, covered())


def _parsed(signature: PdfSignature) -> SignedData:
    data = parse(signature.contents)
    return attrs.evolve(data, certificates=[*data.certificates, *signature.certificates])


def _judge_value(signature: PdfSignature, covered: Content, roots: _Roots, findings: Findings) -> None:
    kind = signature.subfilter.removeprefix("/")
    if signature.subfilter not in _JUDGES:
        raise NotJudgedError(f"signatures of type {kind or 'none'} are not supported")
    _JUDGES[signature.subfilter](signature, covered, roots, findings)
    if kind.endswith("sha1"):
        findings.indeterminate(f"{findings.label} is of type {kind}, which {unreliable('sha1')}")


def _judge_cms(signature: PdfSignature, covered: Content, roots: _Roots, findings: Findings) -> None:
    data = _parsed(signature)
    if not data.signers:
        findings.invalid(f"{findings.label} is not signed by anybody")
    judge_signers(data, covered, roots, findings)
    _take_claimed_time(signature, findings)


def _judge_cms_of_digest(signature: PdfSignature, covered: Content, roots: _Roots, findings: Findings) -> None:
    """A CMS message that holds the SHA-1 digest of the document (ISO 32000-1, 12.8.3.3.1)."""
    data = _parsed(signature)
    if data.content != covered.digest("sha1"):
        findings.digest_differs(covered.name)
    judge_signers(data, Content.of(data.content or b""), roots, findings)
    _take_claimed_time(signature, findings)


def _judge_rsa(signature: PdfSignature, covered: Content, roots: _Roots, findings: Findings) -> None:
    """A bare RSA signature, with its certificates in the signature dictionary (ISO 32000-1, 12.8.3.2)."""
    held = signature.value["/Cert"]
    encoded = [held] if not isinstance(held, generic.ArrayObject) else list(held)
    certificates = [x509.Certificate.load(item.original_bytes) for item in encoded]
    findings.signed_by(certificates[0])
    value = core.OctetString.load(signature.contents).native
    algorithm = SignatureAlgorithm(kind="rsa", hash_name="sha1")
    if not matches(certificates[0].public_key.dump(), algorithm, value, covered):
        findings.value_differs()
    judge_trust(certificates[0], certificates, roots, findings)
    _take_claimed_time(signature, findings)


def _judge_document_timestamp(signature: PdfSignature, covered: Content, _: _Roots, findings: Findings) -> None:
    judge_timestamp(signature.contents, covered, findings.label, findings)
    findings.timestamped_at = None  # it says nothing about when the document was signed


_JUDGES: Final[dict[str, Callable[[PdfSignature, Content, _Roots, Findings], None]]] = {
    "/ETSI.CAdES.detached": _judge_cms,
    "/adbe.pkcs7.detached": _judge_cms,
    "/adbe.pkcs7.sha1": _judge_cms_of_digest,
    "/adbe.x509.rsa_sha1": _judge_rsa,
    TIMESTAMP: _judge_document_timestamp,
}
"""How the signature of each type (SubFilter) is judged."""


def _take_claimed_time(signature: PdfSignature, findings: Findings) -> None:
    """Take the time of signing from the dictionary, for a signature that does not claim one itself."""
    if findings.signed_at is None and "/M" in signature.value:
        try:
            findings.signed_at = generic.parse_pdf_date(signature.value["/M"], strict=False)
        except Exception:  # noqa: BLE001 - a claim only
            findings.note(f"the claimed time of {findings.label} cannot be read")
        findings.compare_times()


def _judge_updates(reader: PdfFileReader, signature: PdfSignature, findings: Findings) -> None:
    embedded = EmbeddedPdfSignature(reader, signature.field, signature.name)
    if embedded.evaluate_signature_coverage() < SignatureCoverageLevel.ENTIRE_REVISION:
        findings.indeterminate(f"{signature.label} does not cover a whole revision of the file")
        return
    protected = ProtectedRevision(
        number=embedded.signed_revision, end=signature.end, name=signature.label, event=f"{signature.label} was made",
        violation=f"{signature.label} does not allow what was added later",
        permitted=embedded.docmdp_level, fields=embedded.fieldmdp,
    )  # fmt: skip
    judge_updates(reader, protected, findings)


def _judge_sent(reader: PdfFileReader, sent: int | None, original: Contents, findings: Findings) -> None:
    """Judge what was added to the original, before or after signing, or whether the PDF was written anew."""
    if sent is None:
        is_same = False
        with original.opened() as opened, contextlib.suppress(Exception):  # what cannot be read is another file
            before = newest(open_pdf(opened, fingerprint_of(opened)[0]))
            is_same = Change.CONTENT not in changes_between(before, newest(reader), 0)
        if is_same:
            findings.indeterminate(
                "it was written anew: its pages are the same, but it does not begin with what was sent"
            )
        else:
            findings.invalid("it does not begin with what was sent")
        return
    places = map(reader.xrefs.get_startxref_for_revision, range(reader.xrefs.total_revisions))
    protected = ProtectedRevision(
        number=max(0, sum(place < sent for place in places) - 1), end=sent, name="what was sent",
        event="it was sent", violation="it is not what was sent", may_be_filled_in=False,
    )  # fmt: skip
    judge_updates(reader, protected, findings)


def _judge_end(reader: PdfFileReader, signed: SignedFile, signatures: list[PdfSignature], findings: Findings) -> None:
    """Report bytes that belong to no revision, which some readers take for another one."""
    if not signatures or signatures[-1].end >= signed.size:
        return
    signed.file.seek(max(0, signed.size - TAIL))
    _, _, after = signed.file.read().rpartition(b"%%EOF")
    last = signatures[-1]
    if after.strip() or len(after) > 2:
        findings.indeterminate(f"{len(after)} bytes follow the end of the last revision and are not signed")
    elif (reader.last_startxref or 0) < last.end:
        findings.indeterminate(f"{signed.size - last.end} bytes follow {last.label} and are not signed")

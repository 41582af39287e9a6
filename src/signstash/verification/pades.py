"""PAdES signatures, and the other signatures that a PDF can hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, BinaryIO, Final

import attrs
from asn1crypto import core, x509
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.crypt import AuthStatus, StandardSecurityHandler
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature, extract_contents
from pyhanko.sign.validation.status import SignatureCoverageLevel

from .._content.contents import Contents, fingerprint_of
from .algorithms import SignatureAlgorithm, matches, new_digest, unreliable
from .cms import Content, SignedData, judge_signers, judge_timestamp, parse
from .pdf_changes import Change, changes_between
from .pdf_updates import ProtectedRevision, judge_updates, newest
from .report import Findings, NotJudgedError
from .trust import judge_trust

MAX_BYTES: Final = 1024 * 1024 * 1024
"""Bytes that a PDF may have; it is streamed."""

_BLOCK: Final = 1024 * 1024
_MAX_STEPS: Final = 2500
"""Bound of the work for all signatures: their number times the revisions."""
_MAX_DIGESTED: Final = 16 * MAX_BYTES
_TAIL: Final = 2048
"""Bytes at the end in which the last `%%EOF` must be; PDF readers look into the last 1,024 (ISO 32000-1, annex H.3)."""
_END: Final = re.compile(rb"startxref\s+(\d{1,10})\s+%%EOF")
_TABLE: Final = re.compile(rb"\s*(?:xref|\d+\s+\d+\s+obj)")
_TIMESTAMP: Final = "/ETSI.RFC3161"
_HEXADECIMAL: Final = re.compile(rb"<[0-9A-Fa-f\s]*>")


@attrs.frozen
class _Signature:
    """A signature field with its value."""

    name: str
    field: Any
    value: Any
    contents: bytes
    byte_range: tuple[int, ...]
    certificates: list[x509.Certificate]
    problem: str = ""

    @property
    def end(self) -> int:
        return self.byte_range[2] + self.byte_range[3]

    @property
    def subfilter(self) -> str:
        return str(self.value["/SubFilter"]) if "/SubFilter" in self.value else ""

    @property
    def label(self) -> str:
        return f"{'document timestamp' if self.subfilter == _TIMESTAMP else 'signature'} {self.name}"


def verify_pdf(
    file: BinaryIO, size: int, original: Contents | None, roots: list[x509.Certificate], findings: Findings
) -> None:
    """Judge the signatures of a PDF; signer and time are those of the newest.

    Args:
        file: The PDF.
        size: Its length in bytes.
        original: What was sent to be signed, if it is known.
        roots: Trusted certificates.
        findings: Takes the result.

    Raises:
        NotJudgedError: If it cannot be judged.
    """
    if size > MAX_BYTES:
        raise NotJudgedError(f"it has {size} bytes; PDFs are judged up to {MAX_BYTES}")
    sent = 0 if original is None else _length_if_extended(file, original)
    reader = _reader(file, size)
    signatures = _signatures(reader)
    revisions = reader.xrefs.total_revisions
    if len(signatures) * revisions > _MAX_STEPS or sum(signature.end for signature in signatures) > _MAX_DIGESTED:
        raise NotJudgedError(f"it has too many signatures and revisions: {len(signatures)} and {revisions}")
    earlier = [signature for signature in signatures if sent and signature.end <= sent]
    new = [signature for signature in signatures if signature not in earlier]
    if all(signature.subfilter == _TIMESTAMP for signature in new):
        findings.invalid(
            "it was not signed anew: its signatures were in what was sent" if earlier else "it holds no signature"
        )
    if original is not None:
        _judge_sent(reader, sent, original, findings)
    for signature in earlier:
        found = Findings()
        _judge_guarded(reader, file, size, signature, [], found)
        before = Findings()
        before.include_as_notes(found)
        for problem in before.report().notes:
            findings.note(f"{signature.label} was in what was sent, and {problem}")
    for signature in new:
        found = Findings()
        _judge_guarded(reader, file, size, signature, roots, found)
        findings.include(found)
    _judge_end(reader, file, size, signatures, findings)


def _length_if_extended(file: BinaryIO, original: Contents) -> int | None:
    """The length of what was sent, if the PDF begins with it (ISO 32000-1, 7.5.6: incremental updates), else None."""
    file.seek(0)
    length = 0
    with original.opened() as opened:
        while block := opened.read(_BLOCK):
            if file.read(len(block)) != block:
                return None
            length += len(block)
    return length or None


def _reader(file: BinaryIO, size: int) -> PdfFileReader:
    file.seek(max(0, size - _TAIL))
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


def _signatures(reader: PdfFileReader) -> list[_Signature]:
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


def _signature(name: str, value: Any, field: Any, certificates: list[x509.Certificate]) -> _Signature:
    try:
        numbers = [int(number) for number in value["/ByteRange"]] if "/ByteRange" in value else []
        if len(numbers) == 4:
            return _Signature(name, field, value, extract_contents(value), tuple(numbers), certificates)
        problem = f"its ByteRange has {len(numbers)} numbers, not 4"
    except Exception as error:  # noqa: BLE001 - a broken signature must not hide what is known of the others
        problem = f"its value is broken ({type(error).__name__}: {error})"
    return _Signature(name, field, generic.DictionaryObject(), b"", (0, 0, 0, 0), certificates, problem)


def _judge_guarded(
    reader: PdfFileReader,
    file: BinaryIO,
    size: int,
    signature: _Signature,
    roots: list[x509.Certificate],
    findings: Findings,
) -> None:
    try:
        if signature.problem:
            raise NotJudgedError(signature.problem)
        if not _judge_byte_range(file, size, signature, findings):
            return
        _judge_value(file, signature, roots, findings)
        if signature.end < size:
            _judge_updates(reader, signature, findings)
    except NotJudgedError as error:
        findings.indeterminate(f"{signature.label} cannot be judged: {error}")
    except Exception as error:  # noqa: BLE001 - a broken signature must not hide what is known of the others
        findings.indeterminate(f"{signature.label} cannot be read ({type(error).__name__}: {error})")


def _judge_byte_range(file: BinaryIO, size: int, signature: _Signature, findings: Findings) -> bool:
    """Whether the ByteRange leaves out the signature value alone (ETSI EN 319 142-1, 5.3)."""
    first, length, second, rest = signature.byte_range
    if min(signature.byte_range) < 0 or length > second or second + rest > size:
        findings.invalid(f"the ByteRange of {signature.label} does not fit the file")
        return False
    if first != 0:
        findings.invalid(f"{signature.label} does not cover the beginning of the file")
    file.seek(first + length)
    gap = file.read(second - first - length)
    inner = b"".join(gap[1:-1].split())
    if not _HEXADECIMAL.fullmatch(gap) or bytes.fromhex((inner + b"0" * (len(inner) % 2)).decode()) != (
        signature.contents
    ):
        findings.invalid(f"{signature.label} leaves out more of the file than its own value")
    return True


def _judge_value(file: BinaryIO, signature: _Signature, roots: list[x509.Certificate], findings: Findings) -> None:
    def digest_of_range(name: str) -> bytes:
        made = new_digest(name)
        first, length, second, rest = signature.byte_range
        for start, remaining in ((first, length), (second, rest)):
            file.seek(start)
            while remaining and (block := file.read(min(_BLOCK, remaining))):
                made.update(block)
                remaining -= len(block)
        return made.digest()

    _JUDGES.get(signature.subfilter, _judge_unknown)(signature, digest_of_range, roots, findings)


_Judge = Callable[[_Signature, Callable[[str], bytes], list[x509.Certificate], Findings], None]


def _parsed(signature: _Signature) -> SignedData:
    data = parse(signature.contents)
    return attrs.evolve(data, certificates=[*data.certificates, *signature.certificates])


def _judge_cms(
    signature: _Signature, digest_of: Callable[[str], bytes], roots: list[x509.Certificate], findings: Findings
) -> None:
    data = _parsed(signature)
    if not data.signers:
        findings.invalid(f"{signature.label} is not signed by anybody")
    judge_signers(data, Content(digest_of, name="the document"), roots, signature.label, findings)
    _take_time(signature, findings)


def _judge_cms_of_digest(
    signature: _Signature, digest_of: Callable[[str], bytes], roots: list[x509.Certificate], findings: Findings
) -> None:
    """A CMS message that holds the SHA-1 digest of the document (ISO 32000-1, 12.8.3.3.1)."""
    data = _parsed(signature)
    if data.content != digest_of("sha1"):
        findings.invalid(f"the document was changed after {signature.label} was made: its digest differs")
    judge_signers(data, Content.of(data.content or b""), roots, signature.label, findings)
    _take_time(signature, findings)
    _report_sha1(signature, findings)


def _judge_rsa(
    signature: _Signature, digest_of: Callable[[str], bytes], roots: list[x509.Certificate], findings: Findings
) -> None:
    """A bare RSA signature, with its certificates in the signature dictionary (ISO 32000-1, 12.8.3.2)."""
    held = signature.value["/Cert"]
    encoded = [held] if not isinstance(held, generic.ArrayObject) else list(held)
    certificates = [x509.Certificate.load(item.original_bytes) for item in encoded]
    findings.signed_by(certificates[0])
    value = core.OctetString.load(signature.contents).native
    algorithm = SignatureAlgorithm(kind="rsa", hash_name="sha1")
    if not matches(certificates[0].public_key.dump(), algorithm, value, None, digest_of("sha1")):
        findings.invalid(f"the value of {signature.label} does not match what it signs and its certificate")
    judge_trust(certificates[0], certificates[1:], roots, signature.label, findings)
    _take_time(signature, findings)
    _report_sha1(signature, findings)


def _report_sha1(signature: _Signature, findings: Findings) -> None:
    kind = signature.subfilter.removeprefix("/")
    findings.indeterminate(f"{signature.label} is of type {kind}, which {unreliable('sha1')}")


def _judge_document_timestamp(
    signature: _Signature, digest_of: Callable[[str], bytes], _: list[x509.Certificate], findings: Findings
) -> None:
    judge_timestamp(signature.contents, Content(digest_of), signature.label, findings)
    findings.timestamped_at = None  # it says nothing about when the document was signed


def _judge_unknown(signature: _Signature, _: Callable[[str], bytes], __: list[x509.Certificate], ___: Findings) -> None:
    raise NotJudgedError(f"signatures of type {signature.subfilter.removeprefix('/') or 'none'} are not supported")


_JUDGES: Final[dict[str, _Judge]] = {
    "/ETSI.CAdES.detached": _judge_cms,
    "/adbe.pkcs7.detached": _judge_cms,
    "/adbe.pkcs7.sha1": _judge_cms_of_digest,
    "/adbe.x509.rsa_sha1": _judge_rsa,
    _TIMESTAMP: _judge_document_timestamp,
}


def _take_time(signature: _Signature, findings: Findings) -> None:
    if findings.signed_at is None and "/M" in signature.value:
        try:
            findings.signed_at = generic.parse_pdf_date(signature.value["/M"], strict=False)
        except Exception:  # noqa: BLE001 - a claim only
            findings.note(f"the claimed time of {signature.label} cannot be read")
        findings.compare_times(signature.label)


def _judge_updates(reader: PdfFileReader, signature: _Signature, findings: Findings) -> None:
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
        with original.opened() as opened:
            length = fingerprint_of(opened)[0]
            try:
                before = newest(_reader(opened, length))
                is_same = Change.CONTENT not in changes_between(before, newest(reader), 0)
            except Exception:  # noqa: BLE001 - what cannot be read is another file
                is_same = False
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


def _judge_end(
    reader: PdfFileReader, file: BinaryIO, size: int, signatures: list[_Signature], findings: Findings
) -> None:
    """Report bytes that belong to no revision, which some readers take for another one."""
    if not signatures or signatures[-1].end >= size:
        return
    file.seek(max(0, size - _TAIL))
    _, _, after = file.read().rpartition(b"%%EOF")
    last = signatures[-1]
    if after.strip() or len(after) > 2:
        findings.indeterminate(f"{len(after)} bytes follow the end of the last revision and are not signed")
    elif (reader.last_startxref or 0) < last.end:
        findings.indeterminate(f"{size - last.end} bytes follow {last.label} and are not signed")

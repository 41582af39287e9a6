"""PAdES and CAdES signatures, which are both CMS."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, BinaryIO

import attrs
from asn1crypto import cms, x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.validation import (
    async_validate_detached_cms,
    async_validate_pdf_signature,
    async_validate_pdf_timestamp,
)
from pyhanko.sign.validation.generic_cms import async_validate_cms_signature, collect_timing_info
from pyhanko.sign.validation.status import SignatureCoverageLevel, StandardCMSSignatureStatus

from ..models import SignatureType
from .report import Verification, signed_by, with_problem
from .trust import context, unarmoured


def verify_pdf(file: BinaryIO, sent: int, roots: list[x509.Certificate]) -> Verification:
    """Judge the signatures of a PDF; what is said of signer and time is of the newest one.

    Args:
        file: The PDF.
        sent: How many bytes of it were there before it was signed, if that is known, and else 0.
        roots: Which certificates are trusted.
    """
    found = Verification(signature_type=SignatureType.PADES)
    reader = PdfFileReader(file, strict=False)
    signatures = reader.embedded_regular_signatures
    if not signatures:
        return with_problem(found, "it holds no signature")
    whole = False
    for signature in signatures:
        judged = async_validate_pdf_signature(signature, context(roots), skip_diff=True)
        status = asyncio.run(judged)
        found = _judged(found, status, f"signature {signature.field_name}", roots)
        whole = status.coverage == SignatureCoverageLevel.ENTIRE_FILE
    if not whole and not asyncio.run(_only_timestamped(reader, roots)):
        found = with_problem(found, "something was added after it was signed")
    byte_range: Any = signatures[-1].byte_range
    signed_until: int = byte_range[1]  # there its own bytes begin
    if signed_until < sent:
        found = with_problem(found, "it was not signed anew: its newest signature was in what was sent")
    return found


async def _only_timestamped(reader: PdfFileReader, roots: list[x509.Certificate]) -> bool:
    """Whether all that follows the newest signature is for archiving, under timestamps that hold (PAdES B-LTA)."""
    stamps = reader.embedded_timestamp_signatures
    if not stamps or stamps[-1].evaluate_signature_coverage() != SignatureCoverageLevel.ENTIRE_FILE:
        return False
    for stamp in stamps:
        judged = await async_validate_pdf_timestamp(stamp, context(roots), skip_diff=True)
        if not (judged.intact and judged.valid):
            return False
    status = await async_validate_pdf_signature(reader.embedded_regular_signatures[-1], context(roots))
    level = status.modification_level
    return level is not None and level <= ModificationLevel.LTA_UPDATES


def verify_cms(file: BinaryIO, original: bytes | None, roots: list[x509.Certificate]) -> Verification:
    """Judge a CMS signature, with its contents in it or beside it.

    Args:
        file: The signature, in DER or PEM.
        original: What was signed, if it is there.
        roots: Which certificates are trusted.
    """
    found = Verification(signature_type=SignatureType.CADES)
    (encoded,) = unarmoured(file.read())
    message = cms.ContentInfo.load(encoded, strict=True)
    if message["content_type"].native != "signed_data":
        return with_problem(found, "it holds no signature")
    signed_data = message["content"]
    held = signed_data["encap_content_info"]["content"].native
    if held is None and original is None:
        return with_problem(found, "it does not hold what it signs, so it cannot be judged without the original")
    status = asyncio.run(_detached(original, signed_data, roots) if held is None else _enveloping(signed_data, roots))
    found = _judged(found, status, "the signature", roots)
    if original is not None and held is not None and held != original:
        found = with_problem(found, "it does not hold what was sent")
    return found


async def _detached(original: Any, signed_data: cms.SignedData, roots: list[x509.Certificate]) -> Any:
    return await async_validate_detached_cms(original, signed_data, context(roots))


async def _enveloping(signed_data: Any, roots: list[x509.Certificate]) -> Any:
    judging, (signer,), content = context(roots), signed_data["signer_infos"], signed_data["encap_content_info"]
    timing = await collect_timing_info(
        signer, judging, lambda name: hashlib.new(name, bytes(content["content"])).digest()
    )
    return await async_validate_cms_signature(
        signed_data,
        status_cls=StandardCMSSignatureStatus,
        validation_context=judging,
        status_kwargs=timing,
        key_usage_settings=StandardCMSSignatureStatus.default_usage_constraints(),
    )


def _judged(found: Verification, status: Any, which: str, roots: list[x509.Certificate]) -> Verification:
    found = signed_by(found, status.signing_cert)
    if not status.intact:
        found = with_problem(found, f"what {which} signs was changed afterwards")
    if not status.valid:
        found = with_problem(found, f"{which} does not fit the certificate's key")
    trusted = bool(status.trusted) if roots else None
    if trusted is False:
        found = with_problem(found, f"the certificate of {which} leads to none of the trusted roots")
    stamp = status.timestamp_validity
    if stamp is not None and not (stamp.intact and stamp.valid):
        found = with_problem(found, f"the timestamp of {which} does not hold")
    return attrs.evolve(
        found,
        signed_at=status.signer_reported_dt,
        timestamped_at=None if stamp is None else stamp.timestamp,
        trusted=trusted,
    )

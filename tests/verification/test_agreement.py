"""The sandbox's documents of every kind and option, each changed in ten ways: what OpenSSL, xmlsec1 and pdfsig say.

`SIGNSTASH_VERIFICATION_CHANGES` is the number of changes to each document, which may be thousands.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from signstash.models import (
    AdvancedSignatureInfo,
    CanonicalTransform,
    SignatureInfo,
    SignatureType,
    VisibleSignatureInfo,
)
from signstash.sandbox.certificate import Root, new_root, pem
from signstash.sandbox.signatures import SignatureMaker
from signstash.verification import Verdict, verify_file
from tests.conftest import INVOICE
from tests.verification.conftest import Judges

CHANGES = int(os.environ.get("SIGNSTASH_VERIFICATION_CHANGES", "10"))
XML = (
    b"<?before the root?><fatura xmlns='urn:f'><!-- Novembro -->"
    b"<total moeda='EUR'>31,00</total><assinatura/></fatura><?after it?>"
)
ROOT = Root(new_root())
MAKER = SignatureMaker(ROOT)
PLACE = {"locationType": "COORDINATE", "locationValue": "page=1,x=100,y=100"}


def info(kind: SignatureType, **options: Any) -> SignatureInfo:
    return SignatureInfo(signature_type=kind, **options)


def visible() -> VisibleSignatureInfo:
    return VisibleSignatureInfo.from_dict({**PLACE, "area": "width=200,height=50"})


KINDS: dict[str, tuple[bytes, SignatureInfo]] = {
    "PAdES": (INVOICE.read_bytes(), info(SignatureType.PADES)),
    "PAdES with a reason": (INVOICE.read_bytes(), info(SignatureType.PADES, reason="Invoice", location="Lisboa")),
    "PAdES with a timestamp": (INVOICE.read_bytes(), info(SignatureType.PADES, apply_timestamp=True)),
    "PAdES, visible": (INVOICE.read_bytes(), info(SignatureType.PADES, visible_signature_info=visible())),
    "CAdES": (b"any bytes", info(SignatureType.CADES)),
    "CAdES of a PDF": (INVOICE.read_bytes(), info(SignatureType.CADES)),
    "CAdES with a timestamp": (b"any bytes", info(SignatureType.CADES, apply_timestamp=True)),
    "XAdES": (XML, info(SignatureType.XADES)),
    "XAdES with a timestamp": (XML, info(SignatureType.XADES, apply_timestamp=True)),
    "XAdES in a place": (
        XML, info(SignatureType.XADES, advanced_signature_info=AdvancedSignatureInfo(signature_location="assinatura"))
    ),
    **{
        f"XAdES, {canonical}": (
            XML, info(SignatureType.XADES, advanced_signature_info=AdvancedSignatureInfo(canonical_transform=canonical))
        )
        for canonical in CanonicalTransform
    },
}  # fmt: skip


def accepts(judges: Judges, kind: SignatureType, content: bytes) -> bool:
    if kind == SignatureType.CADES:
        return judges.openssl_accepts(content)
    if kind == SignatureType.PADES:
        return judges.pdfsig_says(content) == ["Signature is Valid."]
    names = ("Reference", "SignedProperties", "KeyInfo", "Signature")
    spaces = {"SignedProperties": "http://uri.etsi.org/01903/v1.3.2#"}
    ids = [f"{spaces.get(name, 'http://www.w3.org/2000/09/xmldsig#')}:{name}".replace("#:", "#:") for name in names]
    return judges.xmlsec_accepts(content, [part for name in ids for part in ("--id-attr:Id", name)])


def changed(content: bytes, times: int) -> list[bytes]:
    """The document with a bit or byte changed, a piece left out or put in twice, in places that are always the same."""
    chance = random.Random(len(content))
    made = []
    for number in range(times):
        place, size = chance.randrange(10, len(content) - 10), chance.randrange(1, 8)
        middle = content[place : place + size]
        new = [bytes([middle[0] ^ 1]) + middle[1:], b"", middle * 2, bytes([(middle[0] + 1) % 256]) + middle[1:]]
        made.append(content[:place] + new[number % 4] + content[place + size :])
    return made


@pytest.mark.timeout(600 + CHANGES * 5)
@pytest.mark.parametrize("name", KINDS)
def test_verdicts_agree(judges: Judges, name: str) -> None:
    content, how = KINDS[name]
    signed = MAKER.sign(content, how)

    assert verify_file(signed, original=content, trusted_roots=[pem(ROOT.certificate)]).problems == ()
    assert accepts(judges, SignatureType(how.signature_type), signed)
    for broken in changed(signed, CHANGES):
        found = verify_file(broken)
        if accepts(judges, SignatureType(how.signature_type), broken):
            # Others may ignore certificates, unsigned properties, what surrounds the signature, and the type of the
            # content, which OpenSSL does not compare with the signed one (RFC 5652, 11.1). This package reports them.
            ours = ("timestamp", "not signed", "not of the type")
            assert found.verdict is not Verdict.INVALID or any(word in found.reason for word in ours)
        elif how.signature_type != SignatureType.CADES or judges.openssl_reads(broken):
            # What OpenSSL cannot parse may be a certificate, which is not signed.
            assert found.verdict is not Verdict.VALID, broken.hex()

"""Countersignatures, which sign the value of a signature, and times that contradict each other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from asn1crypto import cms, core
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pyhanko.sign.timestamps import DummyTimeStamper

from signstash.models import SignatureInfo, SignatureType
from signstash.sandbox.certificate import Root, new_root
from signstash.sandbox.signatures import SignatureMaker
from signstash.sandbox.signatures.signer import Seal
from signstash.verification import Verdict, Verification, verify_file
from tests.conftest import INVOICE
from tests.verification.conftest import Judges
from tests.verification.test_hostile import ETSI
from tests.verification.test_openssl import sign
from tests.verification.test_xmlsec import invoice, made, reference, signature

IDS = ["--id-attr:Id", "http://www.w3.org/2000/09/xmldsig#:SignatureValue", "--id-attr:Id", "urn:i:Total"]
COUNTER = ["--node-xpath", "(//*[local-name()='CounterSignature']/*)[last()]"]
PROPERTIES = ("QualifyingProperties", "UnsignedProperties", "UnsignedSignatureProperties", "CounterSignature")
BEFORE = "<ds:Object>" + "".join(f'<e:{name} xmlns:e="{ETSI}">' for name in PROPERTIES)
AFTER = "".join(f"</e:{name}>" for name in reversed(PROPERTIES)) + "</ds:Object>"


def countersigned(judges: Judges, *, uri: str = "#V0", depth: int = 1) -> bytes:
    """An XML signature with a countersignature by xmlsec1, which may have one, too."""
    template = ""
    for level in range(depth, -1, -1):
        references = [reference(uri if level == 1 else f"#V{level - 1}", transforms="")] if level else []
        template = signature(*references, more=template and BEFORE + template + AFTER).replace(
            "<ds:SignatureValue/>", f'<ds:SignatureValue Id="V{level}"/>', 1
        )
    signed = made(judges, invoice(template).replace("<i:Total", '<i:Total Id="Total"'))
    for level in range(1, depth + 1):
        (judges.folder / "template.xml").write_bytes(signed)
        place = ["--node-xpath", f"(//*[local-name()='CounterSignature']/*)[{level}]"]
        judges.make("xmlsec1", "--sign", "--privkey-pem", "rsa.key,rsa.crt", *IDS, *place, "--output", "signed.xml",
                    "template.xml")  # fmt: skip
        signed = (judges.folder / "signed.xml").read_bytes()
    return signed


def xmlsec_accepts(judges: Judges, content: bytes) -> bool:
    """Whether xmlsec1 accepts the innermost countersignature."""
    (judges.folder / "judged.xml").write_bytes(content)
    return not judges.run("xmlsec1", "--verify", "--insecure", *IDS, *COUNTER, "judged.xml").returncode


@pytest.mark.parametrize("depth", [1, 2])
def test_a_countersignature_in_xml_is_named(judges: Judges, depth: int) -> None:
    signed = countersigned(judges, depth=depth)

    found = verify_file(signed)

    assert judges.xmlsec_accepts(signed)
    assert xmlsec_accepts(judges, signed)
    assert (found.verdict, found.problems) == (Verdict.VALID, ())
    assert "the signature is countersigned by rsa" in found.notes


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("part", [b"DigestValue", b"SignatureValue"])
def test_a_broken_countersignature_in_xml_is_invalid(judges: Judges, part: bytes, depth: int) -> None:
    signed = countersigned(judges, depth=depth)
    start = signed.index(b"<ds:" + part, signed.rindex(b"<e:CounterSignature "))
    start = signed.index(b">", start) + 2
    broken = signed[:start] + (b"AAAA" if signed[start : start + 4] != b"AAAA" else b"BBBB") + signed[start + 4 :]

    found = verify_file(broken)

    assert judges.xmlsec_accepts(broken)  # which judges the first signature
    assert not xmlsec_accepts(judges, broken)
    assert found.verdict is Verdict.INVALID
    assert found.problems[0].startswith("the countersignature of the signature does not hold (")


def test_a_countersignature_of_something_else_in_xml_is_invalid(judges: Judges) -> None:
    signed = countersigned(judges, uri="#Total")

    assert xmlsec_accepts(judges, signed)
    assert verify_file(signed).problems == (
        "the countersignature of the signature does not hold (it does not cover the signature value)",
    )


def with_countersignature(judges: Judges, change: Callable[[Any], object] = lambda _: None) -> bytes:
    """A CMS message with a countersignature, perhaps changed; OpenSSL accepts it unless it is changed."""
    message: Any = cms.ContentInfo.load(sign(judges, b"ten euros", "-cades"))
    signer = message["content"]["signer_infos"][0]
    value = signer["signature"].native
    digest = hashes.Hash(hashes.SHA256())
    digest.update(value)
    attributes = cms.CMSAttributes([cms.CMSAttribute({"type": "message_digest", "values": [digest.finalize()]})])
    key: Any = load_pem_private_key((judges.folder / "rsa.key").read_bytes(), None)
    made = key.sign(attributes.dump(), PKCS1v15(), hashes.SHA256())
    (judges.folder / "attributes").write_bytes(attributes.dump())
    (judges.folder / "value").write_bytes(made)
    judges.make("openssl", "x509", "-in", "rsa.crt", "-noout", "-pubkey", "-out", "rsa.pub")
    judges.make("openssl", "dgst", "-sha256", "-verify", "rsa.pub", "-signature", "value", "attributes")
    counter = cms.SignerInfo(
        {
            "version": "v1",
            "sid": signer["sid"],
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "rsassa_pkcs1v15"},
            "signature": made,
        }
    )
    change(counter)
    signer["unsigned_attrs"] = [cms.CMSAttribute({"type": "counter_signature", "values": [counter]})]
    return bytes(message.dump(force=True))


def with_other_digest(counter: Any) -> None:
    counter["signed_attrs"] = [cms.CMSAttribute({"type": "message_digest", "values": [bytes(32)]})]


def with_other_value(counter: Any) -> None:
    counter["signature"] = bytes(256)


def of_somebody_else(counter: Any) -> None:
    counter["sid"] = cms.SignerIdentifier(name="subject_key_identifier", value=core.OctetString(b"1"))


def test_a_countersignature_in_cms_is_named(judges: Judges) -> None:
    signed = with_countersignature(judges)

    found = verify_file(signed)

    assert judges.openssl_accepts(signed)
    assert (found.problems, found.notes) == ((), ("the signature is countersigned by rsa",))


@pytest.mark.parametrize("change", [with_other_digest, with_other_value])
def test_a_broken_countersignature_in_cms_is_invalid(judges: Judges, change: Callable[[Any], object]) -> None:
    signed = with_countersignature(judges, change)

    found = verify_file(signed)

    assert judges.openssl_accepts(signed)  # it ignores unsigned attributes
    assert found.verdict is Verdict.INVALID
    assert found.problems[0].startswith("the countersignature of the signature does not hold (")


def test_a_countersignature_that_cannot_be_judged_is_a_note(judges: Judges) -> None:
    found = verify_file(with_countersignature(judges, of_somebody_else))

    assert found.verdict is Verdict.VALID
    assert found.notes == (
        "the countersignature of the signature is not used: it cannot be judged: it does not hold the signer's "
        "certificate",
    )


KINDS = {
    SignatureType.PADES: INVOICE.read_bytes(),
    SignatureType.XADES: b"<fatura><total>31,00</total></fatura>",
    SignatureType.CADES: b"any bytes",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("minutes", "is_noted"), [(-60, True), (-5, True), (-0.2, False), (0, False), (60, False), (100_000, False)]
)
def test_a_timestamp_before_the_claimed_time_is_noted(
    monkeypatch: pytest.MonkeyPatch, kind: SignatureType, minutes: float, is_noted: bool
) -> None:
    def stamper(seal: Seal) -> DummyTimeStamper:
        made = timestamper(seal)
        time = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)
        return DummyTimeStamper(made.tsa_cert, made.tsa_key, certs_to_embed=made.certs_to_embed, fixed_dt=time)

    timestamper: Any = vars(Seal)["timestamper"].fget
    monkeypatch.setattr(Seal, "timestamper", property(stamper))
    maker = SignatureMaker(Root(new_root()))

    found: Verification = verify_file(maker.sign(KINDS[kind], SignatureInfo(kind, apply_timestamp=True)))

    assert (found.verdict, found.timestamped_at is not None) == (Verdict.VALID, True)
    noted = [note for note in found.notes if "is later than its timestamp, so one of them is wrong" in note]
    assert len(noted) == is_noted

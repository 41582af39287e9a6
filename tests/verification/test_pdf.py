"""PDF signatures: encodings, later revisions of every kind, encryption, and what was signed before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from asn1crypto import core
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
from pyhanko.sign.signers.pdf_byterange import DocumentTimestamp

from signstash.verification import Verdict, pades, verify_file
from tests.verification import pdf
from tests.verification.conftest import Judges, assert_agrees
from tests.verification.pdf import INVOICE_PDF, by_hand, sign, timestamped, updated

VALID, INVALID, INDETERMINATE = Verdict.VALID, Verdict.INVALID, Verdict.INDETERMINATE
AFTER: dict[str, tuple[pdf.Revision, Verdict, str]] = {
    "validation data": (pdf.validation_data, VALID, ""),
    "direct validation data": (pdf.direct_validation_data, VALID, ""),
    "metadata": (pdf.metadata, VALID, ""),
    "information": (pdf.information, VALID, ""),
    "an unsigned field": (pdf.unsigned_field, VALID, ""),
    "page content": (pdf.page_content, INVALID, "the pages' content differs"),
    "a media box": (pdf.media_box, INVALID, "the pages' content differs"),
    "a page": (pdf.new_page, INVALID, "the pages' content differs"),
    "a font": (pdf.font, INVALID, "the pages' content differs"),
    "a script": (pdf.script, INDETERMINATE, "makes changes that cannot be judged"),
    "an annotation": (pdf.annotation, INDETERMINATE, "annotations were added or changed"),
}


@pytest.fixture(scope="module")
def signed(judges: Judges) -> bytes:
    return sign(INVOICE_PDF, judges)


@pytest.mark.parametrize("after", AFTER)
def test_a_revision_after_a_signature_is_reported(signed: bytes, after: str) -> None:
    change, verdict, reason = AFTER[after]

    found = verify_file(updated(signed, change))

    assert found.verdict is verdict, found.reason
    assert reason in found.reason


@pytest.mark.parametrize("after", AFTER)
def test_a_revision_between_two_signatures_is_reported(signed: bytes, judges: Judges, after: str) -> None:
    change, verdict, reason = AFTER[after]

    found = verify_file(sign(updated(signed, change), judges, "T"))

    assert found.verdict is verdict, found.reason
    assert reason in found.reason
    assert verdict is VALID or "signature S" in found.reason


@pytest.mark.parametrize(
    ("level", "change", "verdict"),
    [
        (1, pdf.fill, INVALID), (1, pdf.annotation, INVALID), (1, pdf.validation_data, VALID),
        (2, pdf.fill, VALID), (2, pdf.annotation, INVALID), (2, pdf.validation_data, VALID),
        (3, pdf.fill, VALID), (3, pdf.annotation, INDETERMINATE), (3, pdf.page_content, INVALID),
        (None, pdf.fill, VALID),
    ],
)  # fmt: skip
def test_permitted_changes_are_accepted(
    judges: Judges, level: int | None, change: pdf.Revision, verdict: Verdict
) -> None:
    options: dict[str, Any] = {} if level is None else {"certify": True, "docmdp_permissions": MDPPerm(level)}
    certified = sign(updated(INVOICE_PDF, pdf.text_field), judges, **options)

    assert verify_file(updated(certified, change)).verdict is verdict
    assert verify_file(updated(timestamped(updated(certified, pdf.validation_data)), pdf.validation_data)).ok


def test_validation_data_timestamps_and_signatures_may_follow_each_other(signed: bytes, judges: Judges) -> None:
    document = signed
    for number in range(3):
        document = timestamped(updated(document, pdf.validation_data))
        document = sign(document, judges, f"T{number}", box=(100, 100 + 40 * number, 200, 130 + 40 * number))

    found = verify_file(updated(document, pdf.direct_validation_data), original=signed)

    assert (found.problems, found.ok) == ((), True)
    assert set(judges.pdfsig_says(document)) <= {"Signature is Valid.", "Signature has not yet been verified."}


@pytest.mark.parametrize("options", [
    ["--object-streams=generate"], ["--linearize"], ["--allow-weak-crypto", "--encrypt", "", "owner", "40", "--"],
    ["--allow-weak-crypto", "--encrypt", "", "owner", "128", "--use-aes=y", "--"],
    ["--encrypt", "", "owner", "256", "--"],
])  # fmt: skip
def test_cross_reference_streams_and_empty_passwords_are_read(judges: Judges, options: list[str]) -> None:
    (judges.folder / "plain.pdf").write_bytes(INVOICE_PDF)
    judges.make("qpdf", *options, "plain.pdf", "made.pdf")
    document = sign((judges.folder / "made.pdf").read_bytes(), judges)

    assert judges.pdfsig_says(document) == ["Signature is Valid."]
    assert verify_file(document).ok
    assert verify_file(updated(document, pdf.validation_data)).ok
    assert verify_file(timestamped(document)).ok
    assert "the pages' content differs" in verify_file(updated(document, pdf.page_content)).reason


def test_a_password_is_reported(judges: Judges) -> None:
    (judges.folder / "plain.pdf").write_bytes(INVOICE_PDF)
    judges.make("qpdf", "--encrypt", "user", "owner", "256", "--", "plain.pdf", "made.pdf")

    found = verify_file(judges.folder / "made.pdf")

    assert (found.verdict, found.reason) == (INDETERMINATE, "it is encrypted, and needs a password or key")


def test_keys_digests_and_subfilters_are_supported(judges: Judges) -> None:
    assert verify_file(sign(INVOICE_PDF, judges, key="ec")).ok
    assert verify_file(sign(INVOICE_PDF, judges, key="ec", md_algorithm="sha3_256")).ok
    assert verify_file(sign(INVOICE_PDF, judges, md_algorithm="sha512")).ok
    assert verify_file(sign(INVOICE_PDF, judges, subfilter=SigSeedSubFilter.ADOBE_PKCS7_DETACHED)).ok
    found = verify_file(sign(INVOICE_PDF, judges, md_algorithm="sha1"))
    assert (found.verdict, found.reason) == (INDETERMINATE, "signature S rests on SHA-1, which cannot be relied on")


def cms_of(judges: Judges, *options: str) -> Callable[[bytes], bytes]:
    def make(content: bytes) -> bytes:
        (judges.folder / "content").write_bytes(content)
        judges.make("openssl", "cms", "-sign", "-binary", "-outform", "DER", "-signer", "rsa.crt", "-inkey", "rsa.key",
                    *options, "-in", "content", "-out", "signed")  # fmt: skip
        return (judges.folder / "signed").read_bytes()

    return make


def test_a_signature_made_with_openssl_is_valid(judges: Judges) -> None:
    for options in ([], ["-md", "sha3-256"], ["-noattr"], ["-cades"], ["-keyopt", "rsa_padding_mode:pss"]):
        document = by_hand(cms_of(judges, *options), "adbe.pkcs7.detached")
        assert verify_file(document).problems == ()
        assert verify_file(document.replace(b"200 200", b"200 201")).verdict is INVALID
    sha3 = by_hand(cms_of(judges, "-md", "sha3-512"), "ETSI.CAdES.detached")
    assert verify_file(updated(sha3, pdf.validation_data)).ok


def test_pkcs7_sha1_is_named(judges: Judges) -> None:
    document = by_hand(
        lambda content: cms_of(judges, "-nodetach", "-md", "sha1")(hashlib.sha1(content).digest()), "adbe.pkcs7.sha1"
    )

    found = verify_file(document)

    assert found.verdict is INDETERMINATE
    assert "signature S is of type adbe.pkcs7.sha1, which rests on SHA-1" in found.reason
    assert verify_file(document.replace(b"200 200", b"200 201")).verdict is INVALID


def test_bare_rsa_is_named(judges: Judges) -> None:
    certificate = load_pem_x509_certificate((judges.folder / "rsa.crt").read_bytes()).public_bytes(Encoding.DER)

    def value(content: bytes) -> bytes:
        (judges.folder / "content").write_bytes(content)
        judges.make("openssl", "dgst", "-sha1", "-sign", "rsa.key", "-out", "value", "content")
        return bytes(core.OctetString((judges.folder / "value").read_bytes()).dump())

    document = by_hand(value, "adbe.x509.rsa_sha1", b"/Cert <%s>" % certificate.hex().encode())

    found = verify_file(document)
    assert (found.verdict, found.signer) == (INDETERMINATE, "rsa")
    assert found.problems == (
        "signature S is of type adbe.x509.rsa_sha1, which rests on SHA-1, which cannot be relied on",
    )
    assert verify_file(document.replace(b"200 200", b"200 201")).verdict is INVALID


def test_an_unknown_encoding_does_not_mean_a_change(judges: Judges) -> None:
    found = verify_file(by_hand(cms_of(judges), "Some.Other"))

    assert found.verdict is INDETERMINATE
    assert "signatures of type Some.Other are not supported" in found.reason


def test_a_byte_range_with_other_gaps_is_reported(judges: Judges) -> None:
    document = by_hand(cms_of(judges), "adbe.pkcs7.detached", gap=b" /Name (Somebody else)")

    found = verify_file(document)

    assert found.verdict is INVALID
    assert found.reason == "signature S leaves out more of the file than its own value"


def test_a_document_timestamp_of_type_sig_is_read(signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = DocumentTimestamp.__init__

    def make(self: Any, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options)
        self[pdf.name("Type")] = pdf.name("Sig")

    monkeypatch.setattr(DocumentTimestamp, "__init__", make)
    document = timestamped(updated(signed, pdf.validation_data))

    assert b"DocTimeStamp" not in document
    found = verify_file(updated(document, pdf.validation_data))
    assert (found.problems, found.signer) == ((), "rsa")


def test_a_pdf_without_a_signature_is_reported(judges: Judges) -> None:
    assert verify_file(updated(INVOICE_PDF, pdf.unsigned_field)).problems == ("it holds no signature",)
    assert verify_file(timestamped(INVOICE_PDF)).problems == ("it holds no signature",)


@pytest.mark.parametrize("earlier", ["changed", "unknown", "SHA-1", "forbidding"])
def test_earlier_faults_of_the_original_are_noted(judges: Judges, earlier: str) -> None:
    sent = {
        "changed": lambda: by_hand(cms_of(judges), "adbe.pkcs7.detached").replace(b"200 200", b"200 201"),
        "unknown": lambda: by_hand(cms_of(judges), "Some.Other"),
        "SHA-1": lambda: sign(INVOICE_PDF, judges, md_algorithm="sha1"),
        "forbidding": lambda: updated(sign(INVOICE_PDF, judges), pdf.page_content),
    }[earlier]()
    document = sign(sent, judges, "New")

    assert not verify_file(document).ok
    found = verify_file(document, original=sent)

    assert (found.problems, found.ok, found.signer) == ((), True, "rsa")
    assert found.notes[0].startswith("signature S was in what was sent, and ")
    assert verify_file(sent, original=sent).verdict is INVALID


BEFORE = AFTER | {
    "metadata": (pdf.metadata, VALID, ""),
    "page content": (pdf.page_content, INVALID, "it is not what was sent: the pages' content differs"),
    "a script": (pdf.script, INDETERMINATE, "a revision after what was sent makes changes that cannot be judged"),
    "a filled field": (pdf.fill, INDETERMINATE, "form fields were changed after it was sent"),
    "an annotation": (pdf.annotation, INDETERMINATE, "annotations were added or changed after it was sent"),
}


@pytest.mark.parametrize("before", BEFORE)
def test_a_revision_between_sending_and_signing_is_reported(judges: Judges, before: str) -> None:
    change, verdict, reason = BEFORE[before]
    sent = updated(INVOICE_PDF, pdf.text_field) if change is pdf.fill else INVOICE_PDF
    signed = sign(updated(sent, change), judges)

    assert judges.pdfsig_says(signed) == ["Signature is Valid."]
    assert verify_file(signed).ok
    found = verify_file(signed, original=sent)
    assert (found.verdict, reason in found.reason) == (verdict, True), found.reason


@pytest.mark.parametrize(
    "options", [{"certify": True, "docmdp_permissions": MDPPerm.NO_CHANGES}, {"box": (10, 10, 90, 50)}]
)
@pytest.mark.parametrize("form", [True, False])
def test_what_signing_adds_is_accepted(judges: Judges, options: dict[str, Any], *, form: bool) -> None:
    sent = updated(INVOICE_PDF, pdf.text_field) if form else INVOICE_PDF

    assert verify_file(sign(sent, judges, **options), original=sent).problems == ()


@pytest.mark.parametrize(
    "options", [["--linearize"], ["--object-streams=generate"], ["--encrypt", "", "o", "256", "--"]]
)
def test_a_pdf_that_was_written_anew_before_signing_is_indeterminate(judges: Judges, options: list[str]) -> None:
    (judges.folder / "plain.pdf").write_bytes(INVOICE_PDF)
    for more, verdict in (([], INDETERMINATE), (["--rotate=+90"], INVALID)):
        judges.make("qpdf", *more, *options, "plain.pdf", "made.pdf")
        found = verify_file(sign((judges.folder / "made.pdf").read_bytes(), judges), original=INVOICE_PDF)
        assert (found.verdict, "does not begin with what was sent" in found.reason) == (verdict, True)


def test_too_many_signatures_and_revisions_are_rejected(signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    document = timestamped(signed)

    monkeypatch.setattr(pades, "_MAX_STEPS", 6)
    assert verify_file(document).ok
    monkeypatch.setattr(pades, "_MAX_STEPS", 5)
    found = verify_file(document)
    assert (found.verdict, found.reason) == (INDETERMINATE, "it has too many signatures and revisions: 2 and 3")


def test_bytes_in_no_revision_are_reported(signed: bytes) -> None:
    """The last cross-reference table is the signed one; bytes appended to it are in no revision."""
    place = signed.rpartition(b"startxref")[2]
    appended = signed + b"5 0 obj\n<< /Type /Page >>\nendobj\nstartxref" + place

    found = verify_file(appended)

    assert (found.verdict, "bytes follow signature S and are not signed" in found.reason) == (INDETERMINATE, True)


@pytest.mark.parametrize("value", [b"/ByteRange null", b"/ByteRange [0 1]", b"/ByteRangX []"])
def test_a_broken_earlier_signature_does_not_hide_the_new_one(signed: bytes, judges: Judges, value: bytes) -> None:
    start, _, rest = signed.partition(b"/ByteRange")
    old, end, rest = rest.partition(b"]")
    sent = start + value.ljust(len(b"/ByteRange" + old + end)) + rest

    found = verify_file(sign(sent, judges, "T"), original=sent)

    assert (found.problems, found.signer) == ((), "rsa")
    assert found.notes[0].startswith("signature S was in what was sent, and signature S cannot be judged: its ")


def test_ten_kinds_of_changes_are_found(signed: bytes, judges: Judges) -> None:
    for place in range(100, len(signed), len(signed) // 12):
        broken = signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]
        assert_agrees(verify_file(broken), accepted=judges.pdfsig_says(broken) == ["Signature is Valid."])

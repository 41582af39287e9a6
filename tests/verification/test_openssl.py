"""CMS signatures that OpenSSL makes, and makes of them: every kind of content, key, form and change."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from signstash import InvalidDocumentError
from signstash.verification import Verdict, verify_file
from tests.conftest import INVOICE
from tests.verification.conftest import Judges, assert_agrees
from tests.verification.test_cases import CASES

CONTENTS = {
    "text": b"hello",
    "empty": b"",
    "pdf": INVOICE.read_bytes(),
    "xml": (CASES / "plain.xml").read_bytes(),
    "cms": (CASES / "cades-of-pdf.p7m").read_bytes(),
    "armour": b"-----BEGIN CMS-----\nAAAA\n-----END CMS-----\n",
    "large": bytes(range(256)) * 10_000,
}
OPTIONS = {
    "DER": [],
    "BER": ["-stream"],
    "without attributes": ["-noattr"],
    "key identifier": ["-keyid"],
    "CAdES": ["-cades"],
    "RSA-PSS": ["-keyopt", "rsa_padding_mode:pss"],
    "RSA-PSS with a short salt": ["-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:5"],
    **{name: ["-md", name] for name in ("sha224", "sha384", "sha512", "sha512-256", "sha3-256", "sha3-512")},
    "typed as signed data": ["-econtent_type", "1.2.840.113549.1.7.2"],
    "typed as a timestamp": ["-econtent_type", "1.2.840.113549.1.9.16.1.4"],
    "typed as something else": ["-econtent_type", "1.2.3.4.5"],
    "two signers": ["-signer", "ec.crt", "-inkey", "ec.key"],
}


def sign(
    judges: Judges, content: bytes, *options: str, form: str = "DER", key: str = "rsa", command: str = "cms"
) -> bytes:
    (judges.folder / "content").write_bytes(content)
    judges.make("openssl", command, "-sign", "-binary", "-nodetach", "-outform", form, "-signer", f"{key}.crt",
                "-inkey", f"{key}.key", *options, "-in", "content", "-out", "signed")  # fmt: skip
    return (judges.folder / "signed").read_bytes()


def certificates(judges: Judges) -> list[bytes]:
    pems = [(judges.folder / f"{name}.crt").read_bytes() for name in ("rsa", "ec")]
    return [load_pem_x509_certificate(pem).public_bytes(Encoding.DER) for pem in pems]


@pytest.mark.parametrize("form", ["DER", "PEM"])
@pytest.mark.parametrize("content", CONTENTS)
def test_every_content_is_valid(judges: Judges, content: str, form: str) -> None:
    signed = sign(judges, CONTENTS[content], form=form)

    found = verify_file(signed, original=CONTENTS[content])

    assert judges.openssl_accepts(signed)
    assert (found.problems, found.signature_type, found.signer) == ((), "CAdES", "rsa")
    assert verify_file(signed, original=CONTENTS[content] + b"!").problems == ("it does not hold what was sent",)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_valid_and_a_change_is_not(judges: Judges, option: str) -> None:
    signed = sign(judges, b"ten euros", *OPTIONS[option])
    assert judges.openssl_accepts(signed)
    assert verify_file(signed).problems == ()

    changed = verify_file(signed.replace(b"ten euros", b"two euros"))

    assert changed.verdict is Verdict.INVALID
    held = {signed.index(item): item for item in certificates(judges) if item in signed}
    for place in range(30, len(signed), len(signed) // 15):
        if any(start <= place < start + len(item) for start, item in held.items()):
            continue  # a changed certificate concerns trust only
        broken = signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]
        assert_agrees(verify_file(broken), accepted=judges.openssl_accepts(broken))


def test_contents_in_many_chunks_are_valid(judges: Judges) -> None:
    content = bytes(range(256)) * 40_000

    assert verify_file(sign(judges, content, "-stream"), original=content).ok
    assert verify_file(sign(judges, content, "-stream"), original=content[1:]).verdict is Verdict.INVALID


def test_elliptic_curves_and_pkcs7_are_valid(judges: Judges) -> None:
    assert verify_file(sign(judges, b"hello", key="ec")).ok
    assert verify_file(sign(judges, b"hello", command="smime")).ok
    assert verify_file(sign(judges, b"hello", "-noattr", key="ec")).ok


@pytest.mark.parametrize("options", [["-md", "sha1"], ["-md", "sha1", "-noattr"], ["-md", "md5"]])
def test_old_digests_are_unreliable(judges: Judges, options: list[str]) -> None:
    signed = sign(judges, b"ten euros", *options)

    found = verify_file(signed)

    assert found.verdict is Verdict.INDETERMINATE
    assert f"rests on {'MD5' if 'md5' in options else 'SHA-1'}, which cannot be relied on" in found.reason
    assert verify_file(signed.replace(b"ten", b"two")).verdict is Verdict.INVALID


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
def test_a_trailing_line_end_is_accepted(judges: Judges, end: bytes) -> None:
    assert verify_file(sign(judges, b"hello") + end).ok
    assert verify_file(sign(judges, b"hello", form="PEM") + end).ok
    assert verify_file(end + sign(judges, b"hello", form="PEM").replace(b"\n", end)).ok
    assert verify_file(b"\xef\xbb\xbf" + sign(judges, b"hello", form="PEM")).ok


@pytest.mark.parametrize(("before", "after"), [(b"pay me\n", b""), (b"", b"pay me\n"), (b"%PDF-1.7\n", b"")])
def test_text_around_an_armour_is_not_signed(judges: Judges, before: bytes, after: bytes) -> None:
    signed = sign(judges, b"hello", form="PEM")

    found = verify_file(before + signed + after)

    assert not found.ok
    assert b"PDF" in before or f"text {'before' if before else 'after'} the armour is not signed" in found.reason
    assert not verify_file(signed + signed).ok


def test_unsigned_data_of_two_signers_is_reported(judges: Judges) -> None:
    signed = sign(judges, b"ten euros", "-signer", "ec.crt", "-inkey", "ec.key")

    found = verify_file(signed.replace(b"ten", b"two"))

    assert len([problem for problem in found.problems if "its digest differs" in problem]) == 2


@pytest.fixture
def detached(judges: Judges) -> bytes:
    """A detached signature of "hello"."""
    (judges.folder / "content").write_bytes(b"hello")
    judges.make("openssl", "cms", "-sign", "-binary", "-outform", "DER", "-signer", "rsa.crt", "-inkey", "rsa.key",
                "-in", "content", "-out", "signed")  # fmt: skip
    return (judges.folder / "signed").read_bytes()


def test_a_missing_original_of_a_detached_signature_raises(detached: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidDocumentError, match="cannot be read"):
        verify_file(detached, original=tmp_path / "none")


def test_a_detached_signature_is_valid(detached: bytes) -> None:
    assert verify_file(detached).verdict is Verdict.INDETERMINATE
    assert verify_file(detached, original=b"hello").ok
    assert verify_file(detached, original=b"hallo").verdict is Verdict.INVALID
    assert verify_file(detached, original=b"").verdict is Verdict.INVALID


def test_data_other_than_signed_data_is_rejected(judges: Judges) -> None:
    judges.make("openssl", "crl2pkcs7", "-nocrl", "-certfile", "rsa.crt", "-outform", "DER", "-out", "certificates")
    without = sign(judges, b"hello", "-nocerts")

    assert verify_file(judges.folder / "certificates").problems == ("it holds no signature",)
    assert verify_file(without).verdict is Verdict.INDETERMINATE
    assert "does not hold the signer's certificate" in verify_file(without).reason
    assert "armour is of type CERTIFICATE" in verify_file(judges.folder / "rsa.crt").reason


def test_trust_is_the_path_alone(judges: Judges) -> None:
    signed, root = sign(judges, b"hello"), judges.folder / "rsa.crt"

    assert verify_file(signed, trusted_roots=[root]).trusted
    found = verify_file(signed, trusted_roots=[judges.folder / "ec.crt"])
    assert (found.verdict, found.trusted) == (Verdict.INDETERMINATE, False)
    assert found.problems == ("the certificate of the signature leads to none of the trusted roots",)

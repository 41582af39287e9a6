"""Deceptive and malformed files: a verdict claims only what is certain."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from asn1crypto import cms, parser, tsp, x509
from pyhanko.pdf_utils import generic

from signstash.verification import Verdict, verify_file
from tests.verification import pdf
from tests.verification.conftest import Judges
from tests.verification.pdf import INVOICE_PDF, sign, updated
from tests.verification.test_cases import CASES
from tests.verification.test_openssl import sign as sign_cms
from tests.verification.test_xmlsec import DS, IDS, invoice, made, reference, signature, transform, xpath

ETSI = "http://uri.etsi.org/01903/v1.3.2#"
ALL_SIGNATURES = xpath("not(ancestor-or-self::ds:Signature)")


@pytest.mark.parametrize("missing", ["message_digest", "content_type"])
def test_missing_attributes_do_not_mean_a_change(judges: Judges, missing: str) -> None:
    message = cms.ContentInfo.load(sign_cms(judges, b"hello"))
    signer = message["content"]["signer_infos"][0]
    signer["signed_attrs"] = [item for item in signer["signed_attrs"] if item["type"].native != missing]

    found = verify_file(message.dump())

    assert found.verdict is Verdict.INDETERMINATE
    assert "its signed attributes lack the content type or the message digest" in found.reason


def test_a_substituted_signer_certificate_is_invalid(judges: Judges) -> None:
    message = cms.ContentInfo.load(sign_cms(judges, b"hello"))
    other = cms.ContentInfo.load(sign_cms(judges, b"hello", key="ec"))
    message["content"]["certificates"] = other["content"]["certificates"]

    assert verify_file(message.dump()).verdict is Verdict.INDETERMINATE


@pytest.mark.parametrize("doctype", ["<!DOCTYPE a>", '<!DOCTYPE a SYSTEM "a.dtd">', "<!DOCTYPE a [<!ENTITY b 'c'>]>"])
def test_every_doctype_is_reported(doctype: str) -> None:
    content = (CASES / "plain.xml").read_text("utf-8")
    start, _, rest = content.partition("?>")

    found = verify_file(f"{start}?>{doctype}{rest}".encode())

    assert (found.verdict, found.reason) == (
        Verdict.INDETERMINATE, "it has a DOCTYPE, which can change what other software reads",
    )  # fmt: skip


@pytest.mark.parametrize(
    "hidden",
    [
        f'<ds:Signature xmlns:ds="{DS}"><ds:Object><total>9999</total></ds:Object></ds:Signature>',
        f'<ds:Signature xmlns:ds="{DS}"/>',
    ],
)
def test_a_second_signature_hides_content_from_an_xpath(judges: Judges, hidden: str) -> None:
    signed = made(judges, invoice(signature(reference(transforms=ALL_SIGNATURES)))).decode()
    changed = signed.replace("</i:Invoice>", hidden + "</i:Invoice>").encode()

    assert verify_file(signed.encode()).ok
    assert judges.run("xmlsec1", "--version").returncode == 0
    assert not verify_file(changed).ok


@pytest.mark.parametrize(
    "unsigned",
    [
        "<total>9999</total>",
        f'<e:CounterSignature xmlns:e="{ETSI}"><total>9999</total></e:CounterSignature>',
        f'<x:UnsignedProperties xmlns:x="urn:x"><s:Signature xmlns:s="{DS}"><a/></s:Signature></x:UnsignedProperties>',
    ],
)  # fmt: skip
def test_unsigned_content_among_unsigned_properties_is_reported(unsigned: str) -> None:
    content = (CASES / "plain.xml").read_text("utf-8")
    start, end = content.rsplit("</xades:QualifyingProperties>", 1)
    known = "<xades:UnsignedProperties><xades:UnsignedSignatureProperties>{}</xades:UnsignedSignatureProperties></xades:UnsignedProperties>"  # noqa: E501

    assert verify_file((start + known.format("") + "</xades:QualifyingProperties>" + end).encode()).ok
    found = verify_file((start + known.format(unsigned) + "</xades:QualifyingProperties>" + end).encode())
    assert found.verdict is Verdict.INVALID
    assert "not all of it is signed" in found.reason


@pytest.mark.parametrize("place", ["<ds:KeyInfo>", "<ds:SignatureValue>", "</ds:SignedInfo>"])
def test_unsigned_content_elsewhere_in_a_signature_is_reported(judges: Judges, place: str) -> None:
    signed = made(judges, invoice(signature())).decode()
    assert place in signed

    assert not verify_file(signed.replace(place, f"{place}<total>9999</total>").encode()).ok
    assert not verify_file(signed.replace("</ds:KeyInfo>", "</ds:KeyInfo>pay 9999").encode()).ok


def test_an_impossible_claimed_time_is_noted(judges: Judges) -> None:
    properties = (
        f'<ds:Object><e:QualifyingProperties xmlns:e="{ETSI}" Target="#S"><e:SignedProperties Id="O">'
        "<e:SignedSignatureProperties><e:SigningTime>yesterday</e:SigningTime></e:SignedSignatureProperties>"
        "</e:SignedProperties></e:QualifyingProperties></ds:Object>"
    )
    content = invoice(signature(reference(), reference("#O", ""), more=properties))
    (judges.folder / "template.xml").write_text(content, "utf-8")
    judges.make("xmlsec1", "--sign", "--privkey-pem", "rsa.key,rsa.crt", "--id-attr:Id", f"{ETSI}:SignedProperties",
                "--output", "signed.xml", "template.xml")  # fmt: skip

    found = verify_file(judges.folder / "signed.xml")

    assert (found.verdict, found.signed_at) == (Verdict.VALID, None)
    assert "the claimed time of the signature cannot be read" in found.notes


def test_a_path_may_come_from_the_document_security_store(judges: Judges) -> None:
    config = "basicConstraints=critical,CA:TRUE"
    judges.make("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.crt",
                "-subj", "/CN=root", "-addext", "keyUsage=keyCertSign")  # fmt: skip
    for issuer, subject, extension in (("root", "middle", config), ("middle", "leaf", "basicConstraints=CA:FALSE")):
        (judges.folder / "extensions").write_text(extension)
        judges.make("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{subject}.key", "-out", "request",
                    "-subj", f"/CN={subject}")  # fmt: skip
        judges.make("openssl", "x509", "-req", "-in", "request", "-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key",
                    "-CAcreateserial", "-extfile", "extensions", "-out", f"{subject}.crt")  # fmt: skip
    judges.make("openssl", "x509", "-in", "middle.crt", "-outform", "DER", "-out", "middle.der")
    document = sign(INVOICE_PDF, judges, key="leaf")

    def add_middle(writer: Any) -> None:
        stream = generic.StreamObject(stream_data=(judges.folder / "middle.der").read_bytes())
        writer.root[pdf.name("DSS")] = pdf.dictionary(Certs=generic.ArrayObject([writer.add_object(stream)]))
        writer.update_root()

    root = judges.folder / "root.crt"
    assert verify_file(document, trusted_roots=[root]).problems == (
        "the certificate of signature S leads to none of the trusted roots",
    )
    found = verify_file(updated(document, add_middle), trusted_roots=[root])
    assert (found.problems, found.trusted, found.signer) == ((), True, "leaf")


def test_a_page_object_hidden_in_the_security_store_is_reported(judges: Judges) -> None:
    """What validation data refers to is compared all the same."""
    signed = sign(INVOICE_PDF, judges)

    def overwrite(writer: Any) -> None:
        page = writer.root["/Pages"]["/Kids"][0]
        contents = page.raw_get("/Contents")
        new = generic.StreamObject(stream_data=b"q 1 0 0 rg 0 0 600 800 re f Q")
        writer.objects[(0, contents.idnum)] = new
        writer.root[pdf.name("DSS")] = pdf.dictionary(Certs=generic.ArrayObject([contents]))
        writer.update_root()

    found = verify_file(updated(signed, overwrite))

    assert found.verdict is Verdict.INVALID
    assert "the pages' content differs" in found.reason


def resigned(judges: Judges, *attributes: cms.CMSAttribute) -> bytes:
    """A CMS message from OpenSSL with additional signed attributes, signed again."""
    message = cms.ContentInfo.load(sign_cms(judges, b"hello"))
    signer = message["content"]["signer_infos"][0]
    encoded = sorted(item.dump() for item in (*signer["signed_attrs"], *attributes))
    signer["signed_attrs"] = [cms.CMSAttribute.load(item) for item in encoded]
    (judges.folder / "attributes").write_bytes(parser.emit(0, 1, 17, b"".join(encoded)))
    judges.make("openssl", "dgst", "-sha256", "-sign", "rsa.key", "-out", "value", "attributes")
    signer["signature"] = (judges.folder / "value").read_bytes()
    return bytes(message.dump())


def certificate(judges: Judges) -> bytes:
    judges.make("openssl", "x509", "-in", "rsa.crt", "-outform", "DER", "-out", "certificate")
    return (judges.folder / "certificate").read_bytes()


@pytest.mark.parametrize("value", [b"\0" * 32, b"\xff" * 32])
def test_a_repeated_message_digest_is_not_used(judges: Judges, value: bytes) -> None:
    message = resigned(judges, cms.CMSAttribute({"type": "message_digest", "values": [value]}))

    found = verify_file(message)

    assert not judges.openssl_accepts(message)
    assert (found.verdict, "or repeat them" in found.reason) == (Verdict.INDETERMINATE, True)


def test_every_signing_certificate_attribute_is_judged(judges: Judges) -> None:
    right, wrong = hashlib.sha256(certificate(judges)).digest(), b"\0" * 20
    newer = tsp.SigningCertificateV2({"certs": [tsp.ESSCertIDv2({"cert_hash": right})]})
    older = tsp.SigningCertificate({"certs": [tsp.ESSCertID({"cert_hash": wrong})]})
    first = cms.CMSAttribute({"type": "signing_certificate_v2", "values": [newer]})
    second = cms.CMSAttribute({"type": "signing_certificate", "values": [older]})

    assert verify_file(resigned(judges, first)).ok
    assert "names another certificate" in verify_file(resigned(judges, first, second)).reason


def test_an_attribute_that_cannot_be_read_does_not_hide_a_change(judges: Judges) -> None:
    empty = tsp.SigningCertificateV2({"certs": []})
    message = resigned(judges, cms.CMSAttribute({"type": "signing_certificate_v2", "values": [empty]}))
    changed = message.replace(b"hello", b"HELLO")

    assert not judges.openssl_accepts(changed)
    assert [verify_file(content).verdict for content in (message, changed)] == [Verdict.INDETERMINATE, Verdict.INVALID]


def test_signed_attributes_as_content_are_reported(judges: Judges) -> None:
    """A message without signed attributes can reuse the signature of a message whose attributes are its content."""
    message = cms.ContentInfo.load(sign_cms(judges, b"hello"))
    (signer,) = message["content"]["signer_infos"]
    encoded = b"".join(item.dump() for item in signer["signed_attrs"])
    made = cms.ContentInfo.load(sign_cms(judges, parser.emit(0, 1, 17, encoded), "-noattr"))
    made["content"]["signer_infos"][0]["signature"] = signer["signature"].native

    assert judges.openssl_accepts(made.dump())
    found = verify_file(made.dump())
    assert (found.verdict, "signed attributes of another signature" in found.reason) == (Verdict.INDETERMINATE, True)


def test_contradictory_digest_algorithms_do_not_mean_a_change(judges: Judges) -> None:
    message = cms.ContentInfo.load(sign_cms(judges, b"hello"))
    message["content"]["signer_infos"][0]["signature_algorithm"]["algorithm"] = "sha512_rsa"

    assert judges.openssl_accepts(message.dump())
    assert verify_file(message.dump()).problems == (
        "the signature cannot be judged: its digest algorithms are sha256 and sha512",
    )


@pytest.mark.parametrize("key", ["rsa:1024", "rsa:1536"])
def test_short_keys_are_unreliable(judges: Judges, key: str) -> None:
    judges.key(key, key)
    reason = f"rests on a key of {key[4:]} bits, which cannot be relied on"

    for signed in (
        sign_cms(judges, b"hello", key=key), sign(INVOICE_PDF, judges, key=key), made(judges, invoice(signature()), key)
    ):  # fmt: skip
        found = verify_file(signed)
        assert (found.verdict, reason in found.reason) == (Verdict.INDETERMINATE, True)


def test_many_signers_are_rejected(judges: Judges) -> None:
    message = cms.ContentInfo.load(sign_cms(judges, b"hello"))
    signer = message["content"]["signer_infos"][0].dump()
    message["content"]["signer_infos"] = [cms.SignerInfo.load(signer) for _ in range(101)]

    assert verify_file(message.dump()).reason == "it has more than 100 signers or 1000 certificates"


def test_many_possible_paths_are_rejected(judges: Judges) -> None:
    """Certificates with the same name, each issued by another of them: building their paths takes factorial time."""
    signed = cms.ContentInfo.load(sign_cms(judges, b"hello"))
    for number in range(10):
        judges.make("openssl", "req", "-x509", "-key", "rsa.key", "-subj", "/CN=rsa", "-outform", "DER",
                    "-set_serial", str(number + 1), "-out", "another")  # fmt: skip
        other = x509.Certificate.load((judges.folder / "another").read_bytes())
        signed["content"]["certificates"].append(cms.CertificateChoices("certificate", other))

    found = verify_file(signed.dump(), trusted_roots=[judges.folder / "ec.crt"])

    assert (found.trusted, "has too many possible paths" in found.reason) == (False, True)


@pytest.mark.parametrize(
    "hidden",
    ['<b c="EUR">aGVs</b>bG8=', "<!-- -->aGVs<b/>bG8=", 'aGVs\nbG8=" x="9999'],
)
def test_base64_signs_text_alone(judges: Judges, hidden: str) -> None:
    content = signature(reference("#O", transform(f"{DS}base64")), more='<ds:Object Id="O">aGVs\nbG8=</ds:Object>')
    signed = made(judges, content).decode()
    value, quote, attribute = hidden.partition('" ')
    changed = signed.replace("aGVs\nbG8=", value).replace(
        'Id="O">', f'Id="O"{attribute and " " + attribute + quote[:1]}>'
    )

    assert verify_file(signed.encode()).ok
    assert judges.xmlsec_accepts(changed.encode(), IDS)
    assert "its base64 is mixed with elements or attributes" in verify_file(changed.encode()).reason


def test_comments_in_a_signature_do_not_mean_a_change(judges: Judges) -> None:
    signed = made(judges, invoice(signature()))
    for name in (b"DigestValue", b"SignatureValue", b"X509Certificate"):
        signed = re.sub(rb"(<ds:%s>.{8})" % name, rb"\1<!-- -->", signed, count=1, flags=re.DOTALL)

    assert judges.xmlsec_accepts(signed, IDS)
    assert verify_file(signed).ok


def test_a_comment_within_text_is_reported(judges: Judges) -> None:
    signed = made(judges, invoice(signature()))
    changed = signed.replace(b"10 &amp;", b"1<!-- -->0 &amp;")

    assert judges.xmlsec_accepts(changed, IDS)
    found = verify_file(changed)
    assert (found.verdict, found.reason) == (
        Verdict.INDETERMINATE, "a comment that is not signed is within text, which other software may cut there",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda xml: xml, ""),
        (lambda xml: xml.replace("<ds:Signature ", "\n<x:e><x:c>\n<ds:Signature ").replace(
            "</ds:Signature>", "</ds:Signature></x:c></x:e>"), ""),
        (lambda xml: xml.replace("<i:Total", "\n  <i:Total").replace("</i:Total>\n", "</i:Total>\n\n"),
         "it differs from what was sent in blanks between its elements"),
        (lambda xml: xml.replace("<ds:Signature ", "<x:e>2</x:e><ds:Signature "), "it is not what was sent"),
        (lambda xml: xml.replace("10 &amp;", "10&amp;"), "it is not what was sent"),
    ],
    ids=["as sent", "in elements of its own", "reformatted", "with an element more", "with other text"],
)  # fmt: skip
def test_what_was_sent_is_compared(judges: Judges, change: Callable[[str], str], problem: str) -> None:
    signed = made(judges, change(invoice(signature())))

    assert judges.xmlsec_accepts(signed, IDS)
    found = verify_file(signed, original=invoice("").encode())
    assert "; ".join(found.problems) == problem
    assert found.verdict is {"": Verdict.VALID, "it is not what was sent": Verdict.INVALID}.get(
        problem, Verdict.INDETERMINATE
    )


def cover(writer: Any, *, field: bool, value: bool) -> None:
    """Cover the page with what looks like a signature field."""
    drawn = generic.StreamObject(
        pdf.dictionary(Type=pdf.name("XObject"), Subtype=pdf.name("Form"), BBox=pdf.numbers(0, 0, 600, 800)),
        stream_data=b"1 0 0 rg 0 0 600 800 re f",
    )
    form, page = writer.root["/AcroForm"], writer.root["/Pages"]["/Kids"][0]
    options = {"V": form["/Fields"][0].raw_get("/V")} if value else {}
    added = writer.add_object(pdf.dictionary(
        FT=pdf.name("Sig"), T=generic.pdf_string("Cover"), Type=pdf.name("Annot"), Subtype=pdf.name("Widget"),
        Rect=pdf.numbers(0, 0, 600, 800), AP=pdf.dictionary(N=writer.add_object(drawn)), **options,
    ))  # fmt: skip
    if field:
        form["/Fields"].append(added)
        writer.update_container(form["/Fields"])
    page[pdf.name("Annots")] = generic.ArrayObject([*map(page["/Annots"].raw_get, range(len(page["/Annots"]))), added])
    writer.update_container(page)


@pytest.mark.parametrize(("field", "value"), [(True, False), (False, False), (True, True)])
def test_a_page_covered_by_a_signature_field_is_reported(judges: Judges, *, field: bool, value: bool) -> None:
    """The field has no value, is not in the form, or reuses the value of the earlier signature."""
    covered = updated(sign(INVOICE_PDF, judges), lambda writer: cover(writer, field=field, value=value))

    assert set(judges.pdfsig_says(covered)) == {"Signature is Valid."}
    assert verify_file(covered).verdict is Verdict.INDETERMINATE

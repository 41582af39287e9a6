"""Deceptive and malformed files: a verdict claims only what is certain."""

from __future__ import annotations

from typing import Any

import pytest
from asn1crypto import cms
from pyhanko.pdf_utils import generic

from signstash.verification import Verdict, verify_file
from tests.verification import pdf
from tests.verification.conftest import Judges
from tests.verification.pdf import INVOICE_PDF, sign, updated
from tests.verification.test_cases import CASES
from tests.verification.test_openssl import sign as sign_cms
from tests.verification.test_xmlsec import DS, invoice, made, reference, signature, xpath

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

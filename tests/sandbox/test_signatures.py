"""Signatures of the sandbox: independent programs accept them, and visible ones are where they were requested."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import subprocess
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pypdfium2
import pytest
from asn1crypto import cms, pem, x509
from lxml import etree
from PIL import Image, ImageChops
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import fields
from pyhanko.sign.validation import async_validate_cms_signature, async_validate_pdf_signature
from pyhanko.sign.validation.generic_cms import validate_tst_signed_data
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import PdfSignatureStatus, SignatureCoverageLevel, TimestampSignatureStatus
from pyhanko_certvalidator import ValidationContext
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from signstash import (
    Document,
    DocumentNotSignedError,
    SignedDocument,
    SignStash,
    VisibleSignature,
)
from signstash.models import (
    UNSET,
    AdvancedSignatureInfo,
    CanonicalTransform,
    SignatureInfo,
    SignatureTransform,
    SignatureType,
    VisibleSignatureInfo,
    VisibleSignatureLocationType,
    VisibleSignatureTemplateType,
)
from signstash.sandbox import Sandbox, application
from tests.conftest import INVOICE, require

pytestmark = pytest.mark.sandbox

PROJECT = Path(__file__).parents[2]
DS = "http://www.w3.org/2000/09/xmldsig#"
XML = b"<?xml version='1.0' encoding='UTF-8'?>\n<fatura><total moeda='EUR'>31,00</total></fatura>"


def trust(root_certificate: bytes) -> ValidationContext:
    root = x509.Certificate.load(pem.unarmor(root_certificate)[2])
    return ValidationContext(trust_roots=[root], allow_fetching=False)


def signatures(pdf: bytes) -> list[EmbeddedPdfSignature]:
    return list(PdfFileReader(BytesIO(pdf)).embedded_signatures)


async def judged(pdf: bytes, sandbox: Sandbox) -> list[PdfSignatureStatus]:
    """pyHanko's verdict on each signature of a PDF."""
    return [await async_validate_pdf_signature(item, trust(sandbox.root_certificate)) for item in signatures(pdf)]


def with_field(name: str) -> bytes:
    """The invoice with an empty signature field."""
    writer = IncrementalPdfFileWriter(BytesIO(INVOICE.read_bytes()))
    fields.append_signature_field(writer, fields.SigFieldSpec(name, box=(300, 40, 500, 90)))
    written = BytesIO()
    writer.write(written)
    return written.getvalue()


def client_of(sandbox: Sandbox, **options: Any) -> SignStash:
    return SignStash(sandbox.base_url, sandbox.client_id, sandbox.client_secret, token_url=sandbox.token_url, **options)


class TestPdf:
    @pytest.mark.parametrize("upload", ["base64", "multipart"])
    @pytest.mark.parametrize("base_path", application.BASE_PATHS)
    async def test_a_pdf_signature_is_valid(self, sandbox: Sandbox, upload: Any, base_path: str) -> None:
        base_url = httpx.URL(sandbox.base_url).join(base_path)
        async with SignStash(
            str(base_url), sandbox.client_id, sandbox.client_secret, token_url=sandbox.token_url, upload=upload
        ) as client:
            signed = await client.sign(Document.pdf(INVOICE, reason="Aprovação", location="Évora"))

        (status,) = await judged(signed.content, sandbox)
        assert status.bottom_line
        assert status.coverage == SignatureCoverageLevel.ENTIRE_FILE
        assert status.signing_cert.subject.native["common_name"] == "Sandbox Test Signer - NOT QUALIFIED"
        (signature,) = signatures(signed.content)
        said = {name: signature.sig_object[name] for name in ("/SubFilter", "/Reason", "/Location")}
        assert said == {"/SubFilter": "/ETSI.CAdES.detached", "/Reason": "Aprovação", "/Location": "Évora"}
        assert signed.content.startswith(INVOICE.read_bytes())
        assert isinstance(signed.operation_id, int)

    async def test_a_changed_document_is_invalid(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        signed = await sandbox_client.sign(Document.pdf(INVOICE))
        place = signed.content.index(b"/Title") if b"/Title" in signed.content else 200

        (status,) = await judged(signed.content[:place] + b"!" + signed.content[place + 1 :], sandbox)

        assert not status.intact
        assert not status.bottom_line

    async def test_a_visible_signature_is_drawn(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        picture = BytesIO()
        Image.new("RGB", (4, 3), (200, 0, 0)).save(picture, "PNG")
        visible = VisibleSignature(
            page=1, x=60, y=50, size=(200, 40), text="Signed by $certificate.getCommonName()", image=picture.getvalue()
        )

        signed = await sandbox_client.sign(Document.pdf(INVOICE, visible_signature=visible))

        assert (await judged(signed.content, sandbox))[0].bottom_line
        (signature,) = signatures(signed.content)
        assert signature.sig_field["/Rect"] == [60, 50, 260, 90]
        assert signature.sig_field["/P"] == signature.reader.root["/Pages"]["/Kids"][0]
        appearance = signature.sig_field["/AP"]["/N"]
        assert b"(Signed by Sandbox Test Signer" in appearance.data
        (image,) = appearance["/Resources"]["/XObject"].values()
        image = image.get_object()
        assert (image["/Subtype"], image["/Width"], image["/Height"]) == ("/Image", 4, 3)

    async def test_a_signature_fills_a_field_of_the_document(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        visible = VisibleSignature(field="Assinatura", text="Assinado")

        signed = await sandbox_client.sign(
            Document.pdf(with_field("Assinatura"), name="a.pdf", visible_signature=visible)
        )

        assert (await judged(signed.content, sandbox))[0].bottom_line
        (signature,) = signatures(signed.content)
        assert signature.field_name == "Assinatura"
        assert signature.sig_field["/Rect"] == [300, 40, 500, 90]
        assert b"(Assinado)" in signature.sig_field["/AP"]["/N"].data

    async def test_a_missing_or_used_field_is_rejected(self, sandbox_client: SignStash) -> None:
        def document(pdf: bytes, field: str) -> Document:
            return Document.pdf(pdf, name="a.pdf", visible_signature=VisibleSignature(field=field))

        signed = await sandbox_client.sign(document(with_field("A"), "A"))
        batch = await sandbox_client.sign_batch([document(with_field("A"), "B"), document(signed.content, "A")])

        assert [type(outcome.error) for outcome in batch.outcomes] == [DocumentNotSignedError] * 2

    async def test_a_second_signature_leaves_the_first_valid(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        once = await sandbox_client.sign(Document.pdf(INVOICE, reason="first"))
        twice = await sandbox_client.sign(Document.pdf(once.content, name="a.pdf", reason="second"))

        assert twice.content.startswith(once.content)
        first, second = await judged(twice.content, sandbox)
        assert first.bottom_line
        assert first.coverage == SignatureCoverageLevel.ENTIRE_REVISION
        assert second.bottom_line
        assert second.coverage == SignatureCoverageLevel.ENTIRE_FILE
        assert [item.sig_object["/Reason"] for item in signatures(twice.content)] == ["first", "second"]


def xmlsec1(xml: bytes, sandbox: Sandbox, folder: Path, *, signature: int = 1) -> bool:
    """Whether xmlsec1 finds a signature valid, counted from 1."""
    root, document = folder / "root.pem", folder / "signed.xml"
    root.write_bytes(sandbox.root_certificate)
    document.write_bytes(xml)
    command = [require("xmlsec1"), "--verify", "--trusted-pem", str(root)]
    for element in ("http://uri.etsi.org/01903/v1.3.2#:SignedProperties", f"{DS}:KeyInfo"):
        command += ["--id-attr:Id", element]
    command += ["--node-xpath", f"(//*[local-name()='Signature'])[{signature}]", str(document)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class TestOtherKinds:
    async def test_an_xml_signature_is_valid(self, sandbox: Sandbox, sandbox_client: SignStash, tmp_path: Path) -> None:
        signed = await sandbox_client.sign(Document.xml(XML, name="a.xml"))

        assert xmlsec1(signed.content, sandbox, tmp_path)
        assert not xmlsec1(signed.content.replace(b"31,00", b"31,01"), sandbox, tmp_path)
        rest = etree.fromstring(signed.content)
        etree.strip_elements(rest, f"{{{DS}}}Signature")
        assert etree.tostring(rest, method="c14n") == etree.tostring(etree.fromstring(XML), method="c14n")

    async def test_a_binary_signature_is_valid(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        contents = bytes(range(256)) * 100

        signed = await sandbox_client.sign(Document.binary(contents, name="a.bin"))

        message = cms.ContentInfo.load(signed.content)["content"]
        assert message["encap_content_info"]["content"].native == contents
        attributes = {item["type"].native for item in message["signer_infos"][0]["signed_attrs"]}
        assert "signing_certificate_v2" in attributes  # CAdES, and not plain CMS
        for changed in (False, True):
            if changed:
                message["encap_content_info"]["content"] = b"other"
            status = await async_validate_cms_signature(message, validation_context=trust(sandbox.root_certificate))
            assert (status.intact, status.trusted) == (not changed, not changed)

    async def test_a_broken_document_does_not_affect_others(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        documents = [
            Document.pdf(INVOICE),
            Document.pdf(b"%PDF-1.7\nbroken", name="broken.pdf"),
            Document.xml(b"<a><b></a>", name="broken.xml"),
            Document.xml(XML, name="a.xml"),
            Document.binary(b"any", name="a.bin"),
        ]

        batch = await sandbox_client.sign_batch(documents)

        assert [outcome.ok for outcome in batch.outcomes] == [True, False, False, True, True]
        assert [outcome.document for outcome in batch.outcomes] == documents
        assert (await judged(batch.outcomes[0].signed.content, sandbox))[0].bottom_line  # type: ignore[union-attr]
        assert batch.operation.status == "EXECUTION_ERROR"
        for outcome in batch.outcomes[1:3]:
            assert isinstance(outcome.error, DocumentNotSignedError)
            assert outcome.error.document == outcome.document.name
            assert outcome.error.sign_error is None
            assert not outcome.error.retryable

    async def test_concurrent_requests_are_signed(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        documents = [Document.binary(f"{number}".encode(), name=f"{number}.bin") for number in range(12)]

        signed = await asyncio.gather(*map(sandbox_client.sign, documents))

        assert [contents_of(item) for item in signed] == [f"{number}".encode() for number in range(12)]
        assert len({item.operation_id for item in signed}) == 12

    @pytest.mark.parametrize("file_names", ["name", "external_reference"])
    async def test_multipart_files_belong_to_their_documents(self, sandbox: Sandbox, file_names: Any) -> None:
        documents = [Document.binary(f"{number}".encode(), name=f"{number}.bin") for number in range(5)]
        async with client_of(sandbox, upload="multipart", multipart_file_names=file_names) as client:
            batch = await client.sign_batch(documents)

        assert [contents_of(outcome.signed) for outcome in batch.outcomes] == [b"0", b"1", b"2", b"3", b"4"]


def contents_of(signed: SignedDocument | None) -> bytes:
    """The content of a CAdES signature."""
    assert signed is not None
    return bytes(cms.ContentInfo.load(signed.content)["content"]["encap_content_info"]["content"].native)


def rendered(pdf: bytes, page: int = 0) -> Image.Image:
    """A page as a picture, one pixel for each point."""
    with pypdfium2.PdfDocument(pdf) as document:
        document.init_forms()
        picture: Image.Image = document[page].render(scale=1).to_pil()
        return picture.convert("RGB")


def changed_area(before: bytes, after: bytes) -> tuple[int, int, int, int] | None:
    """Left, bottom, right and top of the changed area, in points from the lower left corner."""
    old, new = rendered(before), rendered(after)
    box = ImageChops.difference(old, new).getbbox()
    return box and (box[0], new.height - box[3], box[2], new.height - box[1])


class TestVisibleSignature:
    async def test_a_visible_signature_is_at_the_requested_place(self, sandbox_client: SignStash) -> None:
        visible = visible_info(location_value="page=1,x=300,y=400", area="width=120,height=30")

        signed = await sandbox_client.sign(Document.pdf(INVOICE, signature=info(visible)))

        seen = changed_area(INVOICE.read_bytes(), signed.content)
        assert seen is not None
        assert seen == pytest.approx((300, 400, 420, 430), abs=1)

    async def test_the_text_of_a_visible_signature_follows_the_template(self, sandbox_client: SignStash) -> None:
        visible = visible_info(
            one_off_template="100% ${certificate.commonName}\nAprovação $unknown",
            font="color=#000000,size=9,name=arial",
        )

        signed = await sandbox_client.sign(Document.pdf(INVOICE, signature=info(visible)))

        with pypdfium2.PdfDocument(signed.content) as document:
            document.init_forms()
            document[0].flatten()
            text = document[0].get_textpage().get_text_bounded(70, 300, 225, 350)
        assert text.split("\r\n") == ["100% Sandbox Test Signer - NOT QUALIFIED", "Aprovação $unknown"]

    async def test_a_visible_signature_can_be_transparent(self, sandbox_client: SignStash) -> None:
        visible = visible_info(area_background_color="transparent", one_off_template="x")

        signed = await sandbox_client.sign(Document.pdf(INVOICE, signature=info(visible)))

        left, bottom, right, top = changed_area(INVOICE.read_bytes(), signed.content) or (0, 0, 0, 0)
        assert 70 < left < right < 225
        assert 300 < bottom < top < 350

    async def test_a_visible_signature_is_at_the_first_placeholder(
        self, sandbox: Sandbox, sandbox_client: SignStash
    ) -> None:
        pdf = with_text({1: [], 2: [(200, 300, "sign #here# please"), (200, 100, "#here#")]})
        visible = visible_info(location_type=VisibleSignatureLocationType.PLACEHOLDER, location_value="#here#")

        signed = await sandbox_client.sign(Document.pdf(pdf, name="a.pdf", signature=info(visible)))

        assert (await judged(signed.content, sandbox))[0].bottom_line
        (signature,) = signatures(signed.content)
        left, bottom, right, top = signature.sig_field["/Rect"]
        word = stringWidth("sign ", "Helvetica", 12)
        assert abs(left - (200 + word)) <= 1
        assert abs(bottom - 300) <= 3
        assert (right - left, top - bottom) == (155, 50)
        assert signature.sig_field["/P"] == signature.reader.root["/Pages"]["/Kids"][1]

    async def test_a_missing_placeholder_is_rejected(self, sandbox_client: SignStash) -> None:
        visible = visible_info(location_type=VisibleSignatureLocationType.PLACEHOLDER, location_value="#nowhere#")

        with pytest.raises(DocumentNotSignedError):
            await sandbox_client.sign(Document.pdf(INVOICE, signature=info(visible)))


def info(visible: VisibleSignatureInfo | None = None, **options: Any) -> SignatureInfo:
    return SignatureInfo(signature_type=SignatureType.PADES, visible_signature_info=visible or UNSET, **options)


def visible_info(**changes: Any) -> VisibleSignatureInfo:
    usual: dict[str, Any] = {
        "location_type": VisibleSignatureLocationType.COORDINATE,
        "location_value": "page=1,x=70,y=300",
        "area_background_color": "#FFEE00",
        "template_type": VisibleSignatureTemplateType.ONE_OFF,
        "one_off_template": "Signed",
    }
    return VisibleSignatureInfo(**{**usual, **changes})


def with_text(pages: dict[int, list[tuple[int, int, str]]]) -> bytes:
    """A PDF with texts at places of its pages."""
    file = BytesIO()
    canvas = Canvas(file)
    for texts in pages.values():
        canvas.setFont("Helvetica", 12)
        for x, y, text in texts:
            canvas.drawString(x, y, text)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


class TestTimestamps:
    async def test_a_pdf_signature_has_a_timestamp(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        signed = await sandbox_client.sign(Document.pdf(INVOICE, timestamp=True))

        (status,) = await judged(signed.content, sandbox)
        assert status.bottom_line
        self.assert_stamped(status.timestamp_validity)

    async def test_a_binary_signature_has_a_timestamp(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        signed = await sandbox_client.sign(Document.binary(b"any", name="a.bin", timestamp=True))

        (signer,) = cms.ContentInfo.load(signed.content)["content"]["signer_infos"]
        (attribute,) = [
            item for item in signer["unsigned_attrs"] if item["type"].native == "signature_time_stamp_token"
        ]
        token = attribute["values"][0]["content"]
        self.assert_stamped(await self.judged(token, signer["signature"].native, sandbox))

    async def test_an_xml_signature_has_a_timestamp(
        self, sandbox: Sandbox, sandbox_client: SignStash, tmp_path: Path
    ) -> None:
        signed = await sandbox_client.sign(Document.xml(XML, name="a.xml", timestamp=True))

        assert xmlsec1(signed.content, sandbox, tmp_path)
        root = etree.fromstring(signed.content)
        (value,) = root.iter("{http://www.w3.org/2000/09/xmldsig#}SignatureValue")
        (encoded,) = root.iter("{http://uri.etsi.org/01903/v1.3.2#}EncapsulatedTimeStamp")
        token = cms.ContentInfo.load(base64.b64decode(str(encoded.text)))["content"]
        self.assert_stamped(await self.judged(token, etree.tostring(value, method="c14n", exclusive=True), sandbox))

    async def judged(self, token: Any, stamped: bytes, sandbox: Sandbox) -> TimestampSignatureStatus:
        def digest(algorithm: str) -> bytes:
            return hashlib.new(algorithm, stamped).digest()

        fields = await validate_tst_signed_data(token, trust(sandbox.root_certificate), digest)
        return TimestampSignatureStatus(**fields)

    def assert_stamped(self, status: Any) -> None:
        assert status.valid
        assert status.intact
        assert status.trusted
        assert status.signing_cert.subject.native["common_name"] == "Sandbox Test Timestamps - NOT QUALIFIED"


class TestAdvancedXml:
    XML = b"<fatura><!-- de Novembro --><linhas><total>31,00</total></linhas><assinatura/></fatura>"

    def document(self, **advanced: Any) -> Document:
        signature = SignatureInfo(
            signature_type=SignatureType.XADES, advanced_signature_info=AdvancedSignatureInfo(**advanced)
        )
        return Document.xml(self.XML, name="a.xml", signature=signature)

    async def test_the_named_element_contains_the_signature(
        self, sandbox: Sandbox, sandbox_client: SignStash, tmp_path: Path
    ) -> None:
        signed = await sandbox_client.sign(self.document(signature_location="assinatura"))

        (holder,) = etree.fromstring(signed.content).iter("assinatura")
        assert [etree.QName(element).localname for element in holder] == ["Signature"]
        assert xmlsec1(signed.content, sandbox, tmp_path)
        assert not xmlsec1(signed.content.replace(b"31,00", b"31,01"), sandbox, tmp_path)

    async def test_a_missing_element_is_rejected(self, sandbox_client: SignStash) -> None:
        with pytest.raises(DocumentNotSignedError):
            await sandbox_client.sign(self.document(signature_location="nenhures"))

    @pytest.mark.parametrize("location", ["assinatura", None])
    @pytest.mark.parametrize(
        ("transform", "algorithm"),
        [
            (CanonicalTransform.EXCLUSIVE, "http://www.w3.org/2001/10/xml-exc-c14n#"),
            (CanonicalTransform.EXCLUSIVE_WITH_COMMENTS, "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"),
        ],
    )
    async def test_both_canonical_transforms_are_supported(
        self,
        sandbox: Sandbox,
        sandbox_client: SignStash,
        tmp_path: Path,
        transform: CanonicalTransform,
        algorithm: str,
        location: str | None,
    ) -> None:
        options = {"signature_location": location} if location else {}

        signed = await sandbox_client.sign(
            self.document(canonical_transform=transform, signature_transform=SignatureTransform.ENVELOPED, **options)
        )

        assert xmlsec1(signed.content, sandbox, tmp_path)
        references = list(etree.fromstring(signed.content).iter("{http://www.w3.org/2000/09/xmldsig#}Reference"))
        assert len(references) == 3
        for reference in references:
            assert reference[0][-1].get("Algorithm") == algorithm
        assert not xmlsec1(signed.content.replace(b"31,00", b"31,01"), sandbox, tmp_path)

    @pytest.mark.parametrize("transform", [SignatureTransform.XPATH, SignatureTransform.XPATH2_FILTER])
    @pytest.mark.parametrize("location", ["assinatura", None])
    async def test_xpath_transforms_leave_earlier_signatures_valid(
        self,
        sandbox: Sandbox,
        sandbox_client: SignStash,
        tmp_path: Path,
        transform: SignatureTransform,
        location: str | None,
    ) -> None:
        advanced: dict[str, Any] = {"signature_transform": transform}
        if location:
            advanced["signature_location"] = location
        once = await sandbox_client.sign(self.document(**advanced))
        signature = SignatureInfo(
            signature_type=SignatureType.XADES, advanced_signature_info=AdvancedSignatureInfo(**advanced)
        )

        twice = await sandbox_client.sign(Document.xml(once.content, name="b.xml", signature=signature))

        for number in (1, 2):
            assert xmlsec1(twice.content, sandbox, tmp_path, signature=number)
            changed = twice.content.replace(b"31,00", b"31,01")
            assert not xmlsec1(changed, sandbox, tmp_path, signature=number)


class TestXmlOfEveryMake:
    MAKES: Mapping[str, bytes] = {
        "instructions and comments beside the root": b"<?xml-stylesheet href='a'?><!-- a --><a/><?after b?><!-- c -->",
        "attributes that canonicalization inherits": b"<a xml:lang='pt' xml:space='preserve'> <b xml:id='k'/>\r\n</a>",
        "identifiers of the root": b"<a Id='x' ID='y' id='z'/>",
        "entities": b"<!DOCTYPE a [<!ENTITY e 'text'>]><a>&e;&#13;&lt;</a>",
        "ISO-8859-1": "<?xml version='1.0' encoding='ISO-8859-1'?><a>çã</a>".encode("latin-1"),
        "UTF-16": "<?xml version='1.0' encoding='UTF-16'?><a>çã</a>".encode("utf-16"),
        "byte order mark": b"\xef\xbb\xbf<a/>",
        "prefixes of signatures in other namespaces": b"<a xmlns:ds='urn:b' xmlns:xades='urn:c'><ds:b/></a>",
        "a text of 11 MB": b"<a>" + b"x" * 11_000_000 + b"</a>",
        "a thousand attributes": b"<a %b/>" % b" ".join(b"a%d='1'" % number for number in range(1000)),
    }

    @pytest.mark.parametrize("transform", SignatureTransform)
    @pytest.mark.parametrize("make", MAKES)
    async def test_xml_of_every_make_is_signed(
        self, make: str, transform: SignatureTransform, sandbox: Sandbox, sandbox_client: SignStash, tmp_path: Path
    ) -> None:
        advanced = AdvancedSignatureInfo(signature_transform=transform)
        signature = SignatureInfo(signature_type=SignatureType.XADES, advanced_signature_info=advanced)

        signed = await sandbox_client.sign(Document.xml(self.MAKES[make], name="a.xml", signature=signature))

        assert xmlsec1(signed.content, sandbox, tmp_path)

    HOSTILE: Mapping[str, bytes] = {
        "100,000 attributes": b"<a %b/>" % b" ".join(b"a%d='1'" % number for number in range(100_000)),
        "100,000 namespaces": b"<a %b/>"
        % b" ".join(b"xmlns:a%d='u%d'" % (number, number) for number in range(100_000)),
        "100,000 levels": b"<a>" * 100_000 + b"</a>" * 100_000,
        "entities of entities": b"<!DOCTYPE a [<!ENTITY e0 'xxxxxxxxxx'>%b]><a>&e9;</a>"
        % b"".join(b"<!ENTITY e%d '%b'>" % (number, b"&e%d;" % (number - 1) * 10) for number in range(1, 10)),
        "a file of this machine": b"<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><a>&e;</a>",
    }

    @pytest.mark.parametrize("make", HOSTILE)
    async def test_hostile_documents_are_rejected_before_parsing(self, make: str, sandbox_client: SignStash) -> None:
        batch = await sandbox_client.sign_batch([Document.xml(self.HOSTILE[make], name="a.xml")])

        (error,) = [outcome.error for outcome in batch.outcomes]
        assert isinstance(error, DocumentNotSignedError)
        assert not error.retryable

"""Whole flows against the sandbox, over HTTP: what comes back carries signatures that independent checkers accept."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from asn1crypto import cms, pem, x509
from lxml import etree
from PIL import Image
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import fields
from pyhanko.sign.validation import async_validate_cms_signature, async_validate_pdf_signature
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import PdfSignatureStatus, SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext
from signxml.exceptions import InvalidDigest
from signxml.xades import XAdESVerifier
from signxml.xades.xades import XAdESVerifyResult

from signstash import (
    CredentialsRejectedError,
    Document,
    DocumentNotSignedError,
    DuplicateReferenceError,
    SignedDocument,
    SignStash,
    TokenRejectedError,
    VisibleSignature,
)
from signstash.sandbox import Fault, Sandbox, SandboxApplication, application
from tests.conftest import BASE64_PATH, INVOICE, MULTIPART_PATH

pytestmark = pytest.mark.sandbox

PROJECT = Path(__file__).parents[1]
XML = b"<?xml version='1.0' encoding='UTF-8'?>\n<fatura><total moeda='EUR'>31,00</total></fatura>"


def trust(root_certificate: bytes) -> ValidationContext:
    root = x509.Certificate.load(pem.unarmor(root_certificate)[2])
    return ValidationContext(trust_roots=[root], allow_fetching=False)


def signatures(pdf: bytes) -> list[EmbeddedPdfSignature]:
    return list(PdfFileReader(BytesIO(pdf)).embedded_signatures)


async def judged(pdf: bytes, sandbox: Sandbox) -> list[PdfSignatureStatus]:
    """What pyHanko says about each signature of a PDF."""
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
    async def test_the_signature_is_valid(self, sandbox: Sandbox, upload: Any, base_path: str) -> None:
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

    async def test_a_changed_document_is_not_valid(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        signed = await sandbox_client.sign(Document.pdf(INVOICE))
        place = signed.content.index(b"/Title") if b"/Title" in signed.content else 200

        (status,) = await judged(signed.content[:place] + b"!" + signed.content[place + 1 :], sandbox)

        assert not status.intact
        assert not status.bottom_line

    async def test_it_can_be_seen(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
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

    async def test_it_fills_a_field_of_the_document(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        visible = VisibleSignature(field="Assinatura", text="Assinado")

        signed = await sandbox_client.sign(
            Document.pdf(with_field("Assinatura"), name="a.pdf", visible_signature=visible)
        )

        assert (await judged(signed.content, sandbox))[0].bottom_line
        (signature,) = signatures(signed.content)
        assert signature.field_name == "Assinatura"
        assert signature.sig_field["/Rect"] == [300, 40, 500, 90]
        assert b"(Assinado)" in signature.sig_field["/AP"]["/N"].data

    async def test_a_field_that_is_not_there_or_not_free(self, sandbox_client: SignStash) -> None:
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


class TestOtherKinds:
    def verified(self, xml: bytes, sandbox: Sandbox, tmp_path: Path) -> etree._Element:
        """What an XML signature signs, by signxml."""
        (tmp_path / "root.pem").write_bytes(sandbox.root_certificate)
        results = XAdESVerifier().verify(xml, ca_pem_file=str(tmp_path / "root.pem"), expect_references=3)
        assert isinstance(results, list)
        assert any(isinstance(item, XAdESVerifyResult) for item in results)
        assert results[0].signed_xml is not None
        return results[0].signed_xml

    async def test_xml(self, sandbox: Sandbox, sandbox_client: SignStash, tmp_path: Path) -> None:
        signed = await sandbox_client.sign(Document.xml(XML, name="a.xml"))

        element = self.verified(signed.content, sandbox, tmp_path)
        assert etree.tostring(element, method="c14n") == etree.tostring(etree.fromstring(XML), method="c14n")
        with pytest.raises(InvalidDigest):
            self.verified(signed.content.replace(b"31,00", b"31,01"), sandbox, tmp_path)

    async def test_any_bytes(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
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

    async def test_a_broken_document_does_not_cost_the_others(
        self, sandbox: Sandbox, sandbox_client: SignStash
    ) -> None:
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
            assert outcome.error.sign_error == "SIGN_OPERATION_INTERNAL_ERROR"

    async def test_many_at_once(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
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
    """What a CAdES signature holds."""
    assert signed is not None
    return bytes(cms.ContentInfo.load(signed.content)["content"]["encap_content_info"]["content"].native)


class TestRefusals:
    async def test_a_document_is_signed_once(self, sandbox_client: SignStash) -> None:
        document = Document.pdf(INVOICE)
        signed = await sandbox_client.sign(document)

        with pytest.raises(DuplicateReferenceError, match=re.escape(signed.external_reference)):
            await sandbox_client.sign(document)

    @pytest.mark.parametrize("wrong", [{"client_secret": "wrong"}, {"client_id": "PRT.nobody"}], ids=str)
    async def test_wrong_credentials(self, sandbox: Sandbox, wrong: dict[str, str]) -> None:
        credentials = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret} | wrong
        async with SignStash(sandbox.base_url, token_url=sandbox.token_url, **credentials) as client:
            with pytest.raises(CredentialsRejectedError) as refused:
                await client.sign(Document.pdf(INVOICE))
        assert refused.value.error_code == "invalid_client"


@contextlib.asynccontextmanager
async def in_process(sandbox: SandboxApplication) -> AsyncIterator[SignStash]:
    """A client that reaches the sandbox without a network."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(sandbox)) as http_client:
        yield SignStash(**sandbox.credentials, http_client=http_client)


class TestTokens:
    """The application itself, without a network."""

    async def test_an_expired_token_is_replaced_unseen(self) -> None:
        now = 0.0
        sandbox = SandboxApplication(token_lifetime=3600, clock=lambda: now)
        async with in_process(sandbox) as client:
            for now, number in ((0.0, 1), (3599.0, 2), (3600.0, 3)):  # noqa: B007 - the clock reads it
                assert (await client.sign(Document.binary(b"a", name="a"))).operation_id == number

        signing = application.BASE_PATHS[0] + BASE64_PATH
        token = application.TOKEN_PATH
        arrived = [(arrival["path"], arrival["error_code"]) for arrival in sandbox.journal.arrivals()]
        signed, refused = (signing, ""), (signing, "0.0.10")
        assert arrived == [(token, ""), signed, signed, refused, (token, ""), signed]

    async def test_tokens_that_are_never_accepted(self) -> None:
        sandbox = SandboxApplication(faults=[Fault("0.0.10")])
        async with in_process(sandbox) as client:
            with pytest.raises(TokenRejectedError, match="environment"):
                await client.sign(Document.binary(b"a", name="a"))

        asked = [arrival["path"] for arrival in sandbox.journal.arrivals()]
        assert asked.count(application.TOKEN_PATH) == 2


Fields = dict[str, Any]
NOWHERE = {"locationType": "SIGN_FIELD"}


class TestRawRequests:
    @pytest.fixture
    def http(self, sandbox: Sandbox) -> Any:
        with httpx.Client() as http:
            answer = http.post(
                sandbox.token_url,
                auth=(sandbox.client_id, sandbox.client_secret),
                data={"grant_type": "client_credentials"},
            )
            http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
            http.base_url = httpx.URL(sandbox.base_url)
            yield http

    def fields(self, *names: str) -> Fields:
        made = os.urandom(6).hex()
        documents = [
            {
                "documentRequest": {
                    "externalReference": f"{made}-{name}",
                    "name": name,
                    "contentType": "application/octet-stream",
                    "base64Content": "YQ==",
                },
                "signatureInfo": {"signatureType": "CAdES"},
            }
            for name in names or ("a.bin",)
        ]
        return {"externalReference": made, "description": "raw", "documents": documents, "returnSignedContent": True}

    def assert_refused(self, answer: httpx.Response, what: str, code: str = "0.0.2") -> None:
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["errorCode"] == code
        assert what in answer.json()["causeMessage"]

    @pytest.mark.parametrize(
        "path",
        [
            "externalReference", "description", "documents", "documents.0.documentRequest", "documents.0.signatureInfo",
            "documents.0.documentRequest.externalReference", "documents.0.documentRequest.name",
            "documents.0.documentRequest.contentType", "documents.0.documentRequest.base64Content",
            "documents.0.signatureInfo.signatureType",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("value", ["left out", None], ids=str)
    def test_what_is_mandatory(self, http: httpx.Client, path: str, value: Any) -> None:
        fields = self.fields()
        *way, last = (int(key) if key.isdecimal() else key for key in path.split("."))
        holder: Any = fields
        for key in way:
            holder = holder[key]
        holder[last] = value
        if value == "left out":
            del holder[last]

        self.assert_refused(http.post(BASE64_PATH, json=fields), str(last))

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda it: it["documents"][0]["signatureInfo"].update(visibleSignatureInfo={}), "location"),
            (lambda it: it["documents"][0]["signatureInfo"].update(visibleSignatureInfo=NOWHERE), "locationValue"),
            (lambda it: it.update(preservationInfo={}), "preserveContent"),
        ],
        ids=["visible signature", "its place", "preservation"],
    )
    def test_what_is_mandatory_within_options(
        self, http: httpx.Client, change: Callable[[Fields], object], what: str
    ) -> None:
        fields = self.fields()
        change(fields)

        self.assert_refused(http.post(BASE64_PATH, json=fields), what)

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
    def test_what_is_no_json(self, http: httpx.Client, body: bytes) -> None:
        self.assert_refused(http.post(BASE64_PATH, content=body), "malformed JSON")

    @pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"7"])
    def test_what_is_no_request(self, http: httpx.Client, body: bytes) -> None:
        self.assert_refused(http.post(BASE64_PATH, content=body), "signRequest is no object", "0.0.6")

    @pytest.mark.parametrize("header", ["Bearer other", "Bearer", "Basic YTpi", "Basic {token}", "{token}", None])
    @pytest.mark.parametrize("path", [BASE64_PATH, MULTIPART_PATH])
    def test_a_token_that_is_none(self, http: httpx.Client, header: str | None, path: str) -> None:
        token = http.headers.pop("authorization").removeprefix("Bearer ")
        headers = {} if header is None else {"authorization": header.format(token=token)}

        answer = http.post(path, json=self.fields(), headers=headers)

        assert (answer.status_code, answer.json()["errorCode"]) == (409, "0.0.10")

    def test_multipart_needs_its_parts_and_matches_them_by_name(self, http: httpx.Client) -> None:
        fields = self.fields("a.bin", "b.bin")
        described = {"signRequest": (None, json.dumps(fields).encode(), "application/json")}
        files = [("files", ("b.bin", b"B")), ("files", ("a.bin", b"A"))]

        self.assert_refused(http.post(MULTIPART_PATH, files=files), "signRequest")
        self.assert_refused(http.post(MULTIPART_PATH, files=[*described.items(), files[0]]), "files")
        answer = http.post(MULTIPART_PATH, files=[*files, *described.items()])
        held = [base64.b64decode(item["signedContent"]) for item in answer.json()["documentList"]]
        contents = [cms.ContentInfo.load(item)["content"]["encap_content_info"]["content"].native for item in held]
        assert contents == [b"A", b"B"]

    @pytest.mark.parametrize("asked", [False, None])
    def test_contents_come_back_only_if_asked_for(self, http: httpx.Client, asked: bool | None) -> None:
        answer = http.post(BASE64_PATH, json=self.fields() | {"returnSignedContent": asked})

        assert answer.json()["documentList"][0]["signStatus"] == "SIGNED"
        assert "signedContent" not in answer.json()["documentList"][0]

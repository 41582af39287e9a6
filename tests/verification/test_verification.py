"""Verification of every kind of signature, with every kind of tampering."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import logging
import os
import socket
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.signers import PdfTimeStamper

from signstash import (
    ConfigurationError,
    Document,
    InvalidDocumentError,
    Journal,
    SignatureInvalidError,
    SignedDocument,
    SignStash,
)
from signstash._signing.response import read_batch
from signstash.models import SignatureInfo, SignatureType
from signstash.sandbox import Sandbox, SandboxApplication, certificate
from signstash.sandbox.certificate import Root, new_root
from signstash.sandbox.signatures import SignatureMaker
from signstash.sandbox.signatures.signer import Seal
from signstash.verification import Verdict, Verification, verify_file
from tests.conftest import INVOICE
from tests.project.test_commands import BARE, python

XML = b"<fatura><!-- Novembro --><total moeda='EUR'>31,00</total><assinatura/></fatura>"
SIGNER = "Sandbox Test Signer - NOT QUALIFIED"
KINDS: dict[str, Callable[..., Document]] = {
    "PAdES": lambda **options: Document.pdf(INVOICE, **options),
    "XAdES": lambda **options: Document.xml(XML, name="a.xml", **options),
    "CAdES": lambda **options: Document.binary(b"any bytes", name="a.bin", **options),
}
pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def signed(sandbox: Sandbox) -> dict[str, SignedDocument]:
    """One signed document of each kind."""

    async def sign_all() -> dict[str, SignedDocument]:
        async with SignStash(**sandbox.credentials) as client:
            return {kind: await client.sign(make()) for kind, make in KINDS.items()}

    return asyncio.run(sign_all())


class TestValid:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("timestamp", [False, True])
    async def test_a_report_names_signer_and_times(
        self, sandbox: Sandbox, sandbox_client: SignStash, kind: str, timestamp: bool
    ) -> None:
        document = KINDS[kind](timestamp=timestamp)
        signed = await sandbox_client.sign(document)

        found = await signed.verify(document, trusted_roots=[sandbox.root_certificate])

        assert (found.problems, found.ok, found.trusted) == ((), True, True)
        assert (found.signature_type, found.signer) == (kind, SIGNER)
        assert found.issuer == "Sandbox Test Root - NOT QUALIFIED"
        assert found.signed_at is not None
        assert abs(found.signed_at.timestamp() - time.time()) < 600
        assert (found.timestamped_at is not None) == timestamp
        if found.timestamped_at is not None:
            assert abs(found.timestamped_at.timestamp() - time.time()) < 600

    @pytest.mark.parametrize("kind", KINDS)
    async def test_trust_is_unknown_without_roots(
        self, signed: dict[str, SignedDocument], kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        found = await signed[kind].verify()

        assert (found.problems, found.trusted) == ((), None)
        assert caplog.records == []

    def test_logging_of_the_library_for_others_is_unchanged(
        self, signed: dict[str, SignedDocument], caplog: pytest.LogCaptureFixture
    ) -> None:
        verify_file(signed["PAdES"].content)
        logging.getLogger("pyhanko.sign.validation.generic_cms").warning("of somebody else")

        assert [record.message for record in caplog.records] == ["of somebody else"]

    @pytest.mark.parametrize("canonical", [None, "EXCLUSIVE", "EXCLUSIVE_WITH_COMMENTS"])
    async def test_xml_is_canonicalised_as_its_signature_specifies(
        self, sandbox_client: SignStash, canonical: Any
    ) -> None:
        content = b"<fatura xmlns='urn:a' xmlns:b='urn:b'><total>31,00</total></fatura>"
        document = Document.xml(content, name="a.xml", canonical_transform=canonical, timestamp=True)

        found = await (await sandbox_client.sign(document)).verify(document)

        assert found.problems == ()
        assert found.timestamped_at is not None

    async def test_a_second_signature_is_valid(
        self, sandbox_client: SignStash, signed: dict[str, SignedDocument]
    ) -> None:
        document = Document.pdf(signed["PAdES"].content, name="a.pdf")

        found = await (await sandbox_client.sign(document)).verify(document)

        assert found.problems == ()

    async def test_an_archive_timestamp_is_valid(self, signed: dict[str, SignedDocument]) -> None:
        content = await timestamped(signed["PAdES"].content, Seal(Root(new_root())))

        assert (await asyncio.to_thread(verify_file, content, original=INVOICE)).problems == ()

    async def test_roots_may_be_bytes_or_files(self, sandbox: Sandbox, tmp_path: Path) -> None:
        (tmp_path / "root.der").write_bytes(
            load_pem_x509_certificate(sandbox.root_certificate).public_bytes(Encoding.DER)
        )
        (tmp_path / "two.pem").write_bytes(other_root() + sandbox.root_certificate)
        async with SignStash(**sandbox.credentials) as client:
            signed = await client.sign(KINDS["CAdES"]())

        for root in (tmp_path / "root.der", str(tmp_path / "two.pem"), (tmp_path / "root.der").read_bytes()):
            assert (await signed.verify(trusted_roots=[root])).trusted


def unsigned(message: bytes) -> bytes:
    """A CMS message with an invalid signature."""
    signed = cms.ContentInfo.load(message)
    signer = signed["content"]["signer_infos"][0]
    signer["signature"] = bytes(len(signer["signature"].native))
    return bytes(signed.dump())


def other_root() -> bytes:
    """The root of another sandbox, which signs under the same name."""
    return SandboxApplication().root_certificate


class TestInvalid:
    async def test_the_original_may_be_a_document(self, signed: dict[str, SignedDocument]) -> None:
        path: Any = "invoice.pdf"
        with pytest.raises(InvalidDocumentError, match=r"type str. Make it with Document\.pdf"):
            await signed["PAdES"].verify(path)

    @pytest.mark.parametrize("kind", KINDS)
    async def test_another_root_of_the_same_name_is_not_trusted(
        self, signed: dict[str, SignedDocument], kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        found = await signed[kind].verify(trusted_roots=[other_root()])

        assert found.trusted is False
        assert len(found.problems) == 1
        assert "none of the trusted roots" in found.problems[0]
        assert caplog.records == []  # the library below would warn of it, with a traceback

    @pytest.mark.parametrize(
        ("kind", "old", "new", "problem"),
        [
            ("PAdES", b"/MediaBox", b"/MediaBax", "the document was changed"),
            ("XAdES", b"31,00", b"31,01", "the document was changed"),
            ("CAdES", b"any bytes", b"any bites", "the content was changed"),
        ],
    )
    def test_changed_contents_are_invalid(
        self, signed: dict[str, SignedDocument], kind: str, old: bytes, new: bytes, problem: str
    ) -> None:
        content = signed[kind].content
        assert old in content

        found = verify_file(content.replace(old, new, 1))

        assert problem in found.reason
        assert found.verdict is Verdict.INVALID
        assert found.signer == SIGNER

    def test_contents_with_a_forged_digest_are_invalid(self, signed: dict[str, SignedDocument]) -> None:
        message = cms.ContentInfo.load(signed["CAdES"].content)
        (signer,) = message["content"]["signer_infos"]
        signer["signature"] = bytes(256)

        assert "does not match what it signs and its certificate" in verify_file(message.dump()).problems[0]

    def test_a_changed_xml_signature_is_invalid(self, signed: dict[str, SignedDocument]) -> None:
        start, value, end = split(signed["XAdES"].content, b"<ds:SignatureValue>", b"</ds:SignatureValue>")

        found = verify_file(start + value[:8] + b"AAAA" + value[12:] + end)

        assert "does not match what it signs and its certificate" in found.problems[0]

    async def test_a_timestamp_of_other_data_is_invalid(self, sandbox_client: SignStash) -> None:
        one, other = [(await sandbox_client.sign(KINDS["XAdES"](timestamp=True))).content for _ in range(2)]
        marks = b"EncapsulatedTimeStamp>", b"</xades:EncapsulatedTimeStamp>"

        start, _, end = split(one, *marks)

        found = await asyncio.to_thread(verify_file, start + split(other, *marks)[1] + end)

        assert found.problems == (
            "the timestamp of the signature does not hold (it is about something else: its digest differs)",
        )

    @pytest.mark.parametrize("kind", ["XAdES", "CAdES"])
    async def test_a_timestamp_without_a_signer_is_invalid(self, sandbox_client: SignStash, kind: str) -> None:
        content = (await sandbox_client.sign(KINDS[kind](timestamp=True))).content
        if kind == "XAdES":
            start, stamp, end = split(content, b"EncapsulatedTimeStamp>", b"</xades:EncapsulatedTimeStamp>")
            content = start + base64.b64encode(unsigned(base64.b64decode(stamp))) + end
        else:
            message = cms.ContentInfo.load(content)
            (stamp,) = message["content"]["signer_infos"][0]["unsigned_attrs"][0]["values"]
            content = content.replace(stamp.dump(), unsigned(stamp.dump()))

        found = await asyncio.to_thread(verify_file, content)

        assert len(found.problems) == 1
        assert "the timestamp of the signature does not hold" in found.problems[0]

    @pytest.mark.parametrize("addition", [b"\n", b"\n% added\n", b" " * 500])
    def test_a_pdf_with_trailing_data_is_reported(self, signed: dict[str, SignedDocument], addition: bytes) -> None:
        found = verify_file(signed["PAdES"].content + addition)

        assert found.verdict is Verdict.INDETERMINATE
        assert "and are not signed" in found.reason

    def test_a_cms_signature_with_trailing_data_is_reported(self, signed: dict[str, SignedDocument]) -> None:
        found = verify_file(signed["CAdES"].content + b"\0")

        assert (found.verdict, found.problems) == (
            Verdict.INDETERMINATE, ("1 bytes follow the signature and are not signed",),
        )  # fmt: skip

    def test_a_pdf_with_a_later_revision_is_reported(self, signed: dict[str, SignedDocument]) -> None:
        writer = IncrementalPdfFileWriter(BytesIO(signed["PAdES"].content))
        writer.root["/Changed"] = writer.add_object(writer.root["/Pages"])
        writer.update_root()
        changed = BytesIO()
        writer.write(changed)

        found = verify_file(changed.getvalue())

        assert found.verdict is Verdict.INDETERMINATE
        assert "makes changes that cannot be judged" in found.reason

    async def test_a_signed_pdf_returned_unchanged_is_reported(self, signed: dict[str, SignedDocument]) -> None:
        found = await signed["PAdES"].verify(Document.pdf(signed["PAdES"].content, name="a.pdf"))

        assert found.problems == ("it was not signed anew: its signatures were in what was sent",)

    async def test_a_changed_page_under_a_timestamp_is_invalid(
        self, signed: dict[str, SignedDocument], caplog: pytest.LogCaptureFixture
    ) -> None:
        found = await asyncio.to_thread(
            verify_file, await timestamped(signed["PAdES"].content, Seal(Root(new_root())), change=True)
        )

        assert not found.ok
        assert caplog.records == []

    async def test_an_archive_timestamp_of_other_data_is_invalid(self, signed: dict[str, SignedDocument]) -> None:
        content, seal = signed["PAdES"].content, Seal(Root(new_root()))
        start, value, end = split_last(await timestamped(content, seal), b"/Contents <", b">")
        other = b""
        while len(other) != len(value):  # the values of elliptic curves differ in length
            _, other, _ = split_last(await timestamped(content + b"\n", seal), b"/Contents <", b">")
        assert value != other

        found = await asyncio.to_thread(verify_file, start + other + end)

        assert found.verdict is Verdict.INVALID
        assert "does not hold (it is about something else" in found.reason

    async def test_a_broken_earlier_signature_is_reported(
        self, sandbox_client: SignStash, signed: dict[str, SignedDocument]
    ) -> None:
        broken = signed["PAdES"].content.replace(b"/MediaBox", b"/MediaBax", 1)
        document = Document.pdf(broken, name="a.pdf")
        newly_signed = await sandbox_client.sign(document)

        assert "the document was changed" in (await newly_signed.verify()).reason
        found = await newly_signed.verify(document)
        assert (found.problems, found.ok) == ((), True)
        assert "signature Signature1 was in what was sent, and the document was changed" in found.notes[0]

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (INVOICE.read_bytes(), "it holds no signature"),
            (XML, "it holds no signature"),
            (b"%PDF-1.7\nbroken", "it is not a whole PDF"),
            (b"<a><b></a>", "it cannot be read"),
            (b"", "it is empty"),
            (b"\x30\x03\x02\x01\x01", "it is neither a PDF, nor XML, nor a CMS message"),
            (b"-----BEGIN CMS-----\n!\n-----END CMS-----\n", "its armour is not base64"),
        ],
    )
    def test_an_unsigned_document_is_invalid(self, content: bytes, problem: str) -> None:
        found = verify_file(content)

        assert not found.ok
        assert problem in found.problems[0]
        assert found.signer is None

    def test_an_empty_file_holds_no_signature(self) -> None:
        assert verify_file(b"").verdict is Verdict.INVALID

    @pytest.mark.parametrize("kind", KINDS)
    async def test_the_signature_of_another_document_is_invalid(
        self, signed: dict[str, SignedDocument], kind: str
    ) -> None:
        others = {
            "PAdES": Document.pdf(INVOICE.read_bytes().replace(b"/MediaBox", b"/MediaBax"), name="a.pdf"),
            "XAdES": Document.xml(XML.replace(b"31,00", b"13,00"), name="a.xml"),
            "CAdES": Document.binary(b"other bytes", name="a.bin"),
        }

        found = await signed[kind].verify(others[kind])

        assert len(found.problems) == 1
        assert found.verdict is Verdict.INVALID
        assert "sent" in found.problems[0]

    def test_a_wrapped_signature_is_invalid(self, signed: dict[str, SignedDocument]) -> None:
        """The signed element is moved, and another put in its place."""
        content = signed["XAdES"].content.partition(b"?>")[2]

        found = verify_file(b"<fatura><total>9999,00</total><old>" + content + b"</old></fatura>")

        assert not found.ok

    def test_an_unsigned_time_is_ignored(self, signed: dict[str, SignedDocument]) -> None:
        start, rest = signed["XAdES"].content.split(b"<ds:Object", 1)
        forged = b"<ds:Object><xades:SigningTime>1999-01-01T00:00:00Z</xades:SigningTime></ds:Object>"

        found = verify_file(start + forged + b"<ds:Object" + rest)

        assert found.signed_at is not None
        assert found.signed_at == verify_file(signed["XAdES"].content).signed_at

    def test_content_around_two_signatures_is_reported(self, signed: dict[str, SignedDocument]) -> None:
        content = signed["XAdES"].content.partition(b"?>")[2]

        found = verify_file(b"<both>" + content + content + b"</both>")

        assert found.verdict is Verdict.INVALID
        assert "the document was changed after signature 1 was made: its digest differs" in found.problems


def split(content: bytes, before: bytes, after: bytes) -> tuple[bytes, bytes, bytes]:
    start, _, rest = content.partition(before)
    middle, _, end = rest.partition(after)
    return start + before, middle, after + end


def split_last(content: bytes, before: bytes, after: bytes) -> tuple[bytes, bytes, bytes]:
    at = content.rindex(before)
    start, middle, end = split(content[at:], before, after)
    return content[:at] + start, middle, end


async def timestamped(content: bytes, seal: Seal, *, change: bool = False) -> bytes:
    """A signed PDF with a timestamp for archiving, and perhaps with a change under it."""
    writer = IncrementalPdfFileWriter(BytesIO(content))
    if change:
        writer.root["/Changed"] = writer.add_object(writer.root["/Pages"])
        writer.update_root()
    stamping = PdfTimeStamper(seal.timestamper)
    return bytes((await stamping.async_timestamp_pdf(writer, "sha256", None)).getvalue())


class TestCertificate:
    @pytest.mark.parametrize("kind", [SignatureType.PADES, SignatureType.XADES, SignatureType.CADES])
    def test_an_expired_certificate_concerns_only_trust(
        self, monkeypatch: pytest.MonkeyPatch, kind: SignatureType
    ) -> None:
        root = Root(new_root())
        made = certificate._certificate

        def expired(*arguments: Any) -> Any:
            builder = made(*arguments)
            builder._not_valid_before, builder._not_valid_after = dt.datetime(2020, 1, 1), dt.datetime(2021, 1, 1)
            return builder

        monkeypatch.setattr(certificate, "_certificate", expired)
        content = {SignatureType.PADES: INVOICE.read_bytes(), SignatureType.XADES: XML}.get(kind, b"any bytes")
        content = SignatureMaker(root).sign(content, SignatureInfo(signature_type=kind))

        assert verify_file(content).problems == ()
        assert verify_file(content, trusted_roots=[certificate.pem(root.certificate)]).trusted is False

    @pytest.mark.parametrize("kind", [SignatureType.PADES, SignatureType.XADES, SignatureType.CADES])
    def test_urls_of_a_certificate_are_not_fetched(self, monkeypatch: pytest.MonkeyPatch, kind: SignatureType) -> None:
        root = Root(new_root())
        made = certificate._certificate
        with socket.create_server(("127.0.0.1", 0)) as authority:
            authority.setblocking(False)
            place = x509.UniformResourceIdentifier(f"http://127.0.0.1:{authority.getsockname()[1]}/list.crl")
            lists = x509.DistributionPoint([place], relative_name=None, reasons=None, crl_issuer=None)
            issuer = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)

            def referring(*arguments: Any) -> Any:
                return (
                    made(*arguments)
                    .add_extension(x509.CRLDistributionPoints([lists]), critical=False)
                    .add_extension(x509.AuthorityInformationAccess([issuer]), critical=False)
                )

            monkeypatch.setattr(certificate, "_certificate", referring)
            content = {SignatureType.PADES: INVOICE.read_bytes(), SignatureType.XADES: XML}.get(kind, b"any bytes")
            content = SignatureMaker(root).sign(content, SignatureInfo(signature_type=kind))

            assert verify_file(content, trusted_roots=[certificate.pem(root.certificate)]).trusted
            with pytest.raises(BlockingIOError):
                authority.accept()

    def test_tax_numbers_are_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        name = certificate._name

        def identified(common_name: str) -> x509.Name:
            numbers = [(NameOID.SERIAL_NUMBER, "TINPT-987654321"), (NameOID.ORGANIZATION_IDENTIFIER, "VATPT-123456789")]
            return x509.Name([*name(common_name), *(x509.NameAttribute(*number) for number in numbers)])

        monkeypatch.setattr(certificate, "_name", identified)
        content = SignatureMaker(Root(new_root())).sign(XML, SignatureInfo(signature_type=SignatureType.XADES))

        assert verify_file(content).identifiers == ("VATPT-123456789", "TINPT-987654321")


class TestDetached:
    async def test_a_detached_signature_is_valid(self, sandbox: Sandbox, tmp_path: Path) -> None:

        seal = Seal(Root(new_root()))
        made = await seal.signer.async_sign_general_data(b"any bytes", "sha256", detached=True, use_cades=True)
        (tmp_path / "a.bin").write_bytes(b"any bytes")

        async def problems(**options: Any) -> str:
            return "; ".join((await asyncio.to_thread(verify_file, made.dump(), **options)).problems)

        assert await problems(original=tmp_path / "a.bin") == ""
        assert "its digest differs" in await problems(original=b"any bites")
        assert "give the original" in await problems()


class TestInTheClient:
    def client(self, sandbox: Sandbox, **options: Any) -> SignStash:
        return SignStash(**sandbox.credentials, verify_signatures=True, **options)

    async def test_a_valid_document_is_returned(self, sandbox: Sandbox, tmp_path: Path) -> None:
        documents = [make() for make in KINDS.values()]
        async with self.client(sandbox) as client:
            batch = await client.sign_batch(documents, save_to=tmp_path)

        assert [outcome.error for outcome in batch.outcomes] == [None, None, None]
        assert len(list(tmp_path.iterdir())) == 3

    @pytest.fixture
    def forged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The sandbox signs, and then changes what it has signed."""
        real = SignatureMaker.sign
        monkeypatch.setattr(
            SignatureMaker,
            "sign",
            lambda self, content, info: real(self, content, info).replace(b"forge me", b"forged!!"),
        )

    def documents(self) -> list[Document]:
        return [Document.binary(text, name=f"{text[:5].decode()}.bin") for text in (b"leave me", b"forge me")]

    async def test_an_invalid_document_raises_and_is_kept_by_the_error(
        self, sandbox: Sandbox, forged: None, tmp_path: Path
    ) -> None:
        good, bad = self.documents()
        async with self.client(sandbox) as client:
            assert (await client.sign(good)).name == "leave.bin"
            with pytest.raises(SignatureInvalidError, match="the content was changed") as raised:
                await client.sign(bad, save_to=tmp_path)

        assert list(tmp_path.iterdir()) == []
        assert b"forged!!" in raised.value.signed.content
        assert raised.value.problems
        assert raised.value.verdict == "invalid"
        assert raised.value.maybe_processed
        assert raised.value.external_references == (raised.value.signed.external_reference,)

    async def test_an_invalid_document_of_a_run_is_held_and_others_are_saved(
        self, sandbox: Sandbox, forged: None, tmp_path: Path
    ) -> None:
        with Journal(tmp_path / "journal") as journal:
            async with self.client(sandbox) as client:
                run = client.sign_all(self.documents(), save_to=tmp_path / "signed", journal=journal)
                outcomes = {outcome.document.name: outcome async for outcome in run}
            (aside,) = journal.entries("held")

        assert outcomes["leave.bin"].ok
        assert isinstance(outcomes["forge.bin"].error, SignatureInvalidError)
        assert aside.name == "forge.bin"
        assert [path.name for path in (tmp_path / "signed").iterdir()] == ["leave.bin"]

    async def test_verification_is_off_by_default(self, sandbox_client: SignStash, forged: None) -> None:
        _, bad = self.documents()

        assert b"forged!!" in (await sandbox_client.sign(bad)).content

    async def test_a_missing_original_loses_no_signed_document(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = tmp_path / "a.bin"
        original.write_bytes(b"any bytes")

        def gone(*arguments: Any) -> Any:
            original.unlink()
            return read_batch(*arguments)

        monkeypatch.setattr("signstash._signing.signer.read_batch", gone)
        async with self.client(sandbox) as verifying:
            with pytest.raises(SignatureInvalidError, match="No such file") as raised:
                await verifying.sign(Document.binary(original))

        assert raised.value.signed.content
        assert raised.value.verdict == "indeterminate"

    async def test_verification_does_not_block_the_event_loop(
        self, sandbox: Sandbox, sandbox_client: SignStash, tmp_path: Path
    ) -> None:
        signed = await sandbox_client.sign(Document.xml(b"<a/>", name="a.xml"))
        root = tmp_path / "root.pem"
        os.mkfifo(root)  # whose reader waits until the loop writes into it

        found, _ = await asyncio.gather(
            signed.verify(trusted_roots=[root]), asyncio.to_thread(root.write_bytes, sandbox.root_certificate)
        )

        assert found.trusted

    def test_a_wrong_setting_is_named(self, sandbox: Sandbox) -> None:
        with pytest.raises(ConfigurationError, match="verify_signatures is 'yes', not True or False"):
            SignStash(**sandbox.credentials, verify_signatures="yes")  # type: ignore[arg-type]


class TestBadInput:
    @pytest.mark.parametrize("root", [b"nothing", "none.pem", INVOICE, b"-----BEGIN CERTIFICATE-----\n!"])
    def test_an_invalid_root_raises(self, root: Any) -> None:
        with pytest.raises(ConfigurationError, match="Give certificates in PEM or DER"):
            verify_file(INVOICE, trusted_roots=[root])

    async def test_verification_in_an_event_loop_raises(self) -> None:
        with pytest.raises(ConfigurationError, match=r"asyncio\.to_thread"):
            verify_file(INVOICE)

    @pytest.mark.parametrize("roots", ["root.pem", b"pem", None, 5])
    def test_a_value_other_than_roots_raises(self, roots: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"trusted_roots is .* Give a list"):
            verify_file(INVOICE, trusted_roots=roots)

    def test_a_missing_file_raises(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidDocumentError, match="cannot be read"):
            verify_file(tmp_path / "none.pdf")
        with pytest.raises(InvalidDocumentError, match="cannot be read"):
            verify_file(INVOICE, original=tmp_path / "none.pdf")


class TestMissingExtra:
    def test_the_missing_extra_is_named(self) -> None:
        ended = python(BARE + "import signstash.verification")

        assert "pip install 'signstash[verify]'" in ended.stderr

    def test_a_client_that_verifies_needs_the_extra(self) -> None:
        made = "signstash.SignStash('http://p.test', 'a', 's', environment='staging', verify_signatures=True)"

        ended = python(f"{BARE}\nimport signstash\n{made}")

        assert "ConfigurationError" in ended.stderr
        assert "pip install 'signstash[verify]'" in ended.stderr


def test_a_report_can_be_compared_and_shown() -> None:
    one = verify_file(INVOICE)

    assert one == verify_file(INVOICE)
    assert isinstance(one, Verification)
    assert "certificate" not in repr(one)

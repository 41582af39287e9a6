"""PDFs for the tests: signed by pyHanko, with revisions after it, and made by hand for what pyHanko does not make."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.fields import SigSeedSubFilter

from signstash.sandbox.certificate import Root, new_root
from signstash.sandbox.signatures.signer import Seal
from tests.conftest import INVOICE
from tests.verification.conftest import Judges

SEAL = Seal(Root(new_root()))
CERTIFICATE: Any = SEAL.signer.signing_cert
Revision = Callable[[IncrementalPdfFileWriter], None]


def name(text: str) -> Any:
    return generic.pdf_name(f"/{text}")


def numbers(*values: int) -> generic.ArrayObject:
    return generic.ArrayObject(map(generic.NumberObject, values))


def dictionary(**entries: Any) -> generic.DictionaryObject:
    return generic.DictionaryObject({name(key): value for key, value in entries.items()})


def _writer(pdf: bytes) -> IncrementalPdfFileWriter:
    writer = IncrementalPdfFileWriter(BytesIO(pdf), strict=False)
    if writer.prev.encrypted:
        writer.encrypt("")
    return writer


def sign(pdf: bytes, judges: Judges, field: str = "S", *, key: str = "rsa", box: Any = None, **options: Any) -> bytes:
    """Sign with pyHanko."""
    signer: Any = signers.SimpleSigner.load(str(judges.folder / f"{key}.key"), str(judges.folder / f"{key}.crt"))
    chosen: dict[str, Any] = {"md_algorithm": "sha256", "subfilter": SigSeedSubFilter.PADES} | options
    making = signers.PdfSigner(
        signers.PdfSignatureMetadata(field_name=field, **chosen),
        signer,
        new_field_spec=fields.SigFieldSpec(field, box=box) if box else None,
    )
    return bytes(asyncio.run(making.async_sign_pdf(_writer(pdf), bytes_reserved=8192)).getvalue())


def timestamped(pdf: bytes) -> bytes:
    """Add a document timestamp with pyHanko."""
    stamping = signers.PdfTimeStamper(SEAL.timestamper)
    return bytes(asyncio.run(stamping.async_timestamp_pdf(_writer(pdf), "sha256", None)).getvalue())


def updated(pdf: bytes, *revisions: Revision) -> bytes:
    """Add a revision for each function."""
    for change in revisions:
        writer, target = _writer(pdf), BytesIO()
        change(writer)
        writer.write(target)
        pdf = target.getvalue()
    return pdf


def _page(writer: Any) -> Any:
    return writer.root["/Pages"]["/Kids"][0]


def _annotate(writer: Any, annotation: Any) -> None:
    page = _page(writer)
    old = page["/Annots"] if "/Annots" in page else generic.ArrayObject()
    page[name("Annots")] = generic.ArrayObject([*(old.raw_get(i) for i in range(len(old))), annotation])
    writer.update_container(page)


def text_field(writer: Any) -> None:
    field = writer.add_object(dictionary(
        FT=name("Tx"), T=generic.pdf_string("note"), Type=name("Annot"), Subtype=name("Widget"), F=numbers(4)[0],
        Rect=numbers(50, 50, 200, 70), DA=generic.pdf_string("/Helv 0 Tf 0 g"),
    ))  # fmt: skip
    writer.root[name("AcroForm")] = writer.add_object(dictionary(Fields=generic.ArrayObject([field])))
    writer.update_root()
    _annotate(writer, field)


def fill(writer: Any) -> None:
    field = writer.root["/AcroForm"]["/Fields"][0]
    field[name("V")] = generic.pdf_string("filled")
    writer.update_container(field)


def annotation(writer: Any) -> None:
    square = dictionary(Type=name("Annot"), Subtype=name("Square"), Rect=numbers(60, 600, 300, 640))
    _annotate(writer, writer.add_object(square))


def page_content(writer: Any) -> None:
    page = _page(writer)
    bar = writer.add_object(generic.StreamObject(stream_data=b"q 1 0 0 rg 60 600 300 40 re f Q"))
    page[name("Contents")] = generic.ArrayObject([page.raw_get("/Contents"), bar])
    writer.update_container(page)


def media_box(writer: Any) -> None:
    page = _page(writer)
    page[name("MediaBox")] = numbers(0, 0, 100, 100)
    writer.update_container(page)


def new_page(writer: Any) -> None:
    pages = writer.root["/Pages"]
    page = dictionary(Type=name("Page"), Parent=writer.root.raw_get("/Pages"), MediaBox=numbers(0, 0, 9, 9))
    pages["/Kids"].append(writer.add_object(page))
    pages[name("Count")] = generic.NumberObject(len(pages["/Kids"]))
    writer.update_container(pages)
    writer.update_container(pages["/Kids"])


def font(writer: Any) -> None:
    """Overwrite what a page refers to, and not the page."""
    resources = _page(writer)["/Resources"]
    (key, *_) = resources["/Font"].keys()
    chosen = resources["/Font"][key]
    chosen[name("BaseFont")] = name("ZapfDingbats")
    writer.update_container(chosen)


def validation_data(writer: Any) -> None:
    """As iText and Adobe write it: extensions, VRI with dates, and entries of their own."""
    stream = writer.add_object(generic.StreamObject(stream_data=CERTIFICATE.dump()))
    one = dictionary(Cert=generic.ArrayObject([stream]), TU=generic.pdf_string("D:20260101000000Z"), CRL=numbers())
    store = dictionary(
        Type=name("DSS"), VRI=writer.add_object(generic.DictionaryObject({name("A" * 40): writer.add_object(one)})),
        Certs=writer.add_object(generic.ArrayObject([stream])), OCSPs=numbers(), Private=generic.pdf_string("x"),
    )  # fmt: skip
    writer.root[name("DSS")] = writer.add_object(store)
    level = dictionary(BaseVersion=name("1.7"), ExtensionLevel=generic.NumberObject(5))
    writer.root[name("Extensions")] = dictionary(ESIC=writer.add_object(level), ADBE=level)
    writer.root[name("Version")] = name("2.0")
    writer.update_root()


def direct_validation_data(writer: Any) -> None:
    stream = writer.add_object(generic.StreamObject(stream_data=CERTIFICATE.dump()))
    writer.root[name("DSS")] = dictionary(Certs=generic.ArrayObject([stream]))
    writer.update_root()


def metadata(writer: Any) -> None:
    data = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    stream = generic.StreamObject(dictionary(Type=name("Metadata"), Subtype=name("XML")), stream_data=data)
    writer.root[name("Metadata")] = writer.add_object(stream)
    writer.update_root()


def information(writer: Any) -> None:
    writer.set_info(dictionary(Producer=generic.pdf_string("another")))


def script(writer: Any) -> None:
    writer.root[name("OpenAction")] = dictionary(S=name("JavaScript"), JS=generic.pdf_string("app.alert(1)"))
    writer.update_root()


def unsigned_field(writer: Any) -> None:
    fields.append_signature_field(writer, fields.SigFieldSpec("Empty", box=(10, 10, 50, 50)))


def by_hand(value: Callable[[bytes], bytes], subfilter: str, more: bytes = b"", *, gap: bytes = b"") -> bytes:
    """A small PDF, signed by hand.

    Args:
        value: Makes the signature value from what is signed.
        subfilter: How it is encoded.
        more: More entries of the signature dictionary.
        gap: What else is left out of what is signed.
    """
    room = 12000
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [4 0 R] /SigFlags 3 >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Annots [4 0 R] >>",
        b"<< /Type /Annot /Subtype /Widget /FT /Sig /T (S) /Rect [0 0 0 0] /P 3 0 R /V 5 0 R >>",
        b"<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /%s %s /ByteRange [0 @@@@@@@@@@ @@@@@@@@@@ @@@@@@@@@@] "
        b"/Contents <%s>%s >>" % (subfilter.encode(), more, b"0" * room, gap),
    ]
    pdf, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    pdf += b"xref\n0 6\n0000000000 65535 f \n%strailer\n<< /Root 1 0 R /Size 6 >>\nstartxref\n%d\n%%%%EOF\n" % (
        table, len(pdf),
    )  # fmt: skip
    start = pdf.index(b"/Contents <") + len(b"/Contents ")
    end = start + room + 2 + len(gap)
    for number in (start, end, len(pdf) - end):
        pdf = re.sub(rb"@{10}", b"%-10d" % number, pdf, count=1)
    made = value(pdf[:start] + pdf[end:]).hex().encode()
    return pdf[: start + 1] + made.ljust(room, b"0") + pdf[start + 1 + room :]


INVOICE_PDF = INVOICE.read_bytes()

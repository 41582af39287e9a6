"""PDFs of every make, signed in one sandbox in random order: signed and valid, or rejected for a permanent reason.

The judges are pyHanko, poppler's pdfsig, and PDFium.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from PIL import Image, ImageChops
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from signstash import (
    ApiError,
    Document,
    DocumentNotSignedError,
    InvalidDocumentError,
    Outcome,
    SignStash,
    VisibleSignature,
)
from signstash.sandbox import Sandbox
from signstash.sandbox.signatures import CannotSignError
from signstash.sandbox.signatures.pdf_writer import without_preamble
from tests.conftest import require
from tests.sandbox.makes import SIGNABLE, UNSIGNABLE, document, encrypted, page_with
from tests.sandbox.test_signatures import trust

pytestmark = pytest.mark.sandbox

TURNED_OR_CROPPED = [
    "turned by 90", "turned by 180", "turned by 270", "turned by -90", "cropped", "cropped and turned",
    "MediaBox with an origin", "turned and cropped by inheritance", "CropBox beyond the MediaBox",
    "CropBox upside down",
]  # fmt: skip
SHOWN = VisibleSignature(page=1, x=30, y=40, size=(200, 50), text="Signed", background="#FFEE00")


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    """PDFs of every make, by name."""
    unsignable = {name: make() for name, (make, _) in UNSIGNABLE.items()}
    return {name: make() for name, make in SIGNABLE.items()} | unsignable


def pages(pdf: bytes) -> list[Image.Image]:
    """The pages as PDFium draws them, forms included."""
    with pypdfium2.PdfDocument(pdf) as opened:
        opened.init_forms()
        return [opened[number].render().to_pil().convert("RGB") for number in range(len(opened))]


def pdfsig(path: Path) -> str:
    command = [require("pdfsig"), "-nocert", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


async def assert_valid(signed: bytes, sandbox: Sandbox, path: Path) -> None:
    """Assert that pyHanko and pdfsig find the newest signature valid, and that it covers the whole file."""
    reader = PdfFileReader(BytesIO(signed), strict=False)
    if reader.encrypted:
        reader.decrypt("")
    *_, newest = reader.embedded_regular_signatures
    status = await async_validate_pdf_signature(newest, trust(sandbox.root_certificate))
    assert status.bottom_line
    assert status.coverage == SignatureCoverageLevel.ENTIRE_FILE
    path.write_bytes(signed)
    judged = await asyncio.to_thread(pdfsig, path)
    *_, last = judged.split("Signature #")
    assert "Total document signed" in last
    assert "Signature Validation: Signature is Valid." in last


async def sign_in_batches(client: SignStash, documents: Sequence[tuple[str, bytes]]) -> dict[str, Outcome]:
    outcomes = {}
    for start in range(0, len(documents), 7):
        batch = await client.sign_batch(
            [Document.pdf(content, name=name.replace("/", "")) for name, content in documents[start : start + 7]]
        )
        for (name, _), outcome in zip(documents[start : start + 7], batch.outcomes, strict=True):
            outcomes[name] = outcome
    return outcomes


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_make_is_signed_without_a_visible_change_or_rejected(
    seed: int, made: dict[str, bytes], tmp_path: Path, sandbox_client: SignStash, sandbox: Sandbox
) -> None:
    documents = list(made.items())
    random.Random(seed).shuffle(documents)

    outcomes = await sign_in_batches(sandbox_client, documents)
    again = await sign_in_batches(sandbox_client, [item for item in documents if item[0] in UNSIGNABLE])

    assert len(documents) > 40
    for name, content in documents:
        outcome = outcomes[name]
        if name in SIGNABLE:
            assert outcome.signed, (name, outcome.error)
            signed = outcome.signed.content
            await assert_valid(signed, sandbox, tmp_path / "signed.pdf")
            assert signed.startswith(content[content.index(b"%PDF-") :]), name
            assert pages(signed) == pages(content), name
        else:
            for error in (outcome.error, again[name].error):
                assert isinstance(error, DocumentNotSignedError), name
                assert not error.retryable, name
                assert not error.maybe_processed, name


def drawn_by_poppler(pdf: bytes, folder: Path) -> bytes:
    require("pdfsig")  # of the same package
    path = folder / "drawn.pdf"
    path.write_bytes(pdf)
    return subprocess.run(["pdftoppm", "-r", "50", str(path)], capture_output=True, check=True).stdout


async def test_values_of_a_form_without_appearances_stay_visible(sandbox_client: SignStash, tmp_path: Path) -> None:
    content = SIGNABLE["form without appearances"]()

    signed = await sandbox_client.sign(Document.pdf(content, name="a.pdf"))

    assert drawn_by_poppler(signed.content, tmp_path) == drawn_by_poppler(content, tmp_path)
    assert PdfFileReader(BytesIO(signed.content)).root["/AcroForm"]["/NeedAppearances"]


@pytest.mark.parametrize("name", UNSIGNABLE)
async def test_the_response_contains_the_reason(name: str, made: dict[str, bytes], sandbox_client: SignStash) -> None:
    batch = await sandbox_client.sign_batch([Document.pdf(made[name], name="a.pdf")])

    assert batch.operation.document_list
    (listed,) = batch.operation.document_list
    assert UNSIGNABLE[name][1] in listed["causeMessage"]
    assert not listed.sign_error


@pytest.mark.parametrize("preamble", [1019, 1020])
async def test_client_and_sandbox_accept_the_same_header_offset(preamble: int, sandbox_client: SignStash) -> None:
    content = b"x" * preamble + document()
    if preamble == 1019:
        assert (await sandbox_client.sign(Document.pdf(content, name="a.pdf"))).content.startswith(document())
    else:
        with pytest.raises(InvalidDocumentError):
            await sandbox_client.sign(Document.pdf(content, name="a.pdf"))
        with pytest.raises(CannotSignError):
            without_preamble(content)


@pytest.mark.parametrize("name", ["plain", *TURNED_OR_CROPPED])
async def test_a_visible_signature_is_placed_on_the_page_as_displayed(
    name: str, sandbox_client: SignStash, sandbox: Sandbox, tmp_path: Path
) -> None:
    content = SIGNABLE[name]()

    signed = await sandbox_client.sign(Document.pdf(content, name="a.pdf", visible_signature=SHOWN))

    await assert_valid(signed.content, sandbox, tmp_path / "signed.pdf")
    before, after = pages(content), pages(signed.content)
    assert after[1:] == before[1:]
    changed = ImageChops.difference(before[0], after[0]).getbbox()
    assert changed == pytest.approx((30, before[0].height - 90, 230, before[0].height - 40), abs=1)


@pytest.mark.parametrize("rotation", ["90", "180", "270"])
async def test_a_visible_signature_stands_upright_on_a_turned_page(rotation: str, sandbox_client: SignStash) -> None:
    drawn = []
    for content in (document(), page_with(Rotate=rotation)):
        signed = await sandbox_client.sign(Document.pdf(content, name="a.pdf", visible_signature=SHOWN))
        page = pages(signed.content)[0]
        drawn.append(page.crop((100, page.height - 90, 229, page.height - 41)))

    upright, turned = drawn
    difference = ImageChops.difference(upright, turned).convert("L")
    assert sum(value > 128 for value in difference.tobytes()) < 40  # but for the smoothing of edges


@pytest.mark.parametrize("name", ["plain", *TURNED_OR_CROPPED])
@pytest.mark.parametrize("place", [{"x": 800}, {"y": 800}, {"page": 3}], ids=str)
async def test_a_visible_signature_outside_its_page_is_rejected_with_its_code(
    name: str, place: dict[str, Any], sandbox_client: SignStash
) -> None:
    options: dict[str, Any] = {"page": 1, "x": 30, "y": 40, "size": (200, 50), "text": "Signed", **place}
    shown = VisibleSignature(**options)
    pdf = Document.pdf(
        SIGNABLE[name](), name="a.pdf", visible_signature=shown, external_reference=f"outside {name} {place}"
    )

    for _ in range(2):  # a rejected request leaves its references unused
        with pytest.raises(ApiError) as rejected:
            await sandbox_client.sign(pdf)
        assert rejected.value.error_code == "2.2.1"


async def test_a_visible_signature_outside_its_page_does_not_affect_other_documents(sandbox_client: SignStash) -> None:
    outside = VisibleSignature(page=1, x=800, y=40, text="Signed")
    documents = [
        Document.pdf(document(), name="good.pdf"),
        Document.pdf(document(), name="bad.pdf", visible_signature=outside),
    ]

    batch = await sandbox_client.sign_batch(documents)

    assert [outcome.ok for outcome in batch.outcomes] == [True, False]
    assert isinstance(batch.outcomes[1].error, DocumentNotSignedError)


async def test_documents_signed_after_a_message_authentication_code_are_signed(
    made: dict[str, bytes], sandbox_client: SignStash
) -> None:
    batch = await sandbox_client.sign_batch(
        [
            Document.pdf(made["code and password"], name="locked.pdf"),
            Document.pdf(made["message authentication code"], name="open.pdf"),
            Document.pdf(document(), name="plain.pdf"),
            Document.pdf(encrypted("256"), name="encrypted.pdf", timestamp=True),
            Document.binary(b"any", name="any.bin"),
        ]
    )

    assert [outcome.ok for outcome in batch.outcomes] == [False, True, True, True, True]

"""What `make demo` runs: signs the sample invoice against a sandbox, over HTTP, and validates the result."""

import asyncio
import sys
from pathlib import Path

from asn1crypto import pem, x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.status import PdfSignatureStatus
from pyhanko_certvalidator import ValidationContext

from signstash import Document, SignStash, VisibleSignature
from signstash.sandbox import Sandbox

PROJECT = Path(__file__).resolve().parents[1]
INVOICE = PROJECT / "tests" / "data" / "invoice.pdf"
SIGNED = PROJECT / "build" / "invoice.signed.pdf"
ROOT = PROJECT / "build" / "sandbox-root.pem"


async def validated(path: Path, root_certificate: bytes) -> PdfSignatureStatus:
    """What pyHanko says about the signature of a PDF."""
    root = x509.Certificate.load(pem.unarmor(root_certificate)[2])
    with path.open("rb") as file:
        (signature,) = PdfFileReader(file).embedded_signatures
        context = ValidationContext(trust_roots=[root], allow_fetching=False)
        return await async_validate_pdf_signature(signature, context)


async def main() -> int:
    """Run the demonstration; the exit status is 0 if the signature is valid."""
    SIGNED.parent.mkdir(exist_ok=True)
    async with Sandbox() as sandbox:
        print(f"Sandbox     {sandbox.base_url}")
        async with SignStash(
            sandbox.base_url, sandbox.client_id, sandbox.client_secret, token_url=sandbox.token_url
        ) as client:
            document = Document.pdf(
                INVOICE,
                reason="Invoice approval",
                location="Lisboa",
                visible_signature=VisibleSignature(
                    x=60, y=50, size=(200, 50), text="Signed by $certificate.getCommonName()"
                ),
            )
            signed = await client.sign(document, description="Invoice FT 2026/31")
            await signed.save(SIGNED, overwrite=True)
    print(f"Signed      {INVOICE.name}, {INVOICE.stat().st_size:,} bytes, as operation {signed.operation_id}")
    print(f"Reference   {signed.external_reference}")
    ROOT.write_bytes(sandbox.root_certificate)
    status = await validated(SIGNED, sandbox.root_certificate)
    print(f"Signer      {status.signing_cert.subject.native['common_name']}")
    print(f"Integrity   {'intact' if status.intact and status.valid else 'BROKEN'}")
    print(f"Coverage    {str(status.coverage and status.coverage.name).lower().replace('_', ' ')}")
    print(f"Result      {SIGNED.relative_to(PROJECT)}, {SIGNED.stat().st_size:,} bytes; open it in a PDF reader")
    return 0 if status.bottom_line else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""Signs a PDF with a client that was made from another definition: `regeneration.py` runs it beside that client."""

from __future__ import annotations

import asyncio
import base64
import re
import sys
from pathlib import Path
from typing import Any

from signstash import Document, SignStash
from signstash.models import (
    Base64Document,
    ContentType,
    SignatureInfo,
    SignatureType,
    SignDocumentBase64Document,
    SignRequestBase64Document,
)

PROJECT = Path(__file__).parent
INVOICE = PROJECT / "tests" / "data" / "invoice.pdf"
GUIDE = PROJECT / "src" / "signstash" / "definition.md"


async def sign(way: str, signed: Path, instance_url: str) -> None:
    """Sign it with the settings of the environment."""
    if way == "asynchronous":
        signed.write_bytes(await sign_asynchronously(instance_url))
        return
    async with SignStash.from_env(upload="multipart" if way == "multipart" else "base64") as client:
        signed.write_bytes((await client.sign(Document.pdf(INVOICE))).content)


async def sign_asynchronously(instance_url: str) -> bytes:
    """Sign it as the guide does."""
    (program,) = re.findall(r"```python\n(# Names depend.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)
    request = SignRequestBase64Document(
        external_reference="request-1",
        description="An invoice",
        documents=[
            SignDocumentBase64Document(
                Base64Document(
                    external_reference="document-1",
                    name="invoice.pdf",
                    content_type=ContentType.APPLICATIONPDF,
                    base_64_content=base64.b64encode(INVOICE.read_bytes()).decode(),
                ),
                SignatureInfo(signature_type=SignatureType.PADES),
            )
        ],
        return_signed_content=True,
    )
    result = await names["sign_asynchronously"](request, [instance_url])
    return base64.b64decode(result.document_list[0].signed_content)


if __name__ == "__main__":
    asyncio.run(sign(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))

"""Signs a PDF with a client that was made from another definition: `regeneration.py` runs it beside that client."""

from __future__ import annotations

import asyncio
import base64
import importlib
import sys
from pathlib import Path

from signstash import Document, SignStash
from signstash.models import (
    Base64Document,
    ContentType,
    SignatureInfo,
    SignatureType,
    SignDocumentBase64Document,
    SignRequestBase64Document,
)

INVOICE = Path(__file__).with_name("tests") / "data" / "invoice.pdf"


async def sign(way: str, signed: Path, base_url: str, token_url: str, client_id: str, client_secret: str) -> None:
    """Sign it."""
    async with SignStash(
        base_url,
        client_id,
        client_secret,
        token_url=token_url,
        upload="multipart" if way == "multipart" else "base64",
        instance_urls=[base_url],
    ) as client:
        if way == "asynchronous":
            signed.write_bytes(await sign_asynchronously(client, base_url))
        else:
            signed.write_bytes((await client.sign(Document.pdf(INVOICE))).content)


async def sign_asynchronously(client: SignStash, base_url: str) -> bytes:
    """Start, ask until it is done, and fetch the result from the instance that took the document."""
    api = importlib.import_module("signstash.api")  # its names are those of the definition
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
    started = await api.start_sign.asyncio(client=client.generated, body=request)
    path = "/signstash" + base_url.partition("/signstash")[2]
    instance = client.at(f"http://{started.host}:{started.port}{path}").generated
    for _ in range(100):
        (operation,) = await api.status_by_external_reference.asyncio("request-1", client=instance)
        if operation.status == "FINISHED":
            break
        await asyncio.sleep(0.05)
    result = await api.result_by_external_reference.asyncio("request-1", client=instance)
    return base64.b64decode(result.document_list[0].signed_content)


if __name__ == "__main__":
    asyncio.run(sign(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))

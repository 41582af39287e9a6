"""Signs a PDF with a client that was made from another definition: `regeneration.py` runs it beside that client."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from signstash import Document, SignStash

INVOICE = Path(__file__).with_name("tests") / "data" / "invoice.pdf"


async def sign(way: str, signed: Path, base_url: str, token_url: str, client_id: str, client_secret: str) -> None:
    """Sign it."""
    async with SignStash(
        base_url,
        client_id,
        client_secret,
        token_url=token_url,
        upload="multipart" if way == "multipart" else "base64",
    ) as client:
        await client.sign(Document.pdf(INVOICE), save_to=signed)


if __name__ == "__main__":
    asyncio.run(sign(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))

"""The sandbox under load: how many documents it signs in a second, and how soon it is there.

    python -m tests.benchmarks.sandbox [--documents 200] [--bytes 200000]

It runs in a process of its own, and the SDK's `sign_all` sends it PDFs as a month-end run would. The goal: 25 documents
of 200 KB a second on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import multiprocessing
import os
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from signstash import Document, SignStash
from signstash.sandbox import Sandbox
from signstash.settings import Credentials


def pdf(size: int) -> bytes:
    """A PDF of about this many bytes, which compression does not make smaller."""
    side = max(1, int((size / 3.75) ** 0.5))
    file = io.BytesIO()
    canvas = Canvas(file)
    canvas.drawImage(ImageReader(Image.frombytes("RGB", (side, side), os.urandom(side * side * 3))), 60, 400)
    canvas.drawString(60, 700, "Invoice")
    canvas.save()
    return file.getvalue()


def _serve(ready: Connection) -> None:
    began = time.perf_counter()
    with Sandbox() as sandbox:
        ready.send((time.perf_counter() - began, sandbox.credentials))
        with contextlib.suppress(EOFError):
            ready.recv()


async def _sign(credentials: Credentials, content: bytes, documents: int) -> float:
    async with SignStash(**credentials) as client:
        await client.sign(Document.pdf(content, name="first.pdf"))
        began = time.perf_counter()
        given = (Document.pdf(content, name=f"{number}.pdf") for number in range(documents))
        async for outcome in client.sign_all(given):
            assert outcome.ok, outcome.error
        return time.perf_counter() - began


def rows(documents: int, size: int) -> Iterator[str]:
    """What was measured, a line for each."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    started, credentials = ours.recv()
    content = pdf(size)
    yield f"sandbox started in {started * 1000:.0f} ms"
    try:
        seconds = asyncio.run(_sign(credentials, content, documents))
    finally:
        ours.send(None)
        process.join()
    yield f"{documents} PDFs of {len(content):,} bytes signed in {seconds:.2f} s: {documents / seconds:.1f} a second"


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--bytes", type=int, default=200_000)
    arguments = parser.parse_args()
    for row in rows(arguments.documents, arguments.bytes):
        print(row, flush=True)  # noqa: T201 - it is for people


if __name__ == "__main__":
    main()

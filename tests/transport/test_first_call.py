"""The first call of a process: nothing that it needs is loaded in the event loop, which it would hold for long."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, sys, tempfile, threading
from signstash import Document, SignStash

RESPONSE = (
    b'{"access_token": "t", "token_type": "bearer", "expires_in": 60, "id": 1, "documentList": [{"externalReference": '
    b'"r", "signStatus": "SIGNED", "signedContent": "JVBERi0=", "deliveryInfo": {}, "folder": {}, "cipher": {}}]}'
)

class Finder:
    loaded = []

    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            self.loaded.append(name)

async def respond(reader, writer):
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
    writer.write(b"HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(RESPONSE) + RESPONSE)
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with SignStash(url, "alias", "secret", token_url=url) as client:
        sys.meta_path.insert(0, Finder())
        document = Document.pdf(b"%PDF-1.7", name="a.pdf", external_reference="r")
        with tempfile.TemporaryDirectory() as folder:
            print((await client.sign(document, save_to=folder)).saved_as)

asyncio.run(main())
print(*Finder.loaded)
"""


def test_nothing_that_the_first_call_needs_is_loaded_in_the_event_loop() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)

    saved_as, loaded = run.stdout.splitlines()
    assert saved_as.endswith("a.pdf"), run.stderr
    ours = {"signstash", "httpx", "httpcore", "h11", "anyio"}
    assert [name for name in loaded.split() if name.partition(".")[0] in ours] == []

"""Base64 at memory speed with pybase64 (extra `speed`), and with the standard library otherwise.

Both decoders accept the same, and raise `ValueError` for everything else: letters of the standard alphabet in groups of
four, padding only where it belongs.
"""

from __future__ import annotations

import binascii

try:
    import pybase64
except ImportError:

    def encode_base64(block: bytes) -> bytes:
        return binascii.b2a_base64(block, newline=False)

    def decode_base64(text: bytes | memoryview) -> bytes:
        return binascii.a2b_base64(text, strict_mode=True)

else:

    def encode_base64(block: bytes) -> bytes:
        encoded: bytes = pybase64.b64encode(block)
        return encoded

    def decode_base64(text: bytes | memoryview) -> bytes:
        decoded: bytes = pybase64.b64decode(text, validate=True)
        return decoded

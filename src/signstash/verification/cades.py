"""CAdES signatures: a CMS message that contains what it signs, or is a file of its own."""

from __future__ import annotations

import binascii
import io
import re
from typing import Final

from .._content.contents import Contents
from .algorithms import Content, digest_of_blocks
from .cms import judge_signers
from .cms_message import parse
from .report import Findings, NotJudgedError
from .signed_file import SignedFile, blocks, length_of_original, limit_size

MAX_BYTES: Final = 128 * 1024 * 1024
"""Bytes that a CMS message may have; it is held in memory."""

ARMOUR: Final = re.compile(rb"^(?:\xef\xbb\xbf)?-----BEGIN ([A-Z0-9 #]{1,40})-----[ \t]*\r?$", re.MULTILINE)
_LABELS: Final = (b"CMS", b"PKCS7", b"PKCS #7 SIGNED DATA")


def verify_cms(signed: SignedFile, findings: Findings) -> None:
    """Judge a CMS signature in DER, BER or PEM, attached or detached."""
    limit_size(signed.size, MAX_BYTES, "CMS signatures are")
    encoded = signed.file.read()
    # A message in DER may hold text that looks like an armour.
    armour = None if encoded[:1] == b"\x30" else ARMOUR.search(encoded)
    if armour is not None:
        encoded = _unarmoured(encoded, armour, findings)
    data = parse(encoded)
    after = encoded[data.length :]
    if after.strip(b"\r\n"):
        findings.indeterminate(f"{len(after)} bytes follow the signature and are not signed")
    if not data.signers:
        findings.invalid("it holds no signature")
        return
    original = signed.original
    if data.content is not None:
        content = Content.of(data.content)
    elif original is not None:
        content = Content(lambda name: _digest(original, name), name="the original is another file, or")
    else:
        raise NotJudgedError("it does not hold what it signs: give the original")
    found = Findings("the signature")
    judge_signers(data, content, signed.roots, found)
    findings.include(found)
    held = data.content
    if held is not None and original is not None and length_of_original(io.BytesIO(held), original) != len(held):
        findings.invalid("it does not hold what was sent")


def _unarmoured(text: bytes, armour: re.Match[bytes], findings: Findings) -> bytes:
    label = armour[1]
    if label not in _LABELS:
        raise NotJudgedError(f"its armour is of type {label.decode()}, not CMS")
    end = text.find(b"-----END " + label + b"-----", armour.end())
    if end < 0:
        raise NotJudgedError("its armour has no end")
    for place, around in (("before", text[: armour.start()]), ("after", text[end + len(label) + 14 :])):
        if around.strip():
            findings.invalid(f"text {place} the armour is not signed")
    body = text[armour.end() : end]
    headers, separator, rest = body.strip().partition(b"\n\n")
    if separator and b":" in headers:
        body = rest
    try:
        return binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
    except binascii.Error as error:
        raise NotJudgedError(f"its armour is not base64 ({error})") from error


def _digest(original: Contents, name: str) -> bytes:
    with original.opened() as opened:
        return digest_of_blocks(name, blocks(opened))

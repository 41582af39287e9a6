"""CAdES signatures: a CMS message that contains what it signs, or is a file of its own."""

from __future__ import annotations

import binascii
import re
from typing import BinaryIO, Final

from asn1crypto import x509

from .._content.contents import Contents
from .algorithms import new_digest
from .cms import Content, judge_signers, parse
from .report import Findings, NotJudgedError

MAX_BYTES: Final = 128 * 1024 * 1024
"""Bytes that a CMS message may have; it is held in memory."""

ARMOUR: Final = re.compile(rb"^(?:\xef\xbb\xbf)?-----BEGIN ([A-Z0-9 #]{1,40})-----[ \t]*\r?$", re.MULTILINE)
_LABELS: Final = (b"CMS", b"PKCS7", b"PKCS #7 SIGNED DATA")
_BLOCK: Final = 1024 * 1024


def verify_cms(
    file: BinaryIO, size: int, original: Contents | None, roots: list[x509.Certificate], findings: Findings
) -> None:
    """Judge a CMS signature, attached or detached.

    Args:
        file: The signature, in DER, BER or PEM.
        size: Its length in bytes.
        original: What was signed, if it is known.
        roots: Trusted certificates.
        findings: Takes the result.

    Raises:
        NotJudgedError: If it cannot be judged.
    """
    if size > MAX_BYTES:
        raise NotJudgedError(f"it has {size} bytes; CMS signatures are judged up to {MAX_BYTES}")
    encoded = file.read()
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
    if data.content is None and original is None:
        raise NotJudgedError("it does not hold what it signs: give the original")
    if data.content is None and original is not None:
        content = Content(lambda name: _digest(original, name), name="the original is another file, or")
    else:
        content = Content.of(data.content or b"")
    judge_signers(data, content, roots, "the signature", findings)
    if data.content is not None and original is not None and not _same(data.content, original):
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
    made = new_digest(name)
    with original.opened() as opened:
        while block := opened.read(_BLOCK):
            made.update(block)
    return made.digest()


def _same(content: bytes, original: Contents) -> bool:
    place = 0
    with original.opened() as opened:
        while block := opened.read(_BLOCK):
            if content[place : place + len(block)] != block:
                return False
            place += len(block)
    return place == len(content)

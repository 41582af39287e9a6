"""CAdES: any bytes, inside a CMS signature."""

from __future__ import annotations

import asyncio

from ...models import SignatureInfo
from .signer import Seal


def sign_bytes(content: bytes, info: SignatureInfo, seal: Seal) -> bytes:
    """The signature, with the content in it."""
    timestamper = seal.timestamper if info.apply_timestamp else None
    made = seal.signer.async_sign_general_data(
        content, "sha256", detached=False, use_cades=True, timestamper=timestamper
    )
    return bytes(asyncio.run(made).dump())

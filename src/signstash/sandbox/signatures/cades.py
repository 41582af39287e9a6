"""CAdES: content of any kind, enclosed in a CMS signature."""

from __future__ import annotations

import asyncio

from ...models import SignatureInfo
from .signer import Seal


def sign_bytes(content: bytes, info: SignatureInfo, seal: Seal) -> bytes:
    """Sign content and return the CMS message that encloses it."""
    timestamper = seal.timestamper if info.apply_timestamp else None
    message = seal.signer.async_sign_general_data(
        content, "sha256", detached=False, use_cades=True, timestamper=timestamper
    )
    return bytes(asyncio.run(message).dump())

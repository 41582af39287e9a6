"""The short form of `make prove-source`: nothing is waited for."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

from signstash.testing import MockSignStash
from tests.proofs.waiting_source import prove


@pytest.mark.skipif(sys.platform != "linux", reason="memory and descriptors are read from /proc")
async def test_every_document_of_a_queue_is_signed_once(signstash_mock: MockSignStash, tmp_path: Path) -> None:
    proof, _ = await prove(
        signstash_mock.client, 500, folder=tmp_path, chance=random.Random(1), pause=lambda _: asyncio.sleep(0)
    )

    sent = [document.name for request in signstash_mock.sign_requests for document in request.documents]
    assert len(proof.latencies) == len(sent) == len(set(sent)) == 500

"""The short form of `make soak`."""

from __future__ import annotations

import sys

import pytest

from tests.proofs.soak import soak


@pytest.mark.sandbox
@pytest.mark.skipif(sys.platform != "linux", reason="memory and descriptors are read from /proc")
async def test_a_short_soak_test_passes() -> None:
    figures = await soak(3, more_memory=16)  # in so short a time much of it is warming up

    assert figures.faults > 0
    assert figures.signed > figures.held + figures.failed

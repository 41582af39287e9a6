"""The short form of `make prove-kills` with `batching`; that of a run stands beside the other faults of runs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from signstash.sandbox import Sandbox
from tests.proofs.kills import Proof


@pytest.mark.sandbox
def test_killed_callers_lose_nothing_and_sign_nothing_twice(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        Proof(tmp_path, sandbox, 60, random.Random(7), "batching").prove(5)

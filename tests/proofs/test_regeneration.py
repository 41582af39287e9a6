"""A client from a definition with an asynchronous mode signs in every way that it offers."""

from __future__ import annotations

import pytest

from signstash.sandbox import Sandbox
from tests.conftest import require
from tests.proofs.regeneration import DEFINITIONS, prove_signing


@pytest.mark.own_definition
def test_a_client_of_another_definition_signs(capsys: pytest.CaptureFixture[str]) -> None:
    require("pdfsig")
    (definition,) = (path for path in DEFINITIONS if path.name.startswith("06"))

    with Sandbox(asynchronous=True) as sandbox:
        prove_signing(definition, sandbox)

    assert [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "base64",
        "multipart",
        "asynchronous",
    ]

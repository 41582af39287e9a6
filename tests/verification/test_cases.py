"""Sample files, each with its verdict and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from signstash.verification import Verdict, verify_file

CASES = Path(__file__).parent / "cases"
TABLE = [
    ("plain.pdf", Verdict.VALID, "every signature holds"),
    ("plain.xml", Verdict.VALID, "every signature holds"),
    ("nested-armour-changed.p7m", Verdict.INVALID, "the content was changed after the signature was made"),
    ("changed-between-signatures.pdf", Verdict.INVALID, "signature Signature1 does not allow what was added later"),
    ("changed-after-signing.pdf", Verdict.INVALID, "signature Signature1 does not allow what was added later"),
    ("instruction-before-root.xml", Verdict.INVALID, "the document was changed after the signature was made"),
    ("unsigned-object.xml", Verdict.INVALID, "not all of it is signed: Object"),
    ("doctype-default-attribute.xml", Verdict.INDETERMINATE, "it has a DOCTYPE"),
    ("cades-of-pdf.p7m", Verdict.VALID, "every signature holds"),
    ("cades-of-armoured-text.p7m", Verdict.VALID, "every signature holds"),
    ("root-with-id.xml", Verdict.VALID, "every signature holds"),
    ("xpath-transform.xml", Verdict.VALID, "every signature holds"),
    ("xpath-filter-2-transform.xml", Verdict.VALID, "every signature holds"),
    ("rsa-pss.xml", Verdict.VALID, "every signature holds"),
    ("validation-data-added.pdf", Verdict.VALID, "every signature holds"),
    ("owner-password.pdf", Verdict.VALID, "every signature holds"),
]


def test_the_table_lists_every_case() -> None:
    assert {name for name, _, _ in TABLE} == {path.name for path in CASES.iterdir()}


@pytest.mark.parametrize(("name", "verdict", "reason"), TABLE)
def test_a_case_has_its_verdict_and_reason(
    name: str, verdict: Verdict, reason: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    found = verify_file(CASES / name)

    assert (found.verdict, found.ok) == (verdict, verdict is Verdict.VALID)
    assert reason in found.reason
    assert found.signature_type == {".pdf": "PAdES", ".xml": "XAdES", ".p7m": "CAdES"}[Path(name).suffix]
    assert (caplog.records, capfd.readouterr()) == ([], ("", ""))


@pytest.mark.parametrize("name", [name for name, _, _ in TABLE])
def test_an_empty_original_is_a_mismatch(name: str) -> None:
    assert not verify_file(CASES / name, original=b"").ok

"""The benchmarks run and measure something; how much is for people to judge."""

from __future__ import annotations

from tests.benchmarks import auth


def test_auth() -> None:
    rows = list(auth.rows(rounds=2, calls=3))

    assert len(rows) == 3
    for row in rows:
        assert len(row.ratios) == 2
        assert min(row.ratios) > 0
        assert row.name in str(row)
        assert " ms per call" in str(row)

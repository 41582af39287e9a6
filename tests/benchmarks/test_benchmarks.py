"""The benchmarks run and measure something; how much is for people to judge."""

from __future__ import annotations

import pytest

from tests.benchmarks import auth, batching, payloads, runs, sandbox, volume


def test_auth() -> None:
    rows = list(auth.rows(rounds=2, calls=3))

    assert len(rows) == 3
    for row in rows:
        assert len(row.ratios) == 2
        assert min(row.ratios) > 0
        assert row.name in str(row)
        assert " ms per call" in str(row)


def test_runs() -> None:
    rows = list(runs.rows(documents=60, fixed=0.0, each=0.0, many=(10, 20), rounds=1))

    assert len(rows) == 1 + 3 + 2
    assert "sign_all is" in rows[1]
    assert "MiB" in rows[-1]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's, of the program by hand
def test_payloads() -> None:
    rows = list(payloads.rows(rounds=1, requests=1, large=2, megabytes=3))

    assert len(rows) == 1 + 2 + 12 + 3
    ratios = {row.partition(";")[0]: float(row.partition("needs ")[2].split()[0]) for row in rows[1:-3]}
    assert len(ratios) == 14
    assert max(ratios.values()) < 15, "a gross regression"  # of one round, beside other tests
    peaks = [float(row.partition("peak")[2].split()[0]) for row in rows[-3:]]
    assert max(peaks[:2]) < 30, "what is signed from disk to disk does not stay in memory"
    assert peaks[2] > 12


def test_sandbox() -> None:
    started, signed = sandbox.rows(documents=2, size=20_000)

    assert started.startswith("sandbox started in ")
    assert signed.startswith("2 PDFs of ")


def test_batching() -> None:
    rows = list(batching.rows(callers=20, fixed=0.0, each=0.0, calls=2))

    assert len(rows) == 4
    assert "times the throughput" in rows[2]
    assert "lonely call" in rows[3]


def test_volume() -> None:
    rows = list(volume.rows(documents=60, large=3))

    assert len(rows) == 2 * 3 + 3
    assert all("documents/s" in row for row in rows[:6])
    assert all(row.startswith("limit: ") for row in rows[6:])

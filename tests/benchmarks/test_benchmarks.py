"""The benchmarks run and measure something; how much is for people to judge."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from tests.benchmarks import auth, batching, payloads, runs, sandbox, table, volume
from tests.benchmarks.processes import stub


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
    assert all("signstash needs" in row for row in rows[1:-3])
    peaks = [float(row.partition("peak")[2].split()[0]) for row in rows[-3:]]
    assert max(peaks[:2]) < 30, "what is signed from disk to disk does not stay in memory"
    assert peaks[2] > 12


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize(
    ("count", "size", "peer"), [(1, 20_000, "httpx"), (1, 20_000, "with care"), (10, 200_000, "with care")]
)
def test_no_gross_regression(count: int, size: int, peer: str) -> None:
    """In the best of several rounds, so that it holds beside other tests, too."""
    with stub(payloads.serve) as url, payloads.work(url, count=count, size=size) as given:
        if peer == "httpx":  # which does not sync what it saves
            given = attrs.evolve(given, contents=[path.read_bytes() for path in given.paths])
        times = asyncio.run(payloads.cpu_times(given, rounds=7, requests=10 // count))

    assert min(times["signstash"]) < 2.5 * min(times[peer])


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
def test_table() -> None:
    limit, _, *rows = table.rows(rounds=1, requests=1, documents=60)

    assert limit.startswith("limit: ")
    assert [row.count("|") for row in rows] == [5] * 6 + [0] * 5
    assert all("limit: " in row for row in rows[6:])


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

    assert len(rows) == 1 + 2 * 4
    assert sum("documents/s" in row for row in rows) == 2 * 3
    assert sum("limit: " in row for row in rows) == 3

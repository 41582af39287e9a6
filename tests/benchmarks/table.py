"""What signing costs, in CPU time of the whole process, beside programs over httpx that do the same; as Markdown.

    python -m tests.benchmarks.table [--rounds 7] [--documents 2000]

`payloads` and `volume` describe the programs and say more about each kind of work. The programs take turns, and the
ratio is the median of the rounds' ratios, so that both see the same weather. Below each row is where the limit is.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Iterator, Mapping, Sequence

import attrs

from tests.benchmarks.limits import Limits
from tests.benchmarks.payloads import cpu_times, import_times, secure_stub, serve, work
from tests.benchmarks.processes import stub
from tests.benchmarks.runs import serve as serve_runs
from tests.benchmarks.volume import measured

HEAD = """
| CPU time | signstash | the same care over httpx | lean over httpx |
| --- | --- | --- | --- |
"""


def rows(*, rounds: int, requests: int, documents: int) -> Iterator[str]:
    """Measure, and say so in lines."""
    limits = Limits.measured()
    yield str(limits)
    yield HEAD.strip()
    notes: list[str] = []
    with stub(serve) as plain, secure_stub() as secure:
        for count, size, saved, url in (
            (50, 200_000, True, plain),
            (1, 20_000, True, plain),
            (1, 20_000, False, plain),
            (1, 20_000, False, secure),
        ):
            with work(url, count=count, size=size) as given:
                if not saved:
                    given = attrs.evolve(given, contents=[path.read_bytes() for path in given.paths])
                times = asyncio.run(cpu_times(given, rounds=rounds, requests=requests * 50 // count))
            name = f"{count} x {size // 1000} KB, {'disk to disk' if saved else 'in memory'}"
            name += ", TLS" if url is secure else ""
            yield _row(name, times, "with care" if saved else None, "httpx")
            notes.append(f"{name}: {limits.of(count, size, syncs=(count + 1) * saved)}")
    with stub(serve_runs, 0.0, 0.0) as url:
        runs: dict[str, list[float]] = {"sign_all": [], "with care": []}
        for _ in range(rounds):
            for program, taken in runs.items():
                taken.append(1000 * measured(program, url, documents, 2_000)[1] / documents)
    name = "a document of 2 KB, `sign_all` with journal"
    yield _row(name, {"signstash": runs["sign_all"], **runs}, "with care", None)
    notes.append(f"{name}: {limits.of(1, 2_000, syncs=1)}")
    yield _row("import", import_times(rounds), None, "httpx")
    yield from notes


def _row(name: str, times: Mapping[str, Sequence[float]], *peers: str | None) -> str:
    cells = [f"{statistics.median(times['signstash']):.2f} ms"]
    for peer in peers:
        ratios = [ours / theirs for ours, theirs in zip(times["signstash"], times[peer], strict=True)] if peer else []
        cells.append(f"{statistics.median(times[peer]):.2f} ms ({statistics.median(ratios):.2f})" if peer else "")
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Print the rows."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--documents", type=int, default=2000, help="documents of a run")
    given = arguments.parse_args()
    for row in rows(rounds=given.rounds, requests=5, documents=given.documents):
        print(row, flush=True)  # noqa: T201 - it is for people


if __name__ == "__main__":
    main()

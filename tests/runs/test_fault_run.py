"""Runs against a service that fails in every way, and a process that is killed: the books balance."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signstash import (
    Document,
    DuplicateReferenceError,
    Journal,
    Outcome,
    OutcomeUnknownError,
    RetryPolicy,
    SignedDocument,
    SignStash,
    SignStashError,
    TokenAuth,
)
from signstash.journal import Entry
from signstash.sandbox import Fault, Sandbox
from tests.conftest import BASE64_PATH
from tests.proofs.kills import Proof

pytestmark = pytest.mark.sandbox

DOCUMENTS = int(os.environ.get("SIGNSTASH_FAULT_DOCUMENTS", "160"))
FAULTS = ("429", "500", "503", "lost before", "lost after", "token refused", "early 401", "slow")
INTRUDER = """
import sys
from signstash import ConfigurationError, Journal
for _ in sys.stdin:
    try:
        Journal(sys.argv[1]).close()
    except ConfigurationError as error:
        print("kept out" if "is in use" in str(error) else error, flush=True)
    else:
        print("got in", flush=True)
"""
LONG = bytes(3_000_000)
"""What some documents begin with, so that their requests are rejected while they are still being sent."""
FAILING = Fault("TIMESTAMP_SIGN_ERROR", share=0.02)
AT_ONCE = RetryPolicy(attempts=6, first_bound=0.001, longest_bound=0.001, deadline=1000)


class Faulty:
    """Lets about one signing request in ten fail in each way."""

    def __init__(self, application: ASGIApp, chance: random.Random) -> None:
        self.application = application
        self.chance = chance
        self.injected: Counter[str] = Counter()
        self.uses: Counter[bytes] = Counter()
        self.deck: list[str] = []

    def drawn(self) -> str:
        """The next fault: each of them once, in a random order, and then again."""
        self.deck = self.deck or self.chance.sample((*FAULTS, "", ""), k=len(FAULTS) + 2)
        return self.deck.pop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith(BASE64_PATH):
            return await self.application(scope, receive, send)
        headers = dict(scope["headers"])
        is_long = int(headers[b"content-length"]) > len(LONG)
        fault = self.chance.choice(("early 401", "")) if is_long else self.drawn()
        token = headers.get(b"authorization", b"")
        self.uses[token] += 1
        if fault in ("token refused", "early 401") and self.uses[token] < 5:
            # Whatever was refused with an older token comes again at once, and must not be refused again.
            self.deck.insert(0, fault)
            fault = ""
        if not fault:
            return await self.application(scope, receive, send)
        self.injected[fault] += 1
        if fault == "slow":
            await asyncio.sleep(0.01)
            return await self.application(scope, receive, send)
        while fault != "early 401" and (await receive()).get("more_body"):
            pass
        answers: dict[str, tuple[int, bytes]] = {
            "429": (429, b""),
            "500": (500, b'{"errorCode": "0.0.1"}'),
            "503": (503, b"<html>Service Unavailable</html>"),
            "token refused": (409, b'{"errorCode": "0.0.10"}'),
            "early 401": (401, b""),
        }
        status, body = answers.get(fault, (200, b""))
        length = len(body) if fault in answers else 100_000  # more than comes, so the connection breaks
        sent = [(b"content-length", b"%d" % length), (b"retry-after", b"0")]
        if fault == "early 401":  # whoever still sends gets a reset
            sent.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": sent})
        return await send({"type": "http.response.body", "body": body})


class LostAfter(Faulty):
    """Lets one in ten be processed and loses the answer; the rest is done by the class that it wraps."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lose = scope["type"] == "http" and scope["path"].endswith(BASE64_PATH) and self.chance.random() < 0.1

        async def lossy(message: Message) -> None:
            if lose and message["type"] == "http.response.start":
                self.injected["lost after"] += 1
                message["headers"] = [(b"content-length", b"100000")]
                message["status"] = 200
            if lose and message["type"] == "http.response.body":
                message["body"] = b"{"
            await send(message)

        await self.application(scope, receive, lossy)


@pytest.fixture(params=[False, True], ids=["references are used up", "references are freed"])
async def faulty(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Sandbox, Counter[str]]]:
    sandbox = Sandbox(reuse_failed_references=request.param)
    config = sandbox._server.config
    # It complains about each answer that is cut short.
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "disabled", True)
    chance = random.Random(20261123)
    before = Faulty(config.app, chance)  # type: ignore[arg-type]
    after = LostAfter(before, chance)
    before.injected = after.injected
    config.app = after
    async with sandbox:
        yield sandbox, after.injected


async def test_every_document_is_accounted_for_whatever_fails(faulty: tuple[Sandbox, Counter[str]]) -> None:
    sandbox, injected = faulty
    sandbox.faults.add(FAILING)
    names: list[str] = []
    auth = TokenAuth(
        sandbox.token_url,
        sandbox.client_id,
        sandbox.client_secret,
        base_urls=[sandbox.base_url],
        clock=lambda: 100 * time.monotonic(),  # so that tokens get old enough to be replaced after a reset
    )
    outcomes: dict[str, Any] = {}
    async with SignStash(sandbox.base_url, auth=auth, retries=AT_ONCE) as client:
        while set(injected) != set(FAULTS):  # which the documents that come first may not all meet
            more = [f"{number}.bin" for number in range(len(names), len(names) + DOCUMENTS)]
            documents = [
                Document.binary(LONG + name.encode() if number % 20 == 0 else name.encode(), name=name)
                for number, name in enumerate(more)
            ]
            while left := [document for document in documents if document.name not in outcomes]:
                run = client.sign_all(left, batch_documents=8, in_flight=3, unknown_outcomes="send_again")
                with contextlib.suppress(SignStashError):  # so many requests in a row failed that it ended
                    async for outcome in run:
                        assert outcome.document.name not in outcomes
                        outcomes[outcome.document.name] = outcome
            names += more
    await auth.aclose()

    assert sorted(outcomes) == sorted(names)
    assert max(sandbox.signatures.values()) == 1, "none is signed twice"
    for name, outcome in outcomes.items():
        if outcome.signed is not None:
            assert name.encode() in outcome.signed.content
            assert sandbox.signatures[name] == 1
        elif isinstance(outcome.error.__cause__, DuplicateReferenceError):
            assert isinstance(outcome.error, OutcomeUnknownError), "a failed request may have used its reference up"
        elif not outcome.error.maybe_processed:
            assert sandbox.signatures[name] == 0
    assert sum(outcome.ok for outcome in outcomes.values()) > len(names) / 2


async def test_every_document_is_accounted_for_when_runs_are_cancelled(
    faulty: tuple[Sandbox, Counter[str]], tmp_path: Path
) -> None:
    sandbox, _ = faulty
    sandbox.faults.add(FAILING)
    chance = random.Random(20261127)
    names = [f"{number}.bin" for number in range(DOCUMENTS // 2)]
    outcomes: dict[str, Outcome] = {}
    cancelled = 0

    async def take(client: SignStash, journal: Journal, enough: int) -> None:
        documents = [Document.binary(name.encode(), name=name) for name in names if name not in outcomes]
        async for outcome in client.sign_all(
            documents, journal=journal, save_to=tmp_path / "signed", batch_documents=4, unknown_outcomes="send_again"
        ):
            outcomes[outcome.document.name] = outcome
            if len(outcomes) >= enough:
                is_enough.set()

    async with SignStash(**sandbox.credentials, retries=AT_ONCE) as client:
        with Journal(tmp_path / "run.journal") as journal:
            while len(outcomes) < len(names):
                is_enough = asyncio.Event()
                taking = asyncio.create_task(take(client, journal, len(outcomes) + chance.randrange(1, 20)))
                taken = asyncio.create_task(is_enough.wait())
                await asyncio.wait([taking, taken], return_when=asyncio.FIRST_COMPLETED)
                for _ in range(chance.randrange(100)):  # anywhere between two outcomes
                    await asyncio.sleep(0)
                cancelled += taking.cancel()
                taken.cancel()
                with contextlib.suppress(asyncio.CancelledError, SignStashError):
                    await taking
            states = {entry.name: entry.state for entry in journal.entries()}

    assert cancelled
    assert sorted(states) == sorted(names)
    assert max(sandbox.signatures.values()) == 1, "none is signed twice"
    for name, outcome in outcomes.items():
        assert (states[name] == "signed") is outcome.ok
        if outcome.ok:
            assert name.encode() in (tmp_path / "signed" / name).read_bytes()
            assert sandbox.signatures[name] == 1
        elif states[name] == "failed":
            assert sandbox.signatures[name] == 0
    assert any(outcome.ok for outcome in outcomes.values())


@pytest.mark.parametrize("reuse", [False, True], ids=["references are used up", "references are freed"])
async def test_failed_documents_are_signed_by_a_later_run(tmp_path: Path, reuse: bool) -> None:
    """Whether the service frees the reference of a document that it did not sign is not published."""
    names = [f"{number}.bin" for number in range(40)]
    own = {name: f"own_{name}" for name in names[::4]}
    to_sign = names if reuse else [name for name in names if name not in own]
    outcomes: dict[str, Outcome] = {}
    runs = 0
    with Sandbox(reuse_failed_references=reuse) as sandbox, Journal(tmp_path / "run.journal") as journal:
        sandbox.faults.add(Fault("TIMESTAMP_SIGN_ERROR", share=0.4))
        async with SignStash(**sandbox.credentials, retries=RetryPolicy.none()) as client:
            while not all(name in outcomes and outcomes[name].ok for name in to_sign):
                documents = [
                    Document.binary(name.encode(), name=name, external_reference=own.get(name)) for name in names
                ]
                async for outcome in client.sign_all(documents, journal=journal, save_to=tmp_path / "signed"):
                    outcomes[outcome.document.name] = outcome
                runs += 1
        signatures = dict(sandbox.signatures)

    assert runs > 1
    assert set(signatures.values()) == {1}
    assert set(to_sign) <= signatures.keys()
    for name in own.keys() - signatures.keys():
        error = outcomes[name].error
        assert isinstance(error, DuplicateReferenceError)
        assert "by the earlier attempt that failed" in str(error)


async def test_a_call_that_is_cancelled_says_what_is_known(faulty: tuple[Sandbox, Counter[str]]) -> None:
    """One in twenty calls is cut off, and sent again unless its note says that nothing was processed."""
    sandbox, _ = faulty
    sandbox.faults.add(FAILING)
    chance = random.Random(20261128)
    calls: list[str] = []
    not_processed: set[str] = set()
    signed: set[str] = set()

    async def sign(name: str) -> SignedDocument:
        document = Document.binary(name.encode(), name=name, external_reference=name)
        call = batching.sign(document) if chance.random() < 0.5 else client.sign(document)
        calls.append(name)
        async with asyncio.timeout(chance.choice((0, 0.003, 0.01, 0.03)) if len(calls) % 20 == 0 else None):
            return await call

    async def take(name: str) -> None:
        in_doubt = False
        while True:
            try:
                signed.add((await sign(name)).external_reference)
            except TimeoutError as error:
                notes = "".join(getattr(error.__cause__, "__notes__", ()))
                assert name in notes
                if "Nothing was processed" in notes and not in_doubt:
                    return not_processed.add(name)
                in_doubt = True
            except DuplicateReferenceError:  # an earlier attempt had it signed, or failed
                return None
            except SignStashError as error:
                in_doubt = in_doubt or error.maybe_processed
                if not error.retryable and not error.maybe_processed:
                    return None
            else:
                return None

    async with (
        SignStash(**sandbox.credentials, retries=AT_ONCE) as client,
        client.batching(batch_documents=4, unknown_outcomes="hold") as batching,
    ):
        names = [f"{number}.bin" for number in range(DOCUMENTS // 2)]
        for start in range(0, len(names), 20):
            await asyncio.gather(*map(take, names[start : start + 20]))

    assert signed
    assert max(sandbox.signatures.values()) == 1, "none is signed twice"
    assert signed <= sandbox.signatures.keys()
    assert not_processed.isdisjoint(sandbox.signatures), "none is signed that is said not to be processed"


async def test_every_document_is_accounted_for_whatever_happens_to_the_journal(
    faulty: tuple[Sandbox, Counter[str]], tmp_path: Path
) -> None:
    """It is copied at any moment, an older copy is put back, and another process tries to get in all the time."""
    sandbox, _ = faulty
    chance = random.Random(20261129)
    names = {f"{number}.bin" for number in range(DOCUMENTS // 4)}
    path, copy = tmp_path / "run.journal", tmp_path / "copy.journal"

    async def take(client: SignStash, journal: Journal) -> None:
        documents = [Document.binary(name.encode(), name=name) for name in sorted(names)]
        async for _ in client.sign_all(
            documents,
            journal=journal,
            save_to=tmp_path / "signed",
            overwrite=True,
            batch_documents=4,
            unknown_outcomes="send_again",
        ):
            pass

    command = (sys.executable, "-c", INTRUDER, str(path))
    intruder = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert intruder.stdin is not None
    assert intruder.stdout is not None
    async with SignStash(**sandbox.credentials, retries=AT_ONCE) as client:
        for _ in range(max(DOCUMENTS // 80, 4)):
            with Journal(path) as journal:
                taking = asyncio.create_task(take(client, journal))
                await asyncio.wait([taking], timeout=chance.random() * 0.3)
                shutil.copy(path, copy)
                intruder.stdin.write(b"try\n")
                assert await intruder.stdout.readline() == b"kept out\n"
                await asyncio.wait([taking], timeout=chance.random() * 0.3)
                taking.cancel()
                with contextlib.suppress(asyncio.CancelledError, SignStashError):
                    await taking
            Journal(copy).close()  # it is one, whenever it was copied
            if chance.random() < 0.5:
                copy.replace(path)
        entries: dict[str, Entry] = {}
        while entries.keys() != names or not {entry.state for entry in entries.values()} <= {"signed", "held"}:
            with Journal(path) as journal:
                with contextlib.suppress(SignStashError):
                    await take(client, journal)
                entries = {entry.name: entry for entry in journal.entries()}
    intruder.stdin.close()
    await intruder.wait()

    assert max(sandbox.signatures.values()) == 1, "none is signed twice"
    for name, entry in entries.items():
        if entry.state == "signed":
            assert name.encode() in (tmp_path / "signed" / name).read_bytes()
            assert sandbox.signatures[name] == 1
        else:
            assert entry.reason
    assert any(entry.state == "signed" for entry in entries.values())


@contextlib.contextmanager
def small_disk(folder: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A disk of `step` KiB, and what makes it as much larger.

    Where none can be mounted, records cannot be written, as on a full one.
    """
    size = room = step
    folder.mkdir()
    program = shutil.which("mount")

    def mount(options: str) -> bool:
        command = [str(program), "-t", "tmpfs", "-o", f"{options}size={size}k", "tmpfs", str(folder)]
        return program is not None and subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def sync(descriptor: int) -> None:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room -= 4
        os.fsync(descriptor)

    def enlarge() -> None:
        nonlocal size, room
        size, room = size + step, step
        assert not is_mounted or mount("remount,")

    is_mounted = mount("")
    if not is_mounted:
        monkeypatch.setattr("signstash._journal.records._sync", sync)
    try:
        yield enlarge
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("where", ["disk", "elsewhere"])
async def test_a_full_disk_costs_no_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """The journal is on it, and so are the signed documents, or they are elsewhere."""
    names = [f"{number}.bin" for number in range(40)]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    states: dict[str, str] = {}
    times_full = 0
    step = 64 if where == "disk" else 12
    with small_disk(tmp_path / "disk", step, monkeypatch) as enlarge, Sandbox() as sandbox:
        async with SignStash(**sandbox.credentials, retries=RetryPolicy.none()) as client:
            while set(states.values()) != {"signed"} or len(states) < len(names):
                try:
                    with Journal(tmp_path / "disk" / "run.journal") as journal:
                        documents = [Document.binary(name.encode(), name=name) for name in names]
                        async for _ in client.sign_all(
                            documents, journal=journal, save_to=tmp_path / where / "signed", batch_documents=4
                        ):
                            pass
                        states = {entry.name: entry.state for entry in journal.entries()}
                except SignStashError as error:
                    times_full += "No space left" in str(error)
                    enlarge()
        signed = {name: (tmp_path / where / "signed" / name).read_bytes() for name in names}
        signatures = dict(sandbox.signatures)

    assert times_full
    assert signatures == dict.fromkeys(names, 1)
    assert all(name.encode() in content for name, content in signed.items())
    assert [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()] == []


def test_a_killed_run_loses_nothing_and_signs_nothing_twice(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        Proof(tmp_path, sandbox, 60, random.Random(7)).prove(5)

"""Runs against a service that fails in every way, and a process that is killed: the books balance."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
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
    SignStash,
    SignStashError,
    TokenAuth,
)
from signstash.sandbox import Fault, Sandbox
from tests.conftest import BASE64_PATH
from tests.proofs.kills import Proof

pytestmark = pytest.mark.sandbox

DOCUMENTS = int(os.environ.get("SIGNSTASH_FAULT_DOCUMENTS", "400"))
FAULTS = ("429", "500", "503", "lost before", "lost after", "token refused", "slow")


class Faulty:
    """Lets one signing request in ten fail in each way."""

    def __init__(self, application: ASGIApp, chance: random.Random) -> None:
        self.application = application
        self.chance = chance
        self.injected: Counter[str] = Counter()
        self.uses: Counter[bytes] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self.chance.choice((*FAULTS, "", "", ""))
        token = dict(scope.get("headers", [])).get(b"authorization", b"")
        self.uses[token] += 1
        if fault == "token refused" and self.uses[token] < 10:
            fault = ""  # whatever was refused with an older token comes again at once, and must not be refused again
        if scope["type"] != "http" or not scope["path"].endswith(BASE64_PATH) or not fault:
            return await self.application(scope, receive, send)
        self.injected[fault] += 1
        if fault == "slow":
            await asyncio.sleep(0.01)
            return await self.application(scope, receive, send)
        while (await receive()).get("more_body"):
            pass
        answers: dict[str, tuple[int, bytes]] = {
            "429": (429, b""),
            "500": (500, b'{"errorCode": "0.0.1"}'),
            "503": (503, b"<html>Service Unavailable</html>"),
            "token refused": (409, b'{"errorCode": "0.0.10"}'),
        }
        status, body = answers.get(fault, (200, b""))
        length = len(body) if fault in answers else 100_000  # more than comes, so the connection breaks
        headers = [(b"content-length", b"%d" % length), (b"retry-after", b"0")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
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


@pytest.fixture
async def faulty(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Sandbox, Counter[str]]]:
    sandbox = Sandbox()
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
    names = [f"{number}.bin" for number in range(DOCUMENTS)]
    auth = TokenAuth(sandbox.token_url, sandbox.client_id, sandbox.client_secret, base_urls=[sandbox.base_url])
    retries = RetryPolicy(attempts=6, first_bound=0.001, longest_bound=0.001, deadline=30)
    outcomes: dict[str, Any] = {}
    async with SignStash(sandbox.base_url, auth=auth, retries=retries) as client:
        documents = [Document.binary(name.encode(), name=name) for name in names]
        while left := [document for document in documents if document.name not in outcomes]:
            run = client.sign_all(left, batch_documents=8, in_flight=3, unknown_outcomes="send_again")
            with contextlib.suppress(SignStashError):  # so many requests in a row failed that it ended: begin another
                async for outcome in run:
                    assert outcome.document.name not in outcomes
                    outcomes[outcome.document.name] = outcome
    await auth.aclose()

    assert sorted(outcomes) == sorted(names)
    assert set(injected) >= {"429", "500", "503", "lost before", "lost after", "token refused", "slow"}
    assert max(sandbox.signatures.values()) == 1, "none is signed twice"
    for name, outcome in outcomes.items():
        if outcome.signed is not None:
            assert name.encode() in outcome.signed.content
            assert sandbox.signatures[name] == 1
        elif "is signed, but" in str(outcome.error):
            assert isinstance(outcome.error, OutcomeUnknownError)
            assert isinstance(outcome.error.__cause__, DuplicateReferenceError)
            assert sandbox.signatures[name] == 1
    assert sum(outcome.ok for outcome in outcomes.values()) > DOCUMENTS / 2


async def test_every_document_is_accounted_for_when_runs_are_cancelled(
    faulty: tuple[Sandbox, Counter[str]], tmp_path: Path
) -> None:
    sandbox, _ = faulty
    chance = random.Random(20261127)
    names = [f"{number}.bin" for number in range(DOCUMENTS // 2)]
    retries = RetryPolicy(attempts=6, first_bound=0.001, longest_bound=0.001, deadline=30)
    outcomes: dict[str, Outcome] = {}
    cancelled = 0

    async def take(client: SignStash, journal: Journal) -> None:
        documents = [Document.binary(name.encode(), name=name) for name in names if name not in outcomes]
        async for outcome in client.sign_all(
            documents, journal=journal, save_to=tmp_path / "signed", batch_documents=4, unknown_outcomes="send_again"
        ):
            outcomes[outcome.document.name] = outcome

    async with SignStash(**sandbox.credentials, retries=retries) as client:
        with Journal(tmp_path / "run.journal") as journal:
            while len(outcomes) < len(names):
                taking = asyncio.create_task(take(client, journal))
                await asyncio.wait([taking], timeout=chance.random() * 0.3 if chance.random() < 0.5 else None)
                cancelled += taking.cancel()
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


def test_a_killed_run_loses_nothing_and_signs_nothing_twice(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        Proof(tmp_path, sandbox, 60, random.Random(7)).prove(5)

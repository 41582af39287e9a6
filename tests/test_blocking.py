"""The client for applications without an event loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from signstash import (
    ConfigurationError,
    CredentialsRejectedError,
    Document,
    DuplicateReferenceError,
    Journal,
    Outcome,
    SignStash,
)
from signstash.blocking import BlockingSignStash
from signstash.sandbox import Sandbox
from signstash.testing import MockSignStash
from tests.conftest import INVOICE, signed_response


@pytest.fixture
def client(signstash_mock: MockSignStash) -> Iterator[BlockingSignStash]:
    with BlockingSignStash(SignStash.from_env()) as opened:
        yield opened


def test_a_document_is_signed_and_saved(client: BlockingSignStash, tmp_path: Path) -> None:
    signed = client.sign(Document.pdf(INVOICE), save_to=f"{tmp_path}/")

    assert signed.saved_as == tmp_path / INVOICE.name
    assert client.call(signed.read).startswith(INVOICE.read_bytes())


def test_errors_are_those_of_the_client(client: BlockingSignStash) -> None:
    document = Document.pdf(INVOICE)
    client.sign(document)

    with pytest.raises(DuplicateReferenceError):
        client.sign(document)


def test_threads_share_one_token(client: BlockingSignStash, signstash_mock: MockSignStash) -> None:
    with ThreadPoolExecutor(20) as pool:
        signed = list(pool.map(lambda _: client.sign(Document.pdf(INVOICE)), range(40)))

    assert len(signed) == 40
    assert signstash_mock.routes.token.call_count == 1


def test_sign_all_is_an_ordinary_iterator(client: BlockingSignStash) -> None:
    documents = [Document.pdf(INVOICE) for _ in range(5)]

    outcomes: list[Outcome] = list(client.sign_all(documents, batch_documents=2))

    assert {id(outcome.document) for outcome in outcomes} == {id(document) for document in documents}


def test_the_text_of_sign_all_is_that_of_an_ordinary_function() -> None:
    text = inspect.getdoc(BlockingSignStash.sign_all) or ""

    assert "for outcome in client.sign_all" in text
    assert not re.search(r"async|await|aclos", text)


def test_leaving_the_loop_ends_sign_all(client: BlockingSignStash, signstash_mock: MockSignStash) -> None:
    documents = (Document.pdf(INVOICE) for _ in range(100))

    for outcome in client.sign_all(documents, batch_documents=1, in_flight=1):
        assert outcome.ok
        break

    assert len(signstash_mock.sign_requests) < 10
    assert client.sign(Document.pdf(INVOICE)).content


def test_an_error_in_the_loop_body_ends_sign_all(client: BlockingSignStash) -> None:
    outcomes = client.sign_all([Document.pdf(INVOICE) for _ in range(4)], batch_documents=1)

    next(outcomes)
    with pytest.raises(ZeroDivisionError):
        outcomes.throw(ZeroDivisionError)  # type: ignore[attr-defined]  # an iterator to users, a generator here

    assert next(outcomes, None) is None


def test_an_error_that_concerns_all_is_raised_while_iterating(
    client: BlockingSignStash, signstash_mock: MockSignStash
) -> None:
    signstash_mock.credentials_rejected()

    with pytest.raises(CredentialsRejectedError):
        list(client.sign_all([Document.pdf(INVOICE)]))


def test_leaving_the_block_closes_the_client(signstash_mock: MockSignStash) -> None:
    threads = {*threading.enumerate()}
    with BlockingSignStash(SignStash.from_env()) as client:
        client.sign(Document.pdf(INVOICE))

    assert {*threading.enumerate()} <= threads
    with pytest.raises(ConfigurationError, match="closed"):
        client.sign(Document.pdf(INVOICE))
    with pytest.raises(ConfigurationError, match="closed"):
        client.sign_all([Document.pdf(INVOICE)])  # without the warning that nobody iterated


def test_closing_accounts_for_what_an_open_iterator_has_in_flight(
    signstash_mock: MockSignStash, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    documents = [Document.pdf(INVOICE, name=f"{number}.pdf") for number in range(20)]
    with BlockingSignStash(SignStash.from_env()) as client:
        outcomes = client.sign_all(documents, batch_documents=2, save_to=tmp_path)
        first = next(outcomes)

    signed = {f"{document.name}" for request in signstash_mock.sign_requests for document in request.documents}
    reported = {name for record in caplog.records for name in getattr(record, "documents", ())}
    assert {path.name for path in tmp_path.iterdir()} == signed == reported | {first.document.name}
    assert len(signed) < len(documents)
    with pytest.raises(ConfigurationError, match="closed"):
        next(outcomes)


def test_closing_ends_the_loop_of_another_thread_with_an_error(client: BlockingSignStash) -> None:
    started = threading.Event()

    async def endless() -> AsyncIterator[Document]:
        yield Document.pdf(INVOICE)
        started.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        signed = pool.submit(lambda: list(client.sign_all(endless())))
        started.wait()
        client.close()

        with pytest.raises(ConfigurationError, match="closed"):
            signed.result()


def until_closed(client: BlockingSignStash) -> None:
    """Call the client until that says that it is closed."""

    def call() -> None:
        while True:
            client.call(asyncio.sleep, 0)

    with pytest.raises(ConfigurationError, match="after it was closed"):
        call()


def test_closing_waits_for_a_function_that_calls_the_client(client: BlockingSignStash, tmp_path: Path) -> None:
    started = threading.Event()

    def place(document: Document) -> Path:
        started.set()
        until_closed(client)
        return tmp_path / document.name

    with ThreadPoolExecutor(1) as pool:
        signed = pool.submit(lambda: list(client.sign_all([Document.pdf(INVOICE)], save_to=place)))
        started.wait()
        closing = threading.Thread(target=client.close, daemon=True)
        closing.start()
        closing.join(30)

        assert not closing.is_alive()
        with pytest.raises(ConfigurationError, match="during a run"):
            signed.result()


def test_calls_fail_at_once_while_another_thread_closes_the_client(
    signstash_mock: MockSignStash, tmp_path: Path
) -> None:
    sent, may_respond = threading.Event(), threading.Event()

    async def respond(request: httpx.Request) -> httpx.Response:
        if sent.is_set():
            assert await asyncio.to_thread(may_respond.wait, 30)
        sent.set()
        return signed_response(request)

    signstash_mock.routes.sign.mock(side_effect=respond)
    documents = [Document.pdf(INVOICE, name=f"{number}.pdf") for number in range(2)]
    client = BlockingSignStash(SignStash.from_env())
    with ThreadPoolExecutor(1) as pool, Journal(tmp_path / "journal") as journal:
        outcomes = client.sign_all(documents, batch_documents=1, in_flight=2, save_to=tmp_path, journal=journal)
        assert next(outcomes).ok
        closing = pool.submit(client.close)
        until_closed(client)
        assert not closing.done()
        may_respond.set()
        with pytest.raises(ConfigurationError, match="during a run"):
            list(outcomes)
        closing.result()

        assert [entry.state for entry in journal.entries()] == ["signed", "signed"]


def test_a_call_in_an_event_loop_is_an_error_instead_of_blocking_it(client: BlockingSignStash) -> None:
    async def calls() -> None:
        with pytest.raises(ConfigurationError, match="event loop"):
            client.sign(Document.pdf(INVOICE))
        with pytest.raises(ConfigurationError, match="event loop"):
            client.sign_all([Document.pdf(INVOICE)])
        assert (await asyncio.to_thread(client.sign, Document.pdf(INVOICE))).content

    asyncio.run(calls())


@pytest.mark.parametrize("in_thread", [False, True])
def test_closing_in_a_hook_of_its_own_request_is_an_error(signstash_mock: MockSignStash, *, in_thread: bool) -> None:
    async def close(_: httpx.Request) -> None:
        await asyncio.to_thread(blocking.close) if in_thread else blocking.close()

    http_client = httpx.AsyncClient(event_hooks={"request": [close]})
    with BlockingSignStash(SignStash.from_env(http_client=http_client)) as blocking:
        with pytest.raises(ConfigurationError, match="cannot be closed within a call of its own"):
            blocking.sign(Document.pdf(INVOICE))
        http_client.event_hooks = {}
        assert blocking.sign(Document.pdf(INVOICE)).content
        blocking.call(http_client.aclose)


def test_closing_in_a_progress_function_is_an_error(client: BlockingSignStash) -> None:
    documents = [Document.pdf(INVOICE) for _ in range(2)]

    with pytest.raises(ConfigurationError, match="cannot be closed within a call of its own"):
        list(client.sign_all(documents, progress=lambda _: client.close()))

    assert client.sign(Document.pdf(INVOICE)).content


def test_closing_another_client_in_a_hook_closes_it(signstash_mock: MockSignStash) -> None:
    async def close(_: httpx.Request) -> None:
        other.close()

    other = BlockingSignStash(SignStash.from_env())
    other.sign(Document.pdf(INVOICE))
    http_client = httpx.AsyncClient(event_hooks={"request": [close]})
    with BlockingSignStash(SignStash.from_env(http_client=http_client)) as blocking:
        assert blocking.sign(Document.pdf(INVOICE)).content
        blocking.call(http_client.aclose)

    with pytest.raises(ConfigurationError, match="after it was closed"):
        other.sign(Document.pdf(INVOICE))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_client_used_before_a_fork_says_so_instead_of_hanging(client: BlockingSignStash) -> None:
    client.sign(Document.pdf(INVOICE))
    child = os.fork()
    if child == 0:
        try:
            client.sign(Document.pdf(INVOICE))
        except ConfigurationError as error:
            os._exit(0 if "forked" in error.problem else 2)
        os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_client_made_before_a_fork_works_in_the_child(signstash_mock: MockSignStash) -> None:
    client = BlockingSignStash(SignStash.from_env())
    child = os.fork()
    if child == 0:
        os._exit(0 if client.sign(Document.pdf(INVOICE)).content else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.parametrize("moment", ["used", "in a block", "in a loop", "in flight", "closing"])
def test_a_forked_child_exits_whatever_its_parent_does(sandbox: Sandbox, moment: str) -> None:
    program = """
import asyncio, os, signal, sys, threading
from signstash import Document, SignStash
from signstash.blocking import BlockingSignStash

class Client(SignStash):
    async def aclose(self):
        await super().aclose()
        await (wait() if moment == "closing" else asyncio.sleep(0))

async def wait():
    reached.set()
    await asyncio.Event().wait()

def fork():
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # which ends it if it hangs
        sys.exit()
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

moment, reached = sys.argv[2], threading.Event()
client = BlockingSignStash(Client(**eval(sys.argv[1])))
client.sign(Document.binary(b"content", name="a.bin"))
if moment in ("in flight", "closing"):
    threading.Thread(target=lambda: client.call(wait) if moment == "in flight" else client.close()).start()
    reached.wait()
if moment == "in a loop":
    for _ in client.sign_all(Document.binary(b"content", name="a.bin") for _ in range(3)):
        fork()
if moment == "in a block":
    with client:
        fork()
fork()
"""
    arguments = ["-W", "ignore::DeprecationWarning", "-c", program, repr(dict(sandbox.credentials)), moment]
    ended = subprocess.run([sys.executable, *arguments], capture_output=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_process_with_an_unclosed_client_exits(sandbox: Sandbox, tmp_path: Path) -> None:
    program = """
import sys
from signstash import Document, SignStash
from signstash.blocking import BlockingSignStash
client = BlockingSignStash(SignStash(**eval(sys.argv[1])))
client.sign(Document.binary(b"content", name="a.bin"))
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, repr(dict(sandbox.credentials))],
        capture_output=True,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


OPEN_ITERATORS = {
    "the block is left": """
with client:
    outcomes = client.sign_all(documents())
    for outcome in outcomes:
        break
""",
    "the block is left by an error": """
def sign():
    with client:
        outcomes = client.sign_all(documents())
        for outcome in outcomes:
            raise ValueError("of the program")
try:
    sign()
except ValueError as error:
    held = error
""",
    "the client is closed": "outcomes = client.sign_all(documents()); next(outcomes); client.close()",
    "the program ends": "outcomes = client.sign_all(documents()); next(outcomes)",
    "the program ends beside a thread": """
import threading
first = threading.Event()
def sign():
    try:
        for outcome in client.sign_all(documents(1000)):
            first.set()
    except ConfigurationError:
        pass
threading.Thread(target=sign, daemon=True).start()
first.wait()
""",
    "the program ends beside a thread that waits": """
import threading
first = threading.Event()
def sign():
    for outcome in client.sign_all(documents()):
        first.set()
        threading.Event().wait()
threading.Thread(target=sign, daemon=True).start()
first.wait()
""",
    "the source has no end": """
import asyncio
async def endless():
    yield Document.binary(b"content", name="a.bin")
    await asyncio.Event().wait()
with client:
    outcomes = client.sign_all(endless())
    next(outcomes)
""",
}


@pytest.mark.parametrize("program", OPEN_ITERATORS.values(), ids=OPEN_ITERATORS)
def test_an_open_iterator_does_not_keep_the_process(sandbox: Sandbox, program: str) -> None:
    start = """
import sys
from signstash import ConfigurationError, Document, SignStash
from signstash.blocking import BlockingSignStash
client = BlockingSignStash(SignStash(**eval(sys.argv[1])))
def documents(count=30):
    return [Document.binary(b"content", name=f"{n}.bin") for n in range(count)]
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", start + program, repr(dict(sandbox.credentials))],
        capture_output=True,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (0, b"")
    assert b"Traceback" not in ended.stderr
    assert b"Exception ignored" not in ended.stderr

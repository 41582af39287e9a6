"""The durable record of a run: what it keeps, who may use it, and how a run goes on with it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from signstash import (
    ClientServiceInactiveError,
    ConfigurationError,
    Document,
    DocumentNotSavedError,
    InvalidDocumentError,
    Journal,
    Outcome,
    OutcomeUnknownError,
    RetryPolicy,
    SignStash,
)
from tests.conftest import BASE_URL, CLIENT_ID, CLIENT_SECRET, PDF, TOKEN_URL, MockedService, signed_answer
from tests.test_runs import collect, names_sent, requests


@pytest.fixture
async def client(service: MockedService) -> AsyncIterator[SignStash]:
    at_once = RetryPolicy(attempts=2, first_bound=0.001, longest_bound=0.001, deadline=5)
    async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL, retries=at_once) as client:
        yield client


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "run.journal") as journal:
        yield journal


def numbered(number: int) -> Document:
    return Document.pdf(PDF + bytes([number]), name=f"{number}.pdf")


def pdfs(count: int) -> list[Document]:
    """New Document objects each time, as a process that starts again makes them."""
    return [numbered(number) for number in range(count)]


def durably(journal: Journal) -> dict[str, Any]:
    """A journal belongs to a folder of signed files."""
    return {"journal": journal, "save_to": journal._path.parent / "signed"}


def signed_before(service: MockedService, reference: str) -> None:
    """Let the Integration Service know a document."""
    content = base64.b64encode(b"signed before").decode()
    document = {"externalReference": reference, "signStatus": "SIGNED", "signedContent": content}
    service.router.get(path__regex="withDocumentExternalReference").respond(json=7)
    service.router.get(path__regex="/detail/7/").respond(json={"id": 7, "documentList": [document]})


def states(journal: Journal) -> dict[str, str]:
    return {entry.name: entry.state for entry in journal.entries()}


class TestFaults:
    async def test_a_journal_that_fails_ends_the_run_and_costs_no_outcome(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path
    ) -> None:
        def close_it(request: httpx.Request) -> httpx.Response:
            journal.close()
            return signed_answer(request)

        service.sign.mock(side_effect=close_it)
        found: dict[str, Outcome] = {}
        with pytest.raises(ConfigurationError, match="journal"):
            await collect(
                client.sign_all(pdfs(9), journal=journal, save_to=tmp_path / "signed", batch_documents=1, in_flight=1),
                found,
            )

        assert found["0.pdf"].ok
        assert (tmp_path / "signed" / "0.pdf").read_bytes() == b"signed:" + PDF + b"\0"
        assert service.sign.call_count == 1


class TestTwice:
    """What is given twice is not sent twice, and what is signed stays so."""

    @pytest.mark.parametrize("options", [{}, {"batch_documents": 1}, {"batch_documents": 1, "in_flight": 1}])
    @pytest.mark.parametrize("reference", [None, "FT_1"])
    async def test_in_one_run(
        self,
        client: SignStash,
        service: MockedService,
        journal: Journal,
        options: dict[str, Any],
        reference: str | None,
    ) -> None:
        twins = [Document.pdf(PDF, name="a.pdf", external_reference=reference) for _ in range(2)]
        numbers = iter(range(9))
        folder = durably(journal)["save_to"]

        outcomes = [
            outcome
            async for outcome in client.sign_all(
                twins, journal=journal, save_to=lambda _: folder / f"{next(numbers)}.pdf", **options
            )
        ]

        refused, signed = sorted(outcomes, key=lambda outcome: outcome.ok)
        assert signed.document is twins[0]
        assert isinstance(refused.error, InvalidDocumentError)
        assert "twice" in str(refused.error)
        assert service.sign.call_count == 1
        assert states(journal) == {"a.pdf": "signed"}

    async def test_in_two_runs_at_once(self, client: SignStash, service: MockedService, journal: Journal) -> None:
        first = client.sign_all(pdfs(3), **durably(journal), batch_documents=1)
        async with aclosing(first):
            await anext(first)
            with pytest.raises(ConfigurationError, match="used by another run"):
                await collect(client.sign_all(pdfs(1), **durably(journal)))
        assert set(await collect(client.sign_all(pdfs(4)[3:], **durably(journal)))) == {"3.pdf"}

    async def test_mended_under_the_same_reference(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        for content, ok in ((b"%PD", False), (PDF, True)):
            document = Document.pdf(content, name="a.pdf", external_reference="FT_1")
            found = await collect(client.sign_all([document], **durably(journal)))
            assert found["a.pdf"].ok is ok

    async def test_a_second_run_waits_for_what_the_first_one_saves(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        """However a run is cancelled, what it began to save is saved and recorded."""
        for turns in range(30):
            run = asyncio.create_task(collect(client.sign_all([numbered(turns)], **durably(journal))))
            for _ in range(turns):
                await asyncio.sleep(0)
            run.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await run
            files = {path.name for path in durably(journal)["save_to"].glob("*.pdf")}
            signed = {entry.name for entry in journal.entries("signed")}
            assert files == signed


class TestGoingOn:
    async def test_what_is_signed_is_passed_over(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path
    ) -> None:
        await collect(client.sign_all(pdfs(3), journal=journal, save_to=tmp_path / "signed"))
        again = await collect(client.sign_all(pdfs(5), journal=journal, save_to=tmp_path / "signed"))

        assert set(again) == {"3.pdf", "4.pdf"}
        assert requests(service) == [["0.pdf", "1.pdf", "2.pdf"], ["3.pdf", "4.pdf"]]
        assert set(states(journal).values()) == {"signed"}

    async def test_where_signed_bytes_are_is_recorded(
        self, client: SignStash, journal: Journal, tmp_path: Path
    ) -> None:
        await collect(client.sign_all(pdfs(1), journal=journal, save_to=tmp_path / "signed"))

        (entry,) = journal.entries("signed")
        assert entry.saved_as == str(tmp_path / "signed" / "0.pdf")
        assert entry.operation_id == 4711
        assert entry.reference.startswith(CLIENT_ID)
        assert Path(entry.saved_as).read_bytes() == b"signed:" + PDF + b"\x00"

    async def test_it_is_written_before_the_request(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        seen: list[dict[str, str]] = []

        def look(request: httpx.Request) -> httpx.Response:
            seen.append(states(journal))
            return signed_answer(request)

        service.sign.mock(side_effect=look)
        await collect(client.sign_all(pdfs(2), **durably(journal)))

        assert seen == [{"0.pdf": "sent", "1.pdf": "sent"}]

    async def test_what_failed_is_tried_again_under_its_reference(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        service.sign.respond(500, json={"errorCode": "0.0.6"})
        await collect(client.sign_all(pdfs(1), **durably(journal)))
        assert states(journal) == {"0.pdf": "failed"}
        service.sign.mock(side_effect=signed_answer)

        found = await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert found["0.pdf"].ok
        references = [service.sent(call)["documents"][0]["documentRequest"]["externalReference"] for call in (0, -1)]
        assert references[0] == references[1] == journal.entries("signed")[0].reference

    async def test_a_run_that_was_stopped_sends_what_was_not_processed(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        service.sign.respond(401, json={"errorCode": "1.1.1"})
        with pytest.raises(ClientServiceInactiveError):
            await collect(client.sign_all(pdfs(3), **durably(journal)))
        assert set(states(journal).values()) == {"planned"}
        service.sign.mock(side_effect=signed_answer)

        found = await collect(client.sign_all(pdfs(3), **durably(journal)))

        assert len(found) == 3

    @pytest.mark.parametrize("policy", ["look_up", "send_again"])
    @pytest.mark.parametrize("fault", ["credentials", "service"])
    async def test_a_run_that_learns_nothing_leaves_them_to_the_next(
        self, client: SignStash, service: MockedService, journal: Journal, policy: Any, fault: str
    ) -> None:
        await self.leave_in_flight(client, service, journal)
        if fault == "credentials":
            service.sign.respond(403, json={"errorCode": "1.2.0"})
            service.router.get(path__regex="withDocument").respond(403, json={"errorCode": "1.2.0"})
        else:
            service.sign.mock(side_effect=httpx.ConnectError("refused"))
            service.router.get(path__regex="withDocument").mock(side_effect=httpx.ConnectError("refused"))

        found: dict[str, Outcome] = {}
        with contextlib.suppress(ClientServiceInactiveError):
            await collect(client.sign_all(pdfs(2), **durably(journal), unknown_outcomes=policy), found)

        assert not any(outcome.ok for outcome in found.values())
        assert set(states(journal).values()) == {"sent"}
        service.router.get(path__regex="withDocument").respond(404)
        service.sign.mock(side_effect=signed_answer)
        found = await collect(client.sign_all(pdfs(2), **durably(journal), unknown_outcomes=policy))
        assert all(outcome.ok for outcome in found.values())

    async def test_a_file_that_only_holds_its_name_is_no_signed_one(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        await self.leave_in_flight(client, service, journal)
        (durably(journal)["save_to"] / "0.pdf").touch()

        found = await collect(client.sign_all(pdfs(1), **durably(journal), overwrite=True))

        assert isinstance(found["0.pdf"].error, OutcomeUnknownError)

    @pytest.mark.parametrize("policy", ["hold", "send_again"])
    async def test_what_was_in_flight_goes_by_the_policy(
        self, client: SignStash, service: MockedService, journal: Journal, policy: str
    ) -> None:
        await self.leave_in_flight(client, service, journal)

        found = await collect(client.sign_all(pdfs(2), **durably(journal), unknown_outcomes=policy))  # type: ignore[arg-type]

        if policy == "hold":
            assert all(isinstance(outcome.error, OutcomeUnknownError) for outcome in found.values())
            assert set(states(journal).values()) == {"held"}
            assert service.sign.call_count == 0
        else:
            assert all(outcome.ok for outcome in found.values())
            assert sorted(name for names in requests(service) for name in names) == ["0.pdf", "1.pdf"]

    async def test_a_signed_file_that_the_journal_did_not_learn_of(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path
    ) -> None:
        await self.leave_in_flight(client, service, journal, save_to=tmp_path / "signed")
        (tmp_path / "signed" / "0.pdf").write_bytes(b"whole, since it has its name")

        found = await collect(client.sign_all(pdfs(2), journal=journal, save_to=tmp_path / "signed"))

        assert set(found) == {"1.pdf"}
        assert states(journal) == {"0.pdf": "signed", "1.pdf": "held"}

    async def test_a_file_that_is_being_replaced_is_no_proof_of_a_signature(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path
    ) -> None:
        (tmp_path / "0.pdf").write_bytes(b"of last month")
        await self.leave_in_flight(client, service, journal, save_to=tmp_path, overwrite=True)

        found = await collect(client.sign_all(pdfs(1), journal=journal, save_to=tmp_path, overwrite=True))

        assert isinstance(found["0.pdf"].error, OutcomeUnknownError)
        assert states(journal) == {"0.pdf": "held", "1.pdf": "sent"}

    async def leave_in_flight(
        self,
        client: SignStash,
        service: MockedService,
        journal: Journal,
        save_to: Path | None = None,
        overwrite: bool = False,
    ) -> None:
        """End a run as a kill does: with a request on its way."""
        sent = asyncio.Event()

        async def never(request: httpx.Request) -> httpx.Response:
            sent.set()
            await asyncio.Event().wait()
            raise AssertionError

        service.sign.mock(side_effect=never)
        documents = client.sign_all(
            pdfs(2), **durably(journal) | ({} if save_to is None else {"save_to": save_to}), overwrite=overwrite
        )
        run = asyncio.create_task(collect(documents))
        await sent.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert states(journal) == {"0.pdf": "sent", "1.pdf": "sent"}
        service.sign.calls.reset()
        service.sign.mock(side_effect=signed_answer)

    async def test_a_reference_is_not_used_for_other_contents(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        await collect(client.sign_all([Document.pdf(PDF, name="a.pdf", external_reference="FT_1")], **durably(journal)))

        found = await collect(
            client.sign_all([Document.pdf(PDF + b"2", name="a.pdf", external_reference="FT_1")], **durably(journal))
        )

        assert isinstance(found["a.pdf"].error, InvalidDocumentError)
        assert "other contents" in str(found["a.pdf"].error)
        assert service.sign.call_count == 1


class TestSetAside:
    async def held(self, client: SignStash, service: MockedService, journal: Journal) -> str:
        service.sign.mock(side_effect=httpx.ReadTimeout("slow"))
        await collect(client.sign_all(pdfs(1), **durably(journal)))
        service.sign.mock(side_effect=signed_answer)
        (entry,) = journal.entries("held")
        assert entry.reason
        assert "not known" in entry.reason
        return entry.reference

    async def test_it_stays_so(self, client: SignStash, service: MockedService, journal: Journal) -> None:
        await self.held(client, service, journal)

        assert await collect(client.sign_all(pdfs(1), **durably(journal))) == {}

    async def test_it_is_queued_again(self, client: SignStash, service: MockedService, journal: Journal) -> None:
        reference = await self.held(client, service, journal)
        journal.requeue(reference)

        found: dict[str, Outcome] = await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert found["0.pdf"].signed
        assert found["0.pdf"].signed.external_reference == reference

    async def test_it_is_dropped(self, client: SignStash, service: MockedService, journal: Journal) -> None:
        reference = await self.held(client, service, journal)
        journal.drop(reference)

        found = await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert found["0.pdf"].signed
        assert found["0.pdf"].signed.external_reference != reference

    async def test_queued_again_it_is_looked_up_first(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        reference = await self.held(client, service, journal)
        signed_before(service, reference)
        journal.requeue(reference)

        found = await collect(client.sign_all(pdfs(1), **durably(journal), unknown_outcomes="look_up"))

        assert found["0.pdf"].signed
        assert found["0.pdf"].signed.content == b"signed before"
        assert service.sign.call_count == 1, "only in the first run"

    async def test_queued_again_and_rejected_it_is_held(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        reference = await self.held(client, service, journal)
        journal.requeue(reference)
        service.sign.respond(409, json={"errorCode": "0.0.7"})

        await collect(client.sign_all(pdfs(1), **durably(journal)))

        (entry,) = journal.entries("held")
        assert "the reference is used" in str(entry.reason)

    async def test_a_person_has_fetched_it(self, client: SignStash, service: MockedService, journal: Journal) -> None:
        reference = await self.held(client, service, journal)
        journal.settle(reference)

        assert await collect(client.sign_all(pdfs(1), **durably(journal))) == {}
        assert states(journal) == {"0.pdf": "signed"}

    async def test_signed_without_its_contents_it_is_held(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        service.sign.mock(side_effect=lambda r: signed_answer(r, lambda d: {**d, "signedContent": None}))

        await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert states(journal) == {"0.pdf": "held"}

    @pytest.mark.parametrize("answer", [httpx.Response(409, json={"errorCode": "0.0.7"}), "file"])
    async def test_so_is_what_is_signed_and_cannot_be_saved(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path, answer: Any
    ) -> None:
        def take_its_place(request: httpx.Request) -> httpx.Response:
            (tmp_path / "signed" / "0.pdf").write_bytes(b"somebody else's")
            return signed_answer(request)

        service.sign.mock(side_effect=take_its_place if answer == "file" else [answer])
        with contextlib.suppress(DocumentNotSavedError):
            await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert states(journal) == {"0.pdf": "held"}

    def test_what_is_not_held_is_left_alone(self, journal: Journal) -> None:
        with pytest.raises(ConfigurationError, match="not held"):
            journal.requeue("nothing")
        with pytest.raises(ConfigurationError, match="not held"):
            journal.drop("nothing")
        with pytest.raises(ConfigurationError, match="not held"):
            journal.settle("nothing")


class TestFile:
    def test_one_process_at_a_time(self, journal: Journal, tmp_path: Path) -> None:
        program = "import sys; from signstash import Journal; Journal(sys.argv[1])"

        ended = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "run.journal")], capture_output=True, text=True, check=False
        )

        assert ended.returncode == 1
        assert "ConfigurationError" in ended.stderr
        assert "no other process" in ended.stderr

    @pytest.mark.parametrize("name", ["missing/run.journal", "notes.txt", "."])
    def test_what_can_be_no_journal(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "notes.txt").write_text("not a database, but long enough to be taken for one" * 100)

        with pytest.raises(ConfigurationError, match="journal"):
            Journal(tmp_path / name)

    def test_a_journal_of_another_version(self, tmp_path: Path) -> None:
        database = sqlite3.connect(tmp_path / "run.journal")
        database.execute("PRAGMA user_version = 99")
        database.close()

        with pytest.raises(ConfigurationError, match="another version"):
            Journal(tmp_path / "run.journal")

    async def test_it_is_closed(self, client: SignStash, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "run.journal")
        journal.close()
        journal.close()

        with pytest.raises(ConfigurationError, match="was used after it was closed"):
            await collect(client.sign_all(pdfs(1), **durably(journal)))

    def test_a_state_that_there_is_not(self, journal: Journal) -> None:
        state: Any = "set-aside"

        with pytest.raises(ConfigurationError, match="held"):
            journal.entries(state)

    async def test_what_is_in_flight_is_sent_once(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        await collect(client.sign_all(pdfs(100), **durably(journal), batch_documents=7, in_flight=4))

        names = [name for call in service.sign.calls for name in names_sent(call.request)]
        assert sorted(names) == sorted(f"{number}.pdf" for number in range(100))
        assert set(states(journal).values()) == {"signed"}

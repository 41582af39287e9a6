"""The durable record of a run: what it keeps, who may use it, and how a run goes on with it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from signstash import (
    ClientServiceInactiveError,
    ConfigurationError,
    Document,
    DocumentNotSavedError,
    DocumentNotSignedError,
    DuplicateReferenceError,
    InvalidDocumentError,
    Journal,
    Outcome,
    OutcomeUnknownError,
    Progress,
    RetryPolicy,
    SignatureInvalidError,
    SignStash,
    SignStashError,
)
from signstash.journal import Entry, State
from tests.conftest import (
    BASE_URL,
    CLIENT_ID,
    CLIENT_SECRET,
    PDF,
    TOKEN_URL,
    MockedService,
    mock_signed,
    signed_response,
)
from tests.runs.test_runs import collect, names_sent, requests


@pytest.fixture
async def client(service: MockedService) -> AsyncIterator[SignStash]:
    at_once = RetryPolicy(attempts=2, first_bound=0.001, longest_bound=0.001, deadline=1000)
    async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL, retries=at_once) as client:
        yield client


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "run.journal") as journal:
        yield journal


@attrs.define
class Unreadable:
    """A folder whose files cannot be opened, or None."""

    folder: Path | None = None


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Unreadable:
    unreadable, works = Unreadable(), open

    def fail(path: Any, *given: Any, **named: Any) -> Any:
        if unreadable.folder in (path if isinstance(path, Path) else Path()).parents:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return works(path, *given, **named)

    monkeypatch.setattr("builtins.open", fail)
    return unreadable


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


def references_sent(service: MockedService) -> list[str]:
    sent = [json.loads(call.request.content)["documents"] for call in service.sign.calls]
    return [item["documentRequest"]["externalReference"] for items in sent for item in items]


def entry(number: int, state: State = "sent") -> Entry:
    return Entry(reference=str(number), name=f"{number}.pdf", digest=f"{number:064}", state=state)


def open_in_another_process(path: Path) -> str:
    """What it says."""
    program = "import sys; from signstash import Journal; Journal(sys.argv[1])"
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def states(journal: Journal) -> dict[str, str]:
    return {entry.name: entry.state for entry in journal.entries()}


class TestFaults:
    async def test_a_failing_journal_ends_the_run_and_loses_no_result(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path
    ) -> None:
        def close_it(request: httpx.Request) -> httpx.Response:
            journal._file.close()
            return signed_response(request)

        service.sign.mock(side_effect=close_it)
        found: dict[str, Outcome] = {}
        with pytest.raises(ConfigurationError, match="journal"):
            await collect(
                client.sign_all(pdfs(9), journal=journal, save_to=tmp_path / "signed", batch_documents=1, in_flight=1),
                found,
            )

        assert found["0.pdf"].ok
        assert (tmp_path / "signed" / "0.pdf").read_bytes() == mock_signed(PDF + b"\0")
        assert service.sign.call_count == 1


class TestRepeatedDocuments:
    """What is given twice is not sent twice, and what is signed stays so."""

    @pytest.mark.parametrize("options", [{}, {"batch_documents": 1}, {"batch_documents": 1, "in_flight": 1}])
    @pytest.mark.parametrize("reference", [None, "FT_1"])
    async def test_a_document_given_twice_in_a_run_is_rejected(
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

    async def test_a_journal_serves_one_run_at_a_time(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        first = client.sign_all(pdfs(3), **durably(journal), batch_documents=1)
        async with aclosing(first):
            await anext(first)
            with pytest.raises(ConfigurationError, match="used by another run"):
                await collect(client.sign_all(pdfs(1), **durably(journal)))
        assert set(await collect(client.sign_all(pdfs(4)[3:], **durably(journal)))) == {"3.pdf"}

    async def test_a_journal_belongs_to_one_client_service(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        """Not even to one of the same name on another token server: what a test signed is not signed in production."""
        path = tmp_path / "run.journal"
        with Journal(path) as journal:
            await collect(client.sign_all(pdfs(1), **durably(journal)))
        others: list[dict[str, Any]] = [
            {"client_id": "PRT.1-PRT.2-other", "token_url": TOKEN_URL},
            {"client_id": CLIENT_ID, "environment": "production"},
        ]
        for other in others:
            names = f"{CLIENT_ID}.*token.test.*{other['client_id']}.*{'msignstash' if len(other) > 2 else ''}"
            async with SignStash(BASE_URL, client_secret=CLIENT_SECRET, **other) as others_client:
                with Journal(path) as journal:
                    with pytest.raises(ConfigurationError, match=names) as raised:
                        await collect(others_client.sign_all(pdfs(2), **durably(journal)))
                    async with others_client.batching(**durably(journal)) as batching:
                        with pytest.raises(ConfigurationError, match=names):
                            await batching.sign(numbered(2))
            assert "journal of its own" in raised.value.hint
        assert service.sign.call_count == 1
        elsewhere = SignStash("http://new.test", CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL)
        own_auth = SignStash(BASE_URL, CLIENT_ID, auth=httpx.BasicAuth("a", "b"))
        for same in (elsewhere, own_auth):
            async with same:
                with Journal(path) as journal:
                    found = await collect(same.sign_all(pdfs(1), **durably(journal)))
                    assert found["0.pdf"].signed_before

    async def test_a_journal_that_names_no_client_service_works(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        """Its first record names one; a decision does not."""
        path = tmp_path / "run.journal"
        with Journal(path) as journal:
            journal._record([entry(1, "held")])
            journal.settle("1")
        with Journal(path) as journal:
            found = await collect(client.sign_all(pdfs(3), **durably(journal)))
            assert all(outcome.ok for outcome in found.values())
            assert len(journal.entries()) == 4
        async with SignStash(BASE_URL, "other", CLIENT_SECRET, token_url=TOKEN_URL) as other:
            with Journal(path) as journal, pytest.raises(ConfigurationError, match="other"):
                await collect(other.sign_all(pdfs(3), **durably(journal)))

    async def test_a_fixed_document_is_signed_under_the_same_reference(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        for content, ok in ((b"%PD", False), (PDF, True)):
            document = Document.pdf(content, name="a.pdf", external_reference="FT_1")
            found = await collect(client.sign_all([document], **durably(journal)))
            assert found["a.pdf"].ok is ok

    async def test_a_second_run_waits_until_the_first_one_has_saved(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        """However a run is cancelled, what it began to save is saved and recorded."""
        for turns in range(1, 30):  # cancelled before, it is never iterated
            run = asyncio.create_task(collect(client.sign_all([numbered(turns)], **durably(journal))))
            for _ in range(turns):
                await asyncio.sleep(0)
            run.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await run
            files = {path.name for path in durably(journal)["save_to"].glob("*.pdf")}
            signed = {entry.name for entry in journal.entries("signed")}
            assert files == signed


class TestResuming:
    async def test_signed_documents_are_not_sent_again(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path
    ) -> None:
        await collect(client.sign_all(pdfs(3), journal=journal, save_to=tmp_path / "signed"))
        again = await collect(client.sign_all(pdfs(5), journal=journal, save_to=tmp_path / "signed"))

        assert {name for name, outcome in again.items() if outcome.signed_before} == {"0.pdf", "1.pdf", "2.pdf"}
        assert all(outcome.ok for outcome in again.values())
        assert again["0.pdf"].saved_as == tmp_path / "signed" / "0.pdf"
        assert again["0.pdf"].signed
        assert again["0.pdf"].signed.operation_id == 4711
        assert again["0.pdf"].signed.content == mock_signed(PDF + b"\0")
        assert requests(service) == [["0.pdf", "1.pdf", "2.pdf"], ["3.pdf", "4.pdf"]]
        assert set(states(journal).values()) == {"signed"}

    async def test_the_path_of_signed_content_is_recorded(
        self, client: SignStash, journal: Journal, tmp_path: Path
    ) -> None:
        await collect(client.sign_all(pdfs(1), journal=journal, save_to=tmp_path / "signed"))

        (entry,) = journal.entries("signed")
        assert entry.saved_as == str(tmp_path / "signed" / "0.pdf")
        assert entry.operation_id == 4711
        assert entry.reference.startswith(CLIENT_ID)
        assert Path(entry.saved_as).read_bytes() == mock_signed(PDF + b"\x00")

    async def test_sending_is_recorded_before_the_request(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        seen: list[dict[str, str]] = []

        def look(request: httpx.Request) -> httpx.Response:
            seen.append(states(journal))
            return signed_response(request)

        service.sign.mock(side_effect=look)
        await collect(client.sign_all(pdfs(2), **durably(journal)))

        assert seen == [{"0.pdf": "sent", "1.pdf": "sent"}]

    async def test_failed_documents_are_sent_again_under_their_reference(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        service.sign.respond(500, json={"errorCode": "0.0.6"})
        await collect(client.sign_all(pdfs(1), **durably(journal)))
        assert states(journal) == {"0.pdf": "failed"}
        service.sign.mock(side_effect=signed_response)

        found = await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert found["0.pdf"].ok
        references = [service.sent(call)["documents"][0]["documentRequest"]["externalReference"] for call in (0, -1)]
        assert references[0] == references[1] == journal.entries("signed")[0].reference

    async def test_a_resumed_run_sends_unprocessed_documents(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        service.sign.respond(401, json={"errorCode": "1.1.1"})
        with pytest.raises(ClientServiceInactiveError):
            await collect(client.sign_all(pdfs(3), **durably(journal)))
        assert set(states(journal).values()) == {"planned"}
        service.sign.mock(side_effect=signed_response)

        found = await collect(client.sign_all(pdfs(3), **durably(journal)))

        assert len(found) == 3

    @pytest.mark.parametrize("policy", ["look_up", "send_again"])
    @pytest.mark.parametrize("fault", ["credentials", "service"])
    async def test_a_run_without_a_response_leaves_documents_to_the_next(
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
        service.sign.mock(side_effect=signed_response)
        found = await collect(client.sign_all(pdfs(2), **durably(journal), unknown_outcomes=policy))
        assert all(outcome.ok for outcome in found.values())

    async def test_an_empty_file_is_not_a_signed_file(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        await self.leave_in_flight(client, service, journal)
        (durably(journal)["save_to"] / "0.pdf").touch()

        found = await collect(client.sign_all(pdfs(1), **durably(journal), overwrite=True))

        assert isinstance(found["0.pdf"].error, OutcomeUnknownError)

    @pytest.mark.parametrize("policy", ["hold", "send_again"])
    async def test_documents_in_flight_follow_the_policy(
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

    async def test_a_foreign_file_does_not_prove_a_signature(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path
    ) -> None:
        """Such as the corrected invoice of the same name, or an empty file."""
        await self.leave_in_flight(client, service, journal, save_to=tmp_path / "signed")
        (tmp_path / "signed" / "0.pdf").write_bytes(b"the corrected invoice")
        (tmp_path / "signed" / "1.pdf").touch()

        found = await collect(client.sign_all(pdfs(2), journal=journal, save_to=tmp_path / "signed", overwrite=True))

        assert all(isinstance(outcome.error, OutcomeUnknownError) for outcome in found.values())
        assert states(journal) == {"0.pdf": "held", "1.pdf": "held"}

    @pytest.mark.parametrize("is_there", [True, False])
    async def test_a_signed_file_without_a_record_is_recognised(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path, is_there: bool
    ) -> None:
        """What a kill leaves between the file and the last record, and between the first record and the file."""
        await collect(client.sign_all(pdfs(1), journal=journal, save_to=tmp_path))
        (entry,) = journal.entries("signed")
        journal._record([attrs.evolve(entry, state="received")])
        if not is_there:
            (tmp_path / "0.pdf").write_bytes(b"another file")

        found = await collect(client.sign_all(pdfs(1), journal=journal, save_to=tmp_path, overwrite=True))

        assert found["0.pdf"].signed_before is is_there
        assert states(journal) == {"0.pdf": "signed" if is_there else "held"}
        assert service.sign.call_count == 1
        if not is_there:
            assert "is signed, but an earlier run ended before" in str(found["0.pdf"].error)

    async def test_a_file_to_be_replaced_does_not_prove_a_signature(
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
        service.sign.mock(side_effect=signed_response)

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


class TestHeldDocuments:
    async def held(self, client: SignStash, service: MockedService, journal: Journal) -> str:
        service.sign.mock(side_effect=httpx.ReadTimeout("slow"))
        await collect(client.sign_all(pdfs(1), **durably(journal)))
        service.sign.mock(side_effect=signed_response)
        (entry,) = journal.entries("held")
        assert entry.reason
        assert "not known" in entry.reason
        return entry.reference

    async def test_held_documents_stay_held(self, client: SignStash, service: MockedService, journal: Journal) -> None:
        await self.held(client, service, journal)

        found = await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert isinstance(found["0.pdf"].error, OutcomeUnknownError)
        assert "held for review" in str(found["0.pdf"].error)
        assert service.sign.call_count == 1

    async def test_a_requeued_document_is_sent_under_its_reference(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        reference = await self.held(client, service, journal)
        journal.requeue(reference)

        found: dict[str, Outcome] = await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert found["0.pdf"].signed
        assert found["0.pdf"].signed.external_reference == reference

    async def test_a_dropped_document_gets_another_reference(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        reference = await self.held(client, service, journal)
        journal.drop(reference)

        found = await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert found["0.pdf"].signed
        assert found["0.pdf"].signed.external_reference != reference

    async def test_a_dropped_reference_of_the_caller_is_not_used_without_it(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        service.sign.mock(side_effect=httpx.ReadTimeout("slow"))
        await collect(client.sign_all([Document.pdf(PDF, name="0.pdf", external_reference="R")], **durably(journal)))
        service.sign.mock(side_effect=signed_response)
        journal.drop("R")

        found = await collect(client.sign_all([Document.pdf(PDF, name="0.pdf")], **durably(journal)))

        assert found["0.pdf"].signed
        assert found["0.pdf"].signed.external_reference != "R"
        assert states(journal) == {"0.pdf": "signed"}

    async def test_a_class_of_the_users_own_for_a_used_reference_is_understood(
        self, service: MockedService, journal: Journal
    ) -> None:
        class UsedError(DuplicateReferenceError):
            pass

        service.sign.respond(409, json={"errorCode": "0.0.7"})
        classes = {"0.0.7": UsedError}
        async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL, error_classes=classes) as client:
            found = await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert type(found["0.pdf"].error) is UsedError
        assert [entry.probably_signed for entry in journal.entries("held")] == [True]

    async def test_a_requeued_document_is_looked_up_first(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        reference = await self.held(client, service, journal)
        signed_before(service, reference)
        journal.requeue(reference)

        found = await collect(client.sign_all(pdfs(1), **durably(journal), unknown_outcomes="look_up"))

        assert found["0.pdf"].signed
        assert found["0.pdf"].signed.content == b"signed before"
        assert service.sign.call_count == 1, "only in the first run"

    async def test_a_requeued_document_whose_reference_is_used_is_held(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        reference = await self.held(client, service, journal)
        journal.requeue(reference)
        service.sign.respond(409, json={"errorCode": "0.0.7"})

        await collect(client.sign_all(pdfs(1), **durably(journal)))

        (entry,) = journal.entries("held")
        assert "the reference is used" in str(entry.reason)
        assert entry.probably_signed
        journal.drop(reference)
        assert not journal.entries("dropped")[0].probably_signed

    async def test_a_settled_document_counts_as_signed(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        reference = await self.held(client, service, journal)
        journal.settle(reference)

        found = await collect(client.sign_all(pdfs(1), **durably(journal)))
        assert found["0.pdf"].signed_before
        assert found["0.pdf"].saved_as is None
        signed = found["0.pdf"].signed
        assert signed
        with pytest.raises(DocumentNotSavedError):
            await signed.read()
        assert states(journal) == {"0.pdf": "signed"}

    async def test_nothing_is_taken_for_the_contents_of_a_settled_document(
        self,
        client: SignStash,
        service: MockedService,
        journal: Journal,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        journal.settle(await self.held(client, service, journal))
        monkeypatch.chdir(tmp_path)
        Path("0.pdf").write_bytes(b"%PDF- not signed")

        found = await collect(client.sign_all(pdfs(1), **durably(journal)))

        signed: Any = found["0.pdf"].signed
        assert pickle.loads(pickle.dumps(signed)) == signed
        for use in (signed.read(), signed.save(tmp_path / "copy.pdf")):
            with pytest.raises(DocumentNotSavedError, match="you have its signed contents"):
                await use
        with pytest.raises(InvalidDocumentError, match="you have its signed contents"):
            await signed.verify()
        assert not (tmp_path / "copy.pdf").exists()

    async def test_a_document_signed_without_contents_is_held(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        service.sign.mock(side_effect=lambda r: signed_response(r, lambda d: {**d, "signedContent": None}))

        await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert states(journal) == {"0.pdf": "held"}

    async def test_a_used_reference_is_held(self, client: SignStash, service: MockedService, journal: Journal) -> None:
        service.sign.respond(409, json={"errorCode": "0.0.7"})

        await collect(client.sign_all(pdfs(1), **durably(journal)))

        (entry,) = journal.entries("held")
        assert entry.probably_signed

    @pytest.mark.parametrize("decide", [Journal.requeue, Journal.settle, Journal.drop])
    def test_an_invalid_reference_raises(self, journal: Journal, decide: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"\[\] is not held"):
            decide(journal, [])

    def test_an_unusable_folder_raises(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="Check its folder, permissions and disk space"):
            Journal(tmp_path / "none" / "november.journal")

    def test_documents_that_are_not_held_are_unchanged(self, journal: Journal) -> None:
        with pytest.raises(ConfigurationError, match="not held"):
            journal.requeue("nothing")
        with pytest.raises(ConfigurationError, match="not held"):
            journal.drop("nothing")
        with pytest.raises(ConfigurationError, match="not held"):
            journal.settle("nothing")


class TestAttempts:
    """A reference stands for one attempt: after a definite failure the next one gets another."""

    @pytest.fixture
    def fails_once(self, service: MockedService) -> None:
        def sign(request: httpx.Request) -> httpx.Response:
            if service.sign.call_count == 0:
                return signed_response(request, lambda d: {**d, "signStatus": "ERROR_SIGNING", "signedContent": None})
            return signed_response(request)

        service.sign.mock(side_effect=sign)

    @pytest.mark.usefixtures("fails_once")
    async def test_the_next_run_takes_another_reference(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        found = await collect(client.sign_all(pdfs(1), **durably(journal)))
        assert isinstance(found["0.pdf"].error, DocumentNotSignedError)
        assert states(journal) == {"0.pdf": "failed"}

        found = await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert found["0.pdf"].ok
        assert len(set(references_sent(service))) == 2
        assert states(journal) == {"0.pdf": "signed"}

    @pytest.mark.usefixtures("fails_once")
    @pytest.mark.parametrize("durable", [True, False])
    async def test_the_same_run_takes_another_reference(
        self, client: SignStash, service: MockedService, journal: Journal, durable: bool
    ) -> None:
        twice = numbered(0)

        async def source() -> AsyncIterator[Document]:
            yield twice
            await failed.wait()
            yield twice

        failed = asyncio.Event()
        results = []
        async for outcome in client.sign_all(source(), **(durably(journal) if durable else {})):
            results.append(outcome.ok)
            failed.set()

        assert results == [False, True]
        assert len(set(references_sent(service))) == 2

    @pytest.mark.usefixtures("fails_once")
    async def test_the_same_document_object_takes_another_reference(
        self, client: SignStash, service: MockedService
    ) -> None:
        document = numbered(0)
        with pytest.raises(DocumentNotSignedError):
            await client.sign(document)

        assert await client.sign(document)

        assert len(set(references_sent(service))) == 2

    async def test_a_lost_response_changes_no_reference(self, client: SignStash, service: MockedService) -> None:
        document = numbered(0)
        service.sign.mock(side_effect=httpx.ReadTimeout("slow"))
        with pytest.raises(OutcomeUnknownError):
            await client.sign(document)
        service.sign.mock(side_effect=signed_response)

        await client.sign(document)

        assert len(set(references_sent(service))) == 1

    @pytest.mark.parametrize("how", ["sign", "run", "next run"])
    async def test_a_reference_of_the_caller_stays_and_the_error_says_so(
        self, client: SignStash, service: MockedService, journal: Journal, how: str
    ) -> None:
        def used_up(request: httpx.Request) -> httpx.Response:
            if service.sign.call_count == 0:
                return signed_response(request, lambda d: {**d, "signStatus": "ERROR_SIGNING", "signedContent": None})
            return httpx.Response(409, json={"errorCode": "0.0.7"})

        service.sign.mock(side_effect=used_up)
        document = Document.pdf(PDF, name="a.pdf", external_reference="FT_1")
        with contextlib.suppress(DocumentNotSignedError):
            if how == "sign":
                await client.sign(document)
            else:
                await collect(client.sign_all([document], **durably(journal)))
        if how == "sign":
            with pytest.raises(DuplicateReferenceError) as raised:
                await client.sign(document)
            error: SignStashError | None = raised.value
        else:
            if how == "next run":
                document = Document.pdf(PDF, name="a.pdf", external_reference="FT_1")
            error = (await collect(client.sign_all([document], **durably(journal))))["a.pdf"].error

        assert isinstance(error, DuplicateReferenceError)
        assert "'FT_1' was used before, probably by the earlier attempt that failed" in str(error)
        assert "another external_reference" in error.hint
        assert references_sent(service) == ["FT_1", "FT_1"]

    async def test_an_older_copy_of_the_journal_sends_the_same_references(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        """So that the service rejects what the copy does not know as signed."""
        with Journal(tmp_path / "j"):
            pass
        older = (tmp_path / "j").read_bytes()
        for number in range(2):
            with Journal(tmp_path / "j") as journal:
                await collect(client.sign_all(pdfs(3), journal=journal, save_to=tmp_path / str(number)))
            (tmp_path / "j").write_bytes(older)

        sent = references_sent(service)
        assert len(sent) == 6
        assert sent[:3] == sent[3:]


class TestOutages:
    @pytest.mark.parametrize("fault", ["unreachable", "rate limit", "no token"])
    async def test_unsent_documents_are_planned_again_before_a_pause(
        self, service: MockedService, journal: Journal, fault: str
    ) -> None:
        is_tried = asyncio.Event()

        async def fail(_: httpx.Request) -> httpx.Response:
            is_tried.set()
            if fault == "no token":
                await asyncio.Event().wait()
            if fault == "unreachable":
                raise httpx.ConnectError("refused")
            return httpx.Response(429)

        (service.token if fault == "no token" else service.sign).mock(side_effect=fail)
        async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL) as client:
            run = asyncio.create_task(collect(client.sign_all(pdfs(2), **durably(journal))))
            await is_tried.wait()
            if fault != "no token":
                while set(states(journal).values()) != {"planned"}:  # in the pause, which lasts a minute
                    await asyncio.to_thread(str)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run

        assert set(states(journal).values()) == {"planned"}


class TestSources:
    """However a run ends, the outcome of what was in flight is known."""

    @pytest.mark.parametrize("fault", [KeyError, asyncio.CancelledError, GeneratorExit, OSError])
    async def test_a_failing_source_loses_no_result(
        self, client: SignStash, service: MockedService, journal: Journal, fault: type[BaseException]
    ) -> None:
        class Source:
            def __init__(self) -> None:
                self.left = pdfs(2)

            def __aiter__(self) -> Source:
                return self

            async def __anext__(self) -> Document:
                if not self.left:
                    raised.set()
                    raise fault
                return self.left.pop(0)

        async def answer_late(request: httpx.Request) -> httpx.Response:
            await raised.wait()
            return signed_response(request)

        raised = asyncio.Event()
        service.sign.mock(side_effect=answer_late)
        found: dict[str, Outcome] = {}
        with pytest.raises(fault):
            await collect(client.sign_all(Source(), **durably(journal), batch_documents=1), found)

        assert {name: outcome.ok for name, outcome in found.items()} == {"0.pdf": True, "1.pdf": True}

    @pytest.mark.parametrize("how", ["break", "aclose"])
    async def test_leaving_the_loop_records_documents_in_flight(
        self, client: SignStash, service: MockedService, journal: Journal, how: str
    ) -> None:
        both_are_sent, may_answer = asyncio.Event(), asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            if names_sent(request) == ["0.pdf"]:
                await both_are_sent.wait()
            else:
                both_are_sent.set()
                await may_answer.wait()
            return signed_response(request)

        service.sign.mock(side_effect=answer)
        outcomes = client.sign_all(pdfs(2), **durably(journal), batch_documents=1)
        asyncio.get_running_loop().call_later(0.01, may_answer.set)
        if how == "break":
            async for _ in outcomes:
                break
        else:
            await anext(outcomes)
        await outcomes.aclose()

        assert states(journal) == {"0.pdf": "signed", "1.pdf": "signed"}

    async def test_a_cancelled_run_leaves_its_journal_when_nothing_is_written_any_more(
        self, client: SignStash, journal: Journal, tmp_path: Path
    ) -> None:
        is_planned, may_go_on = threading.Event(), threading.Event()

        def save_to(_: Document) -> Path:
            is_planned.set()
            may_go_on.wait(100)
            return tmp_path / "0.pdf"

        run = asyncio.create_task(collect(client.sign_all(pdfs(1), journal=journal, save_to=save_to)))
        await asyncio.to_thread(is_planned.wait, 100)
        run.cancel()
        await asyncio.wait([run], timeout=0.01)
        with pytest.raises(ConfigurationError, match="another run"):
            await collect(client.sign_all(pdfs(1), **durably(journal)))
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await run

        assert (await collect(client.sign_all(pdfs(1), **durably(journal))))["0.pdf"].ok

    async def test_progress_counts_documents_and_their_total(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        await collect(client.sign_all(pdfs(2), **durably(journal)))
        seen: list[Progress] = []

        await collect(client.sign_all(pdfs(5), **durably(journal), progress=seen.append))

        assert (seen[-1].signed_before, seen[-1].signed, seen[-1].failed, seen[-1].total) == (2, 3, 0, 5)
        assert [item.signed + item.signed_before for item in seen] == [1, 2, 3, 4, 5]


class TestFiles:
    async def test_a_deleted_signed_file_is_reported(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        await collect(client.sign_all(pdfs(2), **durably(journal)))
        (durably(journal)["save_to"] / "0.pdf").unlink()

        found = await collect(client.sign_all(pdfs(2), **durably(journal)))

        assert isinstance(found["0.pdf"].error, DocumentNotSavedError)
        assert "is signed, but its signed file" in str(found["0.pdf"].error)
        assert "0.pdf is missing" in str(found["0.pdf"].error)
        assert getattr(found["0.pdf"].error, "maybe_processed", False)
        assert found["1.pdf"].ok
        assert service.sign.call_count == 1

    async def test_a_document_whose_signed_file_is_lost_can_be_dropped(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        await collect(client.sign_all(pdfs(2), **durably(journal)))
        (durably(journal)["save_to"] / "0.pdf").unlink()
        error = (await collect(client.sign_all(pdfs(2), **durably(journal))))["0.pdf"].error
        assert error
        assert "signstash failed drop" in error.hint
        (reference,) = error.external_references

        with pytest.raises(ConfigurationError, match="is not held"):
            journal.requeue(reference)
        journal.drop(reference)
        found = await collect(client.sign_all(pdfs(2), **durably(journal)))

        assert {name: outcome.signed_before for name, outcome in found.items()} == {"0.pdf": False, "1.pdf": True}
        assert found["0.pdf"].signed
        assert found["0.pdf"].signed.external_reference != reference
        assert (durably(journal)["save_to"] / "0.pdf").exists()

    async def test_a_replaced_signed_file_is_reported(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        """It may be the corrected invoice of the same name, which must not be handed out as this document."""
        invoice, corrected = (Document.pdf(PDF + number, name="a.pdf") for number in (b"1", b"2"))
        await collect(client.sign_all([invoice], **durably(journal)))
        await collect(client.sign_all([corrected], **durably(journal), overwrite=True))

        outcomes = [outcome async for outcome in client.sign_all([invoice, corrected], **durably(journal))]

        assert isinstance(outcomes[0].error, DocumentNotSavedError)
        assert "a.pdf was changed or replaced since" in str(outcomes[0].error)
        assert outcomes[1].ok
        assert service.sign.call_count == 2

    @pytest.mark.parametrize("reference", [None, "FT_1"])
    @pytest.mark.parametrize("state", ["signed", "received"])
    async def test_a_signed_file_that_replaced_its_original_is_not_signed_again(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path, state: Any, reference: Any
    ) -> None:
        (tmp_path / "a.pdf").write_bytes(PDF)
        for _ in range(3):
            document = Document.pdf(tmp_path / "a.pdf", external_reference=reference)
            run = client.sign_all([document], save_to=tmp_path, overwrite=True, journal=journal)
            outcome = (await collect(run))["a.pdf"]
            assert outcome.signed
            assert outcome.signed.content == mock_signed(PDF)
            (entry,) = journal.entries("signed")
            journal._record([attrs.evolve(entry, state=state)])  # received: as if killed after the file was replaced

        assert outcome.signed_before
        assert service.sign.call_count == 1

    async def test_a_signed_file_is_signed_again_under_another_reference(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path
    ) -> None:
        """A second signature, and a changed document, whose reference is that of the signed one."""
        await collect(client.sign_all([Document.pdf(PDF, name="a.pdf")], **durably(journal)))
        signed = tmp_path / "signed" / "a.pdf"
        second = Document.pdf(signed, external_reference="second")
        outcome = (await collect(client.sign_all([second], journal=journal, save_to=tmp_path / "twice")))["a.pdf"]
        changed = Document.pdf(PDF + b"1", name="a.pdf", external_reference="second")

        assert outcome.ok
        assert not outcome.signed_before
        other = (await collect(client.sign_all([changed], journal=journal, save_to=tmp_path / "twice")))["a.pdf"]
        assert isinstance(other.error, InvalidDocumentError)
        assert service.sign.call_count == 2

    async def test_an_existing_file_does_not_hide_an_unknown_outcome(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        service.sign.mock(side_effect=httpx.ReadTimeout("slow"))
        await collect(client.sign_all(pdfs(1), **durably(journal)))
        journal.requeue(journal.entries("held")[0].reference)
        (durably(journal)["save_to"] / "0.pdf").write_bytes(b"somebody else's")

        found = await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert isinstance(found["0.pdf"].error, DocumentNotSavedError)
        assert "whether it is signed is not known" in str(found["0.pdf"].error)
        assert states(journal) == {"0.pdf": "held"}

    async def test_journals_of_the_same_name_have_separate_recovery_folders(
        self, client: SignStash, service: MockedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        kept = set[str | None]()
        for number in (b"1", b"2"):
            folder = tmp_path / number.decode()
            (folder / "run.journal.recovered").parent.mkdir()
            (folder / "run.journal.recovered").touch()  # so that it cannot be a folder
            document = Document.pdf(PDF + number, name="a.pdf", external_reference="FT 1/1")
            with Journal(folder / "run.journal") as journal:

                def take_its_place(request: httpx.Request, folder: Path = folder) -> httpx.Response:
                    (folder / "signed" / "a.pdf").touch()
                    return signed_response(request)

                service.sign.mock(side_effect=take_its_place)
                with pytest.raises(DocumentNotSavedError):
                    await collect(client.sign_all([document], **durably(journal)))
                (entry,) = journal.entries("received")
                assert Path(str(entry.kept_as)).read_bytes() == mock_signed(PDF + number)
                assert Path(str(entry.kept_as)).parent.stat().st_mode & 0o077 == 0
                kept.add(entry.kept_as)
        assert len(kept) == 2

    async def test_unverifiable_documents_are_held_for_review(
        self, service: MockedService, journal: Journal, tmp_path: Path
    ) -> None:
        """A proxy returns contents only once, and perhaps it is only the verification that cannot judge them."""
        async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL, verify_signatures=True) as client:
            found = await collect(client.sign_all(pdfs(1), **durably(journal)))

        error = found["0.pdf"].error
        assert isinstance(error, SignatureInvalidError)
        (entry,) = journal.entries("held")
        assert Path(str(entry.kept_as)).read_bytes() == mock_signed(PDF + b"\0")
        assert Path(str(entry.kept_as)).parent == journal.recovery_folder
        assert str(entry.kept_as) in error.hint
        assert list((tmp_path / "signed").iterdir()) == []

    async def test_unsaved_documents_are_recovered_by_the_next_run(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path
    ) -> None:
        def take_their_places(request: httpx.Request) -> httpx.Response:
            for name in names_sent(request):
                (tmp_path / "signed" / name).write_bytes(b"somebody else's")
            return signed_response(request)

        service.sign.mock(side_effect=take_their_places)
        with pytest.raises(DocumentNotSavedError, match=r"run\.journal\.recovered"):
            await collect(client.sign_all(pdfs(3), **durably(journal)))
        (folder,) = {Path(str(entry.kept_as)).parent for entry in journal.entries("received")}
        assert folder == journal.recovery_folder
        assert states(journal) == dict.fromkeys(("0.pdf", "1.pdf", "2.pdf"), "received")

        found = await collect(client.sign_all(pdfs(3), **durably(journal), overwrite=True))

        assert all(outcome.ok and outcome.signed_before for outcome in found.values())
        assert (tmp_path / "signed" / "2.pdf").read_bytes() == mock_signed(PDF + b"\2")
        assert set(states(journal).values()) == {"signed"}
        assert list(folder.iterdir()) == []
        assert service.sign.call_count == 1

    async def test_a_disk_that_is_still_full_ends_the_next_run_before_anything_is_sent(
        self,
        client: SignStash,
        service: MockedService,
        journal: Journal,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def take_its_place(request: httpx.Request) -> httpx.Response:
            (tmp_path / "signed" / "0.pdf").touch()
            return signed_response(request)

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        service.sign.mock(side_effect=take_its_place)
        with pytest.raises(DocumentNotSavedError):
            await collect(client.sign_all(pdfs(1), **durably(journal)))
        (tmp_path / "signed" / "0.pdf").unlink()
        monkeypatch.setattr("os.fsync", full)
        found: dict[str, Outcome] = {}
        with pytest.raises(DocumentNotSavedError, match=r"No space left.*run\.journal\.recovered"):
            await collect(client.sign_all(reversed(pdfs(9)), **durably(journal)), found)
        assert set(found) == {"0.pdf"}
        assert service.sign.call_count == 1
        monkeypatch.undo()

        found = await collect(client.sign_all(pdfs(9), **durably(journal)))

        assert all(outcome.ok for outcome in found.values())
        assert found["0.pdf"].signed_before
        assert service.sign.call_count == 2

    async def test_a_kept_file_that_cannot_be_recognised_is_held(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path, unreadable: Unreadable
    ) -> None:
        def take_its_folder(request: httpx.Request) -> httpx.Response:
            (tmp_path / "signed").rmdir()
            (tmp_path / "signed").touch()
            return signed_response(request)

        service.sign.mock(side_effect=take_its_folder)
        unreadable.folder = journal.recovery_folder
        with pytest.raises(DocumentNotSavedError, match=r"run\.journal\.recovered"):
            await collect(client.sign_all(pdfs(1), **durably(journal)))
        unreadable.folder = None
        (entry,) = journal.entries("held")
        assert entry.signed_digest is None
        assert entry.probably_signed
        assert Path(str(entry.kept_as)).read_bytes() == mock_signed(PDF + b"\0")
        (tmp_path / "signed").unlink()

        found = await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert isinstance(found["0.pdf"].error, OutcomeUnknownError)
        assert str(entry.kept_as) in str(found["0.pdf"].error)
        assert service.sign.call_count == 1

    @pytest.mark.parametrize("digest", [None, ""])
    @pytest.mark.parametrize("state", ["signed", "received"])
    async def test_nothing_proves_a_signature_without_a_digest(
        self, client: SignStash, journal: Journal, tmp_path: Path, state: State, digest: str | None
    ) -> None:
        await collect(client.sign_all(pdfs(1), **durably(journal)))
        (entry,) = journal.entries()
        gone = str(tmp_path / "gone")
        journal._record([attrs.evolve(entry, state=state, signed_digest=digest, saved_as=gone, kept_as=gone)])

        found = await collect(client.sign_all(pdfs(1), **durably(journal), overwrite=True))

        assert not found["0.pdf"].ok
        assert states(journal) == {"0.pdf": "signed" if state == "signed" else "held"}

    @pytest.mark.parametrize("state", ["signed", "received"])
    async def test_a_signed_file_that_cannot_be_read_is_neither_missing_nor_changed(
        self, client: SignStash, service: MockedService, journal: Journal, state: State, unreadable: Unreadable
    ) -> None:
        await collect(client.sign_all(pdfs(1), **durably(journal)))
        (entry,) = journal.entries()
        journal._record([attrs.evolve(entry, state=state)])
        unreadable.folder = durably(journal)["save_to"]
        again: dict[str, Any] = {**durably(journal), "overwrite": True, "unknown_outcomes": "send_again"}
        found = await collect(client.sign_all(pdfs(1), **again))

        assert isinstance(found["0.pdf"].error, DocumentNotSavedError)
        assert re.search(r"0\.pdf cannot be read: Too many open files", str(found["0.pdf"].error))
        assert "changed" not in str(found["0.pdf"].error)
        assert states(journal) == {"0.pdf": state}
        unreadable.folder = None
        assert (await collect(client.sign_all(pdfs(1), **again)))["0.pdf"].ok
        assert service.sign.call_count == 1


class Disk:
    """The disk of a journal, and of the folder for recovery next to it."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        self.is_full = False

    def sync(self, descriptor: int) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)


@attrs.define
class StuckFile:
    """A file that takes so many bytes more, and cannot be made shorter."""

    file: Any
    room: int

    def write(self, data: memoryview) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written: int = self.file.write(data[: self.room])
        self.room -= written
        return written

    def truncate(self, _: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def leave_on_full_disk(path: Path, disk: Disk) -> None:
    """Make a journal which says that a document was sent; that it is signed was recorded on a full disk."""
    with Journal(path) as journal:
        journal._record([entry(1)])
        disk.is_full = True
        with pytest.raises(ConfigurationError, match="No space left"):
            journal._record([entry(1, "signed")], keep=True)
    disk.is_full = False


class TestFullDisk:
    @pytest.fixture
    def disk(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Disk:
        disk = Disk(tmp_path / "temporary")
        disk.temporary.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(disk.temporary))
        monkeypatch.setattr("signstash._journal.records._sync", disk.sync)
        (tmp_path / "run.journal.recovered").touch()  # so that it cannot be a folder
        return disk

    @pytest.mark.parametrize("rescued", [False, True])
    async def test_what_was_signed_meanwhile_is_known_to_the_next_run(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path, disk: Disk, rescued: bool
    ) -> None:
        def sign(request: httpx.Request) -> httpx.Response:
            disk.is_full = True
            if rescued:  # the signed file cannot get its name, either
                (tmp_path / "signed" / "0.pdf").touch()
            return signed_response(request)

        service.sign.mock(side_effect=sign)
        found: dict[str, Outcome] = {}
        with pytest.raises((ConfigurationError, DocumentNotSavedError), match="No space left"):
            await collect(client.sign_all(pdfs(1), **durably(journal)), found)
        assert found["0.pdf"].ok is not rescued
        journal.close()
        disk.is_full = False

        with Journal(tmp_path / "run.journal") as journal:
            assert states(journal) == {"0.pdf": "received" if rescued else "signed"}
            found = await collect(client.sign_all(pdfs(1), **durably(journal), overwrite=True))
            assert states(journal) == {"0.pdf": "signed"}
        assert found["0.pdf"].signed_before
        assert (tmp_path / "signed" / "0.pdf").read_bytes() == mock_signed(PDF + b"\0")
        assert service.sign.call_count == 1
        assert [path for path in disk.temporary.iterdir() if path.is_file()] == []

    async def test_a_recovered_document_is_known_to_the_next_run(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path, disk: Disk
    ) -> None:
        def take_its_place(request: httpx.Request) -> httpx.Response:
            (tmp_path / "signed" / "0.pdf").touch()
            return signed_response(request)

        def place(document: Document) -> Path:
            disk.is_full = True
            return tmp_path / "second" / document.name

        (tmp_path / "run.journal.recovered").unlink()
        service.sign.mock(side_effect=take_its_place)
        with pytest.raises(DocumentNotSavedError, match=r"run\.journal\.recovered"):
            await collect(client.sign_all(pdfs(1), **durably(journal)))
        with pytest.raises(ConfigurationError, match="No space left"):
            await collect(client.sign_all(pdfs(1), journal=journal, save_to=place))
        disk.is_full = False
        journal.close()

        with Journal(tmp_path / "run.journal") as journal:
            found = await collect(client.sign_all(pdfs(1), journal=journal, save_to=tmp_path / "second"))

        assert found["0.pdf"].signed_before
        assert found["0.pdf"].saved_as == tmp_path / "second" / "0.pdf"
        assert found["0.pdf"].saved_as.read_bytes() == mock_signed(PDF + b"\0")
        assert service.sign.call_count == 1

    async def test_what_was_not_processed_is_sent_by_the_next_run(
        self, client: SignStash, service: MockedService, journal: Journal, tmp_path: Path, disk: Disk
    ) -> None:
        def reject(_: httpx.Request) -> httpx.Response:
            disk.is_full = True
            return httpx.Response(429)

        service.sign_effects(reject, signed_response)
        with pytest.raises(ConfigurationError, match="No space left"):
            await collect(client.sign_all(pdfs(1), **durably(journal)))
        journal.close()
        disk.is_full = False

        with Journal(tmp_path / "run.journal") as journal:
            assert states(journal) == {"0.pdf": "planned"}
            assert (await collect(client.sign_all(pdfs(1), **durably(journal))))["0.pdf"].ok

    def test_it_is_recorded_as_soon_as_there_is_room(self, journal: Journal, disk: Disk) -> None:
        disk.is_full = True
        for number in (1, 2):
            with pytest.raises(ConfigurationError, match="No space left"):
                journal._record([entry(number)], keep=True)
        disk.is_full = False
        journal._record([entry(3)])

        assert [item.reference for item in journal.entries()] == ["1", "2", "3"]
        assert list(disk.temporary.iterdir()) == []

    def test_it_is_known_at_once(self, journal: Journal, tmp_path: Path, disk: Disk) -> None:
        journal._record([entry(1), entry(2)])
        disk.is_full = True
        for number in (1, 2, 3):
            with pytest.raises(ConfigurationError, match="No space left"):
                journal._record([entry(number, "held")], keep=True)
        with pytest.raises(ConfigurationError, match="No space left"):
            journal.settle("1")

        assert [item.reference for item in journal.entries("held")] == ["1", "2", "3"]
        disk.is_full = False
        journal.requeue("2")
        journal.close()
        with Journal(tmp_path / "run.journal") as journal:
            assert states(journal) == {"1.pdf": "held", "2.pdf": "requeued", "3.pdf": "held"}

    def test_a_journal_opens_while_its_disk_is_full(self, tmp_path: Path, disk: Disk) -> None:
        path = tmp_path / "run.journal"
        leave_on_full_disk(path, disk)
        disk.is_full = True
        for number in (2, 3):
            with Journal(path) as journal:
                assert journal.entries()[0].state == "signed"
                with pytest.raises(ConfigurationError, match="No space left"):
                    journal._record([entry(number)], keep=True)
        disk.is_full = False

        with Journal(path) as journal:
            assert states(journal) == {"1.pdf": "signed", "2.pdf": "sent", "3.pdf": "sent"}
        assert list(disk.temporary.iterdir()) == []

    def test_a_journal_needs_no_temporary_folder(
        self, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Python accepts only one in which it can write."""

        def fail() -> str:
            raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

        monkeypatch.setattr("tempfile.gettempdir", fail)
        leave_on_full_disk(tmp_path / "run.journal", disk)
        with Journal(tmp_path / "run.journal") as journal:
            assert states(journal) == {"1.pdf": "sent"}, "in doubt"

    @pytest.mark.parametrize("first", ["copy", "original"])
    def test_a_copy_does_not_take_what_is_kept_for_the_original(self, tmp_path: Path, disk: Disk, first: str) -> None:
        paths = {where: tmp_path / where / "run.journal" for where in ("original", "copy")}
        for path in paths.values():
            path.parent.mkdir()
        leave_on_full_disk(paths["original"], disk)
        paths["copy"].write_bytes(paths["original"].read_bytes())

        found = {}
        for where in sorted(paths, key=lambda where: where != first):
            with Journal(paths[where]) as journal:
                found[where] = states(journal)["1.pdf"]

        assert found == {"original": "signed", "copy": "sent"}

    def test_it_is_found_where_it_was_kept(self, tmp_path: Path, disk: Disk) -> None:
        path, other, link = (tmp_path / name for name in ("run.journal", "other", "link"))
        leave_on_full_disk(path, disk)

        path.rename(other)
        with Journal(other) as journal:
            assert states(journal) == {"1.pdf": "sent"}, "in doubt"
        other.rename(path)
        link.symlink_to(path)
        with Journal(link) as journal:
            assert states(journal) == {"1.pdf": "signed"}

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    @pytest.mark.parametrize("when", ["it is kept again", "it is written", "it is opened"])
    def test_a_kill_at_any_moment_loses_nothing_that_was_kept(self, tmp_path: Path, disk: Disk, when: str) -> None:
        path = tmp_path / "run.journal"

        def go_on_until(moment: int) -> None:
            left = moment

            def kill(event: str, _: object) -> None:
                nonlocal left
                if event in ("open", "os.remove", "os.rename", "os.link"):
                    left -= 1
                    if left < 0:
                        os._exit(9)

            journal = Journal(path)
            journal._record([entry(1)])
            disk.is_full = True
            with contextlib.suppress(ConfigurationError):
                journal._record([entry(1, "signed")], keep=True)
            disk.is_full = when == "it is kept again"
            if when == "it is opened":
                journal.close()
            sys.addaudithook(kill)
            if when == "it is opened":
                journal = Journal(path)
            with contextlib.suppress(ConfigurationError):
                journal._record([entry(2)], keep=True)
            os._exit(0)

        moment, found, status = 0, dict[str, str](), 9
        while status == 9:
            path.unlink(missing_ok=True)
            child = os.fork()
            if child == 0:
                go_on_until(moment)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            with Journal(path) as journal:
                found = states(journal)
            assert found["1.pdf"] == "signed", f"killed at moment {moment}"
            moment += 1
        assert (status, found["2.pdf"]) == (0, "sent")
        assert moment > 1

    @pytest.mark.parametrize("is_closed", [False, True])
    @pytest.mark.parametrize("length", [0, 1, 150, 10_000])
    def test_what_cannot_be_removed_from_the_journal_is_followed(
        self, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, length: int, is_closed: bool
    ) -> None:
        """A disk that cannot be written to the end may not let the file be shortened, either."""
        with Journal(tmp_path / "run.journal") as journal:
            journal._record([entry(1)])
            file = StuckFile(journal._file._file, length)
            monkeypatch.setattr(journal._file, "_file", file)
            disk.is_full = True
            with pytest.raises(ConfigurationError, match="No space left"):
                journal._record([entry(1, "held"), entry(2)])
            with pytest.raises(ConfigurationError, match="No space left"):
                journal._record([entry(2, "signed"), entry(3)], keep=True)
            expected = {"1.pdf": "held" if length else "sent", "2.pdf": "signed", "3.pdf": "sent"}
            assert states(journal) == expected
            disk.is_full = False
            if not is_closed:
                file.room = 10_000
                journal._record([entry(3, "signed")])
                expected["3.pdf"] = "signed"
                assert states(journal) == expected
        with Journal(tmp_path / "run.journal") as journal:
            assert states(journal) == expected
        assert list(disk.temporary.iterdir()) == []

    def test_what_is_kept_belongs_to_the_journal_as_it_was(
        self, journal: Journal, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def references(journal_bytes: bytes, kept_bytes: bytes) -> list[str]:
            (tmp_path / "run.journal").write_bytes(journal_bytes)
            kept.write_bytes(kept_bytes)
            with Journal(tmp_path / "run.journal") as journal:
                return [item.reference for item in journal.entries()]

        journal._record([entry(1)])
        older = (tmp_path / "run.journal").read_bytes()
        journal._record([entry(2)])
        disk.is_full = True
        with pytest.raises(ConfigurationError, match="No space left"):
            journal._record([entry(3)], keep=True)
        disk.is_full = False
        journal.close()
        (kept,) = disk.temporary.iterdir()
        assert kept.stat().st_mode & 0o077 == 0, "it names documents"
        newer, more = (tmp_path / "run.journal").read_bytes(), kept.read_bytes()

        assert references(older, more) == ["1"]
        assert references(newer, more[:-9]) == ["1", "2"], "half a record is none"
        assert references(newer, more) == ["1", "2", "3"]
        monkeypatch.setattr(os, "geteuid", lambda: -1)
        assert references(newer, more) == ["1", "2"], "another user wrote it"


class TestFile:
    def test_one_process_at_a_time_opens_a_journal(self, journal: Journal, tmp_path: Path) -> None:
        assert "is in use" in open_in_another_process(tmp_path / "run.journal")

    def test_opening_the_file_again_does_not_release_the_lock(self, journal: Journal, tmp_path: Path) -> None:
        (tmp_path / "run.journal").read_bytes()
        with pytest.raises(ConfigurationError, match="is in use"):
            Journal(tmp_path / "run.journal")

        assert "is in use" in open_in_another_process(tmp_path / "run.journal")

    @pytest.mark.skipif(sys.platform == "win32", reason="there no file that is in use can be moved")
    @pytest.mark.parametrize("how", ["second name", "moved", "lock removed"])
    def test_other_names_of_the_file_do_not_bypass_the_lock(self, journal: Journal, tmp_path: Path, how: str) -> None:
        other = tmp_path / "other"
        if how == "second name":
            other.hardlink_to(tmp_path / "run.journal")
        elif how == "moved":
            (tmp_path / "run.journal").rename(other)
        else:
            (tmp_path / "run.journal.lock").unlink()
            other = tmp_path / "run.journal"

        assert "is in use" in open_in_another_process(other)

        journal._record([entry(1)])
        journal.close()
        with Journal(other) as journal:
            assert len(journal.entries()) == 1

    @pytest.mark.skipif(sys.platform == "win32", reason="there no file that is in use can be replaced")
    @pytest.mark.parametrize("how", ["in place", "renamed", "removed"])
    def test_a_record_of_a_deleted_file_raises(self, journal: Journal, tmp_path: Path, how: str) -> None:
        path, copy = tmp_path / "run.journal", tmp_path / "copy"
        copy.write_bytes(path.read_bytes())
        journal._record([entry(1)])
        if how == "in place":
            path.write_bytes(copy.read_bytes())
        elif how == "renamed":
            copy.replace(path)
        else:
            path.unlink()

        with pytest.raises(ConfigurationError, match="replaced, changed or removed while it was in use"):
            journal._record([entry(2)])

        journal.close()
        with Journal(path) as journal:
            assert journal.entries() == []

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_child_does_not_wait_for_threads_of_its_parent(self, journal: Journal) -> None:
        with journal._mutex:  # as a thread that records something
            child = os.fork()
            if child == 0:
                signal.alarm(100)
                with contextlib.suppress(ConfigurationError):
                    journal.entries()
                journal.close()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_child_neither_uses_nor_unlocks_the_journal(self, journal: Journal, tmp_path: Path) -> None:
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(ConfigurationError):
                try:
                    journal.entries()
                except ConfigurationError as error:
                    status = 0 if "parent" in str(error) else 2
            journal.close()
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

        assert "is in use" in open_in_another_process(tmp_path / "run.journal")
        assert journal.entries() == []

    def test_a_closed_journal_can_be_opened_by_another_process(self, tmp_path: Path) -> None:
        Journal(tmp_path / "run.journal").close()
        assert [path.name for path in tmp_path.iterdir()] == ["run.journal"]

        assert open_in_another_process(tmp_path / "run.journal") == ""

    @pytest.mark.parametrize(
        "name", ["missing/run.journal", "notes.txt", "empty", ".", ":memory:", "sqlite", os.devnull]
    )
    def test_an_invalid_path_of_a_journal_raises(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "notes.txt").write_text("not a journal")
        (tmp_path / "empty").touch()
        (tmp_path / "sqlite").write_bytes(b"SQLite format 3\0" + bytes(4096))

        with pytest.raises(ConfigurationError, match="journal"):
            Journal(name)

    async def test_nothing_is_written_in_the_event_loop(
        self, client: SignStash, journal: Journal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads: list[threading.Thread] = []
        monkeypatch.setattr("signstash._journal.records._sync", lambda _: threads.append(threading.current_thread()))

        async with client.batching(**durably(journal)) as batching:
            for document in pdfs(3):
                await batching.sign(document)

        assert threads
        assert threading.current_thread() not in threads

    async def test_a_run_without_documents_writes_nothing(self, client: SignStash, journal: Journal) -> None:
        await collect(client.sign_all(pdfs(1), **durably(journal)))
        length = journal._path.stat().st_size

        await collect(client.sign_all(pdfs(1), **durably(journal)))

        assert journal._path.stat().st_size == length

    async def test_a_journal_with_numbers_of_runs_is_read(self, client: SignStash, tmp_path: Path) -> None:
        with Journal(tmp_path / "run.journal") as journal:
            journal._file.append([{"run": 7}])
            await collect(client.sign_all(pdfs(1), **durably(journal)))

        with Journal(tmp_path / "run.journal") as journal:
            assert [entry.run for entry in journal.entries()] == [8]
            found = await collect(client.sign_all(pdfs(1), **durably(journal)))
        assert found["0.pdf"].signed_before

    def test_a_journal_of_another_version_raises(self, tmp_path: Path) -> None:
        (tmp_path / "run.journal").write_text("signstash-journal 2 0a1b 00000000\n")

        with pytest.raises(ConfigurationError, match="another version"):
            Journal(tmp_path / "run.journal")

    def test_a_journal_needs_no_database(self, tmp_path: Path) -> None:
        program = "import sys; sys.modules['_sqlite3'] = None; from signstash import Journal; Journal('j').close()"
        subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)

    def test_every_copy_of_the_file_is_a_journal(self, tmp_path: Path) -> None:
        """Records are in the one file when the call returns; one that is written while it is copied is left out."""
        path, copy = tmp_path / "run.journal", tmp_path / "copy"
        written: list[bytes] = []
        with Journal(path) as journal:
            for number in range(5):
                journal._record([entry(number), entry(number, "signed")])
                written.append(path.read_bytes())
        whole = written[-1]
        complete = {content: number + 1 for number, content in enumerate(written)}

        for length in range(len(written[-2]), len(whole) + 1):
            copy.write_bytes(whole[:length])
            with Journal(copy) as journal:
                known = len(journal.entries("signed"))
                journal._record([entry(99)])
            if whole[:length] in complete:
                assert known == complete[whole[:length]]
            with Journal(copy) as journal:
                assert len(journal.entries("signed")) == known
                assert journal.entries()[-1].reference == "99"

    def test_every_flipped_bit_is_found(self, tmp_path: Path) -> None:
        path = tmp_path / "run.journal"
        with Journal(path) as journal:
            journal._record([entry(1), entry(2)])
        whole = path.read_bytes()

        for position in range(len(whole)):
            flipped = bytearray(whole)
            flipped[position] ^= 1 << position % 8
            path.write_bytes(flipped)
            with pytest.raises(ConfigurationError, match=r"damaged|not a journal"):
                Journal(path)

    def test_a_missing_line_is_found(self, tmp_path: Path) -> None:
        path = tmp_path / "run.journal"
        with Journal(path) as journal:
            journal._record([entry(number) for number in range(3)])
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:2] + lines[3:]))

        with pytest.raises(ConfigurationError, match=r"damaged in line 3.*Restore a copy"):
            Journal(path)

    def test_a_full_disk_leaves_no_half_record(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        with Journal(tmp_path / "run.journal") as journal:
            journal._record([entry(1)])
            with monkeypatch.context() as patched:
                patched.setattr("signstash._journal.records._sync", full)
                with pytest.raises(ConfigurationError, match="No space left"):
                    journal._record([entry(2)])
            journal._record([entry(3)])
        with Journal(tmp_path / "run.journal") as journal:
            assert [item.reference for item in journal.entries()] == ["1", "3"]

    async def test_a_closed_journal_is_rejected(self, client: SignStash, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "run.journal")
        journal.close()
        journal.close()

        with pytest.raises(ConfigurationError, match="was used after it was closed"):
            await collect(client.sign_all(pdfs(1), **durably(journal)))

    def test_an_unknown_state_is_rejected(self, journal: Journal) -> None:
        state: Any = "set-aside"

        with pytest.raises(ConfigurationError, match="held"):
            journal.entries(state)

    async def test_documents_in_flight_are_sent_once(
        self, client: SignStash, service: MockedService, journal: Journal
    ) -> None:
        await collect(client.sign_all(pdfs(100), **durably(journal), batch_documents=7, in_flight=4))

        names = [name for call in service.sign.calls for name in names_sent(call.request)]
        assert sorted(names) == sorted(f"{number}.pdf" for number in range(100))
        assert set(states(journal).values()) == {"signed"}

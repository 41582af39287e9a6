"""Documents that arrive one by one share requests."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from signstash import (
    CertificateNotProvisionedError,
    ClientServiceInactiveError,
    ConfigurationError,
    ConnectionFailedError,
    CredentialsRejectedError,
    Document,
    DocumentCertificateError,
    DocumentNotSavedError,
    DocumentNotSignedError,
    DuplicateReferenceError,
    InvalidDocumentError,
    Journal,
    OutcomeUnknownError,
    Progress,
    RateLimitedError,
    RetryPolicy,
    SignedDocument,
    SignStash,
)
from signstash.settings import UnknownOutcomes
from signstash.testing import MockSignStash
from tests.conftest import note_of_cancellation, signed_response
from tests.fault_server import Clock

PDF = b"%PDF-1.7\n%%EOF\n"


def document(number: int, **options: str) -> Document:
    return Document.pdf(PDF, name=f"{number}.pdf", external_reference=f"invoice_{number}", **options)  # type: ignore[arg-type]


@pytest.fixture
def client(signstash_mock: MockSignStash) -> SignStash:
    return signstash_mock.client


def sizes(mock: MockSignStash) -> list[int]:
    return [len(request.documents) for request in mock.sign_requests]


async def test_a_single_document_is_sent_at_once(client: SignStash, signstash_mock: MockSignStash) -> None:
    async with client.batching() as batching:
        signed = await batching.sign(document(1))

    assert signed.external_reference == "invoice_1"
    assert sizes(signstash_mock) == [1]


async def test_concurrent_documents_share_requests(client: SignStash, signstash_mock: MockSignStash) -> None:
    async with client.batching(in_flight=1) as batching:
        signed = await asyncio.gather(*(batching.sign(document(number)) for number in range(120)))

    assert [item.external_reference for item in signed] == [f"invoice_{number}" for number in range(120)]
    assert sizes(signstash_mock) == [50, 50, 20]


async def test_each_caller_gets_its_own_error(client: SignStash, signstash_mock: MockSignStash) -> None:
    signstash_mock.document_fails("2.pdf", "INVALID_CERTIFICATE_SIGN_ERROR")
    async with client.batching() as batching:
        results = await asyncio.gather(
            *(batching.sign(document(number)) for number in range(4)), return_exceptions=True
        )

    assert [type(result) for result in results].count(SignedDocument) == 3
    assert isinstance(results[2], DocumentNotSignedError)


async def test_a_request_rejected_for_one_document_is_split(client: SignStash, signstash_mock: MockSignStash) -> None:
    await client.sign(document(2))
    async with client.batching() as batching:
        results = await asyncio.gather(
            *(batching.sign(document(number)) for number in range(4)), return_exceptions=True
        )

    assert [isinstance(result, SignedDocument) for result in results] == [True, True, False, True]
    assert isinstance(results[2], DuplicateReferenceError)


async def test_documents_with_different_options_are_in_different_requests(
    client: SignStash, signstash_mock: MockSignStash
) -> None:
    async with client.batching() as batching:
        await asyncio.gather(
            *(batching.sign(document(number), description=f"batch {number % 2}") for number in range(10))
        )

    assert sorted(sizes(signstash_mock)) == [5, 5]


async def test_an_error_that_concerns_all_is_raised_by_each_call(
    client: SignStash, signstash_mock: MockSignStash
) -> None:
    signstash_mock.credentials_rejected()
    async with client.batching() as batching:
        results = await asyncio.gather(
            *(batching.sign(document(number)) for number in range(3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [CredentialsRejectedError] * 3
        assert len({id(result) for result in results}) == 3
        signstash_mock.clear_scenarios()
        with pytest.raises(CredentialsRejectedError):  # not asked for again during 30 seconds
            await batching.sign(document(3))


class TestErrorsOfOthers:
    """What the others get, whose documents are not what failed."""

    def about(self, error: Any, number: int) -> bool:
        """Whether an error is about this document, and says nothing about the others."""
        others = {0, 1, 2, 3} - {number}
        texts = [str(error), repr(vars(error)), *map(repr, error.args)]
        return error.external_references == (f"invoice_{number}",) and not any(
            f"{sign}{other}{end}" in text
            for other in others
            for sign, end in (("invoice_", ""), ("", ".pdf"))
            for text in texts
        )

    async def errors(self, client: SignStash, **options: Any) -> list[Any]:
        async with client.batching(**options) as batching:
            return await asyncio.gather(
                *(batching.sign(document(number)) for number in range(4)), return_exceptions=True
            )

    async def test_a_file_that_cannot_be_saved_is_given_to_its_caller_alone(
        self, client: SignStash, signstash_mock: MockSignStash, tmp_path: Path
    ) -> None:
        def take_its_place(request: httpx.Request) -> httpx.Response:
            (tmp_path / "0.pdf").touch()
            return signed_response(request)

        signstash_mock.routes.sign.mock(side_effect=take_its_place)
        found = await self.errors(client, save_to=tmp_path, in_flight=1, batch_documents=1)

        failed = [number for number in range(1, 4) if isinstance(found[number], Exception)]
        assert failed
        assert found[0].signed.name == "0.pdf"
        for number in failed:
            assert isinstance(found[number], DocumentNotSavedError)
            assert self.about(found[number], number)
            assert "was not processed" in str(found[number])
            assert (found[number].signed, found[number].maybe_processed) == (None, False)

    async def test_a_missing_certificate_is_not_that_of_another_document(
        self, client: SignStash, signstash_mock: MockSignStash
    ) -> None:
        signstash_mock.certificate_not_provisioned()
        found = await self.errors(client, in_flight=1, batch_documents=1)

        assert isinstance(found[0], DocumentCertificateError)
        unsent = found[len(signstash_mock.sign_requests) :]
        assert [type(error) for error in unsent] == [CertificateNotProvisionedError] * len(unsent)
        assert unsent
        for number in range(4):
            assert self.about(found[number], number)
            assert "backoffice" in found[number].hint
            assert not found[number].maybe_processed

    @pytest.mark.parametrize("status", [429, 503])
    async def test_documents_of_a_failed_request_have_their_own_errors(
        self, client: SignStash, signstash_mock: MockSignStash, status: int
    ) -> None:
        signstash_mock.routes.sign.mock(return_value=httpx.Response(status), side_effect=None)
        found = await self.errors(client)

        assert len(signstash_mock.routes.sign.calls) == 1
        for number in range(4):
            assert self.about(found[number], number)
            assert found[number].maybe_processed is (status == 503)

    async def test_documents_of_a_rejected_request_have_their_own_errors(
        self, client: SignStash, signstash_mock: MockSignStash
    ) -> None:
        signstash_mock.client_service_inactive()
        found = await self.errors(client)

        for number in range(4):
            assert isinstance(found[number], ClientServiceInactiveError)
            assert self.about(found[number], number)
            assert str(found[number]).startswith(f"Document invoice_{number}: the client service's state")

    async def test_lost_responses_of_others_leave_no_doubt_about_what_was_not_sent(
        self, client: SignStash, signstash_mock: MockSignStash
    ) -> None:
        signstash_mock.routes.sign.mock(side_effect=httpx.ReadTimeout("slow"))
        async with client.batching(in_flight=1, batch_documents=1) as batching:
            found = await asyncio.gather(
                *(batching.sign(document(number)) for number in range(9)), return_exceptions=True
            )

        sent = len(signstash_mock.routes.sign.calls)
        assert sent < 9
        assert all(isinstance(error, OutcomeUnknownError) for error in found[:sent])
        for error in found[sent:]:
            assert isinstance(error, ConnectionFailedError)
            assert error.retryable
            assert "is signed" not in str(error)

    async def test_who_has_no_result_because_of_another_is_told_that_it_may_be_signed(
        self, client: SignStash, signstash_mock: MockSignStash, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        both, ended = asyncio.Event(), asyncio.Event()

        async def respond(request: httpx.Request) -> httpx.Response:
            if "0.pdf" in request.content.decode():
                await both.wait()
                asyncio.get_running_loop().call_later(0, ended.set)
                return httpx.Response(400, json={"errorCode": "1.1.1"})
            both.set()
            await ended.wait()
            return signed_response(request)

        async def fail(*_: Any) -> Any:
            await ended.wait()
            raise LookupError("unexpected")

        signstash_mock.routes.sign.mock(side_effect=respond)
        monkeypatch.setattr("signstash._signing.signer.Signer.read", fail)
        async with client.batching(in_flight=2, batch_documents=1) as batching:
            found = await asyncio.gather(
                *(batching.sign(document(number)) for number in range(2)), return_exceptions=True
            )

        assert isinstance(found[0], ClientServiceInactiveError)
        assert isinstance(found[1], OutcomeUnknownError)
        assert self.about(found[1], 1)
        assert "has no result" in str(found[1])


async def test_a_cancelled_call_does_not_affect_others(
    client: SignStash, signstash_mock: MockSignStash, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with client.batching() as batching:
        calls = [asyncio.create_task(batching.sign(document(number))) for number in range(3)]
        while not sizes(signstash_mock):  # noqa: ASYNC110 - the mock has no event for it
            await asyncio.sleep(0)
        calls[1].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)

    assert [isinstance(result, SignedDocument) for result in results] == [True, False, True]
    assert "outcome of 1.pdf" in caplog.text


async def test_a_call_cancelled_before_it_is_sent_is_not_sent(client: SignStash, signstash_mock: MockSignStash) -> None:
    async with client.batching() as batching:
        calls = [asyncio.create_task(batching.sign(document(number))) for number in range(3)]
        await asyncio.sleep(0)
        calls[1].cancel()
        await asyncio.wait(calls)

    assert sizes(signstash_mock) == [2]


async def test_the_deadline_counts_from_the_call(client: SignStash, signstash_mock: MockSignStash) -> None:
    async with client.batching() as batching:
        with pytest.raises((OutcomeUnknownError, ConnectionFailedError), match="invoice_1"):
            await batching.sign(document(1), deadline=1e-9)


async def test_too_many_waiting_documents_are_rejected_on_request(
    client: SignStash, signstash_mock: MockSignStash
) -> None:
    async with client.batching(max_waiting=2, when_full="raise") as batching:
        results = await asyncio.gather(
            *(batching.sign(document(number)) for number in range(3)), return_exceptions=True
        )

    assert [type(result) for result in results] == [SignedDocument, SignedDocument, RateLimitedError]


async def test_too_many_waiting_documents_wait(client: SignStash, signstash_mock: MockSignStash) -> None:
    async with client.batching(max_waiting=2) as batching:
        results = await asyncio.gather(*(batching.sign(document(number)) for number in range(7)))

    assert len(results) == 7


async def test_a_journal_records_every_document(
    client: SignStash, signstash_mock: MockSignStash, tmp_path: Path
) -> None:
    with Journal(tmp_path / "a.journal") as journal:
        async with client.batching(save_to=tmp_path / "signed", journal=journal) as batching:
            first = await asyncio.gather(*(batching.sign(document(number)) for number in range(3)))
            again = await batching.sign(document(1))
        assert {entry.state for entry in journal.entries()} == {"signed"}

    assert again.saved_as == first[1].saved_as
    assert sum(sizes(signstash_mock)) == 3


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("reference", [None, "invoice_1"])
async def test_a_journal_knows_what_was_sent_before_under_load_too(
    client: SignStash, signstash_mock: MockSignStash, tmp_path: Path, is_lost: bool, reference: str | None
) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        if b"busy.pdf" in request.content:
            arrived.set()
            await answers.wait()
        elif is_lost:
            raise httpx.ReadError("lost")
        return signed_response(request)

    arrived, answers = asyncio.Event(), asyncio.Event()
    signstash_mock.routes.sign.mock(side_effect=answer)
    results: list[Any] = []
    with Journal(tmp_path / "a.journal") as journal:
        async with client.batching(save_to=tmp_path / "signed", journal=journal) as batching:
            busy = asyncio.create_task(batching.sign(Document.pdf(PDF, name="busy.pdf")))
            await arrived.wait()
            for _ in range(3):
                one = Document.pdf(PDF, name="1.pdf", external_reference=reference)
                results += await asyncio.gather(batching.sign(one), return_exceptions=True)
            answers.set()
            await busy

    assert [type(result) for result in results] == [OutcomeUnknownError if is_lost else SignedDocument] * 3
    references = [result.external_references[0] if is_lost else result.external_reference for result in results]
    assert len(set(references)) == 1
    assert signstash_mock.routes.sign.call_count == 2


async def test_a_journal_accepts_no_twin_of_a_document_in_flight(
    client: SignStash, signstash_mock: MockSignStash, tmp_path: Path
) -> None:
    with Journal(tmp_path / "a.journal") as journal:
        async with client.batching(save_to=tmp_path / "signed", journal=journal) as batching:
            twins = (batching.sign(document(1)) for _ in range(2))
            results = await asyncio.gather(*twins, return_exceptions=True)

    assert [type(result) for result in results] == [SignedDocument, InvalidDocumentError]
    assert sum(sizes(signstash_mock)) == 1


async def test_a_document_in_flight_is_not_accepted_again(client: SignStash) -> None:
    one = document(1)
    async with client.batching() as batching:
        results = await asyncio.gather(batching.sign(one), batching.sign(one), return_exceptions=True)

    assert isinstance(results[1], InvalidDocumentError)


class TestGivenAgain:
    """The same Document object, given again after its caller left."""

    async def test_the_next_call_gets_the_outcome_of_what_is_in_flight(
        self, client: SignStash, signstash_mock: MockSignStash, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def answer(request: httpx.Request) -> httpx.Response:
            arrived.set()
            await answers.wait()
            return signed_response(request)

        arrived, answers, one = asyncio.Event(), asyncio.Event(), Document.pdf(PDF, name="1.pdf")
        signstash_mock.routes.sign.mock(side_effect=answer)
        async with client.batching(max_waiting=1, when_full="raise") as batching:
            first = asyncio.create_task(batching.sign(one))
            await arrived.wait()
            assert "nothing is signed twice" in await note_of_cancellation(first)
            again = asyncio.create_task(batching.sign(one))
            await asyncio.sleep(0)
            with pytest.raises(InvalidDocumentError, match="is being signed already"):
                await batching.sign(one)
            answers.set()
            signed = await again
            assert signed.name == "1.pdf"
            assert signstash_mock.routes.sign.call_count == 1
            assert "nobody waits for" not in caplog.text
            assert (await batching.sign(document(2))).name == "2.pdf"

    async def test_a_document_that_was_not_sent_yet_is_sent_once(
        self, client: SignStash, signstash_mock: MockSignStash
    ) -> None:
        async def answer(request: httpx.Request) -> httpx.Response:
            arrived.set()
            await answers.wait()
            return signed_response(request)

        arrived, answers, one = asyncio.Event(), asyncio.Event(), document(1)
        signstash_mock.routes.sign.mock(side_effect=answer)
        async with client.batching(in_flight=1) as batching:
            busy = asyncio.create_task(batching.sign(document(0)))
            await arrived.wait()
            for _ in range(3):
                call = asyncio.create_task(batching.sign(one))
                for _ in range(20):  # until it is in a batch
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait([call])
            again = asyncio.create_task(batching.sign(one))
            await asyncio.sleep(0)
            answers.set()

            assert [(await call).external_reference for call in (busy, again)] == ["invoice_0", "invoice_1"]
        assert signstash_mock.routes.sign.call_count == 2

    async def test_a_document_withdrawn_between_two_attempts_leaves_its_place(
        self, client: SignStash, signstash_mock: MockSignStash
    ) -> None:
        def reject(request: httpx.Request) -> httpx.Response:
            call.cancel()
            return httpx.Response(429, headers={"Retry-After": "1"})

        one = document(1)
        signstash_mock.routes.sign.mock(side_effect=reject)
        async with client.batching(max_waiting=1) as batching:
            call = asyncio.create_task(batching.sign(one))
            await asyncio.wait([call])
            signstash_mock.routes.sign.mock(side_effect=signed_response)
            assert (await batching.sign(document(2), deadline=5)).external_reference == "invoice_2"
            assert (await batching.sign(one, deadline=5)).external_reference == "invoice_1"


async def test_a_closed_batching_raises(client: SignStash) -> None:
    async with client.batching() as batching:
        pass
    with pytest.raises(ConfigurationError, match="closed"):
        await batching.sign(document(1))


@pytest.mark.parametrize("wrong", [{"max_waiting": 0}, {"when_full": "drop"}, {"in_flight": 1.5}, {"linger": -1}])
async def test_unusable_arguments_are_named(client: SignStash, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        client.batching(**wrong)  # type: ignore[arg-type]


async def test_a_run_ends_although_a_caller_left_before_its_request_was_rejected(
    client: SignStash, signstash_mock: MockSignStash, tmp_path: Path
) -> None:
    async def leave(request: httpx.Request) -> httpx.Response:
        calls[1].cancel()
        await asyncio.wait([calls[1]])
        signstash_mock.routes.sign.mock(side_effect=signed_response)
        return httpx.Response(409, json={"errorCode": "0.0.7"})

    signstash_mock.routes.sign.mock(side_effect=leave)
    with Journal(tmp_path / "run.journal") as journal:
        async with client.batching(journal=journal, save_to=tmp_path / "signed") as batching:
            calls = [asyncio.create_task(batching.sign(document(number))) for number in range(2)]
            assert (await calls[0]).name == "0.pdf"
            assert calls[1].cancelled()
            await asyncio.wait_for(asyncio.shield(batching._run or asyncio.sleep(0)), 10)
            assert batching._run is None
            assert {entry.name: entry.state for entry in journal.entries()} == {"0.pdf": "signed", "1.pdf": "planned"}


@pytest.mark.parametrize("has_journal", [False, True])
async def test_a_caller_that_comes_back_gets_the_outcome_of_its_half_of_a_request(
    client: SignStash, signstash_mock: MockSignStash, tmp_path: Path, has_journal: bool
) -> None:
    good = document(1)

    async def sign(request: httpx.Request) -> httpx.Response:
        names = [name for name in ("0.pdf", "1.pdf") if name.encode() in request.content]
        sent.append(names)
        if len(names) == 2:
            leaving.cancel()
            await asyncio.wait([leaving])
        elif "0.pdf" in names:
            halved.set()
            await answers.wait()
        return httpx.Response(400, json={"errorCode": "0.0.6"}) if "0.pdf" in names else signed_response(request)

    sent: list[list[str]] = []
    halved, answers = asyncio.Event(), asyncio.Event()
    signstash_mock.routes.sign.mock(side_effect=sign)
    with Journal(tmp_path / "run.journal") if has_journal else nullcontext() as journal:
        async with client.batching(in_flight=1, save_to=tmp_path / "signed", journal=journal) as batching:
            bad, leaving = (asyncio.create_task(batching.sign(each)) for each in (document(0), good))
            await halved.wait()
            again = asyncio.create_task(batching.sign(good))
            await asyncio.sleep(0)
            answers.set()
            assert (await again).name == "1.pdf"
            await asyncio.wait([bad])

    assert sent == [["0.pdf", "1.pdf"], ["0.pdf"], ["1.pdf"]]


async def test_a_deadline_that_ends_between_two_attempts_leaves_no_doubt() -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"Retry-After": "1"}, json={})

    auth, policy = httpx.BasicAuth("a", "b"), RetryPolicy.interactive()
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(respond)) as http_client,
        SignStash("http://127.0.0.1:9", "alias", auth=auth, http_client=http_client, retries=policy) as client,
        client.batching() as batching,
    ):
        with pytest.raises(ConnectionFailedError, match="was not processed") as failed:
            await batching.sign(document(1), deadline=0.05)

    assert not failed.value.maybe_processed


async def test_a_file_that_is_replaced_can_be_replaced_again_under_load(
    client: SignStash, signstash_mock: MockSignStash, tmp_path: Path
) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        if b"busy.pdf" in request.content:
            arrived.set()
            await answers.wait()
        return signed_response(request)

    arrived, answers = asyncio.Event(), asyncio.Event()
    signstash_mock.routes.sign.mock(side_effect=answer)
    async with client.batching(save_to=tmp_path, overwrite=True) as batching:
        busy = asyncio.create_task(batching.sign(Document.pdf(PDF, name="busy.pdf")))
        await arrived.wait()
        for _ in range(2):
            assert (await batching.sign(Document.pdf(PDF, name="1.pdf"))).saved_as == tmp_path / "1.pdf"
        answers.set()
        await busy


async def test_withdrawn_documents_leave_memory(client: SignStash, signstash_mock: MockSignStash) -> None:
    arrived, free = asyncio.Event(), asyncio.Event()

    async def respond_late(request: httpx.Request) -> httpx.Response:
        arrived.set()
        await free.wait()
        return signed_response(request)

    signstash_mock.routes.sign.mock(side_effect=respond_late)
    withdrawn = weakref.WeakSet[Document]()
    async with client.batching(in_flight=1, batch_documents=1) as batching:
        first = asyncio.create_task(batching.sign(document(0)))
        await arrived.wait()
        for number in range(1, 50):
            one = document(number)
            withdrawn.add(one)
            call = asyncio.create_task(batching.sign(one))
            for _ in range(5):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
        del one, call
        gc.collect()
        in_memory = len(withdrawn)
        free.set()
        await first

    assert in_memory < 5


async def test_withdrawn_documents_are_not_sent(client: SignStash, signstash_mock: MockSignStash) -> None:
    async with client.batching(in_flight=1, linger=60) as batching:
        cancelled = asyncio.create_task(batching.sign(document(1)))
        kept = asyncio.create_task(batching.sign(document(2)))
        for _ in range(20):
            await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(ConnectionFailedError, match="was not processed"):
            await batching.sign(document(3), deadline=1e-6)
        leaving = asyncio.create_task(batching.aclose())
        signed = await kept
        await leaving

    assert signed.external_reference == "invoice_2"
    assert [item.external_reference for request in signstash_mock.sign_requests for item in request.documents] == [
        "invoice_2"
    ]


@pytest.mark.parametrize("with_journal", [False, True])
async def test_a_withdrawn_document_can_be_given_again(
    client: SignStash, signstash_mock: MockSignStash, tmp_path: Path, with_journal: bool
) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await arrived.put(request)
        await answers.acquire()
        return signed_response(request)

    def place(document: Document) -> Path:
        loop.call_soon_threadsafe(planned[document.name].set)
        return tmp_path / document.name

    loop, answers, arrived = asyncio.get_running_loop(), asyncio.Semaphore(0), asyncio.Queue[httpx.Request]()
    planned = {f"{number}.pdf": asyncio.Event() for number in range(4)}
    signstash_mock.routes.sign.mock(side_effect=answer)
    with Journal(tmp_path / "run.journal") as journal:
        async with client.batching(in_flight=1, save_to=place, journal=journal if with_journal else None) as batching:
            calls = [asyncio.create_task(batching.sign(document(1)))]
            await arrived.get()
            withdrawn = asyncio.create_task(batching.sign(document(2)))
            await planned["2.pdf"].wait()
            withdrawn.cancel()
            calls.append(asyncio.create_task(batching.sign(document(3))))
            answers.release()
            await arrived.get()
            planned["2.pdf"].clear()
            again = asyncio.create_task(batching.sign(document(2)))
            is_planned = asyncio.create_task(planned["2.pdf"].wait())  # after the withdrawn one was given up
            await asyncio.wait([again, is_planned], return_when=asyncio.FIRST_COMPLETED)
            is_planned.cancel()
            answers.release()
            answers.release()

            assert [(await call).name for call in (*calls, again)] == ["1.pdf", "3.pdf", "2.pdf"]


async def test_closing_sends_lingering_documents_at_once(client: SignStash, signstash_mock: MockSignStash) -> None:
    async with client.batching(linger=10**9) as batching:
        call = asyncio.create_task(batching.sign(document(1)))
        await asyncio.sleep(0)

    assert (await call).external_reference == "invoice_1"


async def test_a_cancelled_call_names_its_document(client: SignStash) -> None:
    async with client.batching(linger=60) as batching:
        call = asyncio.create_task(batching.sign(document(1)))
        await asyncio.sleep(0)
        note = await note_of_cancellation(call)

    assert "invoice_1" in note
    assert "Nothing was processed" in note


@pytest.mark.parametrize("deadline", ["x", 0, -1, float("nan"), float("inf"), True])
async def test_an_unusable_deadline_is_named(client: SignStash, deadline: Any) -> None:
    async with client.batching() as batching:
        with pytest.raises(ConfigurationError, match="deadline"):
            await batching.sign(document(1), deadline=deadline)


async def test_an_outcome_that_comes_as_its_call_is_cancelled_is_logged(
    client: SignStash, caplog: pytest.LogCaptureFixture
) -> None:
    def cancel(_: Progress) -> None:
        asyncio.get_running_loop().call_soon(call.cancel)

    async with client.batching() as batching:
        batching._settings = attrs.evolve(batching._settings, progress=cancel)
        call = asyncio.create_task(batching.sign(document(1)))
        await asyncio.wait([call])

    assert call.cancelled()
    assert caplog.text.count("outcome of 1.pdf, which nobody waits for: signed") == 1


class TestSentBefore:
    """Documents that an earlier run sent, and whose response it did not record."""

    @pytest.fixture
    def journal(self, tmp_path: Path) -> Iterator[Journal]:
        with Journal(tmp_path / "run.journal") as journal:
            yield journal

    @pytest.fixture
    async def reference(
        self, client: SignStash, signstash_mock: MockSignStash, journal: Journal, tmp_path: Path
    ) -> str:
        """The reference under which an earlier run sent `1.pdf` before it was killed."""
        signstash_mock.connection_lost_after_send()
        async for _ in client.sign_all([Document.pdf(PDF, name="1.pdf")], journal=journal, save_to=tmp_path / "signed"):
            pass
        signstash_mock.clear_scenarios()
        (entry,) = journal.entries()
        journal._record([attrs.evolve(entry, state="sent", reason=None)])
        return entry.reference

    @pytest.mark.parametrize("how", ["deadline", "cancel"])
    @pytest.mark.parametrize("unknown_outcomes", ["look_up", "send_again"])
    async def test_a_caller_that_leaves_is_told_that_it_may_be_signed_and_affects_no_other(
        self,
        client: SignStash,
        signstash_mock: MockSignStash,
        journal: Journal,
        tmp_path: Path,
        reference: str,
        unknown_outcomes: UnknownOutcomes,
        how: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        clock = Clock(monkeypatch)
        busy, free = asyncio.Event(), asyncio.Event()

        async def respond_late(request: httpx.Request) -> httpx.Response:
            busy.set()
            await free.wait()
            return signed_response(request)

        signstash_mock.routes.sign.mock(side_effect=respond_late)
        signstash_mock.routes.operation_id.mock(return_value=httpx.Response(404), side_effect=None)
        async with client.batching(
            journal=journal, save_to=tmp_path / "signed", unknown_outcomes=unknown_outcomes, in_flight=1
        ) as batching:
            first = asyncio.create_task(batching.sign(document(0)))
            await busy.wait()
            leaving = asyncio.create_task(batching.sign(Document.pdf(PDF, name="1.pdf"), deadline=50))
            last = asyncio.create_task(batching.sign(document(2)))
            while reference not in [each.sent_as for each in batching._waiting.values()]:  # noqa: ASYNC110
                await asyncio.sleep(0)
            if how == "cancel":
                note = await note_of_cancellation(leaving)
            else:
                await clock.pass_by(60)
                await asyncio.wait([leaving])
                note = str(leaving.exception())
                assert isinstance(leaving.exception(), OutcomeUnknownError)
            free.set()
            signed = await asyncio.gather(first, last)

        assert [each.name for each in signed] == ["0.pdf", "2.pdf"]
        assert reference in note
        assert how != "cancel" or "after its request was sent" in note
        assert {entry.name: entry.state for entry in journal.entries()} == dict.fromkeys(
            ("0.pdf", "1.pdf", "2.pdf"), "signed"
        )

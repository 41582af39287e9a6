"""Runs over any number of documents: planning, flow, and the account of every document."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, nullcontext, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from signstash import (
    CertificateNotProvisionedError,
    ClientServiceInactiveError,
    ConfigurationError,
    ConnectionFailedError,
    CredentialsRejectedError,
    Document,
    DocumentNotSavedError,
    DuplicateReferenceError,
    InvalidDocumentError,
    InvalidRequestError,
    Journal,
    Outcome,
    OutcomeUnknownError,
    Progress,
    RateLimitedError,
    RetryPolicy,
    SignStash,
    SignStashError,
    TokenAuth,
)
from signstash.testing import MockSignStash
from tests.conftest import (
    BASE_URL,
    CLIENT_ID,
    CLIENT_SECRET,
    PDF,
    TOKEN_URL,
    MockedService,
    mock_signed,
    note_of_cancellation,
    pdf,
    signed_response,
    url_of,
)
from tests.fault_server import Clock

AT_ONCE = RetryPolicy(attempts=3, first_bound=0.001, longest_bound=0.001, deadline=1000)
GATEWAY_TIMEOUT = httpx.ReadTimeout("slow")


@pytest.fixture
def client_options() -> dict[str, Any]:
    return {"retries": AT_ONCE}


def pdfs(count: int, **options: Any) -> list[Document]:
    return [Document.pdf(PDF, name=f"{number}.pdf", **options) for number in range(count)]


def names_sent(request: httpx.Request) -> list[str]:
    return [item["documentRequest"]["name"] for item in json.loads(request.content)["documents"]]


def requests(service: MockedService) -> list[list[str]]:
    return [names_sent(call.request) for call in service.sign.calls]


async def collect(outcomes: AsyncIterator[Outcome], found: dict[str, Outcome] | None = None) -> dict[str, Outcome]:
    """The outcomes by the names of their documents, also in `found` in case the run ends early."""
    found = {} if found is None else found
    async for outcome in outcomes:
        assert outcome.document.name not in found, "one outcome for each document"
        found[outcome.document.name] = outcome
    return found


class TestClosing:
    async def test_closing_the_client_ends_the_pauses_of_its_runs(self, service: MockedService, tmp_path: Path) -> None:
        failed = asyncio.Event()

        def fail(_: httpx.Request) -> httpx.Response:
            failed.set()
            return httpx.Response(429, headers={"Retry-After": "250"})

        service.sign.mock(side_effect=fail)
        async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL) as client:
            with Journal(tmp_path / "j") as journal:
                run = asyncio.create_task(
                    collect(
                        client.sign_all(
                            [Document.pdf(PDF + name, name=f"{name!r}.pdf") for name in (b"1", b"2")],
                            journal=journal,
                            save_to=lambda each: tmp_path / each.name,
                        )
                    )
                )
                await failed.wait()
                await client.aclose()
                with pytest.raises(ConfigurationError, match="closed"):
                    await asyncio.wait_for(run, 100)
                assert service.sign.call_count == 1
                assert {entry.state for entry in journal.entries()} <= {"planned"}

    @pytest.mark.parametrize("how", ["sign", "sign_batch", "batching", "a question", "a view"])
    async def test_closing_the_client_ends_the_pauses_of_its_calls(self, service: MockedService, how: str) -> None:
        failed = asyncio.Event()

        def fail(_: httpx.Request) -> httpx.Response:
            failed.set()
            return httpx.Response(429, headers={"Retry-After": "250"})

        service.sign.mock(side_effect=fail)
        service.router.get(url_of("getStatus", operationId=7)).mock(side_effect=fail)
        retries = RetryPolicy(attempts=3, first_bound=250, longest_bound=250, deadline=1000)
        async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL, retries=retries) as client:
            batching = client.batching()
            document = Document.pdf(PDF, name="1.pdf")
            calls: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
                "sign": lambda: client.sign(document),
                "sign_batch": lambda: client.sign_batch([document]),
                "batching": lambda: batching.sign(document),
                "a question": lambda: client.get_status(7),
                "a view": lambda: client.with_options(retries=retries).sign(document),
            }
            call = asyncio.create_task(calls[how]())
            await failed.wait()
            for _ in range(20):  # until it pauses
                await asyncio.sleep(0)
            await client.aclose()
            with pytest.raises(ConfigurationError, match="closed") as closed:
                await asyncio.wait_for(call, 100)
            if how != "batching":
                assert isinstance(closed.value.__cause__, RateLimitedError)
                assert closed.value.problem.startswith(closed.value.__cause__.problem.rstrip("."))
                assert closed.value.external_references == closed.value.__cause__.external_references
            with pytest.raises(ConfigurationError, match="closed"):
                await batching.sign(Document.pdf(PDF, name="2.pdf"))
            await batching.aclose()
        assert service.sign.call_count <= 1

    async def test_closing_the_client_leaves_no_call_of_a_batching_without_a_result(
        self, service: MockedService
    ) -> None:
        service.sign.respond(429, headers={"Retry-After": "250"})
        retries = RetryPolicy(attempts=3, first_bound=250, longest_bound=250, deadline=1000)
        async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL, retries=retries) as client:
            batching = client.batching(batch_documents=1, in_flight=1)
            calls = [asyncio.create_task(batching.sign(document)) for document in pdfs(5)]
            while not service.sign.call_count:  # noqa: ASYNC110 - the mock has no event for it
                await asyncio.sleep(0)
            await client.aclose()
            results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 100)
            await batching.aclose()

        assert [type(result) for result in results] == [ConfigurationError] * 5
        assert len({getattr(result, "external_references", ()) for result in results} - {()}) == 5
        assert service.sign.call_count == 1


class TestLeaving:
    """What is in flight is saved and recorded, however a block ends."""

    @pytest.fixture
    def answers_after_closing(self, service: MockedService) -> Iterator[None]:
        """The second document gets its response after the loop was left."""

        async def answer(request: httpx.Request) -> httpx.Response:
            if names_sent(request) == ["0.pdf"]:
                await second_is_sent.wait()
            else:
                second_is_sent.set()
                for _ in range(50):
                    await asyncio.sleep(0)
            return signed_response(request)

        second_is_sent = asyncio.Event()
        service.sign.mock(side_effect=answer)
        return iter([None])

    @pytest.mark.usefixtures("answers_after_closing")
    @pytest.mark.parametrize("ending", ["break", "exception", "never iterated on"])
    async def test_closing_the_client_saves_and_records_what_is_in_flight(
        self, service: MockedService, tmp_path: Path, ending: str
    ) -> None:
        documents = [Document.pdf(PDF + bytes([number]), name=f"{number}.pdf") for number in range(2)]
        with suppress(LookupError):
            async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL) as client:
                with Journal(tmp_path / "j") as journal:
                    outcomes = [client.sign_all(documents, save_to=tmp_path, journal=journal, batch_documents=1)]
                    if ending == "never iterated on":
                        await anext(outcomes[0])
                    else:
                        async for _ in outcomes.pop():
                            if ending == "break":
                                break
                            raise LookupError

        assert {name for names in requests(service) for name in names} == {"0.pdf", "1.pdf"}
        assert {path.name for path in tmp_path.glob("*.pdf")} == {"0.pdf", "1.pdf"}
        shutil.copy(tmp_path / "j", tmp_path / "copy")  # the run may have it open until Python has ended the iteration
        with Journal(tmp_path / "copy") as journal:
            assert [entry.state for entry in journal.entries()] == ["signed", "signed"]

    async def test_nothing_is_accepted_while_closing_waits_for_what_is_in_flight(
        self, service: MockedService, tmp_path: Path
    ) -> None:
        async def answer(request: httpx.Request) -> httpx.Response:
            is_sent.set()
            await may_answer.wait()
            return signed_response(request)

        is_sent, may_answer = asyncio.Event(), asyncio.Event()
        service.sign.mock(side_effect=answer)
        client = SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL)
        run = asyncio.create_task(anext(client.sign_all(pdfs(1), save_to=tmp_path)))
        await is_sent.wait()
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        late = asyncio.create_task(client.sign(Document.pdf(PDF, name="late.pdf")))
        await asyncio.wait([late], timeout=0.05)
        may_answer.set()

        with pytest.raises(ConfigurationError, match="closed"):
            await late
        await closing
        assert (await run).ok
        assert requests(service) == [["0.pdf"]]

    async def test_a_deadline_that_passes_while_closing_waits_is_the_reason(
        self, service: MockedService, tmp_path: Path
    ) -> None:
        async def never(_: httpx.Request) -> httpx.Response:
            is_sent.set()
            await asyncio.Event().wait()
            raise AssertionError

        is_sent = asyncio.Event()
        service.sign.mock(side_effect=never)
        client = SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL, deadline=0.2)
        run = asyncio.create_task(anext(client.sign_all(pdfs(1), save_to=tmp_path)))
        await is_sent.wait()
        await client.aclose()

        assert "it took too long in all" in str((await run).error)

    @pytest.mark.parametrize("how", ["sign", "sign_all", "batching"])
    @pytest.mark.parametrize("event", ["request", "response"])
    @pytest.mark.parametrize("url", [TOKEN_URL, url_of("signDocumentBatchBase64")])
    @pytest.mark.parametrize("in_task", [False, True])
    async def test_closing_within_a_hook_of_a_request_ends_it(
        self, service: MockedService, how: str, event: str, url: str, *, in_task: bool
    ) -> None:
        async def close(message: httpx.Request | httpx.Response) -> None:
            if (message if isinstance(message, httpx.Request) else message.request).url == url:
                await (asyncio.create_task(client.aclose()) if in_task else client.aclose())

        async def sign(document: Document) -> None:
            if how == "sign":
                await client.sign(document)
            elif how == "batching":
                await client.batching().sign(document)
            else:
                outcomes.update(await collect(client.sign_all([document]), outcomes))

        outcomes: dict[str, Outcome] = {}
        async with httpx.AsyncClient(event_hooks={event: [close]}) as http_client:
            client = SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL, http_client=http_client)
            with pytest.raises(SignStashError, match="closed") as failed:
                async with asyncio.timeout(20):
                    await sign(pdfs(1)[0])
            async with asyncio.timeout(20):
                await client.aclose()

        is_sent = event == "response" and url != TOKEN_URL
        errors = [failed.value, *(outcome.error for outcome in outcomes.values())]
        assert any(isinstance(error, OutcomeUnknownError) for error in errors) is is_sent

    async def test_closing_within_a_hook_of_an_auth_that_delegates_ends_the_run(self, service: MockedService) -> None:
        class Delegating(httpx.Auth):
            def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
                return auth.async_auth_flow(request)

        async def close(_: httpx.Request) -> None:
            await client.aclose()

        async with httpx.AsyncClient(event_hooks={"request": [close]}) as tokens:
            auth = TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=BASE_URL, http_client=tokens)
            client = SignStash(BASE_URL, CLIENT_ID, auth=Delegating())
            with pytest.raises(ConfigurationError, match="closed during a run"):
                async with asyncio.timeout(20):
                    await collect(client.sign_all(pdfs(1)))
            await auth.aclose()

    async def test_a_hook_may_close_the_batching_of_its_request(self, service: MockedService) -> None:
        async def close(_: httpx.Response) -> None:
            await batching.aclose()

        async with httpx.AsyncClient(event_hooks={"response": [close]}) as http_client:
            client = SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL, http_client=http_client)
            batching = client.batching()
            async with client, asyncio.timeout(20):
                assert (await batching.sign(pdfs(1)[0])).content
                with pytest.raises(ConfigurationError, match="after it was closed"):
                    await batching.sign(pdfs(2)[1])

    async def test_closing_within_a_hook_of_a_shared_token_request_ends_the_run(self, service: MockedService) -> None:
        async def close(_: httpx.Request) -> None:
            await client.aclose()

        async with httpx.AsyncClient(event_hooks={"request": [close]}) as tokens:
            auth = TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=BASE_URL, http_client=tokens)
            client = SignStash(BASE_URL, auth=auth)
            with pytest.raises(ConfigurationError, match="closed during a run"):
                async with asyncio.timeout(100):
                    await collect(client.sign_all(pdfs(1)))
            await auth.aclose()

    async def test_hooks_of_all_requests_may_close_the_client(self, service: MockedService) -> None:
        async def close(_: httpx.Response) -> None:
            await both_are_sent.wait()
            await client.aclose()

        both_are_sent = asyncio.Barrier(2)
        outcomes: dict[str, Outcome] = {}
        async with httpx.AsyncClient(event_hooks={"response": [close]}) as http_client, httpx.AsyncClient() as tokens:
            auth = TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=BASE_URL, http_client=tokens)
            client = SignStash(BASE_URL, auth=auth, http_client=http_client)
            with pytest.raises(ConfigurationError, match="closed during a run"):
                async with asyncio.timeout(100):
                    await collect(client.sign_all(pdfs(2), batch_documents=1), outcomes)

        assert {type(outcome.error) for outcome in outcomes.values()} == {OutcomeUnknownError}
        assert len(outcomes) == 2

    async def test_a_cancelled_block_does_not_wait_for_what_is_in_flight(
        self, service: MockedService, tmp_path: Path
    ) -> None:
        async def never(request: httpx.Request) -> httpx.Response:
            if names_sent(request) == ["1.pdf"]:
                await asyncio.Event().wait()
            return signed_response(request)

        async def run() -> None:
            async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL) as client:
                async for _ in client.sign_all(pdfs(2), save_to=tmp_path, batch_documents=1):
                    in_body.set()
                    await asyncio.Event().wait()

        service.sign.mock(side_effect=never)
        in_body = asyncio.Event()
        running = asyncio.create_task(run())
        await in_body.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 60)
        assert {path.name for path in tmp_path.iterdir()} == {"0.pdf"}


class TestStopping:
    async def test_a_stopped_run_sends_nothing_more_and_returns_results_in_flight(
        self, client: SignStash, service: MockedService
    ) -> None:
        def sign(request: httpx.Request) -> httpx.Response:
            client.stop_runs()
            return signed_response(request)

        service.sign.mock(side_effect=sign)

        found = await collect(client.sign_all(pdfs(5), batch_documents=2, in_flight=1))

        assert set(found) in ({"0.pdf", "1.pdf"}, {"2.pdf", "3.pdf"}), "those of the request that was ready first"
        assert all(outcome.ok for outcome in found.values())
        assert service.sign.call_count == 1
        assert len(await collect(client.sign_all(pdfs(1)))) == 1, "later runs are not affected"

    async def test_stopping_a_run_ends_its_pauses(self, service: MockedService, tmp_path: Path) -> None:
        service.sign.respond(429, headers={"Retry-After": "250"})
        async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL) as client:
            with Journal(tmp_path / "j") as journal:
                run = asyncio.create_task(collect(client.sign_all(pdfs(2), journal=journal, save_to=tmp_path / "to")))
                while not journal.entries("planned"):  # noqa: ASYNC110 - the journal has no event for it
                    await asyncio.sleep(0)
                client.stop_runs()

                assert await asyncio.wait_for(run, 100) == {}
                assert {entry.state for entry in journal.entries()} == {"planned"}

    async def test_stopping_runs_does_not_stop_a_batching(self, client: SignStash, service: MockedService) -> None:
        def reject(_: httpx.Request) -> httpx.Response:
            client.stop_runs()
            return httpx.Response(429)

        service.sign_effects(reject, signed_response)
        async with client.batching() as batching:
            assert (await batching.sign(Document.pdf(PDF, name="1.pdf"))).content == mock_signed(PDF)


class TestDeadline:
    """It covers a request with its attempts and pauses, and not the wait for other requests."""

    @pytest.fixture
    def client_options(self) -> dict[str, Any]:
        return {
            "retries": RetryPolicy(attempts=3, first_bound=0.001, longest_bound=0.001, deadline=1000),
            "deadline": 50,
        }

    async def test_a_pause_beyond_it_is_not_begun(self, client: SignStash, service: MockedService) -> None:
        service.sign_effects(httpx.Response(429, headers={"Retry-After": "100"}))

        found = await collect(client.sign_all(pdfs(1)))

        assert isinstance(found["0.pdf"].error, RateLimitedError)
        assert service.sign.call_count == 1

    async def test_attempts_share_the_deadline(
        self, client: SignStash, service: MockedService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = Clock(monkeypatch)

        async def slow(request: httpx.Request) -> httpx.Response:
            await clock.pass_by(30)
            return httpx.Response(429) if service.sign.call_count == 0 else signed_response(request)

        service.sign.mock(side_effect=slow)

        found = await collect(client.sign_all(pdfs(1)))

        assert isinstance(found["0.pdf"].error, OutcomeUnknownError)
        assert "took too long in all" in str(found["0.pdf"].error)

    async def test_waiting_for_other_requests_does_not_count_towards_the_deadline(
        self, client: SignStash, service: MockedService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = Clock(monkeypatch)

        async def slow(request: httpx.Request) -> httpx.Response:
            await clock.pass_by(30)
            return signed_response(request)

        service.sign.mock(side_effect=slow)

        found = await collect(client.sign_all(pdfs(4), batch_documents=1, in_flight=1))

        assert all(outcome.ok for outcome in found.values())
        assert service.sign.call_count == 4

    async def test_a_lookup_shares_the_deadline(
        self, client: SignStash, service: MockedService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock, asked = Clock(monkeypatch), list[httpx.Request]()

        async def slow(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            await clock.pass_by(30)
            return httpx.Response(429)

        service.sign_effects(GATEWAY_TIMEOUT)
        service.router.get(path__regex="/0_pdf_reference").mock(side_effect=slow)

        found = await collect(
            client.sign_all(pdfs(1, external_reference="0_pdf_reference"), unknown_outcomes="look_up")
        )

        assert isinstance(found["0.pdf"].error, OutcomeUnknownError)
        assert len(asked) == 2


@pytest.mark.parametrize("is_run", [False, True])
async def test_a_call_cancelled_while_its_response_is_parsed_may_be_signed(
    client: SignStash, service: MockedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_run: bool
) -> None:
    def parse(body: bytes) -> Any:
        loop.call_soon_threadsafe(call.cancel)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
        return json.loads(body)

    async def sign(journal: Journal) -> None:
        if is_run:
            await collect(client.sign_all(pdfs(1), journal=journal, save_to=tmp_path))
        else:
            await client.sign(pdf("FT_31"))

    loop = asyncio.get_running_loop()
    long = {"more": "x" * 100_000}
    service.sign.mock(side_effect=lambda request: httpx.Response(200, json=signed_response(request).json() | long))
    monkeypatch.setattr("signstash._transport.exchange.json_value", parse)
    with Journal(tmp_path / "j") as journal:
        call = asyncio.create_task(sign(journal))
        with pytest.raises(asyncio.CancelledError) as failed:
            await call
        assert [entry.state for entry in journal.entries()] == ["sent"] * is_run

    (note,) = failed.value.__notes__
    assert "after its request was sent" in note


@pytest.mark.parametrize("is_run", [False, True])
async def test_a_call_cancelled_while_its_documents_are_read_may_be_signed(
    client: SignStash, service: MockedService, monkeypatch: pytest.MonkeyPatch, is_run: bool
) -> None:
    def read(*_: Any) -> Any:
        loop.call_soon_threadsafe(call.cancel)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
        raise AssertionError

    many: dict[str, Any] = {"more": [{}] * 1000}  # so that they are read in a thread
    service.sign.mock(side_effect=lambda request: httpx.Response(200, json=signed_response(request).json() | many))
    monkeypatch.setattr("signstash._signing.signer.read_batch", read)
    loop = asyncio.get_running_loop()
    call = asyncio.create_task(collect(client.sign_all(pdfs(1))) if is_run else client.sign(pdf("FT_31")))
    with pytest.raises(asyncio.CancelledError) as failed:
        await call

    (note,) = failed.value.__notes__
    assert "after its request was sent" in note


@pytest.mark.parametrize("cancelled_while", ["its ID is asked for", "its response is parsed", "it is sent again"])
async def test_a_document_whose_response_was_lost_may_be_signed_if_its_run_is_cancelled(
    service: MockedService, monkeypatch: pytest.MonkeyPatch, cancelled_while: str
) -> None:
    def parse(body: bytes) -> Any:
        if len(body) > 100_000:
            loop.call_soon_threadsafe(run.cancel)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
        return json.loads(body)

    async def number(_: httpx.Request) -> httpx.Response:
        if cancelled_while == "its ID is asked for":
            run.cancel()
            await asyncio.sleep(0)
        return httpx.Response(200, json=8)

    async def cancel(request: httpx.Request) -> None:
        if is_lost and str(request.url) == url_of("signDocumentBatchBase64"):
            run.cancel()
            await asyncio.sleep(0)  # so that nothing is sent a second time
        is_lost.append(True)

    loop, is_lost = asyncio.get_running_loop(), list[bool]()
    monkeypatch.setattr("signstash._transport.exchange.json_value", parse)
    service.sign_effects(GATEWAY_TIMEOUT)
    service.router.get(path__regex="withDocumentExternalReference").mock(side_effect=number)
    service.router.get(path__regex="/detail/8/").respond(json={"id": 8, "more": "x" * 100_000})
    async with httpx.AsyncClient(event_hooks={"request": [cancel]}) as http_client, httpx.AsyncClient() as tokens:
        auth = TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=BASE_URL, http_client=tokens)
        client = SignStash(BASE_URL, auth=auth, http_client=http_client)
        policy: Any = "send_again" if cancelled_while == "it is sent again" else "look_up"
        run = asyncio.create_task(collect(client.sign_all([pdf("FT_31")], unknown_outcomes=policy)))
        with pytest.raises(asyncio.CancelledError) as failed:
            await run

    assert service.sign.call_count == 1
    (note,) = failed.value.__notes__
    assert "FT_31: the call was cancelled after its request was sent" in note
    assert vars(failed.value)["maybe_processed"] is True
    assert vars(failed.value)["external_references"] == ("FT_31",)


async def test_a_run_cancelled_while_it_saves_notes_its_documents(
    client: SignStash, service: MockedService, tmp_path: Path
) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        loop.run_in_executor(None, threads_are_free.wait, 100)
        answered.set()
        return signed_response(request)

    loop, threads_are_free, answered = asyncio.get_running_loop(), threading.Event(), asyncio.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    service.sign.mock(side_effect=answer)
    run = asyncio.create_task(collect(client.sign_all([pdf("FT_31")], save_to=tmp_path)))
    await answered.wait()
    for _ in range(100):  # until it waits for a thread
        await asyncio.sleep(0)
    run.cancel()
    loop.call_soon(threads_are_free.set)
    with pytest.raises(asyncio.CancelledError) as failed:
        await run

    assert (tmp_path / "invoice.pdf").exists()
    (note,) = failed.value.__notes__
    assert "FT_31: the call was cancelled after its request was sent" in note


@pytest.mark.parametrize("is_run", [False, True])
async def test_a_cancellation_names_few_documents_and_has_all(
    client: SignStash, service: MockedService, caplog: pytest.LogCaptureFixture, is_run: bool
) -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        documents = json.loads(request.content)["documents"]
        references.extend(each["documentRequest"]["externalReference"] for each in documents)
        if len(references) == 200:
            call.cancel()
        await asyncio.Event().wait()
        raise AssertionError

    async def sign() -> None:
        await (collect(client.sign_all(documents, batch_documents=100)) if is_run else client.sign_batch(documents))

    service.sign.mock(side_effect=never)
    documents, references = pdfs(200), list[str]()
    call = asyncio.create_task(sign())
    with pytest.raises(asyncio.CancelledError) as failed:
        await call

    notes, logged = failed.value.__notes__, [record.getMessage() for record in caplog.records]
    assert all(" more: the call was cancelled after its request was sent" in note for note in notes)
    assert max(map(len, [*notes, *logged])) < 800
    assert sorted(vars(failed.value)["external_references"]) == sorted(references)


async def test_a_document_held_for_review_says_why_in_one_sentence(client: SignStash, service: MockedService) -> None:
    service.sign_effects(GATEWAY_TIMEOUT)

    found = await collect(client.sign_all(pdfs(5)))

    error = found["0.pdf"].error
    assert error is not None
    assert f"({error.external_references[0]}) is signed is not known: a request (" in error.problem
    assert "4.pdf" not in error.problem


async def test_a_cancelled_run_notes_what_is_in_doubt(client: SignStash, service: MockedService) -> None:
    arrived, references = asyncio.Event(), list[str]()

    async def never(request: httpx.Request) -> httpx.Response:
        arrived.set()
        documents = json.loads(request.content)["documents"]
        references.extend(each["documentRequest"]["externalReference"] for each in documents)
        await asyncio.Event().wait()
        raise AssertionError

    service.sign.mock(side_effect=never)
    run = asyncio.create_task(collect(client.sign_all(pdfs(3))))
    await arrived.wait()
    note = await note_of_cancellation(run)

    assert "its request was sent" in note
    assert [reference for reference in references if reference not in note] == []
    assert len(references) == 3


class TestPlanning:
    async def test_a_save_to_without_more_names_loses_no_document(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        names = iter(["a.pdf"])
        found: dict[str, Outcome] = {}

        with pytest.raises(ConfigurationError, match=r"StopIteration for 1\.pdf"):
            await collect(client.sign_all(pdfs(3), save_to=lambda _: tmp_path / next(names)), found)

        assert service.sign.call_count == 0

    async def test_batches_have_no_more_documents_than_allowed(self, client: SignStash, service: MockedService) -> None:
        found = await collect(client.sign_all(pdfs(7), batch_documents=3))

        assert sorted(map(len, requests(service))) == [1, 3, 3]
        assert all(outcome.ok for outcome in found.values())
        assert len(found) == 7

    async def test_batches_have_no_more_bytes_than_allowed(self, client: SignStash, service: MockedService) -> None:
        long = Document.pdf(PDF * 10, name="long.pdf")

        await collect(client.sign_all([*pdfs(2), long, *pdfs(3)[2:]], batch_bytes=2 * len(PDF), in_flight=1))

        assert sorted(requests(service)) == [["0.pdf", "1.pdf"], ["2.pdf"], ["long.pdf"]]

    async def test_documents_are_read_only_as_needed(self, client: SignStash) -> None:
        taken = 0

        def source() -> Iterator[Document]:
            nonlocal taken
            for document in pdfs(1000):
                taken += 1
                yield document

        async with aclosing(client.sign_all(source(), batch_documents=2, in_flight=1)) as outcomes:
            await anext(outcomes)
            assert taken <= 6

    async def test_a_slow_asynchronous_source_does_not_delay_known_documents(self, client: SignStash) -> None:
        more = asyncio.Event()

        async def source() -> AsyncIterator[Document]:
            for document in pdfs(2):
                yield document
            await more.wait()
            yield Document.pdf(PDF, name="late.pdf")

        outcomes = client.sign_all(source(), batch_documents=1)
        assert {(await anext(outcomes)).document.name for _ in range(2)} == {"0.pdf", "1.pdf"}
        more.set()
        assert set(await collect(outcomes)) == {"late.pdf"}

    @pytest.mark.parametrize(
        "options",
        [
            {"batch_documents": 0},
            {"batch_bytes": -1},
            {"in_flight": True},
            {"unknown_outcomes": "guess"},
            {"description": ""},
            {"preservation": "keep"},
            {"save_to": 5},
            {"journal": "november.journal"},
        ],
    )
    def test_impossible_arguments_raise_at_once(self, options: dict[str, Any]) -> None:
        client = SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL)
        with pytest.raises((ConfigurationError, InvalidDocumentError), match=next(iter(options))):
            client.sign_all([], **options)

    async def test_an_item_other_than_a_document_ends_the_run(self, client: SignStash) -> None:
        with pytest.raises(InvalidDocumentError, match=r"Document\.pdf"):
            await collect(client.sign_all(["invoice.pdf"]))  # type: ignore[list-item]

    async def test_an_empty_run_sends_no_requests(self, client: SignStash, service: MockedService) -> None:
        assert await collect(client.sign_all([])) == {}
        assert service.token.call_count == 0


class TestFlow:
    async def test_the_number_of_requests_in_flight_is_limited(self, client: SignStash, service: MockedService) -> None:
        now = most = 0
        three = asyncio.Event()

        async def slow(request: httpx.Request) -> httpx.Response:
            nonlocal now, most
            now += 1
            most = max(most, now)
            if now == 3:
                three.set()
            await three.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            now -= 1
            return signed_response(request)

        service.sign.mock(side_effect=slow)
        await collect(client.sign_all(pdfs(20), batch_documents=1, in_flight=3))

        assert most == 3

    async def test_sending_pauses_while_results_are_not_consumed(
        self, client: SignStash, service: MockedService
    ) -> None:
        outcomes = client.sign_all(pdfs(50), batch_documents=1, in_flight=2)
        await anext(outcomes)
        for _ in range(200):
            await asyncio.sleep(0)

        assert service.sign.call_count <= 3
        await outcomes.aclose()

    async def test_leaving_the_loop_waits_for_requests_in_flight(
        self, client: SignStash, service: MockedService, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        second_is_sent, may_answer = asyncio.Event(), asyncio.Event()

        async def first_answers(request: httpx.Request) -> httpx.Response:
            if names_sent(request) == ["0.pdf"]:
                await second_is_sent.wait()
            else:
                second_is_sent.set()
                await may_answer.wait()
            return signed_response(request)

        service.sign.mock(side_effect=first_answers)
        outcomes = client.sign_all(pdfs(5), batch_documents=1, save_to=tmp_path)
        assert (await anext(outcomes)).document.name == "0.pdf"
        closing = asyncio.create_task(outcomes.aclose())
        asyncio.get_running_loop().call_later(0.01, may_answer.set)
        await closing

        sent = {name for names in requests(service) for name in names}
        assert len(sent) < 5
        assert {path.name for path in tmp_path.iterdir()} == sent
        (record,) = caplog.records
        assert record.getMessage().endswith(", which nobody waits for: signed")
        assert {*getattr(record, "documents", ())} == sent - {"0.pdf"}

    async def test_a_cancelled_run_cancels_requests_in_flight(self, client: SignStash, service: MockedService) -> None:
        is_sent = asyncio.Event()
        cancelled: list[str] = []

        async def never(request: httpx.Request) -> httpx.Response:
            is_sent.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.extend(names_sent(request))
                raise
            raise AssertionError

        service.sign.mock(side_effect=never)
        run = asyncio.create_task(collect(client.sign_all(pdfs(1))))
        await is_sent.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert cancelled == ["0.pdf"]

    @pytest.mark.parametrize("cancellations", [1, 2, 3])
    async def test_a_cancelled_run_waits_for_a_slow_source_and_no_request(
        self, client: SignStash, service: MockedService, cancellations: int
    ) -> None:
        is_sent, is_cancelled, may_close = asyncio.Event(), asyncio.Event(), asyncio.Event()
        closed: list[str] = []

        async def never(_: httpx.Request) -> httpx.Response:
            is_sent.set()
            try:
                await asyncio.Event().wait()
            finally:
                is_cancelled.set()
            raise AssertionError

        async def source() -> AsyncIterator[Document]:
            try:
                yield pdfs(1)[0]
                await asyncio.Event().wait()
            finally:
                try:
                    await may_close.wait()
                finally:
                    closed.append("source")

        service.sign.mock(side_effect=never)
        run = asyncio.create_task(collect(client.sign_all(source())))
        await is_sent.wait()
        others = asyncio.all_tasks() - {run, asyncio.current_task()}
        for _ in range(cancellations):
            run.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        await asyncio.wait_for(is_cancelled.wait(), 100)
        assert closed == (["source"] if cancellations > 1 else [])
        may_close.set()

        with pytest.raises(asyncio.CancelledError):
            await run
        assert closed == ["source"]
        assert all(task.done() for task in others)

    async def test_overload_halves_the_number_of_requests_in_flight(
        self, client: SignStash, service: MockedService
    ) -> None:
        refused: set[str] = set()
        now: set[str] = set()
        most = 0

        async def refuse_four(request: httpx.Request) -> httpx.Response:
            nonlocal most
            (name,) = names_sent(request)
            if len(refused) < 4 and name not in refused:
                refused.add(name)
                return httpx.Response(429)
            now.add(name)
            later = {"4.pdf", "5.pdf", "6.pdf"} & now
            most = max(most, len(now) if later else 0)
            for _ in range(20):
                await asyncio.sleep(0)
            now.remove(name)
            return signed_response(request)

        service.sign.mock(side_effect=refuse_four)
        found = await collect(client.sign_all(pdfs(7), batch_documents=1, in_flight=4))

        assert all(outcome.ok for outcome in found.values())
        assert most <= 2

    async def test_progress_counts_every_document(self, client: SignStash) -> None:
        seen: list[Progress] = []
        broken = Document.pdf(b"not a pdf", name="broken.pdf")

        await collect(client.sign_all([*pdfs(3), broken], batch_documents=2, progress=seen.append))

        assert [item.signed + item.failed for item in seen] == [1, 2, 3, 4]
        assert (seen[-1].signed, seen[-1].failed, seen[-1].in_flight) == (3, 1, 0)
        assert seen[-1].content_bytes >= 3 * len(PDF)


class TestFaults:
    async def test_only_the_invalid_document_fails(self, client: SignStash, service: MockedService) -> None:
        def refuse_bad(request: httpx.Request) -> httpx.Response:
            if "13.pdf" in names_sent(request):
                return httpx.Response(500, json={"errorCode": "0.0.4", "causeMessage": "name of a document"})
            return signed_response(request)

        service.sign.mock(side_effect=refuse_bad)
        found = await collect(client.sign_all(pdfs(32), batch_documents=32))

        assert [name for name, outcome in found.items() if not outcome.ok] == ["13.pdf"]
        assert isinstance(found["13.pdf"].error, InvalidRequestError)
        assert service.sign.call_count == 1 + 2 * 5

    @pytest.mark.parametrize(
        "response",
        [
            httpx.Response(404, html="<h1>Not Found</h1>"),
            httpx.Response(404, json={"status": 404, "error": "Not Found"}),
            httpx.Response(403, html="<h1>Forbidden</h1>"),
            httpx.Response(302, headers={"Location": "https://login.test/"}),
        ],
        ids=["404", "404 in JSON", "403", "302"],
    )
    async def test_a_run_ends_where_something_else_than_the_service_responds(
        self, client: SignStash, service: MockedService, response: httpx.Response
    ) -> None:
        service.sign.mock(return_value=response)
        found: dict[str, Outcome] = {}
        with pytest.raises(SignStashError) as raised:
            await collect(client.sign_all(pdfs(500), batch_documents=50), found)

        assert "base_url" in raised.value.hint
        assert not raised.value.maybe_processed
        assert 3 <= len(found) < 10
        assert service.sign.call_count < 30

    async def test_an_unusable_document_does_not_affect_others(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        documents = [*pdfs(4), Document.pdf(b"", name="empty.pdf"), Document.pdf(tmp_path / "missing.pdf")]

        found = await collect(client.sign_all(documents))

        assert {name for name, outcome in found.items() if outcome.ok} == {f"{number}.pdf" for number in range(4)}
        assert all(isinstance(found[name].error, InvalidDocumentError) for name in ("empty.pdf", "missing.pdf"))

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (httpx.Response(401, json={"errorCode": "1.1.1"}), ClientServiceInactiveError),
            (httpx.Response(403, json={"errorCode": "1.2.0"}), ClientServiceInactiveError),
        ],
    )
    async def test_an_error_that_concerns_all_ends_the_run(
        self, client: SignStash, service: MockedService, answer: httpx.Response, error: type[Exception]
    ) -> None:
        def third_request_on(request: httpx.Request) -> httpx.Response:
            return signed_response(request) if service.sign.call_count < 2 else answer

        service.sign.mock(side_effect=third_request_on)
        found: dict[str, Outcome] = {}
        with pytest.raises(error):
            await collect(client.sign_all(pdfs(1000), batch_documents=1), found)

        assert service.sign.call_count <= 5
        assert found
        assert all(outcome.ok for outcome in found.values())

    async def test_an_error_that_concerns_all_ends_pauses(self, service: MockedService) -> None:
        paused = asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            if names_sent(request) == ["0.pdf"]:
                paused.set()
                return httpx.Response(429, headers={"Retry-After": "100"})
            await paused.wait()
            return httpx.Response(403, json={"errorCode": "1.2.0"})

        service.sign.mock(side_effect=answer)
        async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL) as client:
            with pytest.raises(ClientServiceInactiveError):
                await collect(client.sign_all(pdfs(2), batch_documents=1))

        assert service.sign.call_count == 2

    async def test_a_failing_source_ends_the_run_and_loses_no_result(
        self, client: SignStash, service: MockedService
    ) -> None:
        source_failed = asyncio.Event()

        async def answer_late(request: httpx.Request) -> httpx.Response:
            await source_failed.wait()
            return signed_response(request)

        def source() -> Iterator[Document]:
            yield from pdfs(2)
            source_failed.set()
            raise KeyError("no such invoice")

        service.sign.mock(side_effect=answer_late)
        found: dict[str, Outcome] = {}
        with pytest.raises(KeyError, match="no such invoice"):
            await collect(client.sign_all(source(), batch_documents=1), found)

        assert [found[name].ok for name in sorted(found)] == [True, True]

    async def test_rejected_credentials_end_the_run(self, client: SignStash, service: MockedService) -> None:
        service.token.respond(401, json={"error": "invalid_client"})

        with pytest.raises(CredentialsRejectedError):
            await collect(client.sign_all(pdfs(100), batch_documents=1))
        assert service.token.call_count == 1

    async def test_a_missing_certificate_ends_the_run(self, client: SignStash, service: MockedService) -> None:
        def without_certificate(document: dict[str, Any]) -> dict[str, Any]:
            return document | {"signStatus": "ERROR_SIGNING", "signError": "INVALID_CERTIFICATE_SIGN_ERROR"}

        service.sign.mock(side_effect=lambda request: signed_response(request, without_certificate))
        found: dict[str, Outcome] = {}
        with pytest.raises(CertificateNotProvisionedError) as ended:
            await collect(client.sign_all(pdfs(1000), batch_documents=10), found)

        assert type(ended.value) is CertificateNotProvisionedError, "it is about no document alone"
        assert len(ended.value.external_references) == 10
        assert "the certificate is missing" in ended.value.problem
        assert len(found) <= 30
        assert all(isinstance(outcome.error, CertificateNotProvisionedError) for outcome in found.values())

    async def test_a_temporary_failure_is_retried(self, client: SignStash, service: MockedService) -> None:
        answers: list[Exception | httpx.Response | None] = [httpx.ConnectError("refused"), httpx.Response(429), None]

        def in_turn(request: httpx.Request) -> httpx.Response:
            answer = answers[service.sign.call_count]
            if isinstance(answer, Exception):
                raise answer
            return answer or signed_response(request)

        service.sign.mock(side_effect=in_turn)
        found = await collect(client.sign_all(pdfs(3)))

        assert all(outcome.ok for outcome in found.values())
        assert service.sign.call_count == 3

    @pytest.mark.parametrize("answer", [httpx.Response(503), httpx.Response(500, json={"errorCode": "0.0.1"})])
    async def test_a_possibly_processed_request_is_not_retried(
        self, client: SignStash, service: MockedService, answer: httpx.Response
    ) -> None:
        service.sign.mock(return_value=answer)

        found = await collect(client.sign_all(pdfs(1)))

        assert isinstance(found["0.pdf"].error, OutcomeUnknownError)
        assert service.sign.call_count == 1

    async def test_a_pause_beyond_the_limit_is_reported_with_its_length(
        self, client: SignStash, service: MockedService
    ) -> None:
        service.sign.respond(429, headers={"Retry-After": "3600"})

        found = await collect(client.sign_all(pdfs(1)))

        error = found["0.pdf"].error
        assert isinstance(error, RateLimitedError)
        assert error.retry_after == 3600
        assert service.sign.call_count == 1

    async def test_rejections_of_documents_are_not_a_success_between_failures(
        self, client: SignStash, service: MockedService
    ) -> None:
        limited, rejected = httpx.Response(429), httpx.Response(400, json={"errorCode": "0.0.6"})
        client = client.with_options(retries=RetryPolicy.none())
        for between, is_ended in ((rejected, True), (None, False)):
            answers = [limited, between, limited, between, limited, None]
            first = service.sign.call_count

            def in_turn(request: httpx.Request, answers: Any = answers, first: int = first) -> httpx.Response:
                return answers[service.sign.call_count - first] or signed_response(request)

            service.sign.mock(side_effect=in_turn)
            with pytest.raises(RateLimitedError) if is_ended else nullcontext():
                await collect(client.sign_all(pdfs(6), batch_documents=1, in_flight=1))

    async def test_an_unreachable_service_ends_the_run(self, client: SignStash, service: MockedService) -> None:
        service.sign.mock(side_effect=httpx.ConnectError("refused"))

        found: dict[str, Outcome] = {}
        with pytest.raises(ConnectionFailedError):
            await collect(client.sign_all(pdfs(1000), batch_documents=10, in_flight=1), found)

        assert len(found) == 30
        assert service.sign.call_count <= 12  # three requests, and one that was made ready meanwhile, three times each


class TestSources:
    async def test_a_full_request_does_not_wait_for_the_next_document(
        self, client: SignStash, service: MockedService
    ) -> None:
        first_is_signed = asyncio.Event()

        async def source() -> AsyncIterator[Document]:
            yield pdfs(1)[0]
            await first_is_signed.wait()

        async with aclosing(client.sign_all(source(), batch_documents=1)) as outcomes:
            assert (await anext(outcomes)).ok
            first_is_signed.set()

    async def test_a_finished_run_waits_for_no_document(self, client: SignStash, service: MockedService) -> None:
        service.sign.respond(403, json={"errorCode": "1.2.0"})
        closed = False

        async def source() -> AsyncIterator[Document]:
            nonlocal closed
            try:
                yield pdfs(1)[0]
                await asyncio.Event().wait()
            finally:
                closed = True

        with pytest.raises(ClientServiceInactiveError):
            await collect(client.sign_all(source(), batch_documents=1))
        assert closed

    @pytest.mark.filterwarnings("ignore:coroutine")  # that nobody awaits
    @pytest.mark.parametrize("how", ["__aiter__", "async __aiter__", "__iter__", "__len__"])
    async def test_a_source_that_cannot_be_iterated_is_reported(self, client: SignStash, how: str) -> None:
        class Broken:
            def fail(self) -> Iterator[Document]:
                raise LookupError("database is away")

            async def wait(self) -> AsyncIterator[Document]:
                raise AssertionError

        method = {"async __aiter__": Broken.wait}.get(how, Broken.fail)
        names = {how.rpartition(" ")[2], "__iter__"} if how == "__len__" else {how.rpartition(" ")[2]}
        source = type("Source", (), dict.fromkeys(names, method))()

        with pytest.raises(TypeError if "async" in how else LookupError):
            await asyncio.wait_for(collect(client.sign_all(source)), 100)

    async def test_sources_are_closed_when_the_loop_is_left(self, client: SignStash) -> None:
        closed: list[str] = []

        async def asynchronous() -> AsyncIterator[Document]:
            try:
                for document in pdfs(100):
                    yield document
            finally:
                closed.append("asynchronous")

        def plain() -> Iterator[Document]:
            try:
                yield from pdfs(100)
            finally:
                closed.append("plain")

        for source in (asynchronous(), plain()):
            async with aclosing(client.sign_all(source, batch_documents=1)) as outcomes:
                await anext(outcomes)

        assert closed == ["asynchronous", "plain"]


class TestWaitingSources:
    """Documents that arrive one by one: nothing waits for company while the service is idle."""

    async def test_each_document_is_signed_while_the_source_waits_for_the_next(
        self, client: SignStash, service: MockedService
    ) -> None:
        is_signed = asyncio.Event()

        async def source() -> AsyncIterator[Document]:
            for document in pdfs(3):
                is_signed.clear()
                yield document
                await is_signed.wait()  # for ever, if the document waits for others

        async for _ in client.sign_all(source()):
            is_signed.set()

        assert requests(service) == [["0.pdf"], ["1.pdf"], ["2.pdf"]]

    async def test_batches_grow_while_the_service_is_busy(self, client: SignStash, service: MockedService) -> None:
        is_sent = {"0.pdf": asyncio.Event(), "1.pdf": asyncio.Event()}
        may_answer = asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            for name in is_sent.keys() & set(names_sent(request)):
                is_sent[name].set()
                await may_answer.wait()
            return signed_response(request)

        async def source() -> AsyncIterator[Document]:
            for document in pdfs(32):
                yield document
                if document.name in is_sent:
                    await is_sent[document.name].wait()
                await asyncio.sleep(0)
            may_answer.set()

        service.sign.mock(side_effect=answer)
        await collect(client.sign_all(source(), linger=0))

        assert sorted(len(names) for names in requests(service)) == [1, 1, 30]

    @pytest.mark.parametrize(("linger", "together"), [(0.0, False), (60.0, True)])
    async def test_documents_linger_for_others(
        self, client: SignStash, service: MockedService, linger: float, together: bool
    ) -> None:
        async def source() -> AsyncIterator[Document]:
            for document in pdfs(2):
                yield document
                for _ in range(100):
                    await asyncio.sleep(0)

        await collect(client.sign_all(source(), linger=linger))

        assert sorted(requests(service)) == ([["0.pdf", "1.pdf"]] if together else [["0.pdf"], ["1.pdf"]])

    @pytest.mark.parametrize("linger", [-1, float("inf"), float("nan"), True, "1"])
    def test_an_invalid_linger_is_rejected(self, client: SignStash, linger: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"linger is .*Give a finite number of seconds, 0 or more"):
            client.sign_all([], linger=linger)

    async def test_leaving_an_endless_queue_accounts_for_every_document(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        queue: asyncio.Queue[Document] = asyncio.Queue(maxsize=20)
        closed = False
        seen: list[Progress] = []

        async def consume() -> AsyncIterator[Document]:
            nonlocal closed
            try:
                while True:
                    yield await queue.get()
            finally:
                closed = True

        async def produce() -> None:
            for number, document in enumerate(pdfs(1000)):
                await queue.put(document)
                if number % 7 == 0:
                    await asyncio.sleep(0)

        producing = asyncio.create_task(produce())
        found: dict[str, Outcome] = {}
        tasks = set[int]()
        async with aclosing(client.sign_all(consume(), progress=seen.append)) as outcomes:
            async for outcome in outcomes:
                found[outcome.document.name] = outcome
                tasks.add(len(asyncio.all_tasks()))
                if len(found) == 1000:
                    break
        await producing

        assert all(outcome.ok for outcome in found.values())
        assert closed
        assert max(tasks) < 10
        assert (seen[-1].signed, seen[-1].total) == (1000, None)


class TestUnknownOutcomes:
    @pytest.fixture(autouse=True)
    def lost_once(self, service: MockedService) -> None:
        def first_is_lost(request: httpx.Request) -> httpx.Response:
            if service.sign.call_count == 0:
                raise GATEWAY_TIMEOUT
            return signed_response(request)

        service.sign.mock(side_effect=first_is_lost)

    async def test_unknown_outcomes_are_held(self, client: SignStash, service: MockedService) -> None:
        found = await collect(client.sign_all(pdfs(4), batch_documents=2, in_flight=1))

        unknown = [outcome for outcome in found.values() if not outcome.ok]
        assert len(unknown) == 2
        for outcome in unknown:
            assert isinstance(outcome.error, OutcomeUnknownError)
            (reference,) = outcome.error.external_references
            assert outcome.document.name.removesuffix(".pdf") in reference
        assert service.sign.call_count == 2

    async def test_unknown_outcomes_are_sent_again_under_the_same_reference(
        self, client: SignStash, service: MockedService
    ) -> None:
        found = await collect(client.sign_all(pdfs(2), unknown_outcomes="send_again"))

        assert all(outcome.ok for outcome in found.values())
        first, second = ([item["documentRequest"] for item in service.sent(call)["documents"]] for call in (0, 1))
        assert [item["externalReference"] for item in first] == [item["externalReference"] for item in second]

    async def test_a_rejected_second_request_does_not_prove_a_signature(
        self, client: SignStash, service: MockedService
    ) -> None:
        def went_through(request: httpx.Request) -> httpx.Response:
            if service.sign.call_count == 0:
                raise GATEWAY_TIMEOUT
            if "0.pdf" in names_sent(request):
                return httpx.Response(409, json={"errorCode": "0.0.7"})
            return signed_response(request)

        service.sign.mock(side_effect=went_through)
        found = await collect(client.sign_all(pdfs(2), unknown_outcomes="send_again"))

        assert found["1.pdf"].ok
        assert isinstance(found["0.pdf"].error, OutcomeUnknownError)
        assert "the reference is used" in str(found["0.pdf"].error)
        assert "is signed, " not in str(found["0.pdf"].error), "nothing proves it"
        assert isinstance(found["0.pdf"].error.__cause__, DuplicateReferenceError)

    async def test_unknown_outcomes_are_looked_up_and_fetched_or_sent_again(
        self, client: SignStash, service: MockedService
    ) -> None:
        def number(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json=8) if "_0_" in request.url.path else httpx.Response(404)

        def detail(request: httpx.Request) -> httpx.Response:
            reference = service.sent(0)["documents"][0]["documentRequest"]["externalReference"]
            document = {"externalReference": reference, "signStatus": "SIGNED", "signedContent": "c2lnbmVk"}
            return httpx.Response(200, json={"id": 8, "documentList": [document]})

        service.router.get(path__regex="withDocumentExternalReference").mock(side_effect=number)
        service.router.get(path__regex="/detail/8/contentInResponse/true").mock(side_effect=detail)
        found = await collect(client.sign_all(pdfs(2), unknown_outcomes="look_up"))

        assert found["0.pdf"].signed
        assert found["0.pdf"].signed.content == b"signed"
        assert found["0.pdf"].signed.operation_id == 8
        assert found["1.pdf"].ok
        assert requests(service) == [["0.pdf", "1.pdf"], ["1.pdf"]]

    @pytest.mark.parametrize("is_restarted", [False, True])
    async def test_an_operation_is_fetched_once_for_all_its_documents(
        self,
        client: SignStash,
        service: MockedService,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        is_restarted: bool,
    ) -> None:
        """0 and 1 are of one operation, which has another document, too; 2 of a second one; the service has no 3."""
        operations, asked = {"_0_": 8, "_1_": 8, "_2_": 9}, list[str]()

        def number(request: httpx.Request) -> httpx.Response:
            asked.append(request.url.path)
            found = [number for mark, number in operations.items() if mark in request.url.path]
            return httpx.Response(200, json=found[0]) if found else httpx.Response(404)

        def detail(request: httpx.Request) -> httpx.Response:
            operation = 8 if "/8/" in request.url.path else 9
            sent = [item["documentRequest"]["externalReference"] for item in service.sent(0)["documents"]]
            signed = {"signStatus": "SIGNED", "signedContent": "c2lnbmVk"}
            listed = ["other", *(item for item in sent if operations.get(f"_{item.split('_')[-2]}_") == operation)]
            documents = [{"externalReference": reference, **signed} for reference in listed]
            return httpx.Response(200, json={"id": operation, "documentList": documents})

        service.router.get(path__regex="withDocumentExternalReference").mock(side_effect=number)
        fetched = service.router.get(path__regex="/detail/.*/contentInResponse/true").mock(side_effect=detail)
        with Journal(tmp_path / "run.journal") as journal:
            options: Any = {"journal": journal, "save_to": tmp_path / "signed", "unknown_outcomes": "look_up"}
            if is_restarted:
                await collect(client.sign_all(pdfs(4), **{**options, "unknown_outcomes": "hold"}))
                journal.requeue(*(entry.reference for entry in journal.entries()))
            found = await collect(client.sign_all(pdfs(4), **options))

        assert all(outcome.ok for outcome in found.values())
        assert [(tmp_path / "signed" / f"{number}.pdf").read_bytes() for number in range(3)] == [b"signed"] * 3
        assert [getattr(found[f"{number}.pdf"].signed, "operation_id", None) for number in range(3)] == [8, 8, 9]
        assert (fetched.call_count, len(asked)) == (2, 3)
        assert requests(service) == [["0.pdf", "1.pdf", "2.pdf", "3.pdf"], ["3.pdf"]]
        assert "references that were not sent" not in caplog.text

    async def test_a_failed_lookup_holds_the_document(self, client: SignStash, service: MockedService) -> None:
        service.router.get(path__regex="withDocumentExternalReference").respond(403)

        found = await collect(client.sign_all(pdfs(2), unknown_outcomes="look_up"))

        assert all(isinstance(outcome.error, OutcomeUnknownError) for outcome in found.values())
        assert service.sign.call_count == 1

    async def test_found_documents_do_not_wait_for_others(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        first_is_saved = asyncio.Event()

        async def refuse_both(request: httpx.Request) -> httpx.Response:
            names = names_sent(request)
            if len(names) == 2:
                return httpx.Response(400, json={"errorCode": "0.0.2"})
            if names == ["1.pdf"]:
                await first_is_saved.wait()
            return signed_response(request)

        service.sign.mock(side_effect=refuse_both)
        async with aclosing(client.sign_all(pdfs(2), save_to=tmp_path)) as outcomes:
            assert (await anext(outcomes)).document.name == "0.pdf"
            assert (tmp_path / "0.pdf").exists()
            first_is_saved.set()
            assert (await anext(outcomes)).ok

    async def test_a_gateway_that_loses_every_response_ends_the_run(
        self, client: SignStash, service: MockedService
    ) -> None:
        service.sign.mock(return_value=httpx.Response(503))
        found: dict[str, Outcome] = {}

        with pytest.raises(SignStashError):
            await collect(client.sign_all(pdfs(500), batch_documents=10, in_flight=1), found)

        assert service.sign.call_count <= 6
        assert all(isinstance(outcome.error, OutcomeUnknownError) for outcome in found.values())

    async def test_occasional_lost_responses_do_not_end_the_run(
        self, client: SignStash, service: MockedService
    ) -> None:
        def every_second(request: httpx.Request) -> httpx.Response:
            if service.sign.call_count % 2:
                raise GATEWAY_TIMEOUT
            return signed_response(request)

        service.sign.mock(side_effect=every_second)

        found = await collect(client.sign_all(pdfs(40), batch_documents=1, in_flight=1))

        assert sum(outcome.ok for outcome in found.values()) == 20

    async def test_another_rejection_does_not_resolve_a_lost_request(
        self, client: SignStash, service: MockedService
    ) -> None:
        def lose_then_refuse(request: httpx.Request) -> httpx.Response:
            if service.sign.call_count == 0:
                raise GATEWAY_TIMEOUT
            return httpx.Response(400, json={"errorCode": "0.0.2"})

        service.sign.mock(side_effect=lose_then_refuse)

        found = await collect(client.sign_all(pdfs(1), unknown_outcomes="send_again"))

        assert isinstance(found["0.pdf"].error, OutcomeUnknownError)

    async def test_a_query_is_retried_as_often_as_a_request(self, client: SignStash, service: MockedService) -> None:
        question = service.router.get(path__regex="withDocumentExternalReference")
        question.mock(side_effect=httpx.ConnectError("refused"))

        found = await collect(client.sign_all(pdfs(1), unknown_outcomes="look_up"))

        assert isinstance(found["0.pdf"].error, OutcomeUnknownError)
        assert question.call_count == AT_ONCE.attempts

    async def test_a_document_lost_twice_is_held(self, client: SignStash, service: MockedService) -> None:
        service.sign.mock(side_effect=GATEWAY_TIMEOUT)

        found = await collect(client.sign_all(pdfs(2), unknown_outcomes="send_again"))

        assert all(isinstance(outcome.error, OutcomeUnknownError) for outcome in found.values())
        assert service.sign.call_count == 2


class TestSaving:
    async def test_files_are_named_after_their_documents(self, client: SignStash, tmp_path: Path) -> None:
        folder = tmp_path / "signed" / "november"

        await collect(client.sign_all(pdfs(3), save_to=folder))

        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
            f"{number}.pdf": mock_signed(PDF) for number in range(3)
        }

    async def test_a_function_names_the_files(self, client: SignStash, tmp_path: Path) -> None:
        await collect(client.sign_all(pdfs(1), save_to=lambda document: tmp_path / f"signed-{document.name}"))

        assert [path.name for path in tmp_path.iterdir()] == ["signed-0.pdf"]

    async def test_a_document_with_an_existing_file_is_not_sent(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        (tmp_path / "0.pdf").write_bytes(b"earlier")

        found = await collect(client.sign_all(pdfs(2), save_to=tmp_path))

        assert isinstance(found["0.pdf"].error, DocumentNotSavedError)
        assert (tmp_path / "0.pdf").read_bytes() == b"earlier"
        assert requests(service) == [["1.pdf"]]

    @pytest.mark.parametrize(
        "save_to",
        [lambda _: "x" * 300, lambda _: "a\0b", lambda _: Path(__file__, "below")],
        ids=["too long", "no name", "below a file"],
    )
    async def test_an_impossible_file_is_reported_before_sending(
        self, client: SignStash, service: MockedService, save_to: Any
    ) -> None:
        found = await collect(client.sign_all(pdfs(1), save_to=save_to))

        assert isinstance(found["0.pdf"].error, DocumentNotSavedError)
        assert service.sign.call_count == 0

    async def test_a_path_may_be_of_bytes(self, client: SignStash, tmp_path: Path) -> None:
        class Target:
            def __fspath__(self) -> bytes:
                return os.fsencode(tmp_path / "new" / "a.pdf")

        found = await collect(client.sign_all(pdfs(1), save_to=lambda _: Target()))  # type: ignore[arg-type, return-value]

        assert found["0.pdf"].unwrap().saved_as == tmp_path / "new" / "a.pdf"

    @pytest.mark.parametrize("end", ["", ".", ".."])
    async def test_a_path_that_ends_as_a_folder_is_reported_before_sending(
        self, client: SignStash, service: MockedService, tmp_path: Path, end: str
    ) -> None:
        found = await collect(client.sign_all(pdfs(1), save_to=lambda _: f"{tmp_path}/new/{end}"))

        assert isinstance(found["0.pdf"].error, DocumentNotSavedError)
        assert service.sign.call_count == 0

    async def test_a_function_without_a_path_fails_the_document(
        self, client: SignStash, service: MockedService
    ) -> None:
        with pytest.raises(ConfigurationError, match="save_to returned None"):
            await collect(client.sign_all(pdfs(1), save_to=lambda _: None))  # type: ignore[arg-type, return-value]
        assert service.sign.call_count == 0

    @pytest.mark.parametrize("knows_paths", [True, False])
    async def test_two_paths_of_one_file_are_one_file(
        self, client: SignStash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_paths: bool
    ) -> None:
        if not knows_paths:  # as on every system but Linux
            monkeypatch.setattr("signstash._content.files._O_TMPFILE", 0)
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        paths = {"0.pdf": tmp_path / "real" / "a.pdf", "1.pdf": tmp_path / "link" / "a.pdf"}

        found = await collect(client.sign_all(pdfs(2), save_to=lambda d: paths[d.name], overwrite=True))

        assert found["0.pdf"].saved_as == tmp_path / "real" / "a.pdf"
        assert isinstance(found["1.pdf"].error, DocumentNotSavedError)

    async def test_two_documents_with_one_file_are_not_both_sent(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        twins = [Document.pdf(PDF + twin, name="invoice.pdf") for twin in (b"1", b"2")]

        outcomes = [outcome async for outcome in client.sign_all(twins, save_to=tmp_path)]

        refused, signed = sorted(outcomes, key=lambda outcome: outcome.ok)
        assert signed.document is twins[0]
        assert isinstance(refused.error, DocumentNotSavedError)
        assert requests(service) == [["invoice.pdf"]]
        assert (tmp_path / "invoice.pdf").read_bytes() == mock_signed(PDF + b"1")

    async def test_files_are_replaced_with_overwrite(self, client: SignStash, tmp_path: Path) -> None:
        (tmp_path / "0.pdf").write_bytes(b"earlier")

        await collect(client.sign_all(pdfs(1), save_to=tmp_path, overwrite=True))

        assert (tmp_path / "0.pdf").read_bytes() == mock_signed(PDF)

    async def test_a_full_disk_ends_the_run_and_loses_nothing(
        self, client: SignStash, service: MockedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        found: dict[str, Outcome] = {}
        with pytest.raises(DocumentNotSavedError, match="No space left"):
            await collect(client.sign_all(pdfs(100), batch_documents=1, in_flight=1, save_to=tmp_path), found)

        assert len(found) <= 2
        error = found["0.pdf"].error
        assert isinstance(error, DocumentNotSavedError)
        assert error.signed
        assert error.signed.content == mock_signed(PDF)
        assert list(tmp_path.iterdir()) == []


async def test_a_run_that_ended_with_an_error_leaves_memory() -> None:
    async def run(client: SignStash) -> weakref.ref[Document]:
        documents = pdfs(1)

        async def take(outcomes: AsyncGenerator[Outcome, None]) -> None:
            async for _ in outcomes:
                pass

        taking = asyncio.create_task(take(client.sign_all(documents)))
        with suppress(ClientServiceInactiveError):
            await taking
        return weakref.ref(documents[0])

    rejected = httpx.Response(401, json={"errorCode": "1.1.1"})
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(lambda _: rejected)) as http_client,
        SignStash(BASE_URL, CLIENT_ID, auth=httpx.BasicAuth("a", "b"), http_client=http_client) as client,
    ):
        document = await run(client)
        await asyncio.sleep(0)
        gc.collect()

        assert document() is None


async def test_an_uniterated_run_warns(signstash_mock: MockSignStash) -> None:
    outcomes = signstash_mock.client.sign_all([Document.pdf(PDF, name="a.pdf")])

    with pytest.warns(RuntimeWarning, match="never iterated"):
        del outcomes


async def test_an_iterated_run_does_not_warn(signstash_mock: MockSignStash, recwarn: pytest.WarningsRecorder) -> None:
    async for outcome in signstash_mock.client.sign_all([Document.pdf(PDF, name="a.pdf")]):
        assert outcome.ok
    gc.collect()

    assert [str(warning.message) for warning in recwarn if warning.category is RuntimeWarning] == []

"""No document is signed twice, and none is called unsigned that may be signed, whatever the order of failures."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, get_args

import attrs
import httpx
import pytest

from signstash import (
    ConfigurationError,
    ConnectionFailedError,
    CredentialsRejectedError,
    Document,
    DocumentNotSignedError,
    DuplicateReferenceError,
    Journal,
    Outcome,
    OutcomeUnknownError,
    RetryPolicy,
    SignStash,
    SignStashError,
)
from signstash.settings import UnknownOutcomes
from tests.conftest import BASE_URL, CLIENT_ID, PDF, MockedService, mock_signed, new_client, signed_response
from tests.runs.test_runs import collect

Effect = Literal["sign", "fail", "lose", "garble"]
"""What becomes of a request: it is signed, or not, or it is signed and its response is lost, or cannot be read."""


class KeptBooks:
    """A service that signs what it is told to, and counts what it signed.

    Attributes:
        effects: What becomes of the next requests; later ones are signed.
        reuses: Whether the reference of a document that was not signed can be used again.
        signed: How often it signed a document, by its name.
        references: The references of the requests, in order.
    """

    def __init__(self, service: MockedService) -> None:
        self.effects: list[Effect] = []
        self.reuses = False
        self.signed: dict[str, int] = {}
        self.references: list[str] = []
        self._used: set[str] = set()
        service.sign.mock(side_effect=self._answer)
        service.router.get(path__regex="withDocumentExternalReference").mock(side_effect=self._find)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        (sent,) = (item["documentRequest"] for item in json.loads(request.content)["documents"])
        reference = sent["externalReference"]
        self.references.append(reference)
        if reference in self._used:
            return httpx.Response(409, json={"errorCode": "0.0.7"})
        effect = self.effects.pop(0) if self.effects else "sign"
        if effect == "fail":
            if not self.reuses:
                self._used.add(reference)
            return signed_response(request, lambda d: {**d, "signStatus": "ERROR_SIGNING", "signedContent": None})
        self._used.add(reference)
        self.signed[sent["name"]] = self.signed.get(sent["name"], 0) + 1
        if effect == "lose":
            raise httpx.ReadTimeout("lost", request=request)
        if effect == "garble":
            return httpx.Response(200, text="<html>Gateway</html>")
        return signed_response(request)

    def _find(self, request: httpx.Request) -> httpx.Response:
        known = any(reference in str(request.url) for reference in self._used)
        return httpx.Response(500 if known else 404, json={"errorCode": "9.9.9"})


@pytest.fixture
def books(service: MockedService) -> Iterator[KeptBooks]:
    books = KeptBooks(service)
    yield books
    assert all(times == 1 for times in books.signed.values()), "signed twice"


@pytest.fixture
def client_options() -> dict[str, object]:
    return {"retries": RetryPolicy.none()}


def invoice(reference: str | None = None) -> Document:
    return Document.pdf(PDF, name="a.pdf", external_reference=reference)


class TestAfterAFailure:
    """The second attempt has a fresh reference, and is as much an attempt as the first one."""

    @pytest.mark.parametrize("policy", get_args(UnknownOutcomes))
    async def test_a_lost_second_attempt_keeps_its_reference_in_the_next_run(
        self, client: SignStash, books: KeptBooks, tmp_path: Path, policy: UnknownOutcomes
    ) -> None:
        books.effects = ["fail", "lose"]
        with Journal(tmp_path / "j") as journal:
            for _ in range(4):
                await collect(
                    client.sign_all([invoice()], journal=journal, save_to=tmp_path / "signed", unknown_outcomes=policy)
                )
                journal.requeue(*(entry.reference for entry in journal.entries("held")))

            (entry,) = journal.entries()
            assert entry.reference == books.references[1]
        assert len(set(books.references)) == 2

    @pytest.mark.parametrize("policy", get_args(UnknownOutcomes))
    async def test_a_killed_second_attempt_keeps_its_reference(
        self, client: SignStash, books: KeptBooks, tmp_path: Path, policy: UnknownOutcomes
    ) -> None:
        books.effects = ["fail", "lose"]
        with Journal(tmp_path / "j") as journal:
            for _ in range(2):
                outcomes = client.sign_all([invoice()], journal=journal, save_to=tmp_path / "signed")
                await collect(outcomes)
        lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
        (tmp_path / "j").write_bytes(b"".join(lines[:-1]))  # as a process leaves it that is killed meanwhile

        with Journal(tmp_path / "j") as journal:
            (entry,) = journal.entries()
            assert entry.state == "sent"
            await collect(
                client.sign_all([invoice()], journal=journal, save_to=tmp_path / "signed", unknown_outcomes=policy)
            )
            (entry,) = journal.entries()
        assert entry.state != "failed"
        assert entry.reference == books.references[1]

    async def test_a_reference_that_a_lost_second_attempt_used_up_is_not_explained_by_the_failure(
        self, client: SignStash, books: KeptBooks
    ) -> None:
        books.effects = ["fail", "lose"]
        document = invoice()
        with pytest.raises(DocumentNotSignedError):
            await client.sign(document)
        with pytest.raises(OutcomeUnknownError):
            await client.sign(document)

        with pytest.raises(DuplicateReferenceError) as raised:
            await client.sign(document)

        assert books.signed == {"a.pdf": 1}
        assert "the earlier attempt that failed" not in str(raised.value)

    async def test_a_used_reference_of_the_caller_is_not_explained_by_the_failure(
        self, client: SignStash, books: KeptBooks
    ) -> None:
        books.effects, books.reuses = ["fail", "lose"], True
        document = invoice("FT_1")
        with pytest.raises(DocumentNotSignedError):
            await client.sign(document)
        with pytest.raises(OutcomeUnknownError):
            await client.sign(document)

        with pytest.raises(DuplicateReferenceError) as raised:
            await client.sign(document)

        assert books.signed == {"a.pdf": 1}
        assert "the earlier attempt that failed" not in str(raised.value)

    @pytest.mark.parametrize("how", ["sign", "sign_all"])
    @pytest.mark.parametrize("is_cancelled", [False, True])
    async def test_a_reference_whose_response_was_not_read_is_not_explained_by_the_failure(
        self, client: SignStash, books: KeptBooks, monkeypatch: pytest.MonkeyPatch, how: str, is_cancelled: bool
    ) -> None:
        books.effects, books.reuses = ["fail", "sign" if is_cancelled else "garble"], True
        document = invoice("FT_1")
        is_read = asyncio.Event()

        async def sign() -> None:
            if how == "sign":
                await client.sign(document)
            else:
                async for outcome in client.sign_all([document]):
                    outcome.unwrap()

        def read(_: object) -> asyncio.Future[None]:
            is_read.set()
            return asyncio.get_running_loop().create_future()

        with pytest.raises(DocumentNotSignedError):
            await sign()
        if is_cancelled:
            with monkeypatch.context() as patched:
                patched.setattr("signstash._signing.signer.SMALL_BODY", 0)
                patched.setattr("signstash._signing.signer.in_thread", read)
                call = asyncio.create_task(sign())
                await is_read.wait()
                call.cancel()
                await asyncio.wait([call])
        else:
            with pytest.raises(SignStashError) as unread:
                await sign()
            assert unread.value.maybe_processed

        with pytest.raises(DuplicateReferenceError) as raised:
            await sign()

        assert books.signed == {"a.pdf": 1}
        assert "the earlier attempt that failed" not in str(raised.value)

    async def test_a_reference_used_by_another_document_is_not_explained_by_the_failure(
        self, client: SignStash, books: KeptBooks
    ) -> None:
        """Signed, and sent again after the signed document was lost to the application."""
        books.effects, books.reuses = ["fail"], True
        document = invoice("FT_1")
        with pytest.raises(DocumentNotSignedError):
            await client.sign(document)
        await client.sign(document)

        with pytest.raises(DuplicateReferenceError) as raised:
            await client.sign(document)

        assert "the earlier attempt that failed" not in str(raised.value)


class TestCancelledAfterTheResponse:
    async def test_a_signed_document_is_saved_despite_cancellation(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        loop, threads_are_free, answered = asyncio.get_running_loop(), threading.Event(), asyncio.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))

        async def answer(request: httpx.Request) -> httpx.Response:
            loop.run_in_executor(None, threads_are_free.wait, 100)
            answered.set()
            return signed_response(request)

        service.sign.mock(side_effect=answer)
        call = asyncio.create_task(client.sign(invoice(), save_to=tmp_path))
        await answered.wait()
        for _ in range(100):  # until it waits for a thread
            await asyncio.sleep(0)
        for _ in range(3):
            call.cancel()
            await asyncio.sleep(0)
        threads_are_free.set()
        with pytest.raises(asyncio.CancelledError) as raised:
            await call

        assert (tmp_path / "a.pdf").read_bytes() == mock_signed(PDF)
        assert "was cancelled after its request was sent" in raised.value.__notes__[0]


class TestCodeOfTheUser:
    """An authentication or an HTTP client of the user's own may raise anything."""

    @attrs.define
    class BrokenAuth(httpx.Auth):
        error: Exception
        is_after_response: bool = False

        def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
            if self.is_after_response:
                yield request
            raise self.error

    @pytest.mark.parametrize("kind", [LookupError, AssertionError])
    async def test_nothing_was_sent_if_the_authentication_raised(
        self, service: MockedService, tmp_path: Path, kind: type[Exception]
    ) -> None:
        auth = self.BrokenAuth(kind("secret-of-the-vault"))
        with Journal(tmp_path / "j") as journal:
            async with SignStash(BASE_URL, CLIENT_ID, auth=auth) as client:
                with pytest.raises(ConfigurationError, match=f"raised {kind.__name__}") as failed:
                    await client.sign(invoice("FT_1"))
                with pytest.raises(ConfigurationError, match=f"raised {kind.__name__}"):
                    await collect(client.sign_all([invoice()], journal=journal, save_to=tmp_path / "signed"))
            assert {entry.state for entry in journal.entries()} == {"planned"}

        assert failed.value.external_references == ("FT_1",)
        assert isinstance(failed.value.__cause__, kind)
        assert "vault" not in str(failed.value)
        assert not service.sign.called

    async def test_a_document_is_held_if_an_error_that_ends_the_run_says_that_it_may_be_signed(
        self, service: MockedService, tmp_path: Path
    ) -> None:
        error = CredentialsRejectedError("Rejected.", "Look it up.", status_code=403, maybe_processed=True)
        found: dict[str, Outcome] = {}
        with Journal(tmp_path / "j") as journal:
            async with SignStash(BASE_URL, CLIENT_ID, auth=self.BrokenAuth(error, is_after_response=True)) as client:
                with pytest.raises(CredentialsRejectedError):
                    await collect(client.sign_all([invoice()], journal=journal, save_to=tmp_path / "signed"), found)
            assert [entry.state for entry in journal.entries()] == ["held"]

        assert isinstance(found["a.pdf"].error, OutcomeUnknownError)

    async def test_a_document_may_be_signed_if_the_client_raised_later(
        self, service: MockedService, tmp_path: Path
    ) -> None:
        async def audit(response: httpx.Response) -> None:
            if str(response.request.url).startswith(BASE_URL):
                raise LookupError("no audit trail")

        async with httpx.AsyncClient(event_hooks={"response": [audit]}) as http_client:
            client = new_client(http_client=http_client)
            with pytest.raises(OutcomeUnknownError, match="raised LookupError"):
                await client.sign(invoice())
            with Journal(tmp_path / "j") as journal:
                found = await collect(client.sign_all([invoice()], journal=journal, save_to=tmp_path / "signed"))
                assert {entry.state for entry in journal.entries()} == {"held"}

        assert isinstance(found["a.pdf"].error, OutcomeUnknownError)

    async def test_nothing_is_sent_again_if_a_hook_raised_an_error_of_another_client(
        self, service: MockedService
    ) -> None:
        async def publish(response: httpx.Response) -> None:
            if str(response.request.url).startswith(BASE_URL):
                raise ConnectionFailedError("The archive was not reached.", "Try again.")

        async with httpx.AsyncClient(event_hooks={"response": [publish]}) as http_client:
            client = new_client(http_client=http_client, retries=RetryPolicy.interactive())
            with pytest.raises(OutcomeUnknownError, match="raised ConnectionFailedError") as failed:
                await client.sign(invoice())
            with pytest.raises(ConnectionFailedError):  # which changes nothing
                await client.get_status(7)

        assert isinstance(failed.value.__cause__, ConnectionFailedError)
        assert service.sign.call_count == 1

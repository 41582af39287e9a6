"""The sandbox's Integration Service: what it stores and returns, and what a proxy does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from signstash import ApiError, Document, DuplicateReferenceError, Preservation, SignStash
from signstash.sandbox import Fault, Sandbox, SandboxApplication
from signstash.settings import Credentials
from tests.conftest import INVOICE

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def integration(sandbox: Sandbox) -> AsyncIterator[SignStash]:
    async with SignStash(**sandbox.integration_credentials) as client:
        yield client


async def test_an_operation_is_found_by_a_document_and_holds_what_was_signed(integration: SignStash) -> None:
    document = Document.pdf(INVOICE)
    signed = await integration.sign(document, preservation=Preservation(deliver_to=["ana@example.pt"]))

    number = await integration.get_operation_id(signed.external_reference)
    status = await integration.get_status(number)
    without = await integration.get_operation(number)
    complete = await integration.get_operation(number, include_content=True)

    assert number == signed.operation_id
    assert (status.status, status.type_) == ("EXECUTED", "SIGN")
    assert "documentList" not in status.additional_properties
    assert [item.name for item in without.document_list or ()] == [document.name]
    assert not [item.signed_content for item in without.document_list or () if item.signed_content]
    assert complete.delivery_info
    assert complete.document_list
    (listed,) = complete.document_list
    assert listed.storage_status == "CONTENT_PRESERVED"
    assert listed.signed_content


async def test_the_zip_holds_what_was_signed(integration: SignStash, tmp_path: Path) -> None:
    documents = [Document.binary(b"any", name=f"{name}.bin") for name in "ab"]
    batch = await integration.sign_batch([*documents, Document.pdf(b"%PDF-1.7\nbroken", name="c.pdf")])

    paths = await integration.download_documents(batch.operation.id or 0, tmp_path)

    signed = [outcome.signed for outcome in batch.outcomes if outcome.signed]
    assert [path.name for path in paths] == [f"{item.external_reference}.{item.name}" for item in signed]
    assert [path.read_bytes() for path in paths] == [item.content for item in signed]


async def test_mails_are_recorded_and_not_sent(integration: SignStash, sandbox: Sandbox) -> None:
    signed = await integration.sign(Document.binary(b"any", name="a.bin"))

    await integration.resend_mails(signed.operation_id or 0, ["ana@example.pt"], attach_documents=True)

    assert sandbox.request_log.entries()[-1]["recipients"] == ["ana@example.pt"]


async def test_a_proxy_stores_nothing(sandbox_client: SignStash, integration: SignStash) -> None:
    signed = await sandbox_client.sign(Document.binary(b"any", name="a.bin"))

    for client in (sandbox_client, integration):
        with pytest.raises(ApiError) as refused:
            await client.get_operation_id(signed.external_reference)
        assert refused.value.status_code == 404


async def test_references_are_shared_with_the_proxy(sandbox_client: SignStash, integration: SignStash) -> None:
    document = Document.binary(b"any", name="a.bin")
    await sandbox_client.sign(document)

    with pytest.raises(DuplicateReferenceError):
        await integration.sign(document)


@pytest.mark.parametrize("number", [10**9, 0, 2**63 - 1])
async def test_an_unknown_operation_raises(integration: SignStash, number: int) -> None:
    with pytest.raises(ApiError) as refused:
        await integration.get_status(number)
    assert refused.value.status_code == 404


async def test_queries_fail_on_demand(integration: SignStash, sandbox: Sandbox) -> None:
    signed = await integration.sign(Document.binary(b"any", name="a.bin"))
    sandbox.faults.add(Fault("1.3.0", on="query", times=1))

    with pytest.raises(ApiError) as refused:
        await integration.get_status(signed.operation_id or 0)
    assert refused.value.error_code == "1.3.0"
    await integration.get_status(signed.operation_id or 0)


async def test_a_lost_response_can_be_looked_up(integration: SignStash, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("reset_after", times=1))
    documents = [Document.binary(f"{number}".encode(), name=f"{number}.bin") for number in range(3)]

    outcomes = [outcome async for outcome in integration.sign_all(documents, unknown_outcomes="look_up")]

    assert all(outcome.ok for outcome in outcomes)
    assert all(sandbox.signatures[f"{number}.bin"] >= 1 for number in range(3))


def client_of(sandbox: SandboxApplication, alias: str, secret: str) -> SignStash:
    http_client = httpx.AsyncClient(transport=httpx.ASGITransport(sandbox))
    credentials: Credentials = {**sandbox.integration_credentials, "client_id": alias, "client_secret": secret}
    return SignStash(**credentials, http_client=http_client)


class TestState:
    async def test_saved_state_outlives_the_sandbox(self, tmp_path: Path) -> None:
        path = tmp_path / "state.sqlite"
        document = Document.binary(b"any", name="a.bin", external_reference="FT_1")
        before = SandboxApplication(state=path)
        first = await client_of(before, before.client_id, before.client_secret).sign(document)

        after = SandboxApplication(state=path)
        client = client_of(after, after.client_id, after.client_secret)

        assert await client.get_operation_id("FT_1") == first.operation_id
        with pytest.raises(DuplicateReferenceError):
            await client.sign(document)
        assert after.root_certificate == before.root_certificate != SandboxApplication().root_certificate
        assert after.signatures == {"a.bin": 1}
        assert after.signed_references == {"FT_1": 1}

    async def test_each_client_service_sees_its_own_operations(self) -> None:
        sandbox = SandboxApplication(clients={"other": "p%:ção"})
        mine = client_of(sandbox, sandbox.client_id, sandbox.client_secret)
        other = client_of(sandbox, "other", "p%:ção")
        signed = await other.sign(Document.binary(b"any", name="a.bin"))

        assert await other.get_operation_id(signed.external_reference) == signed.operation_id
        with pytest.raises(ApiError):
            await mine.get_operation_id(signed.external_reference)


class TestBinding:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.test"])
    def test_other_machines_are_rejected_by_default(self, host: str) -> None:
        with pytest.raises(ValueError, match="allow_remote=True"):
            Sandbox(host=host)

    def test_other_machines_can_be_allowed(self) -> None:
        with Sandbox(host="0.0.0.0", allow_remote=True) as sandbox:
            assert sandbox.base_url.startswith("http://127.0.0.1:")
            assert httpx.get(sandbox.page_url).status_code == 200

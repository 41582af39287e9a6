"""The sample application is tested as its own project would do it: with `signstash.testing`, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from signstash.testing import MOCK_SIGNATURE, MockSignStash
from tests.testing.invoice_service import InvoiceService

PDF = b"%PDF-1.7\n%%EOF\n"


@pytest.fixture
async def invoices(signstash_mock: MockSignStash) -> AsyncIterator[InvoiceService]:
    async with InvoiceService() as service:
        yield service


async def test_an_issued_invoice_is_archived_unchanged(invoices: InvoiceService, signstash_mock: MockSignStash) -> None:
    result = await invoices.issue("26-1", PDF)

    assert result.state == "signed"
    assert MOCK_SIGNATURE in invoices.archive["26-1"]
    assert signstash_mock.assert_signed("26-1.pdf").signature.reason == "Invoice"


async def test_a_day_of_invoices_is_one_request(invoices: InvoiceService, signstash_mock: MockSignStash) -> None:
    await invoices.issue_all({"26-1": PDF, "26-2": PDF})

    (request,) = signstash_mock.sign_requests
    assert [document.name for document in request.documents] == ["26-1.pdf", "26-2.pdf"]


async def test_an_invoice_is_issued_once(invoices: InvoiceService, signstash_mock: MockSignStash) -> None:
    await invoices.issue("26-1", PDF)

    assert (await invoices.issue("26-1", PDF)).state == "signed before"
    signstash_mock.assert_signed("26-1.pdf", times=1)


async def test_rejected_credentials_stop_the_service(invoices: InvoiceService, signstash_mock: MockSignStash) -> None:
    signstash_mock.credentials_rejected()

    await invoices.issue("26-1", PDF)
    await invoices.issue("26-2", PDF)

    assert "password" in invoices.alarm
    assert signstash_mock.routes.token.call_count == 1
    assert not signstash_mock.sign_requests


async def test_an_expired_token_is_replaced_silently(invoices: InvoiceService, signstash_mock: MockSignStash) -> None:
    signstash_mock.token_expired()

    assert (await invoices.issue("26-1", PDF)).state == "signed"
    assert signstash_mock.routes.token.call_count == 2


async def test_a_token_that_is_always_rejected_stops_the_service(
    invoices: InvoiceService, signstash_mock: MockSignStash
) -> None:
    signstash_mock.token_rejected_for_good()

    assert (await invoices.issue("26-1", PDF)).state == "postponed"
    assert "environment" in invoices.alarm


@pytest.mark.parametrize("scenario", ["client_service_inactive", "issuer_inactive"])
async def test_an_inactive_account_stops_the_service(
    scenario: str, invoices: InvoiceService, signstash_mock: MockSignStash
) -> None:
    getattr(signstash_mock, scenario)()

    await invoices.issue_all({"26-1": PDF, "26-2": PDF})
    await invoices.issue("26-3", PDF)

    assert "inactive" in invoices.alarm or "does not allow" in invoices.alarm
    assert len(signstash_mock.sign_requests) == 1


async def test_a_missing_certificate_stops_the_service(invoices: InvoiceService, signstash_mock: MockSignStash) -> None:
    signstash_mock.certificate_not_provisioned()

    assert (await invoices.issue("26-1", PDF)).state == "postponed"
    assert "certificate" in invoices.alarm
    signstash_mock.assert_not_signed("26-1.pdf")


async def test_a_failed_invoice_does_not_affect_others(invoices: InvoiceService, signstash_mock: MockSignStash) -> None:
    signstash_mock.document_fails("26-2.pdf", "TIMESTAMP_SIGN_ERROR")

    results = await invoices.issue_all({"26-1": PDF, "26-2": PDF})

    assert {number: result.state for number, result in results.items()} == {"26-1": "signed", "26-2": "postponed"}
    assert list(invoices.archive) == ["26-1"]


async def test_a_used_reference_means_signed_before(invoices: InvoiceService, signstash_mock: MockSignStash) -> None:
    signstash_mock.duplicate_reference()

    assert (await invoices.issue("26-1", PDF)).state == "signed before"


async def test_the_application_pauses_as_long_as_the_service_asks(
    invoices: InvoiceService, signstash_mock: MockSignStash
) -> None:
    signstash_mock.rate_limited(times=2, retry_after=7)

    results = [await invoices.issue("26-1", PDF) for _ in range(3)]

    assert [(result.state, result.pause) for result in results] == [("postponed", 7), ("postponed", 7), ("signed", 0)]


@pytest.mark.parametrize("scenario", ["timeout", "connection_lost_after_send", "gateway_html"])
async def test_a_lost_response_leaves_the_invoice_in_doubt(
    scenario: str, invoices: InvoiceService, signstash_mock: MockSignStash
) -> None:
    getattr(signstash_mock, scenario)()

    assert (await invoices.issue("26-1", PDF)).state == "in doubt"
    assert not invoices.archive


async def test_an_invoice_in_doubt_is_found_at_the_service(
    invoices: InvoiceService, signstash_mock: MockSignStash
) -> None:
    signstash_mock.connection_lost_after_send()
    await invoices.issue("26-1", PDF)

    assert (await invoices.settle("26-1")).state == "signed before"


async def test_a_failed_connection_is_retried_later(invoices: InvoiceService, signstash_mock: MockSignStash) -> None:
    signstash_mock.connection_refused()

    assert (await invoices.issue("26-1", PDF)).pause == 60
    assert (await invoices.issue("26-1", PDF)).state == "signed"


@pytest.mark.parametrize(("code", "state"), [("0.0.1", "in doubt"), ("0.0.4", "failed"), ("1.3.0", "postponed")])
async def test_the_error_code_decides_the_state_of_an_invoice(
    code: str, state: str, invoices: InvoiceService, signstash_mock: MockSignStash
) -> None:
    signstash_mock.api_error(code)

    assert (await invoices.issue("26-1", PDF)).state == state

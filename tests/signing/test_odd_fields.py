"""Answers whose fields are unknown or odd: they are read liberally, and never cost the signed document."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from signstash import DocumentNotSignedError, OutcomeUnknownError, SignStash, UnexpectedResponseError
from signstash.models import UNSET, BaseOperation, ContentType, SigningStatus
from tests.conftest import PDF, MockedService, mock_signed, pdf, signed_answer

ODD: list[Any] = [None, 7, -1, 2.5, True, "", "text", "é\x00", [], [None], ["text"], {}, {"a": None}, 10**400, 1e400]


def answer_with(service: MockedService, operation: dict[str, Any] | None = None, **document: Any) -> None:
    """Let the service sign, with other fields of the operation and of each document."""

    def answer(request: httpx.Request) -> httpx.Response:
        fields = json.loads(signed_answer(request).content) | (operation or {})
        fields["documentList"] = [signed | document for signed in fields["documentList"]]
        return httpx.Response(200, content=json.dumps(fields))

    service.sign.mock(side_effect=answer)


async def signed_batch(client: SignStash) -> Any:
    batch = await client.sign_batch([pdf("FT_31")])
    assert [outcome.signed.content for outcome in batch.outcomes if outcome.signed] == [mock_signed(PDF)]
    return batch


class TestSigning:
    @pytest.mark.parametrize(
        "name",
        [
            "type",
            "status",
            "issuerCompany",
            "issuerClientServiceAlias",
            "creationDate",
            "folderExternalReference",
            "signatureQueuePriority",
            "folder",
            "deliveryInfo",
            "executionTime",
            "id",
            "unheardOf",
        ],
    )
    async def test_an_unexpected_operation_field_is_no_obstacle(
        self, client: SignStash, service: MockedService, name: str
    ) -> None:
        for value in ODD:
            answer_with(service, {name: value})

            batch = await signed_batch(client)

            if name != "status":
                assert batch.operation.status == "EXECUTED"
            if name != "id":
                assert batch.outcomes[0].signed.operation_id == 4711

    @pytest.mark.parametrize(
        "name",
        [
            "name",
            "internalId",
            "cipherStatus",
            "storageStatus",
            "contentLength",
            "additionalContentLength",
            "receptionDate",
            "storagePeriod",
            "storageEndDate",
            "documentAttributes",
            "contentType",
            "unheardOf",
        ],
    )
    async def test_an_unexpected_document_field_is_no_obstacle(
        self, client: SignStash, service: MockedService, name: str
    ) -> None:
        for value in ODD:
            answer_with(service, **{name: value})

            signed = (await signed_batch(client)).outcomes[0].signed

            assert signed.name == "invoice.pdf"
            assert signed.details.sign_status == "SIGNED"

    async def test_an_unexpected_field_is_kept_and_affects_no_other(
        self, client: SignStash, service: MockedService
    ) -> None:
        answer_with(
            service,
            {"issuerCompany": "ACME", "executionTime": 12, "new": 1},
            documentAttributes=5,
            receptionDate="then",
            contentLength=99,
        )

        batch = await signed_batch(client)

        assert batch.operation.execution_time == 12
        assert batch.operation.issuer_company is UNSET
        assert batch.operation.additional_properties == {"issuerCompany": "ACME", "new": 1}
        details = batch.outcomes[0].signed.details
        assert details.content_length == 99
        assert details.additional_properties == {"documentAttributes": 5, "receptionDate": "then"}

    async def test_unknown_values_of_enums_are_usable(self, client: SignStash, service: MockedService) -> None:
        answer_with(
            service,
            {"type": "STAMP", "status": "ALMOST"},
            cipherStatus="ROT13",
            storageStatus="CLOUDY",
            contentType="application/pdf, text/xml",
        )

        batch = await signed_batch(client)

        assert (batch.operation.type_, str(batch.operation.status)) == ("STAMP", "ALMOST")
        details = batch.outcomes[0].signed.details
        assert (details.cipher_status, details.storage_status) == ("ROT13", "CLOUDY")
        assert isinstance(details.content_type, ContentType)
        assert details.to_dict()["contentType"] == "application/pdf, text/xml"

    async def test_an_unknown_sign_status_is_kept(self, client: SignStash, service: MockedService) -> None:
        answer_with(service, signStatus="WAITING_FOR_MOON", signedContent=None)

        batch = await client.sign_batch([pdf()])

        error = batch.outcomes[0].error
        assert "WAITING_FOR_MOON" in str(error)
        status = batch.operation.document_list[0].sign_status  # type: ignore[index]
        assert isinstance(status, SigningStatus)
        assert status == "WAITING_FOR_MOON"

    @pytest.mark.parametrize("value", [..., None, "", 7, True, [], {}, "signed", "SIGNED "])
    async def test_only_the_status_signed_is_a_success(
        self, client: SignStash, service: MockedService, value: Any
    ) -> None:
        def change(document: dict[str, Any]) -> dict[str, Any]:
            changed = document | {"signStatus": value}
            return {name: item for name, item in changed.items() if item is not ...}

        service.sign.mock(side_effect=lambda request: signed_answer(request, change))

        batch = await client.sign_batch([pdf()])

        assert batch.outcomes[0].signed is None
        assert isinstance(batch.outcomes[0].error, DocumentNotSignedError | OutcomeUnknownError)

    async def test_the_status_received_is_not_signed_yet(self, client: SignStash, service: MockedService) -> None:
        answer_with(service, signStatus="RECEIVED", signedContent=None)

        with pytest.raises(OutcomeUnknownError, match="received, but is not signed yet") as unknown:
            await client.sign(pdf("FT_31"))
        assert unknown.value.external_references == ("FT_31",)

    async def test_the_status_received_with_an_error_is_a_failure(
        self, client: SignStash, service: MockedService
    ) -> None:
        answer_with(service, signStatus="RECEIVED", signError="TIMESTAMP_SIGN_ERROR")

        with pytest.raises(DocumentNotSignedError):
            await client.sign(pdf())

    async def test_a_long_sign_error_is_shortened(self, client: SignStash, service: MockedService) -> None:
        answer_with(service, signStatus="ERROR\nSIGNING", signError="x" * 50_000 + "\n\x1b[31m")

        with pytest.raises(DocumentNotSignedError) as failed:
            await client.sign(pdf())

        assert failed.value.sign_error == "x" * 50_000 + "\n\x1b[31m"
        assert len(str(failed.value)) < 1000
        assert str(failed.value).isprintable()

    async def test_an_operation_id_as_text_is_read(self, client: SignStash, service: MockedService) -> None:
        answer_with(service, {"id": "4711"})

        assert (await signed_batch(client)).outcomes[0].signed.operation_id == 4711

    @pytest.mark.parametrize("value", [True, 47.11, "47.11", "no number", [4711], "1" * 30, "٤", 2**63, 10**400, -1])
    async def test_an_invalid_operation_id_is_none(self, client: SignStash, service: MockedService, value: Any) -> None:
        answer_with(service, {"id": value})

        assert (await signed_batch(client)).outcomes[0].signed.operation_id is None

    @pytest.mark.parametrize(
        "written",
        [
            "2026-02-10T10:19:21.648Z",
            "2026-02-10T10:19:21.648+0000",
            "2026-02-10T11:19:21.648+01:00",
            "2026-02-10 10:19:21.648",  # Lisbon's time, which is UTC in winter
            "2026-02-10T10:19:21.648",
            1770718761648,
            "1770718761648",
            1770718761.648,
        ],
    )
    async def test_dates_of_any_format_are_no_obstacle(
        self, client: SignStash, service: MockedService, written: Any
    ) -> None:
        answer_with(service, {"creationDate": written}, receptionDate=written)

        batch = await signed_batch(client)

        expected = datetime(2026, 2, 10, 10, 19, 21, 648000, tzinfo=UTC)
        assert batch.operation.creation_date == expected
        assert batch.outcomes[0].signed.details.reception_date == expected
        assert batch.operation.creation_date.tzinfo is not None

    async def test_a_date_without_a_zone_is_in_lisbon_time(self, client: SignStash, service: MockedService) -> None:
        answer_with(service, {"creationDate": "2026-07-10 10:19:21"})

        batch = await signed_batch(client)

        assert batch.operation.creation_date == datetime(2026, 7, 10, 9, 19, 21, tzinfo=UTC)


class TestQueries:
    def reply(self, service: MockedService, reply: Any) -> None:
        service.router.get(path__regex="/operation/").respond(content=json.dumps(reply))

    async def test_a_status_with_an_unexpected_field_is_read(self, client: SignStash, service: MockedService) -> None:
        for value in ODD:
            self.reply(service, {"id": 7, "status": value, "creationDate": value, "issuerCompany": value})

            operation = await client.get_status(7)

            assert isinstance(operation, BaseOperation)
            assert operation.id == 7

    @pytest.mark.parametrize("value", [5, "text", {"a": 1}, [5], [None]])
    @pytest.mark.parametrize("name", ["documentAttributes", "receptionDate", "signStatus"])
    async def test_an_unexpected_document_field_loses_no_content(
        self, client: SignStash, service: MockedService, name: str, value: Any
    ) -> None:
        documents = [
            {"externalReference": "A", "signedContent": "YQ==", name: value},
            {"externalReference": "B", "signedContent": "Yg=="},
        ]
        self.reply(service, {"id": 7, "documentList": documents})

        operation = await client.get_operation(7, include_content=True)

        assert operation.document_list
        assert [item.external_reference for item in operation.document_list] == ["A", "B"]
        assert [item.signed_content for item in operation.document_list] == ["YQ==", "Yg=="]

    @pytest.mark.parametrize("stranger", [None, 7, "B", []])
    async def test_an_item_other_than_a_document_does_not_affect_others(
        self, client: SignStash, service: MockedService, stranger: Any
    ) -> None:
        self.reply(service, {"id": 7, "documentList": [stranger, {"externalReference": "A", "signedContent": "YQ=="}]})

        operation = await client.get_operation(7, include_content=True)

        assert operation.document_list
        assert [item.signed_content for item in operation.document_list] == ["YQ=="]

    async def test_a_missing_or_invalid_list_of_documents_is_empty(
        self, client: SignStash, service: MockedService
    ) -> None:
        for absent in ({}, {"documentList": None}):
            self.reply(service, {"id": 7} | absent)
            assert (await client.get_operation(7)).document_list is UNSET

        self.reply(service, {"id": 7, "documentList": []})
        assert (await client.get_operation(7)).document_list == []

        self.reply(service, {"id": 7, "documentList": {"A": 1}})
        assert (await client.get_operation(7)).additional_properties == {"documentList": {"A": 1}}

    @pytest.mark.parametrize("reply", [None, [], {}, "seven", True, 7.5, {"id": 7}])
    async def test_an_invalid_operation_id_raises(self, client: SignStash, service: MockedService, reply: Any) -> None:
        self.reply(service, reply)

        with pytest.raises(UnexpectedResponseError) as failed:
            await client.get_operation_id("FT_31")
        assert failed.value.maybe_processed is False
        assert failed.value.external_references == ("FT_31",)

    @pytest.mark.parametrize("reply", [None, [], {}, 7, "EXECUTED", {"status": "EXECUTED"}])
    @pytest.mark.parametrize("call", ["get_status", "get_operation"])
    async def test_an_invalid_operation_raises(
        self, client: SignStash, service: MockedService, call: str, reply: Any
    ) -> None:
        self.reply(service, reply)

        with pytest.raises(UnexpectedResponseError) as failed:
            await getattr(client, call)(7)
        assert failed.value.maybe_processed is False

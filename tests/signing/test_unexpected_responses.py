"""Responses that are not what the definition says: what can be read is read, and what cannot is one clear error."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from signstash import (
    ApiError,
    Document,
    DocumentNotSignedError,
    InvalidRequestError,
    OutcomeUnknownError,
    RateLimitedError,
    ServiceError,
    SignStash,
    TokenRejectedError,
    UnexpectedResponseError,
)
from signstash.models import UNSET, BaseOperation, ContentType, SigningStatus
from tests.conftest import PDF, MockedService, failure_of, mock_signed, pdf, signed_response
from tests.fault_server import little_memory

PAGE = "<html><head><title>Gateway</title></head><body>Gateway</body></html>"


ODD: list[Any] = [None, 7, -1, 2.5, True, "", "text", "é\x00", [], [None], ["text"], {}, {"a": None}, 10**400, 1e400]


def respond(service: MockedService, change: Callable[[dict[str, Any]], Any]) -> None:
    """Let the service sign, and change the response."""

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=json.dumps(change(signed_response(request).json())))

    service.sign.mock(side_effect=respond)


def respond_with(service: MockedService, operation: dict[str, Any] | None = None, **document: Any) -> None:
    """Let the service sign, with other fields of the operation and of each document; `...` leaves a field out."""

    def change(fields: dict[str, Any]) -> dict[str, Any]:
        documents = [present(item | document) for item in fields["documentList"]]
        return fields | (operation or {}) | {"documentList": documents}

    respond(service, change)


def present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ...}


async def signed_batch(client: SignStash) -> Any:
    batch = await client.sign_batch([pdf("FT_31")])
    assert [outcome.signed.content for outcome in batch.outcomes if outcome.signed] == [mock_signed(PDF)]
    return batch


class TestInvalidResponses:
    @pytest.mark.parametrize(
        ("status", "maybe_processed"),
        [(200, True), (400, False), (403, False), (404, False), (500, True), (502, True), (503, True), (504, True)],
    )
    async def test_a_gateway_page_raises(
        self, client: SignStash, service: MockedService, status: int, maybe_processed: bool
    ) -> None:
        service.sign.respond(status, html=PAGE)

        error = await failure_of(client)

        assert type(error) is UnexpectedResponseError
        assert (error.status_code, error.content_type) == (status, "text/html; charset=utf-8")
        assert error.external_references == ("FT_31",)
        assert error.maybe_processed is maybe_processed
        assert error.excerpt == ("" if status == 200 else PAGE)
        assert error.excerpt in str(error)

    async def test_an_excerpt_is_short_and_printable(self, client: SignStash, service: MockedService) -> None:
        service.sign.respond(502, content=b"\x1b[31m<html>\r\n\x00\xff" + b"word " * 2_000)

        error = await failure_of(client)

        assert error.excerpt.startswith("[31m<html>")
        assert error.excerpt.isprintable()
        assert len(error.excerpt) <= 120
        assert len(str(error)) < 1000

    @pytest.mark.parametrize(
        ("status", "expected"),
        [(401, TokenRejectedError), (413, InvalidRequestError), (429, RateLimitedError)],
    )
    async def test_a_page_with_a_known_status_raises_its_exception(
        self, client: SignStash, service: MockedService, status: int, expected: Any
    ) -> None:
        service.sign.respond(status, html=PAGE)

        error = await failure_of(client)

        assert type(error) is expected
        assert error.maybe_processed is False

    @pytest.mark.parametrize(
        ("status", "expected"),
        [(400, InvalidRequestError), (401, TokenRejectedError), (409, ApiError), (429, RateLimitedError)],
    )
    async def test_an_empty_rejection_raises(
        self, client: SignStash, service: MockedService, status: int, expected: Any
    ) -> None:
        service.sign.respond(status, content=b" \r\n")

        error = await failure_of(client)

        assert type(error) is expected
        assert (error.status_code, error.error_code, error.maybe_processed) == (status, None, False)

    async def test_an_empty_server_error_raises(self, client: SignStash, service: MockedService) -> None:
        service.sign.respond(503)

        error = await failure_of(client)

        assert (type(error), error.retryable, error.maybe_processed) == (ServiceError, False, True)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b"4711",
            b'"signed"',
            b"true",
            b"{}",
            b'{"id": 4711, "documentList": [{"externalRef',
            b'{"id": 4711}garbage',
            b"\xff\xfe\x00",
            b"[" * 100_000,
            b'{"status": 200}',
        ],
        ids=lambda body: body[:20].decode("latin-1"),
    )
    @pytest.mark.parametrize("status", [200, 204])
    async def test_a_success_other_than_an_operation_raises(
        self, client: SignStash, service: MockedService, status: int, body: bytes
    ) -> None:
        service.sign.respond(status, content=body, headers={"Content-Type": "application/json"})

        error = await failure_of(client)

        assert type(error) is UnexpectedResponseError
        assert (error.status_code, error.content_type, error.excerpt) == (status, "application/json", "")
        assert error.maybe_processed is True
        assert error.external_references == ("FT_31",)

    @pytest.mark.parametrize(
        "body",
        [
            *(b"null", b"[]", b'"gone"', b'{"errorCode": "0.0.', b'{"errorCode": "0.0.7"', b"\xff\xfe\x00"),
            pytest.param(b'{"errorCode": "0.0.7", "a": [' + b"{}," * 20_000 + b"{}]}", id="many values"),
        ],
    )
    async def test_a_rejection_other_than_an_object_raises(
        self, client: SignStash, service: MockedService, body: bytes
    ) -> None:
        service.sign.respond(409, content=body)

        error = await failure_of(client)

        assert (type(error), error.maybe_processed) == (UnexpectedResponseError, False)

    @pytest.mark.parametrize("value", [None, 7, 2.5, True, [], ["0.0.7"], {"a": {}}, "", "\ud800", "word " * 2_000])
    async def test_a_rejection_with_fields_of_other_types_raises(
        self, client: SignStash, service: MockedService, value: Any
    ) -> None:
        names = ("errorCode", "errorCodeDescription", "causeMessage", "error")
        service.sign.respond(409, content=json.dumps(dict.fromkeys(names, value)))

        error = await failure_of(client)

        assert type(error) is ApiError
        assert str(error).isprintable()
        assert len(str(error)) < 1500

    @pytest.mark.parametrize(
        "body",
        [b"\x00\xff\xff\xff\xff", b"\x00\xff\xff\xff\xff" * 3001, b"\x00<html>", b"\x00" + b"x" * 1_000_000],
        ids=["few bytes", "many bytes", "a page", "many letters"],
    )
    @pytest.mark.parametrize("status", [200, 500])
    async def test_undecodable_bytes_take_little_memory(
        self, client: SignStash, service: MockedService, status: int, body: bytes
    ) -> None:
        service.sign.respond(status, content=body)
        before = sys.getrecursionlimit()

        with little_memory(256 * 1024 * 1024):
            error = await failure_of(client)

        assert type(error) is UnexpectedResponseError
        assert sys.getrecursionlimit() == before


class TestRedirects:
    @pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
    async def test_redirects_are_not_followed(self, client: SignStash, service: MockedService, status: int) -> None:
        elsewhere = service.router.route(host="elsewhere.test").respond(200)
        service.sign.respond(status, headers={"Location": "https://elsewhere.test/login"}, html=PAGE)

        error = await failure_of(client)

        assert type(error) is UnexpectedResponseError
        assert (error.status_code, error.maybe_processed) == (status, False)
        assert "redirects" in str(error)
        assert elsewhere.call_count == 0

    @pytest.mark.parametrize(
        "location",
        ["/login", "http:x", "http://xn--/", "http://a:b:c/", "http://[::1", "mailto:x", "http://\x00/", "//"],
    )
    async def test_a_redirect_without_a_usable_location_raises(
        self, client: SignStash, service: MockedService, location: str
    ) -> None:
        service.sign.respond(302, headers={"Location": location})

        error = await failure_of(client)

        assert (type(error), error.status_code, error.maybe_processed) == (UnexpectedResponseError, 302, False)

    @pytest.mark.parametrize("location", ["https://elsewhere.test/", "http:x"])
    async def test_a_redirect_of_the_token_server_raises(
        self, client: SignStash, service: MockedService, location: str
    ) -> None:
        service.token.respond(302, headers={"Location": location})

        error = await failure_of(client)

        assert type(error) is UnexpectedResponseError
        assert error.maybe_processed is False


def respond_encoded(service: MockedService, encoding: str) -> None:
    """Let the service sign, and encode the response."""

    def respond(request: httpx.Request) -> httpx.Response:
        fields = signed_response(request).json() | {"issuerClientServiceAlias": "Serviço nº 1"}
        return httpx.Response(200, content=json.dumps(fields, ensure_ascii=False).encode(encoding))

    service.sign.mock(side_effect=respond)


class TestEncodings:
    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
    )
    async def test_json_in_another_encoding_is_read(
        self, client: SignStash, service: MockedService, encoding: str
    ) -> None:
        respond_encoded(service, encoding)

        batch = await client.sign_batch([pdf("FT_31")])

        assert [outcome.signed.content for outcome in batch.outcomes if outcome.signed] == [mock_signed(PDF)]
        assert batch.operation.issuer_client_service_alias == "Serviço nº 1"

    async def test_a_large_document_in_latin_1_is_read(self, client: SignStash, service: MockedService) -> None:
        large = PDF + bytes(2_000_000)

        respond_encoded(service, "latin-1")

        assert (await client.sign(Document.pdf(large, name="large.pdf"))).content == mock_signed(large)

    async def test_a_rejection_in_latin_1_is_read(self, client: SignStash, service: MockedService) -> None:
        service.sign.respond(500, content='{"errorCode": "0.0.6", "causeMessage": "página"}'.encode("latin-1"))

        error = await failure_of(client)

        assert (type(error), error.cause_message) == (InvalidRequestError, "página")

    @pytest.mark.parametrize(
        "content_type", ["text/html", "text/plain; charset=x", "application/octet-stream", "", "é"]
    )
    async def test_the_content_type_of_a_response_is_ignored(
        self, client: SignStash, service: MockedService, content_type: str
    ) -> None:
        def respond(request: httpx.Request) -> httpx.Response:
            headers = [(b"content-type", content_type.encode())]
            return httpx.Response(200, headers=headers, content=signed_response(request).content)

        service.sign.mock(side_effect=respond)

        assert (await client.sign(pdf("FT_31"))).content == mock_signed(PDF)

    async def test_a_long_content_type_is_shortened(self, client: SignStash, service: MockedService) -> None:
        service.sign.respond(502, text="no", headers={"Content-Type": "text/html; " * 5_000})

        error = await failure_of(client)

        assert len(str(error)) < 1000
        assert error.content_type.startswith("text/html; text/html;")


class TestMatching:
    @pytest.mark.parametrize("documents", [..., None, {}, {"FT_31": {}}, [], "FT_31", 7, [None], [7, "FT_31", []]])
    async def test_a_response_without_the_document_raises(
        self, client: SignStash, service: MockedService, documents: Any
    ) -> None:
        service.sign.respond(json=present({"id": 4711, "documentList": documents}))

        error = await failure_of(client)

        assert (type(error), error.maybe_processed) == (OutcomeUnknownError, True)
        assert error.external_references == ("FT_31",)

    @pytest.mark.parametrize("reference", [..., None, "", "FT_32", " FT_31", "ft_31", 31])
    async def test_a_response_with_another_reference_raises(
        self, client: SignStash, service: MockedService, reference: Any
    ) -> None:
        respond_with(service, externalReference=reference)

        assert type(await failure_of(client)) is OutcomeUnknownError

    @pytest.mark.parametrize(("name", "reference"), [("None", None), ("None", ...), ("True", True)])
    async def test_a_missing_reference_matches_no_document(
        self, client: SignStash, service: MockedService, name: str, reference: Any
    ) -> None:
        respond_with(service, externalReference=reference)

        with pytest.raises(OutcomeUnknownError):
            await client.sign(pdf(name))

    async def test_a_reference_as_a_number_is_matched(self, client: SignStash, service: MockedService) -> None:
        respond_with(service, externalReference=31)

        assert (await client.sign(pdf("31"))).content == mock_signed(PDF)

    async def test_one_missing_document_of_many_fails_alone(self, client: SignStash, service: MockedService) -> None:
        service.sign.mock(
            side_effect=lambda request: signed_response(
                request, lambda document: None if document["externalReference"] == "B" else document
            )
        )

        batch = await client.sign_batch([pdf("A"), pdf("B"), pdf("C")])

        assert [outcome.ok for outcome in batch.outcomes] == [True, False, True]
        error = batch.outcomes[1].error
        assert isinstance(error, OutcomeUnknownError)
        assert error.external_references == ("B",)

    async def test_one_repeated_document_of_many_fails_alone(self, client: SignStash, service: MockedService) -> None:
        def repeat(fields: dict[str, Any]) -> dict[str, Any]:
            first = fields["documentList"][0]
            return fields | {"documentList": [*fields["documentList"], first | {"signedContent": "b3RoZXI="}]}

        respond(service, repeat)

        batch = await client.sign_batch([pdf("A"), pdf("B")])

        assert [type(outcome.error) for outcome in batch.outcomes] == [UnexpectedResponseError, type(None)]
        error: Any = batch.outcomes[0].error
        assert (error.maybe_processed, error.external_references) == (True, ("A",))
        assert "2 times" in str(error)

    async def test_unknown_documents_and_another_order_are_no_obstacle(
        self, client: SignStash, service: MockedService
    ) -> None:
        stranger = {"externalReference": "X", "signStatus": "SIGNED", "signedContent": "b3RoZXI="}

        def mix(fields: dict[str, Any]) -> dict[str, Any]:
            first, second = fields["documentList"]
            second["signedContent"] = base64.b64encode(b"second").decode()
            return fields | {"documentList": [None, second, stranger, 7, first]}

        respond(service, mix)

        batch = await client.sign_batch([pdf("A"), pdf("B")])

        contents = [outcome.signed.content for outcome in batch.outcomes if outcome.signed]
        assert contents == [mock_signed(PDF), b"second"]


class TestSigned:
    @pytest.mark.parametrize(
        "content", [..., None, "", "=", "AAA=A", "not base64!", "é", 7, [], {}, "A", "\n \n", True]
    )
    async def test_invalid_content_raises(self, client: SignStash, service: MockedService, content: Any) -> None:
        respond_with(service, signedContent=content)

        error = await failure_of(client)

        assert (type(error), error.maybe_processed, error.status_code) == (UnexpectedResponseError, True, 200)
        assert error.external_references == ("FT_31",)
        assert "invoice.pdf" in str(error)

    @pytest.mark.parametrize(
        "written",
        [
            "YWJj\r\nZGVm\r\nZw==",
            "YWJj\nZGVm\nZw==\n",
            "YWJj ZGVm Zw==",
            "YWJjZGVmZw",
            "YWJjZGVmZw=",
            " YWJjZGVmZw==   ",
            "\tYWJjZGVmZw==\r\r\r",
        ],
    )
    async def test_other_notations_of_base64_are_read(
        self, client: SignStash, service: MockedService, written: str
    ) -> None:
        respond_with(service, signedContent=written)

        assert (await client.sign(pdf("FT_31"))).content == b"abcdefg"

    async def test_escaped_slashes_are_read(self, client: SignStash, service: MockedService) -> None:
        content = bytes(range(256)) * 3
        written = base64.b64encode(content).decode()
        assert "/" in written
        body = json.dumps(
            {"documentList": [{"externalReference": "FT_31", "signStatus": "SIGNED", "signedContent": written}]}
        ).replace("/", "\\/")
        service.sign.respond(content=body.encode())

        assert (await client.sign(pdf("FT_31"))).content == content

    @pytest.mark.parametrize("sign_error", ["TIMESTAMP_SIGN_ERROR", 7, ["x"], {"code": "x"}])
    async def test_a_signed_status_with_an_error_is_a_failure(
        self, client: SignStash, service: MockedService, sign_error: Any
    ) -> None:
        respond_with(service, signError=sign_error)

        error = await failure_of(client)

        assert (type(error), error.sign_status) == (DocumentNotSignedError, "SIGNED")
        assert error.sign_error == str(sign_error)

    @pytest.mark.parametrize("sign_error", [..., None, ""])
    async def test_a_signed_status_with_an_empty_error_is_a_success(
        self, client: SignStash, service: MockedService, sign_error: Any
    ) -> None:
        respond_with(service, signError=sign_error)

        assert (await client.sign(pdf("FT_31"))).content == mock_signed(PDF)


class TestFields:
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
            respond_with(service, {name: value})

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
            respond_with(service, **{name: value})

            signed = (await signed_batch(client)).outcomes[0].signed

            assert signed.name == "invoice.pdf"
            assert signed.details.sign_status == "SIGNED"

    async def test_an_unexpected_field_is_kept_and_affects_no_other(
        self, client: SignStash, service: MockedService
    ) -> None:
        respond_with(
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
        respond_with(
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
        respond_with(service, signStatus="WAITING_FOR_MOON", signedContent=None)

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
        respond_with(service, signStatus=value)

        batch = await client.sign_batch([pdf()])

        assert batch.outcomes[0].signed is None
        assert isinstance(batch.outcomes[0].error, DocumentNotSignedError | OutcomeUnknownError)

    async def test_the_status_received_is_not_signed_yet(self, client: SignStash, service: MockedService) -> None:
        respond_with(service, signStatus="RECEIVED", signedContent=None)

        with pytest.raises(OutcomeUnknownError, match="received, but is not signed yet") as unknown:
            await client.sign(pdf("FT_31"))
        assert unknown.value.external_references == ("FT_31",)

    async def test_the_status_received_with_an_error_is_a_failure(
        self, client: SignStash, service: MockedService
    ) -> None:
        respond_with(service, signStatus="RECEIVED", signError="TIMESTAMP_SIGN_ERROR")

        with pytest.raises(DocumentNotSignedError):
            await client.sign(pdf())

    async def test_a_long_sign_error_is_shortened(self, client: SignStash, service: MockedService) -> None:
        respond_with(service, signStatus="ERROR\nSIGNING", signError="word " * 10_000 + "\n\x1b[31m")

        with pytest.raises(DocumentNotSignedError) as failed:
            await client.sign(pdf())

        assert failed.value.sign_error == "word " * 10_000 + "\n\x1b[31m"
        assert len(str(failed.value)) < 1000
        assert str(failed.value).isprintable()

    async def test_an_operation_id_as_text_is_read(self, client: SignStash, service: MockedService) -> None:
        respond_with(service, {"id": "4711"})

        assert (await signed_batch(client)).outcomes[0].signed.operation_id == 4711

    @pytest.mark.parametrize("value", [True, 47.11, "47.11", "no number", [4711], "1" * 30, "٤", 2**63, 10**400, -1])
    async def test_an_invalid_operation_id_is_none(self, client: SignStash, service: MockedService, value: Any) -> None:
        respond_with(service, {"id": value})

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
        respond_with(service, {"creationDate": written}, receptionDate=written)

        batch = await signed_batch(client)

        expected = datetime(2026, 2, 10, 10, 19, 21, 648000, tzinfo=UTC)
        assert batch.operation.creation_date == expected
        assert batch.outcomes[0].signed.details.reception_date == expected
        assert batch.operation.creation_date.tzinfo is not None

    async def test_a_date_without_a_zone_is_in_lisbon_time(self, client: SignStash, service: MockedService) -> None:
        respond_with(service, {"creationDate": "2026-07-10 10:19:21"})

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

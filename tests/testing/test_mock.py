"""The mock: scenarios, received requests, and assertions."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import io
import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import respx
from pyhanko.pdf_utils.reader import PdfFileReader

from signstash import (
    ApiError,
    CertificateNotProvisionedError,
    CredentialsRejectedError,
    Document,
    DuplicateReferenceError,
    OutcomeUnknownError,
    Preservation,
    RateLimitedError,
    SignStash,
    SignStashError,
    TokenRejectedError,
)
from signstash._errors.codes import ERROR_CODES
from signstash.models import SigningError
from signstash.settings import Upload
from signstash.testing import MOCK_SIGNATURE, MockSignStash
from tests.conftest import BASE64_PATH, DEFINITION, INVOICE, MULTIPART_PATH, PDF, REQUEST_PART, TOKEN_URL, pdf, url_of

DOCUMENTS = [
    Document.pdf(PDF, name="invoice.pdf"),
    Document.xml(b"<invoice/>", name="invoice.xml"),
    Document.binary(b"\0\1", name="invoice.bin"),
]


@pytest.fixture
def mock() -> Iterator[MockSignStash]:
    with MockSignStash() as mock:
        yield mock


async def failure(mock: MockSignStash) -> SignStashError | None:
    try:
        await mock.client.sign(pdf())
    except SignStashError as error:
        return error
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
async def test_a_returned_document_says_that_it_is_not_signed(document: Document, mock: MockSignStash) -> None:
    signed = await mock.client.sign(document)

    sent = mock.assert_signed(document.name)
    assert signed.content.startswith(sent.content)
    assert MOCK_SIGNATURE in signed.content.removeprefix(sent.content)


async def test_a_returned_pdf_is_readable_and_has_no_signature(mock: MockSignStash) -> None:
    signed = await mock.client.sign(Document.pdf(INVOICE))

    reader = PdfFileReader(io.BytesIO(signed.content))
    assert reader.root["/Pages"]["/Count"] == 1
    assert reader.embedded_signatures == []


@pytest.mark.parametrize("upload", ["base64", "multipart"])
async def test_received_requests_are_read_from_their_bodies(upload: Upload, mock: MockSignStash) -> None:
    documents = [Document.pdf(PDF, name='a "b".pdf', reason="Approval"), Document.binary(b"\r\n--\0", name="b.bin")]
    client = SignStash(**mock.credentials, upload=upload)
    await client.sign_batch(
        documents, description="Two", external_reference="R-1", preservation=Preservation(deliver_to=["ana@example.pt"])
    )

    (request,) = mock.sign_requests
    assert (request.upload, request.description, request.external_reference) == (upload, "Two", "R-1")
    assert request.preservation is not None
    assert request.preservation.delivery_info
    assert request.preservation.delivery_info.person_receiver
    assert request.preservation.delivery_info.person_receiver[0].email == "ana@example.pt"
    first, second = request.documents
    assert (first.name, first.content, first.content_type) == ('a "b".pdf', PDF, "application/pdf")
    assert first.signature.reason == "Approval"
    assert first.external_reference == request.model.documents[0].document_request.external_reference
    assert (second.name, second.content) == ("b.bin", b"\r\n--\0")


async def test_multipart_files_may_be_named_by_reference(mock: MockSignStash) -> None:
    client = SignStash(**mock.credentials, upload="multipart", multipart_file_names="external_reference")
    batch = await client.sign_batch([Document.binary(b"one", name="x"), Document.binary(b"two", name="x")])

    assert [outcome.signed.content[:3] for outcome in batch.outcomes if outcome.signed] == [b"one", b"two"]


async def test_the_repr_shows_no_contents(mock: MockSignStash) -> None:
    await mock.client.sign(Document.binary(b"confidential", name="x.bin"))

    assert "confidential" not in repr(mock.sign_requests)
    assert "mock-secret" not in repr(mock)


@pytest.mark.parametrize("code", ERROR_CODES)
async def test_every_published_code_raises_its_exception(code: str, mock: MockSignStash) -> None:
    mock.api_error(code, times=2 if code == "0.0.10" else 1)

    error = await failure(mock)

    assert type(error) is ERROR_CODES[code].raises
    assert getattr(error, "error_code", None) == code


async def test_an_unpublished_code_needs_a_status(mock: MockSignStash) -> None:
    mock.api_error("2.1.7", status_code=418)

    error = await failure(mock)
    with pytest.raises(ValueError, match=r"code is '2\.1\.8', which is not published\. Give a status_code as well, or"):
        mock.api_error("2.1.8")

    assert isinstance(error, ApiError)
    assert (error.error_code, error.status_code) == ("2.1.7", 418)


@pytest.mark.parametrize("sign_error", SigningError)
async def test_a_document_fails_by_reference_or_by_name(sign_error: SigningError, mock: MockSignStash) -> None:
    mock.document_fails("R-1", sign_error)
    mock.document_fails("b.pdf", sign_error.value, times=1)

    documents = [pdf(name="a.pdf", external_reference="R-1"), pdf(name="b.pdf"), pdf(name="c.pdf")]
    batch = await mock.client.sign_batch(documents)

    assert [outcome.ok for outcome in batch.outcomes] == [False, False, True]
    assert {getattr(outcome.error, "sign_error", None) for outcome in batch.outcomes if outcome.error} == {sign_error}
    assert [document.sign_error for document in mock.sign_requests[0].documents] == [sign_error, sign_error, None]
    assert await failure(mock) is None


async def test_an_unknown_sign_error_raises(mock: MockSignStash) -> None:
    with pytest.raises(ValueError, match=r"sign_error is 'TYPO'\. Choose one of: CERT_SERVICE_GLOBAL_ERROR, "):
        mock.document_fails("invoice.pdf", "TYPO")


@pytest.mark.parametrize("times", [0, -1, True, 1.5])
async def test_scenarios_apply_a_whole_number_of_times(times: Any, mock: MockSignStash) -> None:
    with pytest.raises(ValueError, match="Give a positive integer, or None"):
        mock.rate_limited(times)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "soon", True])
async def test_a_pause_is_a_number_of_seconds(seconds: Any, mock: MockSignStash) -> None:
    with pytest.raises(ValueError, match="Give a number of seconds, or None"):
        mock.rate_limited(retry_after=seconds)


@pytest.mark.parametrize("status", ["502", 99, 9999, True, None])
async def test_a_status_is_one_of_http(status: Any, mock: MockSignStash) -> None:
    with pytest.raises(ValueError, match=r"status_code is .*Give an integer from 200 to 599"):
        mock.gateway_html(status)
    if status is not None:
        with pytest.raises(ValueError, match="Give an integer from 200 to 599"):
            mock.api_error("0.0.1", status_code=status)


@pytest.mark.parametrize("document", ["", None, Document.pdf(b"%PDF-1.7", name="a.pdf")], ids=str)
async def test_a_document_is_named_by_a_text(document: Any, mock: MockSignStash) -> None:
    for call in (
        mock.assert_signed,
        mock.assert_not_signed,
        lambda name: mock.document_fails(name, SigningError.TIMESTAMP_SIGN_ERROR),
    ):
        with pytest.raises(ValueError, match="Give its name or its external reference"):
            call(document)


async def test_the_innermost_mock_responds(mock: MockSignStash) -> None:
    with MockSignStash() as inner:
        await inner.client.sign(pdf("inner.pdf"))
    await mock.client.sign(pdf("outer.pdf"))

    inner.assert_signed("inner.pdf")
    mock.assert_signed("outer.pdf")
    mock.assert_not_signed("inner.pdf")


async def test_an_outer_mock_has_routes_for_other_services(mock: MockSignStash) -> None:
    mock.router.get("https://ledger.example/entries").respond(204)
    async with httpx.AsyncClient() as client:
        with MockSignStash():
            assert (await client.get("https://ledger.example/entries")).status_code == 204
        with (
            pytest.raises(AssertionError, match=r"ledger\.example/other was requested, but is not mocked"),
            MockSignStash(),
            contextlib.suppress(AssertionError),
        ):
            await client.get("https://ledger.example/other")


async def test_scenarios_apply_in_order(mock: MockSignStash) -> None:
    mock.rate_limited(times=2, retry_after=1.5)
    mock.token_expired()
    mock.connection_lost_after_send()
    mock.document_fails("invoice.pdf", "TIMESTAMP_SIGN_ERROR", times=1)

    errors = [await failure(mock) for _ in range(4)]

    assert [type(error).__name__ for error in errors] == [
        "RateLimitedError",
        "RateLimitedError",
        "OutcomeUnknownError",
        "NoneType",
    ]
    assert isinstance(errors[0], RateLimitedError)
    assert errors[0].retry_after == 1.5
    assert [request.status_code for request in mock.sign_requests] == [429, 429, 409, None, 200]


@pytest.mark.parametrize("scenario", ["token_expired", "api_error"])
async def test_an_expired_token_is_rejected_by_every_request(scenario: str, mock: MockSignStash) -> None:
    await failure(mock)
    earlier = mock.routes.sign.calls.last.request
    getattr(mock, scenario)(**({"code": "0.0.10"} if scenario == "api_error" else {}))
    await failure(mock)

    async with httpx.AsyncClient() as http_client:
        headers = {"Authorization": earlier.headers["Authorization"]}
        response = await http_client.post(earlier.url, content=earlier.content, headers=headers)

    assert response.json()["errorCode"] == "0.0.10"
    assert mock.sign_requests[-1].status_code == 409


async def test_queries_need_a_token_of_a_mock(mock: MockSignStash) -> None:
    await mock.client.sign(pdf())
    token = mock.routes.sign.calls.last.request.headers["Authorization"]
    url = url_of("getStatus", operationId=1)
    async with httpx.AsyncClient() as http_client:
        responses = [
            await http_client.get(url, headers={"Authorization": header})
            for header in (token, "Bearer foreign", token.replace("Bearer", "Basic"), "")
        ]

    assert [response.status_code for response in responses] == [200, 409, 409, 409]


@pytest.mark.parametrize("header", ["", "Bearer x", f"Basic {base64.b64encode(b'no colon').decode()}"])
async def test_a_token_needs_credentials(header: str, mock: MockSignStash) -> None:
    async with httpx.AsyncClient() as http_client:
        response = await http_client.post(TOKEN_URL, headers={"Authorization": header})

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


async def test_the_last_document_of_a_name_is_returned(mock: MockSignStash) -> None:
    for reason in ("First", "Second"):
        await mock.client.sign(pdf(reason=reason))

    assert mock.assert_signed("invoice.pdf", times=2).signature.reason == "Second"
    with pytest.raises(AssertionError, match=r"invoice\.pdf was signed"):
        mock.assert_not_signed("invoice.pdf")


async def test_contents_are_returned_only_on_request(mock: MockSignStash) -> None:
    await mock.client.sign(pdf(external_reference="R-1"))
    sent = mock.routes.sign.calls.last.request
    body = json.loads(sent.content) | {"externalReference": "new", "returnSignedContent": False}
    body["documents"][0]["documentRequest"]["externalReference"] = "R-2"
    async with httpx.AsyncClient(headers={"Authorization": sent.headers["Authorization"]}) as http_client:
        response = await http_client.post(sent.url, json=body)

    (document,) = response.json()["documentList"]
    assert (document["signStatus"], "signedContent" in document) == ("SIGNED", False)
    assert document["contentLength"] == len(mock.sign_requests[0].documents[0].content) + len(MOCK_SIGNATURE) + 4


async def test_cleared_scenarios_no_longer_apply(mock: MockSignStash) -> None:
    mock.client_service_inactive()
    mock.credentials_rejected()
    mock.certificate_not_provisioned()
    mock.clear_scenarios()

    assert await failure(mock) is None


async def test_credentials_are_rejected_as_often_as_requested(mock: MockSignStash) -> None:
    mock.credentials_rejected(times=1)

    with pytest.raises(CredentialsRejectedError):
        await mock.client.sign(pdf())
    async with SignStash(**mock.credentials) as client:  # the other one does not ask again for 30 seconds
        await client.sign(pdf())


async def test_a_request_with_a_lost_response_is_processed_on_request(mock: MockSignStash) -> None:
    first, second, third = pdf(name="first.pdf"), pdf(name="second.pdf"), pdf(name="third.pdf")
    mock.connection_lost_after_send()
    mock.timeout()
    mock.timeout(processed=True)
    for document in (first, second, third):
        with pytest.raises(OutcomeUnknownError):
            await mock.client.sign(document)

    mock.assert_signed("first.pdf")
    mock.assert_not_signed("second.pdf")
    mock.assert_signed("third.pdf")
    with pytest.raises(DuplicateReferenceError):
        await mock.client.sign(first)
    await mock.client.sign(second)


async def test_a_missing_certificate_concerns_every_document(mock: MockSignStash) -> None:
    mock.certificate_not_provisioned(times=2)

    batch = await mock.client.sign_batch([pdf(name="a.pdf"), pdf(name="b.pdf"), pdf(name="c.pdf")])

    assert [isinstance(outcome.error, CertificateNotProvisionedError) for outcome in batch.outcomes] == [
        True,
        True,
        False,
    ]


async def test_signed_documents_can_be_queried(mock: MockSignStash, tmp_path: Path) -> None:
    mock.document_fails("bad.pdf", "TIMESTAMP_SIGN_ERROR")
    batch = await mock.client.sign_batch(
        [pdf(external_reference="FT/1"), pdf(name="bad.pdf")],
        preservation=Preservation(deliver_to=["ana@example.pt"]),
    )

    number = await mock.client.get_operation_id("FT/1")
    status = await mock.client.get_status(number)
    operation = await mock.client.get_operation(number, include_content=True)
    files = await mock.client.download_documents(number, tmp_path)
    await mock.client.resend_mails(number, ["ana@example.pt"], attach_documents=True)

    assert number == batch.operation.id
    assert (status.id, status.status) == (number, "EXECUTION_ERROR")
    assert status.issuer_client_service_alias == mock.credentials["client_id"]
    assert operation.delivery_info
    assert operation.delivery_info.person_receiver
    assert operation.delivery_info.person_receiver[0].email == "ana@example.pt"
    contents = [item.signed_content or "" for item in operation.document_list or ()]
    assert [content[:6] for content in contents] == ["JVBERi", ""]
    assert batch.outcomes[0].signed
    assert [file.read_bytes() for file in files] == [batch.outcomes[0].signed.content]
    (mails,) = mock.resent_mails
    assert (mails.operation_id, mails.recipients, mails.attach_documents) == (number, ("ana@example.pt",), True)
    await mock.client.resend_mails(number, ["ana@example.pt"])
    assert not mock.resent_mails[-1].attach_documents
    assert len({item.internal_id for item in operation.document_list or ()}) == 2


@pytest.mark.parametrize("number", [0, 2])
async def test_unsigned_documents_are_not_found(number: int, mock: MockSignStash) -> None:
    await mock.client.sign(pdf())

    for question in (mock.client.get_status(number), mock.client.get_operation_id("unknown")):
        with pytest.raises(ApiError) as caught:
            await question
        assert caught.value.status_code == 404


async def test_a_proxy_stores_nothing() -> None:
    with MockSignStash(base_url="http://proxy.test/signstash/einvoice-integration-client-ws") as mock:
        signed = await mock.client.sign(pdf())
        with pytest.raises(ApiError) as caught:
            await mock.client.get_status(signed.operation_id or 0)

    assert caught.value.status_code == 404


async def test_every_response_conforms_to_the_definition(mock: MockSignStash) -> None:
    mock.document_fails("bad.pdf", "TIMESTAMP_SIGN_ERROR", times=1)
    await mock.client.sign_batch([pdf(), pdf(name="bad.pdf")], preservation=Preservation(deliver_to=["a@b.pt"]))
    await mock.client.get_operation_id(mock.sign_requests[0].documents[0].external_reference)
    await mock.client.get_status(1)
    await mock.client.get_operation(1, include_content=True)
    for code in ERROR_CODES:
        mock.api_error(code)
        await failure(mock)

    answered = {
        "signDocumentBatchBase64": mock.routes.sign,
        "getOperationIdByDocumentExternalReference": mock.routes.operation_id,
        "getStatus": mock.routes.status,
        "getSignOperationDetail": mock.routes.detail,
    }
    definitions = {item["operationId"]: item for path in DEFINITION["paths"].values() for item in path.values()}
    checked = 0
    for operation, route in answered.items():
        for call in route.calls:
            status = "200" if call.response.is_success else str(call.response.status_code)
            (content,) = _resolved(definitions[operation]["responses"][status])["content"].values()
            schema = _closed({**content["schema"], "components": DEFINITION["components"]})
            jsonschema.validate(call.response.json(), schema)
            checked += 1
    assert checked > len(ERROR_CODES) + 3


def _resolved(item: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in item:
        return item
    response: dict[str, Any] = DEFINITION["components"]["responses"][item["$ref"].rpartition("/")[2]]
    return response


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, with only the defined fields in objects."""
    text = json.dumps(schema, sort_keys=True).replace(
        '"properties": {', '"additionalProperties": false, "properties": {'
    )
    closed: dict[str, Any] = json.loads(text)
    return closed


UNFIT: list[Any] = [{}, [], {"externalReference": 1}]


async def test_a_malformed_request_is_rejected_as_by_the_service(mock: MockSignStash) -> None:
    async with SignStash(**mock.credentials) as client:
        await client.sign(pdf())
        token = mock.routes.sign.calls.last.request.headers["Authorization"]
    async with httpx.AsyncClient(headers={"Authorization": token}) as http_client:
        url = str(mock.routes.sign.calls.last.request.url)
        sent = json.loads(mock.routes.sign.calls.last.request.content)
        no_base64 = copy.deepcopy(sent)
        no_base64["documents"][0]["documentRequest"]["base64Content"] = "JVBERi0x!"
        unfit = [*UNFIT, sent | {"documents": []}, no_base64]
        responses = [await http_client.post(url, json=body) for body in unfit]
        multipart = url.replace(BASE64_PATH, MULTIPART_PATH)
        responses.append(await http_client.post(multipart, content=b"no multipart"))
        described = {REQUEST_PART: (None, "{}")}
        responses.append(await http_client.post(multipart, files=described))
        described = {REQUEST_PART: (None, json.dumps(mock.sign_requests[0].model.to_dict()))}
        responses.append(await http_client.post(multipart, files=described))

    assert [response.json()["errorCode"] for response in responses] == [
        "0.0.2",
        "0.0.6",
        *["0.0.2"] * 2,
        "0.0.6",
        *["0.0.2"] * 3,
    ]
    assert len(mock.sign_requests) == 1


async def test_a_foreign_token_is_rejected(mock: MockSignStash) -> None:
    class Foreign(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            request.headers["Authorization"] = "Bearer foreign"
            yield request

    client = SignStash(mock.credentials["base_url"], "client service", auth=Foreign())

    with pytest.raises(TokenRejectedError):
        await client.sign(pdf())


async def test_a_client_may_outlive_a_mock() -> None:
    with MockSignStash() as first:
        client = SignStash(**first.credentials)
        await client.sign(pdf())
    with MockSignStash() as second:
        await client.sign(pdf())
        await client.aclose()

    assert [request.status_code for request in second.sign_requests] == [200]


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "http://proxy:8081/signstash/einvoice-integration-client-ws", "environment": "production"},
        {"base_url": "https://elsewhere.example/x", "token_url": "https://login.example/own/token"},
    ],
)
async def test_a_mock_responds_at_any_url(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/not/there")  # certificates are not read: that takes longer than a test
    with MockSignStash(token_url="https://anything.example/own/token") as mock:
        async with SignStash(client_id="own", client_secret="own", **settings) as client:
            signed = await client.sign(pdf())

    assert signed.external_reference.startswith("own_")
    mock.assert_signed(signed.external_reference)


async def test_routes_of_a_mock_are_those_of_respx(mock: MockSignStash) -> None:
    mock.routes.status.respond(500)

    with pytest.raises(SignStashError):
        await mock.client.get_status(1)

    assert mock.routes.status.call_count == 1


async def test_other_routes_precede_those_of_the_mock(mock: MockSignStash) -> None:
    mock.router.post("https://other.example/oauth/token").respond(json={"access_token": "other"})
    async with httpx.AsyncClient() as client:
        response = await client.post("https://other.example/oauth/token")
    await mock.client.sign(pdf())

    assert response.json() == {"access_token": "other"}
    assert mock.routes.token.call_count == 1


async def test_an_unexpected_call_fails_even_if_its_error_is_swallowed() -> None:
    async def application() -> None:
        with contextlib.suppress(AssertionError):
            async with httpx.AsyncClient() as client:
                await client.get("https://ledger.example/entries")
        with contextlib.suppress(AssertionError):
            await asyncio.to_thread(httpx.get, "https://ledger.example/sync")

    with pytest.raises(AssertionError) as caught, MockSignStash():
        await application()

    assert str(caught.value).split("\n") == [
        "GET https://ledger.example/entries was requested, but is not mocked.",
        "GET https://ledger.example/sync was requested, but is not mocked.",
    ]


async def test_an_unexpected_call_gives_a_hint(mock: MockSignStash) -> None:
    mock.router.get("https://ledger.example/known").respond(204)
    async with httpx.AsyncClient() as client:
        await client.get("https://ledger.example/known")
        with pytest.raises(AssertionError, match="Add a route to the mock's router, or fix the URL"):
            await client.get("https://ledger.example/other")
    mock._router.unexpected.clear()


async def test_another_router_may_respond_to_other_requests(mock: MockSignStash) -> None:
    with respx.mock() as router:
        router.get("https://ledger.example/entries").respond(204)
        async with httpx.AsyncClient() as client:
            assert (await client.get("https://ledger.example/entries")).status_code == 204
        await mock.client.sign(pdf())

    mock.assert_signed("invoice.pdf")


async def test_requests_that_are_not_mocked_may_be_allowed() -> None:
    with MockSignStash(assert_all_mocked=False):
        async with httpx.AsyncClient() as client:
            assert (await client.get("https://ledger.example/entries")).content == b""


async def test_an_unused_scenario_fails_the_test() -> None:
    async def unfinished(mock: MockSignStash) -> None:
        mock.credentials_rejected()
        mock.clear_scenarios()
        mock.issuer_inactive()
        mock.rate_limited(times=3)
        mock.router.get("https://ledger.example/entries")
        await failure(mock)

    with pytest.raises(AssertionError) as caught, MockSignStash() as mock:
        await unfinished(mock)

    scenario, route = str(caught.value).split("\n")
    assert scenario == "The scenario rate_limited(times=3) did not occur."
    assert "ledger.example" in route
    assert "was not called" in route


async def test_a_scenario_used_too_rarely_fails_the_test() -> None:
    async def less_often(mock: MockSignStash) -> None:
        mock.rate_limited(times=3)
        await failure(mock)

    with pytest.raises(AssertionError) as caught, MockSignStash() as mock:
        await less_often(mock)

    assert str(caught.value) == "The scenario rate_limited(times=3) occurred 1 of 3 times."


async def test_pauses_take_no_time() -> None:
    with MockSignStash() as mock:
        mock.rate_limited(times=2, retry_after=60)
        outcomes = [outcome async for outcome in mock.client.sign_all([Document.pdf(b"%PDF-1.7 ...", name="a.pdf")])]

    assert [outcome.ok for outcome in outcomes] == [True]


async def test_unused_scenarios_can_be_allowed() -> None:
    with MockSignStash(assert_all_called=False) as mock:
        mock.rate_limited()
        mock.router.get("https://ledger.example/entries")

    with MockSignStash() as mock:
        mock.rate_limited()
        mock.assert_all_called = False


def test_a_test_that_fails_for_another_reason_keeps_its_error() -> None:
    def broken(mock: MockSignStash) -> None:
        mock.rate_limited()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), MockSignStash() as mock:
        broken(mock)


async def test_a_failed_assertion_lists_received_requests(mock: MockSignStash) -> None:
    with pytest.raises(AssertionError, match=r"was not signed\.\nThe mock received no signing request\."):
        mock.assert_signed("invoice.pdf")
    mock.timeout()
    mock.document_fails("b.pdf", "TIMESTAMP_SIGN_ERROR")
    await failure(mock)
    documents = [pdf(name="a.pdf", external_reference="R-1"), pdf(name="b.pdf", external_reference="R-2")]
    await mock.client.sign_batch(documents, description="Invoices of November")

    with pytest.raises(AssertionError) as caught:
        mock.assert_signed("invoice.pdf")
    with pytest.raises(AssertionError, match="R-2 was not signed"):
        mock.assert_signed("R-2")
    with pytest.raises(AssertionError, match=r"a\.pdf was signed once, expected twice\."):
        mock.assert_signed("a.pdf", times=2)
    with pytest.raises(AssertionError, match=r"R-1 was signed, but should not have been\.\nReceived signing requests:"):
        mock.assert_not_signed("R-1")
    with pytest.raises(ValueError, match="use assert_not_signed"):
        mock.assert_signed("a.pdf", times=0)

    assert str(caught.value).split("\n")[1:] == [
        "Received signing requests:",
        "  1. 'invoice.pdf' (no response)",
        f"     invoice.pdf ({mock.sign_requests[0].documents[0].external_reference}): not signed",
        "  2. 'Invoices of November' (HTTP 200)",
        "     a.pdf (R-1): signed",
        "     b.pdf (R-2): not signed, TIMESTAMP_SIGN_ERROR",
    ]


async def test_references_are_unique_within_a_request(mock: MockSignStash) -> None:
    await mock.client.sign(pdf(external_reference="R-1"), external_reference="request")
    body = json.loads(mock.routes.sign.calls.last.request.content)
    body["documents"] *= 2
    body["documents"][0]["documentRequest"]["externalReference"] = "new"
    headers = {"Authorization": mock.routes.sign.calls.last.request.headers["Authorization"]}
    async with httpx.AsyncClient(headers=headers) as client:
        body["externalReference"] = "another"
        body["documents"][1]["documentRequest"]["externalReference"] = "new"
        response = await client.post(url_of("signDocumentBatchBase64"), json=body)

    assert response.json()["errorCode"] == "0.0.7"

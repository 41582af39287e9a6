"""One suite runs against the mock and the sandbox, which respond alike."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from signstash import DuplicateReferenceError, SignedBatch, SignedDocument, SignStash, SignStashError
from signstash._errors.codes import ERROR_CODES
from signstash.models import BaseOperation, DocumentResponse, SigningError, SignOperation
from signstash.results import FailedOutcome, SignedOutcome
from signstash.sandbox import Fault, Sandbox, SandboxApplication
from signstash.settings import Credentials
from signstash.testing import MockSignStash
from tests.conftest import BASE64_PATH, FILES_PART, INVOICE, MULTIPART_PATH, REQUEST_PART, invoice

PROXY = "http://proxy.test/signstash/einvoice-integration-client-ws"
INTEGRATION_SERVICE = "http://service.test/signstash/einvoice-integration-ws"

Act = Callable[[SignStash], Awaitable[Any]]

ERROR_FACTS = ("status_code", "error_code", "sign_error", "sign_status", "retryable", "retry_after", "maybe_processed")
"""What applications decide by. Texts are each service's own."""


async def facts(asked: Awaitable[Any]) -> Any:
    """What an application gets, without what differs between services: numbers, references, texts, signatures."""
    try:
        return described(await asked)
    except SignStashError as error:
        return described(error)


def described(result: Any) -> Any:
    match result:
        case SignStashError():
            return type(result), {name: getattr(result, name, None) for name in ERROR_FACTS}
        case SignedBatch(operation=operation, outcomes=outcomes):
            return described(operation), [described(outcome) for outcome in outcomes]
        case SignedOutcome(document=document, signed=became) | FailedOutcome(document=document, error=became):
            return document.name, described(became)
        case SignedDocument(details=details, content=content):
            original = INVOICE.read_bytes()
            return described(details), content.startswith(original), len(content) > len(original)
        case SignOperation() | BaseOperation():
            fields = attrs.asdict(result, recurse=False)
            holds = getattr(fields.get("folder"), "folder_content", None)
            documents = [described(document) for document in fields.pop("document_list", None) or ()]
            return result.type_, result.status, holds, present(fields), documents
        case DocumentResponse():
            states = (result.sign_status, result.sign_error or None, result.storage_status or None)
            return result.name, states, present(attrs.asdict(result, recurse=False))
        case list():
            return [described(item) for item in result]
        case str() | bool():
            return result
    return type(result)


def present(fields: dict[str, Any]) -> set[str]:
    """Names of the fields that hold something."""
    return {name for name, value in fields.items() if value or value == 0}


async def on_mock(act: Act, *, base_url: str, prepare: Callable[[MockSignStash], None], **options: Any) -> Any:
    with MockSignStash(base_url=base_url) as mock:
        prepare(mock)
        async with SignStash(**mock.credentials, **options) as client:
            return await act(client)


async def on_sandbox(act: Act, sandbox: Sandbox, credentials: Credentials, *faults: Fault, **options: Any) -> Any:
    sandbox.faults.clear()
    sandbox.faults.add(*faults)
    try:
        # Reading certificates takes longer than the rest.
        async with httpx.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False) as http_client:
            return await act(SignStash(**credentials, http_client=http_client, **options))
    finally:
        sandbox.faults.clear()


async def sign(client: SignStash) -> Any:
    return await facts(client.sign(invoice()))


async def sign_thrice(client: SignStash) -> Any:
    return [await sign(client) for _ in range(3)]


async def sign_several(client: SignStash) -> Any:
    return await facts(client.sign_batch([invoice("a.pdf"), invoice("b.pdf")], description="Two"))


async def sign_the_same(client: SignStash) -> Any:
    document = invoice()
    return [await facts(client.sign(document)) for _ in range(2)]


async def sign_the_same_in_another_request(client: SignStash) -> Any:
    document = invoice()
    failed = await facts(client.sign(document))
    return failed, await facts(client.sign_batch([invoice("new.pdf"), document]))


async def sign_under_one_reference(client: SignStash) -> Any:
    reference = invoice().reference("request")
    return [await facts(client.sign(invoice(), external_reference=reference)) for _ in range(2)]


async def ask_for_nothing(client: SignStash) -> Any:
    return [await facts(client.get_operation_id("unknown")), await facts(client.get_status(10**9))]


async def sign_and_ask(client: SignStash) -> Any:
    batch = await client.sign_batch([invoice("a.pdf"), invoice("b.pdf")])
    assert batch.outcomes[0].signed
    reference = batch.outcomes[0].signed.external_reference
    number = await client.get_operation_id(reference)
    return [
        number == batch.operation.id,
        await facts(client.get_status(number)),
        await facts(client.get_operation(number)),
        await facts(client.get_operation(number, include_content=True)),
        await facts(client.resend_mails(number, ["ana@example.pt"])),
        await facts(client.get_operation_id("unknown")),
    ]


@pytest.mark.parametrize("upload", ["base64", "multipart"])
@pytest.mark.parametrize(
    "act", [sign, sign_several, sign_the_same, sign_under_one_reference, ask_for_nothing], ids=lambda act: act.__name__
)
async def test_successful_calls_to_a_proxy_agree(act: Act, upload: str, signstash_sandbox: Sandbox) -> None:
    mocked = await on_mock(act, base_url=PROXY, prepare=lambda _: None, upload=upload)

    assert mocked == await on_sandbox(act, signstash_sandbox, signstash_sandbox.credentials, upload=upload)


@pytest.mark.parametrize("act", [sign_and_ask, ask_for_nothing], ids=lambda act: act.__name__)
async def test_successful_calls_to_an_integration_service_agree(act: Act, signstash_sandbox: Sandbox) -> None:
    mocked = await on_mock(act, base_url=INTEGRATION_SERVICE, prepare=lambda _: None)

    assert mocked == await on_sandbox(act, signstash_sandbox, signstash_sandbox.integration_credentials)


async def test_archives_agree(signstash_sandbox: Sandbox, tmp_path: Path) -> None:
    async def download(client: SignStash) -> Any:
        signed = await client.sign(invoice(external_reference="archived"))
        return [
            path.name for path in await client.download_documents(signed.operation_id or 0, tmp_path, overwrite=True)
        ]

    mocked = await on_mock(download, base_url=INTEGRATION_SERVICE, prepare=lambda _: None)

    assert mocked == ["archived.invoice.pdf"]
    assert mocked == await on_sandbox(download, signstash_sandbox, signstash_sandbox.integration_credentials)


def all_at_once(mock: MockSignStash) -> None:
    mock.rate_limited()
    mock.token_expired()
    mock.gateway_html()
    mock.document_fails("b.pdf", "TIMESTAMP_SIGN_ERROR")


ALL_AT_ONCE = [
    Fault("too_many_requests", times=1),
    Fault("expired_token", times=1),
    Fault("html_response", times=1),
    Fault("TIMESTAMP_SIGN_ERROR", name="b.pdf"),
]


def document_fails(error: SigningError) -> Callable[[MockSignStash], None]:
    return lambda mock: mock.document_fails("b.pdf", error)


def api_error(code: str, times: int) -> Callable[[MockSignStash], None]:
    return lambda mock: mock.api_error(code, times=times)


SCENARIOS: dict[str, tuple[Callable[[MockSignStash], None], list[Fault], Act]] = {
    "credentials_rejected()": (lambda mock: mock.credentials_rejected(), [Fault("invalid_client")], sign),
    "token_expired()": (lambda mock: mock.token_expired(), [Fault("expired_token", times=1)], sign),
    "token_expired(2)": (lambda mock: mock.token_expired(2), [Fault("expired_token", times=2)], sign_the_same),
    "token_rejected_for_good()": (lambda mock: mock.token_rejected_for_good(), [Fault("expired_token")], sign_the_same),
    "client_service_inactive()": (
        lambda mock: mock.client_service_inactive(),
        [Fault("inactive_service")],
        sign_thrice,
    ),
    "issuer_inactive()": (lambda mock: mock.issuer_inactive(), [Fault("inactive_issuer")], sign_thrice),
    "certificate_not_provisioned()": (
        lambda mock: mock.certificate_not_provisioned(),
        [Fault("missing_certificate")],
        sign_several,
    ),
    "certificate_not_provisioned(times=1)": (
        lambda mock: mock.certificate_not_provisioned(times=1),
        [Fault("missing_certificate", times=1)],
        sign_the_same,
    ),
    **{
        f"document_fails({error})": (
            document_fails(error),
            [Fault(error.value, name="b.pdf")],
            sign_several,
        )
        for error in SigningError
    },
    "duplicate_reference()": (lambda mock: mock.duplicate_reference(), [Fault("0.0.7", times=1)], sign_the_same),
    "rate_limited(2, 3)": (
        lambda mock: mock.rate_limited(2, 3),
        [Fault("too_many_requests", times=2, seconds=3)],
        sign_thrice,
    ),
    "rate_limited()": (lambda mock: mock.rate_limited(), [Fault("too_many_requests", times=1)], sign_the_same),
    "connection_lost_after_send()": (
        lambda mock: mock.connection_lost_after_send(),
        [Fault("reset_after", times=1)],
        sign_the_same_in_another_request,
    ),
    "connection_lost_after_send(processed=False)": (
        lambda mock: mock.connection_lost_after_send(processed=False),
        [Fault("reset_before", times=1)],
        sign_the_same_in_another_request,
    ),
    "gateway_html()": (lambda mock: mock.gateway_html(), [Fault("html_response", times=1)], sign_the_same),
    "gateway_html(403)": (lambda mock: mock.gateway_html(403), [Fault("html_response", times=1, status=403)], sign),
    **{
        f"api_error({code})": (
            api_error(code, times),
            [Fault(code, times=times)],  # type: ignore[arg-type]
            sign,
        )
        for code in ERROR_CODES
        for times in [2 if code == "0.0.10" else 1]
    },
    "api_error(2.1.7)": (
        lambda mock: mock.api_error("2.1.7", status_code=418),
        [Fault("error", code="2.1.7", status=418, times=1)],
        sign_the_same,
    ),
    "several in sequence": (all_at_once, ALL_AT_ONCE, lambda client: _each(sign_several(client) for _ in range(4))),
}


async def _each(asked: Any) -> Any:
    return [await item for item in asked]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_failing_calls_to_a_proxy_agree(scenario: str, signstash_sandbox: Sandbox) -> None:
    prepare, faults, act = SCENARIOS[scenario]

    mocked = await on_mock(act, base_url=PROXY, prepare=prepare)

    assert mocked == await on_sandbox(act, signstash_sandbox, signstash_sandbox.credentials, *faults)


async def test_timeouts_agree(signstash_sandbox: Sandbox) -> None:
    mocked = await on_mock(sign, base_url=PROXY, prepare=lambda mock: mock.timeout())

    slow = Fault("latency", seconds=3600)
    credentials = signstash_sandbox.credentials
    assert mocked == await on_sandbox(sign, signstash_sandbox, credentials, slow, timeout=httpx.Timeout(60, read=0.2))


async def test_refused_connections_agree(signstash_sandbox: Sandbox, closed_port: int) -> None:
    credentials = signstash_sandbox.credentials | {"base_url": f"http://127.0.0.1:{closed_port}/x"}

    mocked = await on_mock(sign, base_url=PROXY, prepare=lambda mock: mock.connection_refused())

    assert mocked == await on_sandbox(sign, signstash_sandbox, credentials)


async def sign_what_failed_again(client: SignStash) -> Any:
    bad, good = (invoice(f"{name}.pdf", external_reference=name) for name in ("bad", "good"))
    request = "request"
    first = await facts(client.sign_batch([bad, good], external_reference=request))
    return [
        first,
        await facts(client.sign(bad)),  # the same document in another request
        await facts(client.sign(good)),  # it was signed
        await facts(client.sign(invoice(), external_reference=request)),  # a document of that request was signed
    ]


async def sign_again_what_failed_alone(client: SignStash) -> Any:
    bad, request = invoice("bad.pdf", external_reference="bad"), "request"
    return [await facts(client.sign(bad, external_reference=request)) for _ in range(2)]


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("act", [sign_what_failed_again, sign_again_what_failed_alone], ids=lambda act: act.__name__)
async def test_references_of_failed_documents_agree(act: Act, reuse: bool) -> None:
    with MockSignStash(base_url=PROXY, reuse_failed_references=reuse) as mock:
        mock.document_fails("bad.pdf", "TIMESTAMP_SIGN_ERROR", times=1)
        async with SignStash(**mock.credentials) as client:
            mocked = await act(client)
    with Sandbox(reuse_failed_references=reuse) as sandbox:
        served = await on_sandbox(
            act, sandbox, sandbox.credentials, Fault("TIMESTAMP_SIGN_ERROR", name="bad.pdf", times=1)
        )

    assert mocked == served
    duplicate = [isinstance(item, tuple) and item[0] is DuplicateReferenceError for item in served[1:]]
    assert duplicate == ([not reuse, True, True] if act is sign_what_failed_again else [not reuse])


DOCUMENT = {"externalReference": "a", "name": "a.pdf", "contentType": "application/pdf", "base64Content": "JVBERi0="}
SIGNATURE = {"signatureType": "PAdES"}
HANDWRITTEN: dict[str, Any] = {
    "valid": {"documents": [{"documentRequest": DOCUMENT, "signatureInfo": {"signatureType": "CAdES"}}]},
    "blank_reference": {"externalReference": " "},
    "number_as_reference": {"externalReference": 5},
    "text_as_flag": {"returnSignedContent": "true"},
    "blank_description": {"description": ""},
    "no_object": {"documents": ["a"]},
    "no_content": {"documents": [{"documentRequest": DOCUMENT | {"base64Content": ""}, "signatureInfo": SIGNATURE}]},
    "no_base64": {"documents": [{"documentRequest": DOCUMENT | {"base64Content": "!"}, "signatureInfo": SIGNATURE}]},
    "blank_name": {"documents": [{"documentRequest": DOCUMENT | {"name": " "}, "signatureInfo": SIGNATURE}]},
    "unknown_media_type": {
        "documents": [{"documentRequest": DOCUMENT | {"contentType": "text/plain"}, "signatureInfo": SIGNATURE}]
    },
    "unknown_signature": {"documents": [{"documentRequest": DOCUMENT, "signatureInfo": {"signatureType": "PADES"}}]},
    "settings_of_xml": {
        "documents": [
            {
                "documentRequest": DOCUMENT,
                "signatureInfo": SIGNATURE | {"advancedSignatureInfo": {"signatureLocation": "a"}},
            }
        ]
    },
    "settings_of_pdf": {
        "documents": [
            {
                "documentRequest": DOCUMENT,
                "signatureInfo": {
                    "signatureType": "CAdES",
                    "visibleSignatureInfo": {"locationType": "PLACEHOLDER", "locationValue": "here"},
                },
            }
        ]
    },
    "text_as_preservation_flag": {"preservationInfo": {"preserveContent": "no"}},
    "surrogate": {"description": "\ud800"},
    "not_a_number": {"ofTheirOwn": float("nan")},
}


async def sent_to_both(path: str, **request: Any) -> list[tuple[int, str]]:
    """The statuses and error codes of a handwritten request's responses from mock and sandbox."""
    application = SandboxApplication()
    client = httpx.AsyncClient(transport=httpx.ASGITransport(application))
    responses = []
    with MockSignStash() as mock:
        for http_client, service in ((httpx.AsyncClient(), mock.credentials), (client, application.credentials)):
            auth = (service["client_id"], str(service.get("client_secret")))
            form = {"grant_type": "client_credentials"}
            issued = await http_client.post(str(service.get("token_url")), auth=auth, data=form)
            headers = {"Authorization": f"bearer {issued.json()['access_token']}"} | request.get("headers", {})
            response = await http_client.post(service["base_url"] + path, **request | {"headers": headers})
            error = response.json() if response.content else {}
            responses.append((response.status_code, error.get("errorCode", "")))
    return responses


@pytest.mark.parametrize("case", HANDWRITTEN)
async def test_handwritten_requests_are_judged_alike(case: str) -> None:
    documents = [{"documentRequest": DOCUMENT, "signatureInfo": SIGNATURE}]
    body = {"externalReference": "r", "description": "d", "documents": documents, **HANDWRITTEN[case]}

    mocked, served = await sent_to_both(
        BASE64_PATH, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )

    assert mocked == served
    assert served[0] == (200 if case == "valid" else 500)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded"])
async def test_other_media_types_are_rejected_alike(media_type: str) -> None:
    assert await sent_to_both(BASE64_PATH, content=b"{}", headers={"Content-Type": media_type}) == [(415, "")] * 2


@pytest.mark.parametrize(
    ("file_part", "request_part"), [(FILES_PART, REQUEST_PART), ("file", REQUEST_PART), (FILES_PART, "request")]
)
async def test_multipart_requests_are_understood_alike(file_part: str, request_part: str) -> None:
    described = {name: text for name, text in DOCUMENT.items() if name != "base64Content"}
    documents = [{"documentRequest": described | {"name": "a.bin"}, "signatureInfo": {"signatureType": "CAdES"}}]
    body = {"externalReference": "r", "description": "d", "documents": documents}
    files = [
        (request_part, ("request.json", json.dumps(body), "application/json")),
        (file_part, ("a.bin", b"content")),
        ("note", (None, "of their own")),
    ]

    mocked, served = await sent_to_both(MULTIPART_PATH, files=files)

    assert mocked == served
    assert served == ((200, "") if (file_part, request_part) == (FILES_PART, REQUEST_PART) else (500, "0.0.2"))


@pytest.mark.parametrize("scheme", ["Basic", "basic", "Bearer"])
@pytest.mark.parametrize("credentials", ["PRT.000000000-PRT.000000000-sandbox:sandbox-secret", "\udcff", "no colon"])
@pytest.mark.parametrize("form", ["grant_type=client_credentials", "grant_type=password", "", "{}"])
async def test_token_requests_are_judged_alike(scheme: str, credentials: str, form: str) -> None:
    application = SandboxApplication()
    encoded = base64.b64encode(credentials.encode(errors="surrogateescape")).decode()
    headers = {"Authorization": f"{scheme} {encoded}", "Content-Type": "application/x-www-form-urlencoded"}

    with MockSignStash() as mock:
        mocked = await httpx.AsyncClient().post(str(mock.credentials.get("token_url")), content=form, headers=headers)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application)) as http_client:
        served = await http_client.post(application.token_url, content=form, headers=headers)

    assert mocked.status_code == served.status_code
    assert mocked.json().get("error") == served.json().get("error")


@pytest.mark.parametrize("body", [b"{}", b"[", b"[1]", b"null", b"[" * 100_000])
async def test_malformed_recipients_are_rejected_alike(body: bytes) -> None:
    path = "/api/v0/delivery/mail/resend/1/true"
    application = SandboxApplication()
    codes = []
    with MockSignStash() as mock:
        await mock.client.sign(invoice())
        token = mock.routes.sign.calls.last.request.headers["Authorization"]
        url = mock.credentials["base_url"] + path
        response = await httpx.AsyncClient().post(url, content=body, headers={"Authorization": token})
        codes.append(response.json()["errorCode"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application)) as http_client:
        auth = (application.client_id, application.client_secret)
        form = {"grant_type": "client_credentials"}
        token = (await http_client.post(application.token_url, auth=auth, data=form)).json()["access_token"]
        url = application.integration_base_url + path
        response = await http_client.post(url, content=body, headers={"Authorization": f"Bearer {token}"})
        codes.append(response.json()["errorCode"])

    assert codes[0] == codes[1]

"""Texts of errors, secrets in errors, and pickling and copying of errors with their causes."""

from __future__ import annotations

import base64
import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from signstash import (
    ApiError,
    AuthenticationError,
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
    InvalidRequestError,
    OutcomeUnknownError,
    RateLimitedError,
    ServiceError,
    SignatureInvalidError,
    SignedDocument,
    SignStash,
    SignStashError,
    TokenRejectedError,
    UnexpectedResponseError,
    errors,
)
from signstash.models import DocumentResponse
from signstash.testing.interception import use_sleep
from tests.conftest import (
    BASE_URL,
    CLIENT_ID,
    CLIENT_SECRET,
    PDF,
    MockedService,
    failure_of,
    pdf,
    signed_response,
    token_response,
)
from tests.fault_server import at_once

TOKEN = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJqdGkiOiJqIiwic2NvcGUiOlsicmVhZCIsIndyaXRlIl19.c2VjcmV0LXNpZ25hdHVyZQ"
CONTENT = PDF + b"% what nobody but the issuer may see " * 20
ENCODED = base64.b64encode(CONTENT).decode()

Arrange = Callable[[MockedService], object]


@pytest.fixture
def service(service: MockedService) -> Iterator[MockedService]:
    service.token.mock(return_value=token_response(TOKEN))
    with use_sleep(at_once):
        yield service


def document_is(**changes: Any) -> Arrange:
    return lambda service: service.sign.mock(
        side_effect=lambda request: signed_response(request, lambda document: document | changes)
    )


def responses(status: int, **response: Any) -> Arrange:
    return lambda service: service.sign.respond(status, **response)


# What happens, and what the text has to name in addition to the client service. Codes are in test_service_errors.py.
FAILURES: dict[str, tuple[Arrange, set[str]]] = {
    "a gateway's page": (responses(502, html="<h1>Bad Gateway</h1>"), {"FT_31", "502", "text/html", "Bad Gateway"}),
    "a page for a response": (responses(200, html="<h1>Log in</h1>"), {"FT_31", "200", "text/html"}),
    "redirected": (responses(302, headers={"Location": "https://elsewhere.test/"}), {"FT_31", "302"}),
    "token refused": (responses(401, json={"error": "invalid_token"}), {"401", "environment"}),
    "credentials refused": (lambda service: service.token.respond(401), {"token.test", "401", "client_secret"}),
    "token server fails": (lambda service: service.token.respond(503), {"token.test", "503"}),
    "token server out of reach": (
        lambda service: service.token.mock(side_effect=httpx.ConnectError("no route")),
        {"token.test", "no route"},
    ),
    "service out of reach": (
        lambda service: service.sign.mock(side_effect=httpx.ConnectError("no route")),
        {"FT_31", "proxy.test", "no route", "nothing was processed"},
    ),
    "response lost": (
        lambda service: service.sign.mock(side_effect=httpx.ReadTimeout("slow")),
        {"FT_31", "proxy.test", "slow", "get_operation_id"},
    ),
    "not signed": (
        document_is(signStatus="ERROR_SIGNING", signError="TIMESTAMP_SIGN_ERROR"),
        {"FT_31", "invoice.pdf", "4711", "TIMESTAMP_SIGN_ERROR"},
    ),
    "no certificate": (
        document_is(signStatus="ERROR_SIGNING", signError="INVALID_CERTIFICATE_SIGN_ERROR"),
        {"FT_31", "invoice.pdf", "4711", "certificate"},
    ),
    "not signed yet": (document_is(signStatus="RECEIVED"), {"FT_31", "invoice.pdf", "4711"}),
    "no content": (document_is(signedContent=None), {"FT_31", "invoice.pdf", "4711"}),
    "missing": (
        lambda service: service.sign.respond(json={"id": 4711, "documentList": []}),
        {"FT_31", "invoice.pdf", "4711"},
    ),
}

ECHOES: dict[str, Arrange] = {
    # Spring's own filter quotes the rejected token.
    "of the token": responses(
        401, json={"error": "invalid_token", "error_description": f"Access token expired: {TOKEN}"}
    ),
    "of the content": responses(500, json={"errorCode": "0.0.6", "causeMessage": f"rejected value [{ENCODED}]"}),
    "of the token by a gateway": responses(502, text=f"Authorization: Bearer {TOKEN}"),
    "of the content by a gateway": responses(400, text=f"cannot read {ENCODED}"),
    "of the content as a response": responses(200, text=ENCODED),
    "of the content as a sign error": document_is(signStatus="ERROR_SIGNING", signError=ENCODED),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_an_error_names_what_is_known(client: SignStash, service: MockedService, failure: str) -> None:
    arrange, named = FAILURES[failure]
    arrange(service)

    error = await failure_of(client, pdf("FT_31", content=CONTENT))

    assert {name for name in (CLIENT_ID, *named) if name not in str(error)} == set()
    assert getattr(error, "external_references", ("FT_31",)) == ("FT_31",)


@pytest.mark.parametrize("echo", [*FAILURES, *ECHOES])
async def test_an_error_holds_no_secret(client: SignStash, service: MockedService, echo: str) -> None:
    (ECHOES[echo] if echo in ECHOES else FAILURES[echo][0])(service)

    error = await failure_of(client, pdf("FT_31", content=CONTENT))

    said = f"{error} {error!r} {getattr(error, 'description', '')} {getattr(error, 'excerpt', '')}"
    for secret in (TOKEN[:60], ENCODED[:60], CLIENT_SECRET, CONTENT.decode()[:20]):
        assert secret not in said


async def test_a_token_in_any_form_is_hidden(client: SignStash, service: MockedService) -> None:
    service.token.mock(return_value=token_response("0pen-sesame-0pen-sesame"))
    service.sign.respond(401, json={"error": "invalid_token", "error_description": "Bad: 0pen-sesame-0pen-sesame"})

    error = await failure_of(client, pdf("FT_31", content=CONTENT))

    assert "sesame" not in f"{error} {error.description}"


async def test_a_token_that_is_an_ordinary_word_hides_no_words(client: SignStash, service: MockedService) -> None:
    service.token.mock(return_value=token_response("token"))
    service.sign.respond(401, json={"error": "invalid_token"})

    assert (await failure_of(client, pdf("FT_31", content=CONTENT))).error_code == "invalid_token"


async def test_a_word_other_than_the_token_is_shown(client: SignStash, service: MockedService) -> None:
    service.sign.respond(500, json={"errorCode": "0.0.6", "causeMessage": "field keyJournal of turkeyJar.pdf"})

    assert "field keyJournal of turkeyJar.pdf" in str(await failure_of(client, pdf("FT_31", content=CONTENT)))


@pytest.mark.parametrize("call", ["get_status", "get_operation", "download_documents"])
async def test_an_error_names_the_operation_asked_for(
    client: SignStash, service: MockedService, call: str, tmp_path: Path
) -> None:
    service.router.get(path__regex="/4711").respond(404)

    with pytest.raises(ApiError, match="4711"):
        await getattr(client, call)(4711, *([tmp_path] if call == "download_documents" else []))


async def test_an_unknown_outcome_of_mails_names_no_documents(client: SignStash, service: MockedService) -> None:
    service.router.post(path__regex="/delivery/").mock(side_effect=httpx.ReadTimeout("slow"))

    with pytest.raises(OutcomeUnknownError) as lost:
        await client.resend_mails(7, ["ana@example.test"])

    assert "Document" not in lost.value.hint
    assert "signed" not in lost.value.hint


async def test_many_references_are_shown_in_part_and_carried_in_full(client: SignStash, service: MockedService) -> None:
    service.sign.mock(side_effect=httpx.ReadTimeout("slow"))
    documents = [Document.pdf(PDF, name=f"{n}.pdf", external_reference=f"FT_{n}") for n in range(5)]

    with pytest.raises(OutcomeUnknownError, match="FT_0, FT_1, FT_2 and 2 more") as lost:
        await client.sign_batch(documents)

    assert lost.value.external_references == ("FT_0", "FT_1", "FT_2", "FT_3", "FT_4")


async def test_an_error_being_handled_is_not_the_cause(client: SignStash, service: MockedService) -> None:
    service.sign.mock(side_effect=httpx.ConnectError("no route"))

    try:
        raise ValueError("something else")
    except ValueError:
        error = await failure_of(client, pdf("FT_31", content=CONTENT))

    assert "no route" in str(error)
    assert "something else" not in str(error)


async def test_the_body_is_kept_up_to_a_limit_and_not_in_the_text(client: SignStash, service: MockedService) -> None:
    body = b'{"errorCode": "0.0.6", "other": "' + b"word " * 2_000 + b'"}'
    service.sign.respond(500, content=body)

    error = await failure_of(client, pdf("FT_31", content=CONTENT))

    assert type(error) is InvalidRequestError
    assert error.body == body[:4096]
    assert "word" not in f"{error} {error!r}"


async def test_a_message_of_the_service_is_shortened_to_one_line(client: SignStash, service: MockedService) -> None:
    service.sign.respond(500, json={"errorCode": "0.0.6", "causeMessage": "one\r\n\x1b[31mtwo " + "three " * 500})

    error = await failure_of(client, pdf("FT_31", content=CONTENT))

    assert error.cause_message.startswith("one [31mtwo three")
    assert error.cause_message.endswith("…")
    assert len(str(error)) < 1000


def answered(**more: Any) -> dict[str, Any]:
    return {"status_code": 500, "error_code": "0.0.1", "description": "d", **more}


SAID = ("It failed.", "Mend it.")
REFUSED = answered(cause_message="c", retryable=True, body=b"\x00body")
DOCUMENT: dict[str, Any] = {
    "document": "invoice.pdf",
    "external_reference": "FT_31",
    "sign_error": "TIMESTAMP_SIGN_ERROR",
    "sign_status": "ERROR_SIGNING",
    "operation_id": 4711,
    "retryable": True,
}
SIGNED = SignedDocument(
    content=CONTENT,
    name="invoice.pdf",
    external_reference="FT_31",
    operation_id=4711,
    details=DocumentResponse.from_dict({"signStatus": "SIGNED", "storageStatus": "NEVER_HEARD_OF"}),
)
ONE_OF_EACH: list[SignStashError] = [
    SignStashError(*SAID),
    ConfigurationError(*SAID),
    InvalidDocumentError(*SAID, document="invoice.pdf"),
    AuthenticationError(*SAID, **answered()),
    CredentialsRejectedError(*SAID, **answered()),
    TokenRejectedError(*SAID, **answered()),
    ApiError(*SAID, **REFUSED),
    ClientServiceInactiveError(*SAID, **REFUSED),
    CertificateNotProvisionedError(*SAID, **REFUSED),
    InvalidRequestError(*SAID, **REFUSED),
    DuplicateReferenceError(*SAID, **REFUSED),
    RateLimitedError(*SAID, **REFUSED, retry_after=7.5),
    ServiceError(*SAID, **REFUSED),
    DocumentNotSignedError(*SAID, **DOCUMENT),
    DocumentCertificateError(*SAID, **DOCUMENT),
    DocumentNotSavedError(*SAID, signed=SIGNED),
    SignatureInvalidError(*SAID, signed=SIGNED, problems=["it holds no signature"]),
    ConnectionFailedError(*SAID),
    OutcomeUnknownError(*SAID, external_references=["FT_31"]),
    UnexpectedResponseError(
        *SAID,
        status_code=200,
        content_type="text/html",
        excerpt="<html>",
        external_references=["FT_31"],
        maybe_processed=True,
    ),
]


def pickled(protocol: int) -> Callable[[SignStashError], SignStashError]:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


@pytest.mark.parametrize("original", ONE_OF_EACH, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "travel", [pickled(0), pickled(pickle.HIGHEST_PROTOCOL), copy.copy, copy.deepcopy], ids=["p0", "p5", "copy", "deep"]
)
class TestPickling:
    def test_a_pickled_error_is_restored(self, original: Any, travel: Callable[[Any], Any]) -> None:
        original = copy.copy(original)
        original.add_note("seen at night")
        original.maybe_processed = True

        arrived = travel(original)

        assert arrived is not original
        assert type(arrived) is type(original)
        assert vars(arrived) == vars(original)
        assert arrived.args == SAID
        assert str(arrived) == str(original) == "It failed. Mend it."
        assert arrived.__cause__ is None

    def test_a_cause_of_the_sdk_is_kept(self, original: Any, travel: Callable[[Any], Any]) -> None:
        inner = RateLimitedError(*SAID, **REFUSED, retry_after=7.5)
        inner.__cause__ = InvalidDocumentError(*SAID, document="invoice.pdf")

        arrived = travel(raised(original, inner)).__cause__

        assert (type(arrived), vars(arrived)) == (RateLimitedError, vars(inner))
        assert (type(arrived.__cause__), arrived.__cause__.document) == (InvalidDocumentError, "invoice.pdf")

    def test_a_cause_of_the_network_is_kept_without_its_request(
        self, original: Any, travel: Callable[[Any], Any]
    ) -> None:
        request = httpx.Request("POST", BASE_URL, headers={"Authorization": f"Bearer {TOKEN}"}, content=CONTENT)

        arrived = travel(raised(original, httpx.ConnectError("no route", request=request))).__cause__

        assert "ConnectError" in f"{arrived!r}"
        assert "no route" in f"{arrived!r}"
        packed = pickle.dumps(arrived)
        assert TOKEN.encode() not in packed
        assert CONTENT not in packed

    def test_a_group_of_causes_is_kept(self, original: Any, travel: Callable[[Any], Any]) -> None:
        inner = InvalidDocumentError(*SAID, document="invoice.pdf")
        inner.__cause__ = OSError("disk")

        arrived = travel(raised(original, ExceptionGroup("two", [inner, ConfigurationError(*SAID)]))).__cause__

        assert isinstance(arrived, ExceptionGroup)
        assert [type(item) for item in arrived.exceptions] == [InvalidDocumentError, ConfigurationError]
        first: Any = arrived.exceptions[0]
        assert first.document == "invoice.pdf"
        assert "disk" in str(first.__cause__)


def raised(error: SignStashError, cause: BaseException) -> SignStashError:
    error = copy.copy(error)
    try:
        raise error from cause
    except SignStashError as caught:
        return caught


def test_every_class_can_be_pickled() -> None:
    public = {name: item for name, item in vars(errors).items() if not name.startswith("_")}
    tree = {item for item in public.values() if inspect.isclass(item) and issubclass(item, SignStashError)}

    assert {type(error) for error in ONE_OF_EACH} == tree


class OwnError(ApiError):
    def __init__(self, where: str) -> None:
        super().__init__(*SAID, status_code=500)
        self.where = where


@pytest.mark.parametrize("travel", [pickled(5), copy.copy, copy.deepcopy])
def test_a_subclass_with_other_arguments_can_be_pickled(travel: Callable[[Any], Any]) -> None:
    arrived = travel(OwnError("here"))

    assert (type(arrived), arrived.where, arrived.status_code) == (OwnError, "here", 500)


async def test_a_network_error_of_the_client_can_be_pickled(client: SignStash, service: MockedService) -> None:
    service.sign.mock(side_effect=httpx.ReadTimeout("slow"))

    error = await failure_of(client, pdf("FT_31", content=CONTENT))

    packed = pickle.dumps(error)
    arrived = pickle.loads(packed)
    assert (type(arrived), arrived.external_references, arrived.maybe_processed) == (
        OutcomeUnknownError,
        ("FT_31",),
        True,
    )
    assert "ReadTimeout" in f"{arrived.__cause__!r}"
    assert isinstance(error.__cause__, httpx.ReadTimeout)
    assert TOKEN.encode() not in packed

"""Every failure that the service reports raises one exception, with its class and attributes."""

from __future__ import annotations

import email.utils
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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
    DocumentNotSignedError,
    DuplicateReferenceError,
    InvalidDocumentError,
    InvalidRequestError,
    OutcomeUnknownError,
    RateLimitedError,
    RetryPolicy,
    ServiceError,
    SignStash,
    SignStashError,
    TokenRejectedError,
    UnexpectedResponseError,
)
from signstash._errors import codes
from signstash.models import SigningError
from signstash.testing.interception import use_sleep
from tests.conftest import (
    CLIENT_ID,
    MockedService,
    failure_of,
    new_client,
    pdf,
    signed_response,
    url_of,
)
from tests.fault_server import at_once

CODES: list[tuple[str, int, type[SignStashError], bool, bool]] = [
    # code, status that comes with it, class, whether the same call may succeed later, whether it may be processed
    ("0.0.1", 500, ServiceError, False, True),  # internal error
    ("0.0.2", 500, InvalidRequestError, False, False),  # something is missing in the request
    ("0.0.3", 500, ServiceError, False, False),  # client service is not configured
    ("0.0.4", 500, InvalidRequestError, False, False),  # something is too long
    ("0.0.5", 500, ServiceError, False, True),  # the mail did not go out
    ("0.0.6", 500, InvalidRequestError, False, False),  # something is not accepted
    ("0.0.7", 409, DuplicateReferenceError, False, False),  # the reference is in use
    ("0.0.10", 409, TokenRejectedError, False, False),  # the token has expired, or is of the other environment
    ("1.1.0", 401, ClientServiceInactiveError, False, False),  # no valid licence
    ("1.1.1", 401, ClientServiceInactiveError, False, False),  # licence not active
    ("1.1.2", 409, ApiError, False, False),  # licence is in use by another client service
    ("1.1.3", 409, ClientServiceInactiveError, False, False),  # client service is in the wrong state
    ("1.1.4", 400, InvalidRequestError, False, False),  # its secret is too simple
    ("1.2.0", 403, ClientServiceInactiveError, False, False),  # issuer not active
    ("1.3.0", 403, ClientServiceInactiveError, False, False),  # partner not active
    (
        "2.2.1",
        400,
        InvalidRequestError,
        False,
        False,
    ),  # no place for the visible signature (status not published)
]

FALLBACKS: list[tuple[str | None, int, type[SignStashError], bool, bool]] = [
    (None, 400, InvalidRequestError, False, False),
    (None, 401, TokenRejectedError, False, False),
    (None, 403, ApiError, False, False),
    (None, 404, ApiError, False, False),
    (None, 409, ApiError, False, False),
    (None, 413, InvalidRequestError, False, False),
    (None, 415, InvalidRequestError, False, False),
    (None, 422, InvalidRequestError, False, False),
    (None, 429, RateLimitedError, True, False),
    (None, 500, ServiceError, False, True),
    (None, 502, ServiceError, False, True),
    (None, 503, ServiceError, False, True),
    (None, 504, ServiceError, False, True),
    ("9.9.9", 400, InvalidRequestError, False, False),
    ("9.9.9", 409, ApiError, False, False),
    ("9.9.9", 429, RateLimitedError, True, False),
    ("9.9.9", 500, ServiceError, False, True),
    ("0.0.99", 500, ServiceError, False, True),
    ("1.9.9", 500, ClientServiceInactiveError, False, False),
    ("1.9.9", 401, ClientServiceInactiveError, False, False),
    ("2.1.7", 500, ApiError, False, False),
    ("2.9.9", 500, ApiError, False, False),
    ("2.2.1.5", 500, ApiError, False, False),
    ("Código / 17", 409, ApiError, False, False),
]

SIGN_ERRORS: list[tuple[str, type[DocumentNotSignedError], bool]] = [
    ("INVALID_CERT_SERVICE_CREDS", DocumentCertificateError, False),
    ("INVALID_CERT_ACCESS_ACCOUNT", DocumentCertificateError, False),
    ("INVALID_CERTIFICATE_SIGN_ERROR", DocumentCertificateError, False),
    ("CONFIGURATION_SIGN_ERROR", DocumentCertificateError, False),
    ("CERT_SERVICE_GLOBAL_ERROR", DocumentNotSignedError, True),
    ("TIMESTAMP_SIGN_ERROR", DocumentNotSignedError, True),
    ("STORAGE_SERVICE_GLOBAL_ERROR", DocumentNotSignedError, True),
    ("SIGN_OPERATION_INTERNAL_ERROR", DocumentNotSignedError, True),
    ("MOON_PHASE_SIGN_ERROR", DocumentNotSignedError, False),
]


def refuse(service: MockedService, status: int, code: str | None = None, **fields: Any) -> None:
    body = {"errorCode": code, **fields}
    service.sign.respond(status, json={name: value for name, value in body.items() if value is not None})


def not_signed(sign_error: str | None, sign_status: str | None = "ERROR_SIGNING") -> Callable[..., httpx.Response]:
    failed = {"signStatus": sign_status, "signError": sign_error, "signedContent": None}
    return lambda request: signed_response(request, lambda document: document | failed)


class TestCodes:
    @pytest.mark.parametrize(("code", "status", "expected", "retryable", "maybe_processed"), CODES)
    async def test_a_published_code_maps_to_its_exception(
        self,
        client: SignStash,
        service: MockedService,
        code: str,
        status: int,
        expected: Any,
        retryable: bool,
        maybe_processed: bool,
    ) -> None:
        refuse(service, status, code, errorCodeDescription="What it means.", causeMessage="no description")

        error = await failure_of(client)

        assert type(error) is expected
        assert (error.error_code, error.status_code, error.description) == (code, status, "What it means.")
        assert error.maybe_processed is maybe_processed
        assert {name for name in (code, "no description", CLIENT_ID) if name not in str(error)} == set()
        if isinstance(error, ApiError):
            assert (error.retryable, error.cause_message) == (retryable, "no description")
            assert error.external_references == ("FT_31",)
            assert "FT_31" in str(error)
            assert error.body == service.sign.calls.last.response.content

    @pytest.mark.parametrize(("code", "status", "expected", "retryable", "maybe_processed"), CODES)
    async def test_the_code_takes_precedence_over_the_status(
        self,
        client: SignStash,
        service: MockedService,
        code: str,
        status: int,
        expected: Any,
        retryable: bool,
        maybe_processed: bool,
    ) -> None:
        for other in {400, 401, 403, 404, 409, 413, 418, 422, 429, 500, 503} - {status}:
            refuse(service, other, code)

            error = await failure_of(client)

            assert (type(error), error.error_code, error.status_code) == (expected, code, other)
            assert (getattr(error, "retryable", False), error.maybe_processed) == (retryable, maybe_processed)

    def test_every_published_code_is_in_this_table(self) -> None:
        assert [code for code, *_ in CODES] == list(codes.ERROR_CODES)

    @pytest.mark.parametrize(("code", "status", "expected", "retryable", "maybe_processed"), FALLBACKS)
    async def test_an_unknown_code_falls_back_to_its_family_then_to_the_status(
        self,
        client: SignStash,
        service: MockedService,
        code: str | None,
        status: int,
        expected: Any,
        retryable: bool,
        maybe_processed: bool,
    ) -> None:
        refuse(service, status, code)

        error = await failure_of(client)

        assert (type(error), error.error_code, error.status_code) == (expected, code, status)
        assert (getattr(error, "retryable", False), error.maybe_processed) == (retryable, maybe_processed)
        assert (code or f"HTTP {status}") in str(error)

    @pytest.mark.parametrize(("code", "status"), [("1.1.0", 401), ("1.1.1", 401), ("1.9.9", 401)])
    async def test_other_codes_do_not_replace_the_token(
        self, client: SignStash, service: MockedService, code: str, status: int
    ) -> None:
        refuse(service, status, code)

        await failure_of(client)

        assert (service.token.call_count, service.sign.call_count) == (1, 1)

    @pytest.mark.parametrize(("code", "status"), [("0.0.10", 409), ("0.0.10", 500), (None, 401), ("9.9.9", 401)])
    async def test_a_rejected_token_is_replaced_once(
        self, client: SignStash, service: MockedService, code: str | None, status: int
    ) -> None:
        refuse(service, status, code)

        await failure_of(client)

        assert (service.token.call_count, service.sign.call_count) == (2, 2)

    async def test_rejected_credentials_raise(self, client: SignStash, service: MockedService) -> None:
        service.token.respond(401, json={"error": "invalid_client", "error_description": "Bad credentials"})

        error = await failure_of(client)

        assert type(error) is CredentialsRejectedError
        assert isinstance(error, AuthenticationError)
        assert (error.status_code, error.error_code, error.description) == (401, "invalid_client", "Bad credentials")
        assert (service.token.call_count, service.sign.call_count) == (1, 0)


class TestLongTexts:
    @pytest.mark.parametrize(
        "text", ["a, " * 300_000, "f(x[{1}]), " * 50_000, '<a href="/">\n\t' * 3_000], ids=["prose", "code", "page"]
    )
    async def test_the_code_is_read_beside_a_long_text(
        self, client: SignStash, service: MockedService, text: str
    ) -> None:
        service.sign.respond(500, json={"causeMessage": text, "errorCode": "0.0.2", "errorCodeDescription": "short"})

        error = await failure_of(client)

        assert isinstance(error, InvalidRequestError)
        assert (error.error_code, error.description, error.maybe_processed) == ("0.0.2", "short", False)

    @pytest.mark.parametrize("values", ["[" + "1," * 2_000 + "1]", "[" * 2_000 + "]" * 2_000, '{"a": 1}, ' * 2_000])
    async def test_many_values_are_not_read(self, client: SignStash, service: MockedService, values: str) -> None:
        service.sign.respond(500, text=f'{{"errorCode": "0.0.2", "values": [{values.removesuffix(", ")}]}}')

        assert type(await failure_of(client)) is UnexpectedResponseError


class TestDocuments:
    @pytest.mark.parametrize(("sign_error", "expected", "retryable"), SIGN_ERRORS)
    async def test_a_sign_error_maps_to_its_exception(
        self, client: SignStash, service: MockedService, sign_error: str, expected: Any, retryable: bool
    ) -> None:
        service.sign.mock(side_effect=not_signed(sign_error))

        error = await failure_of(client)

        assert type(error) is expected
        assert (error.sign_error, error.sign_status, error.retryable) == (sign_error, "ERROR_SIGNING", retryable)
        assert (error.document, error.external_reference, error.operation_id) == ("invoice.pdf", "FT_31", 4711)
        assert sign_error in str(error)

    def test_every_sign_error_of_the_definition_is_in_this_table(self) -> None:
        assert {name for name, *_ in SIGN_ERRORS} - {"MOON_PHASE_SIGN_ERROR"} == {str(item) for item in SigningError}
        assert codes.SIGN_ERRORS.keys() == {str(item) for item in SigningError}

    async def test_a_failure_without_a_sign_error_raises(self, client: SignStash, service: MockedService) -> None:
        service.sign.mock(side_effect=not_signed(None))

        error = await failure_of(client)

        assert (type(error), error.sign_error, error.retryable) == (DocumentNotSignedError, None, False)

    @pytest.mark.parametrize("caught", [CertificateNotProvisionedError, DocumentNotSignedError, SignStashError])
    async def test_a_missing_certificate_has_both_base_classes(
        self, client: SignStash, service: MockedService, caught: type[SignStashError]
    ) -> None:
        service.sign.mock(side_effect=not_signed("INVALID_CERT_SERVICE_CREDS"))

        with pytest.raises(caught) as failed:
            await client.sign(pdf("FT_31"))

        error: Any = failed.value
        assert (error.status_code, error.error_code, error.description) == (200, None, None)
        assert (error.cause_message, error.body, error.retryable) == (None, b"", False)

    async def test_several_invalid_documents_are_one_error(self, client: SignStash, service: MockedService) -> None:
        documents = [pdf(name="good.pdf"), *(Document.pdf(b"", name=f"{n}.pdf") for n in "1234")]

        with pytest.raises(InvalidDocumentError, match=r"4 of 5 documents.*1\.pdf.*2\.pdf.*3\.pdf") as refused:
            await client.sign_batch(documents)

        group: Any = refused.value.__cause__
        assert [item.document for item in group.exceptions] == ["1.pdf", "2.pdf", "3.pdf", "4.pdf"]
        assert isinstance(group, ExceptionGroup)
        assert group.subgroup(InvalidDocumentError) is not None
        assert "4.pdf" not in str(refused.value)
        assert service.token.call_count == 0

    async def test_one_invalid_document_raises_its_own_error(self, client: SignStash) -> None:
        with pytest.raises(InvalidDocumentError) as refused:
            await client.sign_batch([pdf(name="good.pdf"), Document.pdf(b"", name="bad.pdf")])

        assert (refused.value.document, refused.value.__cause__) == ("bad.pdf", None)


class TestCustomClasses:
    async def client_for(self, service: MockedService, classes: Any) -> Any:
        async with new_client(error_classes=classes) as client:
            return await failure_of(client)

    @pytest.mark.parametrize("code", ["2.1.7", "X", "0.0.2"])
    async def test_a_request_code_can_map_to_a_custom_class(self, service: MockedService, code: str) -> None:
        refuse(service, 500, code)

        error = await self.client_for(service, {code: CertificateNotProvisionedError})

        assert (type(error), error.error_code) == (CertificateNotProvisionedError, code)

    async def test_a_custom_class_is_raised(self, service: MockedService) -> None:
        class OutOfPaperError(ApiError):
            pass

        refuse(service, 500, "7.7.7")

        assert type(await self.client_for(service, {"7.7.7": OutOfPaperError})) is OutOfPaperError

    async def test_a_custom_class_may_have_more_attributes(self, service: MockedService) -> None:
        service.sign.respond(503, json={"errorCode": "7.7.7"}, headers={"Retry-After": "7"})

        error = await self.client_for(service, {"7.7.7": RateLimitedError})

        assert (type(error), error.retry_after) == (RateLimitedError, 7.0)

    @pytest.mark.parametrize("sign_error", ["NO_CREDITS_LEFT", "CERT_SERVICE_GLOBAL_ERROR"])
    async def test_a_sign_error_can_map_to_a_custom_class(self, service: MockedService, sign_error: str) -> None:
        service.sign.mock(side_effect=not_signed(sign_error))

        error = await self.client_for(service, {sign_error: CertificateNotProvisionedError})

        assert (type(error), error.sign_error) == (DocumentCertificateError, sign_error)

    @pytest.mark.parametrize("code", ["2.1.7", "3.1.7", "0.1.7", "0.0.1"])
    async def test_a_class_says_what_happened_whatever_the_status_is(self, service: MockedService, code: str) -> None:
        refuse(service, 500, code)

        error = await self.client_for(service, {code: CertificateNotProvisionedError})

        assert "the client service has no usable certificate" in str(error)
        assert "configure a valid one" in error.hint
        assert (error.retryable, error.maybe_processed) == (False, False)

    @pytest.mark.parametrize(
        ("kind", "retryable"),
        [
            (ClientServiceInactiveError, False),
            (DuplicateReferenceError, False),
            (InvalidRequestError, False),
            (RateLimitedError, True),
        ],
    )
    async def test_a_class_of_what_is_not_processed_leaves_no_doubt(
        self, service: MockedService, kind: Any, retryable: bool
    ) -> None:
        class Own(kind):  # type: ignore[misc]
            pass

        refuse(service, 500, "7.7.7")

        error = await self.client_for(service, {"7.7.7": Own})

        assert (type(error), error.retryable, error.maybe_processed) == (Own, retryable, False)
        assert "the service failed" not in str(error)

    @pytest.mark.parametrize("kind", [ApiError, ServiceError])
    async def test_a_class_that_says_nothing_leaves_the_doubt(self, service: MockedService, kind: Any) -> None:
        refuse(service, 500, "7.7.7")

        assert (await self.client_for(service, {"7.7.7": kind})).maybe_processed

    @pytest.mark.parametrize("code", ["0.0.6", "1.1.1"])
    async def test_a_class_that_refines_a_known_code_keeps_its_text(self, service: MockedService, code: str) -> None:
        refuse(service, 400, code)
        known = await self.client_for(service, {})
        own = type("Own", (type(known),), {})

        error = await self.client_for(service, {code: own})

        assert (type(error), error.hint) == (own, known.hint)

    async def test_a_certificate_class_of_a_sign_error_says_what_to_do(self, service: MockedService) -> None:
        service.sign.mock(side_effect=not_signed("NO_CREDITS_LEFT"))

        error = await self.client_for(service, {"NO_CREDITS_LEFT": CertificateNotProvisionedError})

        assert "was not signed: the client service has no usable certificate" in error.problem
        assert "configure a valid one" in error.hint

    async def test_a_document_class_applies_to_a_whole_request(self, service: MockedService) -> None:
        refuse(service, 500, "2.1.7")

        error = await self.client_for(service, {"2.1.7": DocumentCertificateError})

        assert isinstance(error, CertificateNotProvisionedError)
        assert error.error_code == "2.1.7"

    @pytest.mark.parametrize("value", [[CertificateNotProvisionedError], "2.1.7"])
    def test_an_invalid_mapping_raises(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"error_classes is .*not a mapping"):
            new_client(error_classes=value)

    @pytest.mark.parametrize("value", [ValueError, "ServiceError", None, ConnectionFailedError])
    def test_an_invalid_class_raises_at_once(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"error_classes.*2\.1\.7"):
            new_client(error_classes={"2.1.7": value})


class TestMaybeProcessed:
    @pytest.mark.parametrize(
        "response",
        [
            {"status_code": 500, "json": {"errorCode": "0.0.1"}},
            {"status_code": 502},
            {"status_code": 503, "html": "<html>Gateway</html>"},
            {"status_code": 200, "json": {}},
        ],
    )
    async def test_an_unknown_outcome_hints_how_to_avoid_a_second_signature(
        self, client: SignStash, service: MockedService, response: dict[str, Any]
    ) -> None:
        service.sign.mock(side_effect=httpx.ReadTimeout("slow"))
        lost = await failure_of(client)
        service.sign.mock(return_value=httpx.Response(**response))

        error = await failure_of(client)

        assert (type(lost), error.maybe_processed, error.retryable) == (OutcomeUnknownError, True, False)
        assert error.hint == lost.hint

    @pytest.mark.parametrize(("sign_status", "sign_error"), [("SIGNED", "TIMESTAMP_SIGN_ERROR"), (None, None)])
    async def test_a_document_that_may_be_signed_keeps_its_reference(
        self, client: SignStash, service: MockedService, sign_status: str | None, sign_error: str | None
    ) -> None:
        document = pdf()
        service.sign.mock(side_effect=not_signed(sign_error, sign_status))

        error = await failure_of(client, document)

        assert "send the same Document objects again" in error.hint
        assert not error.retryable
        assert document.reference(CLIENT_ID) == error.external_reference

    @pytest.mark.parametrize(
        ("sign_status", "sign_error", "expected"),
        [
            ("ERROR_SIGNING", "TIMESTAMP_SIGN_ERROR", False),
            ("ERROR_SIGNING", "INVALID_CERT_SERVICE_CREDS", False),
            ("ERROR_SIGNING", None, False),
            (None, "TIMESTAMP_SIGN_ERROR", False),
            ("RECEIVED", None, True),
            ("SIGNED", "TIMESTAMP_SIGN_ERROR", True),  # signed, and an error
            ("SIGNED", None, True),  # signed, without content
            (None, None, True),  # neither status nor error
            ("ALMOST_SIGNED", None, True),  # an unknown status
        ],
    )
    async def test_a_document_says_whether_it_may_be_processed(
        self, client: SignStash, service: MockedService, sign_status: str, sign_error: str, expected: bool
    ) -> None:
        service.sign.mock(side_effect=not_signed(sign_error, sign_status))

        assert (await failure_of(client)).maybe_processed is expected

    @pytest.mark.parametrize(
        ("status", "body"), [(200, "<html>"), (404, ""), (500, ""), (500, '{"errorCode": "0.0.1"}'), (504, "<html>")]
    )
    async def test_a_query_says_whether_it_may_be_processed(
        self, client: SignStash, service: MockedService, status: int, body: str
    ) -> None:
        service.router.get(url_of("getStatus", operationId=7)).respond(status, text=body)

        with pytest.raises(SignStashError) as failed:
            await client.get_status(7)
        assert failed.value.maybe_processed is False

    @pytest.mark.parametrize("body", ["", "<html>Gateway</html>"])
    async def test_a_query_that_a_gateway_failed_is_retryable(
        self, client: SignStash, service: MockedService, body: str
    ) -> None:
        service.router.get(url_of("getStatus", operationId=7)).respond(503, text=body, headers={"Retry-After": "9"})

        with pytest.raises(ServiceError if not body else UnexpectedResponseError) as failed:
            await client.get_status(7)

        error: Any = failed.value
        assert (error.retryable, error.retry_after) == (True, 9.0)
        assert RetryPolicy.batch().pause(1, error, 0.5) == 9.0

    def test_a_class_says_whether_it_may_be_processed(self) -> None:
        assert OutcomeUnknownError("It failed.", "Mend it.").maybe_processed
        for cls in (ConfigurationError, InvalidDocumentError, ConnectionFailedError):
            assert not cls("It failed.", "Mend it.").maybe_processed


class TestRetryAfter:
    async def wait(self, client: SignStash, service: MockedService, headers: dict[str, str]) -> float | None:
        service.sign.respond(429, headers=headers)
        error = await failure_of(client)
        assert type(error) is RateLimitedError
        assert error.maybe_processed is False
        return error.retry_after

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("7", 7.0),
            (" 2.5 ", 2.5),
            ("0", 0.0),
            ("-3", 0.0),
            ("nan", None),
            ("inf", None),
            ("-inf", None),
            ("1e999", None),
            ("soon", None),
            ("", None),
            ("Wed, 99 Foo 2026", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ],
    )
    async def test_retry_after_is_a_number_or_none(
        self, client: SignStash, service: MockedService, value: str, expected: float | None
    ) -> None:
        assert await self.wait(client, service, {"Retry-After": value}) == expected

    async def test_a_missing_header_gives_no_retry_after(self, client: SignStash, service: MockedService) -> None:
        assert await self.wait(client, service, {}) is None

    async def test_retry_after_may_be_a_date(self, client: SignStash, service: MockedService) -> None:
        later = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
        assert await self.wait(client, service, {"Retry-After": later}) == pytest.approx(3600, abs=1800)

    def test_a_date_without_a_zone_is_in_utc_wherever_the_process_runs(self) -> None:
        later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%a %b %d %H:%M:%S %Y")
        program = (
            "import sys; from signstash._errors.parsing import *; print(retry_after({'retry-after': sys.argv[1]}))"
        )
        told = subprocess.check_output([sys.executable, "-c", program, later], env={**os.environ, "TZ": "XXX-5"})
        assert float(told) == pytest.approx(3600, abs=1800)

    async def test_the_token_servers_retry_after_is_kept(self, client: SignStash, service: MockedService) -> None:
        service.token.respond(429, headers={"Retry-After": "7"})

        with use_sleep(at_once):
            error = await failure_of(client)

        assert (type(error), error.retry_after, error.maybe_processed) == (RateLimitedError, 7.0, False)

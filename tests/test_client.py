"""The asynchronous client."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from signstash import (
    ApiError,
    ConfigurationError,
    ConnectionFailedError,
    DuplicateReferenceError,
    InvalidDocumentError,
    Journal,
    OutcomeUnknownError,
    Preservation,
    RetryPolicy,
    SignStash,
    TokenAuth,
    UnexpectedResponseError,
)
from signstash.blocking import BlockingSignStash
from signstash.models import UNSET
from tests.conftest import (
    BASE64_PATH,
    BASE_URL,
    CLIENT_ID,
    CLIENT_SECRET,
    FILES_PART,
    MULTIPART_PATH,
    PDF,
    REQUEST_PART,
    TOKEN,
    TOKEN_URL,
    MockedService,
    mock_signed,
    new_client,
    pdf,
    signed_response,
    token_response,
    url_of,
)


async def test_sign_returns_the_signed_document(client: SignStash, service: MockedService) -> None:
    signed = await client.sign(pdf())

    assert signed.content == mock_signed(PDF)
    assert signed.name == "invoice.pdf"
    assert signed.operation_id == 4711
    assert signed.external_reference == service.sent()["documents"][0]["documentRequest"]["externalReference"]
    assert signed.details.sign_status == "SIGNED"
    assert signed.details.signed_content is UNSET
    assert service.sign.calls.last.request.headers["authorization"] == f"Bearer {TOKEN}"


async def test_the_signed_content_is_always_requested(client: SignStash, service: MockedService) -> None:
    await client.sign(pdf())

    assert service.sent()["returnSignedContent"] is True


async def test_request_fields_are_sent(client: SignStash, service: MockedService) -> None:
    await client.sign(
        pdf(),
        description="Fatura nº 31",
        external_reference="run-7",
        preservation=Preservation(alias="kept.pdf", deliver_to=["ana@example.pt"], attach_documents=True),
    )

    sent = service.sent()
    assert sent["description"] == "Fatura nº 31"
    assert sent["externalReference"] == "run-7"
    assert sent["preservationInfo"] == {
        "preserveContent": True,
        "alias": "kept.pdf",
        "deliveryInfo": {"attachDocuments": True, "personReceiver": [{"email": "ana@example.pt"}]},
    }


async def test_missing_request_fields_have_readable_defaults(client: SignStash, service: MockedService) -> None:
    await client.sign_batch([pdf(name="a.pdf"), pdf(name="b.pdf"), pdf(name="c.pdf")])
    await client.sign(pdf(name="d.pdf"))

    first, second = service.sent(0), service.sent(1)
    assert first["description"] == "a.pdf and 2 more"
    assert second["description"] == "d.pdf"
    assert first["externalReference"].startswith(f"{CLIENT_ID}_request_")
    assert first["externalReference"] != second["externalReference"]
    assert "preservationInfo" not in first


@pytest.mark.parametrize("slash", ["", "/"])
async def test_base_url_may_end_with_a_slash(service: MockedService, slash: str) -> None:
    async with SignStash(BASE_URL + slash, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL) as client:
        await client.sign(pdf())

    assert str(service.sign.calls.last.request.url) == BASE_URL + BASE64_PATH


@pytest.mark.parametrize(
    ("environment", "token_url"),
    [
        ("staging", "https://staging.must.digital/oauth2/authorization-server/oauth/token"),
        ("production", "https://msignstash.multicert.com/oauth2/authorization-server/oauth/token"),
    ],
)
async def test_environment_picks_the_token_server(service: MockedService, environment: Any, token_url: str) -> None:
    token = service.router.post(token_url).mock(return_value=token_response())
    async with SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, environment=environment) as client:
        await client.sign(pdf())

    assert token.call_count == 1


async def test_a_batch_is_one_request_and_keeps_the_order(client: SignStash, service: MockedService) -> None:
    documents = [pdf(name=f"{number}.pdf") for number in range(5)]

    def backwards(request: httpx.Request) -> httpx.Response:
        fields = json.loads(signed_response(request).content)
        fields["documentList"].reverse()
        return httpx.Response(200, json=fields)

    service.sign.mock(side_effect=backwards)
    batch = await client.sign_batch(documents)

    assert service.sign.call_count == 1
    assert [outcome.document for outcome in batch.outcomes] == documents
    assert [outcome.signed.name for outcome in batch.outcomes if outcome.signed] == [item.name for item in documents]
    assert batch.operation.id == 4711


async def test_a_failed_document_does_not_affect_others(client: SignStash, service: MockedService) -> None:
    def second_fails(document: dict[str, Any]) -> dict[str, Any]:
        if document["name"] != "2.pdf":
            return document
        return document | {"signStatus": "ERROR_SIGNING", "signError": "TIMESTAMP_SIGN_ERROR", "signedContent": None}

    service.sign.mock(side_effect=lambda request: signed_response(request, second_fails))
    batch = await client.sign_batch([pdf(name="1.pdf"), pdf(name="2.pdf"), pdf(name="3.pdf")])

    assert [outcome.ok for outcome in batch.outcomes] == [True, False, True]
    assert batch.outcomes[1].signed is None
    assert "TIMESTAMP_SIGN_ERROR" in str(batch.outcomes[1].error)


async def test_a_document_given_twice_raises(client: SignStash, service: MockedService) -> None:
    document = pdf()

    with pytest.raises(InvalidDocumentError, match="external reference"):
        await client.sign_batch([document, document])
    assert service.token.call_count == 0


async def test_an_empty_batch_raises(client: SignStash, service: MockedService) -> None:
    with pytest.raises(InvalidDocumentError, match="no document"):
        await client.sign_batch([])
    assert service.token.call_count == 0


async def test_an_item_other_than_a_document_raises(client: SignStash, service: MockedService) -> None:
    with pytest.raises(InvalidDocumentError, match=r"Document\.pdf"):
        await client.sign("invoice.pdf")  # type: ignore[arg-type]
    assert service.token.call_count == 0


async def test_a_document_keeps_its_reference_when_it_is_sent_again(client: SignStash, service: MockedService) -> None:
    document = pdf()
    service.sign.mock(side_effect=httpx.ReadTimeout("slow"))
    with pytest.raises(OutcomeUnknownError) as lost:
        await client.sign(document)
    service.sign.respond(409, json={"errorCode": "0.0.7"})

    with pytest.raises(DuplicateReferenceError):
        await client.sign(document)

    references = [service.sent(call)["documents"][0]["documentRequest"]["externalReference"] for call in (0, 1)]
    assert references[0] == references[1]
    assert lost.value.external_references == (references[0],)


async def test_cookies_of_the_service_are_sent_back(client: SignStash, service: MockedService) -> None:
    def routed(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Set-Cookie": "route=one"}, content=signed_response(request).content)

    service.sign_effects(routed, signed_response, signed_response)
    for _ in range(3):
        await client.sign(pdf())

    sent = [call.request.headers.get_list("cookie") for call in service.sign.calls]
    assert sent == [[], ["route=one"], ["route=one"]]


async def test_cookies_that_cannot_be_sent_back_are_ignored(client: SignStash, service: MockedService) -> None:
    def greeted(request: httpx.Request) -> httpx.Response:
        headers = [(b"Set-Cookie", "name=João".encode())]
        return httpx.Response(200, headers=headers, content=signed_response(request).content)

    service.sign_effects(greeted, signed_response)
    for _ in range(2):
        await client.sign(pdf())

    assert [call.request.headers.get("cookie") for call in service.sign.calls] == [None, None]


class TestMultipart:
    @pytest.fixture
    def multipart(self, service: MockedService) -> respx.Route:
        def respond(request: httpx.Request) -> httpx.Response:
            body = request.content
            described = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
            items = [item["documentRequest"] for item in described["documents"]]
            documents = [{**item, "signStatus": "SIGNED", "signedContent": "c2lnbmVk"} for item in items]
            return httpx.Response(200, json={"id": 1, "documentList": documents})

        return service.router.post(BASE_URL + MULTIPART_PATH).mock(side_effect=respond)

    @pytest.mark.parametrize(("file_names", "expected"), [("name", "invoice.pdf"), ("external_reference", "FT_31")])
    async def test_multipart_contents_are_files(self, multipart: respx.Route, file_names: Any, expected: str) -> None:
        async with new_client(
            upload="multipart",
            multipart_file_names=file_names,
        ) as client:
            signed = await client.sign(pdf(external_reference="FT_31"))

        request = multipart.calls.last.request
        assert b'"returnSignedContent":true' in request.content.replace(b" ", b"")
        assert signed.content == b"signed"
        assert PDF in request.content
        assert f'name="{FILES_PART}"; filename="{expected}"'.encode() in request.content
        assert f'name="{REQUEST_PART}"'.encode() in request.content

    async def test_multipart_documents_of_the_same_name_raise(self, multipart: respx.Route) -> None:
        async with new_client(upload="multipart") as client:
            with pytest.raises(InvalidDocumentError, match="upload='base64'"):
                await client.sign_batch([pdf(), pdf()])

        assert multipart.call_count == 0


class TestIntegrationService:
    async def test_an_operation_id_is_found_by_document_reference(
        self, client: SignStash, service: MockedService
    ) -> None:
        url = url_of("getOperationIdByDocumentExternalReference", externalReference="FT%202026%2F31%3Fx")
        service.router.get(url).respond(json=9_007_199_254_740_993)

        assert await client.get_operation_id("FT 2026/31?x") == 9_007_199_254_740_993

    async def test_a_status_is_returned(self, client: SignStash, service: MockedService) -> None:
        service.router.get(url_of("getStatus", operationId=7)).respond(json={"id": 7, "status": "EXECUTED"})

        assert (await client.get_status(7)).status == "EXECUTED"

    @pytest.mark.parametrize(("include", "word"), [(False, "false"), (True, "true")])
    async def test_an_operation_is_returned(
        self, client: SignStash, service: MockedService, include: bool, word: str
    ) -> None:
        service.router.get(url_of("getSignOperationDetail", operationId=7, includeContent=word)).respond(
            json={"id": 7, "documentList": [{"externalReference": "r", "signedContent": "c2lnbmVk"}]}
        )

        operation = await client.get_operation(7, **({"include_content": True} if include else {}))

        assert operation.document_list
        assert operation.document_list[0].signed_content == "c2lnbmVk"

    async def test_documents_of_an_operation_are_saved(
        self, client: SignStash, service: MockedService, tmp_path: Path
    ) -> None:
        document = {
            "externalReference": "A",
            "name": "invoice.pdf",
            "signStatus": "SIGNED",
            "signedContent": "c2lnbmVk",
        }
        service.router.get(url_of("getSignOperationDetail", operationId=7, includeContent="true")).respond(
            json={"id": 7, "documentList": [document | {"signedContent": "c2lnbmVk"}]}
        )

        assert await client.download_documents(7, tmp_path / "november") == [tmp_path / "november" / "A.invoice.pdf"]
        assert (tmp_path / "november" / "A.invoice.pdf").read_bytes() == b"signed"

    async def test_mails_are_sent_again(self, client: SignStash, service: MockedService) -> None:
        route = service.router.post(url_of("resendDeliveryMails", operationId=7, attachDocuments="true")).respond(200)

        await client.resend_mails(7, ["ana@example.pt"], attach_documents=True)

        assert json.loads(route.calls.last.request.content) == ["ana@example.pt"]

    async def test_a_query_to_a_proxy_raises(self, client: SignStash, service: MockedService) -> None:
        service.router.get(url_of("getStatus", operationId=7)).respond(404)

        with pytest.raises(ApiError, match=r"knows no such document or operation .*check that `base_url` is"):
            await client.get_status(7)

    async def test_an_unknown_document_raises(self, client: SignStash, service: MockedService) -> None:
        service.router.get(path__regex="/operation/").respond(404)

        with pytest.raises(ApiError, match=r"FT_31.*knows no such document.*has not processed") as failed:
            await client.get_operation_id("FT_31")
        assert failed.value.status_code == 404

    async def test_a_lost_query_changed_nothing(self, client: SignStash, service: MockedService) -> None:
        service.router.get(url_of("getStatus", operationId=7)).mock(side_effect=httpx.ReadTimeout("slow"))

        with pytest.raises(ConnectionFailedError, match="nothing was changed"):
            await client.get_status(7)

    @pytest.mark.parametrize("reference", ["", ".", "..", "a\nb"])
    async def test_references_that_reach_another_path_raise(self, client: SignStash, reference: str) -> None:
        with pytest.raises(ConfigurationError, match="external_reference"):
            await client.get_operation_id(reference)

    @pytest.mark.parametrize("number", [-1, 2**63, True, "7", None, 1.5])
    async def test_invalid_operation_ids_raise(self, client: SignStash, number: Any) -> None:
        with pytest.raises(ConfigurationError, match="operation_id"):
            await client.get_status(number)

    @pytest.mark.parametrize("recipients", [[], ["nobody"], ["a@b", "c d@e"]])
    async def test_recipients_other_than_addresses_raise(self, client: SignStash, recipients: list[str]) -> None:
        with pytest.raises(InvalidDocumentError, match="recipients"):
            await client.resend_mails(7, recipients)

    async def test_a_web_page_raises(self, client: SignStash, service: MockedService, tmp_path: Path) -> None:
        page: dict[str, Any] = {"content": b"<html>Login</html>", "content_type": "text/html"}
        service.router.get(path__regex="/operation/").respond(**page)
        service.router.post(path__regex="/delivery/").respond(**page)

        for call in (
            client.get_operation_id("r"),
            client.get_status(7),
            client.get_operation(7),
            client.download_documents(7, tmp_path),
            client.resend_mails(7, ["ana@example.pt"]),
        ):
            with pytest.raises(UnexpectedResponseError):
                await call


class TestConfiguration:
    def test_all_wrong_arguments_are_reported_together(self) -> None:
        with pytest.raises(ConfigurationError) as refused:
            SignStash("proxy:8081", "", "", timeout=0, deadline=float("inf"), upload="ftp")  # type: ignore[arg-type]

        for name in ("base_url", "client_id", "client_secret", "environment", "timeout", "deadline", "upload"):
            assert name in str(refused.value)

    @pytest.mark.parametrize(
        "base_url",
        [
            None,
            "",
            "ftp://proxy/x",
            "http://",
            "http://user:pa55@proxy/x",
            "http://proxy/x?y=1",
            "http://[::1/x",
            "http://p/x ",
            7,
        ],
    )
    def test_an_invalid_base_url_raises(self, base_url: Any) -> None:
        with pytest.raises(ConfigurationError, match="base_url") as refused:
            SignStash(base_url, CLIENT_ID, CLIENT_SECRET, environment="staging")
        assert "pa55" not in str(refused.value)

    def test_a_secret_is_not_sent_unencrypted(self) -> None:
        with pytest.raises(ConfigurationError, match="https"):
            SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url="http://tokens.example.com/oauth/token")

    @pytest.mark.parametrize(("client_id", "client_secret"), [("a:b", "s"), ("a\n", "s"), ("a", "s\n")])
    def test_credentials_that_cannot_be_encoded_raise(self, client_id: str, client_secret: str) -> None:
        with pytest.raises(ConfigurationError, match="client_"):
            SignStash(BASE_URL, client_id, client_secret, environment="staging")

    @pytest.mark.parametrize("timeout", [None, -1, float("nan"), True, "5", httpx.Timeout(5, read=None)])
    def test_an_invalid_timeout_raises(self, timeout: Any) -> None:
        with pytest.raises(ConfigurationError, match="timeout"):
            SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, environment="staging", timeout=timeout)

    @pytest.mark.parametrize("retries", [3, RetryPolicy])
    def test_retries_other_than_a_policy_raise(self, retries: Any) -> None:
        with pytest.raises(ConfigurationError, match="not a RetryPolicy"):
            SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, environment="staging", retries=retries)

    async def test_the_environment_configures_a_client(self, service: MockedService) -> None:
        environ = {
            "SIGNSTASH_BASE_URL": BASE_URL,
            "SIGNSTASH_CLIENT_ID": CLIENT_ID,
            "SIGNSTASH_CLIENT_SECRET": CLIENT_SECRET,
            "SIGNSTASH_TOKEN_URL": TOKEN_URL,
        }
        async with SignStash.from_env(environ, upload="base64") as client:
            assert (await client.sign(pdf())).content == mock_signed(PDF)

    def test_help_shows_no_environment(self) -> None:
        program = "import pydoc, signstash; print(pydoc.render_doc(signstash.SignStash.from_env))"
        environment = {**os.environ, "SIGNSTASH_CLIENT_SECRET": CLIENT_SECRET}

        told = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)

        assert "environ" in told
        assert CLIENT_SECRET not in told

    @pytest.mark.parametrize("documents", [pdf(name="a.pdf"), 7, None])
    async def test_a_single_document_in_place_of_several_raises(self, client: SignStash, documents: Any) -> None:
        with pytest.raises(InvalidDocumentError, match="Give an iterable of documents"):
            await client.sign_batch(documents)
        with pytest.raises(InvalidDocumentError, match="Give an iterable of documents"):
            client.sign_all(documents)

    def test_from_env_lists_all_missing_variables(self) -> None:
        with pytest.raises(ConfigurationError) as refused:
            SignStash.from_env({"SIGNSTASH_ENVIRONMENT": "moon"})

        text = str(refused.value)
        for name in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET", "ENVIRONMENT"):
            assert f"SIGNSTASH_{name} is" in text
        assert "base_url" not in text

    def test_from_env_reads_the_process_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"BASE_URL": BASE_URL, "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": "s"}.items():
            monkeypatch.setenv(f"SIGNSTASH_{name}", value)
        monkeypatch.setenv("SIGNSTASH_ENVIRONMENT", "staging")

        assert repr(SignStash.from_env()) == f"SignStash(base_url={BASE_URL!r}, client_id={CLIENT_ID!r})"

    def test_another_authentication_needs_an_alias(self) -> None:
        with pytest.raises(ConfigurationError, match="client_id"):
            SignStash(BASE_URL, auth=httpx.BasicAuth("a", "b"))

    @pytest.mark.parametrize("client_id", [7, "", None])
    def test_an_authentication_without_a_usable_client_id_raises(self, client_id: Any) -> None:
        auth = httpx.BasicAuth("a", "b")
        vars(auth)["client_id"] = client_id
        with pytest.raises(ConfigurationError, match="client_id"):
            SignStash(BASE_URL, auth=auth)

    async def test_references_begin_with_the_client_id_of_an_own_authentication(self, service: MockedService) -> None:
        auth = httpx.BasicAuth("a", "b")
        vars(auth)["client_id"] = "PRT.1-erp"
        async with SignStash(BASE_URL, auth=auth) as client:
            signed = await client.sign(pdf())

        assert signed.external_reference.startswith("PRT.1-erp_")


class TestArguments:
    """Arguments of a wrong type are named before anything is sent or written."""

    @pytest.mark.parametrize(
        ("call", "problem"),
        [
            (lambda client: client.sign(pdf(), save_to=7), "save_to is 7"),
            (lambda client: client.sign(pdf(), save_to=""), "save_to is ''"),
            (lambda client: client.sign(pdf(), save_to="a.pdf", overwrite="no"), "overwrite is 'no'"),
            (lambda client: client.sign_batch([pdf()], save_to=b"signed"), "save_to is b'signed'"),
            (lambda client: client.sign_batch([pdf()], save_to="", overwrite=True), "save_to is ''"),
            (lambda client: client.get_operation(7, include_content="yes"), "include_content is 'yes'"),
            (lambda client: client.download_documents(7, 7), "save_to is 7"),
            (lambda client: client.download_documents(7, "a", overwrite=1), "overwrite is 1"),
            (lambda client: client.resend_mails(7, ["a@b"], attach_documents="no"), "attach_documents is 'no'"),
            (lambda client: client.sign(pdf(), overwrite="no"), "overwrite is 'no'"),
            (lambda client: client.download_documents(7, "a\0b"), r"save_to is 'a\\x00b'"),
            (lambda client: client.download_documents(7, "\ud800"), r"save_to is '\\ud800'"),
            (lambda client: client.request(5, "/x"), "method is 5"),
            (lambda client: client.request("G\nET", "/x"), r"method is 'G\\nET'"),
            (lambda client: client.request("GET", 5), "path is 5"),
            (lambda client: client.request("GET", "/a/%2e%2e/%2e%2e/x"), "path is '/a/%2e%2e/%2e%2e/x'"),
            (lambda client: client.request("GET", "/a\\..\\..\\b"), "path is "),
            (lambda client: client.request("GET", "/\n"), "path or params"),
            (lambda client: client.request("GET", "/x", params=5), "params is of type int"),
            (lambda client: client.request("GET", "/x", params={"a": "\ud800"}), "path or params"),
            (lambda client: client.request("GET", "/x", headers=5), "headers is of type int"),
            (lambda client: client.request("GET", "/x", headers={"a": 5}), r"headers\['a'\]"),
            (lambda client: client.request("GET", "/x", headers={"a": "\u20ac"}), r"headers\['a'\]"),
            (lambda client: client.request("GET", "/x", headers={"a": "b\n"}), r"headers\['a'\]"),
            (lambda client: client.request("GET", "/x", headers={"a\n": "b"}), r"the name 'a\\n'"),
            (lambda client: client.request("POST", "/x", headers={"Content-Length": "7"}), "the name 'Content-Length'"),
            (lambda client: client.request("GET", "/" + "x" * 65_520), "cannot be sent: URL too long"),
            (lambda client: client.request("GET", "/x", params={"a": "b" * 65_537}), "path or params"),
            (lambda client: client.get_operation_id("x" * 65_537), "cannot be sent: URL too long"),
        ],
    )
    async def test_wrong_arguments_of_calls_raise(
        self, client: SignStash, service: MockedService, call: Any, problem: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=problem):
            await call(client)
        assert len(service.router.calls) == 0

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("save_to", 7),
            ("save_to", ""),
            ("overwrite", "no"),
            ("journal", "november.journal"),
            ("progress", 7),
            ("in_flight", 0),
            ("in_flight", True),
            ("batch_documents", "50"),
            ("batch_bytes", 0.5),
            ("unknown_outcomes", "ask"),
        ],
    )
    def test_wrong_arguments_of_a_run_raise(self, client: SignStash, name: str, value: Any) -> None:
        given: dict[str, Any] = {"save_to": "signed", name: value}
        with pytest.raises(ConfigurationError, match=f"{name} is {value!r}"):
            client.sign_all([pdf()], **given)

    @pytest.mark.parametrize("path", [7, "a\0b", "\ud800"])
    def test_wrong_arguments_of_a_journal_raise(self, path: Any) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(f"path is {path!r}")):
            Journal(path)

    @pytest.mark.parametrize(
        ("name", "value", "problem"),
        [
            ("environment", [], "environment is []"),
            ("instance_urls", 5, "instance_urls is of type int"),
            ("instance_urls", None, "instance_urls is missing"),
            ("auth", "x", "auth is of type str"),
            ("error_classes", [], "error_classes is []"),
            (
                "error_classes",
                {"2.1.7": "certificate"},
                "one of the classes ApiError, ClientServiceInact",
            ),
        ],
    )
    def test_wrong_arguments_of_a_client_raise(self, name: str, value: Any, problem: str) -> None:
        given: dict[str, Any] = {"environment": "staging", name: value}
        with pytest.raises(ConfigurationError, match=re.escape(problem)):
            SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, **given)

    @pytest.mark.parametrize(
        ("make", "problem"),
        [
            (lambda: SignStash.from_env(5), "environ is of type int"),  # type: ignore[arg-type]
            (lambda: BlockingSignStash("x"), "client is of type str"),  # type: ignore[arg-type]
            (
                lambda: TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=5),  # type: ignore[arg-type]
                "base_urls is of type int",
            ),
        ],
    )
    def test_wrong_arguments_of_other_classes_raise(self, make: Callable[[], object], problem: str) -> None:
        with pytest.raises(ConfigurationError, match=problem):
            make()

    async def test_a_wrong_preservation_names_the_choices(self, client: SignStash) -> None:
        kept: Any = "yes"
        with pytest.raises(InvalidDocumentError, match="of type Preservation or PreservationInfo"):
            await client.sign(pdf(), preservation=kept)


class TestLifetime:
    async def test_closing_twice_is_allowed_and_later_use_raises(self, service: MockedService) -> None:
        client = new_client()
        await client.sign(pdf())
        await client.aclose()
        await client.aclose()

        with pytest.raises(ConfigurationError, match="closed"):
            await client.sign(pdf())
        with pytest.raises(ConfigurationError, match="closed"):
            await client.__aenter__()

    async def test_a_given_http_client_is_not_closed(self, service: MockedService) -> None:
        async with httpx.AsyncClient() as http_client:
            async with new_client(http_client=http_client) as client:
                await client.sign(pdf())
            assert not http_client.is_closed

        client = new_client(http_client=http_client)
        with pytest.raises(ConfigurationError, match="closed"):
            await client.sign(pdf())

    async def test_a_given_auth_is_shared_and_not_closed(self, service: MockedService) -> None:
        auth = TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=[BASE_URL])
        for _ in range(2):
            async with SignStash(BASE_URL, auth=auth) as client:
                await client.sign(pdf())

        assert service.token.call_count == 1
        assert service.sent()["externalReference"].startswith(CLIENT_ID)
        await auth.aclose()

    def test_a_client_can_be_used_from_a_second_event_loop(self, service: MockedService) -> None:
        client = new_client()

        for name in ("first.pdf", "second.pdf"):
            assert asyncio.run(client.sign(pdf(name=name))).name == name

        asyncio.run(client.aclose())
        assert service.token.call_count == 1

    async def test_a_given_http_client_keeps_its_settings(self, service: MockedService) -> None:
        headers = {"X-Gateway-Key": "k"}
        async with (
            httpx.AsyncClient(headers=headers, base_url="http://elsewhere.test", follow_redirects=True) as http_client,
            new_client(http_client=http_client) as client,
        ):
            await client.sign(pdf())

        assert service.sign.calls.last.request.headers["x-gateway-key"] == "k"

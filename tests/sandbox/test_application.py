"""Whole flows against the sandbox over HTTP: what it signs, rejects, and stores."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from asn1crypto import cms

from signstash import (
    CredentialsRejectedError,
    Document,
    DuplicateReferenceError,
    SignStash,
    SignStashError,
    TokenRejectedError,
)
from signstash.sandbox import Fault, Sandbox, SandboxApplication, application, signing_endpoints
from signstash.sandbox.signatures import SignatureMaker
from signstash.settings import Credentials
from tests.conftest import BASE64_PATH, FILES_PART, INVOICE, MULTIPART_PATH, REQUEST_PART

pytestmark = pytest.mark.sandbox

PROJECT = Path(__file__).parents[2]
XML = b"<?xml version='1.0' encoding='UTF-8'?>\n<fatura><total moeda='EUR'>31,00</total></fatura>"


class TestRejections:
    async def test_a_document_is_signed_once(self, sandbox_client: SignStash) -> None:
        document = Document.pdf(INVOICE)
        signed = await sandbox_client.sign(document)

        with pytest.raises(DuplicateReferenceError, match=re.escape(signed.external_reference)):
            await sandbox_client.sign(document)

    @pytest.mark.parametrize("wrong", [{"client_secret": "wrong"}, {"client_id": "PRT.nobody"}], ids=str)
    async def test_wrong_credentials_are_rejected(self, sandbox: Sandbox, wrong: Any) -> None:
        credentials: Credentials = {**sandbox.credentials, **wrong}
        async with SignStash(**credentials) as client:
            with pytest.raises(CredentialsRejectedError) as refused:
                await client.sign(Document.pdf(INVOICE))
        assert refused.value.error_code == "invalid_client"


@contextlib.asynccontextmanager
async def in_process(sandbox: SandboxApplication) -> AsyncIterator[SignStash]:
    """A client that reaches the sandbox without a network."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(sandbox)) as http_client:
        yield SignStash(**sandbox.credentials, http_client=http_client)


class TestTokens:
    """The application itself, without a network."""

    async def test_an_expired_token_is_replaced_silently(self) -> None:
        now = 0.0
        sandbox = SandboxApplication(token_lifetime=3600, clock=lambda: now)
        async with in_process(sandbox) as client:
            for now, number in ((0.0, 1), (3599.0, 2), (3600.0, 3)):  # noqa: B007 - the clock reads it
                assert (await client.sign(Document.binary(b"a", name="a"))).operation_id == number

        signing = application.BASE_PATHS[0] + BASE64_PATH
        token = application.TOKEN_PATH
        arrived = [(entry["path"], entry["error_code"]) for entry in sandbox.request_log.entries()]
        signed, refused = (signing, ""), (signing, "0.0.10")
        assert arrived == [(token, ""), signed, signed, refused, (token, ""), signed]

    async def test_tokens_never_accepted_raise(self) -> None:
        sandbox = SandboxApplication(faults=[Fault("0.0.10")])
        async with in_process(sandbox) as client:
            with pytest.raises(TokenRejectedError, match="environment"):
                await client.sign(Document.binary(b"a", name="a"))

        asked = [entry["path"] for entry in sandbox.request_log.entries()]
        assert asked.count(application.TOKEN_PATH) == 2


Fields = dict[str, Any]
NOWHERE = {"locationType": "SIGN_FIELD"}


class TestRawRequests:
    @pytest.fixture
    def http(self, sandbox: Sandbox) -> Any:
        with httpx.Client() as http:
            response = http.post(
                sandbox.token_url,
                auth=(sandbox.client_id, sandbox.client_secret),
                data={"grant_type": "client_credentials"},
            )
            http.headers["authorization"] = f"Bearer {response.json()['access_token']}"
            http.base_url = httpx.URL(sandbox.base_url)
            yield http

    def fields(self, *names: str) -> Fields:
        made = os.urandom(6).hex()
        documents = [
            {
                "documentRequest": {
                    "externalReference": f"{made}-{name}",
                    "name": name,
                    "contentType": "application/octet-stream",
                    "base64Content": "YQ==",
                },
                "signatureInfo": {"signatureType": "CAdES"},
            }
            for name in names or ("a.bin",)
        ]
        return {"externalReference": made, "description": "raw", "documents": documents, "returnSignedContent": True}

    def assert_refused(self, response: httpx.Response, what: str, code: str = "0.0.2") -> None:
        assert response.status_code == 500
        assert response.headers["content-type"] == "application/json"
        assert response.json()["errorCode"] == code
        assert what in response.json()["causeMessage"]

    @pytest.mark.parametrize(
        "path",
        [
            "externalReference", "description", "documents", "documents.0.documentRequest", "documents.0.signatureInfo",
            "documents.0.documentRequest.externalReference", "documents.0.documentRequest.name",
            "documents.0.documentRequest.contentType", "documents.0.documentRequest.base64Content",
            "documents.0.signatureInfo.signatureType",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("value", ["left out", None], ids=str)
    def test_mandatory_fields_are_required(self, http: httpx.Client, path: str, value: Any) -> None:
        fields = self.fields()
        *way, last = (int(key) if key.isdecimal() else key for key in path.split("."))
        holder: Any = fields
        for key in way:
            holder = holder[key]
        holder[last] = value
        if value == "left out":
            del holder[last]

        self.assert_refused(http.post(BASE64_PATH, json=fields), str(last))

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda it: it["documents"][0]["signatureInfo"].update(visibleSignatureInfo={}), "location"),
            (lambda it: it["documents"][0]["signatureInfo"].update(visibleSignatureInfo=NOWHERE), "locationValue"),
            (lambda it: it.update(preservationInfo={}), "preserveContent"),
        ],
        ids=["visible signature", "its place", "preservation"],
    )
    def test_mandatory_fields_of_options_are_required(
        self, http: httpx.Client, change: Callable[[Fields], object], what: str
    ) -> None:
        fields = self.fields()
        change(fields)

        self.assert_refused(http.post(BASE64_PATH, json=fields), what)

    @pytest.mark.parametrize("field", ["name", "externalReference"])
    def test_long_texts_of_a_document_are_rejected(self, http: httpx.Client, field: str) -> None:
        fields = self.fields()
        fields["documents"][0]["documentRequest"][field] = "x" * 5000

        self.assert_refused(http.post(BASE64_PATH, json=fields), field, "0.0.4")

    def test_too_many_documents_are_rejected(self, http: httpx.Client) -> None:
        fields = self.fields()
        fields["documents"] *= 1001

        self.assert_refused(http.post(BASE64_PATH, json=fields), "documents", "0.0.4")

    def test_thousands_of_unknown_fields_and_errors_are_handled(self, http: httpx.Client) -> None:
        fields = self.fields() | {f"other{number}": number for number in range(100_000)}
        assert http.post(BASE64_PATH, json=fields).status_code == 200
        fields["documents"] = [{"documentRequest": number} for number in range(100_000)]
        assert http.post(BASE64_PATH, json=fields).status_code == 500

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
    def test_a_body_other_than_json_is_rejected(self, http: httpx.Client, body: bytes) -> None:
        self.assert_refused(http.post(BASE64_PATH, content=body), "malformed JSON")

    @pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"7"])
    def test_json_other_than_a_request_is_rejected(self, http: httpx.Client, body: bytes) -> None:
        self.assert_refused(http.post(BASE64_PATH, content=body), "signRequest is not of type object", "0.0.6")

    @pytest.mark.parametrize("header", ["Bearer other", "Bearer", "Basic YTpi", "Basic {token}", "{token}", None])
    @pytest.mark.parametrize("path", [BASE64_PATH, MULTIPART_PATH])
    def test_an_invalid_token_is_rejected(self, http: httpx.Client, header: str | None, path: str) -> None:
        token = http.headers.pop("authorization").removeprefix("Bearer ")
        headers = {} if header is None else {"authorization": header.format(token=token)}

        response = http.post(path, json=self.fields(), headers=headers)

        assert (response.status_code, response.json()["errorCode"]) == (409, "0.0.10")

    def test_multipart_needs_its_parts_and_matches_them_by_name(self, http: httpx.Client) -> None:
        fields = self.fields("a.bin", "b.bin")
        described = {REQUEST_PART: (None, json.dumps(fields).encode(), "application/json")}
        files = [(FILES_PART, ("b.bin", b"B")), (FILES_PART, ("a.bin", b"A"))]

        self.assert_refused(http.post(MULTIPART_PATH, files=files), REQUEST_PART)
        self.assert_refused(http.post(MULTIPART_PATH, files=[*described.items(), files[0]]), FILES_PART)
        response = http.post(MULTIPART_PATH, files=[*files, *described.items()])
        held = [base64.b64decode(item["signedContent"]) for item in response.json()["documentList"]]
        contents = [cms.ContentInfo.load(item)["content"]["encap_content_info"]["content"].native for item in held]
        assert contents == [b"A", b"B"]

    def test_multipart_files_without_matching_names_are_matched_by_order(self, http: httpx.Client) -> None:
        fields = self.fields("b.bin", "c.bin")
        described = {REQUEST_PART: (None, json.dumps(fields).encode(), "application/json")}
        files = [(FILES_PART, ("a.bin", b"A")), (FILES_PART, ("b.bin", b"B"))]

        response = http.post(MULTIPART_PATH, files=[*files, *described.items()])

        held = [base64.b64decode(item["signedContent"]) for item in response.json()["documentList"]]
        contents = [cms.ContentInfo.load(item)["content"]["encap_content_info"]["content"].native for item in held]
        assert contents == [b"A", b"B"]

    @pytest.mark.parametrize("asked", [False, None])
    def test_contents_are_returned_only_on_request(self, http: httpx.Client, asked: bool | None) -> None:
        response = http.post(BASE64_PATH, json=self.fields() | {"returnSignedContent": asked})

        assert response.json()["documentList"][0]["signStatus"] == "SIGNED"
        assert "signedContent" not in response.json()["documentList"][0]


class TestLimits:
    async def test_a_body_that_is_too_large_is_rejected(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(application, "MAX_BODY", 10_000)
        sandbox = SandboxApplication()
        async with in_process(sandbox) as client:
            await client.sign(Document.binary(b"small", name="small.bin"))
            with pytest.raises(SignStashError, match="413"):
                await client.sign(Document.binary(bytes(20_000), name="large.bin"))

    async def test_signing_has_a_time_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = threading.Event()
        monkeypatch.setattr(SignatureMaker, "sign", lambda *_: ended.wait(60))
        monkeypatch.setattr(signing_endpoints, "SECONDS_PER_DOCUMENT", 0.05)
        sandbox = SandboxApplication()
        async with in_process(sandbox) as client:
            batch = await client.sign_batch([Document.binary(b"slow", name="slow.bin")])
        ended.set()

        assert batch.operation.document_list
        (listed,) = batch.operation.document_list
        assert "takes longer than 0.05 s" in listed["causeMessage"]


class TestReset:
    async def test_reset_frees_references_and_keeps_the_root(self, tmp_path: Path) -> None:
        sandbox = SandboxApplication(state=tmp_path / "state.sqlite")
        root = sandbox.root_certificate
        async with in_process(sandbox) as client:
            first = await client.sign(Document.binary(b"a", name="a", external_reference="FT-1"))
            sandbox.reset()
            assert sandbox.signed_references == {}
            second = await client.sign(Document.binary(b"a", name="a", external_reference="FT-1"))

        assert (second.operation_id or 0) > (first.operation_id or 0)
        assert SandboxApplication(state=tmp_path / "state.sqlite").root_certificate == root


def test_the_sandbox_runs_from_a_zipped_package(tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    with zipfile.ZipFile(package, "w") as archive:
        for file in (PROJECT / "src").rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(PROJECT / "src"))
        for name in ("signstash.json", "contract.json"):  # as in the wheel
            archive.write(PROJECT / "openapi" / name, f"signstash/sandbox/{name}")
    program = (
        "import asyncio, httpx, signstash\n"
        "from signstash.sandbox import Sandbox\n"
        "async def main():\n"
        "    async with Sandbox() as sandbox, signstash.SignStash(**sandbox.credentials) as client:\n"
        "        await client.sign(signstash.Document.binary(b'any', name='any.bin'))\n"
        "        page = httpx.get(sandbox.page_url + 'page.css')\n"
        "        definition = httpx.get(sandbox.base_url + '/v2/api-docs')\n"
        "        print(signstash.__file__, page.status_code, definition.status_code)\n"
        "asyncio.run(main())\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.stdout.startswith(str(package)), ended.stderr
    assert ended.stdout.endswith(" 200 200\n")

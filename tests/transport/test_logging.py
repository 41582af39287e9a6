"""Log lines: one for each request, details at DEBUG, and no secrets."""

from __future__ import annotations

import base64
import logging
import re
import subprocess
import sys
import warnings
from typing import Any

import httpx
import pytest

from signstash import Document, OutcomeUnknownError, RetryPolicy, SignStash, TokenAuth
from signstash.api import get_status
from tests.conftest import (
    BASE64_PATH,
    CLIENT_ID,
    CLIENT_SECRET,
    PATHS,
    TOKEN,
    TOKEN_URL,
    MockedService,
    new_client,
    pdf,
    signed_response,
    url_of,
)

POLICY = RetryPolicy(attempts=3, first_bound=0.001, longest_bound=0.001, deadline=1000)


def lines(log: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    """The lines of the logger `signstash` and its children at a level, with `?` for milliseconds and bytes."""
    logged = [record for record in log.records if record.name.startswith("signstash") and record.levelno == level]
    return [re.sub(r"\d+ (ms|bytes)", r"? \1", record.getMessage()) for record in logged]


def requests(log: pytest.LogCaptureFixture) -> list[str]:
    """The lines about requests to the service."""
    return [line for line in lines(log) if line.startswith(("sign", "get", "GET"))]


@pytest.fixture(autouse=True)
def every_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def client_options() -> dict[str, Any]:
    return {"retries": POLICY}


class TestRequests:
    async def test_each_request_is_a_line(self, client: SignStash, caplog: pytest.LogCaptureFixture) -> None:
        await client.sign_batch([pdf("FT_1"), pdf("FT_2")])

        assert lines(caplog) == [
            "token: issued, ? ms, attempt 1",
            "signDocumentBatchBase64: HTTP 200, 2 documents, ? bytes, ? ms, attempt 1, operation 4711",
        ]

    async def test_the_logged_size_is_the_number_of_sent_bytes(
        self, client: SignStash, service: MockedService, caplog: pytest.LogCaptureFixture
    ) -> None:
        await client.sign(pdf("FT_1"))

        length = len(service.sign.calls.last.request.content)
        assert f" {length} bytes, " in caplog.text

    async def test_each_attempt_is_a_line(
        self, client: SignStash, service: MockedService, caplog: pytest.LogCaptureFixture
    ) -> None:
        service.sign_effects(httpx.ConnectError("no route"), httpx.Response(429), signed_response)
        await client.sign(pdf("FT_1"))

        assert requests(caplog) == [
            "signDocumentBatchBase64: ConnectionFailedError, 1 document, ? bytes, ? ms, attempt 1, operation unknown",
            "signDocumentBatchBase64: HTTP 429, 1 document, ? bytes, ? ms, attempt 2, operation unknown",
            "signDocumentBatchBase64: HTTP 200, 1 document, ? bytes, ? ms, attempt 3, operation 4711",
        ]
        assert len([line for line in lines(caplog) if "trying again" in line]) == 2

    async def test_attempts_are_counted_for_each_call(
        self, client: SignStash, service: MockedService, caplog: pytest.LogCaptureFixture
    ) -> None:
        service.sign_effects(httpx.ConnectError("no route"), signed_response)
        service.router.get(url_of("getStatus", operationId=7)).respond(json={"id": 7, "status": "EXECUTED"})
        await client.sign(pdf("FT_1"))
        await get_status.asyncio(7, client=client.generated)

        assert "attempt 1" in requests(caplog)[-1]

    async def test_attempts_are_counted_in_a_run(
        self, client: SignStash, service: MockedService, caplog: pytest.LogCaptureFixture
    ) -> None:
        service.sign_effects(httpx.ConnectError("no route"), signed_response)
        assert [outcome.ok async for outcome in client.sign_all([pdf("FT_1")])] == [True]

        assert [line.split(", ")[4] for line in requests(caplog)] == [
            "attempt 1",
            "attempt 2",
        ]

    async def test_a_query_names_its_operation(
        self, client: SignStash, service: MockedService, caplog: pytest.LogCaptureFixture
    ) -> None:
        service.router.get(url_of("getStatus", operationId=7)).respond(json={"id": 7, "status": "EXECUTED"})
        await client.get_status(7)

        expected = "getStatus: HTTP 200, 0 documents, ? bytes, ? ms, attempt 1, operation 7"
        assert requests(caplog) == [expected]

    async def test_the_query_of_a_url_is_not_logged(
        self, client: SignStash, service: MockedService, caplog: pytest.LogCaptureFixture
    ) -> None:
        responses = [httpx.Response(503), httpx.Response(200)]
        service.router.get(url_of("getStatus", operationId=7)).mock(side_effect=responses)
        await client.request("GET", f"{PATHS['getStatus'].format(operationId=7)}?key=hunter2")

        ours = [record for record in caplog.records if record.name.startswith("signstash")]
        assert len(ours) > 2
        assert "hunter2" not in "".join(f"{record.getMessage()}{vars(record)}" for record in ours)

    @pytest.mark.parametrize("body", ['{"id": true}', '{"id": -1}', '{"id": null}', "[]", "<html>"])
    async def test_a_response_without_an_operation_id_is_logged(
        self, client: SignStash, service: MockedService, caplog: pytest.LogCaptureFixture, body: str
    ) -> None:
        service.sign.side_effect = None
        service.sign.respond(200, text=body)
        [outcome async for outcome in client.sign_all([pdf("FT_1")])]

        assert requests(caplog)[0].endswith("operation unknown")

    async def test_a_long_response_is_logged(
        self, client: SignStash, service: MockedService, caplog: pytest.LogCaptureFixture
    ) -> None:
        service.sign.side_effect = lambda request: signed_response(request, lambda item: item | {"more": "x" * 100_000})
        await client.sign(pdf("FT_1"))

        assert requests(caplog)[0].endswith("operation 4711")

    async def test_httpx_logging_is_unchanged(self, client: SignStash, service: MockedService) -> None:
        before = logging.getLogger("httpx").level, logging.getLogger("httpcore").level
        await client.sign(pdf("FT_1"))

        assert (logging.getLogger("httpx").level, logging.getLogger("httpcore").level) == before


async def test_no_content_is_logged(
    client: SignStash, service: MockedService, caplog: pytest.LogCaptureFixture
) -> None:
    content = b"%PDF-1.7\nnever-shown-content\n%%EOF\n"
    service.sign_effects(httpx.Response(401), signed_response, httpx.ReadTimeout("slow"))
    await client.sign(Document.pdf(content, name="invoice.pdf"))
    with pytest.raises(OutcomeUnknownError):
        await client.sign(Document.pdf(content, name="invoice.pdf"))

    ours = [record for record in caplog.records if record.name.startswith("signstash")]
    told = "".join(f"{record.getMessage()}{vars(record)}{record.exc_info}" for record in ours)
    assert len(ours) > 4
    encoded = base64.b64encode(content).decode()[:20]
    assert [word for word in ("never-shown", encoded, TOKEN, CLIENT_SECRET) if word in told] == []


async def test_event_hooks_of_httpx_keep_working(service: MockedService) -> None:
    seen: list[str] = []

    async def sent(request: httpx.Request) -> None:
        seen.append(f"> {'sign' if request.url.path.endswith(BASE64_PATH) else request.url.path.rpartition('/')[2]}")

    async def answered(response: httpx.Response) -> None:
        seen.append(f"< {response.status_code}")

    async with (
        httpx.AsyncClient(event_hooks={"request": [sent], "response": [answered]}) as http_client,
        new_client(http_client=http_client) as client,
    ):
        await client.sign(pdf("FT_1"))

    assert sorted(seen) == ["< 200", "< 200", "> sign", "> token"]


async def test_log_records_have_fields_for_json_formatters(client: SignStash, caplog: pytest.LogCaptureFixture) -> None:
    await client.sign_batch([pdf("FT_1"), pdf("FT_2")])

    fields = vars(next(record for record in caplog.records if record.getMessage().startswith("sign")))
    assert fields["operation"] == "signDocumentBatchBase64"
    assert fields["external_references"] == ["FT_1", "FT_2"]
    assert (fields["operation_id"], fields["result"], fields["attempt"]) == (4711, "HTTP 200", 1)
    assert fields["milliseconds"] > 0
    assert fields["request_bytes"] > 0


class TestPlainHttp:
    def warnings_of(self, caplog: pytest.LogCaptureFixture) -> list[str]:
        return lines(caplog, logging.WARNING)

    def test_plain_http_to_a_public_host_warns_once(self, caplog: pytest.LogCaptureFixture) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for path in ("one", "two"):
                SignStash(f"http://once.example.pt/{path}", CLIENT_ID, CLIENT_SECRET, environment="staging")
            TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=["http://once.example.pt"])

        (said,) = self.warnings_of(caplog)
        assert "once.example.pt" in said

    def test_plain_http_warns_for_each_host(self, caplog: pytest.LogCaptureFixture) -> None:
        for host in ("first.example.pt", "8.8.8.8", "[2606:4700::1111]"):
            SignStash(f"http://{host}:8081/x", CLIENT_ID, CLIENT_SECRET, environment="staging")

        assert len(self.warnings_of(caplog)) == 3

    @pytest.mark.parametrize(
        "url",
        [
            "https://proxy.example.pt",
            "http://localhost:8081",
            "http://127.0.0.1",
            "http://[::1]",
            "http://10.1.2.3",
            "http://192.168.1.5",
            "http://proxy:8081",
            "http://proxy.internal",
        ],
    )
    def test_plain_http_to_a_local_host_does_not_warn(self, caplog: pytest.LogCaptureFixture, url: str) -> None:
        SignStash(url, CLIENT_ID, CLIENT_SECRET, environment="staging")

        assert self.warnings_of(caplog) == []

    def test_warnings_are_visible_without_logging_configuration(self) -> None:
        program = "from signstash import SignStash; SignStash('http://a.pt', 'id', 'secret', environment='staging')"
        command = [sys.executable, "-W", "error", "-c", program]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)

        assert "a.pt over plain HTTP" in ended.stderr

"""The sandbox's own pages: JSON for tests, a page for people, and each signed document."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from signstash import Document, SignStash, SignStashError
from signstash.sandbox import Fault, Sandbox
from tests.conftest import BASE64_PATH, INVOICE
from tests.sandbox.browser import Browser, browser

pytestmark = pytest.mark.sandbox

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def used() -> Iterator[Sandbox]:
    """A sandbox that has signed documents."""
    with Sandbox(faults=[Fault("no_credits", name="draft*"), Fault("too_many_requests", times=1)]) as sandbox:
        yield sandbox


@pytest.fixture(scope="module", autouse=True)
def signed(used: Sandbox) -> bytes:
    """The PDF that a proxy signed."""
    return asyncio.run(use(used))


async def use(used: Sandbox) -> bytes:
    async with SignStash(**used.credentials) as proxy, SignStash(**used.integration_credentials) as integration:
        for name in ("refused.pdf", "draft.pdf"):
            with pytest.raises(SignStashError):
                await proxy.sign(Document.pdf(INVOICE, name=name, external_reference=name))
        with pytest.raises(SignStashError):
            await proxy.get_status(1)
        document = Document.pdf(INVOICE, name="a.pdf", external_reference="FT_1")
        content = (await proxy.sign(document, external_reference="R_1")).content
        await integration.sign(Document.binary(b"any", name="b.bin", external_reference=f"FT_2 {HOSTILE}"))
    return content


@pytest.fixture
def http(used: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=used.page_url) as http:
        yield http


def test_the_json_lists_requests_and_signed_documents(http: httpx.Client) -> None:
    shown = http.get("").json()

    assert shown["signed"] == {"FT_1": 1, f"FT_2 {HOSTILE}": 1}
    told = [(item["path"].rpartition("/api/")[2], item["status"], item["fault"]) for item in shown["requests"]]
    sign = BASE64_PATH.removeprefix("/api/")
    assert told == [
        ("/oauth2/authorization-server/oauth/token", 200, ""),
        (sign, 429, "too_many_requests"),
        (sign, 200, ""),
        ("v0/operation/status/1", 404, ""),
        (sign, 200, ""),
        ("/oauth2/authorization-server/oauth/token", 200, ""),
        (sign, 200, ""),
    ]
    assert shown["requests"][4]["references"] == ["R_1", "FT_1"]
    assert [(item["name"], item["signed"], item["service"]) for item in shown["documents"]] == [
        ("b.bin", True, "integration"),
        ("a.pdf", True, "proxy"),
        ("draft.pdf", False, "proxy"),
    ]
    assert shown["documents"][2]["reason"] == "the fault no_credits of the sandbox"
    assert shown["faults"][1]["fired"] == 1


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_no_secret_is_shown(http: httpx.Client, used: Sandbox, accept: str) -> None:
    text = http.get("", headers={"accept": accept}).text

    assert used.client_id in text
    assert used.client_secret not in text
    assert "eyJ" not in text  # so JWTs begin


def test_the_page_can_be_read_and_runs_nothing(http: httpx.Client) -> None:
    response = http.get("", headers={"accept": "text/html,*/*;q=0.8"})

    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    for expected in ("a.pdf", "FT_1", "INVALID_CERT_SERVICE_CREDS", "429", "too_many_requests", "not published"):
        assert expected in response.text
    assert "<script>" not in response.text
    assert "&lt;script&gt;" in response.text


def test_each_signed_document_can_be_opened(http: httpx.Client, signed: bytes) -> None:
    numbers = {item["name"]: item["document"] for item in http.get("").json()["documents"]}

    opened = http.get(f"documents/{numbers['a.pdf']}")
    assert (opened.content, opened.headers["content-type"]) == (signed, "application/pdf")
    other = http.get(f"documents/{numbers['b.bin']}")
    assert other.headers["content-disposition"].startswith("attachment")
    assert http.get(f"documents/{numbers['draft.pdf']}").status_code == 404
    assert http.get(f"documents/{10**30}").status_code == 404


def test_the_root_certificate_can_be_fetched(http: httpx.Client, used: Sandbox) -> None:
    assert http.get("root.pem").content == used.root_certificate


class TestInABrowser:
    @pytest.fixture
    def sandbox(self) -> Iterator[Sandbox]:
        with Sandbox() as sandbox:
            yield sandbox

    @pytest.fixture
    def page(self, sandbox: Sandbox, tmp_path: Path) -> Iterator[Browser]:
        with browser(tmp_path / "profile") as page:
            page.open(sandbox.page_url)
            yield page
            assert page.complaints == []

    def test_a_dropped_document_is_signed_and_verified(self, page: Browser, tmp_path: Path) -> None:
        files = {
            "a.xml": b"<?xml-stylesheet href='b'?><a xml:lang='pt'/>",
            "b.bin": b"any",
            "c.pdf": INVOICE.read_bytes(),
        }
        for name, content in files.items():
            file = tmp_path / name
            file.write_bytes(content)

            page.drop(file, ".drop")

            outcome = page.text("#outcome")
            assert outcome.startswith(f"{name}: Signed and verified")
            assert ": no" not in outcome
        assert "Documents (3 signed)" in page.text()

    def test_a_dropped_document_that_fails_shows_the_reason(self, page: Browser, tmp_path: Path) -> None:
        file = tmp_path / "broken.pdf"
        file.write_bytes(b"%PDF-1.7\nbroken")

        page.drop(file, ".drop")

        assert "broken.pdf: Not signed (HTTP 200): the PDF cannot be read" in page.text("#outcome")

    def test_the_button_signs_a_document(self, page: Browser, sandbox: Sandbox) -> None:
        page.evaluate(
            "(() => { const data = new DataTransfer(); data.items.add(new File(['any'], 'chosen.bin'));"
            " document.querySelector('input[type=file]').files = data.files })()"
        )

        page.click("form.try button")

        assert "chosen.bin: Signed and verified" in page.text("#outcome")
        assert sandbox.signatures == {"chosen.bin": 1}

    def test_a_fault_is_switched_on_and_off(self, page: Browser, sandbox: Sandbox) -> None:
        page.evaluate("document.querySelector('[name=kind]').value = 'no_credits'")
        page.click("#faults button.main")
        assert [fault["kind"] for fault in sandbox.faults.active()] == ["no_credits"]

        page.drop(INVOICE, ".drop")
        assert "Not signed (HTTP 200): INVALID_CERT_SERVICE_CREDS" in page.text("#outcome")
        page.click("#faults table button")
        assert sandbox.faults.active() == []
        page.drop(INVOICE, ".drop")
        assert "Signed and verified" in page.text("#outcome")

    def test_a_lost_response_is_explained(self, page: Browser, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("reset_after", times=1))

        page.drop(INVOICE, ".drop")

        assert "It was signed, but the response was lost." in page.text("#outcome")

    def test_reset_forgets_everything(self, page: Browser, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("too_many_requests", on="query"))
        page.drop(INVOICE, ".drop")

        page.click("header button")

        assert "Documents (0 signed)" in page.text()
        assert page.evaluate("document.querySelector('#outcome')") is None
        assert sandbox.faults.active() == sandbox.request_log.entries() == []
        assert sandbox.signatures == {}

    def test_the_page_has_its_style(self, page: Browser) -> None:
        with Image.open(BytesIO(page.screenshot())) as image:
            counted: Any = image.convert("RGB").getcolors(1 << 24)
        colours = {colour: count for count, colour in counted}
        assert colours[(255, 243, 196)] > 20_000  # the banner that says it is a test
        assert colours[(255, 255, 255)] > 300_000


class TestForeignRequests:
    """Other web pages must not change the sandbox of a developer who visits them."""

    @pytest.fixture
    def http(self) -> Iterator[httpx.Client]:
        with Sandbox() as sandbox, httpx.Client(base_url=sandbox.page_url) as http:
            yield http

    @pytest.mark.parametrize("host", ["attacker.example", "attacker.example:80", "127.0.0.1.attacker.example", ""])
    @pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "faults"), ("POST", "reset")])
    def test_foreign_hosts_are_rejected(self, http: httpx.Client, host: str, method: str, path: str) -> None:
        response = http.request(method, path, headers={"host": host})

        assert response.status_code in (400, 403)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8081", "sandbox:8081", "sign.localhost"])
    def test_hosts_of_this_machine_and_network_are_accepted(self, http: httpx.Client, host: str) -> None:
        assert http.get("faults", headers={"host": host}).status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://attacker.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:1"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize(
        ("method", "path"), [("POST", "reset"), ("POST", "faults"), ("PUT", "faults"), ("POST", "try")]
    )
    def test_foreign_origins_are_rejected(
        self, http: httpx.Client, headers: dict[str, str], method: str, path: str
    ) -> None:
        assert http.request(method, path, json={"kind": "0.0.1"}, headers=headers).status_code == 403
        assert http.get("faults").json() == []

    @pytest.mark.parametrize("media_type", ["text/plain", "application/octet-stream", ""])
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_faults_are_json_or_a_form(self, http: httpx.Client, method: str, media_type: str) -> None:
        response = http.request(method, "faults", content=b'{"kind": "0.0.1"}', headers={"content-type": media_type})

        assert response.status_code == 415
        assert http.get("faults").json() == []

"""What the sandbox shows of itself: JSON for tests, a page for people, and each signed document."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from signstash import Document, SignStash, SignStashError
from signstash.sandbox import Fault, Sandbox
from tests.conftest import INVOICE

pytestmark = pytest.mark.sandbox

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def used() -> Iterator[Sandbox]:
    """A sandbox through which something went."""
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


def test_the_json_tells_what_arrived_and_what_was_signed(http: httpx.Client) -> None:
    shown = http.get("").json()

    assert shown["signed"] == {"FT_1": 1, f"FT_2 {HOSTILE}": 1}
    told = [(item["path"].rpartition("/api/")[2], item["status"], item["fault"]) for item in shown["requests"]]
    sign = "v0/document/sign/base64/"
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
    answer = http.get("", headers={"accept": "text/html,*/*;q=0.8"})

    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for expected in ("a.pdf", "FT_1", "INVALID_CERT_SERVICE_CREDS", "429", "too_many_requests", "not published"):
        assert expected in answer.text
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text


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


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_it_looks_like_a_page_in_a_browser(used: Sandbox, tmp_path: Path) -> None:
    assert CHROMIUM
    picture = tmp_path / "page.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,900"]

    subprocess.run([CHROMIUM, *options, f"--screenshot={picture}", used.page_url], capture_output=True, check=True)

    with Image.open(picture) as image:
        counted: Any = image.convert("RGB").getcolors(1 << 24)
    colours = {colour: count for count, colour in counted}
    assert colours[(255, 243, 196)] > 20_000  # the banner that says it is a test
    assert colours[(255, 255, 255)] > 600_000
    assert any(red > 150 > 60 > green and blue < 60 for red, green, blue in colours)  # an error, in red

"""The sandbox takes requests as integrations in other languages send them: raw, over a socket."""

from __future__ import annotations

import base64
import json
import logging
import os
import socket
import time
from typing import Any

import httpx
import pytest

from signstash.sandbox import Fault, Sandbox
from tests.conftest import BASE64_PATH, INVOICE

pytestmark = pytest.mark.sandbox


def exchanged(sandbox: Sandbox, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, Any]:
    """The status and the JSON of the response to a handwritten request."""
    url = httpx.URL(sandbox.base_url)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {url.host}:{url.port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in {"Content-Length": len(body), **headers}.items()]
    with socket.create_connection((url.host, url.port or 0)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        response = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, content = response.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content) if content[:1] in (b"{", b"[") else content


def path_of(url: str) -> str:
    return httpx.URL(url).path


@pytest.fixture
def basic(sandbox: Sandbox) -> str:
    return base64.b64encode(f"{sandbox.client_id}:{sandbox.client_secret}".encode()).decode()


@pytest.fixture
def token(sandbox: Sandbox, basic: str) -> str:
    path = f"{path_of(sandbox.token_url)}?grant_type=client_credentials"
    status, response = exchanged(sandbox, "POST", path, {"authorization": f"basic {basic}"})
    assert status == 200
    return str(response["access_token"])


def request_of(**changes: Any) -> dict[str, Any]:
    """A typical integration's request for an invoice."""
    reference = os.urandom(6).hex()
    document = {
        "documentRequest": {
            "externalReference": reference,
            "name": "FT 2021-5.pdf",
            "contentType": "application/pdf",
            "base64Content": base64.b64encode(INVOICE.read_bytes()).decode(),
        },
        "signatureInfo": {
            "signatureType": "PAdES",
            "visibleSignatureInfo": {
                "templateType": "ONE_OFF",
                "oneOffTemplate": "Assinado por $certificate.getCommonName()",
                "locationType": "COORDINATE",
                "locationValue": "page=1,x=70,y=100",
                "area": "width=155,height=50",
                "areaBackgroundColor": "#FFFFFF",
                "font": "color=#000000,size=11,name=arial",
                "imageType": None,
                "imageValue": None,
            },
            "reason": None,
            "location": "",
            "applyTimestamp": False,
            "advancedSignatureInfo": None,
        },
    }
    return {
        "externalReference": reference,  # many use the invoice's number for both
        "description": "Fatura",
        "documents": [document],
        "preservationInfo": {"preserveContent": False, "alias": None, "deliveryInfo": None},
        "returnSignedContent": True,
        "somethingOfTheirOwn": 1,
        **changes,
    }


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize("ending", ["/base64/", "/base64", "/base64//"])
def test_an_invoice_is_signed(sandbox: Sandbox, token: str, scheme: str, ending: str) -> None:
    path = path_of(sandbox.base_url) + "//api/v0/document/sign" + ending
    headers = {"Authorization": f"{scheme} {token}", "Content-Type": "application/json; charset=UTF-8"}

    status, response = exchanged(sandbox, "POST", path, headers, json.dumps(request_of()).encode())

    assert status == 200, response
    assert response["documentList"][0]["signStatus"] == "SIGNED"
    assert base64.b64decode(response["documentList"][0]["signedContent"]).startswith(b"%PDF")


def test_a_request_in_pieces_is_signed(sandbox: Sandbox, token: str) -> None:
    body = json.dumps(request_of()).encode()
    pieces = [body[start : start + 5000] for start in range(0, len(body), 5000)]
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    headers = {"Authorization": f"Bearer {token}", "Transfer-Encoding": "chunked", "Expect": "100-continue"}
    url = httpx.URL(sandbox.base_url)
    lines = [f"POST {url.path}{BASE64_PATH} HTTP/1.1", f"Host: {url.host}", "Connection: close"]

    with socket.create_connection((url.host, url.port or 0)) as connection:
        connection.sendall("\r\n".join([*lines, *(f"{n}: {v}" for n, v in headers.items()), "", ""]).encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(chunked)
        response = b"".join(iter(lambda: connection.recv(65536), b""))

    assert response.startswith(b"HTTP/1.1 200")


def sent(sandbox: Sandbox, token: str, *, before: bytes = b"", headers: str = "", body: bytes | None = None) -> bytes:
    """The response to a request for an invoice, after which the sandbox closes the connection."""
    url = httpx.URL(sandbox.base_url)
    body = json.dumps(request_of()).encode() if body is None else body
    head = (
        f"POST {url.path}{BASE64_PATH} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    )
    with socket.create_connection((url.host, url.port or 0)) as connection:
        connection.sendall(before + head.encode() + body)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_an_empty_line_before_a_request_is_ignored(sandbox: Sandbox, token: str) -> None:
    assert sent(sandbox, token, before=b"\r\n").startswith(b"HTTP/1.1 200")


def test_an_offer_of_http2_is_ignored(
    sandbox: Sandbox, token: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"

    response = sent(sandbox, token, headers=offer)

    assert response.startswith(b"HTTP/1.1 200")
    assert not caplog.records


def test_a_target_in_absolute_form_is_accepted(sandbox: Sandbox, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    status, response = exchanged(
        sandbox, "POST", sandbox.base_url + BASE64_PATH, headers, json.dumps(request_of()).encode()
    )

    assert status == 200, response


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "[" * 500 + "]" * 500, "[" * 100_000, "9" * 5000])
def test_what_is_no_json_is_rejected(
    sandbox: Sandbox, token: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(request_of()).replace('"somethingOfTheirOwn": 1', f'"somethingOfTheirOwn": {value}')

    response = sent(sandbox, token, body=body.encode())

    assert response.startswith(b"HTTP/1.1 500")
    assert b'"errorCode":"0.0.2"' in response
    assert not caplog.records


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
def test_a_reset_connection_does_not_affect_others(sandbox: Sandbox, token: str, kind: Any) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    sandbox.faults.add(Fault(kind, times=1))

    with pytest.raises(ConnectionResetError):
        exchanged(sandbox, "POST", path_of(sandbox.base_url) + BASE64_PATH, headers, json.dumps(request_of()).encode())

    told = sandbox.request_log.entries()[-1]
    assert (told["fault"], told["status"]) == (kind, 0)


@pytest.mark.parametrize(("kind", "refusal"), [("expired_token", 409), ("revoked_token", 401)])
def test_a_token_that_was_ended_stays_invalid(sandbox: Sandbox, token: str, kind: Any, refusal: int) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    path, body = path_of(sandbox.base_url) + BASE64_PATH, json.dumps(request_of()).encode()
    sandbox.faults.add(Fault(kind, times=1))

    assert exchanged(sandbox, "POST", path, headers, body)[0] == refusal
    assert exchanged(sandbox, "POST", path, headers, body)[0] == 409


@pytest.mark.parametrize(
    ("grant", "status", "error"),
    [
        ("grant_type=client_credentials", 200, None),
        ("", 400, "invalid_request"),
        ("grant_type=password", 400, "unsupported_grant_type"),
    ],
)
def test_the_token_server_follows_oauth(
    sandbox: Sandbox, basic: str, grant: str, status: int, error: str | None
) -> None:
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}

    got, response = exchanged(sandbox, "POST", path_of(sandbox.token_url), headers, grant.encode())

    assert (got, response.get("error")) == (status, error)
    if status == 200:
        assert set(response) == {"access_token", "token_type", "expires_in", "scope", "jti"}
        claims = json.loads(base64.urlsafe_b64decode(response["access_token"].split(".")[1] + "=="))
        assert (claims["client_id"], claims["jti"]) == (sandbox.client_id, response["jti"])


def test_a_malformed_form_is_rejected(sandbox: Sandbox, basic: str) -> None:
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "multipart/form-data"}

    status, response = exchanged(sandbox, "POST", path_of(sandbox.token_url), headers, b"grant_type=client_credentials")

    assert (status, response["error"]) == (400, "Missing boundary in multipart.")


def test_a_client_that_disconnects_leaves_no_error(
    sandbox: Sandbox, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = httpx.URL(sandbox.base_url)
    head = f"POST {url.path}{BASE64_PATH} HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer {token}\r\n"
    before = sandbox.request_log.entries()[-1:]

    with socket.create_connection((url.host, url.port or 0)) as connection:
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())

    while sandbox.request_log.entries()[-1:] == before:
        time.sleep(0.001)
    assert sandbox.request_log.entries()[-1]["cause"] == "the client closed the connection"
    assert not caplog.records


@pytest.mark.parametrize("authorization", ["", "Basic", "Basic %%%", "Basic YTpi", "Bearer x"])
def test_malformed_credentials_are_rejected(sandbox: Sandbox, authorization: str) -> None:
    headers = {"Authorization": authorization, "Content-Type": "application/x-www-form-urlencoded"}

    status, response = exchanged(sandbox, "POST", path_of(sandbox.token_url), headers, b"grant_type=client_credentials")

    assert (status, response["error"]) == (401, "invalid_client")


def test_a_form_in_place_of_json_is_rejected(sandbox: Sandbox, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-www-form-urlencoded"}

    status, _ = exchanged(sandbox, "POST", path_of(sandbox.base_url) + BASE64_PATH, headers, b"a=b")

    assert status == 415


Visible = dict[str, Any]
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # 1 x 1


@pytest.mark.parametrize(
    ("visible", "code", "named"),
    [
        ({"locationValue": "x=70,y=100"}, "0.0.6", "locationValue: page is missing"),
        ({"locationValue": "page=0,x=70,y=100"}, "0.0.6", "locationValue: page"),
        ({"locationValue": "page=1,x=-1,y=100"}, "0.0.6", "locationValue: x"),
        ({"locationValue": "somewhere"}, "0.0.6", "locationValue"),
        ({"locationType": "THERE"}, "0.0.6", "locationType"),
        ({"area": "width=155"}, "0.0.6", "area: height is missing"),
        ({"area": "width=nan,height=1"}, "0.0.6", "area: width"),
        ({"areaBackgroundColor": "white"}, "0.0.6", "areaBackgroundColor"),
        ({"font": "color=#FF0000,size=11"}, "0.0.6", "only black"),
        ({"font": "size=large"}, "0.0.6", "font"),
        ({"oneOffTemplate": None}, "0.0.2", "oneOffTemplate"),
        ({"imageValue": PICTURE}, "0.0.2", "imageType"),
        ({"imageValue": PICTURE, "imageType": "IMAGE_JPG"}, "0.0.6", "imageValue is not of type IMAGE_JPG"),
        ({"imageValue": "AAAA", "imageType": "IMAGE_PNG"}, "0.0.6", "imageValue is not a picture"),
        ({"imageValue": PICTURE, "imageType": "IMAGE_PNG", "area": "width=0.5,height=9"}, "2.2.1", "1 x 1 pixels"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_impossible_visible_signature_is_rejected(
    sandbox: Sandbox, token: str, visible: Visible, code: str, named: str
) -> None:
    asked = request_of()
    asked["documents"][0]["signatureInfo"]["visibleSignatureInfo"].update(visible)

    assert_refused(sandbox, token, asked, code, named)


@pytest.mark.parametrize(
    ("info", "code", "named"),
    [
        ({"advancedSignatureInfo": {"signatureLocation": "a"}}, "0.0.6", "XML only"),
        ({"signatureType": "XAdES"}, "0.0.6", "PDF only"),
        ({"signatureType": "WAdES"}, "0.0.6", "signatureType is not one of"),
        ({"applyTimestamp": "yes"}, "0.0.6", "applyTimestamp is not of type boolean"),
    ],
    ids=str,
)
def test_an_impossible_signature_is_rejected(
    sandbox: Sandbox, token: str, info: Visible, code: str, named: str
) -> None:
    asked = request_of()
    asked["documents"][0]["signatureInfo"].update(info)

    assert_refused(sandbox, token, asked, code, named)


@pytest.mark.parametrize(
    ("document", "code", "named"),
    [
        ({"base64Content": "no base64"}, "0.0.6", "base64Content"),
        ({"base64Content": ""}, "0.0.2", "documents[0].documentRequest.base64Content"),
        ({"externalReference": " "}, "0.0.2", "externalReference"),
        ({"contentType": "text/plain"}, "0.0.6", "contentType is not one of"),
        ({"name": ["a.pdf"]}, "0.0.6", "name is not of type string"),
        ({"name": "\ud800"}, "0.0.6", "half of a surrogate"),
    ],
    ids=str,
)
def test_an_impossible_document_is_rejected(
    sandbox: Sandbox, token: str, document: Visible, code: str, named: str
) -> None:
    asked = request_of()
    asked["documents"][0]["documentRequest"].update(document)

    assert_refused(sandbox, token, asked, code, named)


def test_two_documents_with_one_reference_are_rejected(sandbox: Sandbox, token: str) -> None:
    asked = request_of()
    asked["documents"] *= 2

    assert_refused(sandbox, token, asked, "0.0.7", asked["documents"][0]["documentRequest"]["externalReference"])


def test_a_used_request_reference_is_rejected(sandbox: Sandbox, token: str) -> None:
    first, second = request_of(), request_of()
    second["externalReference"] = first["externalReference"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    path = path_of(sandbox.base_url) + BASE64_PATH
    exchanged(sandbox, "POST", path, headers, json.dumps(first).encode())

    assert_refused(sandbox, token, second, "0.0.7", first["externalReference"])
    second["externalReference"] = os.urandom(6).hex()  # the document's own was not taken
    assert exchanged(sandbox, "POST", path, headers, json.dumps(second).encode())[0] == 200


def assert_refused(sandbox: Sandbox, token: str, asked: dict[str, Any], code: str, named: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    path = path_of(sandbox.base_url) + BASE64_PATH

    status, response = exchanged(sandbox, "POST", path, headers, json.dumps(asked).encode())

    assert (status, response["errorCode"]) == (409 if code == "0.0.7" else 500, code), response
    assert named in response["causeMessage"]

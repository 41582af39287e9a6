"""`signstash check`: each line reports success, or what to do."""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import respx
import trustme
from anyio.from_thread import start_blocking_portal

from signstash.sandbox import Fault, Sandbox
from tests.command_line.conftest import Ended, Run
from tests.fault_server import FaultServer, has_nothing

DEFINITIONS = Path(__file__).parents[1] / "data" / "definitions"
PROXY = "https://proxy.example/signstash/einvoice-integration-client-ws"
TOKEN_URL = "https://token.example/oauth/token"


def lines(ended: Ended) -> list[tuple[str, str]]:
    return [(item["status"], item["subject"]) for item in ended.objects]


def text(ended: Ended, subject: str) -> str:
    return " ".join(item["text"] for item in ended.objects if item["subject"] == subject)


class TestAgainstASandbox:
    def test_check_passes_and_signs_nothing(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        signed = sandbox.signatures.total()

        ended = run("check", "--json")

        assert ended.status == 0
        assert lines(ended) == [
            ("ok", "settings"), ("ok", "token server"), ("ok", "clock"), ("ok", "service"), ("ok", "token"),
            ("ok", "definition"), ("ok", "definition"), ("ok", "operations"), ("ok", "access"),
        ]  # fmt: skip
        assert "OpenAPI 3." in text(ended, "definition")
        assert sandbox.signatures.total() == signed

    def test_check_signs_a_small_pdf_on_request(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        ended = run("check", "--sign")

        assert ended.status == 0
        assert ended.out.splitlines()[-1].startswith(
            "ok       signature      signstash-check.pdf is signed, by operation "
        )

    def test_check_reports_a_small_pdf_that_is_not_signed(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("no_credits", name="signstash-check.pdf", times=1))

        ended = run("check", "--sign", "--json")

        assert (ended.status, lines(ended)[-1]) == (3, ("failed", "signature"))

    def test_a_trailing_slash_of_the_base_url_is_ignored(self, folder: Path, run: Run, sandbox: Sandbox) -> None:
        ended = run("check", "--base-url", f"{sandbox.base_url}/", "--json")

        assert (ended.status, lines(ended).count(("ok", "definition"))) == (0, 2)

    def test_wrong_credentials_are_reported(self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SIGNSTASH_CLIENT_SECRET", "never-shown-secret")

        ended = run("check", "--json")

        assert ended.status == 3
        assert ("failed", "token") in lines(ended)
        assert "access" not in [subject for _, subject in lines(ended)]
        assert "backoffice" in text(ended, "token")
        assert "never-shown-secret" not in ended.out + ended.err

    @pytest.mark.parametrize("wrong", ["", "/signstash/other", "/signstash/einvoice-integration-ws/v3"])
    def test_the_base_url_that_would_work_is_named(
        self, folder: Path, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, wrong: str
    ) -> None:
        right = httpx.URL(sandbox.base_url)
        monkeypatch.setenv("SIGNSTASH_BASE_URL", f"http://{right.host}:{right.port}{wrong}")

        ended = run("check", "--json")

        assert ended.status == 3
        assert f"Use {right} as base URL." in text(ended, "definition")

    def test_an_unreachable_service_is_reported(
        self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, closed_port: int
    ) -> None:
        monkeypatch.setenv("SIGNSTASH_BASE_URL", f"http://127.0.0.1:{closed_port}/signstash/einvoice-integration-ws")

        ended = run("check", "--json")

        assert ended.status == 3
        assert lines(ended) == [
            ("ok", "settings"), ("ok", "token server"), ("ok", "clock"), ("failed", "service"), ("ok", "token"),
            ("warning", "definition"), ("failed", "access"),
        ]  # fmt: skip
        assert "127.0.0.1 cannot be reached" in text(ended, "service")


class TestAgainstAMock:
    @pytest.fixture
    def router(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        for name, value in {"BASE_URL": PROXY, "TOKEN_URL": TOKEN_URL}.items():
            monkeypatch.setenv(f"SIGNSTASH_{name}", value)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("192.0.2.1", 443))])
        with respx.mock(assert_all_called=False) as router:
            router.get("https://token.example/").respond(404)
            router.get("https://proxy.example/").respond(404)
            router.post(TOKEN_URL).respond(json={"access_token": "t", "token_type": "bearer", "expires_in": 86399})
            router.post(url__startswith=PROXY).respond(500, json={"errorCode": "0.0.2"})
            router.get(path__regex="api-docs$").respond(404)
            yield router

    def test_a_token_of_another_environment_is_reported(self, router: respx.MockRouter, run: Run) -> None:
        router.post(url__startswith=PROXY).respond(409, json={"errorCode": "0.0.10"})

        ended = run("check", "--json")

        assert (ended.status, lines(ended)[-1]) == (3, ("failed", "access"))
        assert "Check that `environment` is the one the proxy is configured for" in text(ended, "access")

    def test_the_environment_is_shown(
        self, router: respx.MockRouter, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SIGNSTASH_TOKEN_URL")
        monkeypatch.setenv("SIGNSTASH_ENVIRONMENT", "staging")
        router.route(host="staging.must.digital").respond(
            json={"access_token": "t", "token_type": "bearer", "expires_in": 9}
        )

        assert text(run("check", "--json"), "settings").endswith(f" at {PROXY}, staging")

    def test_an_unknown_host_name_is_reported(
        self, router: respx.MockRouter, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unknown(*_: object, **__: object) -> object:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)

        ended = run("check", "--json")

        assert (ended.status, lines(ended).count(("failed", "service"))) == (3, 1)
        assert "Name or service not known" in text(ended, "service")

    def test_an_outbound_proxy_resolves_host_names(
        self, router: respx.MockRouter, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://outbound.test:3128")

        assert "proxy.example (by the outbound proxy)" in text(run("check", "--json"), "service")

    def test_the_timeout_is_that_of_the_settings(self, router: respx.MockRouter, run: Run) -> None:
        Path("settings.toml").write_text("timeout = 77.0")

        run("check", "--config", "settings.toml")

        assert {
            call.request.extensions["timeout"]["read"] for call in router.calls if call.request.method == "GET"
        } == {77}

    def test_an_invalid_host_is_reported(
        self, router: respx.MockRouter, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def idna(*_: object, **__: object) -> object:
            return "x".ljust(64, "x").encode("idna")

        monkeypatch.setattr(socket, "getaddrinfo", idna)

        assert run("check", "--json").status == 3

    def test_an_invalid_date_header_is_ignored(self, router: respx.MockRouter, run: Run) -> None:
        router.get("https://token.example/").respond(404, headers={"Date": "Mon, 23 Nov 2026 25:61:00 99999"})

        ended = run("check", "--json")

        assert (ended.status, "clock" in [subject for _, subject in lines(ended)]) == (0, False)

    def test_an_interrupt_ends_the_check(self, router: respx.MockRouter, run: Run) -> None:
        def interrupt(_: httpx.Request) -> httpx.Response:
            raise KeyboardInterrupt

        router.post(TOKEN_URL).mock(side_effect=interrupt)

        assert run("check").status == 130

    def test_an_inactive_client_service_is_reported(self, router: respx.MockRouter, run: Run) -> None:
        router.post(url__startswith=PROXY).respond(401, json={"errorCode": "1.1.1"})

        ended = run("check", "--json")

        assert (ended.status, lines(ended)[-1]) == (3, ("failed", "access"))
        assert "activate it" in text(ended, "access")

    @pytest.mark.parametrize(("ahead", "direction"), [(40, "ahead of"), (-40, "behind"), (20, None)])
    def test_a_wrong_clock_is_reported(
        self, router: respx.MockRouter, run: Run, monkeypatch: pytest.MonkeyPatch, ahead: int, direction: str | None
    ) -> None:
        now = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
        monkeypatch.setattr("signstash.command_line.check.time", SimpleNamespace(time=now.timestamp))
        served = email.utils.format_datetime(now - dt.timedelta(seconds=ahead), usegmt=True)
        router.get("https://token.example/").respond(404, headers={"Date": served})

        ended = run("check", "--json")

        assert ended.status == 0
        expected = f"seconds {direction} the token server" if direction else "agrees with the token server's"
        assert ("warning" if direction else "ok", "clock") in lines(ended)
        assert expected in text(ended, "clock")

    def test_plain_http_to_a_public_host_is_reported(
        self, router: respx.MockRouter, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SIGNSTASH_BASE_URL", PROXY.replace("https", "http"))
        router.route(host="proxy.example").respond(500, json={"errorCode": "0.0.2"})

        ended = run("check", "--json")

        assert ("warning", "plain HTTP") in lines(ended)

    def test_a_definition_published_by_swagger_is_read(self, router: respx.MockRouter, run: Run) -> None:
        definition = {"swagger": "2.0", "info": {"title": "SignStash", "version": "v0"}, "paths": {"/a": {}}}
        responses = {f"{PROXY}/v2/api-docs": httpx.Response(200, json=definition)}
        router.get(path__regex="api-docs$").mock(
            side_effect=lambda request: responses.get(str(request.url), httpx.Response(404))
        )

        assert "OpenAPI 2.0, SignStash v0, 1 paths, at" in text(run("check", "--json"), "definition")

    @pytest.mark.parametrize(
        ("name", "status", "said"),
        [
            ("01", "ok", "1 operation is offered, all known to this package; described otherwise"),
            ("02", "ok", "2 operations are offered, all known to this package"),
            ("03", "ok", "7 operations are offered, all known to this package"),
            ("06", "ok", "5 operations are offered, 3 not known to this package: startSign, result"),
            ("10", "warning", "The definition offers nothing that signs. It offers: send the delivery e-mails again"),
        ],
    )
    @pytest.mark.own_definition
    def test_the_published_definition_is_compared_with_the_known_one(
        self, router: respx.MockRouter, run: Run, name: str, status: str, said: str
    ) -> None:
        (path,) = DEFINITIONS.glob(f"{name}*")
        router.get(path__regex="api-docs$").respond(content=path.read_bytes())

        ended = run("check", "--json")

        assert (status, "operations") in lines(ended)
        assert text(ended, "operations").startswith(said)

    def test_a_known_operation_that_differs_is_named(self, router: respx.MockRouter, run: Run) -> None:
        (path,) = DEFINITIONS.glob("02*")
        definition = json.loads(path.read_text("utf-8"))
        definition["components"]["schemas"]["SignRequestBase64Document"]["properties"]["channel"] = {"type": "string"}
        definition["components"]["schemas"]["SignRequestBase64Document"]["required"].append("channel")
        router.get(path__regex="api-docs$").respond(json=definition)

        ended = run("check", "--json")

        assert ("warning", "operations") in lines(ended)
        assert "SignRequestBase64Document requires the field channel" in text(ended, "operations")
        assert "Install a newer signstash" in text(ended, "operations")

    def test_a_definition_that_needs_the_token_is_read(self, router: respx.MockRouter, run: Run) -> None:
        definition = {"openapi": "3.0.1", "info": {"title": "SignStash", "version": "v0"}, "paths": {}}

        def publish(request: httpx.Request) -> httpx.Response:
            known = request.headers.get("Authorization") == "Bearer t"
            return httpx.Response(200, json=definition) if known else httpx.Response(401)

        router.get(path__regex="api-docs$").mock(side_effect=publish)

        assert "OpenAPI 3.0.1" in text(run("check", "--json"), "definition")

    def test_a_definition_is_not_fetched_from_another_host(self, router: respx.MockRouter, run: Run) -> None:
        router.get(path__regex="api-docs$").respond(302, headers={"Location": "https://elsewhere.example/"})
        elsewhere = router.get("https://elsewhere.example/")

        assert ("warning", "definition") in lines(run("check", "--json"))
        assert not elsewhere.called

    @pytest.mark.parametrize("response", [b"<html>", b"[]", b'{"info": {}}', b"\xff", b"1"])
    def test_an_unreadable_definition_is_reported(self, router: respx.MockRouter, run: Run, response: bytes) -> None:
        router.get(path__regex="api-docs$").respond(content=response)

        ended = run("check", "--json")

        assert ("warning", "definition") in lines(ended)

    def test_a_failing_service_leaves_the_definition_unknown(self, router: respx.MockRouter, run: Run) -> None:
        router.post(url__startswith=PROXY).respond(503)

        ended = run("check", "--json")

        assert (ended.status, lines(ended)[-1]) == (0, ("warning", "access"))
        assert "Try --sign." in text(ended, "access")


class TestTls:
    @pytest.mark.parametrize(("days", "status"), [(25, "ok"), (17, "warning")])
    def test_the_expiry_of_the_certificate_is_shown(
        self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, days: int, status: str
    ) -> None:
        end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        with https_server(monkeypatch, end) as base_url:
            monkeypatch.setenv("SIGNSTASH_BASE_URL", base_url)

            ended = run("check", "--json")

        assert (status, "service") in lines(ended)
        assert f"{end:%Y-%m-%d}" in text(ended, "service")
        assert "TLSv1.3" in text(ended, "service")

    def test_an_untrusted_certificate_is_reported(
        self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with https_server(monkeypatch, dt.datetime.now(dt.UTC) + dt.timedelta(days=90)) as base_url:
            monkeypatch.delenv("SSL_CERT_FILE")
            monkeypatch.setenv("SIGNSTASH_BASE_URL", base_url)

            ended = run("check", "--json")

        assert ("failed", "service") in lines(ended)
        assert "name a CA of your own with SSL_CERT_FILE" in text(ended, "service")


@contextlib.contextmanager
def https_server(monkeypatch: pytest.MonkeyPatch, end: dt.datetime) -> Iterator[str]:
    """The base URL of a server that responds with HTTP 404 and has a certificate with this expiry."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path("ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=end).configure_cert(context)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(FaultServer(has_nothing, tls=context)) as server,
    ):
        yield f"https://localhost:{server.port}/signstash/einvoice-integration-ws"

"""Faults on demand: each affects the requests that it matches, as often as configured."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, get_args

import httpx
import pytest

from signstash import (
    ApiError,
    ClientServiceInactiveError,
    CredentialsRejectedError,
    Document,
    DocumentCertificateError,
    DuplicateReferenceError,
    OutcomeUnknownError,
    RateLimitedError,
    ServiceError,
    SignStash,
    SignStashError,
    UnexpectedResponseError,
)
from signstash._errors.codes import ERROR_CODES, SIGN_ERRORS
from signstash.sandbox import KINDS, Fault, FaultKind, Faults, Sandbox
from signstash.sandbox.__main__ import argument_parser
from signstash.sandbox.error_responses import CODES
from tests.conftest import BASE64_PATH

pytestmark = pytest.mark.sandbox


def document(name: str = "a.bin", **options: Any) -> Document:
    return Document.binary(b"contents", name=name, **options)


@pytest.fixture(autouse=True)
def no_faults(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.faults.clear()


class TestArguments:
    @pytest.mark.parametrize("name", ["reference", "name", "code"])
    def test_an_argument_other_than_text_raises(self, name: str) -> None:
        given: dict[str, Any] = {name: 5}
        with pytest.raises(ValueError, match=f"^{name} is 5. Give a text.$"):
            Fault("latency", **given)

    @pytest.mark.parametrize("kind", ["too_many_request", [], None])
    def test_an_unknown_kind_raises(self, kind: Any) -> None:
        with pytest.raises(ValueError, match=r"^kind is .* Choose one of"):
            Fault(kind)

    def test_type_checkers_know_every_kind(self) -> None:
        assert set(get_args(FaultKind)) == set(KINDS)


async def test_leaving_the_block_ends_a_delay_quietly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    arrived = threading.Event()
    async with Sandbox(faults=[Fault("latency", on="token", seconds=3600)]) as sandbox:
        fault_for = sandbox.faults.for_request

        def for_request(*args: Any) -> Any:
            arrived.set()
            return fault_for(*args)

        monkeypatch.setattr(sandbox.faults, "for_request", for_request)
        monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)  # else caplog sees none of its records
        client = SignStash(**sandbox.credentials)
        call = asyncio.create_task(client.sign(document()))
        await asyncio.to_thread(arrived.wait)

    call.cancel()
    await asyncio.wait([call])
    await client.aclose()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_the_sandbox_rejects_with_the_statuses_that_the_client_knows() -> None:
    assert {code: status for code, (status, _) in CODES.items()} == {
        code: rule.status for code, rule in ERROR_CODES.items()
    }


class TestRequests:
    @pytest.mark.parametrize("code", ERROR_CODES)
    async def test_every_published_code_can_be_injected(
        self, sandbox: Sandbox, sandbox_client: SignStash, code: Any
    ) -> None:
        sandbox.faults.add(Fault(code))

        with pytest.raises(SignStashError) as refused:
            await sandbox_client.sign(document())

        assert type(refused.value) is ERROR_CODES[code].raises
        assert getattr(refused.value, "error_code", None) == code

    async def test_an_unpublished_code_needs_a_status(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        sandbox.faults.add(Fault("error", code="2.1.7", status=418))

        with pytest.raises(ApiError) as refused:
            await sandbox_client.sign(document())

        assert (refused.value.error_code, refused.value.status_code) == ("2.1.7", 418)

    @pytest.mark.parametrize(
        ("fault", "raised"),
        [
            (Fault("inactive_service"), ClientServiceInactiveError),
            (Fault("inactive_issuer"), ClientServiceInactiveError),
            (Fault("inactive_partner"), ClientServiceInactiveError),
            (Fault("too_many_requests"), RateLimitedError),
            (Fault("html_response"), UnexpectedResponseError),
            (Fault("html_response", status=200), UnexpectedResponseError),
            (Fault("empty_response", status=503), ServiceError),
            (Fault("reset_before"), OutcomeUnknownError),
            (Fault("reset_after"), OutcomeUnknownError),
            (Fault("truncated_response"), OutcomeUnknownError),
            (Fault("cut_json"), UnexpectedResponseError),
        ],
        ids=lambda value: value.kind if isinstance(value, Fault) else "",
    )
    async def test_injected_faults_raise_the_expected_exceptions(
        self, sandbox: Sandbox, sandbox_client: SignStash, fault: Fault, raised: type[SignStashError]
    ) -> None:
        sandbox.faults.add(fault)

        with pytest.raises(raised) as failed:
            await sandbox_client.sign(document())

        assert type(failed.value) is raised or raised is UnexpectedResponseError

    @pytest.mark.parametrize(("kind", "processed"), [(name, KINDS[name].moment == "after") for name in (
        "reset_before", "html_response", "reset_after", "truncated_response", "cut_json",
    )])  # fmt: skip
    async def test_lost_requests_are_processed_or_not_as_configured(
        self, sandbox: Sandbox, sandbox_client: SignStash, kind: Any, processed: bool
    ) -> None:
        asked = document()
        sandbox.faults.add(Fault(kind, times=1))
        with pytest.raises(SignStashError):
            await sandbox_client.sign(asked)

        if processed:
            with pytest.raises(DuplicateReferenceError):
                await sandbox_client.sign(asked)
        else:
            await sandbox_client.sign(asked)

    @pytest.mark.parametrize(("seconds", "retry_after"), [(None, None), (2.5, 2.5)])
    async def test_rate_limits_carry_retry_after(
        self, sandbox: Sandbox, sandbox_client: SignStash, seconds: float | None, retry_after: float | None
    ) -> None:
        sandbox.faults.add(Fault("too_many_requests", seconds=seconds))

        with pytest.raises(RateLimitedError) as refused:
            await sandbox_client.sign(document())

        assert refused.value.retry_after == retry_after

    @pytest.mark.parametrize("kind", ["expired_token", "revoked_token"])
    async def test_an_expired_token_is_replaced(self, sandbox: Sandbox, kind: Any) -> None:
        async with SignStash(**sandbox.credentials) as client:
            await client.sign(document())
            sandbox.faults.add(Fault(kind, times=1))

            await client.sign(document())

        statuses = [entry["status"] for entry in sandbox.request_log.entries()[-3:]]
        assert statuses == [401 if kind == "revoked_token" else 409, 200, 200]

    async def test_rejected_credentials_raise(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("invalid_client"))
        async with SignStash(**sandbox.credentials) as client:
            with pytest.raises(CredentialsRejectedError):
                await client.sign(document())

    async def test_token_requests_can_fail_in_every_way(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("html_response", on="token"), Fault("reset_before"))
        async with SignStash(**sandbox.credentials) as client:
            with pytest.raises(SignStashError, match="token server"):
                await client.sign(document())

    async def test_odd_dates_and_unknown_values_are_read(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        sandbox.faults.add(Fault("odd_dates", times=1), Fault("unknown_enums", times=1))
        documents = [document(f"{number}.bin") for number in range(4)]

        dated = (await sandbox_client.sign_batch(documents)).operation
        named = (await sandbox_client.sign_batch([document()])).operation

        now = dated.creation_date
        assert now
        assert len(dated.document_list or ()) == 4
        for item in dated.document_list or ():
            assert item.reception_date
            assert abs((item.reception_date - now).total_seconds()) < 600  # a zone that is not read is an hour or more
        assert named.type_ == "SIGN_AND_SEAL"
        assert [item.storage_status for item in named.document_list or ()] == ["CONTENT_ON_TAPE"]

    async def test_delayed_responses_arrive_late(self, sandbox: Sandbox, sandbox_client: SignStash) -> None:
        await sandbox_client.sign(document())
        sandbox.faults.add(Fault("latency_per_document", seconds=0.05))
        began = time.perf_counter()

        await sandbox_client.sign_batch([document("a.bin"), document("b.bin"), document("c.bin")])

        assert time.perf_counter() - began >= 3 * 0.05

    async def test_a_delay_ends_when_the_client_disconnects(self, capfd: pytest.CaptureFixture[str]) -> None:
        late = [Fault("latency", seconds=0.5, times=1), Fault("reset_after", times=1), Fault("latency", seconds=3600)]
        async with Sandbox() as sandbox, SignStash(**sandbox.credentials) as client:
            await client.sign(document())
            sandbox.faults.add(*late)
            impatient = client.with_options(timeout=httpx.Timeout(60, read=0.2))
            for _ in range(2):
                with pytest.raises(OutcomeUnknownError):
                    await impatient.sign(document())

        assert "KeyError" not in capfd.readouterr().err

    def test_random_latency_has_a_bound_and_repeats(self) -> None:
        def delays() -> list[float]:
            faults = Faults([Fault("random_latency", seconds=2)], seed=3)
            return [faults.for_request("sign")[0] for _ in range(100)]

        assert delays() == delays()
        assert 0 <= min(delays()) < 0.2 < 1.8 < max(delays()) <= 2

    def test_latency_applies_to_every_request(self) -> None:
        faults = Faults([Fault("latency", seconds=2), Fault("latency_per_document", seconds=0.5), Fault("0.0.1")])

        delay, struck = faults.for_request("sign", ["r"], ["a", "b", "c"])

        assert delay == 2 + 3 * 0.5
        assert struck
        assert struck.kind == "0.0.1"


class TestEarly401:
    @pytest.fixture
    def head(self, sandbox: Sandbox) -> bytes:
        """The head of a signing request whose body is announced and not sent."""
        form = {"grant_type": "client_credentials"}
        token = httpx.post(sandbox.token_url, auth=(sandbox.client_id, sandbox.client_secret), data=form).json()
        url = httpx.URL(sandbox.base_url)
        lines = [
            f"POST {url.path}{BASE64_PATH} HTTP/1.1", f"Host: {url.host}:{url.port}", "Content-Type: application/json",
            f"Authorization: Bearer {token['access_token']}", "Content-Length: 50000000", "", "",
        ]  # fmt: skip
        return "\r\n".join(lines).encode()

    def test_the_response_comes_before_the_body_and_the_connection_closes(self, sandbox: Sandbox, head: bytes) -> None:
        sandbox.faults.add(Fault("early_401", times=1))
        url = httpx.URL(sandbox.base_url)

        with socket.create_connection((url.host, url.port or 0)) as connection:
            connection.sendall(head + b"{")
            response = b"".join(iter(lambda: connection.recv(65536), b""))

        assert response.startswith(b"HTTP/1.1 401")
        assert b"invalid_token" in response
        (entry,) = sandbox.request_log.entries()[-1:]
        assert (entry["fault"], entry["status"]) == ("early_401", 401)

    async def test_a_client_replaces_the_token_and_sends_the_document_again(self, sandbox: Sandbox) -> None:
        async with SignStash(**sandbox.credentials) as client:
            await client.sign(document())
            sandbox.faults.add(Fault("early_401", times=1))

            await client.sign(document())

        statuses = [entry["status"] for entry in sandbox.request_log.entries()[-3:]]
        assert statuses == [401, 200, 200]

    def test_an_early_401_cannot_match_documents(self) -> None:
        with pytest.raises(ValueError, match="reference or name is given"):
            Fault("early_401", reference="FT*")


class TestDocuments:
    @pytest.mark.parametrize("sign_error", SIGN_ERRORS)
    async def test_every_sign_error_can_be_injected(
        self, sandbox: Sandbox, sandbox_client: SignStash, sign_error: Any
    ) -> None:
        sandbox.faults.add(Fault(sign_error, name="bad*"))

        batch = await sandbox_client.sign_batch([document("good.bin"), document("bad.bin")])

        assert [outcome.ok for outcome in batch.outcomes] == [True, False]
        assert type(batch.outcomes[1].error) is SIGN_ERRORS[sign_error].raises
        assert getattr(batch.outcomes[1].error, "sign_error", None) == sign_error

    @pytest.mark.parametrize("kind", ["missing_certificate", "expired_certificate", "certificate_access", "no_credits"])
    async def test_a_missing_certificate_concerns_every_document(
        self, sandbox: Sandbox, sandbox_client: SignStash, kind: Any
    ) -> None:
        sandbox.faults.add(Fault(kind))

        with pytest.raises(DocumentCertificateError):
            await sandbox_client.sign(document())


class TestMatching:
    def struck(self, faults: Faults, references: list[str]) -> list[bool]:
        return [faults.for_request("sign", [reference], ["a"])[1] is not None for reference in references]

    def test_faults_apply_to_the_next_requests(self) -> None:
        faults = Faults([Fault("0.0.1", times=2)])

        assert self.struck(faults, ["r"] * 4) == [True, True, False, False]
        assert faults.fired == {"0.0.1": 2}

    def test_faults_match_by_reference(self) -> None:
        faults = Faults([Fault("0.0.1", reference="FT_*")])

        assert self.struck(faults, ["FT_1", "NC_1", "FT_2"]) == [True, False, True]

    def test_a_share_is_the_same_for_the_same_seed(self) -> None:
        def run(seed: int) -> list[bool]:
            return self.struck(Faults([Fault("0.0.1", share=0.3)], seed=seed), ["r"] * 1000)

        assert 250 < sum(run(1)) < 350
        assert run(1) == run(1) != run(2)

    def test_clearing_starts_the_random_sequence_anew(self) -> None:
        faults = Faults([Fault("0.0.1", share=0.5)])
        first = self.struck(faults, ["r"] * 50)
        faults.clear()
        assert not any(self.struck(faults, ["r"] * 50))
        faults.add(Fault("0.0.1", share=0.5))

        assert self.struck(faults, ["r"] * 50) == first

    def test_the_first_matching_fault_applies(self) -> None:
        faults = Faults([Fault("0.0.1", times=1), Fault("0.0.3", times=1)])

        kinds = [fault and fault.kind for _, fault in (faults.for_request("sign") for _ in range(3))]

        assert kinds == ["0.0.1", "0.0.3", None]

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({}, "kind"), ({"kind": "flood"}, "kind"), ({"kind": "0.0.1", "often": 1}, "often"),
            ({"kind": "0.0.1", "times": 0}, "times"), ({"kind": "0.0.1", "times": 1.5}, "times"),
            ({"kind": "0.0.1", "share": 2}, "share"), ({"kind": "latency", "seconds": "1"}, "seconds"),
            ({"kind": "error"}, "code"),
            ({"kind": "latency", "name": 5}, "name is 5. Give a text."),
            ({"kind": "0.0.1", "on": "paper"}, "on"), ("0.0.1", "fault"),
            ({"kind": "no_credits", "on": "token"}, "on"), ({"kind": "0.0.1", "status": 99}, "status"),
        ],
        ids=str,
    )  # fmt: skip
    def test_an_impossible_fault_names_the_problem(self, fields: Any, named: str) -> None:
        with pytest.raises(ValueError, match=rf"\b{named}"):
            Fault.from_dict(fields)


class TestOtherProcesses:
    def test_faults_are_added_over_http(self, sandbox: Sandbox) -> None:
        with httpx.Client(base_url=sandbox.page_url) as http:
            assert http.get("faults").json() == []
            http.post("faults", json={"kind": "too_many_requests", "times": 2})
            http.post("faults", json=[{"kind": "reset_after", "share": 0.1}])
            assert [item["kind"] for item in http.get("faults").json()] == ["too_many_requests", "reset_after"]
            (item,) = http.put("faults", json=[{"kind": "0.0.3", "reference": "FT*"}]).json()
            assert (item["kind"], item["reference"], item["fired"]) == ("0.0.3", "FT*", 0)
            refused = http.post("faults", json={"kind": "flood"})
            assert (refused.status_code, "kind is 'flood'" in refused.json()["error"]) == (400, True)
            assert http.post("faults", content=b"{", headers={"content-type": "application/json"}).status_code == 400
            assert http.delete("faults").json() == http.get("faults").json() == []

    def test_faults_are_added_from_a_shell(self, tmp_path: Any) -> None:
        script = tmp_path / "faults.json"
        script.write_text(json.dumps([{"kind": "0.0.1", "times": 1}]))

        given = argument_parser("sandbox").parse_args(
            ["--script", str(script), "--fault", "too_many_requests,times=2,seconds=0.5,reference=FT*"]
        )

        assert given.script == [Fault("0.0.1", times=1)]
        assert given.fault == [Fault("too_many_requests", times=2, seconds=0.5, reference="FT*")]

    @pytest.mark.parametrize("fault", ["flood", "0.0.1,times=many", "0.0.1,often=2"])
    def test_mistakes_in_a_shell_are_reported(self, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            argument_parser("sandbox").parse_args(["--fault", fault])

        assert "argument --fault: " in capsys.readouterr().err

    def test_help_lists_every_kind(self) -> None:
        text = argument_parser("sandbox").format_help()

        assert all(f"\n  {name} " in text for name in KINDS)

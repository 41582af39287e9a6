"""Deadline, timeouts and retries of a call, and views of a client with other options."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import attrs
import httpx
import pytest

from signstash import (
    ConfigurationError,
    ConnectionFailedError,
    Document,
    OutcomeUnknownError,
    Progress,
    RateLimitedError,
    RetryPolicy,
    ServiceError,
    SignStash,
    TokenAuth,
)
from signstash._generated.api.operation_management import get_status
from signstash.retries import Deadline
from signstash.testing.interception import use_sleep
from tests.conftest import (
    BASE64_PATH,
    BASE_URL,
    CLIENT_ID,
    CLIENT_SECRET,
    TOKEN_URL,
    MockedService,
    new_client,
    note_of_cancellation,
    pdf,
    signed_response,
    url_of,
)
from tests.fault_server import at_once

POLICY = RetryPolicy(attempts=3, first_bound=0.001, longest_bound=0.001, deadline=1000)
STATUS = {"id": 7, "status": "EXECUTED"}


class TestDeadline:
    async def test_the_deadline_covers_reading_the_document(self, service: MockedService) -> None:
        enough = threading.Event()

        class SlowFile:
            name = "invoice.pdf"

            def read(self, size: int = -1, /) -> bytes:
                enough.wait(30)
                return b""

        async with new_client(deadline=0.05) as client:
            try:
                with pytest.raises(ConnectionFailedError, match=r"reading took longer.*0\.05") as failed:
                    await client.sign(Document.pdf(SlowFile(), external_reference="FT_31"))
            except pytest.fail.Exception:
                enough.set()
                raise
            enough.set()

        assert failed.value.external_references == ("FT_31",)
        assert not service.sign.called

    async def test_a_pause_beyond_the_deadline_is_not_begun(self, service: MockedService) -> None:
        service.sign_effects(httpx.Response(429, headers={"Retry-After": "100"}))
        async with new_client(deadline=50, retries=POLICY) as client:
            with pytest.raises(RateLimitedError, match="100 seconds") as limited:
                await client.sign(pdf("FT_31"))

        assert limited.value.retry_after == 100
        assert service.sign.call_count == 1

    async def test_a_short_retry_after_is_obeyed_under_the_batch_policy(self, service: MockedService) -> None:
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)

        service.sign_effects(httpx.Response(429, headers={"Retry-After": "1"}), signed_response)
        policy = RetryPolicy.batch()
        async with new_client(retries=policy) as client:
            with use_sleep(sleep):
                await client.sign(pdf("FT_31"))

        assert pauses == [1.0]

    async def test_one_deadline_covers_all_attempts(
        self, service: MockedService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun: list[float] = []
        after = Deadline.after

        def begin(seconds: float) -> Deadline:
            begun.append(seconds)
            return after(seconds)

        monkeypatch.setattr(Deadline, "after", begin)
        service.sign_effects(httpx.ConnectError("refused"), httpx.ConnectError("refused"), signed_response)
        async with new_client(deadline=50, retries=POLICY) as client:
            with use_sleep(at_once):  # a pause has a deadline, too
                await client.sign(pdf("FT_31"))

        assert begun == [50]
        assert service.sign.call_count == 3

    async def test_a_call_cancelled_in_a_pause_names_its_documents(self, service: MockedService) -> None:
        pausing = asyncio.Event()

        async def sleep(_: float) -> None:
            pausing.set()
            await asyncio.Event().wait()

        service.sign_effects(httpx.Response(429))
        async with new_client(retries=POLICY) as client:
            with use_sleep(sleep):
                call = asyncio.create_task(client.sign(pdf("FT_31")))
                await pausing.wait()
                note = await note_of_cancellation(call)

        assert "FT_31" in note
        assert "Nothing was processed" in note

    async def test_a_query_cancelled_in_a_pause_processed_nothing(self, service: MockedService) -> None:
        async def sleep(_: float) -> None:
            call.cancel()
            await asyncio.Event().wait()

        service.router.post(path__regex="/resend").respond(429)
        async with new_client(retries=POLICY) as client:
            with use_sleep(sleep):
                call = asyncio.create_task(client.resend_mails(7, ["a@b.pt"]))
                with pytest.raises(asyncio.CancelledError) as cancelled:
                    await call

        assert vars(cancelled.value)["maybe_processed"] is False


class TestWithOptions:
    async def test_a_view_retries_and_shares_the_token(self, client: SignStash, service: MockedService) -> None:
        service.sign_effects(httpx.Response(429), httpx.Response(429), signed_response)
        view = client.with_options(retries=POLICY)

        with pytest.raises(RateLimitedError):
            await client.sign(pdf("FT_31"))
        assert (await view.sign(pdf("FT_31"))).external_reference == "FT_31"
        assert service.token.call_count == 1

    async def test_closing_a_view_leaves_the_client_open(self, client: SignStash) -> None:
        async with client.with_options(deadline=1):
            pass

        assert (await client.sign(pdf("FT_31"))).external_reference == "FT_31"

    async def test_closing_the_client_ends_the_calls_of_its_views(
        self, client: SignStash, service: MockedService
    ) -> None:
        sending = asyncio.Event()

        async def never_respond(_: httpx.Request) -> httpx.Response:
            sending.set()
            return await asyncio.Event().wait()  # type: ignore[return-value]

        service.sign.side_effect = never_respond
        view = client.with_options(deadline=600, timeout=500)
        call = asyncio.create_task(view.sign(pdf("FT_31")))
        await sending.wait()
        await client.aclose()

        with pytest.raises(OutcomeUnknownError):
            await call
        with pytest.raises(ConfigurationError, match="closed"):
            await view.sign(pdf("FT_31"))

    @pytest.mark.parametrize("options", [{"deadline": 0}, {"deadline": True}, {"timeout": -1}, {"retries": 3}])
    def test_wrong_options_are_named(self, options: Any) -> None:
        client = new_client()
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            client.with_options(**options)

    @pytest.mark.parametrize("attempts", [2.5, 0, True, "3"])
    def test_attempts_other_than_a_whole_number_raise(self, attempts: Any) -> None:
        with pytest.raises(ConfigurationError, match="attempts"):
            RetryPolicy(attempts=attempts, first_bound=1, longest_bound=1, deadline=1)


class TestRequestsWithoutAMethod:
    @pytest.fixture
    def patient(self, client: SignStash) -> SignStash:
        return client.with_options(retries=POLICY)

    async def test_any_path_can_be_requested(self, client: SignStash, service: MockedService) -> None:
        route = service.router.get(f"{BASE_URL}/api/v0/newer").respond(json={"a": 1}, headers={"X-Gateway": "g"})

        response = await client.request("GET", "/api/v0/newer", params={"page": 2})

        assert response.json() == {"a": 1}
        assert response.headers["x-gateway"] == "g"
        sent = route.calls.last.request
        assert sent.headers["authorization"].startswith("Bearer ")
        assert dict(sent.url.params) == {"page": "2"}

    async def test_json_is_sent(self, client: SignStash, service: MockedService) -> None:
        route = service.router.post(f"{BASE_URL}/api/v0/newer").respond(204)

        await client.request("POST", "/api/v0/newer", json={"name": "á"})

        assert route.calls.last.request.content == '{"name":"á"}'.encode()

    async def test_a_reading_request_is_retried_after_a_server_error(
        self, patient: SignStash, service: MockedService
    ) -> None:
        responses = [httpx.Response(503), httpx.Response(200, json=STATUS)]
        service.router.get(url_of("getStatus", operationId=7)).mock(side_effect=[*responses, *responses])

        read = await get_status.asyncio(7, client=patient.generated)
        assert read is not None
        assert (
            await patient.request("GET", url_of("getStatus", operationId=7).removeprefix(BASE_URL))
        ).json() == STATUS

    async def test_a_writing_request_is_not_retried_after_a_server_error(
        self, patient: SignStash, service: MockedService
    ) -> None:
        route = service.router.post(f"{BASE_URL}/api/v0/newer").respond(503)

        with pytest.raises(ServiceError) as failed:
            await patient.request("POST", "/api/v0/newer", json={})
        assert failed.value.maybe_processed
        assert route.call_count == 1

    @pytest.mark.parametrize("path", ["", "api/v0", "https://elsewhere.test/", "/a/../../b"])
    async def test_a_path_stays_below_the_base_url(self, client: SignStash, path: str) -> None:
        with pytest.raises(ConfigurationError, match="path"):
            await client.request("GET", path)


class TestErrors:
    async def test_an_error_carries_headers_and_request_id(self, client: SignStash, service: MockedService) -> None:
        headers = {"X-Request-Id": "r-17", "Set-Cookie": "never=shown", "X-Other": "o"}
        service.sign_effects(httpx.Response(502, headers=headers))

        with pytest.raises(ServiceError, match="request r-17") as failed:
            await client.sign(pdf("FT_31"))
        assert failed.value.headers["x-other"] == "o"
        assert "set-cookie" not in failed.value.headers

    async def test_a_message_begins_with_its_documents(self, client: SignStash, service: MockedService) -> None:
        service.sign_effects(httpx.Response(409, json={"errorCode": "0.0.7", "causeMessage": "It is used."}))

        with pytest.raises(Exception, match=r"^Document FT_31: the external reference was used before") as failed:
            await client.sign(pdf("FT_31"))
        assert getattr(failed.value, "external_references", None) == ("FT_31",)
        assert ".." not in str(failed.value)
        assert "earlier attempt" in str(failed.value)

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_a_redirect_to_an_invalid_url_keeps_its_status(
        self, client: SignStash, service: MockedService, status: int
    ) -> None:
        service.sign_effects(httpx.Response(status, headers={"Location": "http://proxy.test:port/"}))

        with pytest.raises(Exception, match="redirects to an invalid URL") as failed:
            await client.sign(pdf("FT_31"))
        assert getattr(failed.value, "status_code", None) == status

    async def test_a_redirect_of_the_token_server_keeps_its_status_and_is_not_retried(
        self, client: SignStash, service: MockedService
    ) -> None:
        service.token.mock(return_value=httpx.Response(307, headers={"Location": "http://proxy.test:port/"}))

        with pytest.raises(Exception, match=r"HTTP 307.*redirects to an invalid URL"):
            await client.sign(pdf("FT_31"))
        assert service.token.call_count == 1

    async def test_a_token_quoted_by_a_success_is_hidden(self, client: SignStash, service: MockedService) -> None:
        service.sign.side_effect = lambda request: signed_response(
            request, lambda item: item | {"signStatus": "ERROR_SIGNING", "signError": "never-shown-token"}
        )

        with pytest.raises(Exception, match="was not signed") as failed:
            await client.sign(pdf("FT_31"))
        assert "never-shown-token" not in f"{vars(failed.value)}{failed.value}"


async def test_the_user_agent_names_the_sdk(client: SignStash, service: MockedService) -> None:
    await client.sign(pdf("FT_31"))

    for route in (service.token, service.sign):
        assert route.calls.last.request.headers["user-agent"].startswith("signstash/")


async def test_a_given_http_client_keeps_its_user_agent(service: MockedService) -> None:
    async with (
        httpx.AsyncClient(headers={"User-Agent": "theirs"}) as http_client,
        new_client(http_client=http_client) as client,
    ):
        await client.sign(pdf("FT_31"))

    assert service.sign.calls.last.request.headers["user-agent"] == "theirs"
    assert str(service.sign.calls.last.request.url).endswith(BASE64_PATH)


def test_running_under_trio_raises() -> None:
    trio = pytest.importorskip("trio")  # it needs sniffio, which this package does not

    async def sign() -> None:
        client = new_client()
        with pytest.raises(ConfigurationError, match="asyncio"):
            await client.sign(pdf("FT_31"))
        with pytest.raises(ConfigurationError, match="asyncio"):
            await anext(client.sign_all([pdf("FT_31")]))
        with pytest.raises(ConfigurationError, match="asyncio"):
            async with client:
                pass

    trio.run(sign)


@pytest.mark.parametrize("url", ["http://xn--a/", "http://xn--zzzz-/x"])
def test_an_invalid_host_raises(url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url is not a URL"):
        SignStash(url, CLIENT_ID, CLIENT_SECRET, environment="staging")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"base_url": "http://proxy.test:65536/x"}, "base_url has the port 65536, which is not between 1 and 65535"),
        ({"base_url": "http://proxy.test:0/x"}, "base_url has the port 0"),
        ({"token_url": "https://token.test:99999/token"}, "token_url has the port 99999"),
        ({"instance_urls": ["http://a.test:70000"]}, "instance_urls has the port 70000"),
        ({"instance_urls": "http://a.test"}, "instance_urls is a text, not a list of URLs"),
        ({"base_url": f"{BASE_URL}/api/v0/document/sign"}, r"base_url ends in /api/v0/document/sign, .*leave it out"),
        ({"base_url": f"{BASE_URL}/api/v0/"}, "base_url ends in /api/v0/"),
        ({"client_id": 4}, "client_id is of type int, not a text"),
        ({"client_id": b"alias"}, "client_id is of type bytes"),
        ({"client_id": 4, "auth": TokenAuth(TOKEN_URL, "a", "b", base_urls=BASE_URL)}, "client_id is of type int"),
        ({"client_secret": 5}, "client_secret is of type int, not a text"),
        ({"client_secret": b"secret"}, "client_secret is of type bytes"),
        ({"timeout": 10**400}, "timeout is 10+, not a positive number"),
        ({"deadline": 10**400}, "deadline is 10+, not a positive number"),
    ],
)
def test_a_wrong_argument_is_named_when_the_client_is_made(arguments: dict[str, Any], problem: str) -> None:
    right = {"base_url": BASE_URL, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "token_url": TOKEN_URL}

    with pytest.raises(ConfigurationError, match=problem):
        SignStash(**right | arguments)


def test_a_policy_with_more_seconds_than_a_clock_has_raises() -> None:
    with pytest.raises(ConfigurationError, match="deadline"):
        RetryPolicy(attempts=2, first_bound=1, longest_bound=1, deadline=10**400)


@pytest.mark.parametrize(("name", "least"), [("shortest_pause", "0 or more"), ("longest_bound", "above 0")])
def test_a_policy_says_which_seconds_are_allowed(name: str, least: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} is -1\. Give a finite number of seconds, {least}"):
        RetryPolicy(attempts=2, **{name: -1})


def test_a_policy_needs_a_number_of_attempts_only() -> None:
    policy = RetryPolicy(attempts=5)

    assert policy == attrs.evolve(RetryPolicy.interactive(), attempts=5)
    assert (policy.first_bound, policy.longest_bound, policy.deadline) == (0.5, 2, 5)


@pytest.mark.parametrize("function", ["sign_all", "batching"])
def test_an_unknown_option_of_a_run_is_named_with_the_method(function: str) -> None:
    arguments: list[Any] = [[]] if function == "sign_all" else []

    with pytest.raises(TypeError, match=rf"^{function} got an unexpected option jurnal"):
        getattr(new_client(), function)(*arguments, jurnal=3)


class AsynchronousCall:
    async def __call__(self, progress: Progress) -> None: ...


@pytest.mark.parametrize("progress", [AsynchronousCall(), AsynchronousCall().__call__])
def test_an_asynchronous_progress_function_raises(progress: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"progress is .*ordinary function"):
        new_client().sign_all([], progress=progress)


def test_a_wrong_argument_is_not_called_a_variable() -> None:
    environ = {
        "SIGNSTASH_BASE_URL": BASE_URL,
        "SIGNSTASH_CLIENT_ID": CLIENT_ID,
        "SIGNSTASH_CLIENT_SECRET": CLIENT_SECRET,
        "SIGNSTASH_TOKEN_URL": TOKEN_URL,
    }

    with pytest.raises(ConfigurationError) as wrong:
        SignStash.from_env(environ, deadline=0)
    assert wrong.value.hint == "Correct these settings."

    with pytest.raises(ConfigurationError, match="SIGNSTASH_BASE_URL") as wrong:
        SignStash.from_env(environ | {"SIGNSTASH_BASE_URL": "http://proxy.test:0"})
    assert wrong.value.hint == "Set or correct these variables."


def test_arguments_override_the_environment() -> None:
    environ = {
        "SIGNSTASH_BASE_URL": BASE_URL,
        "SIGNSTASH_CLIENT_ID": CLIENT_ID,
        "SIGNSTASH_CLIENT_SECRET": CLIENT_SECRET,
        "SIGNSTASH_ENVIRONMENT": "production",
        "SIGNSTASH_TOKEN_URL": TOKEN_URL,
    }
    client = SignStash.from_env(environ, environment="staging", client_id="another")

    assert "client_id='another'" in repr(client)
    assert "staging.must.digital" in repr(client._own_auth)

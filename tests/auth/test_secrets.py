"""Secret and token appear nowhere: not in reprs, exceptions, pickles, logs, or the locals of our frames."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

import signstash
from signstash import (
    ConfigurationError,
    ConnectionFailedError,
    SignStash,
    SignStashError,
    TokenAuth,
    TokenRejectedError,
)
from tests.auth.vendor import Arrival, Response, Vendor, settle
from tests.conftest import BASE_URL, CLIENT_ID, CLIENT_SECRET, TOKEN, TOKEN_URL, pdf, signed_response, token_response

BASIC = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
JWT = f"eyJhbGciOiJSUzI1NiJ9.{TOKEN}.{'x' * 900}"
SECRETS = (CLIENT_SECRET, TOKEN, BASIC)
OUR_FILES = str(Path(signstash.__file__).parent)


def expect_none_in(where: str, item: object) -> None:
    """Fail if a text, or the repr of anything else, holds a secret."""
    try:
        text = item if isinstance(item, str) else repr(item)
    except AttributeError:  # of a partly initialised object
        text = repr(vars(item))
    assert [secret for secret in SECRETS if secret in text] == [], f"a secret is in {where}"


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes, contexts and parts."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        item = waiting.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        waiting += [item.__cause__, item.__context__]
        if isinstance(item, BaseExceptionGroup):
            waiting += item.exceptions


def frames(error: BaseException) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and locals of our frames in an error's traceback."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(OUR_FILES):
            yield frame.f_code.co_qualname, frame.f_locals


def expect_none_in_error(error: BaseException) -> None:
    for item in chain(error):
        kind = type(item).__name__
        expect_none_in(f"str({kind})", str(item))
        expect_none_in(f"repr({kind})", repr(item))
        expect_none_in(f"args of {kind}", item.args)
        expect_none_in(f"vars of {kind}", vars(item))
        for function, variables in frames(item):
            for name, value in variables.items():
                expect_none_in(f"{name} in {function} under {kind}", value)
    expect_none_in("the printed traceback", "".join(traceback.format_exception(error)))
    if isinstance(error, SignStashError):
        expect_none_in("the pickle", pickle.dumps(error, protocol=0).decode("latin-1"))


def expect_none_in_log(caplog: pytest.LogCaptureFixture) -> None:
    for record in caplog.records:
        expect_none_in("a log message", record.getMessage())
        expect_none_in("a log record", vars(record))
        if record.exc_info and record.exc_info[1]:
            expect_none_in_error(record.exc_info[1])
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, BaseException):
                expect_none_in_error(argument)


@attrs.define
class Scene:
    """A client with its authentication, service and log, all of which can be searched for secrets."""

    client: SignStash
    auth: TokenAuth
    vendor: Vendor
    log: pytest.LogCaptureFixture

    async def sign(self) -> None:
        await self.client.sign(pdf())

    async def expect_silence(self) -> SignStashError:
        """Let the signing fail, and search everything."""
        with pytest.raises(SignStashError) as failed:
            await self.sign()
        expect_none_in_error(failed.value)
        self.search()
        return failed.value

    def search(self) -> None:
        for item in (self.client, self.auth, self.client.generated):
            expect_none_in(f"repr({type(item).__name__})", repr(item))
            expect_none_in(f"str({type(item).__name__})", str(item))
            expect_none_in(f"vars of {type(item).__name__}", vars(item))
        for kept in vars(self.auth).values():
            is_over = isinstance(kept, asyncio.Task) and kept.done() and not kept.cancelled()
            result = (kept.exception() or kept.result()) if is_over else kept
            if isinstance(result, BaseException):
                expect_none_in_error(result)
        expect_none_in_log(self.log)


@pytest.fixture
async def scene(vendor: Vendor, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Scene]:
    caplog.set_level(logging.DEBUG)
    vendor.respond_to_token = lambda _: token_response(JWT, expires_in=1000)
    vendor.respond = sign
    auth = vendor.auth()
    async with SignStash(BASE_URL, auth=auth, http_client=vendor.client()) as client:
        yield Scene(client, auth, vendor, caplog)
    await auth.aclose()


def sign(arrival: Arrival) -> httpx.Response:
    return signed_response(httpx.Request("POST", arrival.url, content=arrival.body))


class UnfinishedResponse(httpx.AsyncByteStream):
    """A complete token in a response that is interrupted or does not end."""

    def __init__(self, *, ends: bool) -> None:
        self._ends = ends

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield json.dumps({"access_token": TOKEN})[:-1].encode()
        if self._ends:
            raise httpx.ReadError("broken")
        await asyncio.Event().wait()


class TestSecretSearch:
    """The search finds a secret where there is one."""

    @pytest.mark.parametrize("secret", SECRETS)
    def test_the_search_finds_a_secret_in_a_text(self, secret: str) -> None:
        with pytest.raises(AssertionError):
            expect_none_in_error(ConfigurationError(f"The secret is {secret}.", "Hide it."))

    def test_the_search_finds_a_secret_in_a_cause(self) -> None:
        error = ConfigurationError("It failed.", "Mend it.")
        error.__cause__ = ValueError(CLIENT_SECRET)
        with pytest.raises(AssertionError):
            expect_none_in_error(error)

    def test_the_search_finds_a_secret_in_the_locals_of_our_frames(self) -> None:
        with pytest.raises(ConfigurationError) as failed:
            SignStash(CLIENT_SECRET, "a", "b", environment="staging")
        with pytest.raises(AssertionError, match="__init__"):
            expect_none_in_error(failed.value)

    def test_the_search_finds_a_secret_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        logging.getLogger("signstash.anything").warning("%s", TOKEN)
        with pytest.raises(AssertionError):
            expect_none_in_log(caplog)


async def test_a_successful_call_leaks_nothing(scene: Scene) -> None:
    await scene.sign()

    assert scene.vendor.arrivals[0].token == JWT
    scene.search()


async def test_a_replaced_token_does_not_leak(scene: Scene) -> None:
    scene.vendor.respond = lambda arrival: httpx.Response(401) if len(scene.vendor.arrivals) == 1 else sign(arrival)
    await scene.sign()

    assert "token rejected" in scene.log.text
    scene.search()


async def test_a_failed_early_renewal_leaks_nothing(scene: Scene) -> None:
    await scene.sign()
    scene.vendor.clock.now += 880
    scene.vendor.respond_to_token = lambda _: httpx.ConnectError("no route to host")
    await scene.sign()
    await settle()

    assert "no new token" in scene.log.text
    scene.search()


TOKEN_SERVER: dict[str, Callable[[], Response]] = {
    "credentials refused": lambda: httpx.Response(401, json={"error": "invalid_client"}),
    "credentials refused with an echo": lambda: httpx.Response(
        401, json={"error": "invalid_client", "error_description": f"Bad credentials: Basic {BASIC}"}
    ),
    "request refused with an echo": lambda: httpx.Response(
        400, json={"error": "invalid_scope", "error_description": f"{CLIENT_SECRET} may not"}
    ),
    "request refused with an echo for a code": lambda: httpx.Response(400, json={"error": f"no {CLIENT_SECRET}"}),
    "no connection": lambda: httpx.ConnectError("no route to host"),
    "slow": lambda: httpx.ReadTimeout("slow"),
    "failed": lambda: httpx.Response(500, text="failed"),
    "failed with an echo": lambda: httpx.Response(502, html=f"<pre>Authorization: Basic {BASIC}</pre>"),
    "too many": lambda: httpx.Response(429, text=f"Authorization: Basic {BASIC}"),
    "forbidden with an echo": lambda: httpx.Response(403, html=f"<pre>Authorization: Basic {BASIC}</pre>"),
    "token with a failing status": lambda: httpx.Response(500, json={"access_token": TOKEN}),
    "token in a list": lambda: httpx.Response(200, json=[{"access_token": TOKEN}]),
    "token in a page": lambda: httpx.Response(200, html=f"<html>{TOKEN}</html>"),
    "token of another type": lambda: token_response(token_type="mac"),
    "token without a future": lambda: token_response(expires_in=0),
    "token with a lifetime of odd type": lambda: token_response(expires_in=[TOKEN]),
    "token with a type of odd type": lambda: token_response(token_type={"type": TOKEN}),
    "token with a blank": lambda: token_response(f"{TOKEN} {TOKEN}"),
    "token in a response that is far too long": lambda: token_response(jti=TOKEN * 100_000),
    "token in a response that breaks off": lambda: httpx.Response(200, stream=UnfinishedResponse(ends=True)),
    "token in a response that is cut short": lambda: httpx.Response(200, text=f'{{"access_token": "{TOKEN}"'),
    "token in other bytes than UTF-8": lambda: httpx.Response(200, content=f'{{"a": "{TOKEN}"'.encode() + b"\xff"),
    "redirect with the token": lambda: httpx.Response(302, headers={"Location": f"https://elsewhere.test/?t={TOKEN}"}),
}


@pytest.mark.parametrize("response", TOKEN_SERVER.values(), ids=TOKEN_SERVER.keys())
async def test_a_token_server_without_a_token_leaks_nothing(scene: Scene, response: Callable[[], Response]) -> None:
    scene.vendor.respond_to_token = lambda _: response()
    await scene.expect_silence()


async def test_an_endless_token_response_leaks_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signstash._transport.token_request.TOKEN_TIMEOUT", 0.0)
    scene.vendor.respond_to_token = lambda _: httpx.Response(200, stream=UnfinishedResponse(ends=False))
    error = await scene.expect_silence()

    assert type(error) is ConnectionFailedError


async def test_remembered_rejected_credentials_do_not_leak(scene: Scene) -> None:
    scene.vendor.respond_to_token = lambda _: httpx.Response(401, json={"error": "invalid_client"})
    await scene.expect_silence()
    await scene.expect_silence()

    assert len(scene.vendor.token_requests) == 1


SERVICE: dict[str, Callable[[], Response]] = {
    "token refused": lambda: httpx.Response(401),
    "no connection": lambda: httpx.ConnectError("no route to host"),
    "slow": lambda: httpx.ReadTimeout("slow"),
    "broken off": lambda: httpx.RemoteProtocolError("broken"),
    "failed": lambda: httpx.Response(500, json={"errorCode": "0.0.1"}),
    "page": lambda: httpx.Response(502, html="<html>Bad Gateway</html>"),
    "page that echoes the request": lambda: httpx.Response(502, html=f"<pre>Authorization: Bearer {JWT}</pre>"),
    "page for a response": lambda: httpx.Response(200, html="<html>Login</html>"),
    "redirect": lambda: httpx.Response(302, headers={"Location": "https://elsewhere.test/"}),
}


@pytest.mark.parametrize("response", SERVICE.values(), ids=SERVICE.keys())
async def test_a_service_that_does_not_sign_leaks_nothing(scene: Scene, response: Callable[[], Response]) -> None:
    scene.vendor.respond = lambda _: response()
    await scene.expect_silence()


@pytest.mark.parametrize("token", [JWT, TOKEN], ids=["JWT", "opaque"])
@pytest.mark.parametrize("status_code", [401, 409])
@pytest.mark.parametrize("quotes", ["Access token expired: {}", "Invalid access token: {}"])
async def test_a_rejection_that_quotes_the_token_does_not_leak(
    scene: Scene, status_code: int, token: str, quotes: str
) -> None:
    # wire: Spring Security's texts for an expired or unknown token
    response = {"error": "invalid_token", "error_description": quotes.format(token)}
    code = {"errorCode": "0.0.10"} if status_code == 409 else {}
    scene.vendor.respond_to_token = lambda _: token_response(token)
    scene.vendor.respond = lambda _: httpx.Response(status_code, json=response | code)

    assert type(await scene.expect_silence()) is TokenRejectedError


async def test_a_deadline_during_the_token_request_leaks_nothing(scene: Scene) -> None:
    scene.vendor.token_gate.clear()
    async with SignStash(BASE_URL, auth=scene.auth, http_client=scene.vendor.client(), deadline=0.001) as scene.client:
        await scene.expect_silence()


async def test_a_closed_client_leaks_nothing(scene: Scene) -> None:
    await scene.sign()
    await scene.auth.aclose()
    await scene.expect_silence()


async def test_a_request_to_another_origin_leaks_nothing(scene: Scene) -> None:
    await scene.sign()
    with pytest.raises(ConfigurationError) as refused:
        await scene.vendor.client(scene.auth).get("http://elsewhere.test/")

    expect_none_in_error(refused.value)


async def test_a_cancelled_call_leaks_nothing(scene: Scene) -> None:
    scene.vendor.token_gate.clear()
    signing = asyncio.create_task(scene.sign())
    await settle()
    signing.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await signing

    expect_none_in_error(cancelled.value)
    scene.search()


@pytest.mark.parametrize("part", ["respond_to_token", "respond"])
async def test_an_unforeseen_exception_leaks_nothing(scene: Scene, part: str) -> None:
    def breaks(_: object) -> httpx.Response:
        raise LookupError("unforeseen")

    setattr(scene.vendor, part, breaks)
    with pytest.raises(SignStashError, match="LookupError") as failed:
        await scene.sign()

    expect_none_in_error(failed.value)
    scene.search()


WRONG: dict[str, dict[str, Any]] = {
    "everything": {"base_url": "", "client_id": ""},
    "the URL": {"base_url": "ftp://proxy.test"},
    "the alias": {"client_id": "a:b"},
    "the environment": {"environment": "moon"},
    "a timeout": {"timeout": -1},
    "the secret": {"client_secret": f"{CLIENT_SECRET}\n"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_wrong_arguments_do_not_leak(wrong: dict[str, Any]) -> None:
    right = {"base_url": BASE_URL, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "environment": "staging"}
    with pytest.raises(ConfigurationError) as refused:
        SignStash(**(right | wrong))

    expect_none_in_error(refused.value)


def test_wrong_settings_do_not_leak() -> None:
    with pytest.raises(ConfigurationError) as refused:
        SignStash.from_env({"SIGNSTASH_CLIENT_SECRET": CLIENT_SECRET, "SIGNSTASH_ENVIRONMENT": "staging"})

    expect_none_in_error(refused.value)


def test_wrong_environment_variables_do_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNSTASH_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.delenv("SIGNSTASH_BASE_URL", raising=False)
    with pytest.raises(ConfigurationError) as refused:
        SignStash.from_env()

    expect_none_in_error(refused.value)


@pytest.mark.parametrize("base_urls", [None, ["nowhere"], 7])
def test_wrong_arguments_of_an_auth_do_not_leak(base_urls: Any) -> None:
    with pytest.raises((ConfigurationError, TypeError)) as refused:
        TokenAuth(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, base_urls=base_urls)

    expect_none_in_error(refused.value)


async def test_an_auth_cannot_be_pickled(scene: Scene) -> None:
    await scene.sign()
    for item in (scene.auth, scene.client):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as refused:
            pickle.dumps(item)
        expect_none_in_error(refused.value)

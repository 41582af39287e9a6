"""Shared fixtures: the mocked service, a client for it, and a running sandbox."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import socket
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import respx
import trustme

from signstash import Document, SignStash, SignStashError, testing
from signstash.sandbox import Sandbox
from signstash.settings import ENVIRONMENT_VARIABLES
from signstash.testing import MOCK_SIGNATURE, MockSignStash, sign_response
from signstash.testing.interception import use_sleep

http_library: Any = import_module(os.environ.get("SIGNSTASH_HTTP", "httpx"))
"""The library of the HTTP clients that tests pass, if `SIGNSTASH_HTTP` is set: httpx, or its fork httpx2."""

own_client: bool = "SIGNSTASH_HTTP" not in os.environ
"""Whether `SignStash` makes its HTTP clients itself."""

BASE_URL = "http://proxy.test:8081/signstash/einvoice-integration-ws"
TOKEN_URL = "https://token.test/oauth2/authorization-server/oauth/token"
CLIENT_ID = "PRT.000000001-PRT.000000002-0a1b2c"
CLIENT_SECRET = "never-shown-secret"
TOKEN = "never-shown-token"
PDF = b"%PDF-1.7\n% a small one\n%%EOF\n"
INVOICE = Path(__file__).parent / "data" / "invoice.pdf"

UPSTREAM = Path(__file__).parents[1] / "openapi" / "upstream.json"
DEFINITION = json.loads(UPSTREAM.with_name("signstash.json").read_text("utf-8"))
PATHS = {operation["operationId"]: path for path, item in DEFINITION["paths"].items() for operation in item.values()}
"""Paths by operation: another definition may have others."""

BASE64_PATH = PATHS["signDocumentBatchBase64"]
MULTIPART_PATH = PATHS["signDocumentBatchBinary"]
FILES_PART, REQUEST_PART = DEFINITION["paths"][MULTIPART_PATH]["post"]["requestBody"]["content"]["multipart/form-data"][
    "schema"
]["properties"]
"""What the parts of a multipart body are called."""
IS_OWN_DEFINITION = UPSTREAM.read_bytes() == UPSTREAM.with_name("contract.json").read_bytes()
"""Whether the client is generated from the contract, and not from a definition that was downloaded."""

DEBIAN_PACKAGES = {
    "chromium": "chromium",
    "openssl": "openssl",
    "pdfsig": "poppler-utils",
    "qpdf": "qpdf",
    "redis-server": "redis-server",
    "systemd-analyze": "systemd",
    "xmlsec1": "xmlsec1",
}
"""The programs that tests run, and the packages that `.ci/run` installs them from."""

OUTBOUND_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
TERMINAL = (
    *("FORCE_COLOR", "NO_COLOR", "PY_COLORS", "PYTHON_COLORS", "CLICOLOR_FORCE"),
    *("TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"),
)
"""Environment variables that change the width and colours of output."""

hypothesis.settings.register_profile(
    "same everywhere", derandomize=True, database=None, deadline=None, suppress_health_check=[*hypothesis.HealthCheck]
)
hypothesis.settings.load_profile("same everywhere")

ChangeDocument = Callable[[dict[str, Any]], Mapping[str, Any] | None]


def require(program: str) -> str:
    """Find a program that a test runs.

    Where it is not installed, the test is skipped; in CI (`CI=true`), where all of them belong, the test fails.

    Args:
        program: A key of `DEBIAN_PACKAGES`.

    Returns:
        The path of the program.
    """
    path = shutil.which(program)
    if path is None:
        missing = f"{program} is not installed; Debian has it in {DEBIAN_PACKAGES[program]}"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path


def url_of(operation: str, **values: object) -> str:
    """The URL of an operation, with the values of its path parameters."""
    return BASE_URL + str(PATHS[operation]).format(**values)


def token_response(value: str = TOKEN, **changes: Any) -> httpx.Response:
    """The mock's response to a token request. A field that is changed to None is left out."""
    fields = testing.token_response(value).json() | changes
    return httpx.Response(200, json={name: item for name, item in fields.items() if item is not None})


def mock_signed(content: bytes, *, binary: bool = False) -> bytes:
    """What the mock returns for a PDF, or for a binary document."""
    return content + (b"\n" if binary else b"\n% ") + MOCK_SIGNATURE + (b"" if binary else b"\n")


def signed_response(request: httpx.Request, change: ChangeDocument = lambda document: document) -> httpx.Response:
    """The mock's response to a signing request, whatever references were used before.

    Args:
        request: A signing request.
        change: Changes a document of the response, or leaves it out by returning None.
    """
    fields = sign_response(request, operation_id=4711).json()
    changed = [change(document) for document in fields["documentList"]]
    fields["documentList"] = [document for document in changed if document is not None]
    return httpx.Response(200, json=fields)


def pdf(
    external_reference: str | None = None, *, name: str = "invoice.pdf", content: bytes = PDF, **options: Any
) -> Document:
    """A PDF that can be signed."""
    return Document.pdf(content, name=name, external_reference=external_reference, **options)


def invoice(name: str = "invoice.pdf", **options: Any) -> Document:
    """A PDF with a page, which readers open."""
    return Document.pdf(INVOICE, name=name, **options)


def new_client(**options: Any) -> SignStash:
    """A client at the URLs of the mocked service."""
    return SignStash(BASE_URL, CLIENT_ID, CLIENT_SECRET, token_url=TOKEN_URL, **options)


async def failure_of(client: SignStash, document: Document | None = None) -> Any:
    """The error that signing a document raises, whose text is what happened and what to do."""
    with pytest.raises(SignStashError) as failed:
        await client.sign(document or pdf("FT_31"))
    error = failed.value
    assert str(error) == f"{error.problem} {error.hint}"
    for sentence in (error.problem, error.hint):
        assert sentence.endswith(".")
        assert sentence[0].isupper() or sentence.startswith(("client_id", "signDocumentBatch"))
        assert sentence.isprintable()
    return error


async def note_of_cancellation(call: asyncio.Task[Any]) -> str:
    """Cancel a call, and return what its cancellation says about its documents."""
    call.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await call
    (note,) = cancelled.value.__notes__
    return note


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A ZIP file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, content in files.items():
            writer.writestr(name, content)
    return archive.getvalue()


class MockedService(MockSignStash):
    """The mock that users get, at the URLs of `client`, which issues `TOKEN` and signs with `signed_response`."""

    def __init__(self) -> None:
        super().__init__(base_url=BASE_URL, token_url=TOKEN_URL, assert_all_called=False)
        self.token.mock(return_value=token_response())
        self.sign.mock(side_effect=signed_response)

    @property
    def token(self) -> respx.Route:
        """Route of the token endpoint."""
        return self.routes.token

    @property
    def sign(self) -> respx.Route:
        """Route of the base64 signing endpoint."""
        return self.routes.sign

    def sign_effects(self, *effects: Any) -> None:
        """Let signing requests have these effects in turn: responses, functions that return them, or exceptions."""
        self.sign.side_effect = list(effects)

    def sent(self, call: int = -1) -> dict[str, Any]:
        """The JSON of a received signing request."""
        fields: dict[str, Any] = json.loads(self.sign.calls[call].request.content)
        return fields


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "signstash_sandbox_server" in getattr(item, "fixturenames", ()):
            item.add_marker("sandbox")
        if not IS_OWN_DEFINITION and item.get_closest_marker("own_definition"):
            item.add_marker(pytest.mark.skip(reason="the client is generated from another definition"))


@pytest.fixture(scope="session", autouse=True)
def interruptible_processes() -> Iterator[None]:
    """Let Ctrl-C end the processes that tests start, even if the shell lets this one ignore it.

    `make test &` in a script starts with SIGINT ignored, which child processes inherit; a handler they do not inherit.
    """
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.fixture(scope="session", autouse=True)
def plain_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the tests, and the processes that they start, the same environment on every machine.

    One certificate is trusted, instead of those of the machine, which take longer to load than most tests take.
    """
    certificates = tmp_path_factory.mktemp("certificates") / "trusted.pem"
    trustme.CA().cert_pem.write_to_path(str(certificates))
    with pytest.MonkeyPatch.context() as environment:
        for name in (*ENVIRONMENT_VARIABLES.values(), "SSL_CERT_DIR", *OUTBOUND_PROXIES, *TERMINAL):
            environment.delenv(name, raising=False)
            environment.delenv(name.lower(), raising=False)
        environment.setenv("SSL_CERT_FILE", str(certificates))
        yield


@pytest.fixture
def service() -> Iterator[MockedService]:
    """The mocked service, with pauses between attempts as in production, which the mock skips."""
    with MockedService() as service, use_sleep(None):
        yield service


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections: it is bound but not listening, so that no other program can take it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def client_options() -> dict[str, Any]:
    """The options of `client`; a module with other ones overrides this fixture."""
    return {}


@pytest.fixture
async def client(service: MockedService, client_options: dict[str, Any]) -> AsyncIterator[SignStash]:
    """A client of the mocked service."""
    async with new_client(**client_options) as client:
        yield client


@pytest.fixture(scope="session")
def sandbox(signstash_sandbox_server: Sandbox) -> Sandbox:
    return signstash_sandbox_server


@pytest.fixture
async def sandbox_client(sandbox: Sandbox) -> AsyncIterator[SignStash]:
    async with (
        http_library.AsyncClient(trust_env=False) as http_client,
        SignStash(**sandbox.credentials, http_client=None if own_client else http_client) as client,
    ):
        yield client

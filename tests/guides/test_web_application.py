"""The guide's web application, served by uvicorn."""

from __future__ import annotations

import asyncio
import importlib
import re
import socket
import sys
from typing import Any

import httpx
import pytest
import uvicorn

from signstash import (
    ClientServiceInactiveError,
    ConfigurationError,
    ConnectionFailedError,
    DocumentCertificateError,
    DocumentNotSignedError,
    DuplicateReferenceError,
    InvalidDocumentError,
    OutcomeUnknownError,
    SignStash,
    SignStashError,
)
from signstash.sandbox import Sandbox
from signstash.settings import ENVIRONMENT_VARIABLES
from tests.conftest import INVOICE
from tests.guides.test_guides import GUIDES
from tests.test_lifecycles import nothing_left

pytestmark = pytest.mark.sandbox

APPLICATION, STATUSES = re.findall(r"```python\n(.*?)```", GUIDES["src/signstash/applications.md"], re.DOTALL)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"] if sys.platform != "win32" else ["asyncio"])
def test_the_application_signs_with_one_client_and_closes_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    for name, value in sandbox.credentials.items():
        monkeypatch.setenv(ENVIRONMENT_VARIABLES[name], str(value))
    made: list[SignStash] = []
    open_client = SignStash.from_env

    def from_env() -> SignStash:
        made.append(open_client())
        return made[-1]

    monkeypatch.setattr(SignStash, "from_env", from_env)
    names: dict[str, Any] = {}
    exec(compile(APPLICATION, "applications.md", "exec", dont_inherit=True), names)

    async def serve() -> list[httpx.Response]:
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(names["app"], loop="asyncio", log_level="warning", ws="none", lifespan="on")
        )
        async with nothing_left():
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=origin, verify=False, timeout=None) as http_client:
                puts = (
                    http_client.put(f"/invoices/FT {loop}/{number}", content=INVOICE.read_bytes())
                    for number in range(3)
                )
                responses = await asyncio.gather(*puts)
            server.should_exit = True
            await serving
            with pytest.raises(ConfigurationError, match="closed"):
                await made[0].get_status(1)
        return responses

    with asyncio.Runner(loop_factory=importlib.import_module(loop).new_event_loop) as runner:
        responses = runner.run(serve())

    assert [response.status_code for response in responses] == [200] * 3
    assert all(response.content.startswith(INVOICE.read_bytes()) for response in responses)
    assert len(made) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidDocumentError("It is empty.", "Check it."), 422),
        (DocumentNotSignedError("It is damaged.", "Check it.", document="a", external_reference="b"), 422),
        (DocumentNotSignedError("It failed.", "Later.", document="a", external_reference="b", retryable=True), 503),
        (DocumentCertificateError("It has expired.", "Renew it.", document="a", external_reference="b"), 502),
        (DuplicateReferenceError("It was used before.", "Look it up.", status_code=409), 409),
        (OutcomeUnknownError("Its response was lost.", "Look it up."), 409),
        (ConnectionFailedError("No connection.", "Try again."), 503),
        (ClientServiceInactiveError("It is inactive.", "Activate it.", status_code=409), 502),
    ],
)
def test_errors_have_the_statuses_of_the_guide(error: SignStashError, status: int) -> None:
    names: dict[str, Any] = {}
    exec(STATUSES, names)

    assert names["status_of"](error) == status

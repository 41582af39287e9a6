"""Servers with TLS, and clients that trust them."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from tests.conftest import http_library, own_client


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(ca: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let new clients trust the CA."""
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@pytest.fixture
def trusting(trusted: None) -> Any:
    """An HTTP client that trusts the CA, or None if `SignStash` makes its own, which trusts it."""
    return None if own_client else http_library.AsyncClient(verify=httpx.create_ssl_context(), trust_env=False)


@pytest.fixture
def server_context(ca: trustme.CA) -> ssl.SSLContext:
    """The TLS settings of a server on 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    """The TLS settings of the server, if it uses TLS; clients trust its certificate."""
    if request.param == "http":
        return None
    request.getfixturevalue("trusted")
    context: ssl.SSLContext = request.getfixturevalue("server_context")
    return context

"""The pytest plugin. It imports the SDK only when a fixture is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from ..sandbox import Sandbox
    from ..settings import Credentials
    from .mock import MockSignStash

_FAILED: Final = pytest.StashKey[bool]()


@pytest.fixture
def signstash_mock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MockSignStash]:
    """A mocked Sign'Stash. Environment variables are set, so that `SignStash.from_env()` uses it."""
    from .mock import MockSignStash

    with MockSignStash() as mock:
        _set_environment(monkeypatch, mock.credentials)
        yield mock
        if request.node.stash.get(_FAILED, False):  # which may be why not all was called
            mock.assert_all_called = False


def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Note that a test failed."""
    node.stash[_FAILED] = True


@pytest.fixture(scope="session")
def signstash_sandbox_server() -> Iterator[Sandbox]:
    """The sandbox of the test session. Tests that use it are skipped if the extra `sandbox` is not installed."""
    try:
        from ..sandbox import Sandbox
    except ImportError as missing:
        pytest.skip(str(missing))
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def signstash_sandbox(signstash_sandbox_server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """The sandbox of the test session. Environment variables are set, so that `SignStash.from_env()` uses it.

    Faults are removed after the test; documents and references stay.
    """
    _set_environment(monkeypatch, signstash_sandbox_server.credentials)
    yield signstash_sandbox_server
    signstash_sandbox_server.faults.clear()


def _set_environment(monkeypatch: pytest.MonkeyPatch, credentials: Credentials) -> None:
    from ..settings import ENVIRONMENT_VARIABLES

    for variable in ENVIRONMENT_VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    for name, value in credentials.items():
        monkeypatch.setenv(ENVIRONMENT_VARIABLES[name], str(value))

"""The pytest plugin: fixtures by name. It imports nothing else until a fixture is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..sandbox import Sandbox
    from .mock import MockSignStash


@pytest.fixture
def signstash_mock(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockSignStash]:
    """A mocked Sign'Stash, for `SignStash.from_env` too: the environment's variables lead to it."""
    from ..settings import ENVIRONMENT_VARIABLES
    from .mock import MockSignStash

    with MockSignStash() as mock:
        for variable in ENVIRONMENT_VARIABLES.values():
            monkeypatch.delenv(variable, raising=False)
        for name, value in mock.credentials.items():
            monkeypatch.setenv(ENVIRONMENT_VARIABLES[name], str(value))
        yield mock


@pytest.fixture(scope="session")
def signstash_sandbox() -> Iterator[Sandbox]:
    """A running sandbox; tests that use it are skipped where the extra `sandbox` is missing."""
    try:
        from ..sandbox import Sandbox
    except ImportError as missing:
        pytest.skip(str(missing))
    with Sandbox() as sandbox:
        yield sandbox

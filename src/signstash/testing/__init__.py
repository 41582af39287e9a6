"""Tests for applications that sign: a mocked Sign'Stash on respx, without a server and without a network.

    with MockSignStash() as mock:
        await mock.client.sign(Document.pdf("invoice.pdf"))
        mock.assert_signed("invoice.pdf")

With pytest, the fixture `signstash_mock` gives such a mock. It needs `pip install signstash[testing]`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answers import MOCK_SIGNATURE
    from .mock import MockSignStash, Routes
    from .requests import ResentMails, SentDocument, SignRequest

__all__ = ["MOCK_SIGNATURE", "MockSignStash", "ResentMails", "Routes", "SentDocument", "SignRequest"]

_MODULES = {"MockSignStash": "mock", "Routes": "mock", "MOCK_SIGNATURE": "answers"}


if not TYPE_CHECKING:  # to a type checker, any name would exist

    def __getattr__(name: str) -> Any:
        """Import a name on first use: pytest loads the plugin in every project that has this package installed."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_MODULES.get(name, 'requests')}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

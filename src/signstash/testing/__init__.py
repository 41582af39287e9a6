"""Tests for applications that sign: a mocked Sign'Stash on respx, without a server and without a network.

    with MockSignStash() as mock:
        await mock.client.sign(Document.pdf("invoice.pdf"))
        mock.assert_signed("invoice.pdf")

In pytest, the fixture `signstash_mock` is such a mock. Requires `pip install signstash[testing]`.

.. include:: guide.md
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .mock import MockSignStash, Routes
    from .received import ResentMails, SentDocument, SignRequest
    from .responses import MOCK_SIGNATURE, sign_response, token_response

__all__ = [
    "MOCK_SIGNATURE",
    "MockSignStash",
    "ResentMails",
    "Routes",
    "SentDocument",
    "SignRequest",
    "sign_response",
    "token_response",
]

if not TYPE_CHECKING:  # for a type checker, every name would exist
    _MODULES = {
        **dict.fromkeys(("MockSignStash", "Routes"), "mock"),
        **dict.fromkeys(("ResentMails", "SentDocument", "SignRequest"), "received"),
        **dict.fromkeys(("MOCK_SIGNATURE", "sign_response", "token_response"), "responses"),
    }

    def __getattr__(name: str) -> Any:
        """Import a name on first use: pytest loads the plugin in every project that has this package installed."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Describes network errors and what to check after one."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import httpx

from .redaction import printable


def describe_network_error(error: BaseException) -> str:
    """What a network error was, in words, with the most telling text of the libraries below."""
    kind = next((text for cls, text in _NETWORK_FAULTS if isinstance(error, cls)), "the connection failed")
    reason = printable(str(_root(error)), 200)
    return f"{kind} ({reason})" if reason else kind


def hint_for(error: BaseException) -> str:
    """What to check after a network error, as a sentence."""
    root = _root(error)
    if isinstance(root, ssl.SSLCertVerificationError) or "CERTIFICATE" in str(error):
        return "Check the host's certificate; name a CA of your own with SSL_CERT_FILE or on an http_client."
    if isinstance(root, ssl.SSLError) or "SSL" in str(error):
        return "Check whether that port speaks TLS 1.2 or newer; if it speaks no TLS, the URL begins with http://."
    return "Check URL, network, DNS and outbound proxy."


def _root(error: BaseException) -> BaseException:
    """The innermost error of the system: httpx wraps httpcore wraps ssl, and only the last says which certificate."""
    root, seen = error, set[int]()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:  # an error that is raised twice may be its own cause
        seen.add(id(cause))
        if cause is not error and isinstance(cause, OSError) and str(cause):
            root = cause
        cause = _below(cause)
    return root


def _below(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):  # one error for each address that was tried: the first will do
        return error.exceptions[0]
    # httpcore has what it wraps as its argument.
    wrapped = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
    return error.__cause__ or wrapped or error.__context__


_NETWORK_FAULTS: Sequence[tuple[type[BaseException], str]] = (
    (httpx.ConnectTimeout, "connecting took too long"),
    (httpx.PoolTimeout, "no connection became free in time"),
    (httpx.ReadTimeout, "the answer took too long"),
    (httpx.WriteTimeout, "sending took too long"),
    (TimeoutError, "it took too long in all"),
    (httpx.ConnectError, "no connection could be made"),
    (httpx.ProxyError, "the outbound proxy refused"),
    (httpx.RemoteProtocolError, "the connection was closed or broke the protocol"),
    (httpx.DecodingError, "the answer could not be decompressed"),
)

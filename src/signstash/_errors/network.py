"""Maps network errors to exceptions, which say what to check."""

from __future__ import annotations

import ssl
import traceback
from collections.abc import Sequence

import httpx

from ..errors import ConfigurationError, ConnectionFailedError, SignStashError
from .mapping import ErrorContext
from .redaction import printable


def error_from_network(error: BaseException, request: str, hint: str, context: ErrorContext) -> SignStashError:
    """The exception for a request that changed nothing; `request` is the beginning of a sentence."""
    is_unsent = isinstance(error, UnicodeEncodeError) and error.encoding == "ascii"  # a cookie or header of the client
    if is_unsent or isinstance(error, RuntimeError):  # it is closed, or has connections of another event loop
        reason = f"{str(error).rstrip('.')}); nothing was {'sent' if is_unsent else 'changed'}"
        problem = context.sentence(f"The HTTP client cannot be used ({reason}")
        hint = "Give one that is open, was made for this event loop, and has only ASCII in cookies and headers."
        return ConfigurationError(problem, hint, external_references=context.external_references)
    problem = context.sentence(f"{request} failed: {describe_network_error(error)}")
    return ConnectionFailedError(problem, f"{hint_for(error)} {hint}".rstrip())


def describe_network_error(error: BaseException) -> str:
    """What a network error was, with the most specific text of the libraries below."""
    kind = next((text for cls, text in _NETWORK_FAULTS if isinstance(error, cls)), "the connection failed")
    reason = printable(str(_root(error)), 200)
    return f"{kind} ({reason})" if reason else kind


def hint_for(error: BaseException) -> str:
    """What to check after a network error, as a sentence."""
    root = _root(error)
    texts = f"{error} {root}"
    if _lacks_client_certificate(error):
        return "The server asks for a client certificate: only an http_client of your own, in Python, can have one."
    if isinstance(root, ssl.SSLCertVerificationError) or "CERTIFICATE" in texts:
        return "Check the host's certificate; name a CA of your own with SSL_CERT_FILE or on an http_client."
    if isinstance(root, ssl.SSLError) or "SSL" in texts:
        return "Check that the port speaks TLS 1.2 or newer; if it speaks no TLS, the URL begins with http://."
    return "Check URL, network, DNS and outbound proxy."


def is_connection_failure(error: BaseException, request: httpx.Request) -> bool:
    """Whether no connection was made, so that nothing was processed, even if the body was handed over.

    Other transports report a lost response as a `ConnectTimeout`, too, and hooks and authentications have requests of
    their own. So only mocks are trusted, which read the body and send nothing, and httpx for a body that it had read.
    """
    if getattr(error, "_request", request) is not request:
        return False
    if _lacks_client_certificate(error):
        return True
    if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return False
    modules = {type(link).__module__.partition(".")[0] for link in _chain(error)}
    is_read = isinstance(request.stream, httpx.ByteStream)  # by an httpx.MockTransport, or for an `Auth`
    return "respx" in modules or (is_read and (modules == {"httpx"} or "httpcore" in modules))


def _lacks_client_certificate(error: BaseException) -> bool:
    # Under TLS 1.3 the server reports it after the client sent its request, which it has not read (RFC 8446, 4.4.2.4).
    return any("certificate required" in str(link).lower().replace("_", " ") for link in _chain(error))


def status_of_invalid_redirect(error: BaseException) -> int | None:
    """The status of a response with an invalid `Location`, or None if the error is not about one.

    httpx 0.28 parses the `Location` even if it is not to follow it, and only a local variable of it has the response.
    """
    links = _chain(error)
    if not any(isinstance(link, httpx.InvalidURL | UnicodeError) for link in links):
        return None
    for link in links:
        for frame, _ in traceback.walk_tb(link.__traceback__):
            status_code = getattr(frame.f_locals.get("response"), "status_code", None)
            if isinstance(status_code, int) and 300 <= status_code < 400:
                return status_code
    return None


def _chain(error: BaseException | None) -> list[BaseException]:
    """An error and what it was raised from. An error that is raised twice may be its own cause."""
    links: list[BaseException] = []
    while error is not None and all(error is not link for link in links):
        links.append(error)
        error = _below(error)
    return links


def _root(error: BaseException) -> BaseException:
    """The innermost system error: httpx wraps httpcore wraps ssl, and only the last says which certificate."""
    below = [link for link in _chain(error)[1:] if isinstance(link, OSError) and str(link)]
    return below[-1] if below else error


def _below(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):  # one error for each address that was tried
        return error.exceptions[0]
    # httpcore passes what it wraps as its argument.
    wrapped = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
    return error.__cause__ or wrapped or error.__context__


_NETWORK_FAULTS: Sequence[tuple[type[BaseException], str]] = (
    (httpx.ConnectTimeout, "connecting took too long"),
    (httpx.PoolTimeout, "no connection became free in time"),
    (httpx.ReadTimeout, "the response took too long"),
    (httpx.WriteTimeout, "sending took too long"),
    (TimeoutError, "it took too long in all"),
    (httpx.ConnectError, "no connection could be made"),
    (httpx.ProxyError, "the outbound proxy rejected the request"),
    (httpx.RemoteProtocolError, "the connection was closed or broke the protocol"),
    (httpx.DecodingError, "the response could not be decompressed"),
)

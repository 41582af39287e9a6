"""Makes HTTP clients."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import Iterator

import httpx

from ..errors import ConfigurationError


async def new_http_client() -> httpx.AsyncClient:
    """An HTTP client that obeys `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`.

    Raises:
        ConfigurationError: If one of these cannot be used.
    """
    try:
        # It reads some hundred certificates.
        context = await asyncio.to_thread(httpx.create_ssl_context)
        # Some builds of Python leave it to OpenSSL's configuration, which may allow less.
        context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
        return httpx.AsyncClient(verify=context)
    except OSError as error:  # SSLError is one
        problem, hint = f"The CA certificates cannot be read: {error}.", "Check SSL_CERT_FILE and SSL_CERT_DIR."
        raise ConfigurationError(problem, hint) from error
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        problem = f"The outbound proxy cannot be used: {error}."
        raise ConfigurationError(problem, "Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY.") from error


@contextlib.contextmanager
def in_one_event_loop() -> Iterator[None]:
    """Say it clearly if a user's own HTTP client holds connections of another event loop than the running one.

    Raises:
        ConfigurationError: If it does.
    """
    try:
        yield
    except RuntimeError as error:
        if "event loop" not in str(error).lower():
            raise
        raise ConfigurationError(
            "The HTTP client that was given has connections of another event loop; nothing was sent.",
            "Give a client that was made for this event loop.",
        ) from error


def is_local(host: str) -> bool:
    """Whether a host is this machine or in a private network, as far as its name or address tells."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal", ".test"))
    return address.is_loopback or address.is_private


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL."""
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)

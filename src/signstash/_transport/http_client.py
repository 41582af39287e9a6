"""Makes HTTP clients, and keeps one for the running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import platform
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import httpx

from .. import __version__
from ..errors import ConfigurationError
from ..retries import running_loop

USER_AGENT: Final = f"signstash/{__version__} httpx/{httpx.__version__} Python/{platform.python_version()}"

MakeTransport = Callable[[], httpx.AsyncBaseTransport]

_transport_of_tests: MakeTransport | None = None


@contextlib.contextmanager
def use_transport(make: MakeTransport) -> Iterator[None]:
    """Let new HTTP clients of this process use a transport that a test makes."""
    global _transport_of_tests
    before, _transport_of_tests = _transport_of_tests, make
    try:
        yield
    finally:
        _transport_of_tests = before


async def new_http_client() -> httpx.AsyncClient:
    """An HTTP client that obeys `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`.

    Raises:
        ConfigurationError: If one of these cannot be used.
    """
    # Reading some hundred certificates blocks.
    make = _transport_of_tests or EnvironmentTransport
    transport = make() if make is _transport_of_tests else await asyncio.to_thread(make)
    return httpx.AsyncClient(transport=transport, trust_env=False, headers={"User-Agent": USER_AGENT})


class EnvironmentTransport(httpx.AsyncBaseTransport):
    """Sends requests directly or through the outbound proxy that the environment names.

    httpx refuses addresses and networks in `NO_PROXY`; here they mean what they mean for curl.

    Raises:
        ConfigurationError: If the environment's settings cannot be used.
    """

    def __init__(self) -> None:
        context = _ssl_context()
        self._proxies: Mapping[str, str] = urllib.request.getproxies()
        self._direct = httpx.AsyncHTTPTransport(verify=context)
        self._proxied = {
            scheme: _proxy_transport(context, scheme, url)
            for scheme, url in self._proxies.items()
            if scheme in ("http", "https", "all") and url
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxied = self._proxied.get(request.url.scheme) or self._proxied.get("all")
        if proxied is None or is_excluded(request.url, self._proxies.get("no", "")):
            return await self._direct.handle_async_request(request)
        return await proxied.handle_async_request(request)

    async def aclose(self) -> None:
        for transport in (self._direct, *self._proxied.values()):
            await transport.aclose()


def _ssl_context() -> ssl.SSLContext:
    try:
        context = httpx.create_ssl_context()
    except OSError as error:  # SSLError is one
        text = str(error).rstrip(".")
        # Only the key log's error names its file.
        if error.filename is not None and error.filename == os.environ.get("SSLKEYLOGFILE"):
            raise ConfigurationError(f"SSLKEYLOGFILE cannot be opened: {text}.", "Correct or unset it.") from error
        problem = f"The CA certificates cannot be read: {text}."
        raise ConfigurationError(problem, "Check SSL_CERT_FILE and SSL_CERT_DIR.") from error
    # Some builds of Python leave it to OpenSSL's configuration, which may allow less.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    return context


def _proxy_transport(context: ssl.SSLContext, scheme: str, url: str) -> httpx.AsyncHTTPTransport:
    try:
        return httpx.AsyncHTTPTransport(verify=context, proxy=url if "://" in url else f"http://{url}")
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        # The URL may hold a password, and so may the error.
        raise ConfigurationError(
            f"The outbound proxy of {scheme.upper()}_PROXY cannot be used ({type(error).__name__}).",
            "Give the URL of an HTTP proxy; one of SOCKS needs httpx[socks].",
        ) from error


def is_excluded(url: httpx.URL, no_proxy: str) -> bool:
    """Whether `NO_PROXY` excludes a URL: by host name, domain, address, network, or `*`."""
    entries = [entry.strip().lower().rpartition("://")[2] for entry in no_proxy.split(",")]
    if "*" in entries:
        return True
    try:
        address = ipaddress.ip_address(url.host)
    except ValueError:
        domains = [entry.lstrip("*.") for entry in entries]
        names = [f".{name}" for name in (url.host, url.netloc.decode("ascii"))]
        return any(name.endswith(f".{domain}") for name in names for domain in domains if domain)
    for entry in entries:
        with contextlib.suppress(ValueError):  # a host name
            if address in ipaddress.ip_network(entry.strip("[]"), strict=False):
                return True
    return False


class HttpClients:
    """The HTTP client of a `SignStash`: the user's own, or one for the running event loop.

    Connections belong to the event loop that opened them.

    Args:
        given: The user's own client, which is not closed here, or None.
    """

    def __init__(self, given: httpx.AsyncClient | None) -> None:
        self._given = given
        self._loop: asyncio.AbstractEventLoop | None = None
        self._own: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None
        self._closed = False

    async def get(self) -> httpx.AsyncClient:
        """The HTTP client for the running event loop.

        Raises:
            ConfigurationError: If this is closed, or has connections in another event loop.
        """
        self.raise_if_closed()
        loop = running_loop()
        if self._given is not None:
            if self._loop is None or self._loop.is_closed():
                self._loop = loop
            if self._loop is not loop:
                raise ConfigurationError(
                    "The given http_client was used in another event loop, where its connections are.",
                    "Give one that was made for this event loop.",
                )
            return self._given
        own = self._own
        if own is not None and own[0] is not loop and not own[0].is_closed():
            raise ConfigurationError(
                "The client was used from a second event loop while it had connections in the first.",
                "Make one client for each event loop, or close the first loop before.",
            )
        if own is not None and own[0] is loop:
            return own[1]
        made = await new_http_client()
        own = self._own
        if self._closed or (own is not None and own[0] is loop):
            await made.aclose()  # meanwhile this was closed, or another call has made one
            self.raise_if_closed()
        if own is None or own[0] is not loop:
            own = self._own = loop, made
        return own[1]

    def raise_if_closed(self) -> None:
        """Refuse further use after `close`.

        Raises:
            ConfigurationError: If this is closed.
        """
        if self._closed:
            raise ConfigurationError("The client was used after it was closed.", "Make a new one.")

    def refuse_further_use(self) -> None:
        """Let `get` raise from now on."""
        self._closed = True

    async def aclose(self) -> None:
        """Close the connections that were opened here."""
        self._closed = True
        own, self._own = self._own, None
        # Connections of a loop that is closed went with it.
        if own is not None and own[0] is running_loop():
            await own[1].aclose()


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

"""Sends requests directly or through outbound proxies, by `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import ssl
import urllib.request
from collections.abc import Mapping
from importlib import import_module

import httpx

from ..errors import ConfigurationError


class EnvironmentTransport(httpx.AsyncBaseTransport):
    """Sends requests directly or through the outbound proxy that the environment names.

    httpx rejects addresses and networks in `NO_PROXY`; here they mean what they mean for curl.
    """

    def __init__(self) -> None:
        self._proxies: Mapping[str, str] = {**urllib.request.getproxies(), "": ""}  # a variable may be named _PROXY
        self._transports: Mapping[str, httpx.AsyncHTTPTransport] = {}
        self._reading = asyncio.Lock()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self._transports:
            await self._make_transports()
        url, transports = request.url, self._transports
        proxied = transports.get(url.scheme) or transports.get("all")
        if proxied is None or is_excluded(url, self._proxies.get("no", "")):
            proxied = transports[""]
        return await proxied.handle_async_request(request)

    async def _make_transports(self) -> None:
        async with self._reading:  # once, however many requests wait for them
            if not self._transports:
                context = await asyncio.to_thread(_read_certificates)
                self._transports = {
                    scheme: _transport(context, scheme, url)
                    for scheme, url in self._proxies.items()
                    if scheme == "" or (scheme in ("http", "https", "all") and url)
                }

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()


def _read_certificates() -> ssl.SSLContext:
    """The trusted certificates. Reading some hundred blocks: call it in a thread."""
    with contextlib.suppress(ImportError):  # what httpx loads at its first request, which would hold the event loop
        import_module("anyio._backends._asyncio")
        import_module(f"{__package__}.network")
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


def _transport(context: ssl.SSLContext, scheme: str, proxy: str) -> httpx.AsyncHTTPTransport:
    """Sends requests through the outbound proxy for a scheme, or directly if there is none."""
    if not proxy:
        from .network import DirectTransport

        return DirectTransport(context)
    url = proxy if "://" in proxy else f"http://{proxy}"
    try:
        return httpx.AsyncHTTPTransport(verify=context, proxy=url)
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        # The URL may hold a password, and so may the error.
        problem = f"The outbound proxy of {scheme.upper()}_PROXY cannot be used ({type(error).__name__})."
        raise ConfigurationError(problem, "Give the URL of an HTTP proxy; one of SOCKS needs httpx[socks].") from error


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

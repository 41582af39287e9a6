"""The command `signstash check`: checks settings and connection; signs nothing without `--sign`."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import email.utils
import socket
import ssl
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Literal

import attrs
import httpx

from .._errors.network import describe_network_error, hint_for
from .._transport.bodies import UnusableResponseError, read_whole
from .._transport.http_client import new_http_client
from ..api import sign_document_batch_base_64
from ..auth import TokenAuth
from ..client import SignStash
from ..documents import Document
from ..errors import InvalidRequestError, ServiceError, SignStashError
from ..models import SignRequestBase64Document
from ..settings import TOKEN_URLS, is_local
from . import FAULT_OF_ALL, SIGNED
from .definition.known import compare_with_known
from .definition.normalisation import title_of
from .definition.reading import DefinitionError, parse_definition
from .display import Lines
from .settings import Settings, add_connection_options, settings_from

_CLOCK_TOLERANCE: Final = 30.0
"""Seconds that this machine's clock may be off: a token is not used in its last thirty seconds."""
_CERTIFICATE_WARNING: Final = dt.timedelta(days=21)
_DEFINITION_LIMIT: Final = 10_000_000
_BASE_PATHS: Final = ("einvoice-integration-ws", "einvoice-integration-client-ws")
"""The documented last segments of a proxy's base path (wiki: integration guide, and its newer version)."""
_DEFINITIONS: Final = ("/v3/api-docs", "/v2/api-docs")
"""Paths at which proxies publish their API definition."""

_EXAMPLES: Final = """
examples:
  signstash check
  signstash check --config production.toml --sign
"""


@attrs.frozen
class Finding:
    """One result of the check.

    Attributes:
        subject: What was checked.
        text: What was found, and what to do about it.
        status: Whether it works.
    """

    subject: str
    text: str
    status: Literal["ok", "warning", "failed"] = "ok"


def _argument_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        description="Check settings, servers, token and definition. Signs nothing without --sign.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sign", action="store_true", help="sign a small PDF, which may be charged")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    add_connection_options(parser)
    return parser


def main(arguments: Sequence[str], *, program: str) -> int:
    """Check the connection, and return the exit status."""
    given = _argument_parser(program).parse_args(arguments)
    return asyncio.run(_show(settings_from(given), Lines(as_json=given.json), sign=given.sign))


async def _show(settings: Settings, lines: Lines, *, sign: bool) -> int:
    status = SIGNED
    async with new_http_client() as http_client, settings.client(http_client=http_client) as client:
        async for finding in _Check(settings, http_client, client).findings(sign=sign):
            lines.result(f"{finding.status:<8} {finding.subject:<14} {finding.text}", attrs.asdict(finding))
            if finding.status == "failed":
                status = FAULT_OF_ALL
    return status


class _Check:
    """The checks, in order.

    Args:
        settings: The settings to check.
        http_client: The client for requests outside the SDK.
        client: A client that uses it.
    """

    def __init__(self, settings: Settings, http_client: httpx.AsyncClient, client: SignStash) -> None:
        self._http_client = http_client
        self._timeout = settings.options.get("timeout")
        self._client = client
        self._client_id = settings["client_id"]
        self._base_url = settings["base_url"].rstrip("/")
        self._environment = settings["environment"]
        self._token_url = settings["token_url"] or TOKEN_URLS[self._environment]
        self._auth = TokenAuth(
            self._token_url,
            self._client_id,
            settings.secret,
            base_urls=[self._base_url],
            http_client=http_client,
        )

    async def findings(self, *, sign: bool) -> AsyncIterator[Finding]:
        """Yield each finding as soon as it is known."""
        environment = f", {self._environment}" if self._environment else ""
        yield Finding("settings", f"{self._client_id} at {self._base_url}{environment}")
        base = httpx.URL(self._base_url)
        if base.scheme == "http" and not is_local(base.host):
            yield Finding(
                "plain HTTP",
                f"Documents and token go to {base.host} unprotected. Put the service behind HTTPS.",
                "warning",
            )
        async for finding in self._server("token server", httpx.URL(self._token_url), is_clock=True):
            yield finding
        async for finding in self._server("service", base, is_clock=False):
            yield finding
        token = await self._token()
        yield token
        async for finding in self._definition(with_token=token.status == "ok"):
            yield finding
        if token.status == "ok":
            yield await self._accepted()
            if sign:
                yield await self._signed()

    async def _server(self, subject: str, url: httpx.URL, *, is_clock: bool) -> AsyncIterator[Finding]:
        try:
            addresses = await self._addresses(url)
            async with self._http_client.stream("GET", url.join("/"), timeout=self._timeout) as response:
                stream = response.extensions.get("network_stream")
                tls = None if stream is None else stream.get_extra_info("ssl_object")
                date, now = response.headers.get("Date", ""), time.time()
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            yield Finding(
                subject, f"{url.host} cannot be reached: {describe_network_error(error)}. {hint_for(error)}", "failed"
            )
            return
        yield Finding(subject, f"{url.host} ({addresses}), {'plain HTTP' if tls is None else tls.version()}")
        if isinstance(tls, ssl.SSLObject):
            yield _certificate(subject, tls)
        if is_clock and (served := _seconds(date)) is not None:
            yield _clock(now - served)

    async def _addresses(self, url: httpx.URL) -> str:
        if url.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(url.host):
            return "by the outbound proxy"
        found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port or url.scheme, type=socket.SOCK_STREAM)
        return ", ".join(dict.fromkeys(str(address[0]) for *_, address in found))

    async def _token(self) -> Finding:
        flow = self._auth.async_auth_flow(httpx.Request("GET", self._base_url))
        try:
            await anext(flow)  # the request, with its token; it is not sent
        except SignStashError as error:
            return Finding("token", str(error), "failed")
        finally:
            await flow.aclose()
        return Finding("token", f"issued to {self._client_id}")

    async def _definition(self, *, with_token: bool) -> AsyncIterator[Finding]:
        """Which of the documented base paths publishes which definition."""
        start, _, last = self._base_url.rpartition("/")
        if last not in _BASE_PATHS:
            start = str(httpx.URL(self._base_url).join("/signstash"))
        bases = list(dict.fromkeys([self._base_url, *(f"{start}/{path}" for path in _BASE_PATHS)]))
        published, documents = {}, {}
        for base in bases:
            for path in _DEFINITIONS:
                document = await self._published(base + path, with_token=with_token)
                if document is not None and base not in published:
                    documents[base] = document
                    published[base] = f"{_described(document)} at {base}{path}"
        if self._base_url in published:
            for text in published.values():
                yield Finding("definition", text)
            yield _compared(documents[self._base_url])
        elif published:
            other = next(iter(published))
            text = f"{self._base_url} publishes none, but there is {published[other]}. Use {other} as base URL."
            yield Finding("definition", text, "failed")
        else:
            text = f"Nothing is published below {' or '.join(bases)}. Check the base URL, or leave it if it signs."
            yield Finding("definition", text, "warning")

    async def _published(self, url: str, *, with_token: bool) -> dict[str, Any] | None:
        """The definition at a URL, or None if there is none."""
        try:
            auth = self._auth if with_token else None
            async with self._http_client.stream("GET", url, auth=auth, timeout=self._timeout) as response:
                if not response.is_success:
                    return None
                return parse_definition(await read_whole(response, _DEFINITION_LIMIT))
        except (httpx.HTTPError, SignStashError, UnusableResponseError, DefinitionError):
            return None

    async def _accepted(self) -> Finding:
        """Check whether the service accepts the token, by a request without documents."""
        request = SignRequestBase64Document(f"{self._client_id}_check", "signstash check", [])
        try:
            await sign_document_batch_base_64.asyncio(client=self._client.generated, body=request)
        except InvalidRequestError:
            return Finding("access", "the service accepts the token, and rejects a request without documents")
        except ServiceError as error:
            return Finding(
                "access", f"Whether the service accepts the token is not known: {error} Try --sign.", "warning"
            )
        except SignStashError as error:
            return Finding("access", str(error), "failed")
        return Finding("access", "the service accepts the token")

    async def _signed(self) -> Finding:
        document = Document.pdf(_small_pdf(), name="signstash-check.pdf", reason="signstash check")
        try:
            signed = await self._client.sign(document, description="signstash check")
        except SignStashError as error:
            return Finding("signature", str(error), "failed")
        return Finding("signature", f"{signed.name} is signed, by operation {signed.operation_id}")


def _described(document: Mapping[str, Any]) -> str:
    """Version, title and size of a definition."""
    version = document.get("openapi") or document.get("swagger")
    return f"OpenAPI {version}, {title_of(document)}, {len(document['paths'])} paths,"


def _compared(document: Mapping[str, Any]) -> Finding:
    """What a definition has in common with what this package knows."""
    try:
        found = compare_with_known(document)
    except DefinitionError as error:
        return Finding("operations", f"{str(error)[0].upper()}{str(error)[1:]} Check the base URL.", "warning")
    count = len(found.offered) + len(found.additional)
    offered = f"{count} operation{' is' if count == 1 else 's are'} offered"
    if found.problems:
        problems = f"{'; '.join(found.problems[:3])}{' …' if len(found.problems) > 3 else ''}"
        text = f"{offered}, but not as this package knows them: {problems}. Install a newer signstash, or regenerate."
        return Finding("operations", text, "warning")
    differing = f"; described otherwise, which does no harm: {'; '.join(found.notes[:3])}" if found.notes else ""
    if not found.additional:
        return Finding("operations", f"{offered}, all known to this package{differing}")
    names = ", ".join(operation.name or str(operation) for operation in found.additional[:5])
    unknown = f"{len(found.additional)} not known to this package: {names}; regenerate the client to call them"
    return Finding("operations", f"{offered}, {unknown}{differing}")


def _certificate(subject: str, tls: ssl.SSLObject) -> Finding:
    certificate = tls.getpeercert() or {}
    end = dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), dt.UTC)
    if end - dt.datetime.now(dt.UTC) < _CERTIFICATE_WARNING:
        return Finding(subject, f"Its certificate ends on {end:%Y-%m-%d}. Have it renewed.", "warning")
    return Finding(subject, f"has a certificate until {end:%Y-%m-%d}")


def _seconds(date: str) -> float | None:
    """Return a date of a header as seconds since 1970, or None."""
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _clock(ahead: float) -> Finding:
    if abs(ahead) > _CLOCK_TOLERANCE:
        direction = "ahead of" if ahead > 0 else "behind"
        text = f"This machine is {abs(ahead):.0f} seconds {direction} the token server. Synchronise its clock."
        return Finding("clock", text, "warning")
    return Finding("clock", "agrees with the token server's")


def _small_pdf() -> bytes:
    """Return a PDF with one empty page."""
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << >> >>",
    )
    content, offsets = b"%PDF-1.4\n", []
    for number, item in enumerate(objects, 1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return content + (
        b"xref\n0 4\n0000000000 65535 f \n%strailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (table, len(content))
    )

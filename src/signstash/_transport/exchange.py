"""Sends one call and returns its response, or raises the exception that says what happened."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Final

import attrs
import httpx

from .._content.contents import Contents
from .._errors.mapping import ErrorContext, error_from_response, unreadable_response
from .._errors.network import describe_network_error, error_from_network, is_connection_failure
from .._errors.parsing import json_value, operation_id_in
from .._errors.unknown import note_cancellation, noted, response_lost
from ..errors import ConfigurationError, ErrorClasses, SignStashError, UnexpectedResponseError
from ..retries import Deadline, current_attempt
from .bodies import UnusableResponseError, read_error, without_credentials
from .endpoints import Call
from .http_client import HttpClients, opened
from .request_content import RequestBody
from .signed_content import Received
from .tracing import note

logger: Final = logging.getLogger("signstash")

SMALL_BODY: Final = 64 * 1024
"""Bytes of JSON that are parsed without a thread; signed contents are taken out of it before."""


@attrs.define(kw_only=True, eq=False)
class ServiceResponse:
    """A response of the service, with marks in its body for the signed contents, and what errors say about the call."""

    status_code: int
    headers: httpx.Headers = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    contents: Mapping[str, Contents] = attrs.field(factory=dict[str, Contents], repr=False)
    context: ErrorContext
    _parsed: Any = attrs.field(init=False, default=None, repr=False)

    async def json(self) -> Any:
        """The body as JSON, or `NOT_JSON`. It is parsed once, in a thread if it is long."""
        if self._parsed is None:
            small = len(self.body) < SMALL_BODY
            self._parsed = json_value(self.body) if small else await asyncio.to_thread(json_value, self.body)
        return self._parsed

    def unreadable(self, why: str) -> UnexpectedResponseError:
        """The error for a success that is not what was asked for."""
        return unreadable_response(self.status_code, self.headers, self.body, why, self.context)


@attrs.frozen(eq=False, repr=False)
class _Request:
    """A call, as it is sent to one service."""

    call: Call
    context: ErrorContext
    request: httpx.Request
    body: RequestBody


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Exchange:
    """Sends calls to one service, whose base URL ends without a slash; `client_service` begins references."""

    base_url: str
    auth: httpx.Auth
    clients: HttpClients
    timeout: httpx.Timeout
    deadline: float
    client_service: str
    error_classes: ErrorClasses

    async def send(self, call: Call, deadline: Deadline) -> ServiceResponse:
        """Send a call, and return the response if it is a success. A cancellation gets `maybe_processed`, as errors."""
        with self.clients.call(deadline) as (client, limit):
            prepared = await self._prepared(client, call)
            note(operation=call.operation, documents=len(call.external_references), attempts=current_attempt.get())
            log = partial(_log, call, prepared.body.length, time.monotonic())
            try:
                response = await self._response(prepared, client, limit)
            except BaseException as error:  # a cancellation is logged, too
                log(type(error).__name__, call.operation_id)
                if isinstance(error, asyncio.CancelledError):
                    maybe_processed = prepared.body.handed_over and call.changes_state
                    note_cancellation(error, prepared.context, maybe_processed=maybe_processed)
                elif isinstance(error, SignStashError) and not error.external_references:
                    error.external_references = tuple(call.external_references)  # the token's errors have none
                raise
        succeeded = 200 <= response.status_code < 300
        with noted(call.external_references, maybe_processed=call.changes_state):
            log(f"HTTP {response.status_code}", await _operation_id(call, response) if succeeded else call.operation_id)
        if not succeeded:
            raise error_from_response(response.status_code, response.headers, response.body, response.context)
        return response

    async def _prepared(self, client: httpx.AsyncClient, call: Call) -> _Request:
        context = ErrorContext(
            client_service=self.client_service,
            external_references=call.external_references,
            operation_id=call.operation_id,
            changes_state=call.changes_state,
            error_classes=self.error_classes,
        )
        try:
            url = _url(self.base_url + call.path)
            extensions = {"timeout": self.timeout.as_dict()}
            bare = client.build_request(call.method, url, extensions=extensions, **call.arguments)
        except httpx.InvalidURL as error:
            problem = f"A request ({call.operation[:100]}) cannot be sent: {str(error).rstrip('.')}."
            raise ConfigurationError(problem, "Shorten its path, reference or params.") from error
        except UnicodeError as error:
            raise error_from_network(error, f"A request ({call.operation})", "", context) from error
        body = RequestBody(call.content or await bare.aread(), call.inserts)
        # A request that holds its content beside its stream may be sent without the stream being read.
        request = httpx.Request(bare.method, bare.url, headers=bare.headers, stream=body, extensions=bare.extensions)
        if body.length:
            request.headers["Content-Length"] = str(body.length)
        # The response is mostly base64 of compressed data: compressing it again only costs time.
        request.headers["Accept-Encoding"], request.headers["Accept"] = "identity", "application/json, */*;q=0.5"
        return _Request(call, context, request, body)

    async def _response(self, prepared: _Request, client: httpx.AsyncClient, limit: asyncio.Timeout) -> ServiceResponse:
        planned_end = limit.when()
        try:
            async with limit:
                try:
                    return await self._exchange(prepared, client)
                except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
                    # Closed before the body was complete, perhaps to reject the token of a `TokenAuth`.
                    discard_token: Callable[[str], bool] = getattr(self.auth, "discard_token", lambda _: False)
                    headers = prepared.request.headers
                    if prepared.body.handed_over or not discard_token(headers.get("Authorization", "")):
                        raise
                    return await self._exchange(prepared, client)
        except UnusableResponseError as unusable:
            raise unreadable_response(unusable.status_code, {}, b"", str(unusable), prepared.context) from None
        except Exception as error:  # an authentication or a client of the user's own may raise anything
            is_sent = prepared.body.handed_over and prepared.call.changes_state
            if isinstance(error, SignStashError) and (error.maybe_processed or not is_sent):
                raise
            was_closed = limit.expired() and limit.when() != planned_end
            cause = ConnectionAbortedError("the client was closed meanwhile") if was_closed else error
            raise self._failure(prepared, cause) from cause

    async def _exchange(self, prepared: _Request, client: httpx.AsyncClient) -> ServiceResponse:
        call = prepared.call
        response = await opened(client, prepared.request, self.auth)
        try:
            if response.is_success:
                prepared.body.handed_over = True  # a success may precede the end of the body
                received = await call.receive(response, call.response_limit)
            else:
                received = Received(await read_error(response))
            return ServiceResponse(
                status_code=response.status_code,
                headers=response.headers,
                body=without_credentials(response, received.body),
                contents=received.contents,
                context=prepared.context,
            )
        finally:
            await response.aclose()
            response.stream = httpx.ByteStream(b"")  # its own refers to the response, and would keep both in memory

    def _failure(self, prepared: _Request, error: BaseException) -> SignStashError:
        call, context, host = prepared.call, prepared.context, httpx.URL(self.base_url).host
        handed_over = prepared.body.handed_over and not is_connection_failure(error, prepared.request)
        is_known = isinstance(error, httpx.HTTPError | httpx.InvalidURL | OSError | UnicodeError | RuntimeError)
        # The text of another one may hold a secret.
        reason = describe_network_error(error) if is_known else f"its auth or client raised {type(error).__name__}"
        if handed_over and call.changes_state:
            problem = f"A request ({call.operation}) was sent to {host}, but its response was lost"
            return response_lost(f"{problem}: {reason}", context)
        done = "processed" if call.changes_state else "changed"
        if not is_known:
            problem = context.sentence(f"A request ({call.operation}) failed: {reason}")
            return ConfigurationError(problem, f"Correct what its cause shows: nothing was {done}.")
        rejected = isinstance(error, httpx.WriteError | httpx.ReadError | httpx.RemoteProtocolError) and not handed_over
        reasons = "The service may have closed the connection to reject the request (HTTP 401, 413 or 429). "
        hint = f"{reasons if rejected else ''}Then repeat it: nothing was {done}."
        return error_from_network(error, f"A request ({call.operation}) to {host}", hint, context)


_url: Final = lru_cache(64)(httpx.URL)  # parsing one takes as long as writing a short request


def _log(call: Call, length: int, started: float, result: str, operation_id: int | None) -> None:
    if not logger.isEnabledFor(logging.INFO):
        return
    count = len(call.external_references)
    fields = {
        "operation": call.operation,
        "result": result,
        "external_references": list(call.external_references),
        "request_bytes": length,
        "milliseconds": 1000 * (time.monotonic() - started),
        "attempt": current_attempt.get(),
        "operation_id": operation_id,
    }
    logger.info(
        "%(operation)s: %(result)s, %(documents)s, %(request_bytes)d bytes, %(milliseconds).0f ms, "
        "attempt %(attempt)d, operation %(operation_id)s",
        {**fields, "documents": f"{count} document{'s' * (count != 1)}", "operation_id": operation_id or "unknown"},
        extra=fields,
    )


async def _operation_id(call: Call, response: ServiceResponse) -> int | None:
    """ID of the operation that a response to a signing request is about."""
    if not call.external_references:
        return call.operation_id
    value = await response.json()
    operation_id = operation_id_in(value.get("id") if isinstance(value, dict) else value)
    note(operation_id=operation_id)
    return operation_id

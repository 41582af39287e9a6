"""Sends one call and returns its response, or raises the exception that says what happened."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import attrs
import httpx

from .._content.contents import Contents
from .._errors.mapping import ErrorContext, error_from_response, unreadable_response
from .._errors.network import describe_network_error, hint_for, is_connection_failure, status_of_invalid_redirect
from .._errors.parsing import json_value, operation_id_in
from .._errors.unknown import cancelled, response_lost
from ..errors import (
    ConfigurationError,
    ConnectionFailedError,
    ErrorClasses,
    SignStashError,
    UnexpectedResponseError,
)
from ..retries import Deadline, current_attempt
from .bodies import RequestBody, UnusableResponseError, read_error, without_credentials
from .endpoints import Call
from .http_client import HttpClients
from .request_content import ContentStream
from .signed_content import Received
from .tracing import note

logger: Final = logging.getLogger("signstash")

SMALL_BODY: Final = 64 * 1024
"""Bytes of JSON that are parsed without a thread; signed contents are taken out of it before."""


@attrs.define(kw_only=True)
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


@attrs.define(eq=False)
class Delivery:
    """How far a request came: whether the service may have all of it, so that it may have processed it."""

    handed_over: bool = False


@attrs.define(eq=False)
class InFlightCall:
    """A call that is being sent, or pauses before it is sent again.

    Attributes:
        left: Is done when it has ended, and released its connection.
        closed: Whether it was ended because the client is closed.
        cancelled: Whether it was cancelled while it used a connection.
    """

    limit: asyncio.Timeout
    left: asyncio.Future[None]
    closed: bool = False
    cancelled: bool = False


@attrs.frozen(kw_only=True)
class Exchange:
    """Sends calls to one service, whose base URL ends without a slash. The attributes are those of `SignStash`."""

    base_url: str
    auth: httpx.Auth
    clients: HttpClients
    timeout: httpx.Timeout
    deadline: float
    client_service: str
    error_classes: ErrorClasses
    _in_flight: set[InFlightCall] = attrs.field(factory=set["InFlightCall"], repr=False, alias="in_flight")

    async def aclose(self) -> None:
        """End the calls in flight, wait until they have released their connections, and close those.

        A pool that is closed does not know of a connection that is still being opened: nobody would close it.
        """
        self.clients.close()
        loop = asyncio.get_running_loop()
        while here := [call for call in self._in_flight if call.left.get_loop() is loop]:
            for call in here:
                call.closed = True
                if not call.limit.expired():
                    call.limit.reschedule(loop.time())
            await asyncio.wait([call.left for call in here])
        await self.clients.aclose()

    async def send(self, call: Call, deadline: Deadline, *, delivery: Delivery | None = None) -> ServiceResponse:
        """Send a call, and return the response if it is a success.

        `delivery` records how far the request came if this fails or is cancelled.
        """
        context = ErrorContext(
            client_service=self.client_service,
            external_references=call.external_references,
            operation_id=call.operation_id,
            changes_state=call.changes_state,
            error_classes=self.error_classes,
        )
        pool = await self.clients.acquire()
        with self._in_flight_until(deadline) as in_flight:
            try:
                return await self._send(pool.client, call, context, in_flight, delivery or Delivery())
            finally:
                self.clients.release(pool, cancelled=in_flight.cancelled)

    async def pause(self, seconds: float) -> None:
        """Wait between two attempts, unless the client is closed: then raise `ConfigurationError` at once."""
        with self._in_flight_until(Deadline.after(seconds)) as pause, contextlib.suppress(TimeoutError):
            self.clients.raise_if_closed()
            async with pause.limit:
                await asyncio.get_running_loop().create_future()
        self.clients.raise_if_closed()

    @contextlib.contextmanager
    def _in_flight_until(self, deadline: Deadline) -> Iterator[InFlightCall]:
        in_flight = InFlightCall(asyncio.timeout_at(deadline.at), asyncio.get_running_loop().create_future())
        self._in_flight.add(in_flight)
        try:
            yield in_flight
        finally:
            self._in_flight.discard(in_flight)
            in_flight.left.set_result(None)

    async def _send(
        self,
        client: httpx.AsyncClient,
        call: Call,
        context: ErrorContext,
        in_flight: InFlightCall,
        delivery: Delivery,
    ) -> ServiceResponse:
        request, body = await self._request(client, call)
        note(operation=call.operation, documents=len(call.external_references), attempts=current_attempt.get())
        log = partial(_log, call, int(request.headers.get("Content-Length", "0")), time.monotonic())
        try:
            response = await self._response(client, request, body, call, context, in_flight)
        except BaseException as error:
            delivery.handed_over = body.handed_over
            log(type(error).__name__, call.operation_id)
            if isinstance(error, asyncio.CancelledError):
                error.add_note(cancelled(context, maybe_processed=body.handed_over and call.changes_state))
            elif isinstance(error, SignStashError) and not error.external_references:
                error.external_references = tuple(call.external_references)  # those of the token are about no document
            raise
        if 200 <= response.status_code < 300:
            log(f"HTTP {response.status_code}", await _operation_id(call, response))
            return response
        log(f"HTTP {response.status_code}", call.operation_id)
        raise error_from_response(response.status_code, response.headers, response.body, context)

    async def _response(
        self,
        client: httpx.AsyncClient,
        request: httpx.Request,
        body: RequestBody,
        call: Call,
        context: ErrorContext,
        in_flight: InFlightCall,
    ) -> ServiceResponse:
        try:
            async with in_flight.limit:
                try:
                    return await self._exchange(client, request, call, context)
                except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
                    if not self._may_send_again(request, body):
                        raise
                    return await self._exchange(client, request, call, context)
                except asyncio.CancelledError:
                    in_flight.cancelled = True
                    raise
        except UnusableResponseError as unusable:
            raise unreadable_response(200, {}, b"", str(unusable), context) from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, UnicodeError, RuntimeError) as error:
            status = status_of_invalid_redirect(error)
            if status is not None:
                context = attrs.evolve(context, changes_state=False)
                raise unreadable_response(status, {}, b"", "redirects to an invalid URL", context) from None
            if in_flight.closed:
                error = ConnectionAbortedError("the client was closed meanwhile")
            handed_over = body.handed_over and not is_connection_failure(error, request)
            raise self._failure(call, error, context, handed_over=handed_over) from error

    def _may_send_again(self, request: httpx.Request, body: RequestBody) -> bool:
        """Whether the connection was closed before the body was complete, perhaps to reject the token."""
        discard_token: Callable[[str], bool] | None = getattr(self.auth, "discard_token", None)  # of `TokenAuth`
        if body.handed_over or discard_token is None:
            return False
        return discard_token(request.headers.get("Authorization", ""))

    async def _request(self, client: httpx.AsyncClient, call: Call) -> tuple[httpx.Request, RequestBody]:
        # The response is mostly base64 of compressed data: compressing it again only costs time.
        headers = {**call.headers, "Accept-Encoding": "identity", "Accept": "application/json, */*;q=0.5"}
        build = partial(client.build_request, call.method, self.base_url + call.path, timeout=self.timeout)
        if call.content is not None:
            stream = ContentStream(call.content, call.inserts)
            headers["Content-Length"] = str(stream.length)
            request = build(headers=headers, content=stream, **call.others)
        else:
            request = build(headers=headers, files=call.files, **call.others)
            stream = ContentStream(await request.aread(), call.inserts)
            if call.files is not None:
                request.headers["Content-Length"] = str(stream.length)
            # A request that holds its content beside its stream may be sent without the stream being read.
            request = httpx.Request(
                request.method, request.url, headers=request.headers, stream=stream, extensions=request.extensions
            )
        request.stream = body = RequestBody(stream)
        return request, body

    async def _exchange(
        self, client: httpx.AsyncClient, request: httpx.Request, call: Call, context: ErrorContext
    ) -> ServiceResponse:
        try:
            response = await client.send(request, auth=self.auth, follow_redirects=False, stream=True)
        except httpx.HTTPStatusError as error:
            response = error.response  # a hook of the client raises for error responses
        try:
            if response.is_success:
                received = await call.receive(response, call.answer_limit)
            else:
                received = Received(await read_error(response))
            return ServiceResponse(
                status_code=response.status_code,
                headers=response.headers,
                body=without_credentials(response, received.body),
                contents=received.contents,
                context=context,
            )
        finally:
            await response.aclose()

    def _failure(self, call: Call, error: BaseException, context: ErrorContext, *, handed_over: bool) -> SignStashError:
        host = httpx.URL(self.base_url).host
        if handed_over and call.changes_state:
            problem = f"A request ({call.operation}) was sent to {host}, but its response was lost"
            return response_lost(f"{problem}: {describe_network_error(error)}", context)
        if isinstance(error, RuntimeError):
            return ConfigurationError(
                context.sentence(f"The HTTP client cannot be used ({str(error).rstrip('.')}); nothing was sent"),
                "Give one that is open and was made for this event loop.",
            )
        rejected = isinstance(error, httpx.WriteError | httpx.ReadError | httpx.RemoteProtocolError) and not handed_over
        reasons = " The service may have closed the connection to reject the request (HTTP 401, 413 or 429)."
        done = "nothing was processed" if call.changes_state else "nothing was changed"
        return ConnectionFailedError(
            context.sentence(f"A request ({call.operation}) to {host} failed: {describe_network_error(error)}"),
            f"{hint_for(error)}{reasons if rejected else ''} Then repeat it: {done}.",
        )


def _log(call: Call, length: int, started: float, result: str, operation_id: int | None) -> None:
    milliseconds = 1000 * (time.monotonic() - started)
    logger.info(
        "%s: %s, %d documents, %d bytes, %.0f ms, attempt %d, operation %s",
        call.operation,
        result,
        len(call.external_references),
        length,
        milliseconds,
        current_attempt.get(),
        operation_id or "unknown",
        extra={
            "operation": call.operation,
            "result": result,
            "external_references": list(call.external_references),
            "request_bytes": length,
            "milliseconds": milliseconds,
            "attempt": current_attempt.get(),
            "operation_id": operation_id,
        },
    )


async def _operation_id(call: Call, response: ServiceResponse) -> int | None:
    """ID of the operation that a response to a signing request is about."""
    if not call.external_references:
        return call.operation_id
    value = await response.json()
    operation_id = operation_id_in(value.get("id") if isinstance(value, dict) else value)
    note(operation_id=operation_id)
    return operation_id

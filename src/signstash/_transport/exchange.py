"""Sends one call and judges what comes back: an answer, or the one exception that says what happened."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import attrs
import httpx

from .._content.contents import Contents
from .._errors.mapping import about, error_from_answer, unreadable_answer
from .._errors.network import describe_network_error, hint_for
from .._errors.parsing import json_value
from .._errors.unknown import response_lost
from ..errors import (
    ConfigurationError,
    ConnectionFailedError,
    ErrorClasses,
    SignStashError,
    UnexpectedAnswerError,
)
from ..retries import current_attempt
from .bodies import RequestBody, UnusableAnswerError, read_refusal
from .endpoints import Call
from .http_client import in_one_event_loop
from .request_content import ContentStream
from .signed_content import Received
from .tracing import is_traced, note

logger: Final = logging.getLogger(__name__)

SMALL_ANSWER: Final = 64 * 1024
"""Bytes of JSON that are read without a thread; contents are taken out of it before."""


@attrs.frozen
class Answer:
    """A successful answer of the service.

    Attributes:
        status_code: HTTP status, 2xx.
        headers: The answer's headers.
        body: The answer's body. It may hold signed documents, so it is not in the repr.
        client_service: Alias of the client service that asked.
        contents: Signed contents that were taken out of the body, by the marks that stand in their places.
    """

    status_code: int
    headers: httpx.Headers = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    client_service: str = ""
    contents: Mapping[str, Contents] = attrs.field(factory=dict[str, Contents], repr=False)

    def unreadable(self, call: Call, why: str) -> UnexpectedAnswerError:
        """The error for a success that is not what was asked for."""
        return unreadable_answer(
            self.status_code,
            self.headers,
            self.body,
            why,
            external_references=call.external_references,
            operation_id=call.operation_id,
            client_service=self.client_service,
            maybe_processed=call.changes_state,
        )


@attrs.define(eq=False)
class InFlightCall:
    """A call that is under way.

    Attributes:
        limit: What ends it.
        left: Is done when it has let go of its connection.
        closed: Whether it was ended because the client is closed.
    """

    limit: asyncio.Timeout
    left: asyncio.Future[None]
    closed: bool = False


@attrs.frozen
class Exchange:
    """How calls reach one service.

    Attributes:
        base_url: The service's base URL, without a slash at its end.
        auth: Puts the token on requests.
        client: Gives the HTTP client for the running event loop.
        timeout: Limits on connecting, sending, reading, and waiting for a free connection.
        deadline: Seconds that a call may take in all.
        client_service: Alias of the client service, to be named in errors.
        error_classes: The user's own classes for the service's codes.
    """

    base_url: str
    auth: httpx.Auth
    client: Callable[[], Awaitable[httpx.AsyncClient]]
    timeout: httpx.Timeout
    deadline: float
    client_service: str
    error_classes: ErrorClasses
    _under_way: set[InFlightCall] = attrs.field(init=False, factory=set["InFlightCall"], repr=False)

    async def aclose(self) -> None:
        """End the calls that are under way, and wait until they have let go of their connections.

        A pool that is closed knows nothing of a connection that is still being made: nobody would close it.
        """
        loop = asyncio.get_running_loop()
        while here := [item for item in self._under_way if item.left.get_loop() is loop]:
            for item in here:
                item.closed = True
                if not item.limit.expired():
                    item.limit.reschedule(loop.time())
            await asyncio.wait([item.left for item in here])

    async def send(self, call: Call) -> Answer:
        """Send a call, and return the answer if it is a success.

        Raises:
            SignStashError: Whatever went wrong; see `signstash.errors`.
        """
        client = await self.client()
        request, body = await self._request(client, call)
        note(operation=call.operation, documents=len(call.external_references), attempts=current_attempt.get())
        logged = partial(_log, call, int(request.headers.get("Content-Length", "0")), time.monotonic())
        try:
            answer = await self._answered(client, request, body, call)
        except BaseException as error:
            logged(type(error).__name__, call.operation_id)
            raise
        logged(f"HTTP {answer.status_code}", await _operation_id(call, answer))
        if 200 <= answer.status_code < 300:
            return answer
        raise error_from_answer(
            answer.status_code,
            answer.headers,
            answer.body,
            signing=call.changes_state,
            external_references=call.external_references,
            operation_id=call.operation_id,
            client_service=self.client_service,
            error_classes=self.error_classes,
        )

    async def _answered(
        self, client: httpx.AsyncClient, request: httpx.Request, body: RequestBody, call: Call
    ) -> Answer:
        under_way = InFlightCall(asyncio.timeout(self.deadline), asyncio.get_running_loop().create_future())
        self._under_way.add(under_way)
        try:
            async with under_way.limit:
                return await self._exchange(client, request, call)
        except UnusableAnswerError as unusable:
            raise self._unseen(200).unreadable(call, str(unusable)) from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, UnicodeError) as error:
            # httpx looks at where an answer redirects to, also if it is not to follow.
            if isinstance(error, httpx.InvalidURL | UnicodeError) or isinstance(error.__context__, httpx.InvalidURL):
                refused = attrs.evolve(call, changes_state=False)
                raise self._unseen(302).unreadable(refused, "redirects to what is no address") from None
            if under_way.closed:
                error = ConnectionAbortedError("the client was closed meanwhile")
            raise self._lost(call, error, handed_over=body.handed_over) from error  # TimeoutError is an OSError
        finally:
            self._under_way.discard(under_way)
            under_way.left.set_result(None)

    async def _request(self, client: httpx.AsyncClient, call: Call) -> tuple[httpx.Request, RequestBody]:
        # The answer is mostly base64 of compressed data: compressing it again only costs time.
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
            # A request that holds its content beside its stream may be sent without the stream being asked.
            request = httpx.Request(
                request.method, request.url, headers=request.headers, stream=stream, extensions=request.extensions
            )
        request.stream = body = RequestBody(stream)
        return request, body

    async def _exchange(self, client: httpx.AsyncClient, request: httpx.Request, call: Call) -> Answer:
        if client.is_closed:
            raise ConfigurationError("The client was used after it was closed.", "Make a new one.")
        try:
            with in_one_event_loop():
                response = await client.send(request, auth=self.auth, follow_redirects=False, stream=True)
        except httpx.HTTPStatusError as error:
            response = error.response  # a hook of the client raises for failing answers
        try:
            if response.is_success:
                received = await call.receive(response, call.answer_limit)
            else:
                received = Received(await read_refusal(response))
            return Answer(response.status_code, response.headers, received.body, self.client_service, received.contents)
        finally:
            await response.aclose()

    def _unseen(self, status_code: int) -> Answer:
        """An answer that could not be looked at."""
        return Answer(status_code, httpx.Headers(), b"", self.client_service)

    def _lost(self, call: Call, error: BaseException, *, handed_over: bool) -> SignStashError:
        host = httpx.URL(self.base_url).host
        never_connected = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        where = about(self.client_service, call.external_references, call.operation_id)
        if never_connected or not handed_over or not call.changes_state:
            done = "nothing was processed" if call.changes_state else "nothing was changed"
            return ConnectionFailedError(
                f"A request ({call.operation}) to {host} failed: {describe_network_error(error)}{where}.",
                f"{hint_for(error)} Then repeat it: {done}.",
            )
        return response_lost(call.operation, host, describe_network_error(error), where, call.external_references)


def _log(call: Call, length: int, started: float, came_of_it: str, operation_id: int | None) -> None:
    logger.info(
        "%s: %s, %d documents, %d bytes, %.0f ms, attempt %d, operation %s",
        call.operation,
        came_of_it,
        len(call.external_references),
        length,
        1000 * (time.monotonic() - started),
        current_attempt.get(),
        operation_id or "unknown",
    )


async def _operation_id(call: Call, answer: Answer) -> int | None:
    """The number of the operation that an answer is about, for log and trace: if nobody looks, it is not read."""
    asked = call.external_references and (logger.isEnabledFor(logging.INFO) or is_traced())
    if not asked or not 200 <= answer.status_code < 300:
        return call.operation_id
    small = len(answer.body) < SMALL_ANSWER
    value = json_value(answer.body) if small else await asyncio.to_thread(json_value, answer.body)
    number = value.get("id") if isinstance(value, dict) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**63:
        return None
    note(operation_id=number)
    return number

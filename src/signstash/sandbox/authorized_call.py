"""What endpoints know of an authorized request, and the types of endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import attrs
from starlette.requests import Request
from starlette.responses import Response

from .faults import Fault, On
from .operation_store import ServiceName
from .request_log import LoggedRequest
from .token_server import Token


@attrs.frozen
class AuthorizedCall:
    """A request with a valid token.

    Attributes:
        on: What it asks for.
        service: The service it was sent to.
        token: Its token.
        log_entry: Its entry in the request log.
    """

    on: On
    service: ServiceName
    token: Token
    log_entry: LoggedRequest


Handler = Callable[[Request, AuthorizedCall], Awaitable[Response]]
Endpoints = dict[tuple[str, str], tuple[On, Handler]]
"""The handler of each method and path, and what it is asked for."""

ApplyFault = Callable[[AuthorizedCall, Sequence[str]], Awaitable[Fault | None]]
"""Applies the fault for a call whose documents have these names; returns one that occurs after processing."""

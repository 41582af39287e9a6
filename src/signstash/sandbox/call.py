"""What handlers know of the request that they answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import attrs
from starlette.requests import Request
from starlette.responses import Response

from .faults import Fault, On
from .journal import Arrival
from .operations import ServiceName
from .tokens import Token


@attrs.frozen
class Call:
    """A request that is let in.

    Attributes:
        on: What it asks for.
        service: Which service it asks.
        token: Its token.
        arrival: What the journal will tell of it.
    """

    on: On
    service: ServiceName
    token: Token
    arrival: Arrival


Handler = Callable[[Request, Call], Awaitable[Response]]
Handlers = dict[tuple[str, str], tuple[On, Handler]]
"""What a request asks for and what answers it, by method and path."""

Strike = Callable[[Call, Sequence[str]], Awaitable[Fault | None]]
"""Lets a fault strike a call whose documents have these names; returns the one that strikes after processing."""

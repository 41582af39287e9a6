"""Sends calls, and sends them again where the policy allows it."""

from __future__ import annotations

import attrs

from ..retries import Deadline, Retries
from .endpoints import Call
from .exchange import Exchange, ServiceResponse
from .tracing import call_span


@attrs.frozen
class Requests:
    """Sends the calls of one client or view."""

    exchange: Exchange
    retries: Retries

    async def ask(self, call: Call) -> ServiceResponse:
        """Send a call under a span of its own. Its deadline begins now."""
        with call_span(call.operation, call.external_references, call.operation_id):
            return await self.send(call, Deadline.after(self.exchange.deadline))

    async def send(self, call: Call, deadline: Deadline) -> ServiceResponse:
        """Send a call, and again if the policy allows it, and return its response if it is a success."""
        return await self.retries.run(lambda: self.exchange.send(call, deadline), deadline)

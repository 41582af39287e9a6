"""What is served below `/__sandbox/`: the faults to be changed, and the journal to be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .faults import Fault, Faults
from .journal import Journal
from .operations import Operations
from .refusals import RefusedError
from .requests import parsed

SHOWN = 200
"""How many documents the journal lists."""


class Administration:
    """Shows and changes the sandbox itself. None of this is Sign'Stash.

    Args:
        operations: What was signed.
        faults: What fails.
        journal: What arrived.
        root_certificate: The root of the certificates, in PEM.
    """

    def __init__(self, operations: Operations, faults: Faults, journal: Journal, root_certificate: bytes) -> None:
        self._operations = operations
        self._faults = faults
        self._journal = journal
        self._root_certificate = root_certificate

    def routes(self) -> list[Route]:
        """The addresses."""
        return [
            Route("/__sandbox", self._overview),
            Route("/__sandbox/faults", self._list_faults),
            Route("/__sandbox/faults", self._change(self._faults.add), methods=["POST"]),
            Route("/__sandbox/faults", self._change(self._replace_faults), methods=["PUT"]),
            Route("/__sandbox/faults", self._clear_faults, methods=["DELETE"]),
        ]

    def overview(self) -> dict[str, Any]:
        """The journal as JSON."""
        return {
            "requests": self._journal.arrivals(),
            "signed": self._operations.signatures("reference"),
            "documents": self._operations.latest(SHOWN),
            "faults": self._faults.in_force(),
        }

    async def _overview(self, _: Request) -> Response:
        return JSONResponse(self.overview())

    async def _list_faults(self, _: Request) -> Response:
        return JSONResponse(self._faults.in_force())

    async def _clear_faults(self, _: Request) -> Response:
        self._faults.clear()
        return JSONResponse([])

    def _replace_faults(self, *faults: Fault) -> None:
        self._faults.clear()
        self._faults.add(*faults)

    def _change(self, change: Callable[..., None]) -> Callable[[Request], Awaitable[Response]]:
        async def changed(request: Request) -> Response:
            try:
                change(*read_faults(parsed(await request.body())))
            except (ValueError, RefusedError) as error:
                return JSONResponse({"error": str(error)}, 400)
            return JSONResponse(self._faults.in_force())

        return changed


def read_faults(script: Any) -> list[Fault]:
    """The faults of a script: one as a JSON object, or several in an array.

    Raises:
        ValueError: If it is no such script; it says what is wrong in it.
    """
    return [Fault.from_dict(item) for item in (script if isinstance(script, list) else [script])]

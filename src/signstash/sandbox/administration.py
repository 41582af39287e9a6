"""What is served below `/__sandbox/`: the faults to be changed, and the journal to be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .faults import Fault, Faults
from .journal import Journal
from .operations import Operations
from .page import page
from .refusals import RefusedError
from .requests import parsed

SHOWN = 200
"""How many documents the journal lists."""


ASSUMPTIONS: Final = (
    "Proxy and Integration Service share their external references. What came through a proxy cannot be consulted.",
    "References of requests and of documents are apart. One is used up even if the document is not signed.",
    "An operation that failed in part is EXECUTION_ERROR. An operation that is not there is 404.",
    "The Integration Service keeps signed contents for its ZIP, also without preservation. It sends no mails.",
    "A token that does not hold is refused with 409 and 0.0.10; a revoked one, by a fault, with 401.",
    "Files of a multipart request are matched by name, then by external reference, then by order.",
    "A signature at a placeholder begins at the lower left corner of the word. The area is 155 x 50 if none is given.",
    "2.2.1 comes with 500, if a picture is larger than its area.",
    "Values of another JSON type than the definition's are refused with 0.0.6.",
)
"""What the service does is not published; this is what the sandbox does."""


class Administration:
    """Shows and changes the sandbox itself. None of this is Sign'Stash.

    Args:
        operations: What was signed.
        faults: What fails.
        journal: What arrived.
        root_certificate: The root of the certificates, in PEM.
        settings: What clients are set up with, but for secrets.
    """

    def __init__(
        self,
        operations: Operations,
        faults: Faults,
        journal: Journal,
        root_certificate: bytes,
        settings: Mapping[str, str],
    ) -> None:
        self._operations = operations
        self._faults = faults
        self._journal = journal
        self._root_certificate = root_certificate
        self._settings = settings

    def routes(self) -> list[Route]:
        """The addresses."""
        return [
            Route("/__sandbox", self._overview),
            Route("/__sandbox/root.pem", self._root),
            Route("/__sandbox/documents/{number:int}", self._document),
            Route("/__sandbox/faults", self._list_faults),
            Route("/__sandbox/faults", self._change(self._faults.add), methods=["POST"]),
            Route("/__sandbox/faults", self._change(self._replace_faults), methods=["PUT"]),
            Route("/__sandbox/faults", self._clear_faults, methods=["DELETE"]),
        ]

    def _everything(self) -> dict[str, Any]:
        documents = self._operations.latest(SHOWN)
        for document in documents:
            document["kept"] |= self._journal.content(document["document"]) is not None
        return {
            "settings": self._settings,
            "requests": self._journal.arrivals(),
            "signed": self._operations.signatures("reference"),
            "documents": documents,
            "faults": self._faults.in_force(),
            "assumptions": ASSUMPTIONS,
        }

    async def _overview(self, request: Request) -> Response:
        everything = await asyncio.to_thread(self._everything)
        as_page = "text/html" in request.headers.get("accept", "")
        return page(everything) if as_page else JSONResponse(everything)

    async def _root(self, _: Request) -> Response:
        return Response(self._root_certificate, media_type="application/x-pem-file")

    async def _document(self, request: Request) -> Response:
        number = min(request.path_params["number"], 2**63 - 1)
        kept = await asyncio.to_thread(self._operations.content, number)
        content = kept if kept is not None else self._journal.content(number)
        if content is None:
            return Response("It is not kept, or there is no such document.", 404, media_type="text/plain")
        # Only what cannot run in the reader's browser is opened in it.
        pdf = content.startswith(b"%PDF-")
        disposition = "inline" if pdf else f"attachment; filename=document-{number}"
        return Response(
            content,
            headers={"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff"},
            media_type="application/pdf" if pdf else "application/octet-stream",
        )

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

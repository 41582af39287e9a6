"""Routes below `/__sandbox/`: the page, its JSON, faults, and trying documents. None of them is Sign'Stash."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any, Final

import attrs
import httpx
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from .assumptions import assumptions
from .error_responses import RejectedError
from .faults import Fault, Faults
from .operation_store import OperationStore
from .page import render_page
from .request_log import RequestLog
from .signing_requests import parse_json

MAX_DOCUMENTS: Final = 200
"""Number of documents that are listed."""

Try = Callable[[str, bytes, bool], Awaitable[Mapping[str, Any]]]
"""Signs a document of a name, visibly or not, and returns the outcome for the page."""

_JSON: Final = "application/json"
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_FAULT_NUMBERS: Final = ("times", "seconds", "status")
_ASSETS: Final = {"page.css": "text/css", "page.js": "text/javascript"}


@attrs.frozen(kw_only=True)
class Administration:
    """Shows and changes the state of the sandbox.

    Attributes:
        store: The operations.
        faults: The active faults.
        log: The received requests.
        root_certificate: The root of the certificates, in PEM.
        settings: Settings of clients, without secrets.
        reuse_failed_references: Whether references of documents that were not signed can be used again.
        host: The host that the sandbox is known by.
        try_document: Signs a document that was dropped on the page.
    """

    store: OperationStore
    faults: Faults
    log: RequestLog
    root_certificate: bytes
    settings: Mapping[str, str]
    reuse_failed_references: bool
    host: str
    try_document: Try
    _tried: list[Mapping[str, Any]] = attrs.field(factory=list, init=False)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            self._route("", self._overview, "GET"),
            self._route("/root.pem", self._root, "GET"),
            *(self._route(f"/{name}", _asset(name, kind), "GET") for name, kind in _ASSETS.items()),
            self._route("/documents/{number:int}", self._document, "GET"),
            self._route("/try", self._try, "POST"),
            self._route("/reset", self._reset, "POST"),
            self._route("/faults", self._list_faults, "GET"),
            self._route("/faults", self._add_faults, "POST"),
            self._route("/faults", self._replace_faults, "PUT"),
            self._route("/faults", self._clear_faults, "DELETE"),
            self._route("/faults/off", self._switch_off, "POST"),
        ]

    def reset(self) -> None:
        """Forget operations, references, requests, and faults. Certificates and tokens stay valid."""
        self.store.clear()
        self.log.clear()
        self.faults.clear()
        self._tried.clear()

    def _route(self, path: str, handler: Callable[[Request], Awaitable[Response]], method: str) -> Route:
        async def guarded(request: Request) -> Response:
            problem = self._problem(request)
            return Response(problem, 403, media_type="text/plain") if problem else await handler(request)

        return Route(f"/__sandbox{path}", guarded, methods=[method])

    def _problem(self, request: Request) -> str:
        """Why a request may come from a foreign page: DNS rebinding, or cross-site request forgery."""
        host = request.headers.get("host", "")
        if not _is_local_name(host, self.host):
            return f"Host is {host[:200]!r}. Use the address that the sandbox printed."
        own = {f"http://{host}", f"https://{host}"}
        foreign = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if request.method != "GET" and (foreign or request.headers.get("origin", f"http://{host}") not in own):
            return "The request comes from another site. Send it from the sandbox's own page."
        return ""

    def _everything(self) -> dict[str, Any]:
        documents = self.store.latest(MAX_DOCUMENTS)
        for document in documents:
            document["kept"] |= self.log.content(document["document"]) is not None
        return {
            "settings": self.settings,
            "requests": self.log.entries(),
            "signed": self.store.signatures("reference"),
            "documents": documents,
            "faults": self.faults.active(),
            "assumptions": assumptions(reuse_failed_references=self.reuse_failed_references),
        }

    async def _overview(self, request: Request) -> Response:
        everything = await asyncio.to_thread(self._everything)
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse(everything)
        return render_page(everything, self._tried[-1] if self._tried else None)

    async def _root(self, _: Request) -> Response:
        return Response(self.root_certificate, media_type="application/x-pem-file")

    async def _document(self, request: Request) -> Response:
        number = min(request.path_params["number"], 2**63 - 1)
        stored = await asyncio.to_thread(self.store.content, number)
        content = stored if stored is not None else self.log.content(number)
        if content is None:
            return Response("There is no such document, or it is no longer kept.", 404, media_type="text/plain")
        # Only PDFs are shown in the browser: XML could contain scripts.
        pdf = content.startswith(b"%PDF-")
        disposition = "inline" if pdf else f"attachment; filename=document-{number}"
        return Response(
            content,
            headers={"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff"},
            media_type="application/pdf" if pdf else "application/octet-stream",
        )

    async def _try(self, request: Request) -> Response:
        if _media_type(request) != "multipart/form-data":
            return _unsupported("multipart/form-data")
        async with request.form(max_files=1) as form:
            file = form.get("file")
            if isinstance(file, UploadFile) and file.filename:
                outcome = await self.try_document(file.filename, await file.read(), "visible" in form)
                self._tried[:] = [outcome]
        return _to_page("#try")

    async def _reset(self, request: Request) -> Response:
        await asyncio.to_thread(self.reset)
        return _to_page("") if _media_type(request) in _FORMS else JSONResponse({})

    async def _list_faults(self, _: Request) -> Response:
        return JSONResponse(self.faults.active())

    async def _clear_faults(self, _: Request) -> Response:
        self.faults.clear()
        return JSONResponse([])

    async def _add_faults(self, request: Request) -> Response:
        if _media_type(request) in _FORMS:
            return await self._switch_on(request)
        return await self._change_faults(request, replace=False)

    async def _replace_faults(self, request: Request) -> Response:
        return await self._change_faults(request, replace=True)

    async def _change_faults(self, request: Request, *, replace: bool) -> Response:
        if _media_type(request) != _JSON:
            return _unsupported(_JSON)
        try:
            faults = read_faults(parse_json(await request.body()))
        except (ValueError, RejectedError) as error:
            return JSONResponse({"error": str(error)}, 400)
        if replace:
            self.faults.clear()
        self.faults.add(*faults)
        return JSONResponse(self.faults.active())

    async def _switch_on(self, request: Request) -> Response:
        async with request.form(max_files=0) as form:
            try:
                self.faults.add(_fault_from_form(form))
            except ValueError as error:
                return Response(f"The fault is not valid: {error} Go back and change it.", 400, media_type="text/plain")
        return _to_page("#faults")

    async def _switch_off(self, request: Request) -> Response:
        async with request.form(max_files=0) as form:
            index = str(form.get("index", ""))
        if index.isdecimal():
            self.faults.remove(int(index))
        return _to_page("#faults")


def read_faults(script: Any) -> list[Fault]:
    """Read faults from JSON: one as an object, or several in an array.

    Raises:
        ValueError: If a fault is not valid.
    """
    return [Fault.from_dict(item) for item in (script if isinstance(script, list) else [script])]


def _fault_from_form(form: FormData) -> Fault:
    fields: dict[str, Any] = {name: text for name, text in form.items() if isinstance(text, str) and text.strip()}
    for name in _FAULT_NUMBERS:
        if name in fields:
            try:
                fields[name] = json.loads(fields[name])
            except ValueError:
                raise ValueError(f"{name} is {fields[name]!r}. Give a number.") from None
    return Fault.from_dict(fields)


def _asset(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def asset(_: Request) -> Response:
        return Response(files("signstash.sandbox").joinpath(name).read_bytes(), media_type=media_type)

    return asset


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _unsupported(expected: str) -> Response:
    return JSONResponse({"error": f"Content-Type must be {expected}."}, 415)


def _to_page(anchor: str) -> Response:
    return RedirectResponse(f"/__sandbox/{anchor}", 303)


def _is_local_name(host: str, known: str) -> bool:
    """Whether a `Host` can only mean this machine or this network: an address, or a name that no public DNS has."""
    try:
        name = httpx.URL(f"http://{host}").host
    except httpx.InvalidURL:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and (name == known or "." not in name or name.endswith(".localhost"))
    return True

"""Renders the sandbox's page: what was received and signed, a place to try documents, and switches for faults."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.responses import HTMLResponse

from .faults import KINDS

_MAX_ROWS: Final = 100
"""Number of requests that are shown."""

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",  # without a referrer, forms would have no Origin
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def render_page(overview: Mapping[str, Any], tried: Mapping[str, Any] | None = None) -> HTMLResponse:
    """Render the page.

    Args:
        overview: The state of the sandbox as JSON.
        tried: The outcome of the document that was dropped last, or None.
    """
    documents, requests = overview["documents"], overview["requests"][::-1]
    failed = [item for item in documents if not item["signed"]]
    rejected = [item for item in requests if not _succeeded(item)]
    settings = [(name, _code(value)) for name, value in overview["settings"].items()]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Sign'Stash sandbox</title>",
        "<meta name=viewport content='width=device-width'><link rel=stylesheet href='/__sandbox/page.css'>",
        "<link rel=icon href='data:,'><main>",
        "<header><h1>Sign'Stash sandbox</h1><form class=inline method=post action='/__sandbox/reset'>",
        "<button title='Forget documents, references, requests, and faults'>Reset</button></form></header>",
        "<p class=test>This is a test. Its signatures are real; its certificates are not qualified, and nobody trusts "
        "their <a href='/__sandbox/root.pem'>root</a>.</p>",
        "<div class=columns>",
        _section("Try a document", _try_form(tried), anchor="try"),
        _section("Faults", _faults(overview["faults"]), anchor="faults"),
        "</div>",
        _section(
            f"Documents ({sum(overview['signed'].values())} signed)",
            _table(
                ("operation", "document", "external reference", "through", "result", "signed file"),
                [_document_row(item) for item in documents],
            ),
        ),
        _section(
            "Latest errors",
            _table(
                ("what", "response", "reason"),
                [
                    (_text(item["name"]), _failure(item.get("signError", "ERROR_SIGNING")), _text(item["reason"]))
                    for item in failed[:20]
                ]
                + [(_request(item), _failure(_response(item)), _text(item["cause"])) for item in rejected[:20]],
            ),
        ),
        _section(
            "Requests, latest first",
            _table(
                ("time", "request", "client service", "response", "fault"),
                [
                    (_time(item), _request(item), _text(item["client_id"]), _response_cell(item), _text(item["fault"]))
                    for item in requests[:_MAX_ROWS]
                ],
            ),
        ),
        _section("Settings of clients", _table(("setting", "value"), settings)),
        _section(
            "What the sandbox assumes, because it is not published",
            "<ul>" + "".join(f"<li>{html.escape(text)}" for text in overview["assumptions"]) + "</ul>",
        ),
        "<p class=none>The same as JSON: request <code>application/json</code>.</p>",
        "</main><script src='/__sandbox/page.js'></script></html>",
    ]
    return HTMLResponse("".join(parts), headers=_HEADERS)


def _section(heading: str, content: str, *, anchor: str = "") -> str:
    identifier = f" id={anchor}" if anchor else ""
    return f"<section{identifier}><h2>{heading}</h2>{content}</section>"


def _try_form(tried: Mapping[str, Any] | None) -> str:
    return (
        "<form class=try method=post action='/__sandbox/try' enctype='multipart/form-data'>"
        "<label class=drop>Drop a PDF, an XML document, or any other file here, or choose one."
        "<input type=file name=file required></label>"
        "<div class=row><label><input type=checkbox name=visible checked> visible, in a PDF</label>"
        "<button class=main>Sign</button></div></form>" + ("" if tried is None else _outcome(tried))
    )


def _outcome(tried: Mapping[str, Any]) -> str:
    name = f"<b>{_text(tried['name'])}</b>"
    if "checks" not in tried:
        status = tried["status"] or "connection reset"
        details = [_text(item) for item in (tried["error"], tried["reason"]) if item]
        because = f": {', '.join(details)}" if details else ""
        verdict = f"<b class=bad>Not signed</b> (HTTP {status}){because}"
        lost = " It was signed, but the response was lost." if _was_lost(tried) else ""
        return f"<div class=outcome id=outcome>{name}: {verdict}.{lost}</div>"
    checks = "".join(
        f"<li class={'good' if passed else 'bad'}>{_text(what)}: {'yes' if passed else 'no'}"
        for what, passed in tried["checks"]
    )
    verdict = "Signed and verified" if all(passed for _, passed in tried["checks"]) else "Signed, but not valid"
    style = "good" if verdict == "Signed and verified" else "bad"
    return (
        f"<div class=outcome id=outcome>{name}: <b class={style}>{verdict}</b> ({tried['kind']}, "
        f"{tried['bytes']:,} bytes, then {tried['signedBytes']:,})<ul>{checks}</ul>"
        f"<a href='/__sandbox/documents/{tried['document']}'>Open the signed document</a></div>"
    )


def _was_lost(tried: Mapping[str, Any]) -> bool:
    return tried["fault"] in KINDS and KINDS[tried["fault"]].moment == "after"


def _faults(active: Iterable[Mapping[str, Any]]) -> str:
    options = "".join(
        f"<option value='{_text(name)}'>{_text(name)}: {_text(kind.meaning)}" for name, kind in KINDS.items()
    )
    fields = "".join(
        f"<label>{name} <input type=text name={name} placeholder='{placeholder}'></label>"
        for name, placeholder in (("times", "no limit"), ("seconds", ""), ("code", ""), ("status", ""), ("name", "*"))
    )
    return (
        "<form method=post action='/__sandbox/faults'>"
        f"<select name=kind class=kind aria-label='kind of fault'>{options}</select>"
        f"<div class=row>{fields}<button class=main>Switch on</button></div></form>"
        + _table(
            ("active", "on", "where", "how often", "occurred", ""),
            [_fault_row(index, item) for index, item in enumerate(active)],
        )
    )


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    body = "".join(f"<tr>{''.join(cell if cell[:3] == '<td' else f'<td>{cell}' for cell in row)}" for row in rows)
    if not body:
        return "<p class=none>None.</p>"
    return f"<table><tr>{''.join(f'<th>{heading}' for heading in headings)}{body}</table>"


def _document_row(item: Mapping[str, Any]) -> tuple[str, ...]:
    link = f"<a href='/__sandbox/documents/{item['document']}'>open</a>" if item["kept"] else "no longer kept"
    result = "<td class=good>SIGNED" if item["signed"] else _failure(item.get("signError", "ERROR_SIGNING"))
    return (
        str(item["operation"]), _text(item["name"]), _code(item["externalReference"]), _text(item["service"]), result,
        link if item["signed"] else "",
    )  # fmt: skip


def _fault_row(index: int, item: Mapping[str, Any]) -> tuple[str, ...]:
    often = "until switched off" if item["times"] is None else f"{item['times']}"
    share = f", {item['share']:.0%} of what matches" if item["share"] < 1 else ""
    where = ", ".join(f"{name} {item[name]}" for name in ("reference", "name") if item[name] != "*")
    button = (
        "<form class=inline method=post action='/__sandbox/faults/off'>"
        f"<input type=hidden name=index value={index}><button>Switch off</button></form>"
    )
    return _code(item["kind"]), item["on"], _text(where or "everywhere"), often + share, str(item["fired"]), button


def _time(item: Mapping[str, Any]) -> str:
    return f"<td class=time>{_text(item['time'][11:23])}"


def _request(item: Mapping[str, Any]) -> str:
    return f"{_text(item['method'])} {_code(item['path'])}"


def _response(item: Mapping[str, Any]) -> str:
    return f"{item['status'] or 'reset'} {item['error_code']}"


def _response_cell(item: Mapping[str, Any]) -> str:
    return f"<td class=good>{item['status']}" if _succeeded(item) else _failure(_response(item))


def _succeeded(item: Mapping[str, Any]) -> bool:
    return bool(200 <= item["status"] < 400)


def _failure(text: str) -> str:
    return f"<td class=bad>{_text(text)}"


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _text(text: object) -> str:
    return html.escape(str(text))

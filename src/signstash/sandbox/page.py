"""The journal as a page that a person can read. It holds no script and nothing from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.responses import HTMLResponse

_ROWS: Final = 100
"""How many requests are shown."""

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1b2733; max-width: 1150px; margin: 24px auto; padding: 0 16px }
h1 { font-size: 24px; margin-bottom: 0 } h2 { font-size: 18px; margin: 32px 0 8px }
.test { background: #fff3c4; border-left: 4px solid #d99a00; padding: 8px 12px }
table { border-collapse: collapse; width: 100% } th { text-align: left; color: #536471; font-weight: 600 }
th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid #e3e8ec; vertical-align: top; overflow-wrap: break-word }
th, td.time { white-space: nowrap } code { font-size: 13px; overflow-wrap: anywhere }
td.bad { color: #b3261e } td.good { color: #14692b } .none { color: #536471 }
"""


def page(overview: Mapping[str, Any]) -> HTMLResponse:
    """The page.

    Args:
        overview: The journal as JSON.
    """
    documents, requests = overview["documents"], overview["requests"][::-1]
    failed = [item for item in documents if not item["signed"]]
    refused = [item for item in requests if not _good(item)]
    settings = [(name, _code(value)) for name, value in overview["settings"].items()]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Sign'Stash sandbox</title>",
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>",
        "<h1>Sign'Stash sandbox</h1>",
        "<p class=test>This is a test. Its signatures are real, its certificates are not qualified, and nobody trusts "
        "their <a href='/__sandbox/root.pem'>root</a>.</p>",
        _table(("setting", "value"), settings),
        f"<h2>Documents ({len(overview['signed'])} signed)</h2>",
        _table(
            ("operation", "document", "external reference", "through", "result", "signed file"),
            [_document_row(item) for item in documents],
        ),
        "<h2>Last errors</h2>",
        _table(
            ("what", "answer", "why"),
            [(_text(item["name"]), _bad(item.get("signError", "")), _text(item["reason"])) for item in failed[:20]]
            + [(_asked(item), _bad(_answer(item)), _text(item["cause"])) for item in refused[:20]],
        ),
        "<h2>Faults in force</h2>",
        _table(("kind", "on", "where", "how often", "has struck"), [_fault_row(item) for item in overview["faults"]]),
        "<h2>Requests, newest first</h2>",
        _table(
            ("time", "request", "client service", "answer", "fault"),
            [
                (_time(item), _asked(item), _text(item["client_id"]), _answer_cell(item), _text(item["fault"]))
                for item in requests[:_ROWS]
            ],
        ),
        "<h2>What the sandbox assumes, because it is not published</h2>",
        "<ul>" + "".join(f"<li>{html.escape(text)}" for text in overview["assumptions"]) + "</ul>",
        "<p class=none>The same as JSON: ask for <code>application/json</code>.</p></html>",
    ]
    return HTMLResponse("".join(parts), headers=_HEADERS)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    body = "".join(f"<tr>{''.join(cell if cell[:3] == '<td' else f'<td>{cell}' for cell in row)}" for row in rows)
    if not body:
        return "<p class=none>None.</p>"
    return f"<table><tr>{''.join(f'<th>{head}' for head in heads)}{body}</table>"


def _document_row(item: Mapping[str, Any]) -> tuple[str, ...]:
    link = f"<a href='/__sandbox/documents/{item['document']}'>open</a>" if item["kept"] else "no longer kept"
    result = "<td class=good>SIGNED" if item["signed"] else _bad(item.get("signError", "not signed"))
    return (
        str(item["operation"]), _text(item["name"]), _code(item["externalReference"]), _text(item["service"]), result,
        link if item["signed"] else "",
    )  # fmt: skip


def _fault_row(item: Mapping[str, Any]) -> tuple[str, ...]:
    often = "until cleared" if item["times"] is None else f"{item['times']}"
    share = f", {item['share']:.0%} of what matches" if item["share"] < 1 else ""
    where = ", ".join(f"{name} {item[name]}" for name in ("reference", "name") if item[name] != "*")
    return _code(item["kind"]), item["on"], _text(where or "everything"), often + share, str(item["fired"])


def _time(item: Mapping[str, Any]) -> str:
    return f"<td class=time>{_text(item['time'][11:23])}"


def _asked(item: Mapping[str, Any]) -> str:
    return f"{_text(item['method'])} {_code(item['path'])}"


def _answer(item: Mapping[str, Any]) -> str:
    return f"{item['status'] or 'reset'} {item['error_code']}"


def _answer_cell(item: Mapping[str, Any]) -> str:
    return f"<td class=good>{item['status']}" if _good(item) else _bad(_answer(item))


def _good(item: Mapping[str, Any]) -> bool:
    return bool(200 <= item["status"] < 400)


def _bad(text: str) -> str:
    return f"<td class=bad>{_text(text)}"


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _text(text: str) -> str:
    return html.escape(str(text))

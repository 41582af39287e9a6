"""Reads JSON and headers of responses."""

from __future__ import annotations

import contextlib
import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final


def json_object(body: bytes) -> dict[str, Any] | None:
    """The body as a JSON object of few values, as errors and tokens are, or None if it is something else."""
    parsed = json_value(body, 1000)
    return parsed if isinstance(parsed, dict) else None


NOT_JSON = object()
"""What `json_value` returns for a body that is not JSON. The parser's own error would hold the body."""

VALUE_LIMIT: Final = 50_000
"""Values that a response may have. Parsing holds the interpreter, also in a thread: this many take ten milliseconds."""
DEPTH_LIMIT: Final = 64
"""Levels of nesting that are read; what is nested more deeply becomes null."""

_decode_json: Final = json.JSONDecoder(strict=False).decode
_TOKENS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[][{},]', re.DOTALL)  # also a string that does not end


def json_value(body: bytes, most_values: int = VALUE_LIMIT) -> Any:
    """The body as JSON: in Unicode, or in Latin-1 as some gateways write it."""
    limited = _limited(body, most_values)
    if limited is None:
        return NOT_JSON
    with contextlib.suppress(ValueError, RecursionError):
        try:
            text = limited.decode(json.detect_encoding(limited), "surrogatepass")
        except UnicodeDecodeError:
            text = limited.decode("latin-1")
        return _decode_json(text)
    return NOT_JSON


def operation_id_in(value: object) -> int | None:
    """An operation ID, as a number or as digits, or None if the value is something else. It is int64."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:20])
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def _limited(body: bytes, most_values: int) -> bytes | None:
    """The body without what is nested too deeply, or None if it has too many values."""
    brackets = body.count(b"{") + body.count(b"[")
    if body.count(b"\\") > 16 * most_values:  # an escape in a string costs less than a value
        return None
    if brackets <= DEPTH_LIMIT and brackets + body.count(b",") <= most_values:
        return body
    kept: list[bytes] = []
    values = depth = position = start = 0
    for tokens, match in enumerate(_TOKENS.finditer(body)):
        token = body[match.start()]
        values += token in b",{["  # not those within strings
        if values > most_values or tokens > 4 * most_values:
            return None
        if token in b"{[":
            depth += 1
            if depth == DEPTH_LIMIT + 1:
                start = match.start()
        elif token in b"}]":
            if depth == DEPTH_LIMIT + 1:
                kept += [body[position:start], b"null"]
                position = match.end()
            depth -= 1
    return b"".join([*kept, body[position:]])


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After` header (RFC 9110, section 10.2.3), given as seconds or as a date."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(value)
            # RFC 9110, section 5.6.7: the forms without a zone mean UTC as well.
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None

"""Reads JSON and headers of responses."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Mapping
from datetime import UTC
from typing import Any


def json_object(body: bytes) -> dict[str, Any] | None:
    """The body as a JSON object, or None if it is something else."""
    parsed = json_value(body)
    return parsed if isinstance(parsed, dict) else None


NOT_JSON = object()
"""What `json_value` returns for a body that is not JSON. The parser's own error would hold the body."""


def json_value(body: bytes) -> Any:
    """The body as JSON: in Unicode, or in Latin-1 as gateways write it."""
    text: bytes | str = body
    for _ in range(2):
        try:
            return json.loads(text, strict=False)
        except UnicodeDecodeError:
            text = body.decode("latin-1")
        except (ValueError, RecursionError):
            break
    return NOT_JSON


def operation_id_in(value: object) -> int | None:
    """An operation ID, as a number or as digits, or None if the value is something else. It is int64."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:20])
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


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

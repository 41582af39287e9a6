"""Patterns of the paths of the service's operations at any base URL, made from those of the generated endpoints."""

from __future__ import annotations

import re
from typing import Final

from .._transport.endpoints import (
    Call,
    detail,
    documents,
    operation_id,
    resend_mails,
    sign_base64,
    sign_multipart,
    status,
)
from ..models import SignRequestBase64Document, SignRequestDocument

_NUMBER: Final = 7_000_000_007
_REFERENCE: Final = "reference-of-a-document"


def _pattern(call: Call) -> str:
    """The pattern of a call's path, with groups for the parameters that the call was given."""
    path = re.escape(call.path.rstrip("/")).replace(re.escape(_REFERENCE), "(?P<reference>.+)")
    return path.replace(str(_NUMBER), "(?P<number>[0-9]+)").replace("true", "(?P<flag>true|false)") + "/?$"


SIGN_BASE64: Final = _pattern(sign_base64(SignRequestBase64Document("", "", []), (), folder=None))
SIGN_MULTIPART: Final = _pattern(sign_multipart(SignRequestDocument("", "", []), (), (), folder=None))
OPERATION_ID: Final = _pattern(operation_id(_REFERENCE))
STATUS: Final = _pattern(status(_NUMBER))
DETAIL: Final = _pattern(detail(_NUMBER, include_content=True))
DOCUMENTS: Final = _pattern(documents(_NUMBER))
RESEND_MAILS: Final = _pattern(resend_mails(_NUMBER, (), attach_documents=True))

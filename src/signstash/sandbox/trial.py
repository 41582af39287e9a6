"""Signs a document that a person dropped on the page, in the same way as a document of a request."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

import attrs

from .authorized_call import AuthorizedCall
from .error_responses import RejectedError
from .request_log import LoggedRequest, RequestLog
from .request_validation import Validation
from .signatures.check import check_signature
from .signing_endpoints import SigningEndpoints
from .signing_requests import SignRequest
from .token_server import Token

_CONTENT_TYPES: Final = {"PAdES": "application/pdf", "XAdES": "application/xml", "CAdES": "application/octet-stream"}
_VISIBLE: Final = {
    "locationType": "COORDINATE",
    "locationValue": "page=1,x=30,y=30",
    "area": "width=200,height=40",
    "areaBackgroundColor": "#FFF3C4",
    "templateType": "ONE_OFF",
    "oneOffTemplate": "Signed by $certificate.getCommonName()",
}


@attrs.frozen(kw_only=True)
class Trial:
    """Signs documents of the page.

    Attributes:
        signing: The endpoints that sign.
        validation: Validates requests.
        log: The request log.
        root_certificate: The root that signatures are checked with, in PEM.
    """

    signing: SigningEndpoints
    validation: Validation
    log: RequestLog
    root_certificate: bytes

    async def sign(self, name: str, content: bytes, visible: bool) -> Mapping[str, Any]:
        """Sign a document, as a client would ask for it.

        Args:
            name: Its file name.
            content: Its content.
            visible: Whether the signature is shown on the first page; for PDFs only.

        Returns:
            The outcome for the page.
        """
        kind = _signature_type(content)
        info: dict[str, Any] = {"signatureType": kind}
        if visible and kind == "PAdES":
            info["visibleSignatureInfo"] = _VISIBLE
        reference = f"page_{secrets.token_hex(6)}"
        described = {"externalReference": reference, "name": name, "contentType": _CONTENT_TYPES[kind]}
        fields = {
            "externalReference": reference,
            "description": "Dropped on the page",
            "documents": [{"documentRequest": described, "signatureInfo": info}],
        }
        entry = LoggedRequest("POST", "/__sandbox/try", client_id="page")
        outcome: dict[str, Any] = {"name": name, "kind": kind, "reference": reference, "bytes": len(content)}
        try:
            request = SignRequest(self.validation.sign_request(fields, "SignRequestDocument"), [content])
            call = AuthorizedCall("sign", "proxy", Token("page"), entry)
            response = await self.signing.respond(request, call)
        except RejectedError as error:
            response = error.response
            entry.error_code, entry.cause = error.error_code, error.cause
        entry.status = response.status_code
        self.log.add(entry)
        outcome |= {"status": entry.status, "error": entry.error_code, "reason": entry.cause, "fault": entry.fault}
        return outcome | await self._result(response.body)

    async def _result(self, body: bytes | memoryview) -> dict[str, Any]:
        try:
            (document,) = json.loads(bytes(body))["documentList"]
        except (ValueError, KeyError, TypeError):
            return {}
        result = {"document": document["internalId"], "signStatus": document["signStatus"]}
        signed = self.log.content(document["internalId"])
        if signed is None:
            return {**result, "error": document.get("signError", ""), "reason": document.get("causeMessage", "")}
        return {**result, "checks": await check_signature(signed, self.root_certificate), "signedBytes": len(signed)}


def _signature_type(content: bytes) -> str:
    if b"%PDF-" in content[:1024]:
        return "PAdES"
    text = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "XAdES" if text.startswith((b"<", b"\xff\xfe<\0", b"\xfe\xff\0<")) else "CAdES"

"""What the sandbox answers: the token endpoint, and the signing endpoints of a proxy under both its base paths."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ..models import SignatureInfo
from .definition import as_page, as_swagger2, load_definition
from .signatures import CannotSignError, SignatureMaker

TOKEN_PATH: Final = "/oauth2/authorization-server/oauth/token"  # noqa: S105 - a path
BASE_PATHS: Final = ("/signstash/einvoice-integration-ws", "/signstash/einvoice-integration-client-ws")
"""The two base paths that are documented for proxies (wiki: integration guide)."""


class RefusedError(Exception):
    """A request is refused as a whole, with one of the service's codes."""

    def __init__(self, status_code: int, error_code: str, description: str, cause: str) -> None:
        super().__init__(cause)
        self.response = JSONResponse(
            {"errorCode": error_code, "errorCodeDescription": description, "causeMessage": cause}, status_code
        )


@attrs.define
class Service:
    """The state of one sandbox.

    Attributes:
        credentials: Secrets of the client services, by alias.
        maker: Signs documents.
        token_lifetime: Seconds that a token lives.
        signatures: How often a document of each name was signed.
    """

    credentials: Mapping[str, str] = attrs.field(repr=False)
    maker: SignatureMaker
    token_lifetime: int = 86399
    signatures: Counter[str] = attrs.field(factory=Counter[str], init=False, repr=False)
    _tokens: dict[str, float] = attrs.field(factory=dict[str, float], init=False, repr=False)
    _references: set[str] = attrs.field(factory=set[str], init=False, repr=False)
    _numbers: itertools.count[int] = attrs.field(factory=lambda: itertools.count(1), init=False, repr=False)
    _definition: dict[str, Any] = attrs.field(factory=load_definition, init=False, repr=False)
    _key: bytes = attrs.field(factory=lambda: secrets.token_bytes(32), init=False, repr=False)

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [Route(TOKEN_PATH, self.issue_token, methods=["POST"])]
        for base in BASE_PATHS:
            routes += [
                Route(f"{base}/api/v0/document/sign/base64/", self.sign_base64, methods=["POST"]),
                Route(f"{base}/api/v0/document/sign/", self.sign_multipart, methods=["POST"]),
                Route(f"{base}/v3/api-docs", self.publish_openapi3),
                Route(f"{base}/v2/api-docs", self.publish_swagger2),
                Route(f"{base}/swagger-ui.html", self.publish_page),
            ]
        return Starlette(routes=routes)

    async def issue_token(self, request: Request) -> Response:
        """Step 1: a token for Basic credentials, refused as Spring's authorization server does it."""
        client_id, secret = _basic(request.headers.get("authorization", ""))
        expected = self.credentials.get(client_id)
        if expected is None or not secrets.compare_digest(expected.encode(), secret.encode()):
            refusal = {"error": "invalid_client", "error_description": "Bad client credentials"}
            return JSONResponse(refusal, 401, headers={"WWW-Authenticate": 'Basic realm="oauth2/client"'})
        async with request.form() as form:
            grant_type = form.get("grant_type")
        if grant_type != "client_credentials":
            refusal = {"error": "unsupported_grant_type", "error_description": f"Unsupported: {grant_type}"}
            return JSONResponse(refusal, 400)
        identifier = secrets.token_hex(16)
        token = self._jwt({"client_id": client_id, "jti": identifier, "exp": int(time.time()) + self.token_lifetime})
        self._tokens[token] = time.monotonic() + self.token_lifetime
        return JSONResponse(
            {
                "access_token": token,
                "token_type": "bearer",
                "expires_in": self.token_lifetime,
                "scope": "read write",
                "jti": identifier,
            }
        )

    async def sign_base64(self, request: Request) -> Response:
        """Sign documents whose contents are in the JSON."""

        def contents_of(fields: Mapping[str, Any]) -> list[bytes]:
            return [_decoded(item["documentRequest"].get("base64Content")) for item in fields["documents"]]

        try:
            self._check_token(request)
            fields = await asyncio.to_thread(_request_fields, await request.body())
            return await self._sign(fields, await asyncio.to_thread(contents_of, fields))
        except RefusedError as refused:
            return refused.response

    async def sign_multipart(self, request: Request) -> Response:
        """Sign documents whose contents are multipart files, matched by name, by reference, or else by order."""
        try:
            self._check_token(request)
            async with request.form(max_files=1000, max_part_size=64 * 1024 * 1024) as form:
                described = form.get("signRequest")
                if described is None:
                    raise _missing("signRequest")
                text = described.encode() if isinstance(described, str) else await described.read()
                fields = _request_fields(text)
                files = [item for item in form.getlist("files") if isinstance(item, UploadFile)]
                if len(files) != len(fields["documents"]):
                    raise _missing("files")
                by_name = {file.filename: file for file in files}
                contents = []
                for item, file in zip(fields["documents"], files, strict=True):
                    document = item["documentRequest"]
                    named = by_name.get(document["name"]) or by_name.get(document["externalReference"])
                    contents.append(await (named or file).read())
            return await self._sign(fields, contents)
        except RefusedError as refused:
            return refused.response

    async def publish_openapi3(self, _: Request) -> Response:
        """The definition as springdoc publishes it."""
        return JSONResponse(self._definition)

    async def publish_swagger2(self, request: Request) -> Response:
        """The definition as springfox publishes it."""
        return JSONResponse(as_swagger2(self._definition, request.url.netloc))

    async def publish_page(self, _: Request) -> Response:
        """The definition as a page to read."""
        return HTMLResponse(as_page(self._definition))

    async def _sign(self, fields: Mapping[str, Any], contents: Sequence[bytes]) -> Response:
        references = [fields["externalReference"]]
        references += [item["documentRequest"]["externalReference"] for item in fields["documents"]]
        for reference in references:
            if reference in self._references or references.count(reference) > 1:
                raise RefusedError(409, "0.0.7", "Information already exists.", f"externalReference {reference}")
        self._references.update(references)
        signed = [
            await asyncio.to_thread(self._sign_document, item, content)
            for item, content in zip(fields["documents"], contents, strict=True)
        ]
        if not fields.get("returnSignedContent"):
            for document in signed:
                document.pop("signedContent", None)
        self.signatures.update(document["name"] for document in signed if document["signStatus"] == "SIGNED")
        executed = all(document["signStatus"] == "SIGNED" for document in signed)
        operation = {
            "id": next(self._numbers),
            "type": "SIGN",
            # What a partly failed batch reports as a whole is not published.
            "status": "EXECUTED" if executed else "EXECUTION_ERROR",
            "creationDate": time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime()),
            "documentList": signed,
        }
        body = await asyncio.to_thread(json.dumps, operation)
        return Response(body, media_type="application/json")

    def _sign_document(self, item: Mapping[str, Any], content: bytes) -> dict[str, Any]:
        described = item["documentRequest"]
        answer = {name: described[name] for name in ("externalReference", "name", "contentType")}
        try:
            signed = self.maker.sign(content, SignatureInfo.from_dict(item["signatureInfo"]))
        except CannotSignError as error:
            return {**answer, "signStatus": "ERROR_SIGNING", "signError": error.sign_error}
        return {
            **answer,
            "signStatus": "SIGNED",
            "signError": None,
            "storageStatus": "CONTENT_NOT_STORED",
            "contentLength": len(signed),
            "signedContent": base64.b64encode(signed).decode(),
        }

    def _check_token(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or self._tokens.get(token, 0.0) <= time.monotonic():
            raise RefusedError(409, "0.0.10", "Access token expired or invalid.", "token")

    def _jwt(self, claims: Mapping[str, Any]) -> str:
        head, body = (_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        signature = hmac.new(self._key, f"{head}.{body}".encode(), hashlib.sha256).digest()
        return f"{head}.{body}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _basic(header: str) -> tuple[str, str]:
    """User and password of HTTP Basic authentication (RFC 7617), or two empty texts."""
    scheme, _, encoded = header.partition(" ")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (user, password) if scheme.lower() == "basic" else ("", "")


def _request_fields(body: bytes) -> dict[str, Any]:
    """The described request, with everything that the definition requires."""
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise RefusedError(500, "0.0.2", "Mandatory attribute is missing.", "malformed JSON") from error
    _require(fields, "signRequest", ("externalReference", str), ("description", str), ("documents", list))
    if not fields["documents"]:
        raise _missing("signRequest.documents")
    for item in fields["documents"]:
        _require(item, "documents[]", ("documentRequest", dict), ("signatureInfo", dict))
        _require(
            item["documentRequest"], "documentRequest", ("externalReference", str), ("name", str), ("contentType", str)
        )
        _require(item["signatureInfo"], "signatureInfo", ("signatureType", str))
        if item["signatureInfo"].get("visibleSignatureInfo") is not None:
            visible = item["signatureInfo"]["visibleSignatureInfo"]
            _require(visible, "visibleSignatureInfo", ("locationType", str), ("locationValue", str))
    if fields.get("preservationInfo") is not None:
        _require(fields["preservationInfo"], "preservationInfo", ("preserveContent", bool))
    return dict(fields)


def _require(fields: object, where: str, *required: tuple[str, type]) -> None:
    for name, kind in required:
        if not isinstance(fields, dict) or not isinstance(fields.get(name), kind) or fields[name] == "":
            raise _missing(f"{where}.{name}")


def _missing(what: str) -> RefusedError:
    return RefusedError(500, "0.0.2", "Mandatory attribute is missing.", f"missing {what}")


def _decoded(text: object) -> bytes:
    try:
        content = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        content = b""
    if not content:
        raise _missing("documentRequest.base64Content")
    return content

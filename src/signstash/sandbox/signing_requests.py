"""Reads signing requests: JSON with contents in base64, or multipart with files."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .error_responses import RejectedError, rejected
from .request_validation import MAX_DOCUMENTS, Validation

MAX_PART_SIZE: Final = 64 * 1024 * 1024
"""Bytes of the JSON part of a multipart request."""


@attrs.frozen
class SignRequest:
    """A valid signing request.

    Attributes:
        fields: Its JSON, without nulls.
        contents: Contents of the documents, in their order.
    """

    fields: dict[str, Any] = attrs.field(repr=False)
    contents: Sequence[bytes] = attrs.field(repr=False)

    @property
    def reference(self) -> str:
        """External reference of the request."""
        return str(self.fields["externalReference"])

    @property
    def document_references(self) -> list[str]:
        """External references of the documents."""
        return [item["documentRequest"]["externalReference"] for item in self.fields["documents"]]

    @property
    def names(self) -> list[str]:
        """Names of the documents."""
        return [item["documentRequest"]["name"] for item in self.fields["documents"]]


async def read_base64(request: Request, validation: Validation) -> SignRequest:
    """Read a request with contents in the JSON.

    Raises:
        RejectedError: If it is not valid.
    """
    return await asyncio.to_thread(_base64_request, await read_json(request), validation)


async def read_json(request: Request) -> bytes:
    """Read the body of a JSON request. A missing `Content-Type` is accepted.

    Raises:
        RejectedError: If its `Content-Type` is not JSON.
    """
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise RejectedError(Response(status_code=415), cause=f"Content-Type is {media_type}, not application/json")
    return await request.body()


async def read_multipart(request: Request, validation: Validation) -> SignRequest:
    """Read a request with contents as files, which are matched by name, by external reference, or by order.

    How the service matches them is not published.

    Raises:
        RejectedError: If it is not valid.
    """
    try:
        async with request.form(max_files=MAX_DOCUMENTS, max_part_size=MAX_PART_SIZE) as form:
            described = form.get(validation.request_part)
            if described is None:
                raise rejected("0.0.2", f"missing {validation.request_part}")
            text = described.encode() if isinstance(described, str) else await described.read()
            fields = await asyncio.to_thread(validation.sign_request, parse_json(text), "SignRequestDocument")
            files = [item for item in form.getlist(validation.files_part) if isinstance(item, UploadFile)]
            if len(files) != len(fields["documents"]):
                found = f"{len(files)} for {len(fields['documents'])} documents"
                raise rejected("0.0.2", f"missing {validation.files_part}: {found}")
            documents = [item["documentRequest"] for item in fields["documents"]]
            contents = [await file.read() for file in _in_order(files, documents)]
    except HTTPException as error:  # Starlette raises it for a malformed body
        raise rejected("0.0.2", f"malformed multipart: {error.detail}") from error
    return SignRequest(fields, contents)


def _in_order(files: Sequence[UploadFile], documents: Sequence[Mapping[str, Any]]) -> Sequence[UploadFile]:
    """Sort files in the order of their documents, by the first field that identifies all of them."""
    by_name = {file.filename: file for file in files}
    for field in ("name", "externalReference"):
        if len(by_name) == len(files) and by_name.keys() == {document[field] for document in documents}:
            return [by_name[document[field]] for document in documents]
    return files


def parse_json(body: bytes) -> Any:
    """Parse a JSON body.

    Raises:
        RejectedError: If it is malformed.
    """
    try:
        return json.loads(body, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise rejected("0.0.2", "malformed JSON") from error


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _base64_request(body: bytes, validation: Validation) -> SignRequest:
    fields = validation.sign_request(parse_json(body), "SignRequestBase64Document")
    return SignRequest(fields, [_decoded(item["documentRequest"].pop("base64Content")) for item in fields["documents"]])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise rejected("0.0.6", "documentRequest.base64Content is not base64") from error

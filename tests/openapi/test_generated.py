"""Defects of the plain generated client that must not reach the user: one test for each."""

from __future__ import annotations

import copy
import json
import math
import pickle
import traceback
import zoneinfo
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import respx
from starlette.datastructures import UploadFile
from starlette.requests import Request

from signstash import (
    ApiError,
    ConfigurationError,
    Document,
    ServiceError,
    SignStash,
    SignStashError,
    TokenRejectedError,
    UnexpectedResponseError,
    VisibleSignature,
    models,
)
from signstash._generated.api.operation_management import (
    get_operation_id_by_document_external_reference,
    get_sign_operation_detail,
    get_sign_operation_documents_content,
    get_status,
    resend_delivery_mails,
)
from signstash._generated.client import Client
from signstash._generated.errors import UnexpectedStatus
from signstash._generated.types import UNSET, parse_datetime
from tests.conftest import (
    BASE_URL,
    CLIENT_SECRET,
    DEFINITION,
    FILES_PART,
    MULTIPART_PATH,
    PDF,
    REQUEST_PART,
    TOKEN,
    TOKEN_URL,
    MockedService,
    mock_signed,
    new_client,
    pdf,
    signed_response,
    url_of,
    zipped,
)

STATUS_URL = url_of("getStatus", operationId=7)
MOMENT = datetime(2025, 2, 10, 10, 19, 21, 648000, tzinfo=UTC)
SECRET = "bmV2ZXItc2hvd24="


def unpickled(value: object) -> Any:
    return pickle.loads(pickle.dumps(value))


def server_request(sent: httpx.Request) -> Request:
    """The request as the standard library's parser reads it."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": sent.content, "more_body": False}

    headers = [(name.lower(), value) for name, value in sent.headers.raw]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


COPIES = pytest.mark.parametrize("copied", [unpickled, copy.copy, copy.deepcopy])


class TestMultipart:
    """A fixed boundary lets a document inject a second `signRequest` part."""

    @pytest.fixture
    def route(self, service: MockedService) -> respx.Route:
        return service.router.post(BASE_URL + MULTIPART_PATH).respond(json={"id": 1, "documentList": []})

    @pytest.fixture
    async def multipart(self, route: respx.Route) -> AsyncIterator[SignStash]:
        async with new_client(upload="multipart") as client:
            yield client

    @pytest.mark.parametrize("name", ["invoice.pdf", 'a"; name="signRequest', "Fatura nº 31 março.pdf"])
    async def test_a_document_cannot_inject_a_part(self, multipart: SignStash, route: respx.Route, name: str) -> None:
        forged = b'{"externalReference":"forged","description":"forged","documents":[]}'
        disposition = f'Content-Disposition: form-data; name="{REQUEST_PART}"'.encode()
        header = disposition + b"\r\nContent-Type: application/json\r\n\r\n"
        content = PDF + b"\r\n--+++\r\n" + header + forged + b"\r\n--+++--\r\n"

        await multipart.sign_batch([Document.pdf(content, name=name)], external_reference="genuine")

        sent = route.calls.last.request
        async with server_request(sent).form() as form:
            (file,), (described,) = form.getlist(FILES_PART), form.getlist(REQUEST_PART)
            assert isinstance(file, UploadFile)
            assert await file.read() == content
            assert file.content_type == "application/pdf"
            request = json.loads(await described.read() if isinstance(described, UploadFile) else described)
            assert len(form.multi_items()) == 2
        assert request["externalReference"] == "genuine"
        assert [item["documentRequest"]["name"] for item in request["documents"]] == [name]

    async def test_the_boundary_differs_each_time(self, multipart: SignStash, route: respx.Route) -> None:
        for _ in range(3):
            await multipart.sign_batch([pdf(name="a.pdf")])

        boundaries = {call.request.headers["content-type"].partition("boundary=")[2] for call in route.calls}
        assert len(boundaries) == 3
        assert min(map(len, boundaries)) >= 32

    async def test_the_request_is_a_json_part(self, multipart: SignStash, route: respx.Route) -> None:
        await multipart.sign_batch([pdf(name="a.pdf")])

        part = f'name="{REQUEST_PART}"\r\nContent-Type: application/json\r\n\r\n{{"'.encode()
        assert part in route.calls.last.request.content


class TestPaths:
    """`..` and empty values reach other paths; booleans are sent as `True`."""

    @pytest.mark.parametrize("reference", ["", ".", "..", "a\x00b", "a\nb", "a\x7fb", "\ud800", None, 7])
    async def test_values_that_reach_another_path_raise(
        self, client: SignStash, service: MockedService, reference: Any
    ) -> None:
        with pytest.raises(ConfigurationError, match="external_reference is"):
            await client.get_operation_id(reference)

        assert len(service.router.calls) == 0

    @pytest.mark.parametrize("reference", ["", ".", "..", "a\x00b", "a\r\nb"])
    def test_generated_functions_raise_for_values_that_reach_another_path(self, reference: str) -> None:
        with pytest.raises(ValueError, match="path parameter"):
            get_operation_id_by_document_external_reference._get_kwargs(reference)

    @pytest.mark.parametrize(
        ("reference", "segment"),
        [
            ("a/../b", "a%2F..%2Fb"),
            ("../..", "..%2F.."),
            ("%2e%2e", "%252e%252e"),
            ("FT 2026/31?x#y", "FT%202026%2F31%3Fx%23y"),
            ("a\u2028b", "a%E2%80%A8b"),
        ],
    )
    async def test_a_path_value_is_one_segment(
        self, client: SignStash, service: MockedService, reference: str, segment: str
    ) -> None:
        route = service.router.get(path__startswith="/").respond(json=7)

        assert await client.get_operation_id(reference) == 7
        path = route.calls.last.request.url.raw_path.decode()
        assert path.endswith(f"/withDocumentExternalReference/{segment}")

    async def test_booleans_in_paths_are_in_lower_case(self, client: SignStash, service: MockedService) -> None:
        route = service.router.route(path__regex="/(true|false)$").respond(json={"id": 7})

        for chosen in (True, False):
            await client.get_operation(7, include_content=chosen)
            await client.resend_mails(7, ["ana@example.test"], attach_documents=chosen)

        assert [call.request.url.path.split("/")[-1] for call in route.calls] == ["true", "true", "false", "false"]


class TestEnums:
    """An unknown enum value makes the whole response unreadable."""

    MODELS = tuple(getattr(models, name) for name in dir(models))
    ENUMS = tuple(item for item in MODELS if isinstance(item, type) and issubclass(item, StrEnum))

    @pytest.mark.parametrize("enum", ENUMS)
    def test_an_unknown_enum_value_is_kept(self, enum: type[StrEnum]) -> None:
        value = enum("ARCHIVED")

        assert isinstance(value, enum)
        assert (value, value.value, str(value), f"{value}") == ("ARCHIVED",) * 4
        assert "ARCHIVED" in repr(value)
        assert value == enum("ARCHIVED")
        assert hash(value) == hash(enum("ARCHIVED"))
        assert value not in list(enum)
        for again in (unpickled(value), copy.copy(value), copy.deepcopy(value)):
            assert (type(again), again, again.value) == (enum, value, "ARCHIVED")

    def test_known_enum_values_and_other_types_are_unchanged(self) -> None:
        assert {models.SigningStatus, models.ContentType} < {*self.ENUMS}
        assert models.SigningStatus("SIGNED") is models.SigningStatus.SIGNED
        assert models.SigningStatus("signed") is not models.SigningStatus.SIGNED
        with pytest.raises(ValueError, match="not a valid SigningStatus"):
            models.SigningStatus(5)  # type: ignore[arg-type]

    async def test_an_unknown_enum_value_passes_through_the_client(
        self, client: SignStash, service: MockedService
    ) -> None:
        service.router.get(STATUS_URL).respond(json={"id": 7, "status": "ARCHIVED", "type": "SIGN"})

        operation = await client.get_status(7)

        assert operation.status == "ARCHIVED"
        assert operation.type_ is models.OperationType.SIGN
        assert operation.to_dict() == {"id": 7, "status": "ARCHIVED", "type": "SIGN"}


@pytest.mark.own_definition
class TestNull:
    """`null` for an optional field makes the whole response unreadable, or is stored against its type."""

    OPTIONAL = tuple(
        (schema, field)
        for schema, described in DEFINITION["components"]["schemas"].items()
        for field in described.get("properties", {}).keys() - {*described.get("required", [])}
    )

    @pytest.mark.parametrize("schema", dict(OPTIONAL))
    def test_null_is_absent(self, schema: str) -> None:
        model = getattr(models, schema)
        names = [field for name, field in self.OPTIONAL if name == schema]

        read = model.from_dict({**required_values(schema), **dict.fromkeys(names)})

        absent = [field.name for field in attrs.fields(model) if getattr(read, field.name) is UNSET]
        assert len(absent) == len(names)
        assert read == model.from_dict(required_values(schema))
        assert not names & read.to_dict().keys()

    def test_an_unknown_field_keeps_its_null(self) -> None:
        read = models.BaseOperation.from_dict({"id": 7, "newField": None})

        assert read.additional_properties == {"newField": None}
        assert read.to_dict() == {"id": 7, "newField": None}


def required_values(schema: str) -> dict[str, Any]:
    """The fields that a schema requires, filled in."""
    described = DEFINITION["components"]["schemas"][schema]
    filled: dict[str, Any] = {}
    for name in described.get("required", []):
        field = described["properties"][name]
        (reference,) = field.get("allOf", [{}])
        nested = reference.get("$ref", "").rpartition("/")[2]
        if nested and "enum" in DEFINITION["components"]["schemas"][nested]:
            filled[name] = DEFINITION["components"]["schemas"][nested]["enum"][0]
        else:
            filled[name] = required_values(nested) if nested else {"array": [], "boolean": True}.get(field["type"], "x")
    return filled


class TestDates:
    """Dates in other formats make the whole response unreadable, and those without a zone are naive."""

    @pytest.mark.parametrize(
        ("written", "moment"),
        [
            ("2025-02-10T10:19:21.648Z", MOMENT),
            ("2025-02-10T10:19:21.648+0000", MOMENT),
            ("2025-02-10T10:19:21.648+00:00", MOMENT),
            ("2025-02-10T11:19:21.648+01:00", MOMENT),
            ("2025-02-10T10:19:21.648Z[UTC]", MOMENT),
            ("2025-02-10T10:19:21.648123456Z", MOMENT.replace(microsecond=648123)),
            ("2025-02-10 10:19:21.648", MOMENT),
            ("2025-07-10 10:19:21.648", datetime(2025, 7, 10, 9, 19, 21, 648000, tzinfo=UTC)),
            ("2025-07-10", datetime(2025, 7, 9, 23, tzinfo=UTC)),
            (" 2025-02-10T10:19:21.648Z ", MOMENT),
            (1739182761648, MOMENT),
            (1739182761.648, MOMENT),
            (1739182761, MOMENT.replace(microsecond=0)),
            ("1739182761648", MOMENT),
            (0, datetime(1970, 1, 1, tzinfo=UTC)),
        ],
    )
    def test_date_formats_of_the_service_are_read(self, written: object, moment: datetime) -> None:
        read = models.BaseOperation.from_dict({"id": 7, "creationDate": written}).creation_date

        assert isinstance(read, datetime)
        assert read.utcoffset() is not None
        assert read == moment

    @pytest.mark.own_definition
    def test_every_date_field_reads_these_formats(self) -> None:
        for name, described in DEFINITION["components"]["schemas"].items():
            for field, item in described.get("properties", {}).items():
                if item.get("format") == "date-time":
                    read = getattr(models, name).from_dict(required_values(name) | {field: 1739182761648})
                    assert MOMENT in attrs.asdict(read, recurse=False).values(), f"{name}.{field}"

    def test_dates_are_read_without_a_time_zone_database(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(key: str) -> None:
            raise zoneinfo.ZoneInfoNotFoundError(key)

        monkeypatch.setattr(zoneinfo, "ZoneInfo", missing)

        assert parse_datetime("2025-07-10 10:19:21") == datetime(2025, 7, 10, 10, 19, 21, tzinfo=UTC)

    @pytest.mark.parametrize("written", ["", "soon", "10-02-2025 10:19:21", True, [2025, 2, 10], {}, 1e300])
    async def test_an_unreadable_date_does_not_affect_other_fields(
        self, client: SignStash, service: MockedService, written: Any
    ) -> None:
        dated = {"receptionDate": written, "storageEndDate": "2025-02-10 10:19:21.648"}
        service.sign.mock(side_effect=lambda request: signed_response(request, lambda document: document | dated))

        signed = await client.sign(pdf(name="a.pdf"))

        assert signed.content == mock_signed(PDF)
        assert signed.details.reception_date is UNSET
        assert signed.details.additional_properties == {"receptionDate": written}
        assert signed.details.storage_end_date == MOMENT


class TestUnset:
    """`UNSET` is another object after pickle and deepcopy, and leaks into JSON."""

    @COPIES
    def test_unset_stays_a_singleton(self, copied: Any) -> None:
        assert copied(UNSET) is UNSET
        assert not UNSET
        assert repr(UNSET) == "UNSET"

    @COPIES
    def test_a_copied_model_is_unchanged(self, copied: Any) -> None:
        operation = models.SignOperation.from_dict({"id": 7, "folder": {"folderId": "f"}, "newField": 1})

        again = copied(operation)

        assert again == operation
        assert again.status is UNSET
        assert json.dumps(again.to_dict()) == json.dumps(operation.to_dict())


class TestRepr:
    """`repr` shows the token and the contents of documents."""

    @pytest.mark.parametrize(
        "value",
        [
            models.Base64Document.from_dict(required_values("Base64Document") | {"base64Content": SECRET}),
            models.DocumentResponse(signed_content=SECRET),
            models.VisibleSignatureInfo.from_dict(required_values("VisibleSignatureInfo") | {"imageValue": SECRET}),
            models.SignOperation(document_list=[models.DocumentResponse(signed_content=SECRET)]),
            VisibleSignature(field="f", image=SECRET.encode()),
            Document.pdf(SECRET.encode(), name="a.pdf"),
            Document.pdf(BytesIO(SECRET.encode()), name="a.pdf"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_the_repr_shows_no_contents(self, value: object) -> None:
        assert SECRET not in repr(value)
        assert type(value).__name__ in repr(value)

    async def test_the_repr_shows_no_credentials(self, client: SignStash, service: MockedService) -> None:
        await client.sign(pdf(name="a.pdf"))

        for value in (client, client.generated, client._exchange, client._exchange.auth):
            assert TOKEN not in repr(value)
            assert CLIENT_SECRET not in repr(value)


class TestStatus:
    """A status that is not registered crashes; failures are returned as values or as None."""

    @pytest.mark.parametrize("status_code", [520, 599])
    def test_a_status_code_without_a_name_is_accepted(self, status_code: int) -> None:
        with pytest.raises(UnexpectedStatus) as failed:
            get_status._build_response(client=Client(BASE_URL), response=httpx.Response(status_code, json={"id": 7}))

        assert failed.value.status_code == status_code

    @pytest.mark.parametrize(
        ("status_code", "response", "error"),
        [
            (520, {"html": "<html>Unknown</html>"}, UnexpectedResponseError),
            (503, {}, ServiceError),
            (500, {"content": b"\xff\xfe"}, SignStashError),
            (401, {"html": "<html>Login</html>"}, TokenRejectedError),
            (403, {}, ApiError),
            (302, {"headers": {"location": "/login"}}, UnexpectedResponseError),
            (200, {}, UnexpectedResponseError),
            (200, {"html": "<html>Login</html>"}, UnexpectedResponseError),
        ],
    )
    async def test_failure_statuses_raise(
        self, client: SignStash, service: MockedService, status_code: int, response: Any, error: type[SignStashError]
    ) -> None:
        service.router.get(STATUS_URL).respond(status_code, **response)

        for ask in (client.get_status, partial(get_status.asyncio, client=client.generated)):
            with pytest.raises(error):
                await ask(7)

    @pytest.mark.parametrize(
        ("status_code", "response", "why"),
        [
            (201, {"json": {"id": 7}}, "has a status that the definition does not name"),
            (204, {}, "has a status that the definition does not name"),
            (200, {"html": "<html>Login</html>"}, "is not JSON"),
            (200, {"json": ["FT 2026/31"]}, "does not fit the definition (AttributeError)"),
            (200, {"json": {"creationDate": "FT 2026/31"}}, "does not fit the definition (ValueError)"),
            (200, {"json": {"issuerCompany": "FT 2026/31"}}, "does not fit the definition (AttributeError)"),
        ],
    )
    async def test_an_unreadable_success_raises_an_error_of_the_sdk(
        self, client: SignStash, service: MockedService, status_code: int, response: Any, why: str
    ) -> None:
        service.router.get(STATUS_URL).respond(status_code, **response)

        with pytest.raises(UnexpectedResponseError) as caught:
            await get_status.asyncio(7, client=client.generated)

        assert why in str(caught.value)
        assert "FT 2026/31" not in "".join(traceback.format_exception(caught.value))
        assert caught.value.status_code == status_code
        assert not caught.value.maybe_processed

    async def test_an_unreadable_success_of_a_writing_call_may_have_been_processed(
        self, client: SignStash, service: MockedService
    ) -> None:
        service.router.post(path__regex="/delivery/").respond(202)

        with pytest.raises(UnexpectedResponseError) as caught:
            await resend_delivery_mails.asyncio(7, False, client=client.generated, body=["ana@example.test"])

        assert caught.value.maybe_processed

    def test_an_unreadable_success_of_the_generated_client_raises_its_own_error(self) -> None:
        with pytest.raises(UnexpectedStatus):
            get_status._build_response(
                client=Client(BASE_URL, raise_on_unexpected_status=True), response=httpx.Response(201)
            )


class TestTimeouts:
    """A timeout that is left out means none at all."""

    async def everything(self, client: SignStash, service: MockedService, tmp_path: Path) -> list[httpx.Request]:
        """The requests of every method of the client."""
        service.router.get(path__regex="/withDocumentExternalReference/").respond(json=7)
        service.router.get(path__regex="/documents$").respond(content=zipped({}))
        service.router.route(path__regex="/api/").respond(json={"id": 7, "documentList": []})
        await client.sign_batch([pdf(name="a.pdf")])
        await client.get_operation_id("r")
        await client.get_status(7)
        await client.get_operation(7, include_content=True)
        await client.download_documents(7, tmp_path)
        await client.resend_mails(7, ["ana@example.test"])
        for function in (get_status, get_sign_operation_documents_content):
            await function.asyncio_detailed(7, client=client.generated)
        await get_sign_operation_detail.asyncio(7, False, client=client.generated)
        await resend_delivery_mails.asyncio_detailed(7, False, client=client.generated, body=["ana@example.test"])
        return [call.request for call in service.router.calls]

    @pytest.mark.parametrize("upload", ["base64", "multipart"])
    @pytest.mark.parametrize("own", [False, True], ids=["made", "given"])
    async def test_every_request_has_four_timeouts(
        self, service: MockedService, upload: Any, own: bool, tmp_path: Path
    ) -> None:
        async with httpx.AsyncClient(timeout=None) as http_client:
            given: dict[str, Any] = {"http_client": http_client} if own else {}
            async with new_client(upload=upload, **given) as client:
                requests = await self.everything(client, service, tmp_path)

        assert len(requests) == 11
        assert str(requests[0].url) == TOKEN_URL
        for request in requests:
            limits = request.extensions["timeout"]
            assert limits.keys() == {"connect", "read", "write", "pool"}
            assert all(value is not None and 0 < value < math.inf for value in limits.values())

    async def test_timeouts_are_those_requested(self, service: MockedService, tmp_path: Path) -> None:
        limits = httpx.Timeout(7, connect=3)
        async with new_client(timeout=limits) as client:
            requests = await self.everything(client, service, tmp_path)

        assert all(request.extensions["timeout"] == limits.as_dict() for request in requests[1:])

    @pytest.mark.parametrize("name", ["timeout", "deadline"])
    @pytest.mark.parametrize("value", [None, math.inf, math.nan, 0])
    def test_missing_and_infinite_timeouts_raise(self, name: str, value: Any) -> None:
        limits: dict[str, Any] = {name: value}
        with pytest.raises(ConfigurationError, match=f"{name} is"):
            new_client(**limits)

    @pytest.mark.parametrize("part", ["connect", "read", "write", "pool"])
    @pytest.mark.parametrize("value", [None, math.inf])
    def test_incomplete_timeouts_raise(self, part: str, value: float | None) -> None:
        limits = httpx.Timeout(5, **{part: value})
        with pytest.raises(ConfigurationError, match=rf"timeout\.{part} is"):
            new_client(timeout=limits)

"""Definitions from springfox and springdoc: what each adds to the contract, or why it is rejected."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import yaml

from .conftest import DEFINITIONS, Change, Definition, contract, published, schema

Lay = Callable[[bytes | Definition], Any]

BASE64, FILES, STATUS = (
    "/api/v0/document/sign/base64/",
    "/api/v0/document/sign/",
    "/api/v0/operation/status/{operationId}",
)
SIGN, SIGN_FILES, GET_STATUS = "signDocumentBatchBase64", "signDocumentBatchBinary", "getStatus"
QUERIES = {
    "resendDeliveryMails",
    "getOperationIdByDocumentExternalReference",
    "getSignOperationDetail",
    "getSignOperationDocumentsContent",
    "getStatus",
}


def rest(definition: Definition) -> Definition:
    """A definition without its name and servers, which a client does not use."""
    return {"paths": definition["paths"], "components": definition["components"]["schemas"]}


def said(laid: Any, subject: str) -> list[str]:
    return [text for what, text in laid.report if what == subject]


class TestTenDefinitions:
    """What each of the definitions in `tests/data/definitions` gives."""

    @pytest.mark.parametrize(
        ("name", "missing", "root", "notes"),
        [
            ("01", {*QUERIES, SIGN_FILES}, "client-ws, by its server", 1),
            ("02", QUERIES, "client-ws, by its server", 0),
            ("03", set(), "integration-ws, by its server", 0),
            ("04", set(), "integration-ws, by its server", 0),
            ("05", set(), "integration-ws, by its server", 0),
            ("06", QUERIES, "integration-ws, by its server", 0),
            ("07", set(), "integration-ws, by its server", 19),
            ("08", set(), "client-ws, found in the paths", 0),
        ],
    )
    def test_a_client_is_generated(
        self, scripts: dict[str, ModuleType], laid: Lay, name: str, missing: set[str], root: str, notes: int
    ) -> None:
        (path,) = DEFINITIONS.glob(f"{name}*")
        corrected = scripts["generate"].contract()

        found = laid(path.read_bytes())

        assert found.problems == []
        assert {*found.missing} == missing
        assert said(found, "base URL")[0].endswith(root)
        assert len(found.notes) == notes, found.notes
        assert scripts["generate"].faults(found.definition) == []
        if name != "06":
            assert found.definition["components"] == corrected["components"]
        if name not in ("06", "08"):
            assert found.definition["paths"] == corrected["paths"]

    def test_paths_are_those_of_the_download(self, laid: Lay) -> None:
        found = laid(DEFINITIONS.joinpath("08-prefix-in-paths.yaml").read_bytes())

        assert {BASE64.rstrip("/"), FILES.rstrip("/"), STATUS} < found.definition["paths"].keys()
        assert BASE64 not in found.definition["paths"]

    def test_the_asynchronous_mode_is_recognised_by_its_shape(self, laid: Lay) -> None:
        found = laid(published("06"))

        assert said(found, "additional") == [
            "startSign: POST /api/v0/async/document/sign/base64/   (looks like the asynchronous mode: start)",
            "resultByExternalReference: GET /api/v0/async/operation/result/{externalReference}"
            "   (looks like the asynchronous mode: result)",
            "statusByExternalReference: GET /api/v0/async/operation/status/{externalReference}"
            "   (looks like the asynchronous mode: status)",
        ]
        assert said(found, "left out") == ["12 operations below /, /actuator and /error"]
        start = found.definition["paths"]["/api/v0/async/document/sign/base64/"]["post"]
        assert start["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(
            "/SignRequestBase64Document"
        )
        assert set(found.definition["components"]["schemas"]) - set(contract()["components"]["schemas"]) == {
            "AsyncOperation",
            *("ContentType", "SignatureType", "VisibleSignatureLocationType", "VisibleSignatureTemplateType"),
        }

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("09-html.html", "an HTML page, titled 'Login'"),
            (
                "10-no-signing.json",
                "nothing that signs. It offers: send the delivery e-mails again; status of an operation",
            ),
        ],
    )
    def test_an_unusable_definition_raises_with_the_reason(
        self, scripts: dict[str, ModuleType], laid: Lay, name: str, reason: str
    ) -> None:
        with pytest.raises(scripts["laying"].DefinitionError, match=reason):
            laid(DEFINITIONS.joinpath(name).read_bytes())


def operation(definition: Definition, path: str = BASE64) -> Definition:
    found: Definition = next(iter(definition["paths"][path].values()))
    return found


def rewrite(definition: Definition, *pairs: tuple[str, str]) -> None:
    text = json.dumps(definition, ensure_ascii=False)
    for old, new in pairs:
        text = text.replace(old, new)
    definition.clear()
    definition.update(json.loads(text))


def rename(definition: Definition, old: str, new: str) -> None:
    rewrite(definition, (f'"{old}": {{', f'"{new}": {{'), (f'schemas/{old}"', f'schemas/{new}"'))


def response(definition: Definition, content: Any, path: str = BASE64, status: str = "200") -> None:
    operation(definition, path)["responses"] = {status: {"description": "", "content": content}}


def everywhere(definition: Definition, change: Callable[[Definition], object]) -> None:
    def visit(value: Any) -> None:
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            visit(item)
        if isinstance(value, dict):
            change(value)

    visit(definition["paths"])
    visit(definition["components"]["schemas"])


def without_tags_and_ids(d: Definition) -> None:
    for item in d["paths"].values():
        for described in item.values():
            del described["tags"], described["operationId"]


def with_titles(d: Definition) -> None:
    for name, item in d["components"]["schemas"].items():
        item["title"] = f"The {name}"


def with_original_references(d: Definition) -> None:
    everywhere(d, lambda item: item.update(originalRef=item["$ref"].rpartition("/")[2]) if "$ref" in item else None)


def with_shared_bodies(d: Definition) -> None:
    d["components"]["requestBodies"] = {"Sign": operation(d)["requestBody"]}
    operation(d)["requestBody"] = {"$ref": "#/components/requestBodies/Sign"}
    d["components"]["responses"] = {"Signed": operation(d)["responses"]["200"]}
    operation(d)["responses"] = {"200": {"$ref": "#/components/responses/Signed"}}
    d["components"]["parameters"] = {"number": operation(d, STATUS)["parameters"][0]}
    operation(d, STATUS)["parameters"] = [{"$ref": "#/components/parameters/number"}]


def wrapped_in_a_response_entity(d: Definition) -> None:
    wrapper = {"body": {"$ref": "#/components/schemas/SignOperation"}, "statusCodeValue": {"type": "integer"}}
    d["components"]["schemas"]["ResponseEntity«SignOperation»"] = {"type": "object", "properties": wrapper}
    response(d, {"*/*": {"schema": {"$ref": "#/components/schemas/ResponseEntity%C2%ABSignOperation%C2%BB"}}})


def flattened_by_all_of(d: Definition) -> None:
    base = schema(d, "BaseOperation")
    own = {
        name: item for name, item in schema(d, "SignOperation")["properties"].items() if name not in base["properties"]
    }
    d["components"]["schemas"]["SignOperation"] = {
        "allOf": [{"$ref": "#/components/schemas/BaseOperation"}, {"type": "object", "properties": own}]
    }


def with_a_discriminator(d: Definition) -> None:
    base = schema(d, "BaseOperation")
    base["discriminator"] = {"propertyName": "type", "mapping": {"SIGN": "#/components/schemas/SignOperation"}}
    flattened_by_all_of(d)
    one_of = {"oneOf": [{"$ref": "#/components/schemas/SignOperation"}], "discriminator": {"propertyName": "type"}}
    response(d, {"application/json": {"schema": one_of}})


def dates_as_timestamps(d: Definition) -> None:
    numbers = {name: {"type": "integer"} for name in ("date", "nanos", "time", "timezoneOffset")}
    d["components"]["schemas"]["Timestamp"] = {"type": "object", "properties": numbers}
    schema(d, "DocumentResponse")["properties"]["receptionDate"] = {"$ref": "#/components/schemas/Timestamp"}


def zip_as_a_stream(d: Definition) -> None:
    fields = {"inputStream": {"type": "object"}, "open": {"type": "boolean"}}
    d["components"]["schemas"]["InputStreamResource"] = {"type": "object", "properties": fields}
    path = "/api/v0/operation/sign/detail/{operationId}/documents"
    response(d, {"*/*": {"schema": {"$ref": "#/components/schemas/InputStreamResource"}}}, path)


def files_as_objects(d: Definition) -> None:
    d["components"]["schemas"]["File"] = {"type": "object", "properties": {"absolutePath": {"type": "string"}}}
    form = operation(d, FILES)["requestBody"]["content"]["multipart/form-data"]
    form["schema"]["properties"]["files"]["items"] = {"$ref": "#/components/schemas/File"}
    form["encoding"] = {"signRequest": {"contentType": "application/json"}}


def named_as_what_is_imported(d: Definition) -> None:
    for old, new in (("SignOperation", "Response"), ("Company", "Any"), ("Document", "File"), ("Folder", "Unset")):
        rename(d, old, new)


def enums_as_text(d: Definition) -> None:
    everywhere(d, lambda item: item.pop("enum", None))


def only_failures_without_contents(d: Definition) -> None:
    for item in d["paths"].values():
        for described in item.values():
            described["responses"] |= {status: {"description": "No"} for status in ("401", "403", "404", "default")}
            described["responses"]["500"] = {"description": "", "content": {"*/*": {"schema": {"type": "object"}}}}


def with_security(d: Definition) -> None:
    d["components"]["securitySchemes"] = {
        "oauth": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}}}},
        "key": {"type": "apiKey", "name": "Authorization", "in": "header"},
    }
    operation(d)["security"] = [{"oauth": []}, {"key": []}]
    header = {"name": "Authorization", "in": "header", "required": True, "schema": {"type": "string"}}
    operation(d).setdefault("parameters", []).append(header)


def with_login_and_error(d: Definition) -> None:
    page = {"type": "object", "properties": {"view": {"type": "object"}}}
    d["components"]["schemas"]["ModelAndView"] = page
    described = {"responses": {"200": {"description": "", "content": {"*/*": {"schema": page}}}}}
    methods = ("get", "put", "post", "delete", "options", "head", "patch")
    d["paths"] |= {"/error": dict.fromkeys(methods, described), "/login": {"post": described}}
    d["paths"]["/actuator/**"] = {"get": {"operationId": "handle", "responses": {}}}


def with_duplicates(d: Definition) -> None:
    d["paths"][BASE64.rstrip("/")] = {"post": {**operation(d), "operationId": "sign_1", "deprecated": True}}


def types_in_lists(d: Definition) -> None:
    d["openapi"] = "3.1.0"
    everywhere(d, lambda it: it.update(type=[it["type"], "null"]) if isinstance(it.get("type"), str) else None)
    described = schema(d, "SignOperation")["properties"]["folder"]
    described |= {"$ref": described.pop("allOf")[0]["$ref"], "deprecated": True}


def values_as_alternatives(d: Definition) -> None:
    d["openapi"] = "3.1.0"
    schemas = d["components"]["schemas"]
    schemas["CompanyStatus"] = {"oneOf": [{"const": value} for value in schemas["CompanyStatus"]["enum"]]}
    first, *others = schemas["SigningStatus"]["enum"]
    schemas["SigningStatus"] = {"anyOf": [{"enum": [first]}, {"enum": [*others, None]}, {"type": "null"}]}


def references_with_siblings(d: Definition) -> None:
    d["openapi"] = "3.1.0"
    everywhere(d, lambda it: it.update(it.pop("allOf")[0], examples=["x"]) if len(it.get("allOf", [])) == 1 else None)
    d["components"]["pathItems"] = {"status": d["paths"][STATUS]}
    d["paths"][STATUS] = {"$ref": "#/components/pathItems/status"}


def form(d: Definition) -> Definition:
    found: Definition = operation(d, FILES)["requestBody"]["content"]["multipart/form-data"]["schema"]
    return found


def files_and_fields_apart(d: Definition) -> None:
    request = {"type": "object", "properties": {"signRequest": form(d)["properties"].pop("signRequest")}}
    form(d)["required"] = ["files"]
    operation(d, FILES)["requestBody"]["content"]["application/x-www-form-urlencoded"] = {"schema": request}


def bundled(d: Definition) -> None:
    """As bundlers write it: a repeated part is a pointer to its first occurrence."""
    first = "#/paths/~1api~1v0~1document~1sign~1base64~1/post/responses/200/content/application~1json/schema"
    operation(d)["responses"]["200"]["content"]["application/json"]["schema"] = schema(d, "SignOperation")
    response(d, {"application/json": {"schema": {"$ref": first}}}, FILES)
    folder = d["components"]["schemas"].pop("Folder")
    schema(d, "SignOperation")["properties"]["folder"] = folder


def renamed_files_of_its_own(d: Definition) -> None:
    rewrite(d, ('"#/components/schemas/', '"openapi.yaml#/components/schemas/'))


def as_aspnet_has_it(d: Definition) -> None:
    body, answer = operation(d)["requestBody"], operation(d)["responses"]["200"]
    kinds = ("application/json-patch+json", "application/json", "text/json", "application/*+json")
    body["content"] = dict.fromkeys(kinds, body["content"]["application/json"])
    answer["content"] = dict.fromkeys(("text/plain", *kinds[1:3]), answer["content"]["application/json"])


def with_fields_about_json(d: Definition) -> None:
    for name in ("SignOperation", "SignRequestBase64Document", "SignatureInfo"):
        schema(d, name)["properties"] |= {"$schema": {"type": "string", "readOnly": True}, "@id": {"type": "string"}}
        schema(d, name)["required"] = [*schema(d, name).get("required", []), "$schema"]


def with_the_version_as_a_parameter(**described: Any) -> Change:
    """As ASP.NET describes versions of an API."""

    def change(d: Definition) -> None:
        parameter = {"name": "version", "in": "path", "required": True, "schema": {"type": "string", **described}}
        rewrite(d, ('"/api/v0/', '"/api/v{version}/'))
        for item in d["paths"].values():
            item["parameters"] = [parameter]

    return change


def octets(d: Definition) -> None:
    """As api-spec-converter writes `*/*`."""
    rewrite(d, ('"application/json": {', '"application/octet-stream": {'))


def with_linked_data_first(d: Definition) -> None:
    linked = {"schema": {"type": "object", "properties": {"hydra:member": {"type": "array"}}}}
    for described in (operation(d)["requestBody"], operation(d)["responses"]["200"]):
        described["content"] = {"application/ld+json": linked, **described["content"]}


def options_on_every_path(d: Definition) -> None:
    for item in d["paths"].values():
        item["options"] = {"responses": {"200": {"description": "CORS"}}}


def moved_below_another_path(d: Definition) -> None:
    d["paths"]["/api/v0/documents/sign-base64"] = d["paths"].pop(BASE64)


SAME: dict[str, Change] = {
    "unchanged": lambda d: None,
    "no tags, no ids": without_tags_and_ids,
    "tags of free text": lambda d: operation(d).update(tags=["Assinatura de documentos: síncrona!", "x"]),
    "ids with suffixes": lambda d: operation(d).update(operationId="signUsingPOST_1"),
    "any type for JSON": lambda d: rewrite(d, ('"application/json": {', '"*/*": {')),
    "failures without contents": only_failures_without_contents,
    "server generated": lambda d: d.update(servers=[{"url": "http://localhost:8080", "description": "Inferred Url"}]),
    "server of a variable": lambda d: d.update(servers=[{"url": "${host}/signstash/x"}, {"url": "/other"}]),
    "server of variables": lambda d: d.update(
        servers=[{"url": "{scheme}://{host}:{port}/{base}", "variables": {"base": {"default": "signstash"}}}]
    ),
    "no server": lambda d: d.pop("servers"),
    "error, actuator, login": with_login_and_error,
    "deprecated duplicate": with_duplicates,
    "original references": with_original_references,
    "titles": with_titles,
    "generics in guillemets": lambda d: rename(d, "SignOperation", "CommonResult«PaginationInfo«SignOperation»»"),
    "named as what is imported": named_as_what_is_imported,
    "shared bodies": with_shared_bodies,
    "enums as text": enums_as_text,
    "no required lists": lambda d: everywhere(d, lambda it: it.pop("required", None) if "properties" in it else None),
    "flattened by allOf": flattened_by_all_of,
    "discriminator": with_a_discriminator,
    "lists of types": types_in_lists,
    "values as alternatives": values_as_alternatives,
    "references with siblings": references_with_siblings,
    "files and fields in different bodies": files_and_fields_apart,
    "pointers of a bundler": bundled,
    "references to the file itself": renamed_files_of_its_own,
    "media types of ASP.NET": as_aspnet_has_it,
    "fields about the JSON": with_fields_about_json,
    "JSON-LD before JSON": with_linked_data_first,
    "OPTIONS on every path": options_on_every_path,
    "version with a default": with_the_version_as_a_parameter(default="0"),
    "version of one value": with_the_version_as_a_parameter(enum=["0"]),
    "version that is a number": with_the_version_as_a_parameter(type="integer", default=0),
    "JSON as octets": octets,
    "a parameter in the root": lambda d: rewrite(d, ('"/api/v0/', '"/{tenant}/api/v0/')),
}
"""What makes no difference: the client is the one of the contract."""


@pytest.mark.parametrize("difference", SAME)
def test_equivalent_definitions_give_the_same_client(
    scripts: dict[str, ModuleType], laid: Lay, difference: str
) -> None:
    definition = contract()
    SAME[difference](definition)

    found = laid(definition)

    assert found.problems == []
    assert found.notes == []
    assert rest(found.definition) == rest(scripts["generate"].contract())


OTHERWISE: dict[str, tuple[Change, str]] = {
    "response in ResponseEntity": (
        wrapped_in_a_response_entity,
        "SignOperation: described inside body of ResponseEntity",
    ),
    "java.sql.Timestamp": (dates_as_timestamps, "DocumentResponse.receptionDate: described as object, read liberally"),
    "InputStreamResource": (zip_as_a_stream, "DocumentsContent response: described as object, read liberally"),
    "part as text": (
        lambda d: form(d)["properties"].update(signRequest={"type": "string"}),
        "signDocumentBatchBinary.signRequest: described as string, sent as JSON",
    ),
    "body as text": (
        lambda d: operation(d)["requestBody"]["content"].update({"application/json": {"schema": {"type": "string"}}}),
        "signDocumentBatchBase64 body: described as string, sent as JSON",
    ),
    "response as text": (
        lambda d: response(d, {"*/*": {"schema": {"type": "string"}}}),
        "signDocumentBatchBase64 response: described as string, read as JSON",
    ),
    "number as text": (
        lambda d: schema(d, "DocumentResponse")["properties"].update(internalId={"type": "string"}),
        "DocumentResponse.internalId: described as string, read liberally",
    ),
    "field not described": (
        lambda d: schema(d, "Company")["properties"].pop("additionalInfo"),
        "Company.additionalInfo: not described here",
    ),
    "value not described": (
        lambda d: schema(d, "VisibleImageType")["enum"].remove("IMAGE_JPG"),
        "VisibleImageType: without IMAGE_JPG",
    ),
    "response without a schema": (
        lambda d: operation(d).update(responses={"default": {"description": ""}}),
        "signDocumentBatchBase64 response: not described",
    ),
    "form without fields": (
        lambda d: operation(d, FILES)["requestBody"]["content"].update({"multipart/form-data": {}}),
        "signDocumentBatchBinary.signRequest: not described",
    ),
    "Optional": (
        lambda d: d["components"]["schemas"].update(
            Folder={"type": "object", "properties": {"present": {"type": "boolean"}}}
        ),
        "Folder: described without fields",
    ),
    "DeferredResult": (
        lambda d: response(
            d,
            {"*/*": {"schema": {"properties": {"result": {"type": "object"}, "setOrExpired": {"type": "boolean"}}}}},
        ),
        "SignOperation: described without fields",
    ),
    "required, apart from the fields": (
        lambda d: d["components"]["schemas"].update(
            SignatureInfo={"allOf": [schema(d, "SignatureInfo"), {"required": ["reason"]}]}
        ),
        "SignatureInfo.reason: required here",
    ),
    "free object": (
        lambda d: d["components"]["schemas"].update(Folder={"type": "object"}),
        "Folder: described without fields",
    ),
}
"""What is described in another way: it is noted, and the client is the one of the contract."""


@pytest.mark.parametrize("difference", OTHERWISE)
def test_different_descriptions_are_noted(scripts: dict[str, ModuleType], laid: Lay, difference: str) -> None:
    definition = contract()
    change, note = OTHERWISE[difference]
    change(definition)

    found = laid(definition)

    assert found.problems == []
    assert [text for text in found.notes if note in text], found.notes
    assert rest(found.definition) == rest(scripts["generate"].contract())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/api/v0/", "/api/v{version}/"),
        ("/api/v0/", "/api/{version}/"),
        ("/api/v0/", "/api/v0/{tenant}/"),
        ("/document/sign/", "/document/{tenant}/sign/"),
    ],
)
def test_an_unknown_parameter_in_the_path_is_named_with_the_fix(
    scripts: dict[str, ModuleType], laid: Lay, old: str, new: str
) -> None:
    definition = contract()
    rewrite(definition, (old, new))
    path = BASE64.replace(old, new)

    with pytest.raises(scripts["laying"].DefinitionError) as failed:
        laid(definition)

    assert str(failed.value) in [
        f"the path of POST /signstash/einvoice-integration-ws{path} has an unknown parameter. "
        "Write its value into the paths of a copy, and use that."
        for path in (path, FILES.replace(old, new))
    ]


def test_octets_that_are_described_as_streams_are_octets(scripts: dict[str, ModuleType], laid: Lay) -> None:
    definition = contract()
    fields = {"inputStream": {"type": "object"}, "open": {"type": "boolean"}}
    definition["components"]["schemas"]["Resource"] = {"type": "object", "properties": fields}
    stream = {"application/octet-stream": {"schema": {"$ref": "#/components/schemas/Resource"}}}
    response(definition, stream, "/api/v0/operation/sign/detail/{operationId}/documents")

    found = laid(definition)

    assert found.notes == []
    assert rest(found.definition) == rest(scripts["generate"].contract())


def test_files_described_as_objects_are_files(scripts: dict[str, ModuleType], laid: Lay) -> None:
    definition = contract()
    files_as_objects(definition)

    assert rest(laid(definition).definition) == rest(scripts["generate"].contract())


REFUSED: dict[str, tuple[Change, str]] = {
    "required field": (
        lambda d: [
            schema(d, "SignRequestBase64Document")["properties"].update(channel={"type": "string"}),
            schema(d, "SignRequestBase64Document")["required"].append("channel"),
        ],
        "SignRequestBase64Document requires the field channel, which is not known",
    ),
    "required parameter": (
        lambda d: operation(d).update(
            parameters=[{"name": "tenant", "in": "query", "required": True, "schema": {"type": "string"}}]
        ),
        "signDocumentBatchBase64 requires the parameter tenant (query), which is not known",
    ),
    "required field, apart from the fields": (
        lambda d: [
            schema(d, "SignatureInfo")["properties"].update(channel={"type": "string"}),
            d["components"]["schemas"].update(
                SignatureInfo={"allOf": [schema(d, "SignatureInfo"), {"required": ["channel"]}]}
            ),
        ],
        "SignatureInfo requires the field channel, which is not known",
    ),
    "another type of body": (
        lambda d: rewrite(
            d,
            (
                '"application/json": {"schema": {"$ref": "#/components/schemas/SignRequest',
                '"application/xml": {"schema": {"$ref": "#/components/schemas/SignRequest',
            ),
        ),
        "signDocumentBatchBase64 takes application/xml, and not application/json, which is sent",
    ),
    "no contents": (
        lambda d: operation(d).update(responses={"204": {"description": ""}}),
        "signDocumentBatchBase64 response is described as empty (204)",
    ),
    "documents called otherwise": (
        lambda d: rewrite(d, ('"documentList"', '"items"')),
        "SignOperation has no field documentList, but items, which is not known",
    ),
    "field spelt otherwise": (
        lambda d: rewrite(d, ('"returnSignedContent"', '"return_signed_content"')),
        "SignRequestBase64Document has no field returnSignedContent, but return_signed_content, which is not known",
    ),
    "response inside data": (
        lambda d: response(
            d, {"*/*": {"schema": {"properties": {"data": {"$ref": "#/components/schemas/SignOperation"}}}}}
        ),
        "SignOperation is described inside data of an object, where the client does not look for it",
    ),
    "enum of numbers": (
        lambda d: schema(d, "SigningStatus").update(type="integer", enum=[0, 1, 2]),
        "DocumentResponse.signStatus is described as an integer, not as one of RECEIVED, ERROR_SIGNING, SIGNED",
    ),
    "another value for what is signed": (
        lambda d: schema(d, "SigningStatus").update(enum=["RECEIVED", "ERROR_SIGNING", "DONE"]),
        "DocumentResponse.signStatus has no value SIGNED, but DONE, which is not known",
    ),
    "value in other letters": (
        lambda d: rewrite(d, ('"PAdES"', '"PADES"')),
        "SignatureInfo.signatureType has no value PAdES, but PADES, which is not known",
    ),
    "field that must be sent": (
        lambda d: schema(d, "Base64Document")["properties"].pop("base64Content"),
        "Base64Document has no field base64Content, which every request holds",
    ),
    "enum of other values": (
        lambda d: schema(d, "SigningStatus").update(enum=["DONE", "BROKEN"]),
        "DocumentResponse.signStatus has none of the known values, but DONE, BROKEN",
    ),
    "response that is a list": (
        lambda d: response(
            d, {"*/*": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/SignOperation"}}}}
        ),
        "signDocumentBatchBase64 response is described as an array, not as an object",
    ),
    "third part": (
        lambda d: operation(d, FILES)["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"].update(
            policy={"type": "string"}
        ),
        "signDocumentBatchBinary has the part policy, which is not known",
    ),
    "part that is gone": (
        lambda d: operation(d, FILES)["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"].pop(
            "signRequest"
        ),
        "signDocumentBatchBinary has no part signRequest, which every request holds",
    ),
    "another object": (
        lambda d: schema(d, "SignatureInfo").update(properties={"format": {"type": "string"}}, required=[]),
        "SignatureInfo has none of the known fields, but format",
    ),
}
"""What could not be sent or read."""


@pytest.mark.parametrize("difference", REFUSED)
def test_an_impossible_request_or_response_is_rejected_by_name(
    scripts: dict[str, ModuleType], laid: Lay, difference: str
) -> None:
    definition = contract()
    change, problem = REFUSED[difference]
    change(definition)

    assert problem in laid(definition).problems
    with pytest.raises(scripts["failure"].GenerationError) as failed:
        scripts["generate"].definition_from(definition)
    assert problem in str(failed.value)


class TestWhatIsNew:
    def test_new_fields_and_values_are_added(self, scripts: dict[str, ModuleType], laid: Lay) -> None:
        definition = contract()
        queue = {"type": "object", "properties": {"name": {"type": "string"}}}
        definition["components"]["schemas"]["Queue«X»"] = queue
        schema(definition, "SignOperation")["properties"]["queue"] = {"$ref": "#/components/schemas/Queue«X»"}
        schema(definition, "SignatureInfo")["properties"]["policy"] = {"type": "string", "default": 5}
        schema(definition, "SigningStatus")["enum"].append("ARCHIVED")

        found = laid(definition)

        fields = found.definition["components"]["schemas"]
        assert fields["SignOperation"]["properties"]["queue"] == {"$ref": "#/components/schemas/QueueX"}
        assert fields["QueueX"]["properties"] == {"name": {"type": "string"}}
        assert fields["SignatureInfo"]["properties"]["policy"] == {"type": "string"}
        assert fields["SigningStatus"]["enum"][-1] == "ARCHIVED"
        assert {*said(found, "new")} == {
            "SignOperation.queue",
            "SignatureInfo.policy",
            "SigningStatus: the value ARCHIVED",
        }
        assert scripts["generate"].faults(found.definition) == []

    def test_a_required_parameter_with_a_default_is_optional(self, laid: Lay) -> None:
        definition = contract()
        version = {"name": "api-version", "in": "query", "required": True}
        operation(definition)["parameters"] = [{**version, "schema": {"type": "string", "default": "1.0"}}]

        found = laid(definition)

        assert found.problems == []
        assert said(found, "new") == ["signDocumentBatchBase64: the parameter api-version"]

    def test_fields_of_responses_alone_are_not_required(self, laid: Lay) -> None:
        definition = contract()
        schema(definition, "SignatureInfo")["properties"]["seal"] = {"type": "string", "readOnly": True}
        schema(definition, "SignatureInfo")["required"].append("seal")

        found = laid(definition)

        assert found.problems == []
        assert said(found, "new") == ["SignatureInfo.seal"]

    def test_base64_in_json_is_text(self, laid: Lay) -> None:
        definition = contract()
        image = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
        schema(definition, "DocumentResponse")["properties"]["thumbnail"] = image

        fields = schema(laid(definition).definition, "DocumentResponse")["properties"]

        assert fields["thumbnail"] == {"type": "string"}

    @pytest.mark.timeout(20)
    def test_pointers_may_go_in_circles(self, scripts: dict[str, ModuleType], laid: Lay) -> None:
        definition = contract()
        here = {"$ref": "#/components/schemas/SignOperation/properties/parent"}
        parent = {"type": "object", "properties": {f"parent{number}": here for number in range(9)}}
        schema(definition, "SignOperation")["properties"]["parent"] = parent

        found = laid(definition)

        assert said(found, "new") == ["SignOperation.parent"]
        assert scripts["generate"].faults(found.definition) == []

    def test_names_that_collide_in_python_become_additional_properties(
        self, scripts: dict[str, ModuleType], laid: Lay
    ) -> None:
        definition = contract()
        schema(definition, "SignOperation")["properties"]["additionalProperties"] = {"type": "string"}
        schema(definition, "SignOperation")["properties"]["execution_time"] = {"type": "string"}
        schema(definition, "SigningStatus")["enum"].append("Signed")

        found = laid(definition)

        assert rest(found.definition) == rest(scripts["generate"].contract())

    @pytest.mark.parametrize("status", ["201", "202"])
    def test_another_success_status_is_a_success(self, scripts: dict[str, ModuleType], laid: Lay, status: str) -> None:
        definition = contract()
        operation(definition)["responses"] = {status: operation(definition)["responses"]["200"]}

        responses = operation(laid(definition).definition)["responses"]

        assert responses["200"] == responses[status] == operation(scripts["generate"].contract())["responses"]["200"]

    def test_parts_have_the_names_of_the_definition(self, scripts: dict[str, ModuleType], laid: Lay) -> None:
        definition = contract()
        form = operation(definition, FILES)["requestBody"]["content"]["multipart/form-data"]["schema"]
        form["properties"] = {"documents": form["properties"]["files"], "request": form["properties"]["signRequest"]}
        form["required"] = ["documents", "request"]

        found = laid(definition)

        form = operation(found.definition, FILES)["requestBody"]["content"]["multipart/form-data"]["schema"]
        named = {name: field["x-python-name"] for name, field in form["properties"].items()}
        assert named == {"documents": "files", "request": "signRequest"}
        assert scripts["generate"].faults(found.definition) == []

    def test_another_version_of_the_path_is_the_same_operation(self, laid: Lay) -> None:
        definition = contract()
        rewrite(definition, ("/api/v0/", "/api/v1/"))

        found = laid(definition)

        assert found.missing == []
        assert {path[:7] for path in found.definition["paths"]} == {"/api/v1"}

    def test_another_version_in_addition_to_the_known_one_is_additional(self, laid: Lay) -> None:
        definition = contract()
        signed = {"allOf": [{"$ref": "#/components/schemas/SignOperation"}, {"properties": {"trace": {}}}]}
        beside = copy.deepcopy(definition["paths"][BASE64])
        beside["post"] |= {"operationId": "sign_1", "responses": {"200": {"content": {"*/*": {"schema": signed}}}}}
        definition["paths"][BASE64.replace("v0", "v1")] = beside

        found = laid(definition)

        assert said(found, "additional") == ["sign_1: POST /api/v1/document/sign/base64/"]
        assert operation(found.definition)["operationId"] == SIGN

    def test_the_known_version_is_taken_even_if_it_is_deprecated(self, laid: Lay) -> None:
        definition = contract()
        newer = copy.deepcopy(definition["paths"][BASE64])
        newer["post"]["requestBody"] = {"content": {"application/xml": {}}}
        definition["paths"][BASE64.replace("v0", "v1")] = newer
        operation(definition)["deprecated"] = True

        found = laid(definition)

        assert found.problems == []
        assert operation(found.definition)["operationId"] == SIGN

    def test_a_moved_operation_is_recognised_by_its_schemas(self, laid: Lay) -> None:
        definition = contract()
        moved_below_another_path(definition)

        found = laid(definition)

        assert found.missing == []
        assert operation(found.definition, "/api/v0/documents/sign-base64")["operationId"] == SIGN

    def test_unsupported_operations_are_left_out_and_named(self, scripts: dict[str, ModuleType], laid: Lay) -> None:
        definition = contract()
        good = {"operationId": "version", "responses": {"200": {"description": ""}}}
        xml = {"content": {"application/xml": {"schema": {"type": "string"}}}}
        definition["paths"]["/api/v0/version"] = {
            "get": good,
            "post": {**good, "operationId": "setVersion", "requestBody": xml},
            "put": {"responses": None},
        }

        found = laid(definition)

        assert said(found, "additional") == ["version: GET /api/v0/version"]
        unreadable, cannot = said(found, "left out")
        assert unreadable.startswith("PUT /api/v0/version: does not conform to OpenAPI")
        assert cannot.startswith("setVersion: POST /api/v0/version: cannot be generated")
        assert scripts["generate"].faults(found.definition) == []

    def test_names_of_additional_operations_and_schemas_do_not_collide(
        self, scripts: dict[str, ModuleType], laid: Lay
    ) -> None:
        definition = contract()
        fields = {name: {"type": "string"} for name in ("class", "type", "toDict", "größe", "2fa", "a b")}
        definition["components"]["schemas"] |= {
            "Response«X»": {"type": "object", "title": "Response", "properties": fields},
            "datetime": {"type": "string", "enum": ["a", "A", "1", "b c"]},
        }
        content = {"*/*": {"schema": {"$ref": "#/components/schemas/Response%C2%ABX%C2%BB"}}}
        listed = {"*/*": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/datetime"}}}}
        for path, name, response in (
            ("/api/v0/a", "getStatus", content),
            ("/api/v0/b", "get_status", listed),
            ("/api/v0/c", "getUsingGET_1", content),
            ("/api/v0/d/{x}", "", {"application/octet-stream": {}}),
        ):
            definition["paths"][path] = {
                "get": {"operationId": name, "responses": {"200": {"description": "", "content": response}}}
            }

        found = laid(definition)

        assert len(said(found, "additional")) == 4
        assert scripts["generate"].faults(found.definition) == []
        added = found.definition["components"]["schemas"].keys() - contract()["components"]["schemas"].keys()
        assert {"ResponseX", "datetimeModel"} < added


class TestSwagger2:
    def test_a_form_of_files_and_a_body_are_converted(self, scripts: dict[str, ModuleType], laid: Lay) -> None:
        definition = published("01")
        single = definition["paths"][BASE64]["post"]
        body = {"in": "body", "name": "signRequest", "schema": {"$ref": "#/definitions/SignRequest«Base64Document»"}}
        definition["paths"][FILES] = {"post": {**single, "consumes": ["application/json"]}}
        for part in (
            {"name": "files", "in": "formData", "type": "array", "items": {"type": "file"}},
            {"name": "files", "in": "formData", "type": "file"},
        ):
            for other in (body, {"name": "signRequest", "in": "formData", "type": "ref"}):
                definition["paths"][FILES]["post"]["parameters"] = [part, other]

                found = laid(definition)

                assert found.problems == []
                assert SIGN_FILES not in found.missing
                assert rest(found.definition)["paths"] == rest(scripts["generate"].contract())["paths"]

    def test_json_is_one_of_several_types(self, scripts: dict[str, ModuleType], laid: Lay) -> None:
        definition = published("01")
        types = ["application/xml", "application/json;charset=UTF-8"]
        definition["paths"][BASE64]["post"] |= {"consumes": types, "produces": types}

        found = laid(definition)

        assert found.problems == []
        assert rest(found.definition) == rest(scripts["generate"].contract())

    @pytest.mark.parametrize("types", [["application/octet-stream"], ["application/octet-stream", "application/json"]])
    def test_octets_that_are_described_as_json_are_json(
        self, scripts: dict[str, ModuleType], laid: Lay, types: list[str]
    ) -> None:
        definition = published("01")
        definition["paths"][BASE64]["post"] |= {"consumes": types, "produces": types}

        found = laid(definition)

        assert found.problems == []
        assert rest(found.definition) == rest(scripts["generate"].contract())

    def test_the_version_in_the_path_has_a_default(self, scripts: dict[str, ModuleType], laid: Lay) -> None:
        definition = published("01")
        rewrite(definition, ('"/api/v0/', '"/api/v{api-version}/'))
        version = {"name": "api-version", "in": "path", "required": True, "type": "string", "default": "1.0"}
        for item in definition["paths"].values():
            item["parameters"] = [version]

        assert "/api/v1.0/document/sign/base64/" in laid(definition).definition["paths"]

    def test_failures_without_a_schema_and_other_types_are_converted(self, laid: Lay) -> None:
        definition = published("01")
        described = definition["paths"][BASE64]["post"]
        described["produces"] = ["application/json;charset=UTF-8"]
        described["responses"] |= {
            "500": {"description": "", "schema": {"type": "file"}},
            "default": {"description": ""},
        }

        assert laid(definition).problems == []


class TestReading:
    TEXT = json.dumps(contract())

    @pytest.mark.parametrize(
        "content",
        [
            TEXT.encode(),
            b"\xef\xbb\xbf" + TEXT.encode(),
            TEXT.encode("utf-16"),
            TEXT.encode("utf-16-be"),
            yaml.safe_dump(contract()).encode(),
            json.dumps(base64.b64encode(TEXT.encode()).decode()).encode(),
            base64.b64encode(TEXT.encode()),
            json.dumps(TEXT).encode(),
        ],
        ids=["JSON", "byte order mark", "UTF-16", "UTF-16 without mark", "YAML", "base64 string", "base64", "string"],
    )
    def test_every_format_is_read(self, scripts: dict[str, ModuleType], content: bytes) -> None:
        assert scripts["laying"].parse_definition(content) == contract()

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "is empty"),
            (b"\x89PNG\r\n\x1a\n\xff", "is not text"),
            (TEXT.encode()[:4000], r"ends in the middle of its JSON: .* at line 1, column \d+"),
            (
                json.dumps(contract(), indent=1).encode()[:4000],
                r"ends in the middle of its JSON: .* at line \d\d+, column",
            ),
            (b'{"openapi": "3.0.1",\n "paths" {}}', r"is not valid JSON: .* at line 2, column 10"),
            (b'{"openapi": "3.0.1", "paths": \'\'}', "is not valid JSON: .*Correct it there"),
            (b'\n\n{"openapi" "3.0.1"}', r"at line 3, column 12"),
            (
                b'{"openapi": "3.0.1", "paths": {},\n}',
                r"is not valid JSON: a comma after the last item at line 1, column 33\. Delete it",
            ),
            (b'{"openapi": "3.0.1",\n "tags": ["a", ]}', r"a comma after the last item at line 2, column 14"),
            (b'{"openapi": "3.0.1" // Sign\n}', r"a comment at line 1, column 21\. Delete all comments: JSON has none"),
            (b'// Sign\n{"openapi": "3.0.1"}', r"a comment at line 1, column 1\. Delete all comments"),
            (b'/* Sign */ {"openapi": "3.0.1"}', "a comment at line 1, column 1"),
            (b'{"openapi": "3.0.1",\n /* Sign */ "paths": {}}', "a comment at line 2, column 2"),
            (b'{"openapi": "3.0.1"}\n# Sign', "a comment at line 2, column 1"),
            (b'{"openapi": "3.0.1", "paths": {}, "paths": {}}', "the field 'paths' twice"),
            (b"openapi: 3.0.1\npaths: {}\npaths: {}", "the field 'paths' twice"),
            (b"a: b: c", r"neither JSON nor YAML \(line 1, column 5\)"),
            (b"<?xml version='1.0'?><Error/>", "is markup"),
            (b"[]", "is a list"),
            (b'[{"name": "default", "url": "/v2/api-docs"}]', "a list.*It names /v2/api-docs"),
            (b'{"urls": [{"url": "/v3/api-docs/sign"}]}', "its fields are urls. It names /v3/api-docs/sign"),
            (b'{"timestamp": 1, "status": 404, "error": "Not Found"}', "its fields are timestamp, status, error"),
            (b'{"swagger": "1.2", "paths": {}}', "says version '1.2'"),
            (b'{"openapi": "3.0.1"}', "has no `paths`"),
            (b'{"openapi": "3.0.1", "paths": []}', "has no `paths`"),
            (b'"eyJvcGVuYXBpIjoiMy4wLjEiLCJwYXRocyI6e30"', "is a text, not a definition"),
            (b"[" * 100_000, "nested too deeply"),
        ],
    )
    def test_an_unreadable_file_is_named(self, scripts: dict[str, ModuleType], content: bytes, reason: str) -> None:
        with pytest.raises(scripts["laying"].DefinitionError, match=reason):
            scripts["laying"].parse_definition(content)

    def test_yaml_is_read_as_openapi_has_it(self, scripts: dict[str, ModuleType]) -> None:
        text = "openapi: 3.0.1\npaths: {}\nx: {on: 2026-11-28, country: NO, set: [yes, true]}"

        fields = scripts["laying"].parse_definition(text.encode())["x"]

        assert fields == {"on": "2026-11-28", "country": "NO", "set": ["yes", True]}

    def test_other_files_are_named(self, scripts: dict[str, ModuleType], laid: Lay) -> None:
        definition = contract()
        schema(definition, "SignOperation")["properties"]["folder"] = {"$ref": "./schemas/Folder.yaml"}

        with pytest.raises(scripts["laying"].DefinitionError, match=r"refers to other files \(./schemas/Folder.yaml\)"):
            laid(definition)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda d: d.update(info=None, servers=None, components=None),
            lambda d: d["paths"].update({BASE64: "x", FILES: None}),
            lambda d: d["paths"].update({BASE64: {"post": []}, FILES: {"post": {"responses": []}}}),
            lambda d: d["components"].update(schemas=[]),
            lambda d: d["components"]["schemas"].update(SignOperation={"$ref": "#/components/schemas/SignOperation"}),
            lambda d: d["components"]["schemas"].update(SignOperation={"$ref": "#/components/responses/None"}),
            lambda d: d["components"]["schemas"].update(SignOperation=True, Document=None),
            lambda d: d.update(servers=[{}], paths={**d["paths"], "/api/v0/x": {"$ref": "other.yaml#/x"}}),
        ],
    )
    def test_a_damaged_file_gives_a_definition_or_a_reason(
        self, scripts: dict[str, ModuleType], laid: Lay, damage: Change
    ) -> None:
        definition = copy.deepcopy(contract())
        damage(definition)

        with contextlib.suppress(scripts["laying"].DefinitionError):
            laid(definition)

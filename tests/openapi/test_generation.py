"""The contract has every known fact, each correction gives its reason, and the client is generated from both."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openapi_python_client
import pytest
import yaml
from jsonpath_ng.ext.parser import parse as parse_json_path
from openapi_spec_validator import OpenAPIV30SpecValidator

pytestmark = pytest.mark.own_definition

PROJECT = Path(__file__).parents[2]
Definition = dict[str, Any]
CONTRACT: Definition = json.loads((PROJECT / "openapi" / "contract.json").read_text("utf-8"))
CORRECTED: Definition = json.loads((PROJECT / "openapi" / "signstash.json").read_text("utf-8"))
OVERLAY: dict[str, Any] = yaml.safe_load((PROJECT / "openapi" / "overlay.yaml").read_text("utf-8"))

OPERATIONS = """
signDocumentBatchBase64: POST /api/v0/document/sign/base64/; document-sign;
  application/json SignRequestBase64Document; application/json SignOperation
signDocumentBatchBinary: POST /api/v0/document/sign/; document-sign;
  multipart/form-data {files! []binary, signRequest! SignRequestDocument}; application/json SignOperation
getOperationIdByDocumentExternalReference:
  GET /api/v0/operation/id/withDocumentExternalReference/{externalReference}; operation-management;
  externalReference string; application/json int64
getStatus: GET /api/v0/operation/status/{operationId}; operation-management;
  operationId int64; application/json BaseOperation
getSignOperationDetail: GET /api/v0/operation/sign/detail/{operationId}/contentInResponse/{includeContent};
  operation-management; operationId int64; includeContent boolean; application/json SignOperation
getSignOperationDocumentsContent: GET /api/v0/operation/sign/detail/{operationId}/documents;
  operation-management; operationId int64; application/zip binary
resendDeliveryMails: POST /api/v0/delivery/mail/resend/{operationId}/{attachDocuments}; operation-management;
  operationId int64; attachDocuments boolean; application/json []string; nothing
"""

ENUMS = """
CanonicalTransform: EXCLUSIVE; EXCLUSIVE_WITH_COMMENTS
CipherStatus: PENDING; ERROR_CIPHERING; CIPHERED; NO_CIPHER
CompanyStatus: REGISTERED; ACTIVE; SUSPENDED; BLOCKED; DELETED
DeliveryStatus: PENDING; SENT; RECEIVED; SENDING_ERROR; SENDING_FAILED
DocumentAttributeKey: GLOBAL_SIGNATURE_VISIBILITY_ENABLED; VISIBLE_SIGNATURE_TEMPLATE_TYPE;
  VISIBLE_SIGNATURE_TEMPLATE_CONTENT; VISIBLE_SIGNATURE_LOCATION_TYPE; VISIBLE_SIGNATURE_LOCATION_VALUE;
  VISIBLE_SIGNATURE_AREA; VISIBLE_SIGNATURE_AREA_BACKGROUND_COLOR; VISIBLE_SIGNATURE_FONT;
  VISIBLE_SIGNATURE_IMAGE_TYPE; VISIBLE_SIGNATURE_IMAGE_VALUE; SIGNATURE_ATTRIBUTE_REASON;
  SIGNATURE_ATTRIBUTE_LOCATION; SIGNATURE_ATTRIBUTE_XPATH_LOCATION; SIGNATURE_ATTRIBUTE_TRANSFORM;
  SIGNATURE_ATTRIBUTE_CANONICAL
FolderContent: DOCUMENT; HASH
OperationStatus: PENDING_EXECUTION; EXECUTED; EXECUTION_ERROR; EXECUTION_FAILED
OperationType: SIGN; EXTEND_PRESERVATION
SignatureTransform: ENVELOPED; XPATH; XPATH2_FILTER
SigningError: INVALID_CERT_SERVICE_CREDS; INVALID_CERT_ACCESS_ACCOUNT; CERT_SERVICE_GLOBAL_ERROR;
  CONFIGURATION_SIGN_ERROR; TIMESTAMP_SIGN_ERROR; INVALID_CERTIFICATE_SIGN_ERROR; STORAGE_SERVICE_GLOBAL_ERROR;
  SIGN_OPERATION_INTERNAL_ERROR
SigningStatus: RECEIVED; ERROR_SIGNING; SIGNED
StorageStatus: CONTENT_PRESERVED; CONTENT_STORED; CONTENT_NOT_STORED; DELETED
VisibleImageType: IMAGE_PNG; IMAGE_JPG
"""

# name (`!`: required), type or values, `=` default, `~` example
FIELDS = """
AdvancedSignatureInfo: signatureLocation string ~ SignatureInformation; signatureTransform SignatureTransform;
  canonicalTransform CanonicalTransform
Base64Document: externalReference! string ~ Ext_Ref; name! string ~ document_example.pdf;
  contentType! 'application/pdf'|'text/xml'|'application/xml' ~ application/pdf;
  base64Content! string ~ pdf...string...base64...=
BaseOperation: id! int64 ~ 123; type OperationType; status OperationStatus; issuerCompany Company;
  issuerClientServiceAlias string; creationDate date-time; folderExternalReference string;
  signatureQueuePriority SignatureQueuePriority
Company: name! string ~ ACME Corporation; vatNumber! string ~ 123456789; countryCode! string ~ PRT;
  i18nCode! string ~ pt_PT; invoiceAddress string ~ Rua do teste Nº 10, 1700 001, Lisboa - Portugal;
  additionalInfo string ~ Notas adicionais associadas à empresa; status CompanyStatus;
  email string ~ info@anygivendomain.com; creationDate date-time; auditLogsActive boolean ~ true;
  limitPeriodStartDate date-time; limitPeriodEndDate date-time; limitUsageCount int32 ~ 5000000;
  limitCurrentConsumption int32 ~ 5000; limitCurrentConsumptionLastModifiedDate date-time; notifyExpiredLimit boolean
DeliveryInfo: attachDocuments boolean=false ~ false; personReceiver! []Person
Document: externalReference! string ~ Ext_Ref; name! string ~ document_example.pdf;
  contentType! 'application/pdf, text/xml, application/xml' ~ application/pdf
DocumentAttributeResponse: attributeKey DocumentAttributeKey; attributeValue string ~ Test API reason
DocumentResponse: externalReference! string ~ Ext_Ref; name! string ~ document_example.pdf;
  contentType! 'application/pdf, text/xml, application/xml' ~ application/pdf; internalId int64 ~ 123;
  signStatus SigningStatus; signError SigningError; cipherStatus CipherStatus; storageStatus StorageStatus;
  contentLength int64 ~ 10; additionalContentLength int64 ~ 11; receptionDate date-time; storagePeriod int64 ~ 120;
  storageEndDate date-time; signedContent string ~ aGVsbG8gd29ybGQK; documentAttributes []DocumentAttributeResponse
ErrorResponse: errorCode string ~ 0.0.2; errorCodeDescription string ~ Mandatory attribute is missing.;
  causeMessage string ~ missing signDocumentRequest.document
Folder: folderId string; externalReference string; description string; folderContent FolderContent
Person: email! string ~ john.doe@anygivendomain.com; deliveryStatus DeliveryStatus
PreservationInfo: preserveContent! boolean=false ~ false; alias string ~ document_pretty_name.pdf;
  deliveryInfo DeliveryInfo
SignDocumentBase64Document: documentRequest! Base64Document; signatureInfo! SignatureInfo
SignDocumentDocument: documentRequest! Document; signatureInfo! SignatureInfo
SignOperation: id! int64 ~ 123; type OperationType; status OperationStatus; issuerCompany Company;
  issuerClientServiceAlias string; creationDate date-time; folderExternalReference string;
  signatureQueuePriority SignatureQueuePriority; folder Folder; documentList []DocumentResponse;
  deliveryInfo DeliveryInfo; executionTime int32 ~ 10000
SignRequestBase64Document: externalReference! string ~ Ext_Ref; description! string ~ Some context.;
  documents! []SignDocumentBase64Document; preservationInfo PreservationInfo;
  returnSignedContent boolean=false ~ false
SignRequestDocument: externalReference! string ~ Ext_Ref; description! string ~ Some context.;
  documents! []SignDocumentDocument; preservationInfo PreservationInfo; returnSignedContent boolean=false ~ false
SignatureInfo: signatureType! 'PAdES'|'XAdES'|'CAdES' ~ PAdES; visibleSignatureInfo VisibleSignatureInfo;
  reason string ~ Test API reason; location string ~ Test API location; applyTimestamp boolean=false ~ true;
  advancedSignatureInfo AdvancedSignatureInfo
SignatureQueuePriority: id! int64; name! string ~ DEFAULT; startTime! date-time; endTime! date-time;
  defaultPriority boolean=false ~ false
VisibleSignatureInfo: templateType 'ONE_OFF'|'SERVICE_CUSTOMIZATION' ~ ONE_OFF;
  oneOffTemplate string ~ Digitally Signed by $certificate.getCommonName().;
  locationType! 'SIGN_FIELD'|'COORDINATE'|'PLACEHOLDER' ~ COORDINATE; locationValue! string ~ page=1,x=70,y=100;
  area string ~ width=155,height=50; areaBackgroundColor string ~ #FFFFFF; font string ~ color=#000000,size=11;
  imageType VisibleImageType; imageValue string
"""


def facts(table: str) -> dict[str, list[str]]:
    """The entries of a table by name; an indented line continues the one above."""
    lines = (name.partition(":") for name in table.strip().replace("\n ", " ").splitlines())
    return {name: [" ".join(item.split()) for item in items.split(";")] for name, _, items in lines}


def shown_type(schema: Definition) -> str:
    """A schema's type as the tables write it."""
    (schema,) = schema.get("allOf", [schema])
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix("#/components/schemas/")
    if "enum" in schema:
        return "|".join(map(repr, schema["enum"]))
    if schema["type"] == "array":
        return f"[]{shown_type(schema['items'])}"
    if schema["type"] == "object":
        return "{" + ", ".join(shown_field(schema, name) for name in schema["properties"]) + "}"
    return str(schema.get("format", schema["type"]))


def shown_field(schema: Definition, name: str) -> str:
    field = schema["properties"][name]
    mark = "!" if name in schema.get("required", []) else ""
    default = f"={json.dumps(field['default'])}" if "default" in field else ""
    example = field.get("example")
    shown = example if isinstance(example, str) else json.dumps(example)
    return f"{name}{mark} {shown_type(field)}{default}{f' ~ {shown}' if 'example' in field else ''}"


def shown_content(content: Definition) -> list[str]:
    return [f"{media_type} {shown_type(item['schema'])}" for media_type, item in content.items()]


def shown_operation(path: str, method: str, operation: Definition) -> list[str]:
    parameters = operation.get("parameters", [])
    body = operation.get("requestBody", {"required": True, "content": {}})
    assert all(item["in"] == "path" and item["required"] for item in parameters)
    assert body["required"]
    taken = [f"{item['name']} {shown_type(item['schema'])}" for item in parameters]
    (response,) = operation["responses"].values()
    returned = shown_content(response.get("content", {})) or ["nothing"]
    return [f"{method.upper()} {path}", *operation["tags"], *taken, *shown_content(body["content"]), *returned]


def operations(definition: Definition) -> list[tuple[str, str, Definition]]:
    return [(path, method, item[method]) for path, item in definition["paths"].items() for method in item]


def changed(definition: Definition, change: Callable[[Definition], object]) -> Definition:
    """A copy with a change."""
    copied: Definition = json.loads(json.dumps(definition))
    change(copied)
    return copied


class TestContract:
    def test_the_contract_has_every_operation(self) -> None:
        found = {item[-1]["operationId"]: shown_operation(*item) for item in operations(CONTRACT)}

        assert found == facts(OPERATIONS)

    def test_the_contract_has_every_schema_and_enum(self) -> None:
        schemas = CONTRACT["components"]["schemas"]

        assert schemas.keys() == facts(ENUMS).keys() | facts(FIELDS).keys()
        assert {name: schema["enum"] for name, schema in schemas.items() if "enum" in schema} == facts(ENUMS)

    @pytest.mark.parametrize("name", facts(FIELDS))
    def test_the_contract_has_every_field(self, name: str) -> None:
        schema = CONTRACT["components"]["schemas"][name]
        assert [shown_field(schema, field) for field in schema["properties"]] == facts(FIELDS)[name]

    def test_every_operation_takes_the_bearer_token(self) -> None:
        ((name, scheme),) = CONTRACT["components"]["securitySchemes"].items()

        assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
        for *_, operation in operations(CONTRACT):
            assert operation.get("security", CONTRACT["security"]) == [{name: []}]

    def test_the_contract_has_its_name_and_server(self) -> None:
        named = (CONTRACT["openapi"][:4], CONTRACT["info"]["title"], CONTRACT["info"]["version"])
        assert named == ("3.0.", "SignStash Integration REST API", "v0")
        assert CONTRACT["servers"][0]["url"] == "/signstash/einvoice-integration-ws"

    def test_the_contract_keeps_its_flaw(self) -> None:
        for name in ("Document", "DocumentResponse"):
            field = CONTRACT["components"]["schemas"][name]["properties"]["contentType"]
            assert field["enum"] == ["application/pdf, text/xml, application/xml"]


@pytest.mark.parametrize("definition", [CONTRACT, CORRECTED], ids=["contract", "corrected"])
def test_everything_in_the_contract_is_described(definition: Definition) -> None:
    described: dict[str, Definition] = {}
    for *_, operation in operations(definition):
        name = operation["operationId"]
        described |= {name: operation, f"{name} summary": {"description": operation.get("summary")}}
        described |= {f"{name}.{parameter['name']}": parameter for parameter in operation.get("parameters", [])}
        if "requestBody" in operation:
            described[f"{name} body"] = operation["requestBody"]
            for content in operation["requestBody"]["content"].values():
                described |= {f"{name} {part}": item for part, item in content["schema"].get("properties", {}).items()}
    for name, schema in definition["components"]["schemas"].items():
        described[name] = schema
        described |= {f"{name}.{field}": item for field, item in schema.get("properties", {}).items()}

    assert {"getStatus.operationId", "signDocumentBatchBinary files", "Company.email", "OperationType"} < {*described}
    assert [name for name, item in described.items() if not str(item.get("description") or "").strip()] == []


class TestCorrections:
    def test_the_corrected_definition_is_valid_openapi(self) -> None:
        assert [error.message for error in OpenAPIV30SpecValidator(CORRECTED).iter_errors()] == []

    def test_each_correction_gives_its_reason(self) -> None:
        assert [item for item in OVERLAY["actions"] if len(str(item.get("description", "")).split()) < 3] == []

    @pytest.mark.parametrize("name", ["Document", "DocumentResponse", "Base64Document"])
    def test_corrected_content_types_are_those_on_the_wire(self, name: str) -> None:
        schemas = CORRECTED["components"]["schemas"]
        assert shown_type(schemas[name]["properties"]["contentType"]) == "ContentType"
        assert {"application/pdf", "text/xml", "application/xml"} < {*schemas["ContentType"]["enum"]}

    def test_every_failure_has_the_error_schema(self) -> None:
        form = {key: ["application/json ErrorResponse"] for key in ("400", "401", "403", "409", "429", "500")}
        for *_, operation in operations(CORRECTED):
            responses = operation["responses"].items()
            assert {status: shown_content(item["content"]) for status, item in responses if status != "200"} == form

    def test_corrections_change_only_the_flaws(self) -> None:
        answers_alone = {"Company", "SignatureQueuePriority", "DocumentResponse", "BaseOperation", "SignOperation"}
        for name, before in CONTRACT["components"]["schemas"].items():
            after = CORRECTED["components"]["schemas"][name]
            old, new = before.get("properties", {}), after.get("properties", {})
            assert after.get("enum") == before.get("enum")
            assert after.get("required") == (None if name in answers_alone else before.get("required"))
            assert old.keys() == new.keys()
            assert all((new[field] != old[field]) == ("enum" in old[field]) for field in old)


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The script generate.py, working on a copy of the project."""
    names = ("failure", "laying", "generate")
    monkeypatch.syspath_prepend(str(PROJECT / "openapi"))
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("generate")
    root, not_copied = tmp_path / "project", shutil.ignore_patterns("node_modules", "__pycache__", "sandbox")
    for folder in ("openapi", "src"):
        shutil.copytree(PROJECT / folder, root / folder, ignore=not_copied)
    shutil.copy(PROJECT / "generator-config.yaml", root)
    for name in ("CONTRACT", "UPSTREAM", "DEFINITION", "OVERLAY", "GENERATED", "CONFIG", "TEMPLATE_DIFFS"):
        monkeypatch.setattr(module, name, root / getattr(module, name).relative_to(PROJECT))
    monkeypatch.setattr(module, "ROOT", root)
    yield module
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is generated from the committed inputs, in a separate process."""
    target = tmp_path_factory.mktemp("made")
    program = f"import generate, pathlib; generate.build(pathlib.Path({str(target)!r}))"
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT / "openapi", check=True)
    return target


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def run(script: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["generate.py", *arguments])
    return int(script.main())


class TestGeneration:
    def test_the_committed_client_is_current(self, made: Path) -> None:
        assert contents(made / "_generated") == contents(PROJECT / "src" / "signstash" / "_generated")
        assert (made / "signstash.json").read_bytes() == (PROJECT / "openapi" / "signstash.json").read_bytes()

    def test_generation_is_reproducible(
        self, generate: Any, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONHASHSEED", "4711")
        again = tmp_path / "again"
        settings = "[format]\nquote-style = 'single'\n[lint.isort]\nforce-single-line = true\n"
        again.mkdir()
        (again / "ruff.toml").write_text(settings)

        generate.build(again)

        assert contents(again) == contents(made) | {"ruff.toml": settings.encode()}

    def test_generation_replaces_existing_files(
        self, generate: Any, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (generate.GENERATED / "models" / "left_over.py").touch()
        generate.DEFINITION.write_text(json.dumps(changed(CORRECTED, lambda it: it["info"].update(title="Old"))))

        assert run(generate, monkeypatch) == 0
        assert contents(generate.GENERATED) == contents(made / "_generated")
        assert generate.DEFINITION.read_bytes() == (made / "signstash.json").read_bytes()
        assert "signstash.json" in capsys.readouterr().out

    @pytest.mark.parametrize("target", dict.fromkeys(action["target"] for action in OVERLAY["actions"]))
    def test_a_correction_without_its_target_is_named(self, generate: Any, target: str) -> None:
        gone = changed(CONTRACT, lambda it: parse_json_path(target.replace("*.*.responses", "*")).filter(bool, it))

        with pytest.raises(generate.GenerationError) as failed:
            generate.overlaid(gone, OVERLAY)

        assert f"nothing is at {target}" in str(failed.value)

    def test_a_failure_is_reported_and_changes_nothing(
        self, generate: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        unfit = changed(CONTRACT, lambda it: it["components"]["schemas"]["SigningStatus"].update(enum=["DONE"]))
        generate.UPSTREAM.write_text(json.dumps(unfit), "utf-8")
        before = contents(generate.ROOT)

        assert run(generate, monkeypatch) == 1
        assert contents(generate.ROOT) == before
        assert "DocumentResponse.signStatus has none of the known values" in capsys.readouterr().err

    def test_corrections_other_than_an_overlay_are_rejected(self, generate: Any) -> None:
        generate.OVERLAY.write_text("overlay: 1.0.0\ninfo: {title: t, version: v}\nactions: [{remove: true}]\n")

        with pytest.raises(generate.GenerationError, match=r"overlay\.yaml is not an OpenAPI Overlay.*target"):
            generate.contract()

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda operation: operation["responses"]["200"].pop("description"),
            lambda operation: operation.pop("responses"),
            lambda operation: operation["parameters"][0].pop("in"),
            lambda operation: operation["parameters"].clear(),
        ],
        ids=["response not described", "no responses", "parameter of no place", "parameter missing"],
    )
    def test_an_invalid_definition_is_reported(self, generate: Any, spoil: Callable[[Definition], object]) -> None:
        path = "/api/v0/operation/status/{operationId}"

        assert generate.faults(changed(CORRECTED, lambda it: spoil(it["paths"][path]["get"]))) != []

    @pytest.mark.parametrize("template", ["api_init", "endpoint_module", "model", "str_enum", "types"])
    def test_a_template_of_another_generator_is_named(
        self, generate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str
    ) -> None:
        installed = Path(openapi_python_client.__file__).parent
        newer = shutil.copytree(installed / "templates", tmp_path / "newer" / "templates") / f"{template}.py.jinja"
        newer.write_text(newer.read_text("utf-8").upper(), "utf-8")
        monkeypatch.setattr(openapi_python_client, "__file__", str(tmp_path / "newer" / "__init__.py"))

        with pytest.raises(generate.GenerationError, match=rf"(?s)does not fit.*{template}\.py\.jinja"):
            generate.build(tmp_path)

    def test_templates_are_adapted_inside_a_repository(
        self, generate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        for diff in generate.TEMPLATE_DIFFS.glob("*.diff"):  # as `git diff` writes them
            diff.write_text(f"diff --git a/{diff.stem}.py.jinja b/{diff.stem}.py.jinja\n" + diff.read_text("utf-8"))
        with tempfile.TemporaryDirectory() as folder:
            generate.write_templates(Path(folder))
            assert "def path_segment" in Path(folder, "types.py.jinja").read_text("utf-8")

    @pytest.mark.parametrize("field", [{"type": "array"}, {"type": "int"}], ids=["array without items", "unknown type"])
    def test_a_warning_of_the_generator_is_an_error(self, generate: Any, tmp_path: Path, field: Definition) -> None:
        flawed = changed(CORRECTED, lambda it: it["components"]["schemas"]["Folder"]["properties"].update(tags=field))
        (tmp_path / "flawed.json").write_text(json.dumps(flawed), "utf-8")

        with pytest.raises(generate.GenerationError, match=r"openapi-python-client failed:(?s:.*)(?i:folder)"):
            generate.generate_package(tmp_path / "flawed.json", tmp_path / "_generated")

    @pytest.mark.parametrize("first", ["company", "folder"])
    def test_models_that_refer_to_one_another_read_themselves(self, generate: Any, tmp_path: Path, first: str) -> None:
        def refer(definition: Definition) -> None:
            for schema, other in (("Company", "Folder"), ("Folder", "Company")):
                field = {"$ref": f"#/components/schemas/{other}"}
                definition["components"]["schemas"][schema]["properties"][other.lower()] = field

        (tmp_path / "circle.json").write_text(json.dumps(changed(CORRECTED, refer)), "utf-8")
        generate.generate_package(tmp_path / "circle.json", tmp_path / "circle")
        company = {"name": "a", "vatNumber": "1", "countryCode": "PRT"}
        value = {**company, "folder": {"company": company}}
        program = f"import circle.models.{first}; from circle.models import Company as C; print(C.from_dict({value}))"
        read = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)

        assert [model for model in ("Folder(", "company=Company(") if model not in read.stdout] == []


class TestCheck:
    def test_a_manual_edit_is_shown_and_kept(
        self, generate: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(generate, monkeypatch, "--check") == 0
        assert "up to date" in capsys.readouterr().out
        edited = generate.GENERATED / "types.py"
        edited.write_text(edited.read_text("utf-8") + "HAND = 'edited'\n", "utf-8")
        before = contents(generate.ROOT)

        assert run(generate, monkeypatch, "--check") == 1
        assert contents(generate.ROOT) == before
        told = capsys.readouterr()
        assert "make generate" in told.err
        assert "committed/_generated/types.py" in told.out
        assert "-HAND = 'edited'" in told.out

    @pytest.mark.parametrize(
        ("file", "edit"),
        [
            ("src/signstash/_generated/models/company.py", lambda _: None),
            ("src/signstash/_generated/models/extra.py", lambda _: b"EXTRA = 1\n"),
            ("src/signstash/_generated/models/empty.py", lambda _: b""),
            ("src/signstash/_generated/notes.txt", lambda _: b"by hand\n"),
            ("src/signstash/_generated/errors.py", lambda old: old.rstrip(b"\n")),
            ("src/signstash/_generated/errors.py", lambda old: old.replace(b"\n", b"\r\n")),
            ("openapi/signstash.json", lambda old: old.replace(b"Number", b"No.", 1)),
            ("openapi/signstash.json", lambda old: old.rstrip(b"\n")),
        ],
        ids=["no file", "new file", "empty file", "other", "line end", "line ends", "json", "json line end"],
    )
    def test_every_changed_byte_is_found(
        self, generate: Any, made: Path, file: str, edit: Callable[[bytes], bytes | None]
    ) -> None:
        assert generate.differences(made) == []
        path = generate.ROOT / file
        edited = edit(path.read_bytes() if path.exists() else b"")
        path.unlink(missing_ok=True)
        if edited is not None:
            path.write_bytes(edited)

        assert generate.differences(made) != []

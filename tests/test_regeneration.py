"""Another definition in the place of ours: the report, the client made from it, or the complaint."""

from __future__ import annotations

import copy
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from signstash.sandbox import Sandbox
from signstash.sandbox.definition import as_swagger2, load_definition

PROJECT = Path(__file__).parents[1]
Definition = dict[str, Any]

pytestmark = pytest.mark.own_definition
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="converting Swagger 2.0 needs Node.js")


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The scripts in openapi/, by name."""
    names = ("failure", "conversion", "differences", "generate", "regenerate")
    monkeypatch.syspath_prepend(str(PROJECT / "openapi"))
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield {name: importlib.import_module(name) for name in names}
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def project(tmp_path: Path, scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, which regeneration may change."""
    root = tmp_path / "project"
    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns(*scripts["regenerate"].NOT_COPIED))
    generate = scripts["generate"]
    for name in ("UPSTREAM", "DEFINITION", "OVERLAY", "GENERATED", "SOURCES", "CONFIG", "TEMPLATE_DIFFS"):
        monkeypatch.setattr(generate, name, root / getattr(generate, name).relative_to(PROJECT))
    monkeypatch.setattr(generate, "ROOT", root)
    monkeypatch.setattr(scripts["regenerate"], "TESTS", ("tests/test_client.py",))
    return root


def upstream() -> Definition:
    definition: Definition = json.loads((PROJECT / "openapi" / "upstream.json").read_text("utf-8"))
    return definition


def schema(definition: Definition, name: str) -> Definition:
    found: Definition = definition["components"]["schemas"][name]
    return found


def rename_schema(definition: Definition, old: str, new: str) -> None:
    text = json.dumps(definition).replace(f'"{old}"', f'"{new}"').replace(f'schemas/{old}"', f'schemas/{new}"')
    definition.clear()
    definition.update(json.loads(text))


STATUS = "/api/v0/operation/status/{operationId}"


def add_field(definition: Definition) -> None:
    schema(definition, "SignOperation")["properties"]["queueName"] = {"type": "string", "description": "Queue."}


def add_required_field(definition: Definition) -> None:
    request = schema(definition, "SignRequestBase64Document")
    request["properties"]["channel"] = {"type": "string", "description": "Channel."}
    request["required"].append("channel")


def remove_field(definition: Definition) -> None:
    del schema(definition, "Company")["properties"]["additionalInfo"]


def retype_field(definition: Definition) -> None:
    schema(definition, "DocumentResponse")["properties"]["internalId"] = {"type": "string", "description": "Number."}


def add_enum_value(definition: Definition) -> None:
    schema(definition, "SigningStatus")["enum"].append("ARCHIVED")


def remove_enum_value(definition: Definition) -> None:
    schema(definition, "VisibleImageType")["enum"].remove("IMAGE_JPG")


def add_operation(definition: Definition) -> None:
    started = copy.deepcopy(definition["paths"][STATUS]["get"])
    definition["paths"]["/api/v0/async/{operationId}"] = {"get": {**started, "operationId": "pollOperation"}}


def remove_optional_flag(definition: Definition) -> None:
    schema(definition, "SignatureInfo")["required"].append("reason")


def parameters(definition: Definition) -> list[Definition]:
    found: list[Definition] = definition["paths"][STATUS]["get"]["parameters"]
    return found


def add_parameters(definition: Definition) -> None:
    for name, required in (("tenant", True), ("verbose", False)):
        parameters(definition).append({"name": name, "in": "query", "required": required, "schema": {"type": "string"}})


def retype_parameter(definition: Definition) -> None:
    parameters(definition)[0]["schema"] = {"type": "string"}


def retype_answer(definition: Definition) -> None:
    answer = definition["paths"][STATUS]["get"]["responses"]["200"]
    answer["content"] = {"application/json": {"schema": {"type": "string"}}}


def move_to_another_tag(definition: Definition) -> None:
    definition["paths"][STATUS]["get"]["tags"] = ["Status"]


def change_path(definition: Definition) -> None:
    definition["paths"]["/api/v1/operation/status/{operationId}"] = definition["paths"].pop(STATUS)


def rename_operation(definition: Definition) -> None:
    definition["paths"][STATUS]["get"]["operationId"] = "getOperationStatus"


def remove_operation(definition: Definition) -> None:
    del definition["paths"]["/api/v0/document/sign/"]


def rename_operation_schema(definition: Definition) -> None:
    rename_schema(definition, "PreservationInfo", "ArchiveInfo")


def mend_a_known_flaw(definition: Definition) -> None:
    del schema(definition, "Company")["required"]


WORKING = {
    add_field: ["added    schema SignOperation, field queueName: string"],
    add_required_field: [
        "added    schema SignRequestBase64Document, field channel: string, required  [breaks callers]",
    ],
    remove_field: ["removed  schema Company, field additionalInfo: string  [breaks callers]"],
    retype_field: [
        "changed  schema DocumentResponse, field internalId, type: integer(int64) -> string  [breaks callers]"
    ],
    add_enum_value: ["added    schema SigningStatus, value ARCHIVED"],
    remove_enum_value: ["removed  schema VisibleImageType, value IMAGE_JPG  [breaks callers]"],
    add_operation: ["added    operation pollOperation: GET /api/v0/async/{operationId}"],
    remove_optional_flag: ["changed  schema SignatureInfo, field reason, required: False -> True  [breaks callers]"],
    change_path: [
        "changed  operation getStatus, place: GET /api/v0/operation/status/{operationId} -> "
        "GET /api/v1/operation/status/{operationId}  [breaks callers]"
    ],
    add_parameters: [
        "added    operation getStatus, parameter tenant in query: string, required  [breaks callers]",
        "added    operation getStatus, parameter verbose in query: string",
    ],
    retype_parameter: [
        "changed  operation getStatus, parameter operationId in path, type: integer(int64) -> string  [breaks callers]"
    ],
    retype_answer: [
        "changed  operation getStatus, answer 200 application/json, type: BaseOperation -> string  [breaks callers]"
    ],
    move_to_another_tag: ["changed  operation getStatus, tag: operation-management -> Status  [breaks callers]"],
    rename_operation: ["renamed  operation getStatus -> getOperationStatus  [breaks callers]"],
    remove_operation: ["removed  operation signDocumentBatchBinary: POST /api/v0/document/sign/  [breaks callers]"],
    rename_operation_schema: [
        "renamed  schema PreservationInfo -> ArchiveInfo  [breaks callers]",
        "changed  schema SignRequestBase64Document, field preservationInfo, type: PreservationInfo -> ArchiveInfo"
        "  [breaks callers]",
        "changed  schema SignRequestDocument, field preservationInfo, type: PreservationInfo -> ArchiveInfo"
        "  [breaks callers]",
    ],
}


@pytest.mark.parametrize(("change", "expected"), WORKING.items(), ids=lambda item: getattr(item, "__name__", ""))
def test_the_report_says_what_changed(
    scripts: dict[str, ModuleType], change: Callable[[Definition], None], expected: list[str]
) -> None:
    definition = upstream()
    before = scripts["generate"].definition_from(definition)
    change(definition)

    found = scripts["differences"].compare(before, scripts["generate"].definition_from(definition))

    assert list(map(str, found)) == expected


def test_a_parameter_that_must_be_given_now_breaks_callers_and_one_that_may_be_left_out_does_not(
    scripts: dict[str, ModuleType],
) -> None:
    definition = upstream()
    add_parameters(definition)
    before = scripts["generate"].definition_from(definition)
    for parameter in parameters(definition)[-2:]:
        parameter["required"] = not parameter["required"]

    found = scripts["differences"].compare(before, scripts["generate"].definition_from(definition))

    assert list(map(str, found)) == [
        "changed  operation getStatus, parameter tenant in query, required: True -> False",
        "changed  operation getStatus, parameter verbose in query, required: False -> True  [breaks callers]",
    ]


def test_the_report_is_printed_also_of_what_the_facade_could_not_do_without(
    scripts: dict[str, ModuleType], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    definition = upstream()
    remove_operation(definition)
    add_enum_value(definition)
    (tmp_path / "definition.json").write_text(json.dumps(definition))
    monkeypatch.setattr(sys, "argv", ["regenerate.py", "--diff", str(tmp_path / "definition.json")])

    assert scripts["regenerate"].main() == 0
    assert capsys.readouterr().out.splitlines() == [
        *WORKING[remove_operation],
        *WORKING[add_enum_value],
        "2 differences, 1 of them break callers.",
    ]


def test_nothing_changed_is_said_too(
    scripts: dict[str, ModuleType], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = str(PROJECT / "openapi" / "upstream.json")
    monkeypatch.setattr(sys, "argv", ["regenerate.py", "--diff", source])

    assert scripts["regenerate"].main() == 0
    assert capsys.readouterr().out == "The definitions are the same.\n"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (rename_operation, "operation getStatus is gone; candidates: getOperationStatus (bound in endpoints.py)"),
        (remove_operation, "operation signDocumentBatchBinary is gone; candidates: signDocumentBatchBase64"),
        (rename_operation_schema, "schema PreservationInfo is gone; candidates: ArchiveInfo (bound in models.py)"),
        (mend_a_known_flaw, "nothing is at $.components.schemas.Company.required any more"),
    ],
)
def test_what_the_facade_cannot_do_without_is_named_and_nothing_changes(
    project: Path,
    scripts: dict[str, ModuleType],
    change: Callable[[Definition], None],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    definition = upstream()
    change(definition)
    before = _state(project)

    assert _regenerated(project, scripts, definition, monkeypatch) == 1

    assert complaint in capsys.readouterr().err
    assert _state(project) == before


HARMLESS = (add_enum_value, add_operation, add_field, remove_field, retype_field, change_path)


def change_all_that_is_harmless(definition: Definition) -> None:
    for change in HARMLESS:
        change(definition)


GIVE_A_CLIENT = [change_all_that_is_harmless]
IN_THE_WAY = [remove_enum_value]
if os.environ.get("SIGNSTASH_ALL_CHANGES"):  # slow: make prove-regeneration
    GIVE_A_CLIENT += HARMLESS
    IN_THE_WAY += [add_required_field, remove_optional_flag]


@pytest.mark.parametrize("change", IN_THE_WAY)
def test_what_the_handwritten_code_does_not_fit_is_said_by_the_type_check(
    project: Path,
    scripts: dict[str, ModuleType],
    change: Callable[[Definition], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    definition = upstream()
    change(definition)
    before = _state(project)

    assert _regenerated(project, scripts, definition, monkeypatch) == 1

    assert "the step 'type check' failed, and nothing was changed" in capsys.readouterr().err
    assert _state(project) == before


@pytest.mark.parametrize("change", GIVE_A_CLIENT)
def test_a_client_is_made_from_a_changed_definition(
    project: Path,
    scripts: dict[str, ModuleType],
    change: Callable[[Definition], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    definition = upstream()
    change(definition)

    assert _regenerated(project, scripts, definition, monkeypatch) == 0, capsys.readouterr().err

    generated = project / "src" / "signstash" / "_generated"
    if change in (add_operation, change_all_that_is_harmless):
        assert (generated / "api" / "operation_management" / "poll_operation.py").exists()
    if change in (add_enum_value, change_all_that_is_harmless):
        assert "ARCHIVED" in (generated / "models" / "signing_status.py").read_text()
    assert json.loads((project / "openapi" / "upstream.json").read_text()) == definition
    assert not list(generated.parent.glob("_generated.*"))


def test_a_disk_that_is_full_in_the_middle_changes_nothing(
    project: Path, scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = scripts["generate"]
    made = project / "made"
    shutil.copytree(generate.GENERATED, made)
    (project / "made.json").write_text("{}")
    before = _state(project)
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if target == generate.GENERATED and path.suffix == ".new":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(scripts["failure"].GenerationError, match=r"nothing was changed.*No space left"):
        generate.take_over({generate.DEFINITION: project / "made.json", generate.GENERATED: made})

    assert _state(project) == before


@pytest.mark.parametrize("damage", [lambda d: d.update(paths=[]), lambda d: d["paths"].update({STATUS: "x"})])
def test_what_is_no_definition_is_said(
    project: Path,
    scripts: dict[str, ModuleType],
    damage: Callable[[Definition], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    definition = upstream()
    damage(definition)
    before = _state(project)

    assert _regenerated(project, scripts, definition, monkeypatch) == 1

    assert "Regeneration failed: " in capsys.readouterr().err
    assert _state(project) == before


@pytest.mark.parametrize(
    "url", ["http://[::1", "HTTP://user:pass-word@127.0.0.1:9/x", "http://user:pass-word@h:99999/"]
)
def test_an_address_that_cannot_be_reached_shows_no_password(scripts: dict[str, ModuleType], url: str) -> None:
    with pytest.raises(scripts["failure"].GenerationError) as failed:
        scripts["regenerate"].obtain(url)

    assert "pass-word" not in str(failed.value)


def test_a_renamed_schema_is_mended_in_one_place(project: Path, scripts: dict[str, ModuleType]) -> None:
    definition = upstream()
    rename_operation_schema(definition)
    corrected = scripts["generate"].definition_from(definition)
    models = project / "src" / "signstash" / "models.py"
    models.write_text(models.read_text() + "\nPreservationInfo = ArchiveInfo\n")

    scripts["generate"].check_bindings(corrected)


@needs_node
def test_swagger_2_gives_the_same_definition(scripts: dict[str, ModuleType]) -> None:
    swagger = as_swagger2(load_definition(), "proxy:8081")
    assert "SignRequest«Base64Document»" in swagger["definitions"]
    generate = scripts["generate"]

    ours, theirs = generate.definition_from(upstream()), generate.definition_from(swagger)

    assert scripts["differences"].compare(ours, theirs) == []


def test_swagger_2_without_node_is_explained(scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(scripts["failure"].GenerationError, match=r"needs Node\.js"):
        scripts["generate"].definition_from(as_swagger2(load_definition(), "proxy:8081"))


@pytest.mark.parametrize("text", ["", "<html>Login</html>", "[]", "{", "swagger: '1.2'", '{"openapi": 3}'])
def test_what_is_no_definition_is_refused(
    scripts: dict[str, ModuleType], tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "spec.json"
    source.write_text(text)
    monkeypatch.setattr(sys, "argv", ["regenerate.py", "--diff", str(source)])

    assert scripts["regenerate"].main() == 1


@pytest.mark.parametrize("form", ["v3", pytest.param("v2", marks=needs_node)])
def test_a_running_server_is_asked(
    scripts: dict[str, ModuleType],
    sandbox: Sandbox,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["regenerate.py", "--diff", f"{sandbox.base_url}/{form}/api-docs"])

    assert scripts["regenerate"].main() == 0, capsys.readouterr().err
    assert "are the same" in capsys.readouterr().out


def test_the_page_needs_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    page = httpx.get(f"{sandbox.base_url}/swagger-ui.html").text

    assert "signDocumentBatchBase64" in page
    assert "SignOperation" in page
    assert "http" not in page
    assert "<script" not in page


def test_credentials_in_the_url_are_sent_and_not_shown(
    scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[httpx.Request] = []

    def answer(url: httpx.URL, *, auth: tuple[str, str] | None, timeout: float) -> httpx.Response:
        asked.append(httpx.Request("GET", url, headers={"authorization": str(auth)}))
        return httpx.Response(401, request=asked[-1])

    monkeypatch.setattr(scripts["regenerate"].httpx, "get", answer)
    monkeypatch.setattr(sys, "argv", ["regenerate.py", "https://ana:pa55@proxy.test/v3/api-docs"])

    assert scripts["regenerate"].main() == 1
    assert asked[0].headers["authorization"] == "('ana', 'pa55')"
    assert str(asked[0].url) == "https://proxy.test/v3/api-docs"
    assert "pa55" not in capsys.readouterr().err


def test_make_says_that_spec_is_missing() -> None:
    ended = subprocess.run(
        ["make", "--dry-run", "regenerate"], cwd=PROJECT, capture_output=True, text=True, check=False
    )

    assert ended.returncode != 0
    assert "SPEC=" in ended.stderr


def _regenerated(
    project: Path, scripts: dict[str, ModuleType], definition: Definition, monkeypatch: pytest.MonkeyPatch
) -> int:
    source = project / "download.json"
    source.write_text(json.dumps(definition))
    monkeypatch.setattr(sys, "argv", ["regenerate.py", str(source)])
    ended: int = scripts["regenerate"].main()
    source.unlink()
    return ended


def _state(project: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(project)): path.read_bytes()
        for path in sorted(project.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }

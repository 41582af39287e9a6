"""Regeneration from another definition: the report, the generated client, or the error."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from signstash.sandbox import Sandbox
from signstash.sandbox.definition import as_swagger2, load_definition

from .conftest import DEFINITIONS, PROJECT, Change, Definition, contract, schema

pytestmark = pytest.mark.own_definition


@pytest.fixture
def project(tmp_path: Path, scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, which regeneration may change."""
    root = tmp_path / "project"
    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns(*scripts["regenerate"].NOT_COPIED, ".mypy_cache"))
    generate = scripts["generate"]
    for name in ("CONTRACT", "UPSTREAM", "DEFINITION", "OVERLAY", "GENERATED", "CONFIG", "TEMPLATE_DIFFS"):
        monkeypatch.setattr(generate, name, root / getattr(generate, name).relative_to(PROJECT))
    monkeypatch.setattr(generate, "ROOT", root)
    monkeypatch.setattr(scripts["regenerate"], "TESTS", ("tests/test_results.py",))
    return root


STATUS = "/api/v0/operation/status/{operationId}"


def add_field(definition: Definition) -> None:
    schema(definition, "SignOperation")["properties"]["queueName"] = {"type": "string", "description": "Queue."}


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


def require_a_parameter(definition: Definition) -> None:
    parameters(definition).append({"name": "tenant", "in": "query", "required": True, "schema": {"type": "string"}})


def add_a_parameter(definition: Definition) -> None:
    parameters(definition).append({"name": "verbose", "in": "query", "schema": {"type": "string"}})


def retype_parameter(definition: Definition) -> None:
    parameters(definition)[0]["schema"] = {"type": "string"}


def retype_answer(definition: Definition) -> None:
    response = definition["paths"][STATUS]["get"]["responses"]["200"]
    response["content"] = {"application/json": {"schema": {"type": "string"}}}


def move_to_another_tag(definition: Definition) -> None:
    definition["paths"][STATUS]["get"]["tags"] = ["Status"]


def change_path(definition: Definition) -> None:
    definition["paths"]["/api/v1/operation/status/{operationId}"] = definition["paths"].pop(STATUS)


def remove_operation(definition: Definition) -> None:
    del definition["paths"]["/api/v0/document/sign/"]


WORKING = {
    add_field: ["added    schema SignOperation, field queueName: string"],
    remove_field: ["changed  Company.additionalInfo: not described here  [breaks callers]"],
    retype_field: ["changed  DocumentResponse.internalId: described as string, read liberally"],
    add_enum_value: ["added    schema SigningStatus, value ARCHIVED"],
    remove_enum_value: ["changed  VisibleImageType: without IMAGE_JPG  [breaks callers]"],
    remove_optional_flag: ["changed  SignatureInfo.reason: required here  [breaks callers]"],
    add_operation: ["added    operation pollOperation: GET /api/v0/async/{operationId}"],
    require_a_parameter: [
        "changed  getStatus requires the parameter tenant (query), which is not known  [breaks callers]"
    ],
    change_path: [
        "changed  operation getStatus: GET /api/v0/operation/status/{operationId} -> "
        "GET /api/v1/operation/status/{operationId}  [breaks callers]"
    ],
    add_a_parameter: ["added    operation getStatus, parameter verbose in query: string"],
    retype_parameter: ["changed  getStatus.operationId: described as string, sent as int64"],
    retype_answer: [
        "changed  getStatus response: described as string, read as JSON",
    ],
    move_to_another_tag: [],
    remove_operation: ["removed  operation signDocumentBatchBinary: POST /api/v0/document/sign/  [breaks callers]"],
}


@pytest.mark.parametrize(("change", "expected"), WORKING.items(), ids=lambda item: getattr(item, "__name__", ""))
def test_the_diff_lists_changes(
    scripts: dict[str, ModuleType], laid: Callable[[Definition], Any], change: Change, expected: list[str]
) -> None:
    definition = contract()
    change(definition)

    found = scripts["differences"].compare(laid(contract()), laid(definition))

    assert list(map(str, found)) == expected


@pytest.mark.parametrize(
    ("definition", "line"),
    [
        (
            "01",
            "sign documents sent as base64                POST /api/v0/document/sign/base64/  (signBase64UsingPOST)",
        ),
        ("06", "left out                                     12 operations below /, /actuator and /error"),
    ],
)
def test_the_report_lists_operations(
    scripts: dict[str, ModuleType],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    definition: str,
    line: str,
) -> None:
    (path,) = DEFINITIONS.glob(f"{definition}*")
    monkeypatch.setattr(sys, "argv", ["regenerate.py", "--diff", str(path)])

    assert scripts["regenerate"].main() == 0
    shown = capsys.readouterr().out.splitlines()
    assert line in shown
    guide = (PROJECT / "src" / "signstash" / "definition.md").read_text("utf-8").splitlines()
    assert [text for text in shown if text.split()[0] not in ("added", "removed", "changed") and text not in guide] == [
        shown[-1]
    ]


def test_the_diff_reports_no_changes(
    scripts: dict[str, ModuleType], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["regenerate.py", "--diff", str(PROJECT / "openapi" / "upstream.json")])

    assert scripts["regenerate"].main() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing changed for callers."


def test_the_diff_ends_with_the_number_of_changes(
    scripts: dict[str, ModuleType],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    definition = json.loads((PROJECT / "openapi" / "upstream.json").read_text("utf-8"))
    definition["paths"]["/api/v0/report/"] = {"get": {"responses": {"200": {"description": "A report"}}}}
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(definition), "utf-8")
    monkeypatch.setattr(sys, "argv", ["regenerate.py", "--diff", str(changed)])

    assert scripts["regenerate"].main() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Differences: 1, breaking: 0."


def test_a_client_is_generated_from_a_changed_definition(
    project: Path,
    scripts: dict[str, ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    definition = contract()
    for change in (add_enum_value, add_operation, add_field, remove_field, retype_field, change_path):
        change(definition)

    assert _regenerated(project, scripts, definition, monkeypatch) == 0, capfd.readouterr().err

    generated = project / "src" / "signstash" / "_generated"
    assert (generated / "api" / "additional" / "poll_operation.py").exists()
    assert "ARCHIVED" in (generated / "models" / "signing_status.py").read_text()
    assert "/api/v1/" in (generated / "api" / "operation_management" / "get_status.py").read_text()
    assert json.loads((project / "openapi" / "upstream.json").read_text()) == definition
    assert not list(generated.parent.glob("_generated.*"))
    shown = capfd.readouterr().out
    assert ["3/3 tests: done" in shown, "100%" in shown] == [True, True]


def test_a_failing_step_changes_nothing(
    project: Path,
    scripts: dict[str, ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    models = project / "src" / "signstash" / "models.py"
    models.write_text(models.read_text() + "\nNumber: int = 'text'\n")
    before = _state(project)

    assert _regenerated(project, scripts, contract(), monkeypatch) == 1

    assert "the step '2/3 type check' failed, and nothing was changed" in capsys.readouterr().err
    assert _state(project) == before


def test_a_full_disk_changes_nothing(
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


@pytest.mark.parametrize(
    "url", ["http://[::1", "HTTP://user:pass-word@127.0.0.1:9/x", "http://user:pass-word@h:99999/"]
)
def test_an_unreachable_url_is_reported_without_its_password(scripts: dict[str, ModuleType], url: str) -> None:
    with pytest.raises(scripts["failure"].GenerationError) as failed:
        scripts["regenerate"].obtain(url)

    assert "pass-word" not in str(failed.value)


def test_swagger_2_gives_the_same_definition(scripts: dict[str, ModuleType], laid: Callable[[Definition], Any]) -> None:
    swagger = as_swagger2(load_definition(), "proxy:8081")
    assert "SignRequest«Base64Document»" in swagger["definitions"]
    ours, theirs = laid(contract()), laid(swagger)

    assert ours.definition == theirs.definition
    assert scripts["differences"].compare(ours, theirs) == []


@pytest.mark.parametrize("text", ["", "<html>Login</html>", "[]", "{", "swagger: '1.2'", '{"openapi": 3}'])
def test_a_file_other_than_a_definition_is_rejected(
    scripts: dict[str, ModuleType],
    tmp_path: Path,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "spec.json"
    source.write_text(text)
    monkeypatch.setattr(sys, "argv", ["regenerate.py", "--diff", str(source)])

    assert scripts["regenerate"].main() == 1
    assert capsys.readouterr().err.startswith("Comparison failed: ")


@pytest.mark.parametrize("form", ["v3", "v2"])
def test_a_definition_is_downloaded_from_a_server(
    scripts: dict[str, ModuleType],
    sandbox: Sandbox,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["regenerate.py", "--diff", f"{sandbox.base_url}/{form}/api-docs"])

    assert scripts["regenerate"].main() == 0, capsys.readouterr().err
    assert "Nothing changed" in capsys.readouterr().out


def test_the_report_page_loads_nothing(sandbox: Sandbox) -> None:
    page = httpx.get(f"{sandbox.base_url}/swagger-ui.html").text

    assert "signDocumentBatchBase64" in page
    assert "SignOperation" in page
    assert "http" not in page
    assert "<script" not in page


def test_credentials_in_the_url_are_sent_and_not_shown(
    scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[httpx.Request] = []

    def respond(url: httpx.URL, *, auth: tuple[str, str] | None, timeout: float) -> httpx.Response:
        asked.append(httpx.Request("GET", url, headers={"authorization": str(auth)}))
        return httpx.Response(401, request=asked[-1])

    monkeypatch.setattr(scripts["regenerate"].httpx, "get", respond)
    monkeypatch.setattr(sys, "argv", ["regenerate.py", "https://ana:pa55@proxy.test/v3/api-docs"])

    assert scripts["regenerate"].main() == 1
    assert asked[0].headers["authorization"] == "('ana', 'pa55')"
    assert str(asked[0].url) == "https://proxy.test/v3/api-docs"
    assert "pa55" not in capsys.readouterr().err


def test_the_sandbox_serves_the_paths_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = contract()
    newer["paths"] = {path.replace("/v0/", "/v2/"): item for path, item in newer["paths"].items()}
    monkeypatch.setattr("signstash.sandbox.definition.load_maintained_definition", lambda: newer)

    with Sandbox() as sandbox:
        urls = [f"{sandbox.integration_base_url}/api/{version}/operation/status/7" for version in ("v0", "v2", "v3")]
        statuses = [httpx.get(url).status_code for url in urls]

    assert statuses[0] == statuses[1] != 404
    assert statuses[2] == 404


def test_tests_that_regeneration_runs_exist(scripts: dict[str, ModuleType]) -> None:
    assert [path for path in scripts["regenerate"].TESTS if not (PROJECT / path).exists()] == []


def test_make_reports_a_missing_spec() -> None:
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

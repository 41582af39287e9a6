"""The package layout: packages import only from packages below them, without a cycle, and modules stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "signstash"
FLOORS = """
    command_line testing blocking
    client
    _runs integration
    _signing auth
    results settings
    documents journal _transport verification
    options _journal
    _content
    _errors retries
    _arguments _event_loop
    errors models api
    _generated
"""
"""From the top. A room is a module or a package of `signstash`."""
SANDBOX_SEES = {"models", "settings"}
SEE_GENERATED = {"api", "models", "_transport.endpoints", "_transport.generated_client", "_transport.retrying_exchange"}
DO_HTTP = {"client", "auth", "settings", "_transport", "_errors", "testing", "command_line", "sandbox"}
NOT_CORE = {"blocking", "command_line", "testing", "sandbox", "verification", "_generated"}
THIN_LAYER = {
    *("client", "auth", "errors", "_errors", "_transport.endpoints", "_transport.exchange"),
    *(
        "_transport.retrying_exchange",
        "_transport.token_request",
        "_transport.http_client",
        "_transport.outbound_proxy",
    ),
}
"""What stands between users and the generated client; the rest of the core is documents, batches and journals."""


def room_of(module: str) -> str:
    return module.partition(".")[0]


MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
    if path != SOURCE / "__init__.py"
}
LINES = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
CORE = {name: lines for name, lines in LINES.items() if room_of(name) not in NOT_CORE}
CORE_LIMIT = 8_862
THIN_LIMIT = 2_590
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS.split("\n")) for room in floor.split()}


def imported(name: str) -> Iterator[str]:
    """The modules that a module imports, wherever it does so; those of this package without `signstash.`."""
    path = MODULES[name]
    package = f"signstash.{name if path.stem == '__init__' else name.rpartition('.')[0]}".rstrip(".")
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("signstash.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            within = module.removeprefix("signstash").removeprefix(".")
            base = within if module.startswith("signstash") else module
            for alias in node.names:
                submodule = f"{within}.{alias.name}".strip(".")
                yield submodule if submodule in MODULES else base


IMPORTS = {name: set(imported(name)) - {name, ""} for name in MODULES}


def test_every_room_has_a_floor() -> None:
    assert {room_of(name) for name in MODULES} == FLOOR_OF.keys() | {"sandbox"}


def test_a_room_imports_only_from_rooms_below_it() -> None:
    upwards = {
        f"{name} imports {other}"
        for name in MODULES
        for other in IMPORTS[name] & MODULES.keys()
        if (room := room_of(name)) != (below := room_of(other)) and "sandbox" not in (room, below)
        if FLOOR_OF[room] >= FLOOR_OF[below]
    }

    assert upwards == set()


def test_the_sandbox_imports_only_models_and_settings() -> None:
    seen = {
        room_of(other) for name in MODULES if room_of(name) == "sandbox" for other in IMPORTS[name] & MODULES.keys()
    }
    seeing = {room_of(name) for name in MODULES if "sandbox" in map(room_of, IMPORTS[name])}

    assert seen <= SANDBOX_SEES | {"sandbox"}
    assert seeing <= {"sandbox", "testing", "command_line"}


def test_imports_have_no_cycles() -> None:
    handwritten = {name: IMPORTS[name] & MODULES.keys() for name in MODULES if room_of(name) != "_generated"}

    TopologicalSorter(handwritten).prepare()


def test_the_generated_client_is_imported_in_few_places() -> None:
    seeing = {name for name in MODULES if "_generated" in map(room_of, IMPORTS[name])}

    assert {name for name in seeing if room_of(name) != "_generated"} <= SEE_GENERATED


def test_httpx_is_imported_only_by_http_modules() -> None:
    seeing = {room_of(name) for name in MODULES if "httpx" in map(room_of, IMPORTS[name])}

    assert seeing - {"_generated"} <= DO_HTTP


def test_no_core_module_is_long() -> None:
    assert {name: lines for name, lines in CORE.items() if lines > 400} == {}


def test_the_core_does_not_grow() -> None:
    """The number of lines may only shrink."""
    thin = sum(lines for name, lines in CORE.items() if {name, room_of(name)} & THIN_LAYER)

    assert sum(CORE.values()) <= CORE_LIMIT
    assert thin <= THIN_LIMIT


def test_importing_the_client_loads_what_every_program_needs() -> None:
    program = "import sys; from signstash import Document, SignStash; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.split())

    assert "signstash.client" in loaded
    assert not {name for name in loaded if name.startswith(("signstash._runs.", "signstash._signing."))}
    assert not loaded & {
        "signstash.auth",
        "signstash.journal",
        "signstash._errors.codes",
        "signstash._transport.http_client",
        "signstash._generated.models.sign_operation",
        "signstash._generated.client",
    }

"""The house keeps its order: rooms import from rooms below them, without a circle, and stay small."""

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
    options
    _content
    _errors retries
    errors models api
    _generated
"""
"""From the top. A room is a module or a package of `signstash`."""
SANDBOX_SEES = {"models", "settings"}
SEE_GENERATED = {"api", "models", "_transport.endpoints", "_transport.generated_client", "_transport.requests"}
DO_HTTP = {"client", "auth", "settings", "_transport", "_errors", "testing", "command_line", "sandbox"}
NOT_CORE = {"blocking", "command_line", "testing", "sandbox", "verification", "_generated"}
THIN_LAYER = {
    *("client", "auth", "errors", "_errors", "_transport.endpoints", "_transport.exchange"),
    *("_transport.token_request", "_transport.http_client"),
}
"""What stands between users and the generated client; the rest of the core is documents, batches and journals."""

MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
    if path != SOURCE / "__init__.py"
}
LINES = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS.split("\n")) for room in floor.split()}


def room_of(module: str) -> str:
    return module.partition(".")[0]


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


LEFT = {
    "_runs.run is too long",
    "the thin layer is too long",
    "client is too long",
    "command_line.bar imports command_line.display",
    "the core is too long",
}
"""What is not so yet: to be emptied."""


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

    assert upwards - LEFT == set()


def test_the_sandbox_knows_little_of_the_client_and_the_client_nothing_of_it() -> None:
    seen = {
        room_of(other) for name in MODULES if room_of(name) == "sandbox" for other in IMPORTS[name] & MODULES.keys()
    }
    seeing = {room_of(name) for name in MODULES if "sandbox" in map(room_of, IMPORTS[name])}

    assert seen <= SANDBOX_SEES | {"sandbox"}
    assert seeing <= {"sandbox", "testing", "command_line"}


def test_no_modules_import_each_other() -> None:
    known = {name: {other for other in IMPORTS[name] if f"{name} imports {other}" not in LEFT} for name in MODULES}
    handwritten = {name: others & MODULES.keys() for name, others in known.items() if room_of(name) != "_generated"}

    TopologicalSorter(handwritten).prepare()


def test_three_modules_import_the_generated_client() -> None:
    seeing = {name for name in MODULES if "_generated" in map(room_of, IMPORTS[name])} - SEE_GENERATED

    assert {f"{name} imports _generated" for name in seeing if room_of(name) != "_generated"} - LEFT == set()


def test_httpx_is_imported_where_http_is_done() -> None:
    seeing = {room_of(name) for name in MODULES if "httpx" in map(room_of, IMPORTS[name])}

    assert seeing - {"_generated"} <= DO_HTTP


def test_the_core_is_small() -> None:
    core = {name: lines for name, lines in LINES.items() if room_of(name) not in NOT_CORE}
    thin = {name: lines for name, lines in core.items() if {name, room_of(name)} & THIN_LAYER}
    too_long = {f"{name} is too long" for name, lines in core.items() if lines > 400}
    if sum(core.values()) > 6_000:
        too_long.add("the core is too long")
    if sum(thin.values()) > 2_600:
        too_long.add("the thin layer is too long")

    assert too_long - LEFT == set()


def test_importing_the_client_loads_what_every_program_needs() -> None:
    program = "import sys; from signstash import Document, SignStash; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.split())

    assert "signstash.client" in loaded
    assert not {name for name in loaded if name.startswith(("signstash._runs.", "signstash._signing."))}
    assert not loaded & {
        "signstash.journal",
        "signstash._generated.models.sign_operation",
        "signstash._generated.client",
    }

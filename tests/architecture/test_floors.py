"""A file imports its own package or lower floors, never higher ones: not late, not for type checking only.

Across packages it imports interfaces (``api``) or plain data; implementations are named in config and reached
through an extension point. The lists below are the whole of what else is allowed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2] / "src" / "concurrence"

FLOORS: list[set[str]] = [
    {"errors", "clock", "contracts", "ids", "version"},
    {"component"},
    {"telemetry", "env"},
    {"wire"},
    {"transport", "tasks", "journal", "data"},
    {"scheduling", "workers"},
    {"nodes"},
    {"scripting"},
    {"engines", "adapters", "dashboard", "testing"},
    {"samples"},
    {"cli"},
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
SAMPLES = FLOOR_OF["samples"]

PLAIN_DATA = {
    "concurrence.errors",
    "concurrence.clock",
    "concurrence.ids",
    "concurrence.version",
    "concurrence.component",
    "concurrence.env.config",
    "concurrence.env.extension_options",
    "concurrence.env.options",
    "concurrence.env.values",
    "concurrence.transport.security",
}
"""Modules besides ``api`` and those of ``wire`` that any higher floor may import."""

SIMULATOR = {"concurrence.testing.simulation.api", "concurrence.testing.simulation.sweep"}
"""What a sample may ask about swarms that are larger than this machine."""

ALLOWED_BESIDES: dict[str, set[str]] = {
    # The rules by which components are checked: a file of its own, pure and long.
    "concurrence.contracts": {"component"},
    # How tasks are packed and unpacked is needed wherever they are owned or run.
    "concurrence.tasks.bundles": {"nodes", "scripting", "testing"},
    # What a task pushes is kept where it runs.
    "concurrence.tasks.children": {"workers"},
    "concurrence.tasks.nursery": {"workers"},
    "concurrence.tasks.importer": {"nodes", "testing"},
    "concurrence.tasks.forks": {"workers", "scripting"},
    "concurrence.tasks.functions": {"workers", "nodes", "scripting", "testing"},
    # Inline, a failed task's own exception is handed over with its frames, for debuggers.
    "concurrence.tasks.kept_errors": {"scripting", "nodes"},
    "concurrence.tasks.loading": {"workers", "nodes", "testing"},
    "concurrence.tasks.ownership": {"nodes", "scripting", "testing"},
    "concurrence.tasks.packing": {"workers", "nodes", "scripting", "testing"},
    # Scripts hand out handles on shared objects.
    "concurrence.tasks.shared": {"nodes", "scripting", "testing"},
    # What map sends is made by nodes; where waiting is banned is known to whoever calls authors' code.
    "concurrence.tasks.packs": {"nodes", "scripting", "testing"},
    "concurrence.tasks.waiting": {"nodes", "scripting", "workers", "testing"},
    "concurrence.tasks.values": {"workers", "nodes", "scripting", "testing"},
    # A master offers remote methods beside those of its API.
    "concurrence.transport.rpc_methods": {"nodes"},
    "concurrence.transport.rpc_server": {"nodes"},
    # How many open files a process may have: nodes check it when they start.
    "concurrence.transport.descriptors": {"nodes"},
    # Nodes and commands put the parts together.
    "concurrence.nodes": {"scripting", "testing", "cli"},
    "concurrence.scripting": {"testing", "cli"},
    # The command line makes, checks, keeps and restores environments; what is known of keys stands in nodes.
    "concurrence.env.backup": {"cli"},
    "concurrence.env.env_check": {"nodes", "cli"},
    # Commands show what components are linked with whom.
    "concurrence.env.links": {"cli"},
    "concurrence.env.diagram_svg": {"cli"},
    "concurrence.env.diagram_mermaid": {"cli"},
    "concurrence.env.environment": {"nodes", "scripting", "testing", "cli"},
    # What there is to configure, for the commands that show and change it.
    "concurrence.env.config_edit": {"cli"},
    "concurrence.env.option_base": {"cli"},  # options of any type are words behind an application's name
    "concurrence.env.config_file": {"cli"},
    "concurrence.env.config_report": {"nodes", "cli"},  # nodes: config.get of the API
    "concurrence.env.config_sources": {"cli"},
    "concurrence.env.config_values": {"cli"},
    "concurrence.env.toml_lines": {"cli"},
    "concurrence.env.layout": {"nodes", "cli"},  # how a path is written in a command that an error proposes
    "concurrence.env.whole": {"cli"},  # what commands write appears whole or not at all
    "concurrence.env.restore": {"cli"},
    "concurrence.env.upgrades": {"cli"},
    # Running nodes: services begin and end, config files change, hosts get the master's options of the transport.
    "concurrence.env.checks": {"nodes", "cli"},  # and the shell completes the names of options
    "concurrence.env.lifecycle": {"nodes"},
    "concurrence.env.watching": {"nodes"},
    "concurrence.env.log": {"nodes", "scripting", "testing", "cli"},
    "concurrence.env.plugins": {"nodes", "testing", "cli"},
    "concurrence.env.plugin_sources": {"cli"},  # whether there are plug-ins is asked before any is loaded
    "concurrence.journal.gate": {"nodes", "testing"},
    # Who offers methods of the API, and who has a door to it; commands and tools tell its errors.
    "concurrence.transport.remote": {"nodes", "testing", "dashboard", "cli"},
    # The HTTP port of nodes: who may come in, what is served, and the thread that does it.
    "concurrence.transport.tokens": {"nodes", "testing", "cli"},
    "concurrence.transport.http_pages": {"nodes", "testing"},
    "concurrence.transport.http_server": {"nodes", "testing"},
    "concurrence.transport.jsonrpc": {"nodes", "testing", "dashboard", "cli"},
    # What strategies are tried with, and what task managers pull from, in the tests that their authors inherit.
    "concurrence.scheduling.generic": {"testing"},
    "concurrence.transport.memory": {"testing"},
    "concurrence.scheduling.circuit": {"testing"},
    "concurrence.scheduling.core": {"nodes", "testing"},
    "concurrence.scheduling.ledger": {"nodes", "testing"},
    "concurrence.scheduling.outbox": {"nodes", "testing"},
    "concurrence.scheduling.registry": {"nodes", "testing"},
    # What administrators ask and do: nodes offer it as methods of the API.
    "concurrence.scheduling.draining": {"nodes", "testing"},
    "concurrence.scheduling.explaining": {"nodes"},
    "concurrence.scheduling.job_views": {"nodes"},
    "concurrence.scheduling.naming": {"nodes"},
    "concurrence.scheduling.owner_events": {"nodes"},
    "concurrence.scheduling.past": {"nodes"},
    "concurrence.scheduling.slave_views": {"nodes"},
    # The simulation lets a slave's state machine run without processes.
    "concurrence.workers.slots": {"testing"},
    "concurrence.testing.simulation": {"cli"},
    "concurrence.workers.slot_state": {"testing"},
    "concurrence.scheduling.measures": {"nodes", "testing"},
    "concurrence.workers.execution": {"nodes", "testing"},
    "concurrence.telemetry.histogram": {"scheduling", "nodes"},
    "concurrence.telemetry.prometheus": {"nodes"},
    "concurrence.telemetry.stats": {"nodes", "testing"},
    "concurrence.workers.output": {"nodes", "scripting", "testing"},
    "concurrence.workers.processes": {"nodes", "testing"},
    "concurrence.workers.terminal": {"nodes"},  # hosts have no terminal either
    "concurrence.workers.template": {"nodes", "testing"},
}
"""What else is imported across packages, and by which: a new line here is a decision."""


class Import(NamedTuple):
    """One import of something of Concurrent's own."""

    place: str
    importer: str
    target: str


def module_name(path: Path, root: Path = ROOT) -> str:
    parts = ["concurrence", *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str, root: Path = ROOT) -> bool:
    path = root.joinpath(*name.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def imports_of(path: Path, root: Path = ROOT) -> Iterator[Import]:
    """Every import statement in a file, at whatever depth, resolved to modules."""
    importer = module_name(path, root)
    package = importer if path.name == "__init__.py" else importer.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            named = [f"{base}.{alias.name}" for alias in node.names]
            targets = [name if is_module(name, root) else base for name in named] if _own(base) else []
        else:
            continue
        place = f"{path}:{node.lineno}"
        yield from (Import(place, importer, target) for target in dict.fromkeys(targets) if _own(target))


def _own(name: str) -> bool:
    return name == "concurrence" or name.startswith("concurrence.")


def package_of(name: str) -> str:
    """The second part of a module's name; empty for the facade."""
    return name.split(".")[1] if "." in name else ""


def complaint(found: Import) -> str:
    """What is wrong with an import; empty if nothing is."""
    own, other = package_of(found.importer), package_of(found.target)
    if not own:
        return "" if FLOOR_OF.get(other, SAMPLES) < SAMPLES else "the facade may not import what stands on it"
    if not other:
        return "" if FLOOR_OF[own] >= SAMPLES else "only samples and the command line import the facade"
    if own == other:
        return ""
    if other not in FLOOR_OF or FLOOR_OF[other] >= FLOOR_OF[own]:
        return f"{other} is not on a lower floor than {own}"
    if own == "samples":
        return "" if found.target in SIMULATOR else "samples import the facade only, and the simulator"
    is_interface = found.target.endswith(".api") or other == "wire" or found.target in PLAIN_DATA
    is_allowed = any(
        own in packages and f"{found.target}.".startswith(f"{part}.") for part, packages in ALLOWED_BESIDES.items()
    )
    return "" if is_interface or is_allowed else "neither an api module nor plain data, nor in ALLOWED_BESIDES"


def test_every_file_stands_on_a_floor() -> None:
    names = {path.stem for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert not names - FLOOR_OF.keys() - {"__init__", "__main__"}


def test_imports_go_down_and_to_interfaces() -> None:
    found = [one for path in sorted(ROOT.rglob("*.py")) for one in imports_of(path)]
    assert found, ROOT
    problems = [f"{one.place}: imports {one.target}: {why}" for one in found if (why := complaint(one))]
    assert not problems, "\n".join(["imports that the floors forbid:", *problems])


@pytest.mark.parametrize(
    ("importer", "target", "allowed"),
    [
        ("wire.codec", "concurrence.errors", True),
        ("wire.codec", "concurrence.wire.messages", True),
        ("workers.slots", "concurrence.transport.api", True),
        ("workers.slots", "concurrence.transport.zmq_transport", False),
        ("workers.slots", "concurrence.scheduling.api", False),
        ("wire.codec", "concurrence.tasks.api", False),
        ("nodes.master", "concurrence.scheduling.ledger.core", True),
        ("nodes.master", "concurrence", False),
        ("samples.hello", "concurrence", True),
        ("samples.hello", "concurrence.samples.png", True),
        ("samples.hello", "concurrence.tasks.api", False),
        ("cli.run", "concurrence.nodes.api", True),
    ],
)
def test_what_counts_as_forbidden(importer: str, target: str, allowed: bool) -> None:
    assert (complaint(Import("", f"concurrence.{importer}", target)) == "") is allowed


def test_late_typing_and_relative_imports_are_seen(tmp_path: Path) -> None:
    package = tmp_path / "nodes"
    package.mkdir()
    (package / "api.py").touch()
    (tmp_path / "errors.py").touch()
    file = package / "late.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "from .. import errors\n"
        "from . import api\n"
        "if TYPE_CHECKING:\n"
        "    import concurrence.nodes.api as a\n"
        "def f():\n"
        "    from concurrence.nodes.api import Something\n"
        "    import json\n"
    )
    targets = [one.target for one in imports_of(file, tmp_path)]
    assert sorted(targets) == ["concurrence.errors", *["concurrence.nodes.api"] * 3]

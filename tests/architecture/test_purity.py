"""What decides is pure, and what routes never unpickles: both can be read off the imports."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src" / "concurrence"

PURE = [
    *sorted((ROOT / "wire").glob("*.py")),
    *sorted((ROOT / "scheduling").rglob("*.py")),
    ROOT / "journal" / "gate.py",
    ROOT / "transport" / "jsonrpc.py",
    ROOT / "tasks" / "ownership.py",
    ROOT / "workers" / "slots.py",
    ROOT / "workers" / "slot_results.py",
    ROOT / "workers" / "slot_state.py",
    ROOT / "workers" / "socket_order.py",
    ROOT / "workers" / "definitions.py",
    *(ROOT / "nodes" / f"{name}.py" for name in ("master_link", "owner_traffic", "slave_traffic")),
]
WORLD = {
    *("asyncio", "multiprocessing", "os", "random", "secrets", "select", "selectors", "signal", "socket"),
    *("subprocess", "tempfile", "threading", "time", "zmq"),
}
"""Sockets, threads, processes, clocks and randomness: given to pure code as arguments, or not at all."""

ROUTING = [
    *sorted((ROOT / "wire").glob("*.py")),
    *sorted((ROOT / "transport").glob("*.py")),
    *sorted((ROOT / "journal").glob("*.py")),
    *sorted((ROOT / "scheduling").rglob("*.py")),
    *(ROOT / "nodes" / f"{name}.py" for name in ("master", "hosting", "node", "process", "launching", "keys")),
    *(
        ROOT / "nodes" / f"{name}.py"
        for name in ("reactor", "locking", "slave", "sending", "master_link", "slave_traffic")
    ),
]
"""What runs in the processes of master and slave, as far as it handles messages."""

UNPICKLING = {"pickle", "cloudpickle", "marshal", "shelve", "concurrence.tasks", "concurrence.workers.execution"}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, at whatever depth of its code, each with the packages around it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            found.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return found


def test_what_decides_knows_no_socket_thread_process_clock_or_dice() -> None:
    problems = {str(path.relative_to(ROOT)): bad for path in PURE if (bad := imports(path) & WORLD)}
    assert not problems


def test_master_and_slave_do_not_even_import_what_unpickles() -> None:
    problems = {str(path.relative_to(ROOT)): bad for path in ROUTING if (bad := imports(path) & UNPICKLING)}
    assert not problems

"""What starts quickly imports little: ``import concurrence``, and a command line that only explains itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    *(
        "asyncio",
        "cloudpickle",
        "msgspec",
        "multiprocessing",
        "numpy",
        "psutil",
        "pytest",
        "starlette",
        "tomlkit",
        "uvicorn",
        "zmq",
    ),
    *(
        f"concurrence.{name}"
        for name in ("nodes", "scheduling", "scripting", "tasks", "transport", "wire", "workers")
    ),
}
"""What neither needs, and what takes most of the time of a node's start."""


def imported(script: str) -> set[str]:
    """The modules that a script leaves imported in a fresh Python, beyond those of an empty one."""
    told = (
        "import sys\nbefore = set(sys.modules)\ntry:\n"
        + "".join(f"    {line}\n" for line in script.splitlines())
        + "finally:\n    print('imported:', *(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", told],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return set(done.stdout.rpartition("imported:")[2].split())


def test_the_facade_imports_nothing_but_the_standard_library_until_a_name_is_used() -> None:
    found = imported("import concurrence")
    assert {name for name in found if name.startswith("concurrence")} == {"concurrence", "concurrence.version"}
    assert not {name.partition(".")[0] for name in found} - {"concurrence"} - sys.stdlib_module_names
    assert not found & HEAVY
    assert "concurrence.tasks.api" in imported("import concurrence\nconcurrence.Task")


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["config", "set", "--help"], ["--version"]])
def test_help_imports_no_part_of_a_node(words: list[str]) -> None:
    script = f"import sys\nsys.argv = ['concurrence', *{words!r}]\nfrom concurrence.cli.main import main\nmain()"
    assert sorted(imported(script) & HEAVY) == []


def test_nodes_do_without_a_web_server_until_they_open_their_http_port() -> None:
    found = imported("import concurrence.nodes.master, concurrence.nodes.slave, concurrence.nodes.process")
    assert sorted(found & {"starlette", "uvicorn", "h11", "anyio", "asyncio"}) == []
    assert "uvicorn" in imported("import concurrence.transport.http_server")

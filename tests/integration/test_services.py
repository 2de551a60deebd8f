"""Services of plug-ins in real nodes: they begin and end with them, and a failing one keeps them from starting."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from swarmkit import Program, Swarm, until

MARKS = '''"""Marks what happens to it, in every node that it is for."""

import os
import threading
from pathlib import Path

from concurrence.component import Component
from concurrence.env.options import StrOption
from concurrence.nodes.api import INodeHandle, INodeService


class Marks(Component, INodeService):
    kinds = StrOption("marks", "kinds", "master slave client", "In which nodes.")
    fails = StrOption("marks", "fails", "", "The method that fails.")

    def attach(self, node: INodeHandle) -> bool:
        self.node = node
        return node.kind in self.kinds.split()

    def setup(self) -> None:
        self.mark("setup")

    def start(self) -> None:
        self.mark("start")
        self.thread = threading.Thread(target=self.node.post, args=[self.posted])
        self.thread.start()
        self.node.call_every(0.05, self.every)
        self.node.call_later(0.01, self.later)

    def posted(self) -> None:
        self.node.stats.count("posted")
        self.mark(f"posted {threading.current_thread() is threading.main_thread()}")

    def later(self) -> None:
        raise LookupError("a mistake in the service")

    def every(self) -> None:
        self.mark("every")

    def stop(self) -> None:
        self.thread.join()
        self.mark("stop")
        if self.fails == "hangs":
            threading.Event().wait()

    def kill(self) -> None:
        self.mark("kill")

    def mark(self, what: str) -> None:
        (Path(os.environ["PROBE"]) / f"{self.node.kind} {what}").touch()
        if self.fails == what:
            raise OSError("no room")
'''


def plug_in(env: Path) -> None:
    (env / "plugins" / "marks.py").write_text(MARKS)


def make(swarm: Swarm, env: Path) -> Path:
    assert swarm.command("env", "create", str(env)).finish() == 0
    plug_in(env)
    return env


def goes_on(swarm: Swarm, kind: str, program: Program) -> None:
    """The service's mistake was logged, and its timer comes all the same."""
    program.wait_for("LookupError: a mistake in the service")
    mark = swarm.probe / f"{kind} every"
    mark.unlink(missing_ok=True)
    until(mark.exists, what=str(program))


def test_services_of_master_and_slave(swarm: Swarm) -> None:
    make(swarm, swarm.folder / "master" / "env")
    make(swarm, swarm.folder / "env-attic")
    programs = {"master": swarm.master(), "slave": swarm.slave("attic")}
    for kind, program in programs.items():
        goes_on(swarm, kind, program)
        program.wait_for("INFO  " + {"master": "master", "slave": "attic"}[kind] + "  services: Marks")
        assert f"a call of the service Marks failed in the {kind}" in program.output
        marks = swarm.probes(f"{kind} *")
        assert {f"{kind} setup", f"{kind} start", f"{kind} posted True"} <= set(marks)
        assert not {f"{kind} stop", f"{kind} kill"} & set(marks)
    assert len(swarm.run("plain.py:FromHandlers").ends_well()["ends"]) == 0
    for kind in ("slave", "master"):
        programs[kind].send(signal.SIGTERM)
        assert programs[kind].finish() == 0
        assert swarm.probes(f"{kind} stop")
        assert not swarm.probes(f"{kind} kill")


@pytest.mark.parametrize("method", ["setup", "start"])
def test_a_service_that_fails_keeps_the_node_from_starting(swarm: Swarm, method: str) -> None:
    env = make(swarm, swarm.folder / "master" / "env")
    words = ["master", "--env", str(env), "--port", "0", "--set", f"marks.fails={method}"]
    master = swarm.command(*words)
    assert master.finish() == 1
    phase = {"setup": "set up", "start": "started"}[method]
    assert f"Marks could not be {phase}: OSError: no room" in master.output
    assert 'marks.py", line' in master.output  # its author needs the place in the author's code, not in ours
    assert "nodes/services.py" not in master.output
    assert "The master listens" not in master.output
    swarm.check_nothing_left()
    assert bool(swarm.probes("master kill")) == (method == "start")


def test_a_service_that_fails_in_a_private_node_is_told_by_the_application(swarm: Swarm) -> None:
    env = make(swarm, swarm.folder / "env")
    app = str(Path(__file__).parent / "apps" / "slow.py:SlowTasks")
    settings = ["--set", "marks.fails=start", "--set", "marks.kinds=slave"]
    program = swarm.command("run", app, "--env", str(env), "--workers", "1", *settings)
    assert program.finish() == 1
    assert "Marks could not be started: OSError: no room" in program.output
    swarm.check_nothing_left()


def test_services_of_an_application_and_its_private_nodes(swarm: Swarm) -> None:
    env = make(swarm, swarm.folder / "env")
    app = str(Path(__file__).parent / "apps" / "slow.py:SlowTasks")
    program = swarm.command("run", app, "--env", str(env), "--workers", "1", "--set", "slow.seconds=0.5")
    program.wait_for("ended slow 0")
    goes_on(swarm, "client", program)
    program.ends_well()
    for kind in ("master", "slave", "client"):
        assert set(swarm.probes(f"{kind} *")) == {
            *(f"{kind} {what}" for what in ("setup", "start", "posted True", "every", "stop"))
        }


def test_the_second_interrupt_kills(swarm: Swarm) -> None:
    env = make(swarm, swarm.folder / "master" / "env")
    words = ["master", "--env", str(env), "--port", "0", "--set", "marks.fails=hangs"]
    master = swarm.command(*words)
    master.wait_for("Ctrl-C")
    goes_on(swarm, "master", master)
    master.send(signal.SIGINT)
    until(lambda: swarm.probes("master stop"), what=str(master))
    assert not swarm.probes("master kill")
    os.kill(master.pid, signal.SIGINT)
    assert master.finish() == 130
    assert swarm.probes("master kill")
    swarm.check_nothing_left()

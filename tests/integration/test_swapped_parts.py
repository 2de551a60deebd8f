"""Each part that plug-ins can replace or add, done by a file in ``plugins/``, at work in real processes.

The parts leave a mark for each process that they work in. What they stand in for they derive from: what is
swapped is the component, by one line of the config.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from swarmkit import Swarm

from concurrence.component import identity
from concurrence.env.api import ICommands
from concurrence.env.environment import Environment
from concurrence.env.links import map_links
from concurrence.nodes.api import IApp

PARTS = '''
import os
from pathlib import Path

from concurrence import (
    Component, ExtensionOption, IApiMethods, IApp, ICommands, IJournal, INodeService, ITaskScheduleStrategy,
    ITransport, ZMQTaskManager, ZMQTransport, jsonremote,
)
from concurrence.scheduling.pushpull import ZMQTaskScheduler


def mark(what):
    Path(os.environ["PROBE"], f"{what}-{os.getpid()}").touch()


class MarkingScheduler(ZMQTaskScheduler):
    def dispatch(self, swarm, now):
        mark("scheduler")
        super().dispatch(swarm, now)


class MarkingStrategy(Component, ITaskScheduleStrategy):
    def rate(self, slave, work):
        mark("strategy")
        return 1.0


class MarkingManager(ZMQTaskManager):
    def handle(self, parcel):
        mark("manager")
        super().handle(parcel)


class MarkingTransport(ZMQTransport):
    def server(self, address, keys):
        mark("server")
        return super().server(address, keys)

    def client(self, credentials):
        mark("client")
        return super().client(credentials)


class WrappingTransport(Component, ITransport):
    inner = ExtensionOption("wrapping", "inner", ITransport, "ZMQTransport", "What does the work.")

    def server(self, address, keys):
        return self.inner.server(address, keys)

    def client(self, credentials):
        return self.inner.client(credentials)

    def work_queue(self, address, keys):
        return self.inner.work_queue(address, keys)

    def work_source(self, address, credentials):
        return self.inner.work_source(address, credentials)


class MarkingJournal(Component, IJournal):
    sequence = 0

    def open(self, on_durable):
        self.on_durable = on_durable

    def append(self, entries):
        for entry in entries:
            mark(f"journal-{type(entry.parcel.message).__name__}")
        self.sequence += 1
        self.on_durable(self.sequence)
        return self.sequence

    def close(self):
        mark("closed")


class MarkingService(Component, INodeService):
    def attach(self, node):
        mark(f"service-{node.kind.name.lower()}")
        return True


class MarkingMethods(Component, IApiMethods):
    def register_api(self, service):
        @jsonremote(service)
        def leave_mark(request, what: str) -> str:
            mark(what)
            return "left"


class MarkingApp(Component, IApp):
    def app_init(self):
        mark("init")

    def app_main(self):
        mark("main")
        return 3


class MarkingCommand(Component, ICommands):
    def commands(self):
        return {"mark": self.leave}

    def leave(self, what: str):
        """Leave a mark."""
        mark(what)
        return 4
'''

GENERIC = "masternode.task_scheduler=GenericTaskScheduler"


@pytest.fixture
def env(swarm: Swarm) -> str:
    folder = swarm.folder / "env"
    Environment.create(folder).close()
    (folder / "plugins" / "marking.py").write_text(PARTS)
    return str(folder)


def marks(swarm: Swarm, what: str) -> int:
    """In how many processes a part left its mark."""
    return len(swarm.probes(f"{what}-*"))


def run(swarm: Swarm, env: str, app: str, *settings: str) -> None:
    """Run a sample on a private swarm with one worker."""
    chosen = [word for setting in settings for word in ("--set", setting)]
    program = swarm.command("run", app, "--env", env, "--workers", "1", *chosen)
    assert program.finish() == 0, str(program)
    assert "broken" not in program.output
    assert "left out" not in program.output


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["masternode.task_scheduler=MarkingScheduler"], {"scheduler": 1}),
        ([GENERIC, "generictaskscheduler.strategy=MarkingStrategy"], {"strategy": 1}),
        (["slavenode.task_manager=MarkingManager"], {"manager": 1}),
        # A client of the transport is in the application and in the slave.
        (["node.transport=MarkingTransport"], {"server": 1, "client": 2}),
        (["masternode.journal=marking:MarkingJournal"], {"journal-Push*": 1, "closed": 1}),
        ([], {"scheduler": 0, "strategy": 0, "manager": 0, "server": 0, "client": 0, "journal": 0, "closed": 0}),
    ],
    ids=["scheduler", "strategy", "task manager", "transport", "journal", "nothing chosen"],
)
def test_a_line_of_the_config_swaps_a_part(
    swarm: Swarm, env: str, settings: list[str], expected: dict[str, int]
) -> None:
    run(swarm, env, "hello", *settings)
    assert {what: marks(swarm, what) for what in expected} == expected
    # A service needs no line: it is in every node of the environment.
    assert [marks(swarm, f"service-{kind}") for kind in ("master", "slave", "client")] == [1, 1, 1]


def test_the_host_of_a_task_system_has_the_transport_of_a_plug_in(swarm: Swarm, env: str) -> None:
    small = ["mandelbrot.width=60", "mandelbrot.height=40", "mandelbrot.shape=system-optimized"]
    run(swarm, env, "mandelbrot", "node.transport=MarkingTransport", *small)
    assert (marks(swarm, "server"), marks(swarm, "client")) == (1, 3)


def test_the_host_of_a_task_system_has_what_the_transport_of_a_plug_in_is_made_of(swarm: Swarm, env: str) -> None:
    small = "mandelbrot.width=60", "mandelbrot.height=40", "mandelbrot.shape=system-optimized"
    run(swarm, env, "mandelbrot", "node.transport=WrappingTransport", "wrapping.inner=MarkingTransport", *small)
    assert (marks(swarm, "server"), marks(swarm, "client")) == (1, 3)


def test_parts_are_swapped_in_this_process_too(swarm: Swarm, env: str) -> None:
    chosen = ["--set", "masternode.task_scheduler=MarkingScheduler"]
    program = swarm.command("run", "hello", "--env", env, "--inline", *chosen)
    assert program.finish() == 0, str(program)
    assert marks(swarm, "scheduler") == 1


def test_an_application_is_whatever_implements_its_interface(swarm: Swarm, env: str) -> None:
    program = swarm.command("run", "marking-app", "--env", env)
    assert program.finish() == 3, str(program)
    assert (marks(swarm, "init"), marks(swarm, "main")) == (1, 1)


def test_a_command_is_added(swarm: Swarm, env: str) -> None:
    program = swarm.command("--env", env, "mark", "footprint")
    assert program.finish() == 4, str(program)
    assert marks(swarm, "footprint") == 1


def test_a_method_of_the_api_is_added(swarm: Swarm, env: str) -> None:
    master = swarm.command("master", "--env", env, "--port", "0")
    master.wait_for("Ctrl-C")
    program = swarm.command("call", "leave_mark", "what=called", "--env", env)
    assert program.finish() == 0, str(program)
    assert "left" in program.output
    assert swarm.probes("called-*") == [f"called-{master.pid}"]
    master.send(signal.SIGTERM)
    assert master.finish() == 0


def test_no_extension_point_is_forgotten(env: str) -> None:
    with Environment.open(Path(env), environ={}) as environment:
        components = map_links(environment).components
    own = [each for each in components if each.identity.startswith("concurrence.")]
    points = {link.interface for each in own for link in each.links}
    # Applications and commands are looked for by the command line.
    points |= {identity(IApp), identity(ICommands)}
    parts = [each for each in components if each.identity.startswith("marking:")]
    assert points - {interface for each in parts for interface in each.interfaces} == set()


def test_what_is_disabled_is_not_there(swarm: Swarm, env: str) -> None:
    config = Path(env) / "concurrence.toml"
    config.write_text(
        '[components]\n"marking:MarkingService" = false\n[masternode]\ntask_scheduler = "MarkingScheduler"\n'
    )
    run(swarm, env, "hello")
    assert (marks(swarm, "service"), marks(swarm, "scheduler")) == (0, 1)
    config.write_text('[components]\n"marking:MarkingScheduler" = false\n')
    refused = swarm.command("run", "hello", "--env", env, "--set", "masternode.task_scheduler=MarkingScheduler")
    assert refused.finish() == 2, str(refused)
    assert "'MarkingScheduler' is disabled" in refused.output

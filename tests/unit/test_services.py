"""What services get of a node: guarded calls, and a begin and end with it."""

from __future__ import annotations

import logging
from collections.abc import Generator
from pathlib import Path
from typing import ClassVar

import pytest

from concurrence.component import Component, identity
from concurrence.env.environment import Environment
from concurrence.errors import ComponentError
from concurrence.nodes.api import INodeHandle, INodeService, NodeType
from concurrence.nodes.main_loop import MainLoop
from concurrence.nodes.services import NodeHandle, NodeServices
from concurrence.telemetry.stats import Stats


class Clock:
    def __init__(self) -> None:
        self.time = 10.0

    def now(self) -> float:
        return self.time


class Noting(Component, INodeService):
    """Notes what it is told."""

    said: ClassVar[list[str]] = []
    takes_part = True
    node: INodeHandle

    def attach(self, node: INodeHandle) -> bool:
        self.node = node
        self.said.append(f"attach {type(self).__name__} {node.kind} {node.name}")
        return self.takes_part

    def start(self) -> None:
        self.said.append(f"start {type(self).__name__}")

    def stop(self) -> None:
        self.said.append(f"stop {type(self).__name__}")

    def kill(self) -> None:
        self.said.append(f"kill {type(self).__name__}")


class Other(Noting):
    pass


class Absent(Noting):
    takes_part = False


class Refusing(Noting):
    def start(self) -> None:
        raise OSError("no room")


class Unwilling(Noting):
    def attach(self, node: INodeHandle) -> bool:
        raise LookupError("not this node")


class Story:
    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.clock = Clock()
        self.loop = MainLoop(self.clock)
        Noting.said.clear()

    def services(self, *classes: type[Noting]) -> tuple[NodeServices, list[Noting]]:
        made = [self.environment.component(self.environment.register(cls)) for cls in classes]
        return NodeServices(made, self.handle, self.environment.log), made

    def handle(self, service: str) -> NodeHandle:
        return NodeHandle(service, NodeType.SLAVE, "attic", self.environment, Stats(), self.loop)

    def wait(self, seconds: float) -> None:
        self.clock.time += seconds
        self.loop.run_due()


@pytest.fixture
def story(tmp_path: Path) -> Generator[Story]:
    (tmp_path / "env").mkdir()
    with Environment.ephemeral(environ={}, plugins=False) as environment:
        yield Story(environment)


def test_they_begin_in_order_and_end_in_reverse(story: Story) -> None:
    services, _ = story.services(Noting, Absent, Other)
    services.start()
    services.stop()
    attached = [f"attach {name} slave attic" for name in ("Noting", "Absent", "Other")]
    assert Noting.said == [*attached, "start Noting", "start Other", "stop Other", "stop Noting"]


def test_they_are_killed_without_a_stop(story: Story) -> None:
    services, _ = story.services(Noting, Other)
    services.start()
    services.kill()
    assert Noting.said[-2:] == ["kill Other", "kill Noting"]


def test_one_that_refuses_names_itself_and_leaves_nothing(story: Story) -> None:
    services, _ = story.services(Noting, Refusing)
    with pytest.raises(ComponentError, match=f"{identity(Refusing)} could not be started: OSError: no room"):
        services.start()
    assert Noting.said[-2:] == ["kill Refusing", "stop Noting"]


def test_one_that_fails_to_attach_names_itself_and_the_node(story: Story) -> None:
    with pytest.raises(ComponentError, match=r"Unwilling could not be attached to the slave: LookupError: not"):
        story.services(Unwilling)


def test_calls_come_from_the_loop_until_the_end(story: Story) -> None:
    services, (service,) = story.services(Noting)
    services.start()
    made: list[str] = []
    service.node.post(lambda: made.append("posted"))
    service.node.call_every(2.0, lambda: made.append("every"))
    service.node.call_later(3.0, lambda: made.append("later"))
    service.node.call_later(1.0, lambda: made.append("never")).cancel()
    assert made == []
    story.wait(0.0)
    assert made == ["posted"]
    story.wait(2.0)
    story.wait(1.0)
    story.wait(1.0)
    assert made == ["posted", "every", "later", "every"]
    services.stop()
    service.node.post(lambda: made.append("too late"))
    story.wait(10.0)
    assert len(made) == 4


def test_a_call_that_fails_is_logged_and_the_others_come(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    services, (service,) = story.services(Noting)
    services.start()
    made: list[str] = []

    def fail() -> None:
        raise ValueError("a mistake")

    service.node.call_every(1.0, fail)
    service.node.call_every(1.0, lambda: made.append("called"))
    with caplog.at_level(logging.INFO, "concurrence"):
        story.wait(1.0)
        story.wait(1.0)
    assert made == ["called", "called"]
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in failures] == ["a call of the service Noting failed in the slave"] * 2
    assert {record.name for record in failures} == {"concurrence.Noting"}
    assert all(record.exc_info for record in failures)


class TestMainLoop:
    def test_seconds_left(self, story: Story) -> None:
        loop = story.loop
        assert loop.seconds_left() is None
        loop.call_later(2.0, lambda: None)
        assert loop.seconds_left() == 2.0
        loop.post(lambda: None)
        assert loop.seconds_left() == 0.0
        story.wait(3.0)
        assert loop.seconds_left() is None

    def test_a_post_wakes_whoever_waits(self, story: Story) -> None:
        woken: list[bool] = []
        story.loop.wake = lambda: woken.append(True)
        story.loop.post(lambda: None)
        assert woken == [True]

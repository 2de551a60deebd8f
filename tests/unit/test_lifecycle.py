"""Lifecycle: the order of the four calls, and that everything ends whatever fails."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from concurrence.component import Component, ComponentManager
from concurrence.env.lifecycle import ROLLBACK_SECONDS, ILifecycle, Lifecycle
from concurrence.errors import ComponentError, ConfigError

LOG = logging.getLogger("test_lifecycle")


class Part(ILifecycle):
    """Writes down what it is told; acts as it is told to."""

    def __init__(self, story: list[str], name: str, **acts: Callable[[], None]) -> None:
        self.story = story
        self.name = name
        self.acts = acts

    def act(self, word: str) -> None:
        self.story.append(f"{word} {self.name}")
        self.acts.get(word, lambda: None)()

    def setup(self) -> None:
        self.act("setup")

    def start(self) -> None:
        self.act("start")

    def stop(self) -> None:
        self.act("stop")

    def kill(self) -> None:
        self.act("kill")


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> Callable[[], None]:
        def act() -> None:
            self.now += seconds

        return act


def fail(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def make(time: Time | None = None, **acts: dict[str, Callable[[], None]]) -> tuple[Lifecycle, list[str]]:
    story: list[str] = []
    parts = [Part(story, name, **acts.get(name, {})) for name in ("a", "b", "c")]
    return Lifecycle(parts, LOG, time or Time()), story


def test_all_are_set_up_before_any_starts_and_end_in_reverse() -> None:
    life, story = make()
    life.start()
    assert story == ["setup a", "setup b", "setup c", "start a", "start b", "start c"]
    assert life.is_running
    story.clear()
    life.stop(1.0)
    assert story == ["stop c", "stop b", "stop a"]
    assert not life.is_running


def test_every_call_can_be_repeated() -> None:
    life, story = make()
    life.start()
    life.start()
    life.stop(1.0)
    life.stop(1.0)
    life.kill()
    assert len(story) == len(set(story)) == 9
    with pytest.raises(ComponentError, match="have ended"):
        life.start()


def test_what_was_never_set_up_is_told_nothing() -> None:
    for is_kill in (True, False):
        life, story = make()
        life.kill() if is_kill else life.stop(1.0)
        assert story == []
        with pytest.raises(ComponentError, match="have ended"):
            life.start()


def test_kill_asks_nobody_to_stop() -> None:
    life, story = make()
    life.start()
    story.clear()
    life.kill()
    assert story == ["kill c", "kill b", "kill a"]


def test_a_refused_setup_kills_those_before_and_starts_nothing() -> None:
    cause = ValueError("no disk")
    life, story = make(b={"setup": fail(cause)})
    with pytest.raises(ComponentError, match=r"Part could not be set up: ValueError: no disk") as caught:
        life.start()
    assert caught.value.__cause__ is cause
    assert story == ["setup a", "setup b", "kill a"]


def test_a_refused_start_stops_the_started_and_kills_the_others() -> None:
    cause = ConfigError("bad port", source="c.toml", line=3, hint="Choose another.")
    life, story = make(b={"start": fail(cause)})
    with pytest.raises(ComponentError) as caught:
        life.start()
    assert caught.value.message == f"component {__name__}:Part could not be started: c.toml:3: bad port"
    assert caught.value.hint == "Choose another."
    assert caught.value.__cause__ is cause
    assert story[3:] == ["start a", "start b", "kill c", "kill b", "stop a"]
    life.stop(1.0)
    assert len(story) == 8


def test_an_interrupted_start_kills_everything() -> None:
    life, story = make(b={"start": fail(KeyboardInterrupt())})
    with pytest.raises(KeyboardInterrupt):
        life.start()
    assert story[-3:] == ["kill c", "kill b", "kill a"]


def test_a_failing_stop_is_logged_and_killed_and_the_others_stop(caplog: pytest.LogCaptureFixture) -> None:
    life, story = make(b={"stop": fail(OSError("stuck"))})
    life.start()
    del story[:]
    life.stop(1.0)
    assert story == ["stop c", "stop b", "kill b", "stop a"]
    assert "Part failed to stop" in caplog.text
    assert "OSError: stuck" in caplog.text


def test_after_the_deadline_the_rest_are_killed(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    life, story = make(time, c={"stop": time.pass_by(0.6)}, b={"stop": time.pass_by(0.6)})
    life.start()
    del story[:]
    life.stop(1.0)
    assert story == ["stop c", "stop b", "kill b", "kill a"]
    assert "0.2 s after the deadline" in caplog.text
    assert "killed instead of stopped" in caplog.text


def test_without_time_everything_is_killed() -> None:
    life, story = make()
    life.start()
    life.stop(0)
    assert story[6:] == ["kill c", "kill b", "kill a"]


def test_the_rollback_has_a_deadline_too() -> None:
    time = Time()
    life, story = make(time, b={"stop": time.pass_by(ROLLBACK_SECONDS)}, c={"start": fail(OSError())})
    with pytest.raises(ComponentError):
        life.start()
    assert story[-4:] == ["start c", "kill c", "stop b", "kill a"]


def test_what_kill_raises_is_logged_and_the_others_are_killed(caplog: pytest.LogCaptureFixture) -> None:
    life, story = make(b={"kill": fail(OSError("will not die"))})
    life.start()
    life.kill()
    assert story[6:] == ["kill c", "kill b", "kill a"]
    assert "will not die" in caplog.text


def test_an_interrupted_stop_kills_it_and_the_rest() -> None:
    life, story = make(b={"stop": fail(KeyboardInterrupt())})
    life.start()
    with pytest.raises(KeyboardInterrupt):
        life.stop(1.0)
    assert story[6:] == ["stop c", "stop b", "kill b", "kill a"]


def test_a_component_that_ends_all_while_it_stops_is_not_stopped_again() -> None:
    story: list[str] = []
    lives: list[Lifecycle] = []
    first, second = Part(story, "a"), Part(story, "b", stop=lambda: lives[0].stop(1.0))
    lives.append(Lifecycle([first, second], LOG, Time()))
    lives[0].start()
    lives[0].stop(1.0)
    assert story[4:] == ["stop b", "stop a"]


@pytest.mark.parametrize(
    ("phase", "ending"),
    [
        ("setup", ["setup a", "setup b", "kill a", "kill b"]),
        ("start", ["setup a", "setup b", "setup c", "start a", "start b", "kill c", "kill b", "stop a"]),
    ],
)
def test_a_component_that_ends_all_while_they_begin_is_obeyed(phase: str, ending: list[str]) -> None:
    story: list[str] = []
    lives: list[Lifecycle] = []
    acts = {phase: lambda: lives[0].stop(1.0)}
    lives.append(Lifecycle([Part(story, "a"), Part(story, "b", **acts), Part(story, "c")], LOG, Time()))
    lives[0].start()
    assert story == ending


def test_the_defaults_do_nothing() -> None:
    class Quiet(Component, ILifecycle): ...

    manager = ComponentManager()
    quiet = manager.component(manager.register(Quiet))
    life = Lifecycle([quiet], LOG, Time())
    life.start()
    life.stop(1.0)
    quiet.kill()

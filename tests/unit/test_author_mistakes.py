"""What authors of tasks, task systems and applications get wrong: told at once, by name, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from owner_story import Add, System, owned

from concurrence import ApplicationNode, ComponentManager, Task, run, task
from concurrence.component import Component
from concurrence.errors import ComponentError, PackingError, TaskError, UsageError
from concurrence.scripting.swarm import Swarm
from concurrence.tasks.functions import FunctionTask
from concurrence.testing import run_app, run_system, run_task, swarm
from concurrence.wire.messages import PushTasks

WRONG: list[tuple[str, Any]] = [
    ("timeout", "1 s"),
    ("timeout", -1),
    ("timeout", 0),
    ("timeout", float("nan")),
    ("timeout", float("inf")),
    ("timeout", True),
    ("timeout", timedelta(0)),
    ("timeout", 10**400),
    ("retries", "2"),
    ("retries", -1),
    ("retries", 1.5),
    ("retries", True),
    ("retries", None),
    ("retries", 10**30),
    ("priority", "high"),
    ("priority", 1.5),
    ("priority", None),
    ("priority", 10**30),
    ("priority", -(10**30)),
    ("resources", "gpu"),
    ("resources", 3),
    ("resources", ["gpu"]),
    ("resources", {1: 1}),
    ("resources", {"gpu": "1"}),
    ("resources", {"gpu": 0}),
    ("resources", {"gpu": float("inf")}),
    ("resources", {"gpu": True}),
    ("name", 3),
]


@pytest.fixture
def inline() -> Iterator[Swarm]:
    with swarm() as made:
        yield made


# --- options of tasks ---


@pytest.mark.parametrize(("option", "value"), WRONG)
def test_a_wrong_option_is_told_at_the_decorator(option: str, value: Any) -> None:
    with pytest.raises(UsageError, match=option) as caught:
        task(**{option: value})(abs)
    assert f"{value!r}"[:50] in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(("option", "value"), [each for each in WRONG if each[0] != "name"])
def test_a_wrong_field_is_told_when_it_is_pushed(option: str, value: Any) -> None:
    tasks, wrong = owned(), Add()
    setattr(wrong, "max_retries" if option == "retries" else option, value)
    tasks.add(Add(1))
    with pytest.raises(UsageError, match=f"Add.*{option}"):
        tasks.add(wrong)
    tasks.add(Add(2))
    assert [push.tasks for push in tasks.take_pushes()] == [2]


def test_options_arrive_as_the_wire_wants_them() -> None:
    tasks = owned()
    made = task(timeout=timedelta(minutes=1), retries=2, priority=-3, resources={"gpu": 2})(abs).task(1)
    assert made.timeout == 60.0
    later = Add()
    later.timeout = timedelta(seconds=5)
    for each in (made, later):
        tasks.add(each)
    first, second = (push.parcels[-1].message for push in tasks.take_pushes())
    assert isinstance(first, PushTasks)
    assert isinstance(second, PushTasks)
    assert (first.timeout, first.max_retries, first.priority, first.resources) == (60.0, 2, -3, {"gpu": 2.0})
    assert second.timeout == 5.0


def test_what_is_no_function_is_no_task() -> None:
    make: Any = task
    with pytest.raises(UsageError, match="no function"):
        make("fast")


async def waits(_: int = 0) -> int:
    return 1


class Waiting(Task):
    async def __call__(self) -> int:
        return 1


class Callable:
    async def __call__(self) -> int:
        return 1

    async def method(self) -> int:
        return 1


def test_async_functions_are_no_tasks(inline: Swarm) -> None:
    for given in (waits, Waiting(), Callable(), Callable().method, task(waits)):
        with pytest.raises(UsageError, match="async"):
            inline.submit(given)
    with pytest.raises(UsageError, match="waits is async"):
        inline.map(waits, [1])
    assert inline.submit(abs, -1).result() == 1


# --- task systems ---


@pytest.mark.parametrize("given", [3, System, Add()], ids=["a number", "a class", "a task"])
def test_what_is_no_task_system(inline: Swarm, given: object) -> None:
    system: Any = given
    with pytest.raises(UsageError, match="is no task system") as caught:
        inline.push_tasksystem(system)
    assert (given is not System) or caught.value.hint == "Return System(), not System."
    with pytest.raises(UsageError, match="is no task system"):
        run_system(system)
    assert inline.submit(abs, -1).result() == 1


class Three(ApplicationNode):
    def get_task_system(self) -> Any:
        return 3


def test_an_application_without_a_task_system_ends_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="3 is no task system"):
        run_app(Three)
    run(Three, inline=True)
    told = capsys.readouterr().err
    assert "3 is no task system" in told
    assert "fault in Concurrent" not in told


# --- applications ---


class NoApplication:
    pass


class NoManager(ApplicationNode):
    def __init__(self) -> None:
        pass


class HandsNothingOn(ApplicationNode):
    def __init__(self, manager: ComponentManager) -> None:
        super().__init__()  # type: ignore[call-arg]


class CallsNothing(ApplicationNode):
    def __init__(self, manager: ComponentManager) -> None:
        self.own = 1


def test_only_components_can_be_registered() -> None:
    given: Any
    for given in (NoApplication, 3):
        with pytest.raises(ComponentError, match="is no component"):
            ComponentManager().register(given)


def test_only_applications_can_be_run(capsys: pytest.CaptureFixture[str]) -> None:
    given: Any
    for given in (NoApplication, Component, 3, ApplicationNode):
        assert run(given) == 2
        assert "is no application" in capsys.readouterr().err
        with pytest.raises(UsageError, match="is no application"):
            run_app(given)


@pytest.mark.parametrize("app", [NoManager, HandsNothingOn, CallsNothing])
def test_a_constructor_that_takes_or_hands_on_no_manager(app: type[ApplicationNode]) -> None:
    with pytest.raises(ComponentError) as caught:
        run_app(app)
    assert "def __init__(self, manager)" in caught.value.hint
    assert "super().__init__(manager)" in caught.value.hint


def test_run_task_of_a_system_names_run_system() -> None:
    system: Any = System()
    with pytest.raises(UsageError, match="run_system"):
        run_task(system)


# --- what cannot travel ---


def test_what_refuses_to_travel_is_named_itself(inline: Swarm) -> None:
    future = inline.submit(abs, -1)
    for argument, what in ((inline, "a Swarm cannot travel"), ({"key": [future]}, "a Future cannot travel")):
        with pytest.raises(PackingError, match=what) as caught:
            inline.submit(repr, argument)
        assert "lock" not in caught.value.message
        assert "argument 0 of builtins:repr" in caught.value.message
    with pytest.raises(PackingError, match=r"variable 'inline' of .*: a Swarm cannot travel"):
        inline.submit(lambda: inline)


# --- which item of a map ---


def fails_at_7(number: int) -> int:
    if number == 7:
        raise KeyError(number)
    return number


@pytest.mark.parametrize("pack", [1, 4, None])
def test_the_failed_item_of_a_map_is_named(inline: Swarm, pack: int | None) -> None:
    results = inline.map(fails_at_7, range(10), pack=pack)
    with pytest.raises(KeyError) as caught:
        list(results)
    assert caught.value.__notes__ == ["item 7 of map"]


def exits_at_3(number: int) -> int:
    if number == 3:
        raise SystemExit(number)
    return number


def test_the_item_is_named_on_whatever_is_raised(inline: Swarm) -> None:
    with pytest.raises(TaskError) as caught:
        list(inline.map(exits_at_3, range(5)))
    assert caught.value.__notes__ == ["item 3 of map"]


def test_a_task_function_is_still_a_task() -> None:
    assert isinstance(task(abs).task(1), FunctionTask)

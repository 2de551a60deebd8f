"""Methods that look like misspelled handlers are warned of when the class is defined; others are not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from concurrence import ApplicationNode, ITaskSystem, Task


def define(base: type, *names: str) -> list[warnings.WarningMessage]:
    """What is warned of when a class with these methods is defined."""

    def method(self: Any) -> None:
        """Does nothing."""

    methods: dict[str, Callable[..., None]] = dict.fromkeys(names, method)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        type(base)("Mine", (base,), dict(methods), **({"abstract": True} if base is ApplicationNode else {}))
    return caught


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("task_finish", "task_finished"),
        ("work_finish", "work_finished"),
        ("on_task_finished", "task_finished"),
        ("start_procesing", "start_processing"),
        ("get_tasksystem", "get_task_system"),
        ("push_task_responce", "push_task_response"),
        ("master_disconnect", "master_disconnected"),
    ],
)
def test_a_misspelled_handler(name: str, meant: str) -> None:
    (warning,) = define(ApplicationNode, name)
    assert str(warning.message) == f"Mine.{name} is never called by Concurrent: did you mean {meant}?"


@pytest.mark.parametrize(
    "name",
    [
        *("task_failed", "task_started", "finished", "finish", "push_all", "push_next", "next_task", "draw"),
        *(
            "get_system",
            "make_tasks",
            "save_result",
            "on_progress",
            "show_progress",
            "_task_finish",
            "run",
            "main",
        ),
        *("process", "processing", "report", "parse", "cancelled", "work_done", "connect", "make_task_system"),
    ],
)
def test_no_false_alarm(name: str) -> None:
    assert define(ApplicationNode, name) == []


def test_methods_of_a_task_system() -> None:
    (warning,) = define(ITaskSystem, "is_completed")
    assert str(warning.message).endswith("did you mean is_complete?")
    assert define(ITaskSystem, "completed", "tasks", "generate", "result", "gather") == []


def test_who_has_both_means_both() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Both(ApplicationNode):  # pyright: ignore[reportUnusedClass]  its definition is what is tested
            def task_finished(self, task: Task, result: Any, error: Any) -> None:
                self.task_finish()

            def task_finish(self) -> None:
                """The author's own."""


def test_the_warning_shows_the_class_statement() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        class App(ApplicationNode):  # pyright: ignore[reportUnusedClass]
            def work_finish(self) -> None:
                """Nobody calls this."""

        class System(ITaskSystem):  # pyright: ignore[reportUnusedClass]
            def is_completed(self) -> bool:
                return True

            def generate_tasks(self, master: Any) -> Iterable[Task]:
                return ()

    assert [warning.filename for warning in caught] == [__file__, __file__]


def test_a_worker_does_not_say_again_what_the_author_has_read() -> None:
    text = "class System(ITaskSystem):\n    def is_completed(self): return True\n"
    for file, count in (("app.py", 1), ("<bundle 0123abcd>/app.py", 0)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            exec(compile(text, file, "exec"), {"ITaskSystem": ITaskSystem, "__name__": "app"})
        assert len(caught) == count, file

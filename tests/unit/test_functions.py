import pickle
from typing import Any

import cloudpickle
import pytest

from concurrence.tasks.api import Task
from concurrence.tasks.functions import FunctionTask, TaskFunction, callable_name, task


@task
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@task(name="triple it", priority=3, retries=2, timeout=1.5, resources={"gpu": 1})
def triple(number: int, *, plus: int = 0) -> int:
    return 3 * number + plus


def test_a_decorated_function_is_called_as_before() -> None:
    assert double(21) == 42
    assert repr(double).endswith("double>")
    assert double.__doc__ == "Twice the number."


def test_task_holds_the_call_and_runs_it() -> None:
    made = triple.task(4, plus=1)
    assert isinstance(made, FunctionTask)
    assert isinstance(made, Task)
    assert (made.args, dict(made.kwargs)) == ((4,), {"plus": 1})
    assert made() == 13


def test_options_become_fields_of_the_task() -> None:
    made = triple.task(1)
    fields = (made.name, made.priority, made.max_retries, made.timeout, dict(made.resources))
    assert fields == ("triple it", 3, 2, 1.5, {"gpu": 1})
    plain = double.task(1)
    assert (plain.name, plain.priority, plain.max_retries, plain.timeout) == ("", 0, 0, None)


def test_options_of_one_task_are_its_own() -> None:
    first, second = triple.task(1), triple.task(2)
    first.priority = 9
    assert second.priority == 3


def test_a_function_task_of_a_plain_callable() -> None:
    assert FunctionTask(divmod, (7, 2))() == (3, 1)
    assert FunctionTask(int, ("ff",), {"base": 16})() == 255


def test_repr_names_the_function() -> None:
    assert "double" in repr(double.task(1))
    assert "triple it" in repr(triple.task(1))


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_an_importable_task_function_travels_by_name(dumps: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    content = dumps(double)
    assert pickle.loads(content) is double


def test_a_local_task_function_travels_by_value() -> None:
    @task(priority=2)
    def countdown(number: int) -> int:
        return 0 if number == 0 else countdown(number - 1)

    back = pickle.loads(cloudpickle.dumps(countdown))
    assert isinstance(back, TaskFunction)
    assert back is not countdown
    assert back(5) == 0
    assert back.task(5).priority == 2


def test_names_of_callables() -> None:
    assert callable_name(double) == f"{__name__}:double"
    assert callable_name(FunctionTask) == "concurrence.tasks.functions:FunctionTask"
    assert callable_name("text".join).endswith("join")


def _this_module() -> Any:
    import types  # noqa: PLC0415

    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


def test_people_see_which_call_it_is() -> None:
    assert double.task(21).label == "double(21)"
    assert triple.task(1).label == "triple it"
    long = double.task("x" * 1_000).label  # pyright: ignore[reportArgumentType]
    assert len(long) < 60
    vast = FunctionTask(max, (bytes(1_000_000), bytearray(1_000_000))).label
    assert len(vast) < 100
    many = FunctionTask(max, tuple(range(100))).label
    assert many == "max(0, 1, 2, 3, 4, ...)"
    assert FunctionTask(max, ([1],), {"key": 1}).label == "max([1], key=1)"

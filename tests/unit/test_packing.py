import gc
import pickle
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import travelling

from concurrence.errors import PackingError
from concurrence.tasks.api import ITaskMaster, ITaskSystem, Task
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.functions import FunctionTask, task
from concurrence.tasks.packing import TaskPacker, pack_value, rebuild_exception, referred_modules, unpack_result
from concurrence.tasks.values import LARGE_BYTES
from concurrence.wire.faults import Fault
from concurrence.wire.messages import KIND_CALL, KIND_OBJECT, KIND_SYSTEM, KIND_TASK

SOURCES = Path(travelling.__file__).resolve().parents[2] / "src"


class Square(Task):
    def __init__(self, number: Any) -> None:
        super().__init__("square")
        self.number = number

    def __call__(self) -> Any:
        return self.number**2


class Slotted(Task):
    __slots__ = ("number",)


class Stateful(Task):
    def __getstate__(self) -> dict[str, Any]:
        return {}


class Unwilling(Task):
    def __getstate__(self) -> Any:
        return (number for number in range(3))


class Listed(Task, list[int]):
    pass


def add(left: int, right: int) -> int:
    return left + right


@pytest.fixture
def packer() -> TaskPacker:
    return TaskPacker(BundleCollector())


def run_script(folder: Path, source: str, *arguments: str) -> str:
    """Run a client's script in a folder of its own; the tasks run in yet another process."""
    folder.mkdir(exist_ok=True)
    script = folder / "client.py"
    script.write_text(textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, *(arguments or (str(script),))],
        cwd=folder,
        env={"PYTHONPATH": f"{SOURCES}:{Path(travelling.__file__).parent}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_call_is_its_function_and_its_arguments(packer: TaskPacker) -> None:
    call = packer.pack(FunctionTask(add, (1,), {"right": 2}))
    assert call.function.kind == KIND_CALL
    assert call.function.name == f"{__name__}:add"
    assert pickle.loads(call.arguments) == ((1,), {"right": 2})
    assert call.buffers == []


def test_a_task_is_its_class_and_its_dict(packer: TaskPacker) -> None:
    call = packer.pack(Square(3))
    assert call.function.kind == KIND_TASK
    assert pickle.loads(call.arguments) == {"name": "square", "number": 3}


@pytest.mark.parametrize("made", [Slotted(), Stateful(), Listed()])
def test_a_task_that_pickles_in_a_way_of_its_own_travels_whole(packer: TaskPacker, made: Task) -> None:
    call = packer.pack(made)
    assert call.function.kind == KIND_OBJECT
    assert call.function.blob == b""
    assert type(made).__name__ in call.function.name


def test_a_function_is_packed_once(packer: TaskPacker) -> None:
    first, second = packer.pack(FunctionTask(add, (1, 2))), packer.pack(FunctionTask(add, (3, 4)))
    assert first.function is second.function
    assert first.arguments != second.arguments


def test_different_functions_have_different_digests(packer: TaskPacker) -> None:
    functions = [packer.pack(FunctionTask(f)).function for f in (add, len, lambda: 1, lambda: 2)]
    assert len({function.digest for function in functions}) == 4


def test_a_dead_functions_place_is_not_taken_for_the_next(packer: TaskPacker) -> None:
    answers: list[int] = []
    worker = travelling.Worker()
    for number in range(50):
        answers.append(worker.run([packer.pack(FunctionTask(eval(f"lambda: {number}")))])[0].value)
        gc.collect(0)
    assert answers == list(range(50))
    assert len(packer._functions) < 10  # pyright: ignore[reportPrivateUsage]


def test_a_bound_method_takes_its_state_of_the_moment(packer: TaskPacker) -> None:
    worker = travelling.Worker()
    square = Square(2)
    method = square.__call__
    values: list[int] = []
    for number in (3, 4):
        square.number = number
        values.append(worker.run([packer.pack(FunctionTask(method))])[0].value)
    assert values == [9, 16]


def test_large_bytes_travel_apart_without_a_copy(packer: TaskPacker) -> None:
    large, small = bytes(LARGE_BYTES), bytes(100)
    call = packer.pack(FunctionTask(max, (large, small, large), {"key": large}))
    assert len(call.buffers) == 1
    assert call.buffers[0] is large
    assert len(call.arguments) < 1_000
    args, named = pickle.loads(call.arguments, buffers=[memoryview(buffer) for buffer in call.buffers])
    assert args == (large, small, large)
    assert type(args[0]) is bytes
    assert args[0] is args[2] is named["key"]
    state = packer.pack(Square(large))
    assert state.buffers == [large]
    assert pickle.loads(state.arguments, buffers=state.buffers)["number"] is large


def test_large_bytes_below_the_containers_of_an_author_stay_in_band(packer: TaskPacker) -> None:
    large = bytes(LARGE_BYTES)
    kept = [large]
    call = packer.pack(FunctionTask(max, (kept, kept)))
    assert call.buffers == []
    args, _ = pickle.loads(call.arguments)
    assert args[0] is args[1]


LARGE = bytes(LARGE_BYTES)


@pytest.mark.parametrize("value", [LARGE, [LARGE, 1], (LARGE, LARGE), {"a": LARGE}], ids=type)
def test_large_bytes_of_a_result_travel_apart(value: Any) -> None:
    payload, buffers = pack_value(value)
    assert len(buffers) == 1
    assert len(payload) < 1_000
    assert unpack_result(payload, buffers) == value


def test_very_many_large_bytes_do_not_all_become_frames() -> None:
    value = [bytes([number]) * LARGE_BYTES for number in range(100)]
    payload, buffers = pack_value(value)
    assert len(buffers) == 16
    assert unpack_result(payload, buffers) == value


def test_large_buffers_travel_apart_without_a_copy(packer: TaskPacker) -> None:
    small, large = np.arange(8), np.arange(100_000)
    call = packer.pack(FunctionTask(add, (small, large)))
    assert len(call.buffers) == 1
    assert np.shares_memory(np.frombuffer(call.buffers[0], dtype=large.dtype), large)
    assert len(call.arguments) < 1_000
    args, _ = pickle.loads(call.arguments, buffers=call.buffers)
    assert (args[0] == small).all()
    assert (args[1] == large).all()


def test_arrays_that_are_not_contiguous_travel_too(packer: TaskPacker) -> None:
    strided = np.arange(400_000)[::3]
    call = packer.pack(FunctionTask(add, (strided, 1)))
    args, _ = pickle.loads(call.arguments, buffers=call.buffers)
    assert (args[0] == strided).all()


def test_values_make_the_round_trip() -> None:
    values: list[Any] = [None, 3, "text", [1, {"a": (2,)}], np.arange(50_000), lambda: 4]
    for value in values:
        back = unpack_result(*pack_value(value))
        if callable(value):
            assert back() == 4
        else:
            assert np.array_equal(back, value)


def test_what_the_main_module_defines_never_travels_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    local: Any = type("OfMain", (), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "OfMain", local, raising=False)
    assert pickle.loads(pickle.dumps(local())).__class__ is local  # plain pickle takes it, by its name
    payload, buffers = pack_value(local())
    assert type(unpack_result(payload, buffers)) is local
    monkeypatch.delattr(sys.modules["__main__"], "OfMain")
    assert type(unpack_result(payload, buffers)) is local  # no look-up of the name: the other side has none


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Square(threading.Lock()), ["attribute 'number' of Square", "_thread.lock"]),
        (Square({"a": [threading.Lock()]}), ["item 0 of item 'a' of attribute 'number' of Square"]),
        (FunctionTask(add, (1, threading.Lock())), ["argument 1 of", "add", "_thread.lock"]),
        (FunctionTask(add, (1,), {"right": Square(threading.Lock())}), ["attribute 'number' of argument 'right'"]),
        (Unwilling(), ["Unwilling is a", "generator"]),
    ],
)
def test_what_cannot_be_pickled_is_named(packer: TaskPacker, made: Task, words: list[str]) -> None:
    with pytest.raises(PackingError) as caught:
        packer.pack(made)
    for word in words:
        assert word in caught.value.message
    assert caught.value.hint


def test_what_a_function_cannot_take_along_is_named(packer: TaskPacker) -> None:
    lock = threading.Lock()

    def guarded() -> None:
        with lock:
            pass

    with pytest.raises(PackingError, match=r"variable 'lock' of .*guarded is a _thread.lock"):
        packer.pack(FunctionTask(guarded))


def test_an_unpicklable_result_is_named() -> None:
    with pytest.raises(PackingError, match=r"item 1 of the result is a generator"):
        pack_value([1, (i for i in range(3))])


def test_an_exception_that_cannot_be_rebuilt_is_none() -> None:
    assert rebuild_exception(Fault("exception", "x")) is None
    assert rebuild_exception(Fault("exception", "x", exception=b"garbage")) is None
    assert rebuild_exception(Fault("exception", "x", exception=pickle.dumps("no exception"))) is None
    assert rebuild_exception(Fault("exception", "x", exception=b"cos\n_exit_\n.")) is None
    rebuilt = rebuild_exception(Fault("exception", "x", exception=pickle.dumps(KeyError("k"))))
    assert isinstance(rebuilt, KeyError)


class Counting(ITaskSystem):
    name = "counting"

    def generate_tasks(self, master: ITaskMaster) -> list[Task]:
        return []

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: Any) -> None:
        return None

    def gather_result(self, master: ITaskMaster) -> int:
        return 5


def test_a_system_travels_as_a_function(packer: TaskPacker) -> None:
    packed = packer.pack_system(Counting())
    assert (packed.kind, packed.name) == (KIND_SYSTEM, "counting")
    worker = travelling.Worker()
    target = worker.loader.load(worker.define(packed)).target
    assert target.gather_result(None) == 5
    broken = Counting()
    broken.lock = threading.Lock()  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(PackingError, match=r"attribute 'lock' of counting is a _thread.lock"):
        packer.pack_system(broken)


def test_modules_are_read_off_a_pickle() -> None:
    import cloudpickle  # noqa: PLC0415

    def local() -> Any:
        return textwrap.dedent("x"), Path(".")

    # One function by value refers to a module (textwrap) and to a class by its module (pathlib).
    found = referred_modules(cloudpickle.dumps([local, threading.Thread, threading.Timer]))
    assert {"textwrap", "threading"} <= found
    assert any(name.startswith("pathlib") for name in found)
    assert referred_modules(pickle.dumps(["subimport", "json", 3])) == set()


@task
def decorated(number: int) -> int:
    return number + 1


def test_a_decorated_function_travels(packer: TaskPacker) -> None:
    outcome = travelling.Worker().run([packer.pack(decorated.task(4))])[0]
    assert outcome.value == 5


def test_code_and_classes_of_the_main_module(tmp_path: Path) -> None:
    """The script's own function, class and exception, its lambda and its closure; all come back as its own."""
    source = """
        import dataclasses
        import helper
        from concurrence.tasks.api import Task
        from concurrence.tasks.functions import FunctionTask, task
        from travelling import run_there

        @dataclasses.dataclass
        class Point:
            x: int

        class Broken(Exception):
            def __init__(self, point):
                super().__init__(point)
                self.point = point

        class Move(Task):
            def __init__(self, point):
                self.point = point
            def __call__(self):
                import lazily
                return Point(helper.twice(self.point.x) + lazily.ONE)

        @task
        def fail(point):
            raise Broken(point)

        @task
        def count(number):
            return number and count(number - 1)

        factor = 3
        if __name__ == "__main__":
            tasks = [Move(Point(4)), fail.task(Point(1)), FunctionTask(lambda x: x * factor, (5,)), count.task(3)]
            moved, failed, product, zero = run_there(*tasks)
            assert type(moved.value) is Point and moved.value == Point(9)
            error = failed.exception
            assert type(error) is Broken and error.point == Point(1), failed.fault
            assert failed.fault.message == "Broken: Point(x=1)", failed.fault.message
            assert product.value == 15 and zero.value == 0
            print("all well")
    """
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "helper.py").write_text("def twice(x):\n    return 2 * x\n")
    (tmp_path / "app" / "lazily.py").write_text("ONE = 1\n")
    assert run_script(tmp_path / "app", source) == "all well"


def test_an_application_started_as_a_module_of_a_package(tmp_path: Path) -> None:
    package = tmp_path / "app" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "prices.py").write_text("class Price:\n    value = 7\n")
    (package / "run.py").write_text(
        textwrap.dedent("""
            from travelling import run_there
            from concurrence.tasks.functions import task
            from .prices import Price

            @task
            def price():
                from . import prices
                assert prices.Price is Price
                return Price()

            result = run_there(price.task())[0].value
            assert type(result) is Price
            print(result.value)
        """)
    )
    assert run_script(tmp_path / "app", "", "-m", "shop.run") == "7"


def test_arguments_of_the_applications_classes_for_an_installed_function(tmp_path: Path) -> None:
    source = """
        import operator
        from concurrence.tasks.functions import FunctionTask
        from travelling import run_there
        from helper import Box
        content = FunctionTask(operator.attrgetter("content"), (Box(8),))
        length = FunctionTask(len, ([1, Box(1)],))
        print(*[outcome.value for outcome in run_there(content, length)])
    """
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "helper.py").write_text(
        "class Box:\n    def __init__(self, content):\n        self.content = content\n"
    )
    assert run_script(tmp_path / "app", source) == "8 2"


def test_code_from_standard_input(tmp_path: Path) -> None:
    source = """
import math
from concurrence.tasks.functions import FunctionTask
from travelling import run_there
class Number:
    def __init__(self, value): self.value = value
    def root(self): return Number(math.sqrt(self.value))
result = run_there(FunctionTask(Number.root, (Number(16),)))[0].value
assert type(result) is Number
print(result.value)
"""
    assert run_script(tmp_path / "app", "", "-c", source) == "4.0"

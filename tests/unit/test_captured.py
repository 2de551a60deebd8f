"""What a function takes along from outside, and noticing that it is something else by now."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from concurrence.tasks.api import Task
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.captured import captured_by
from concurrence.tasks.functions import FunctionTask, task
from concurrence.tasks.packing import TaskPacker


def run_main(source: str) -> dict[str, Any]:
    """A namespace as a script's is."""
    namespace: dict[str, Any] = {"__name__": "__main__", "Task": Task, "task": task}
    exec(source, namespace)
    return namespace


def digests(namespace: dict[str, Any], name: str, between: Callable[[], object]) -> tuple[bytes, bytes]:
    """The digests of a function that is packed before and after something happens."""
    packer = TaskPacker(BundleCollector())
    before = packer.pack(FunctionTask(namespace[name], (1,)))
    between()
    return before.function.digest, packer.pack(FunctionTask(namespace[name], (1,))).function.digest


@pytest.mark.parametrize(
    "source",
    [
        "scale = 2\ndef f(x): return x * scale",
        "scale = 2\nf = lambda x: [scale for _ in range(x)]",
        "scale = 2\ndef g(x): return x * scale\ndef f(x): return g(x)",
        "scale = 2\nclass Helper:\n    def help(self): return scale\ndef f(x): return Helper().help()",
        "scale = 2\n@task\ndef f(x): return x * scale",
        "scale = 2\n@task\ndef g(x): return x * scale\ndef f(x): return g(x)",
    ],
    ids=["global", "comprehension", "through a function", "through a class", "task", "through a task"],
)
def test_a_global_with_another_value_is_packed_anew(source: str) -> None:
    namespace = run_main(source)
    before, same = digests(namespace, "f", lambda: None)
    assert before == same
    before, after = digests(namespace, "f", lambda: namespace.update(scale=3))
    assert before != after


def test_a_closure_variable_with_another_value_is_packed_anew() -> None:
    source = """
def make():
    n = 1
    def f(x): return x + n
    def raise_it():
        nonlocal n
        n += 1
    return f, raise_it
f, raise_it = make()
"""
    namespace = run_main(source)
    before, after = digests(namespace, "f", namespace["raise_it"])
    assert before != after


def test_a_global_that_appears_later_is_seen() -> None:
    namespace = run_main("def f(x): return x * late")
    before, after = digests(namespace, "f", lambda: namespace.update(late=3))
    assert before != after


def test_a_redefined_helper_is_seen() -> None:
    namespace = run_main("def g(x): return x\ndef f(x): return g(x)")
    before, after = digests(namespace, "f", lambda: exec("def g(x): return x + 1", namespace))
    assert before != after


def test_the_methods_of_a_task_class_count() -> None:
    namespace = run_main("scale = 2\nclass Scale(Task):\n    def __call__(self): return scale")
    packer = TaskPacker(BundleCollector())
    before = packer.pack(namespace["Scale"]()).function.digest
    assert packer.pack(namespace["Scale"]()).function.digest == before
    namespace["scale"] = 3
    assert packer.pack(namespace["Scale"]()).function.digest != before


def test_what_is_imported_on_the_worker_takes_nothing_along() -> None:
    assert not captured_by(weakref.proxy)
    assert not captured_by(run_main)
    assert not captured_by(Task)


def test_a_recursive_function_is_not_kept_alive() -> None:
    namespace = run_main("def f(x): return f(x - 1) if x else 0")
    packer = TaskPacker(BundleCollector())
    packer.pack(FunctionTask(namespace["f"], (1,)))
    watched = weakref.ref(namespace.pop("f"))
    gc.collect()
    assert watched() is None

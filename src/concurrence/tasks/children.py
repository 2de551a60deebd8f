"""Tasks that tasks push: pickled in the worker, beside the result; unpickled by the owner, of its own classes.

What a worker got by value (the classes and functions of a main script, and those that were defined within
functions) cannot be imported by anybody. Children name it instead: the owner takes what it has itself under that
name, so that a child is a task of the very class that the owner's code knows.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from types import FunctionType
from typing import Any, NamedTuple, cast

import cloudpickle.cloudpickle as known_classes

from concurrence.errors import PackingError, UsageError
from concurrence.tasks import shared
from concurrence.tasks.api import Task
from concurrence.tasks.functions import TaskFunction
from concurrence.tasks.nursery import Code, nursery
from concurrence.tasks.options import checked_options
from concurrence.tasks.values import packing_error
from concurrence.tasks.whole import WholePickler, dump_whole

_MAIN = b"__main__"
_MAX_KEPT = 512

_blobs: weakref.WeakKeyDictionary[Any, bytes] = weakref.WeakKeyDictionary()  # of what a worker got by value
_kept: OrderedDict[bytes, Any] = OrderedDict()  # what an owner has not itself, by hash: the same one each time


class Offspring(NamedTuple):
    """What travels in the place of the result of a task that pushed others.

    Attributes:
        result: The pickled result; its out-of-band buffers are those of the whole.
        children: The pickled tasks.
        code: What they refer to, in the order of the numbers that they use.
    """

    result: bytes
    children: list[bytes]
    code: list[Code]


def push_task(task: Task) -> None:
    """Within a task, push a task of the same owner: what :meth:`Task.push_task` does, for plain functions.

    Args:
        task: The child: a :class:`Task`, or ``f.task(...)`` of a ``@task`` function ``f``.

    Raises:
        UsageError: No task runs here, or it pushed too many already.
        PackingError: The child cannot be pickled.
    """
    nursery.push("push_task()", (task,))


def push_tasks(tasks: Iterable[Task]) -> None:
    """Within a task, push several tasks of the same owner; an iterator is drained here and now.

    Raises:
        UsageError: No task runs here, or there are more than 10,000, or more than 16 MiB of them.
        PackingError: One cannot be pickled.
    """
    nursery.push("push_tasks()", tasks)


# --- in a worker ---


def pack_child(task: object) -> bytes:
    """Pickle a child as it is now.

    Raises:
        UsageError: It is no task, or an option of it is wrong.
        PackingError: It cannot be pickled; the text names the part.
    """
    if not isinstance(task, Task):
        raise UsageError(
            f"{type(task).__name__!r} was pushed, and only tasks can be: {task!r:.200}",
            hint="Of a @task function push f.task(...); f(...) runs it here and now.",
        )
    checked_options(task, task.priority, task.max_retries, task.timeout, task.resources or None)
    try:
        packed = pickle.dumps(task, 5)
    except Exception:  # noqa: BLE001  # whatever it was, cloudpickle has the last word
        return _pack_slowly(task)
    return _pack_slowly(task) if _MAIN in packed else packed


def with_children(result: bytes) -> bytes:
    """What travels: the result, if no children were pushed, or both."""
    if not nursery.children:
        return result
    code = [code for code, _ in nursery.code.values()]
    return pickle.dumps(Offspring(result, [child.packed for child in nursery.children], code), 5)


def _pack_slowly(task: Task) -> bytes:
    stream = io.BytesIO()
    try:
        _ChildPickler(stream, 5).dump(task)
    except Exception as error:
        raise packing_error(task, task.label, error) from error
    return stream.getvalue()


class _ChildPickler(WholePickler):
    """Writes a number for what travels by value."""

    def persistent_id(self, obj: Any) -> int | None:
        if not _travels_by_value(obj):
            return None
        known = nursery.code
        if id(obj) not in known:
            known[id(obj)] = (_describe(obj), obj)
        return list(known).index(id(obj))


def _travels_by_value(obj: Any) -> bool:
    if not isinstance(obj, type | FunctionType | TaskFunction):
        return False
    named: Any = obj  # pyright: ignore[reportUnknownVariableType]  of whatever a task function returns
    module, name = getattr(named, "__module__", None), getattr(named, "__qualname__", "")
    return isinstance(module, str) and (module == "__main__" or "<" in name)


def _describe(obj: Any) -> Code:
    blob = _blobs.get(obj)
    if blob is None:
        blob = _blobs[obj] = dump_whole(obj)
    tracker = ""
    if isinstance(obj, type):
        # The one thing that names a class in all processes, and the library has no public word for it.
        tracker = known_classes._get_or_create_tracker_id(obj)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return Code(obj.__module__, obj.__qualname__, tracker, blob)


# --- at the owner ---


def unpack_children(offspring: Offspring) -> list[Task]:
    """The children, as tasks of the owner's own classes.

    Raises:
        PackingError: They use a shared object that is not here.
        Exception: Whatever the children's own code raises when they are unpickled.
    """
    for packed in offspring.children:
        if shared.refers_to_absent(packed):
            raise PackingError(
                "a task that it pushed uses an object that was shared on the worker, where nobody else has it",
                hint="Share objects where tasks are owned: in the application, task system or script. Hand the "
                "object itself to the child, or a Shared that came with the parent.",
            )
    if not offspring.code:
        return [pickle.loads(packed) for packed in offspring.children]
    found: dict[int, Any] = {}
    children: list[Task] = []
    for packed in offspring.children:
        unpickler = _ChildUnpickler(io.BytesIO(packed))
        unpickler.code, unpickler.found = offspring.code, found
        children.append(unpickler.load())
    return children


class _ChildUnpickler(pickle.Unpickler):
    """Reads the numbers that :class:`_ChildPickler` wrote."""

    code: list[Code]
    found: dict[int, Any]

    def persistent_load(self, pid: Any) -> Any:
        number = int(pid)
        if number not in self.found:
            self.found[number] = _find(self.code[number])
        return self.found[number]


def _find(code: Code) -> Any:
    """What the owner has itself under that name, or what came."""
    if code.tracker:
        known = known_classes._DYNAMIC_CLASS_TRACKER_BY_ID  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return known[code.tracker] if code.tracker in known else _load(code.blob)
    came, own = _load(code.blob), sys.modules.get(code.module)
    for part in code.name.split("."):
        own = getattr(own, part, None)
    return own if type(own) is type(came) and _code_of(own) == _code_of(came) else came


def _load(blob: bytes) -> Any:
    digest = hashlib.sha256(blob).digest()
    if digest in _kept:
        _kept.move_to_end(digest)
    else:
        _kept[digest] = pickle.loads(blob)
        if len(_kept) > _MAX_KEPT:
            _kept.popitem(last=False)
    return _kept[digest]


def _code_of(function: Any) -> object:
    if isinstance(function, TaskFunction):
        function = cast("TaskFunction[..., Any]", function).function
    return getattr(function, "__code__", function)

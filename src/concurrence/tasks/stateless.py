"""Which functions and task classes can be packed once for all their tasks: these differ in nothing else."""

from __future__ import annotations

import copyreg
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, ModuleType

from concurrence.tasks.functions import TaskFunction

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, not by C
_HOOKS = ("__reduce_ex__", "__reduce__", "__getstate__", "__new__")
_ABSENT_HOOKS = ("__setstate__", "__getnewargs__", "__getnewargs_ex__")


def is_stateless(function: object) -> bool:
    """Whether the function can be packed once for all calls of it."""
    if isinstance(function, BuiltinFunctionType):
        # ``len`` belongs to a module; ``[].append`` to a list.
        return isinstance(getattr(function, "__self__", None), ModuleType | None)
    return isinstance(function, FunctionType | TaskFunction | type)


def is_plain(task_class: type) -> bool:
    """Whether an instance is its class and its ``__dict__``, and nothing else."""
    if task_class in copyreg.dispatch_table:
        return False
    if any(getattr(task_class, hook, None) is not getattr(object, hook, None) for hook in _HOOKS):
        return False
    if any(hasattr(task_class, hook) for hook in _ABSENT_HOOKS):
        return False
    bases = task_class.__mro__[:-1]
    return all(base.__flags__ & _HEAP_TYPE and not _has_slots(base) for base in bases)


def _has_slots(some_class: type) -> bool:
    slots: str | Iterable[str] = some_class.__dict__.get("__slots__", ())
    return bool([slots] if isinstance(slots, str) else list(slots))

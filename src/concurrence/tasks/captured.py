"""What a function that travels whole takes along from outside, so as to see when that is something else.

Packing a function costs much more than packing its arguments, so it is done once. In a notebook or a script a
global that the function uses may be given another value afterwards, and the next task is to see it.
"""

from __future__ import annotations

import dis
import weakref
from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType
from typing import Any, cast

from concurrence.tasks.functions import TaskFunction

_MISSING = object()
_MAIN = "__main__"


class Captured:
    """The globals and closure variables of a function or class, with the values that were packed.

    Args:
        names: The namespaces and names of globals.
        cells: Closure variables.
    """

    __slots__ = ("_cells", "_globals")

    def __init__(self, names: list[tuple[dict[str, Any], str]], cells: list[CellType]) -> None:
        self._globals = [(namespace, name, _keep(namespace.get(name, _MISSING))) for namespace, name in names]
        self._cells = [(cell, _keep(_contents(cell))) for cell in cells]

    def __bool__(self) -> bool:
        return bool(self._globals or self._cells)

    def is_current(self) -> bool:
        """Whether each still has the same object as its value; what changed inside an object is not seen."""
        for namespace, name, kept in self._globals:
            if namespace.get(name, _MISSING) is not kept():
                return False
        return all(_contents(cell) is kept() for cell, kept in self._cells)


def captured_by(target: Any) -> Captured:
    """What a function, ``@task`` function or class takes along, itself and through functions that travel with it.

    Of what can be imported on a worker nothing is: it travels as a name.
    """
    names: dict[tuple[int, str], tuple[dict[str, Any], str]] = {}
    cells: dict[int, CellType] = {}
    seen: set[int] = set()
    waiting: list[Any] = [target]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or not _travels_whole(each):
            continue
        seen.add(id(each))
        for function in _functions_of(each):
            namespace = function.__globals__
            for name in _global_names(function.__code__):
                names[id(namespace), name] = (namespace, name)
                waiting.append(namespace.get(name))
            for cell in function.__closure__ or ():
                cells[id(cell)] = cell
                waiting.append(_contents(cell))
    return Captured(list(names.values()), list(cells.values()))


def _travels_whole(value: Any) -> bool:
    is_code = isinstance(value, FunctionType | TaskFunction | type)
    name: str = getattr(value, "__qualname__", "")
    return is_code and (value.__module__ == _MAIN or "<" in name)  # <locals>, <lambda>


def _functions_of(value: Any) -> Iterator[FunctionType]:
    if isinstance(value, TaskFunction):
        value = cast("Any", value).function
    members: list[Any] = [value]
    if isinstance(value, type):
        members = [getattr(member, "__func__", member) for member in vars(value).values()]
        members += [getattr(member, "fget", None) for member in members]
    yield from (member for member in members if isinstance(member, FunctionType))


def _global_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


def _keep(value: Any) -> Callable[[], Any]:
    """What gives the value; without keeping alive what can be watched: the function itself may be among them."""
    try:
        return weakref.ref(value)
    except TypeError:
        return lambda: value


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return _MISSING

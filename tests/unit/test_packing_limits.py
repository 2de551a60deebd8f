"""Packing in a long session: many functions, and tasks that travel whole."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from concurrence.scheduling.functions import MAX_FUNCTIONS
from concurrence.tasks import packing
from concurrence.tasks.bundles import Bundle, CodeNeeds
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.packing import TaskPacker
from concurrence.wire.messages import KIND_CALL, KIND_OBJECT


class ByName:
    """Each module is a bundle of its own."""

    def needs(self, modules: Iterable[str]) -> CodeNeeds:
        return CodeNeeds(
            tuple(Bundle(name.encode()[:16].ljust(16), name.encode()) for name in sorted(modules)), ()
        )


@pytest.fixture
def packer() -> TaskPacker:
    return TaskPacker(ByName())


def test_what_travels_whole_brings_the_code_that_it_needs_itself(packer: TaskPacker) -> None:
    needed: list[set[bytes]] = []
    for partial in (functools.partial(Local), functools.partial(functools.partial(Local), gc.collect)):
        function = packer.pack(FunctionTask(partial, ())).function
        assert function.kind == KIND_OBJECT
        needed.append({bytes(bundle.blob) for bundle in function.bundles})
    assert b"gc" in needed[1] - needed[0]


def test_beyond_the_bound_functions_travel_with_their_tasks(
    packer: TaskPacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert packing._MAX_FUNCTIONS < MAX_FUNCTIONS
    monkeypatch.setattr(packing, "_MAX_FUNCTIONS", 3)
    functions: list[Callable[[], Any]] = [lambda n=n: n for n in range(5)]
    kinds = [packer.pack(FunctionTask(function, ())).function.kind for function in functions]
    assert kinds == [KIND_CALL] * 3 + [KIND_OBJECT] * 2
    del functions[:3]
    gc.collect()
    assert packer.pack(FunctionTask(functions[0], ())).function.kind == KIND_CALL


class Local:
    def __init__(self, *_: Any) -> None: ...

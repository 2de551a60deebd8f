"""The tasks that the running task pushed: kept in its worker, to travel with its result.

A task that fails takes them along. That is why pushing needs no undoing, and no state in the master.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from concurrence.errors import UsageError
from concurrence.tasks import waiting
from concurrence.tasks.forks import forks

MAX_CHILDREN = 10_000
"""How many tasks one task, or one item of a ``map``, may push."""

MAX_CHILDREN_BYTES = 16 * 1024 * 1024

MAX_LITTER = 250_000
"""How many tasks the items of one pack of a ``map`` may push together."""

MAX_LITTER_BYTES = 64 * 1024 * 1024

_CURE = (
    "Push a few tasks that each push a part of the rest, or return what they are made of: task_finished() of the "
    "application or task system can push a generator of any length, which is drained as room comes."
)


class Code(NamedTuple):
    """A class or function of children that no other process can import: how its owner knows it, and itself.

    Attributes:
        module: Where it was defined, mostly ``__main__``.
        name: Its qualified name.
        tracker: What cloudpickle calls a class in every process; empty for functions.
        blob: It itself, pickled, for an owner that does not know it.
    """

    module: str
    name: str
    tracker: str
    blob: bytes


class Child(NamedTuple):
    """A task that was pushed by the running one.

    Attributes:
        packed: Pickled as it was when it was pushed.
        part: The number of the pack's item that pushed it; 0 outside of packs.
    """

    packed: bytes
    part: int


def _whole() -> int:
    """Nothing but a pack has parts."""
    return 0


class Nursery:
    """The children of the task that runs in this process.

    Attributes:
        children: Those so far.
        code: What they refer to and nobody can import, by ``id``, with the object.
        is_used: Whether the task has pushed anything, or is a pack: then :meth:`begin` is due before the next.
        running: Tells which task runs; set by what executes tasks.
        pack: Pickles a child; the same.
    """

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.code: dict[int, tuple[Code, object]] = {}
        self.is_used = False
        self.running: Callable[[], object] = lambda: None
        self.pack: Callable[[object], bytes] = lambda task: b""
        self._part = _whole
        self._bytes = 0
        self._part_children = 0
        self._part_bytes = 0
        self._generation = forks.generation

    def begin(self) -> None:
        """A task begins: it has none yet."""
        self.children = []
        self.code = {}
        self.is_used = False
        self._part = _whole
        self._bytes = self._part_children = self._part_bytes = 0
        self._generation = forks.generation

    def begin_pack(self, part: Callable[[], int]) -> None:
        """The task that runs is a pack of items.

        Args:
            part: Tells which of them runs.
        """
        self.is_used = True
        self._part = part

    def push(self, caller: str, tasks: Iterable[object], parent: object = None) -> None:
        """The running task pushes tasks.

        Args:
            caller: What was called, as in ``push_task()``.
            tasks: The tasks.
            parent: The task whose method was called; None for a function of the module.

        Raises:
            UsageError: No task runs here, another one does, this is a thread or process of its own, what is pushed
                is no task, or there are too many.
            PackingError: One cannot be pickled.
        """
        self._check(caller, parent)
        self.is_used = True
        for task in tasks:
            self._add(self.pack(task))

    def _check(self, caller: str, parent: object) -> None:
        if waiting.place() is not waiting.TASK:
            raise UsageError(
                f"{caller} was called where no task runs",
                hint="A task pushes tasks while its code runs on a worker, from the thread that runs it; an "
                "application, a task system or a script pushes with its own push_task(). In tests: run_task().",
            )
        if parent is not None and self.running() is not parent:
            raise UsageError(
                f"{caller} of {parent!r} was called, but that is not the task that runs",
                hint="Call it of self, in __call__(): self.push_task(child).",
            )
        if self._generation != forks.generation:
            raise UsageError(
                f"{caller} was called in a process that a task forked, from where nothing travels",
                hint="Push in the task itself.",
            )

    def _add(self, packed: bytes) -> None:
        part = self._part()
        if not self.children or self.children[-1].part != part:
            self._part_children = self._part_bytes = 0
        children, size = self._part_children + 1, self._part_bytes + len(packed)
        if children > MAX_CHILDREN or size > MAX_CHILDREN_BYTES:
            limit = f"{MAX_CHILDREN:,}" if children > MAX_CHILDREN else f"{MAX_CHILDREN_BYTES >> 20} MiB of"
            raise UsageError(f"a task pushed more than {limit} tasks", hint=_CURE)
        if len(self.children) >= MAX_LITTER or self._bytes + len(packed) > MAX_LITTER_BYTES:
            what = f"{MAX_LITTER:,} tasks or {MAX_LITTER_BYTES >> 20} MiB of them"
            raise UsageError(
                f"the items of one pack of map pushed more than {what}", hint=f"Give map pack=1. {_CURE}"
            )
        self.children.append(Child(packed, part))
        self._part_children, self._part_bytes = children, size
        self._bytes += len(packed)

    def drop(self, part: int) -> None:
        """An item of a pack failed: its children go with it."""
        while self.children and self.children[-1].part == part:
            self._bytes -= len(self.children.pop().packed)
        self._part_children = self._part_bytes = 0


nursery = Nursery()
"""That of this process."""

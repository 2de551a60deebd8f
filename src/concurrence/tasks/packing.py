"""Tasks -> bytes and buffers, at their owner: the function once, then only what differs from task to task."""

from __future__ import annotations

import pickle
import pickletools
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec import Struct

from concurrence.errors import PackingError, UsageError
from concurrence.tasks import shared
from concurrence.tasks.api import ITaskSystem, Task
from concurrence.tasks.bundles import Bundle, CodeNeeds
from concurrence.tasks.captured import Captured, captured_by
from concurrence.tasks.functions import FunctionTask, TaskFunction, callable_name, is_async
from concurrence.tasks.loading import PYTHON, clean_text
from concurrence.tasks.shared import ContentName
from concurrence.tasks.shared_blobs import is_shared
from concurrence.tasks.stateless import is_plain, is_stateless
from concurrence.tasks.values import (
    LARGE_BYTES,
    Buffers,
    bytes_apart,
    can_be_pickled,
    pack_value,
    packing_error,
    rebuild_exception,
    unpack_result,
)
from concurrence.tasks.whole import dump_whole
from concurrence.wire.codec import Frame
from concurrence.wire.digests import function_digest
from concurrence.wire.messages import (
    KIND_CALL,
    KIND_OBJECT,
    KIND_SYSTEM,
    KIND_TASK,
    MAX_BUNDLES,
    Requirement,
)

__all__ = [
    "ICodeCollector",
    "PackedCall",
    "PackedFunction",
    "TaskPacker",
    "pack_value",
    "rebuild_exception",
    "unpack_result",
]

_MAIN = b"__main__"
_MAX_NAME = 1_000
_MAX_SCANNED_BYTES = (
    1024 * 1024
)  # of a shared object, for the modules that it needs: that takes a second per 10 MB
_MAX_FUNCTIONS = 3_072
"""Beyond so many at once functions travel with their tasks: a master keeps 4,096 of one owner."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PackedFunction:
    """A function, task class or task system as it travels, once per peer.

    As long as one of these exists, its peers keep what it says.

    Attributes:
        name: What people see, as in ``module:Class``.
        kind: One of the ``KIND_`` constants.
        bundles: What must be importable first, and the shared objects that its tasks use.
        requirements: Installed packages that must be there.
        blob: The pickled function; empty for ``KIND_OBJECT``.
        python: ``major.minor`` that pickled it.
        contents: The shared objects among the bundles.
        digest: Hash of everything above.
    """

    name: str
    kind: int
    bundles: list[Bundle]
    requirements: list[Requirement]
    blob: bytes
    python: str = PYTHON
    contents: tuple[ContentName, ...] = ()
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        bundles = [bundle.digest for bundle in self.bundles]
        digest = function_digest(self.name, self.kind, self.python, bundles, self.requirements, self.blob)
        object.__setattr__(self, "digest", digest)  # the class is frozen for everybody else


class PackedCall(Struct, frozen=True):
    """One task, ready to travel.

    Attributes:
        function: What it calls.
        arguments: Pickled.
        buffers: What did not fit in band; views of the task's own memory, which must not change until sent.
    """

    function: PackedFunction
    arguments: bytes
    buffers: list[Frame]


class ICodeCollector(Protocol):
    """Knows what code must be on a slave: a ``BundleCollector``, or a host that was sent its code."""

    def needs(self, modules: Iterable[str]) -> CodeNeeds:
        """The bundles and requirements of code that refers to these modules."""
        ...


class TaskPacker:
    """Packs tasks; what it packed of a function is kept as long as the function lives.

    It is packed again when a global or closure variable that travels with it has another value. What changed
    inside such a value is not seen before :meth:`look_again`.

    Args:
        bundles: Collects the modules that functions need.
    """

    def __init__(self, bundles: ICodeCollector) -> None:
        self._bundles = bundles
        self._functions: dict[int, PackedFunction | None] = {}  # by id of the function or class
        self._earlier: dict[int, PackedFunction | None] = {}  # the same, before look_again()
        self._captured: dict[int, Captured] = {}  # by the same, of those that take anything along
        self._objects: dict[tuple[str, frozenset[str]], PackedFunction] = {}
        self._references: dict[int, Any] = {}
        self._with_shared: dict[int, dict[tuple[bytes, ...], PackedFunction]] = {}  # by id of the packed function
        self._watched: dict[bytes, Any] = {}

    def pack(self, task: Task) -> PackedCall:
        """Pack a task.

        Raises:
            PackingError: Something in it cannot be pickled; the text names it.
        """
        content: Any
        if type(task) is FunctionTask:
            target: Any = task.function
            content = (task.args, task.kwargs)
        else:
            target = type(task)
            content = task.__dict__
        key = id(target)
        if key in self._captured and not self._captured[key].is_current():
            self._forget(key)
        try:
            function = self._functions[key]
        except KeyError:
            function = self._first_sight(target, is_call=type(task) is FunctionTask)
        if function is None:
            return self._pack_object(task)
        buffers = Buffers()
        try:
            arguments = pickle.dumps(content, 5, buffer_callback=buffers)
            if len(arguments) >= LARGE_BYTES:
                arguments = bytes_apart(content, arguments, buffers, 2 if type(task) is FunctionTask else 1)
        except Exception:  # noqa: BLE001  # whatever it was, cloudpickle has the last word
            return self._pack_slowly(function, task, content)
        if _MAIN in arguments:
            return self._pack_slowly(function, task, content)
        if shared.is_used:
            function = self._for_arguments(function, arguments)
        return PackedCall(function, arguments, buffers)

    def pack_system(self, system: ITaskSystem) -> PackedFunction:
        """Pack a task system.

        Raises:
            UsageError: It is no task system.
            PackingError: Something in it cannot be pickled; the text names it.
        """
        if not isinstance(system, ITaskSystem):  # pyright: ignore[reportUnnecessaryIsInstance]  as for tasks
            raise _no_system(system)
        name = system.name or callable_name(type(system))
        try:
            blob = dump_whole(system)
        except Exception as error:
            raise packing_error(system, name, error) from error
        return self._describe(name, KIND_SYSTEM, blob, type(system).__module__)

    def _first_sight(self, target: Any, *, is_call: bool) -> PackedFunction | None:
        """Pack a function or class and keep it; None for what has to travel with each task."""
        function: PackedFunction | None = None
        if len(self._functions) + len(self._earlier) >= _MAX_FUNCTIONS and id(target) not in self._earlier:
            return None  # for as long as there are so many
        if is_async(target if is_call else target.__call__):
            raise UsageError(
                f"{callable_name(target)} is async, and async functions cannot be tasks: nobody awaits them there",
                hint="Give a plain function that runs it: def work(...): return asyncio.run(function(...)).",
            )
        if is_call:
            if not is_stateless(target):
                return None  # it travels anew with each task, as its state may differ
            function = self._pack_function(target, KIND_CALL)
        elif is_plain(target):
            function = self._pack_function(target, KIND_TASK)
        key = id(target)
        earlier = self._earlier.pop(key, None)
        if function is not None and earlier is not None and earlier.digest == function.digest:
            function = earlier  # nothing has changed: its peers have it
        self._functions[key] = function
        captured = captured_by(target)
        if function is not None and captured:
            self._captured[key] = captured
        self._references[key] = weakref.ref(target, lambda _: self._forget(key))
        return function

    def look_again(self) -> None:
        """Pack each function again at its next use, with the globals that it has then. From any thread."""
        self._earlier, self._functions = self._earlier | self._functions, {}

    def _forget(self, key: int) -> None:
        # The object is gone, and the next one may get its id.
        self._functions.pop(key, None)
        self._earlier.pop(key, None)
        self._captured.pop(key, None)
        self._references.pop(key, None)

    def _pack_function(self, target: Any, kind: int) -> PackedFunction:
        name = callable_name(target)
        try:
            blob = dump_whole(target)
        except Exception as error:
            culprit = target.function if isinstance(target, TaskFunction) else target
            raise packing_error(culprit, name, error) from error
        return self._describe(name, kind, blob, target.__module__)

    def _describe(self, name: str, kind: int, blob: bytes, module: str | None) -> PackedFunction:
        # The main script's folder is always among them: arguments may be of classes from there.
        # What a task refers to that travels whole is found with each task.
        contents = shared.with_nested(shared.find_contents(blob)) if kind != KIND_OBJECT else []
        modules = {*referred_modules(blob), "__main__", *([module] if module else ())}
        needs, shares = self._bundles.needs(modules), self._needs_of(contents)
        bundles = {bundle.digest: bundle for bundle in (*_without_shared(needs.bundles), *shares.bundles)}
        requirements = {each.module: each for each in (*shares.requirements, *needs.requirements)}
        return PackedFunction(
            name=clean_text(name[:_MAX_NAME]),
            kind=kind,
            bundles=_within_limit(name, list(bundles.values())),
            requirements=list(requirements.values()),
            blob=blob if kind != KIND_OBJECT else b"",
            contents=tuple(content.name for content in contents),
        )

    def _pack_slowly(self, function: PackedFunction, task: Task, content: Any) -> PackedCall:
        buffers = Buffers()
        try:
            arguments = dump_whole(content, buffers)
        except Exception as error:
            raise _explain(task, error) from error
        return PackedCall(self._for_arguments(function, arguments), arguments, buffers)

    def _pack_object(self, task: Task) -> PackedCall:
        try:
            arguments, buffers = pack_value(task)
        except PackingError as error:
            raise _explain(task, error.__cause__ or error) from error
        target = task.function if isinstance(task, FunctionTask) else type(task)
        name = callable_name(target)
        modules = referred_modules(arguments) if len(arguments) <= _MAX_SCANNED_BYTES else ()
        key = (name, frozenset(modules))  # partial objects of two modules need the code of two modules
        if key not in self._objects:
            self._objects[key] = self._describe(name, KIND_OBJECT, arguments, type(task).__module__)
        return PackedCall(self._for_arguments(self._objects[key], arguments), arguments, buffers)

    def _for_arguments(self, function: PackedFunction, arguments: bytes) -> PackedFunction:
        """The function together with the shared objects that the arguments refer to."""
        contents = shared.with_nested(shared.find_contents(arguments))
        if not contents:
            return function
        key = id(function)
        variants = self._with_shared.get(key)
        if variants is None:
            variants = self._with_shared[key] = {}
            weakref.finalize(function, self._with_shared.pop, key, None).atexit = False
        digests = tuple(content.digest for content in contents)
        packed = variants.get(digests)
        if packed is None:
            needs = self._needs_of(contents)
            known = {bundle.digest for bundle in function.bundles}
            more = [bundle for bundle in needs.bundles if bundle.digest not in known]
            modules = {requirement.module: requirement for requirement in needs.requirements}
            modules.update((requirement.module, requirement) for requirement in function.requirements)
            packed = PackedFunction(
                function.name,
                function.kind,
                _within_limit(function.name, [*function.bundles, *more]),
                list(modules.values()),
                function.blob,
                contents=tuple({*function.contents, *(content.name for content in contents)}),
            )
            variants[digests] = packed
            for content in contents:
                self._watch(content)
        return packed

    def _needs_of(self, contents: Iterable[shared.Content]) -> CodeNeeds:
        """The code that shared objects need, and they themselves."""
        modules: set[str] = set()
        bundles: list[Bundle] = []
        for content in contents:
            if len(content.payload) <= _MAX_SCANNED_BYTES:
                modules |= referred_modules(bytes(content.payload))
            bundles += [Bundle(blob.digest, blob.blob) for blob in content.blobs()]
        needs = self._bundles.needs(modules) if modules else CodeNeeds((), ())
        return CodeNeeds((*_without_shared(needs.bundles), *bundles), needs.requirements)

    def _watch(self, content: shared.Content) -> None:
        """Forget what was packed with a shared object when that is gone."""
        digest = content.digest
        if digest not in self._watched:
            self._watched[digest] = weakref.ref(content, lambda _: self._forget_content(digest))

    def _forget_content(self, digest: bytes) -> None:
        self._watched.pop(digest, None)
        for variants in list(self._with_shared.values()):
            for digests in [digests for digests in list(variants) if digest in digests]:
                variants.pop(digests, None)


def referred_modules(pickled: bytes) -> set[str]:
    """The modules that a pickle refers to by name, read off without unpickling it."""
    modules: set[str] = set()
    strings = ["", ""]  # the last two that were pushed
    memo: dict[int, str] = {}
    memoized = 0
    is_import = False
    pushed: str | None = None
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "MEMOIZE":
            if pushed is not None:
                memo[memoized] = pushed
            memoized += 1
            continue
        pushed = None
        if opcode.name == "STACK_GLOBAL":
            modules.add(strings[0])
            is_import = strings[1] == "subimport"  # cloudpickle calls it with the name of a module
        elif isinstance(argument, str) and "UNICODE" in opcode.name:
            pushed = argument
        elif opcode.name in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
            pushed = memo.get(argument)
        if pushed is not None:
            strings = [strings[1], pushed]
            if is_import:
                modules.add(pushed)
                is_import = False
    return modules


def _without_shared(bundles: Iterable[Bundle]) -> list[Bundle]:
    """The bundles of code alone: the host of a task system was sent shared objects by the same way."""
    return [bundle for bundle in bundles if not is_shared(bundle.blob)]


def _within_limit(name: str, bundles: list[Bundle]) -> list[Bundle]:
    if len(bundles) > MAX_BUNDLES:
        size = sum(len(bundle.blob) for bundle in bundles)
        raise PackingError(
            f"{name} needs {len(bundles):,} bundles and pieces of shared objects, of {size:,} bytes; "
            f"at most {MAX_BUNDLES:,} can be sent for one task",
            hint="Share fewer or smaller objects with one task, or leave very large data in files.",
        )
    return bundles


def _no_system(given: Any) -> UsageError:
    hint = "Derive its class from ITaskSystem."
    if isinstance(given, type) and issubclass(given, ITaskSystem):
        hint = f"Return {given.__name__}(), not {given.__name__}."
    elif isinstance(given, Task):
        hint = "It is a task: push it with push_task."
    return UsageError(f"{given!r:.200} is no task system", hint=hint)


def _explain(task: Task, error: BaseException) -> PackingError:
    if not isinstance(task, FunctionTask):
        return packing_error(task, type(task).__qualname__, error)
    name = callable_name(task.function)
    named = [(f"argument {index}", part) for index, part in enumerate(task.args)]
    named += [(f"argument {key!r}", part) for key, part in task.kwargs.items()]
    for label, part in named:
        if not can_be_pickled(part):
            return packing_error(part, f"{label} of {name}", error)
    return packing_error(task.function, name, error)

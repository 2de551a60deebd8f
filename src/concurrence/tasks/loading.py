"""Functions as they arrive at a worker or host: checked, made importable, loaded once."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from typing import Any

from concurrence.errors import ConcurrenceError, ProtocolError, TaskError
from concurrence.tasks.functions import TaskFunction
from concurrence.tasks.importer import BundleImporter
from concurrence.tasks.shared import SharedStore
from concurrence.tasks.shared_blobs import is_shared
from concurrence.tasks.values import describe_error, pack_exception
from concurrence.wire.codec import Frame
from concurrence.wire.digests import function_digest
from concurrence.wire.faults import KIND_CODE, KIND_EXCEPTION, Fault, shorten
from concurrence.wire.messages import KIND_OBJECT, DefineFunction, Requirement

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The version of Python that runs here, as messages name it."""


_RAISING = tuple(
    os.path.join("concurrence", "workers", name) for name in ("terminal.py", "interrupts.py", "output.py")
)


class CodeMissing(ConcurrenceError):
    """The operator's fault, mostly: the slave cannot load a task's code; the text names what is missing.

    Args:
        fault: What travels to the task's owner.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message, hint=fault.hint)
        self.fault = fault

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.fault,)


@dataclass(frozen=True, slots=True)
class LoadedFunction:
    """A function that is ready to run.

    Attributes:
        name: What people see.
        kind: One of the ``KIND_`` constants.
        target: The function, the Task class or the task system; None for ``KIND_OBJECT``.
        bundles: The bundles that must be active while it runs.
    """

    name: str
    kind: int
    target: Any
    bundles: tuple[bytes, ...]


class FunctionLoader:
    """Keeps what was defined, and loads it when it is first needed.

    Args:
        place: What errors call this process, as in ``slave vm``.
        importer: What makes bundles importable; one of its own by default.
    """

    def __init__(self, place: str = "the slave", importer: BundleImporter | None = None) -> None:
        self.place = place
        self.importer = importer if importer is not None else BundleImporter()
        self._shared = SharedStore(self.importer)
        self._defined: dict[int, tuple[DefineFunction, bytes]] = {}
        self._loaded: dict[int, LoadedFunction] = {}

    def define_bundle(self, digest: bytes, blob: Frame) -> None:
        """Keep a bundle, or a part of a shared object.

        Raises:
            ProtocolError: The bytes are not those that the digest names.
        """
        if is_shared(blob):
            self._shared.add(digest, blob)
        else:
            self.importer.add(digest, blob)

    def define_function(self, message: DefineFunction, blob: Frame) -> None:
        """Keep a function under its number.

        Raises:
            ProtocolError: The bytes are not those that the digest names.
        """
        digest = function_digest(
            message.name, message.kind, message.python, message.bundles, message.requirements, blob
        )
        if digest != message.digest:
            raise ProtocolError(f"the bytes of function {message.name} do not match its digest")
        self._loaded.pop(message.number, None)
        self._defined[message.number] = (message, bytes(blob))

    def forget(self, number: int) -> None:
        """Drop a function, and the bundles and shared objects that no other one needs."""
        self._defined.pop(number, None)
        self._loaded.pop(number, None)
        needed = {digest for message, _ in self._defined.values() for digest in message.bundles}
        self.importer.keep(needed)
        self._shared.keep(needed)

    def is_loaded(self, number: int) -> bool:
        """Whether the function is ready without any of its code having to run."""
        return number in self._loaded

    def load(self, number: int) -> LoadedFunction:
        """The function, with its bundles active and no others.

        Raises:
            CodeMissing: It cannot be loaded here; its fault says why.
        """
        loaded = self._loaded.get(number)
        if loaded is not None:
            self.importer.activate(loaded.bundles)
            return loaded
        if number not in self._defined:
            raise CodeMissing(Fault(KIND_CODE, f"function {number} is not known on {self.place}"))
        message, blob = self._defined[number]
        self._check(message)
        bundles = tuple(digest for digest in message.bundles if digest not in self._shared)
        self.importer.activate(bundles)
        target = None if message.kind == KIND_OBJECT else self._unpickle(message.name, blob)
        if type(target) is TaskFunction:  # not of a subclass, which does more
            target = target.function  # one call less for each task
        loaded = LoadedFunction(message.name, message.kind, target, bundles)
        self._loaded[number] = loaded
        return loaded

    def code_fault(self, what: str, error: BaseException) -> Fault:
        """The fault of something that could not be loaded here.

        Args:
            what: What could not be loaded.
            error: What was raised.
        """
        hint = ""
        if isinstance(error, ModuleNotFoundError) and error.name:
            top = error.name.partition(".")[0]
            hint = f"Install the package that brings {top!r} on {self.place}, or put it beside the application."
        return Fault(
            KIND_CODE,
            one_line(f"{what} cannot be loaded on {self.place}: {describe_error(error)}"),
            hint=hint,
            traceback=format_traceback(error),
        )

    def _check(self, message: DefineFunction) -> None:
        if message.python != PYTHON:
            text = f"{message.name} was packed by Python {message.python}, but {self.place} runs Python {PYTHON}"
            hint = f"Run client and slaves with the same Python, as in: python{message.python} on {self.place}."
            raise CodeMissing(Fault(KIND_CODE, one_line(text), hint=hint))
        present = (self._shared, self.importer)
        absent = [digest.hex() for digest in message.bundles if not any(digest in each for each in present)]
        if absent:
            what = f"modules or shared objects that did not reach {self.place}"
            text = f"{message.name} needs {what}: bundle {', '.join(absent)}"
            raise CodeMissing(Fault(KIND_CODE, one_line(text)))
        wrong = [(need, here) for need in message.requirements if (here := _version(need)) != need.version]
        if wrong:
            texts = [
                f"{need.distribution} {need.version}"
                + (f", but {self.place} has {here}" if here else f", which {self.place} does not have")
                for need, here in wrong
            ]
            packages = " ".join(f"{need.distribution}=={need.version}" for need, _ in wrong)
            text = f"{message.name} needs {'; and '.join(texts)}"
            raise CodeMissing(Fault(KIND_CODE, one_line(text), hint=f"pip install {packages} on {self.place}"))

    def _unpickle(self, name: str, blob: bytes) -> Any:
        try:
            return pickle.loads(blob)
        except BaseException as error:
            # Importing runs the author's modules, which may raise anything, SystemExit too.
            raise CodeMissing(self.code_fault(name, error)) from error


def exception_fault(error: BaseException, prefix: str = "", output: str = "") -> Fault:
    """The fault of what the author's code raised.

    Args:
        error: What it raised.
        prefix: What its message begins with.
        output: The last lines that were written.
    """
    text, hint = describe_error(error), ""
    if isinstance(error, ConcurrenceError) and not isinstance(error, TaskError):
        text, hint = f"{type(error).__name__}: {error.message}", error.hint
    packed, why = pack_exception(error)
    if why:
        lost = f"The {type(error).__name__} itself did not travel: {shorten(one_line(why), 400)}"
        hint = f"{hint}\n  {lost}" if hint else lost
    return Fault(
        KIND_EXCEPTION,
        one_line(prefix + text),
        hint=clean_text(hint),
        traceback=format_traceback(error),
        exception=packed,
        output=output,
    )


def one_line(text: str, limit: int = 2_000) -> str:
    """The text as one line that every encoding takes."""
    return shorten(clean_text(" ".join(text.split("\n"))), limit).replace("\n", " ")


def clean_text(text: str) -> str:
    """The text with lone surrogates escaped: they have no bytes in UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def format_traceback(error: BaseException) -> str:
    """The traceback as text, without the frames of the framework that lead to the author's."""
    try:
        whole = traceback.TracebackException.from_exception(error, compact=True)
        _strip(whole)
        return shorten(clean_text("".join(whole.format())))
    except BaseException as problem:  # noqa: BLE001  # formatting asks the author's exception, which may raise
        return f"(the traceback of {type(error).__name__} cannot be shown: {describe_error(problem)})"


def _strip(error: traceback.TracebackException) -> None:
    """Leave out the frames that lead to the author's, here and in what it was caused by or groups."""
    unseen = [error]
    while unseen:
        each = unseen.pop()
        frames = [frame for frame in each.stack if not frame.filename.endswith(_RAISING)]
        first = next((at for at, frame in enumerate(frames) if not _is_framework(frame.filename)), len(frames))
        each.stack = traceback.StackSummary.from_list(frames[first:])
        others = (each.__cause__, each.__context__, *(each.exceptions or ()))
        unseen += [other for other in others if other is not None]


@cache
def _is_framework(file: str) -> bool:
    name = file.replace("\\", "/")
    if name.startswith("<frozen importlib") or "/importlib/" in name:
        return True
    parts = name.split("/")
    ours = parts[-3:-2] == ["concurrence"] and parts[-2] in ("tasks", "workers", "nodes")
    return ours or parts[-2:] == ["cloudpickle", "cloudpickle.py"]


def _version(requirement: Requirement) -> str | None:
    """The version of a distribution that is installed here; None if it is not."""
    # Slow to import, and most functions require nothing.
    from importlib import metadata  # noqa: PLC0415

    try:
        return metadata.version(requirement.distribution)
    except metadata.PackageNotFoundError:
        return None

"""Values <-> bytes, on both sides: arguments, results and exceptions.

Plain pickle is tried first, because it is several times faster; cloudpickle takes what it cannot do, and
whatever refers to the main module, which no other process has. Large contiguous buffers (numpy arrays) stay
out of the bytes and are handed out as views of the value's own memory: they must not change until sent.
"""

from __future__ import annotations

import functools
import logging
import pickle
from collections.abc import Iterator, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any, cast

from concurrence.errors import ConcurrenceError, PackingError
from concurrence.tasks.kept_errors import keep
from concurrence.tasks.whole import dump_whole
from concurrence.wire.codec import Frame
from concurrence.wire.faults import Fault

MIN_BUFFER_BYTES = 32 * 1024
"""Smaller buffers stay within the pickled bytes: a frame of its own costs more than a copy."""

LARGE_BYTES = 256 * 1024
"""Bytes below this stay there too, as copying them costs less than results that leave one by one."""

MAX_EXCEPTION_BYTES = 1_048_576
"""Larger exceptions travel as text only."""

_MAIN = b"__main__"
_MAX_DEPTH = 8
_MAX_APART = 16  # large bytes of one value that become frames
_log = logging.getLogger(__name__)


class Buffers(list[Frame]):
    """Collects the out-of-band buffers of one pickle; it is its own ``buffer_callback``."""

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a buffer; True leaves it in band."""
        try:
            view = buffer.raw()
        except BufferError:
            return True  # not contiguous: pickle itself says what it thinks of that
        if view.nbytes < MIN_BUFFER_BYTES:
            return True
        owner = view.obj
        self.append(owner if type(owner) is bytes and len(owner) == view.nbytes else view)
        return False


class _LargeBytes:
    """Pickled as a buffer out of band, and unpickled as the bytes: pickle itself keeps bytes in band."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return bytes, (pickle.PickleBuffer(self._content),)


def bytes_apart(value: Any, payload: bytes, buffers: Buffers, depth: int) -> bytes:
    """Pickle a value once more, so that large bytes on top of it become buffers out of band.

    Args:
        value: What was pickled.
        payload: As it was pickled; it stands if there are no such bytes.
        buffers: What is out of band of it.
        depth: How many containers may lie around the bytes. They are copied, so nothing within may refer to them.
    """
    found: dict[int, _LargeBytes] = {}
    apart = _bytes_apart(value, depth, found)
    if not found:
        return payload
    buffers.clear()
    return pickle.dumps(apart, 5, buffer_callback=buffers)


def _bytes_apart(value: Any, depth: int, found: dict[int, _LargeBytes]) -> Any:
    """The value with large bytes wrapped."""
    kind = cast("type[Any]", type(value))
    if kind is bytes:
        known = found.get(id(value))
        if known is None and len(value) >= LARGE_BYTES and len(found) < _MAX_APART:
            known = found[id(value)] = _LargeBytes(value)
        return value if known is None else known
    if depth and kind is dict:
        return {key: _bytes_apart(each, depth - 1, found) for key, each in value.items()}
    if depth and (kind is tuple or kind is list):
        items: Any = [_bytes_apart(each, depth - 1, found) for each in value]
        return items if kind is list else tuple(items)
    return value


def pack_value(value: Any, label: str = "the result") -> tuple[bytes, list[Frame]]:
    """Pickle a value.

    Args:
        value: What to pickle.
        label: How an error calls it.

    Raises:
        PackingError: It cannot be pickled; the text names the part.
    """
    buffers = Buffers()
    try:
        payload = pickle.dumps(value, 5, buffer_callback=buffers)
        if len(payload) >= LARGE_BYTES:
            payload = bytes_apart(value, payload, buffers, 1)
    except Exception:  # noqa: BLE001  # whatever it was, cloudpickle has the last word
        return _pack_slowly(value, label)
    if _MAIN in payload:
        return _pack_slowly(value, label)
    return payload, buffers


def unpack_value(payload: Frame, buffers: Sequence[Frame] = ()) -> Any:
    """What :func:`pack_value` packed. Arrays over the given buffers are read-only if the buffers are."""
    return pickle.loads(payload, buffers=buffers) if buffers else pickle.loads(payload)


def unpack_result(payload: Frame, buffers: Sequence[Frame] = ()) -> Any:
    """A task's result, in its owner's process.

    Raises:
        Exception: Whatever the result's own code raises when it is unpickled.
    """
    return unpack_value(payload, buffers)


def pack_exception(exception: BaseException, limit: int = MAX_EXCEPTION_BYTES) -> tuple[bytes, str]:
    """The pickled exception, or why it cannot travel; inline, a reference to itself."""
    payload, why = _pickled_exception(exception, limit)
    packed = keep(exception, payload)
    return packed, "" if packed else why


def _pickled_exception(exception: BaseException, limit: int) -> tuple[bytes, str]:
    """Its bytes, tried out here: as its class wants it, or put together without calling its constructor."""
    plain, why = b"", ""
    try:
        plain, again = _there_and_back(exception, exception, limit)
        if _has_own_way(exception) or describe_error(again) == describe_error(exception):
            return plain, ""
    except BaseException as error:  # noqa: BLE001  # it is the author's code that runs here, and may raise anything
        why = error.message if isinstance(error, ConcurrenceError) else describe_error(error)
        _log.debug("the exception %s needs help to travel: %s", type(exception).__name__, why)
    try:
        return _there_and_back(_ByParts(exception), exception, limit)[0], ""
    except BaseException as error:  # noqa: BLE001  # as above; whoever gets the text is told the first reason
        _log.debug("the exception %s cannot be rebuilt: %s", type(exception).__name__, describe_error(error))
        return plain, why


def _there_and_back(value: object, exception: BaseException, limit: int) -> tuple[bytes, Any]:
    payload, buffers = pack_value(value, "the exception")
    if buffers or len(payload) > limit:
        size = len(payload) + sum(memoryview(buffer).nbytes for buffer in buffers)
        raise PackingError(f"it has {size:,} bytes, and at most {limit:,} can be sent")
    again = pickle.loads(payload)
    if type(again) is not type(exception):
        raise PackingError(f"it becomes a {type(again).__qualname__} when it is unpickled")
    return payload, again


def _has_own_way(exception: BaseException) -> bool:
    """Whether its class says itself how it is pickled."""
    kind = type(exception)
    return any(isinstance(getattr(kind, name, None), FunctionType) for name in ("__reduce__", "__reduce_ex__"))


def _builtin_base(kind: type[BaseException]) -> Any:
    return next(base for base in kind.__mro__ if base.__module__ == "builtins")


class _ByParts:
    """Pickles an exception whose constructor takes other arguments than it handed on to its base."""

    def __init__(self, exception: BaseException) -> None:
        self._exception = exception

    def __reduce__(self) -> tuple[Any, ...]:
        kind = type(self._exception)
        _, arguments, *state = _builtin_base(kind).__reduce__(self._exception)
        if issubclass(kind, BaseExceptionGroup):
            group: Any = self._exception
            errors: tuple[BaseException, ...] = group.exceptions
            parts = [error if _has_own_way(error) else _ByParts(error) for error in errors]
            arguments = (arguments[0], parts)
        return _from_parts, (kind, arguments, *state)


def _from_parts(kind: type[BaseException], arguments: tuple[Any, ...], state: Any = None) -> BaseException:
    exception = kind.__new__(kind, *arguments)
    base = _builtin_base(kind)
    base.__init__(exception, *arguments)  # sets args, and what a builtin class keeps beside them
    if state:
        base.__setstate__(exception, state)
    return exception


def rebuild_exception(fault: Fault) -> BaseException | None:
    """The exception that a fault carries; None if it carries none or it cannot be rebuilt here."""
    if not fault.exception:
        return None
    try:
        exception = pickle.loads(fault.exception)
    except BaseException as error:  # noqa: BLE001  # the author's code; the fault's text has all that matters
        _log.debug("the exception of %r cannot be rebuilt: %s", fault.message, describe_error(error))
        return None
    return exception if isinstance(exception, BaseException) else None


def describe_error(error: BaseException) -> str:
    """``TypeName: text``, or the name alone if there is no text, whatever the error's own methods do."""
    try:
        text = str(error)
        return f"{type(error).__name__}: {text}" if text else type(error).__name__
    except BaseException:  # noqa: BLE001  # a failing __str__ must not take its place; the name is reported
        return type(error).__name__


def _pack_slowly(value: Any, label: str) -> tuple[bytes, list[Frame]]:
    buffers = Buffers()
    try:
        payload = dump_whole(value, buffers)
    except Exception as error:
        raise packing_error(value, label, error) from error
    return payload, buffers


def packing_error(value: Any, label: str, error: BaseException) -> PackingError:
    """The error that names the part of ``value`` that cannot be pickled.

    Args:
        value: What was to be pickled.
        label: How the error calls it.
        error: What pickle says; the error of a shared object names its part already.
    """
    if isinstance(error, PackingError):
        return PackingError(f"{label}: {error.message}", hint=error.hint)
    path, culprit = find_culprit(value)
    own = _refusal(culprit)
    if isinstance(own, ConcurrenceError):
        return PackingError(f"{' of '.join([*reversed(path), label])}: {own.message}", hint=own.hint)
    error = own or error
    kind = cast("type[Any]", type(culprit))
    kind_name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    article = "an" if kind_name[0].lower() in "aeiou" else "a"
    return PackingError(
        f"{' of '.join([*reversed(path), label])} is {article} {kind_name}, "
        f"which cannot be pickled ({describe_error(error)})",
        hint="Leave it out of what travels: create it where it is used, or drop it in __getstate__.",
    )


def find_culprit(value: Any) -> tuple[list[str], Any]:
    """The innermost part of a value that cannot be pickled, and the path to it, outermost step first.

    What refuses by itself is not looked into: its parts are not what is wrong with it.
    """
    path: list[str] = []
    seen = {id(value)}
    while len(path) < _MAX_DEPTH and _refusal(value) is None:
        for step, part in _parts(value):
            if id(part) not in seen and not can_be_pickled(part):
                seen.add(id(part))
                path.append(step)
                value = part
                break
        else:
            break
    return path, value


def _refusal(value: Any) -> Exception | None:
    """What an object's own code for pickling it raises; None if it has none, or that raises nothing."""
    kind = cast("type[Any]", type(value))
    for name, arguments in (("__reduce_ex__", (5,)), ("__reduce__", ()), ("__getstate__", ())):
        if isinstance(getattr(kind, name, None), FunctionType):
            try:
                getattr(kind, name)(value, *arguments)
            except Exception as error:  # noqa: BLE001  the author's code; it is told
                return error
    return None


def can_be_pickled(value: Any) -> bool:
    """Whether the value could travel."""
    try:
        dump_whole(value, Buffers())
    except Exception as error:  # noqa: BLE001  # any error means no; the caller reports the innermost
        _log.debug("%s cannot be pickled: %s", type(value).__name__, describe_error(error))
        return False
    return True


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    state: Any = getattr(value, "__dict__", {})
    if isinstance(value, FunctionType):
        yield from _captured(value)
        return
    if isinstance(value, MethodType):
        yield "the object", value.__self__
    elif isinstance(value, Mapping):
        yield from ((f"item {key!r}", part) for key, part in cast("Mapping[Any, Any]", value).items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"item {index}", part) for index, part in enumerate(cast("Sequence[Any]", value)))
    elif isinstance(value, functools.partial):
        partial = cast("functools.partial[Any]", value)
        yield from (("the function", partial.func), ("the arguments", partial.args))
        yield from ((f"argument {name!r}", part) for name, part in partial.keywords.items())
    yield from ((f"attribute {name!r}", part) for name, part in dict(state).items())


def _captured(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function takes along when it is pickled by value."""
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f"variable {name!r}", cell.cell_contents
        except ValueError:
            continue  # the variable is not bound yet
    for name in code.co_names:
        if name in function.__globals__:
            yield f"variable {name!r}", function.__globals__[name]

"""Whether a class keeps what its bases declare: every member there, of the right kind, taking the right arguments.

The rule for arguments: each call that the declaration allows must be one that the implementation accepts.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache, partial, partialmethod, singledispatchmethod
from types import SimpleNamespace
from typing import Any, cast

_METHOD, _CLASS_METHOD, _PROPERTY, _ATTRIBUTE = "a method", "a class method", "a property", "an attribute"
_ASYNC = {_METHOD: "an async method", _CLASS_METHOD: "an async class method"}
_WRAPPING = staticmethod, classmethod, singledispatchmethod
_MISSING = object()
_COMPARED = 1_024
_OVERLOAD = typing.overload(lambda: None)
"""What ``overload`` leaves behind where no implementation follows."""


def broken_promises(cls: type, is_contract: Callable[[type], bool], *, abstract: bool) -> Iterator[str]:
    """What a class lacks or does otherwise than one of its bases declares, a sentence each.

    Args:
        cls: The class.
        is_contract: Whether a base is an interface: all its public members are declarations, those with a default
            included. Of other bases only the abstract ones are.
        abstract: Whether the class may lack members.
    """
    for base in cls.__mro__[1:]:
        for name, declared in vars(base).items():
            if not _is_abstract(declared) and (not is_contract(base) or name.startswith("_")):
                continue
            found = inspect.getattr_static(cls, name)
            problem = ""
            if found is not declared:
                problem = _compare(base, name, declared, cls, found)
            elif _is_abstract(declared) and not abstract:
                problem = "is missing" + _shadowed(cls, base, name)
            if problem:
                yield f"{cls.__name__}.{name} {problem}, declared in {_name(base)} as {_heading(name, declared)}"
        if is_contract(base) and not abstract:
            for name in _class_attributes(base):
                if inspect.getattr_static(cls, name, _MISSING) is _MISSING:
                    yield f"{cls.__name__}.{name} is missing, declared in {_name(base)} as a class attribute"
    if not abstract:
        own = [name for name, value in vars(cls).items() if _is_abstract(value)]
        yield from (f"{cls.__name__}.{name} is abstract in a class that is not: say abstract=True" for name in own)


def missing_attributes(made: object, is_contract: Callable[[type], bool]) -> Iterator[str]:
    """What an object lacks of the attributes that its interfaces declare with a type alone, a sentence each.

    What a constructor sets is seen only when it has run. Nothing is read: a property is there, whatever it does.

    Args:
        made: The object.
        is_contract: Whether a base of its class is an interface.
    """
    cls = type(made)
    if inspect.getattr_static(cls, "__getattr__", _MISSING) is not _MISSING:
        return  # it may have whatever it is asked for
    for base in filter(is_contract, cls.__mro__):
        for name in inspect.get_annotations(base):
            if not name.startswith("_") and inspect.getattr_static(made, name, _MISSING) is _MISSING:
                yield f"{cls.__name__}.{name} is missing, declared in {_name(base)} as an attribute"


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _is_abstract(attribute: object) -> bool:
    # What wraps a function does not always tell that the function is abstract: cached_property does not.
    inner = getattr(attribute, "func", None)
    return True in (getattr(each, "__isabstractmethod__", False) for each in (attribute, inner))


def _shadowed(cls: type, base: type, name: str) -> str:
    later = cls.__mro__[cls.__mro__.index(base) + 1 :]
    hidden = next((other for other in later if name in vars(other) and not _is_abstract(vars(other)[name])), None)
    return "" if hidden is None else f" ({hidden.__name__} has it, but must stand before {base.__name__})"


def _class_attributes(base: type) -> Iterator[str]:
    """The names that a class declares with ClassVar and gives no value."""
    for name, annotation in inspect.get_annotations(base).items():
        text = annotation if isinstance(annotation, str) else repr(annotation)
        if text.removeprefix("typing.").removeprefix("t.").startswith("ClassVar") and not name.startswith("_"):
            yield name


def _compare(base: type, name: str, declared: object, cls: type, found: object) -> str:
    if inspect.isfunction(declared) and inspect.isfunction(found):
        return _compare_functions(base, name, declared, found)
    return _difference(base, name, declared, cls, found)


@lru_cache(maxsize=_COMPARED)
def _compare_functions(base: type, name: str, declared: object, found: object) -> str:
    """The same of functions, whatever class they were found in: what many classes inherit is compared once."""
    return _difference(base, name, declared, base, found)


def _difference(base: type, name: str, declared: object, cls: type, found: object) -> str:
    wanted, given = _kind(declared), _kind(found)
    if wanted == _ATTRIBUTE:
        is_filled = not isinstance(declared, type) and declared is not None
        return f"is {given} instead of {wanted}" if is_filled and given not in (_ATTRIBUTE, _PROPERTY) else ""
    if wanted == _PROPERTY:
        return _property_difference(declared, found, given)
    is_async = wanted in _ASYNC.values()
    if is_async and given in _ASYNC:
        given = _kind(inspect.unwrap(_function(found)))
    # A class method, or a static one, can be called on an object as well; not the other way round.
    level = wanted.replace("class ", "")
    if given != wanted and (given.replace("class ", "") != level or wanted != level):
        return f"is {given} instead of {wanted}"
    ours = _signature(cls, name, found)
    if ours is None:
        return ""
    return next(
        (problem for theirs in _signatures(base, name, declared) if (problem := _mismatch(theirs, ours))), ""
    )


def _property_difference(declared: object, found: object, given: str) -> str:
    if given not in (_PROPERTY, _ATTRIBUTE):
        return f"is {given} instead of {_PROPERTY}"
    can_be_set = isinstance(declared, property) and declared.fset is not None
    is_fixed = isinstance(found, property) and found.fset is None
    return "is a property that cannot be set" if can_be_set and is_fixed else ""


def _function(attribute: object) -> Any:
    while isinstance(attribute, _WRAPPING):
        wrapped = cast("Any", attribute)
        attribute = wrapped.func if isinstance(attribute, singledispatchmethod) else wrapped.__func__
    return attribute


def _kind(attribute: object) -> str:
    function = _function(attribute)
    if isinstance(function, property | cached_property):
        return _PROPERTY
    if isinstance(function, partialmethod):
        function = cast("Any", function).func
    if not callable(function) or isinstance(function, type):
        return _ATTRIBUTE
    kind = _CLASS_METHOD if isinstance(attribute, staticmethod | classmethod) else _METHOD
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  an object whose __call__ is async
    )
    return _ASYNC[kind] if is_async else kind


def _signatures(base: type, name: str, declared: object) -> list[inspect.Signature]:
    """The signatures of a declaration: one, or one for each overload."""
    place = SimpleNamespace(__module__=base.__module__, __qualname__=f"{base.__qualname__}.{name}")
    overloads = typing.get_overloads(cast("Any", place))
    found = [_signature(base, name, overload) for overload in overloads or [declared]]
    return [signature for signature in found if signature is not None]


def _signature(cls: type, name: str, attribute: object) -> inspect.Signature | None:
    """How an attribute is called on an object; None if that cannot be known."""
    function = _function(attribute)
    if function is _OVERLOAD:
        return None
    if isinstance(function, partialmethod):
        function = inspect.getattr_static(cls, name).__get__(None, cls)
    try:
        signature = _own_signature(function)
    except (TypeError, ValueError):
        return None
    parameters = list(signature.parameters.values())
    # Functions, and what behaves like them (lru_cache, C), get the object; other callable objects do not.
    is_bound = hasattr(cast("object", function).__class__, "__get__") and not isinstance(attribute, staticmethod)
    if isinstance(function, partial) and sys.version_info < (3, 14):  # 3.13's only warns of what 3.14's does
        is_bound = False
    if is_bound and parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        del parameters[0]
    return signature.replace(parameters=parameters)


def _own_signature(function: Any) -> inspect.Signature:
    """The signature of a function itself; of what it wraps only where it hands everything on."""
    if not inspect.isfunction(function):
        return inspect.signature(function)
    own = inspect.signature(function, follow_wrapped=False)
    kinds = {parameter.kind for parameter in own.parameters.values()}
    hands_on = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= kinds
    return inspect.signature(function) if hands_on else own


def _mismatch(theirs: inspect.Signature, ours: inspect.Signature) -> str:
    """Why some call that the declaration allows would fail on the implementation; empty if none would."""
    for positional, keywords in _calls(theirs):
        try:
            ours.bind(*positional, **dict.fromkeys(keywords))
        except TypeError as error:
            call = ", ".join([*positional, *(f"{name}=..." for name in keywords)])
            return f"cannot be called with ({call}): {error}"
    return ""


def _calls(signature: inspect.Signature) -> Iterator[tuple[list[str], list[str]]]:
    """Calls that represent all that a signature allows: names of positional arguments, then of keywords."""
    kinds = inspect.Parameter
    every = list(signature.parameters.values())
    extra_positional = ["*" + p.name for p in every if p.kind is kinds.VAR_POSITIONAL]
    extra_keywords = ["any_other" for p in every if p.kind is kinds.VAR_KEYWORD]
    named = [p for p in every if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    by_place = [p for p in named if p.kind is not kinds.KEYWORD_ONLY]
    for count in range(len(by_place) + 1):
        first, rest = by_place[:count], [p for p in named if p not in by_place[:count]]
        optional = [p for p in rest if p.default is not kinds.empty and p.kind is not kinds.POSITIONAL_ONLY]
        required = [p for p in rest if p.default is kinds.empty]
        if any(p.kind is kinds.POSITIONAL_ONLY for p in required):
            continue
        places = [p.name for p in first]
        yield places, [p.name for p in required]
        yield places, [p.name for p in (*required, *optional)] + extra_keywords
        if count == len(by_place):
            yield places + extra_positional, [p.name for p in required]


class _Text(str):
    """An annotation that a signature prints without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _heading(name: str, declared: object) -> str:
    """How a declaration is written, so that it can be copied."""
    kind, function = _kind(declared), _function(declared)
    if kind == _ATTRIBUTE or function is _OVERLOAD:
        return kind
    if kind == _PROPERTY:
        return f"{kind} {name}"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return kind
    parameters = [each.replace(annotation=_plain(each.annotation)) for each in signature.parameters.values()]
    text = str(signature.replace(parameters=parameters, return_annotation=_plain(signature.return_annotation)))
    decorator = next(
        (f"@{wrap.__name__} " for wrap in (classmethod, staticmethod) if isinstance(declared, wrap)), ""
    )
    return f"{decorator}{'async ' if kind in _ASYNC.values() else ''}def {name}{text}"


def _plain(annotation: object) -> object:
    return _Text(annotation) if isinstance(annotation, str) else annotation

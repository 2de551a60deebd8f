"""Exceptions of tasks arrive as what they were, however odd their constructors; and if not, the error says why."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any, Self

import pytest

from concurrence.tasks.loading import exception_fault
from concurrence.tasks.values import rebuild_exception


class TwoParts(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first}{second}")
        self.first, self.second = first, second


class KeywordOnly(ValueError):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Prefixing(Exception):
    """Plain unpickling makes a different one of it, without complaining."""

    def __init__(self, text: str, prefix: str = "prefixed") -> None:
        super().__init__(f"{prefix}: {text}")


class OddFile(OSError):
    def __init__(self, path: Path) -> None:
        super().__init__(2, "not there", str(path))


class OddGroup(ExceptionGroup[Exception]):
    def __new__(cls, text: str, errors: list[Exception]) -> Self:
        return super().__new__(cls, text, errors)

    def __init__(self, text: str, errors: list[Exception]) -> None:
        super().__init__(text, errors)
        self.count = len(errors)


class OwnReduce(Exception):
    def __init__(self, secret: int) -> None:
        super().__init__("own")
        self.secret = secret

    def __reduce__(self) -> tuple[Any, ...]:
        return OwnReduce, (0,)


class HoldsLock(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class Unmakeable(Exception):
    def __new__(cls, one: int, two: int) -> Self:
        return super().__new__(cls, one)

    def __init__(self, one: int, two: int) -> None:
        super().__init__("never again")


def arrived(error: BaseException) -> Any:
    return rebuild_exception(exception_fault(error))


def test_a_constructor_that_takes_other_arguments_than_it_hands_on() -> None:
    error = arrived(TwoParts(1, 2))
    assert type(error) is TwoParts
    assert (str(error), error.args, error.first, error.second) == ("12", ("12",), 1, 2)
    assert str(arrived(error)) == "12"  # it can travel on
    coded = arrived(KeywordOnly(code=7))
    assert (type(coded), str(coded), coded.code) == (KeywordOnly, "code 7", 7)


def test_what_plain_unpickling_would_change_arrives_as_it_was() -> None:
    assert str(pickle.loads(pickle.dumps(Prefixing("x")))) == "prefixed: prefixed: x"
    assert str(arrived(Prefixing("x"))) == "prefixed: x"


def test_what_builtin_classes_keep_outside_of_args() -> None:
    error = arrived(OddFile(Path("there")))
    assert (type(error), error.errno, error.strerror, error.filename) == (OddFile, 2, "not there", "there")
    group = arrived(OddGroup("two", [ValueError("a"), TwoParts(1, 2)]))
    assert (type(group), group.count, str(group.exceptions[1])) == (OddGroup, 2, "12")


def test_notes_and_an_own_way_of_pickling_are_kept() -> None:
    error = TwoParts(1, 2)
    error.add_note("a note")
    assert arrived(error).__notes__ == ["a note"]
    assert arrived(OwnReduce(5)).secret == 0


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (HoldsLock(1, 2), "attribute 'lock' of the exception is a _thread.lock"),
        (Unmakeable(1, 2), "missing 1 required positional argument"),
        (ValueError("x" * 2_000_000), "bytes"),
    ],
)
def test_why_an_exception_did_not_travel_is_told(error: BaseException, why: str) -> None:
    fault = exception_fault(error)
    assert rebuild_exception(fault) is None
    assert "did not travel" in fault.hint
    assert type(error).__name__ in fault.hint
    assert why in fault.hint
    assert len(fault.hint) < 1_000
    assert not exception_fault(ValueError("fine")).hint

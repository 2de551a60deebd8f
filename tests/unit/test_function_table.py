"""The master's table of functions at its bounds."""

from __future__ import annotations

import pytest

from concurrence.errors import ProtocolError
from concurrence.scheduling import functions
from concurrence.scheduling.functions import FunctionTable
from concurrence.wire.digests import bundle_digest, function_digest
from concurrence.wire.messages import DefineBundle, DefineFunction

BUNDLE = b"a module"
DIGEST = bundle_digest(BUNDLE)


def define(table: FunctionTable, number: int) -> int:
    blob = b"f%d" % number
    digest = function_digest("f", 0, "3.11", [DIGEST], [], blob)
    return table.define("me", DefineFunction(1, number, digest, "f", 0, "3.11", [DIGEST], []), [blob])


def test_a_bundle_stays_for_a_function_that_had_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner has been told of neither yet, and counts on the bundle's being here."""
    monkeypatch.setattr(functions, "MAX_FUNCTIONS", 1)
    table = FunctionTable()
    table.define_bundle("me", DefineBundle(1, DIGEST), [BUNDLE])
    assert (define(table, 1) > 0, define(table, 2)) == (True, 0)
    table.forget("me", 1)
    assert table.bytes_of("me") == len(BUNDLE)
    assert define(table, 3) > 0  # without sending the bundle again
    table.forget("me", 3)
    table.forget("me", 2)
    assert table.bytes_of("me") == 0


def test_functions_that_have_no_room_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "MAX_FUNCTIONS", 0)
    monkeypatch.setattr(functions, "MAX_REFUSED", 3)
    table = FunctionTable()
    table.define_bundle("me", DefineBundle(1, DIGEST), [BUNDLE])
    for number in (1, 2, 3):
        define(table, number)
    with pytest.raises(ProtocolError, match="more than 3 functions"):
        define(table, 4)

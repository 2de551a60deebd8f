"""What a signal does while something runs, while it cleans up, and afterwards."""

from __future__ import annotations

import os
import signal

import pytest

from concurrence.nodes import stop_signals
from concurrence.nodes.stop_signals import NodeSignals, StopSignals

STOPPING = [signal.SIGINT, signal.SIGTERM]


class Node:
    """Counts what its signals ask of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.signals = NodeSignals(self.asked.append, lambda: self.asked.append("reload"))


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.mark.parametrize("number", STOPPING)
def test_a_node_is_asked_first_and_interrupted_then(
    node: Node, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(number)
    node.signals.catch_all()
    try:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # the same request: several send it, or twice
        assert node.asked == [number.name]
        monkeypatch.setattr(stop_signals, "_SAME_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert node.signals.is_interrupted
    finally:
        node.signals.release()
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [*STOPPING, signal.SIGHUP])
def test_a_clean_up_is_not_interrupted_but_where_it_may_be(node: Node, number: signal.Signals) -> None:
    node.signals.catch_all()
    try:
        node.signals.is_ending = True
        for _ in range(3):
            os.kill(os.getpid(), number)
        node.signals.is_breakable = True
        if number is signal.SIGHUP:
            os.kill(os.getpid(), number)
        else:
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
    finally:
        node.signals.release()
    assert node.asked == []


def test_a_clean_up_that_hangs_is_given_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(stop_signals, "PATIENCE_SECONDS", -1.0)
    node.signals.catch_all()
    try:
        node.signals.is_ending = True
        os.kill(os.getpid(), signal.SIGTERM)
        assert codes == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert codes == [130]
    finally:
        node.signals.release()


def test_a_node_that_ends_for_another_reason_is_not_told_of_signals(node: Node) -> None:
    signals = StopSignals()
    signals.catch({signal.SIGTERM: lambda number, frame: node.asked.append("stop")})
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        signals.is_ending = True
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signals.release()
    assert node.asked == ["stop"]

"""Tasks that fail, exit, crash or return too much: each ends once with its reason, and the others go on."""

from __future__ import annotations

from typing import Any

from swarmkit import Swarm


def check_squares(report: Any, count: int) -> None:
    for n in range(count):
        assert report["results"][f"square {n}"] == n * n
    assert set(report["ends"].values()) == {1}


def test_each_failure_is_told_with_its_reason(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    report = swarm.run("failing.py:Failing").ends_well()
    check_squares(report, 100)
    errors: dict[str, dict[str, Any]] = report["errors"]
    assert {error["slave"] for error in errors.values()} == {"attic"}

    error = errors["raise_value_error"]
    assert error["kind"] == "exception"
    assert error["message"] == "ValueError: the author's own text"
    assert error["cause"] == 'ValueError("the author\'s own text")'
    assert error["attempt"] == 1
    assert "failing.py" in error["traceback"]
    assert ", in inner\n" in error["traceback"]
    assert 'raise ValueError("the author\'s own text")' in error["traceback"]
    assert "concurrence/workers" not in error["traceback"]

    assert "Odd: 1 and 2" in errors["raise_odd"]["message"]
    assert "KeyError: 'first'" in errors["raise_from"]["traceback"]
    assert "direct cause" in errors["raise_from"]["traceback"]
    assert errors["leave_with_system_exit"]["cause"] == "SystemExit(3)"
    assert errors["interrupt_itself"]["message"].startswith("KeyboardInterrupt")
    assert errors["return_a_lock"]["kind"] == "result"
    assert "lock" in errors["return_a_lock"]["message"]

    error = errors["end_the_process"]
    assert error["kind"] == "worker"
    assert "3 workers" in error["message"]
    assert "code 7" in error["message"]
    assert "the last words" in error["output"]
    assert error["attempt"] == 3
    assert len(swarm.probes("ended.*")) == 3

    error = errors["crash"]
    assert error["kind"] == "worker"
    assert "SIGSEGV" in error["message"]
    assert len(swarm.probes("crashed.*")) == 3

    assert report["results"]["fail_the_first_time"] == "the second time"
    assert len(swarm.probes("first.*")) == 2
    assert errors["fail_always"]["attempt"] == 3
    assert len(swarm.probes("always.*")) == 3
    assert errors["fail_once"]["attempt"] == 1
    assert len(swarm.probes("once.*")) == 1


def test_large_arrays_travel_there_and_back(swarm: Swarm) -> None:
    report = swarm.run("failing.py:Arrays", workers=2).ends_well()
    assert report["errors"] == {}
    assert report["same"] == 4


def test_what_is_too_large_fails_alone(swarm: Swarm) -> None:
    report = swarm.run("failing.py:TooLarge", "transport.max_frame=1MiB", workers=2).ends_well()
    check_squares(report, 50)
    assert report["results"]["10 out, 0 in"] == 10
    assert report["results"]["30 out, 0 in"] == 30
    error = report["errors"]["3000000 out, 0 in"]
    assert error["kind"] == "result"
    assert "too large" in error["message"]
    # The task whose argument is too large is told of where it was pushed, or at its end.
    told = [*report["refused"], report["errors"].get("20 out, 3000000 in", {}).get("message", "")]
    assert any("exceeds the limit of 1,048,576" in text for text in told), told

"""``concurrence drain``: a slave takes no more work, and perhaps ends."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concurrence.cli.options import EnvOption, JsonOption, MasterOption, examples

if TYPE_CHECKING:
    from concurrence.cli.asking import Asked

EPILOG = examples(
    "concurrence drain attic",
    "concurrence drain attic --stop --wait",
    "concurrence drain attic --resume",
    "concurrence drain attic cellar --stop --wait --timeout 600 --env swarm",
)

_POLL_SECONDS = 0.25


def drain(
    slaves: Annotated[
        list[str],
        typer.Argument(metavar="SLAVE...", help="Names of slaves, or the first digits of their node ids."),
    ],
    stop: Annotated[bool, typer.Option("--stop", help="End the slave when it is empty.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Let it work again.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is empty, or with --stop gone.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", min=0.0, metavar="SECONDS", help="Wait no longer than this.", show_default="for ever"
        ),
    ] = None,
    master: MasterOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> int:
    """Have slaves take no more work: they give back what has not started, and finish what runs."""
    from concurrence.cli.asking import Asked
    from concurrence.errors import UsageError

    if resume and (stop or wait):
        raise UsageError(f"--resume and --{'stop' if stop else 'wait'} exclude each other")
    if timeout is not None and not wait:
        raise UsageError("--timeout means nothing without --wait")
    with Asked(master, env, "drain") as asked:
        if resume:
            states = [asked.call("resume", {"slave": slave}) for slave in slaves]
        else:
            states = [asked.call("drain", {"slave": slave, "stop": stop}) for slave in slaves]
        if not as_json:
            for state in states:
                print(_told(state))
        if wait:
            deadline = None if timeout is None else time.monotonic() + timeout
            states = [_wait(asked, state, deadline) for state in states]
    late = [state for state in states if wait and not is_over(state)]
    if as_json:
        print(json.dumps(states, indent=2))
    elif wait:
        for state in states:
            print(_waited(state))
    return 1 if late else 0


def is_over(state: dict[str, Any]) -> bool:
    """Whether what ``--wait`` waits for has come: the slave is empty, or gone if it is to end."""
    if state.get("gone"):
        return True
    return not state["stops"] and state["confirmed"] and not state["chunks"]


def _wait(asked: Asked, state: dict[str, Any], deadline: float | None) -> dict[str, Any]:
    """Ask again and again how far a slave is, until it is empty or gone."""
    from concurrence.errors import ConcurrenceError, ConnectionFailed

    while not is_over(state) and (deadline is None or time.monotonic() < deadline):
        time.sleep(_POLL_SECONDS)
        try:
            state = asked.call("drain.state", {"slave": state["node"]})
        except ConnectionFailed:
            raise
        except ConcurrenceError:  # the master does not know it any more
            return {**state, "gone": True, "chunks": 0}
        if not state["draining"]:
            return {**state, "resumed": True}
    return state


def _told(state: dict[str, Any]) -> str:
    name = state["slave"]
    if not state["draining"]:
        return f"slave {name} works again"
    left = _left(state)
    if state["stops"]:
        return f"slave {name} takes no more work and ends when it is empty; {left}"
    return f"slave {name} takes no more work; {left}"


def _waited(state: dict[str, Any]) -> str:
    name = state["slave"]
    if state.get("gone"):
        return f"slave {name} is gone"
    if is_over(state):
        return f"slave {name} is empty"
    if state.get("resumed"):
        return f"slave {name} works again: somebody has resumed it"
    return f"slave {name} is not empty yet; {_left(state)}"


def _left(state: dict[str, Any]) -> str:
    chunks = state["chunks"]
    if not state["connected"]:
        return "it is not connected now, and is told when it comes back"
    return f"{chunks} chunk{'s' if chunks != 1 else ''} left" if chunks else "nothing is left"

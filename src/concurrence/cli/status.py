"""``concurrence status``: what a swarm is doing."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concurrence.cli.failures import note_broken
from concurrence.cli.options import EnvOption, JsonOption, MasterOption, examples

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from concurrence.nodes.status import Status

EPILOG = examples(
    "concurrence status --env swarm",
    "concurrence status --master admin.toml --json",
    "concurrence status --stats",
    "concurrence status --open",
)
TIMEOUT = 5.0
"""Seconds to wait for the master."""


def status(
    master: MasterOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
    stats: Annotated[bool, typer.Option("--stats", help="Show what the master counts and averages.")] = False,
    is_open: Annotated[
        bool,
        typer.Option("--open", help="Open the live status page; prints its address, which is good once."),
    ] = False,
) -> int:
    """Show the nodes and task systems of a swarm, as its master sees them."""
    from concurrence.cli.asking import admin_credentials, transport_of
    from concurrence.env.log import configure_logging
    from concurrence.errors import UsageError
    from concurrence.nodes.running import open_environment
    from concurrence.nodes.status import ask_status, status_by_names

    if stats and is_open:
        raise UsageError("--stats and --open are two different things")
    if stats:
        return _show_stats(master, env, as_json=as_json)
    if is_open:
        return _open_page(master, env)
    configure_logging("CRITICAL")  # plug-ins that fail are told of in a line
    with open_environment(env) as environment:
        note_broken(environment.plugin_failures)
        credentials = admin_credentials(environment, master, "status")
        answer = ask_status(transport_of(environment), credentials, TIMEOUT)
    if as_json:
        print(json.dumps(status_by_names(answer), indent=2))
    else:
        show(answer, credentials.address)
    return 0


def _open_page(master: Path | None, env: Path | None) -> int:
    import webbrowser

    from concurrence.cli.asking import call_method

    found = call_method("page.open", {}, master, env, "status")
    print(found["url"], flush=True)
    has_screen = sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if has_screen and sys.stdout.isatty():
        webbrowser.open(found["url"])
    else:
        note = f"open this address in a browser within {found['seconds']:.0f} s; it is good once"
        print(note, file=sys.stderr)
    return 0


def _show_stats(master: Path | None, env: Path | None, *, as_json: bool) -> int:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from concurrence.cli.asking import call_method

    found: dict[str, dict[str, Any]] = call_method("stats", {}, master, env, "status")
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    table = Table("name", box=None, pad_edge=False)
    for heading in ("events", "values", "a second", "mean", "least", "p50", "p90", "p99", "most", "last"):
        table.add_column(heading, justify="right")
    for name, each in found.items():
        figures = ("mean", "minimum", "p50", "p90", "p99", "maximum", "last")
        values = [f"{each[key]:.4g}" for key in figures] if each["values"] else [""] * len(figures)
        table.add_row(Text(name), f"{each['events']:,}", f"{each['values']:,}", f"{each['rate']:.4g}", *values)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=200)
    console.print(table)
    return 0


def show(answer: Status, address: str) -> None:
    """Print a status for people.

    Args:
        answer: What the master said.
        address: Where it is.
    """
    from rich.console import Console

    from concurrence.cli.display import human_seconds

    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=200)
    uptime = human_seconds(answer.uptime)
    print(f"master {answer.master} at {address}, Concurrent {answer.package}, up {uptime}")
    slaves = [node for node in answer.nodes if node.kind == "slave"]
    print(f"slaves: {len(slaves)}, workers: {sum(node.workers for node in slaves)}")
    if slaves and all(node.drains for node in slaves) and any(system.queued for system in answer.systems):
        print("all slaves drain: tasks wait; have one work again: concurrence drain SLAVE --resume")
    if not slaves and any(system.queued for system in answer.systems):
        print("no slaves: tasks wait")
    if answer.nodes:
        print()
        console.print(_nodes(answer))
    if answer.systems:
        print()
        console.print(_systems(answer))
    if any(answer.stats.values()):
        stats = ", ".join(f"{name} {value:g}" for name, value in sorted(answer.stats.items()))
        print(f"\n{stats}")


def _nodes(answer: Status) -> Table:
    from rich.table import Table
    from rich.text import Text

    from concurrence.cli.display import human_seconds

    table = Table("kind", "name", "address", box=None, pad_edge=False)
    for heading in ("connected", "workers", "chunks", "finished"):
        table.add_column(heading, justify="right")
    if any(node.drains or node.note for node in answer.nodes):
        table.add_column("")
    for node in sorted(answer.nodes, key=lambda node: (node.kind, node.name)):
        cells = [node.kind, Text(node.name), Text(node.address), human_seconds(node.age)]
        if node.kind == "slave":
            cells += [str(node.workers), str(node.busy_chunks), f"{node.finished:,}"]
            cells += ["draining"] if node.drains else [Text(node.note)] if node.note else []
        table.add_row(*cells)
    return table


def _systems(answer: Status) -> Table:
    from rich.table import Table
    from rich.text import Text

    from concurrence.cli.display import human_bytes, human_seconds

    table = Table("system", box=None, pad_edge=False)
    for heading in ("queued", "running", "finished", "failed", "cancelled", "work", "moved"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for system in answer.systems:
        counts = (system.queued, system.running, system.finished, system.failed, system.cancelled)
        table.add_row(
            f"{system.system:016x}",
            *(f"{count:,}" for count in counts),
            human_seconds(system.busy),
            human_bytes(system.moved),
            Text(system.text),
        )
    return table

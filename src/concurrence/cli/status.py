"""``concurrence status``: what a swarm is doing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concurrence.cli.options import EnvOption, MasterOption, examples

if TYPE_CHECKING:
    from rich.table import Table

    from concurrence.env.environment import Environment
    from concurrence.nodes.status import Status
    from concurrence.transport.security import Credentials

EPILOG = examples(
    "concurrence status --env swarm",
    "concurrence status --master admin.toml --json",
)
TIMEOUT = 5.0
"""Seconds to wait for the master."""


def status(
    master: MasterOption = None,
    env: EnvOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> int:
    """Show the nodes and task systems of a swarm, as its master sees them."""
    from concurrence.env.log import configure_logging
    from concurrence.nodes.running import open_environment
    from concurrence.nodes.status import ask_status
    from concurrence.transport.api import ITransport

    configure_logging("ERROR")
    with open_environment(env) as environment:
        credentials = _credentials(environment, master)
        chosen = environment.config.get("node", "transport")
        name = str(chosen.raw) if chosen is not None else "ZMQTransport"
        answer = ask_status(environment.implementation(ITransport, name), credentials, TIMEOUT)
    if as_json:
        print(json.dumps(_as_dict(answer), indent=2))
    else:
        show(answer, credentials.address)
    return 0


def _credentials(environment: Environment, master: Path | None) -> Credentials:
    from concurrence.errors import UsageError
    from concurrence.nodes.keys import connect_path
    from concurrence.transport.security import Role, read_connect_file

    if master is not None:
        return read_connect_file(master)
    if environment.is_temporary:
        raise UsageError(
            "no master is named", hint="concurrence status --master CONNECT.toml, or --env PATH of the master's"
        )
    path = connect_path(environment, Role.ADMIN)
    if not path.exists():
        raise UsageError(
            f"no master has run in {environment.path} yet",
            hint=f"Start it: concurrence master --env {environment.path}",
        )
    return read_connect_file(path)


def _as_dict(answer: Status) -> dict[str, Any]:
    """The answer by names: on the wire its fields have none."""
    from msgspec.structs import asdict

    plain = asdict(answer)
    del plain["request"]
    plain["nodes"] = [asdict(node) for node in answer.nodes]
    # As text: these are 63-bit numbers, and JSON's are exact only up to 53.
    plain["systems"] = [asdict(system) | {"system": f"{system.system:016x}"} for system in answer.systems]
    return plain


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
    for node in sorted(answer.nodes, key=lambda node: (node.kind, node.name)):
        numbers = (str(node.workers), str(node.busy_chunks), f"{node.finished:,}") if node.kind == "slave" else ()
        table.add_row(node.kind, Text(node.name), Text(node.address), human_seconds(node.age), *numbers)
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

"""``concurrence master`` and ``concurrence slave``: the nodes that run until they are stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concurrence.cli.ending import end_with_the_node
from concurrence.cli.options import (
    ConfigOption,
    EnvOption,
    MasterOption,
    SetOption,
    WorkersOption,
    examples,
    files_of,
    overrides_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concurrence.env.environment import Environment
    from concurrence.nodes.node import Node

MASTER_EPILOG = examples(
    "concurrence master --env swarm",
    "concurrence master --env swarm --host 0.0.0.0 --port 7700",
    "concurrence master --env swarm --set masternode.is_standalone=true",
)
SLAVE_EPILOG = examples(
    "concurrence slave --master slave.toml",
    "concurrence slave --master slave.toml --workers 4 --name attic",
    'concurrence slave --master slave.toml --set "slavenode.labels=gpu=1"',
)


def master(
    env: Annotated[
        Path | None,
        typer.Option(
            "--env",
            metavar="PATH",
            help="The environment's folder; it is made if it does not exist.",
            show_default="the one around you",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="Address to listen on; 0.0.0.0 for all.", show_default="127.0.0.1"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="Port; 0 for a free one.", show_default="7700"),
    ] = None,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> int:
    """Run a master: it registers slaves, schedules tasks and hosts task systems, until Ctrl-C."""
    from concurrence.nodes.master import MasterNode

    overrides = overrides_of(settings, masternode__host=host, masternode__port=port)
    environment, is_new = _open_or_create(env, overrides, files_of(config))
    with environment:
        environment.start_logging(node="master")
        environment.check()
        node = environment.component(MasterNode)
        # The first thing that its loop does, and by then it listens and the connect files are written.
        node.reactor.call_later(0.0, lambda: _introduce(environment, is_new=is_new))
        return _serve(node)


def slave(
    master: MasterOption = None,
    env: EnvOption = None,
    workers: WorkersOption = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The name that people see.", show_default="the machine's"),
    ] = None,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> int:
    """Run a slave: it lends this machine's cores to a master, until Ctrl-C."""
    from concurrence.nodes.running import open_environment
    from concurrence.nodes.slave import SlaveNode

    overrides = overrides_of(settings, slavenode__master=master, taskmanager__workers=workers, node__name=name)
    with open_environment(env, overrides=overrides, config_files=files_of(config)) as environment:
        environment.start_logging(node=name or "slave")
        environment.check()
        node = environment.component(SlaveNode)
        return _serve(node)


def _serve(node: Node) -> int:
    end_with_the_node()
    try:
        node.app_init()
        return node.app_main() or 0
    finally:
        node.reactor.close()  # it has sockets from the start, and app_init may have failed


def _open_or_create(
    path: Path | None, overrides: Sequence[str], files: Sequence[Path]
) -> tuple[Environment, bool]:
    from concurrence.env.environment import Environment
    from concurrence.errors import EnvironmentInvalid

    folder = path if path is not None else Environment.discover(Path.cwd())
    if folder is None:
        raise EnvironmentInvalid(
            f"neither {Path.cwd()} nor a folder around it is an environment, and a master keeps its keys in one",
            hint="Name one, which is made if it does not exist: concurrence master --env PATH",
        )
    is_new = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if is_new:
        Environment.create(folder).close()
    return Environment.open(folder, overrides=overrides, config_files=files), is_new


def _introduce(environment: Environment, *, is_new: bool) -> None:
    """Say where the master is, and how the others come to it."""
    from concurrence.nodes.keys import connect_path, is_local
    from concurrence.transport.security import Role, read_connect_file

    folder = _shown(environment.path)
    slave_file = _shown(connect_path(environment, Role.SLAVE))
    client_file = _shown(connect_path(environment, Role.CLIENT))
    made = f"Made the environment {folder}\n" if is_new else ""
    api = read_connect_file(client_file).api
    page = f"  live, in a browser:       concurrence status --open --env {folder}    (API: {api})\n" if api else ""
    address = read_connect_file(client_file).address
    is_here = is_local(address)
    where = ", for this machine alone; --host 0.0.0.0 lets others in" if is_here else ""
    copied = "" if is_here else f"    (copy {slave_file} there)"
    slave = f"slave, on {'this' if is_here else 'any'} machine:"
    print(
        f"{made}The master listens at {address}{where}\n"
        f"  connect files, secret:    {slave_file.parent}\n"
        f"  {slave:<24}  concurrence slave --master {slave_file if is_here else slave_file.name}{copied}\n"
        f"  run an application here:  concurrence run APP --master {client_file}\n"
        f"  what it does:             concurrence status --env {folder}\n"
        f"{page}"
        "Ctrl-C stops it.",
        flush=True,
    )


def _shown(path: Path) -> Path:
    """A path as people type it here: relative where it is below the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

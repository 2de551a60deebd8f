"""What commands that ask a running master have in common: which master, and how it is reached."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrence.env.environment import Environment
    from concurrence.transport.api import ITransport
    from concurrence.transport.security import Credentials


def admin_credentials(environment: Environment, master: Path | None, command: str) -> Credentials:
    """The connect file that was named, or that of an administrator in the environment of a master.

    Args:
        environment: The environment.
        master: The file; None if none was named.
        command: The command, for the text of the error.

    Raises:
        UsageError: No master is named, or none has run in the environment.
    """
    from concurrence.errors import UsageError
    from concurrence.nodes.keys import connect_path
    from concurrence.transport.security import Role, read_connect_file

    if master is not None:
        return read_connect_file(master, Role.ADMIN)
    if environment.is_temporary:
        raise UsageError(
            "no master is named",
            hint=f"concurrence {command} --master CONNECT.toml, or --env PATH of the master's",
        )
    path = connect_path(environment, Role.ADMIN)
    if not path.exists():
        raise UsageError(
            f"no master has run in {environment.path} yet",
            hint=f"Start it: concurrence master --env {environment.path}",
        )
    return read_connect_file(path)


def transport_of(environment: Environment) -> ITransport:
    """The transport that an environment chooses."""
    from concurrence.transport.api import ITransport

    chosen = environment.config.get("node", "transport")
    name = str(chosen.raw) if chosen is not None else "ZMQTransport"
    return environment.implementation(ITransport, name)

"""What commands that ask a running master have in common: which master, and how it is reached."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

    from concurrence.env.environment import Environment
    from concurrence.errors import ConcurrenceError
    from concurrence.transport.api import ITransport
    from concurrence.transport.security import Credentials

TIMEOUT = 30.0
"""Seconds to wait for the answer of a master; for the connection it is five."""


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


def call_method(method: str, params: dict[str, Any], master: Path | None, env: Path | None, command: str) -> Any:
    """Call one method of the API of a master; what it answers.

    Args:
        method: Its name.
        params: By name.
        master: A connect file; None for that of the environment.
        env: The environment's folder; None for the one around the working directory.
        command: The command that asks, for the text of errors.

    Raises:
        ConcurrenceError: The master refused, in its own words, or could not be asked.
    """
    with Asked(master, env, command) as asked:
        return asked.call(method, params)


class Asked:
    """A master that a command asks, perhaps again and again.

    Args:
        master: A connect file; None for that of the environment.
        env: The environment's folder; None for the one around the working directory.
        command: The command that asks, for the text of errors.
    """

    def __init__(self, master: Path | None, env: Path | None, command: str) -> None:
        self._master = master
        self._env = env
        self._command = command

    def __enter__(self) -> Self:
        from concurrence.cli.failures import note_broken
        from concurrence.env.log import configure_logging
        from concurrence.nodes.running import open_environment

        configure_logging("CRITICAL")  # plug-ins that fail are told of in a line
        self._environment = environment = open_environment(self._env)
        try:
            note_broken(environment.plugin_failures)
            self._credentials = admin_credentials(environment, self._master, self._command)
            self._transport = transport_of(environment)
        except BaseException:
            environment.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._environment.close()

    @property
    def address(self) -> str:
        """Where the master is."""
        return self._credentials.address

    def call(self, method: str, params: dict[str, Any] | None = None, timeout: float = TIMEOUT) -> Any:
        """Call a method; what it answers.

        Args:
            method: Its name.
            params: By name.
            timeout: Seconds to wait for the answer.

        Raises:
            ConcurrenceError: The master refused, in its own words, or could not be asked.
        """
        import json

        from concurrence.nodes.calling import call_api

        request = {"jsonrpc": "2.0", "method": method, "params": params or {}, "id": 1}
        body = json.dumps(request, separators=(",", ":")).encode()
        answer = json.loads(call_api(self._transport, self._credentials, body, timeout) or b"{}")
        if "error" in answer:
            raise _refusal(answer["error"])
        return answer.get("result")


def _refusal(error: dict[str, Any]) -> ConcurrenceError:
    """What the master said, as an error with the exit code that it has here."""
    from concurrence.cli.call import printable
    from concurrence.errors import ConcurrenceError, UsageError

    data: dict[str, Any] = error["data"] if isinstance(error.get("data"), dict) else {}
    is_usage = data.get("type") in ("UsageError", "InvalidParams")
    kind = UsageError if is_usage else ConcurrenceError
    hint = str(data.get("hint", ""))
    if data.get("type") == "MethodNotFound":
        hint = "The master has an older version of Concurrent: concurrence call version"
    return kind(printable(str(error.get("message", ""))), hint=printable(hint))


def transport_of(environment: Environment) -> ITransport:
    """The transport that an environment chooses."""
    from concurrence.transport.api import ITransport

    chosen = environment.config.get("node", "transport")
    name = str(chosen.raw) if chosen is not None else "ZMQTransport"
    return environment.implementation(ITransport, name)

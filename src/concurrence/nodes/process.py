"""The main module of a node that another node started: ``python -m concurrence.nodes.process DESCRIPTOR``."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import msgspec

from concurrence.env.environment import Environment
from concurrence.errors import ConcurrenceError
from concurrence.nodes.api import IApp
from concurrence.nodes.launching import MAX_PACKET, Failed, Launch, LaunchSpec
from concurrence.nodes.node import Node
from concurrence.nodes.stop_signals import end_with_the_node
from concurrence.workers.template import die_with_parent


def open_environment(spec: LaunchSpec) -> Environment:
    """The environment that a spec names."""
    files = [Path(file) for file in spec.config_files]
    if spec.environment is None:
        return Environment.ephemeral(overrides=spec.overrides, config_files=files)
    environment = Environment.open(Path(spec.environment), overrides=spec.overrides, config_files=files)
    environment.is_temporary = spec.removes
    return environment


def run(launch: Launch) -> int:
    """Run the node that the parent asked for; the exit code."""
    with open_environment(launch.spec) as environment:
        environment.start_logging(node=launch.spec.app)
        environment.log.setLevel(launch.spec.log_level)
        node = environment.implementation(IApp, launch.spec.app)
        if isinstance(node, Node):
            node.launch = launch
        node.app_init()
        return node.app_main() or 0


def main() -> int:
    """Read the spec from the control socket and run; the exit code."""
    die_with_parent(signal.SIGTERM)
    end_with_the_node()
    control = socket.socket(fileno=int(sys.argv[1]))
    packet = control.recv(MAX_PACKET)
    if not packet:
        return 0  # the parent changed its mind
    launch = Launch(control, msgspec.msgpack.decode(packet, type=LaunchSpec))
    try:
        return run(launch)
    except ConcurrenceError as error:
        launch.answer(Failed(error.message, error.hint, error.exit_code))
        return error.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

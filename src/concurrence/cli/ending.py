"""The end of the process of a command: it is that of the node that the command runs."""

from __future__ import annotations

_is_own_process = False


def own_the_process() -> None:
    """The process does nothing but this command; other programs may call the commands too."""
    global _is_own_process  # noqa: PLW0603  there is one process
    _is_own_process = True


def end_with_the_node() -> None:
    """The node that is about to run is the last thing that happens here, if the process is the command's own."""
    from concurrence.nodes import stop_signals

    if _is_own_process:
        stop_signals.end_with_the_node()

"""Where the lines go that tasks and task systems wrote: to the display, or among the JSON lines of the log."""

from __future__ import annotations

from concurrence.env.log import log_output, writes_json
from concurrence.nodes.display import IDisplay
from concurrence.tasks.ownership import OwnedTasks
from concurrence.wire.messages import Output


def show_output(message: Output, tasks: OwnedTasks, display: IDisplay) -> None:
    """Show what a task or task system wrote.

    Args:
        message: What came.
        tasks: The client's own tasks, for their names.
        display: What shows it, unless the log is written as JSON.
    """
    is_own = message.system == tasks.system
    name = None
    if message.counter is not None:
        name = (tasks.name_of(message.counter) if is_own else "") or message.name or f"task {message.counter}"
    if writes_json():
        system = None if is_own else f"{message.system:016x}"
        log_output(message.text, stream=message.stream, slave=message.source, task=name, system=system)
    elif name is None:
        display.output(message.source or "task system", message.text)
    else:
        display.output(f"{message.source} {name}", message.text)

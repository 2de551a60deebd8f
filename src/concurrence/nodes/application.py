"""The application node: the base class of every client application."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from concurrence.component import ComponentManager, ExtensionPoint
from concurrence.env.config import Config
from concurrence.env.environment import Environment
from concurrence.errors import ComponentError, TaskError, UsageError
from concurrence.ids import NodeId, SystemId, TaskId
from concurrence.nodes.api import IApp, IApplicationHandlers, INodeService
from concurrence.nodes.client_options import ClientOptions
from concurrence.nodes.client_run import ClientRun, RunSettings
from concurrence.nodes.display import IDisplay, IPictureDisplay, Pixels, PlainDisplay, RunSummary
from concurrence.nodes.identity import Identity
from concurrence.nodes.run_report import RunReport
from concurrence.tasks.api import ITaskSystem, Task, warn_of_misspelled
from concurrence.telemetry.stats import Stats
from concurrence.transport.security import read_connect_file
from concurrence.version import __version__


class ApplicationNode(ClientOptions, IApp, IApplicationHandlers, abstract=True):
    """A client application: override :meth:`get_task_system` or :meth:`start_processing`, and handlers.

    All methods run in the main thread, one at a time; each has a default, so write those that you need. A
    handler may take as long as it likes, but may not wait for results.

    Attributes:
        env: The environment that it runs in.
        log: Its logger.
        stats: Its counters and averages.
        inline: Whether master, slave and tasks run in this process and thread too.
        display: What it shows while it runs.
        summary: What the run took; None until it ended.
        run_report: Where the swarm's time went in it; None until it ended.
    """

    node_services = ExtensionPoint(INodeService)

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: object) -> None:
        """Warn of methods that look like misspelled handlers: nobody would call them."""
        super().__init_subclass__(abstract=abstract, **kwargs)
        warn_of_misspelled(cls, ApplicationNode)

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        if not isinstance(manager, Environment):
            raise ComponentError(f"{type(self).__name__} needs an Environment as its manager")
        self.env: Environment = manager
        self.log = manager.log.getChild(type(self).__name__)
        self.stats = Stats()
        self.inline = False
        self.workers: int | None = None
        self.display: IDisplay = PlainDisplay()
        self.summary: RunSummary | None = None
        self.run_report: RunReport | None = None
        self.__run: ClientRun | None = None
        self.__failed = False

    # --- what an author overrides ---

    def get_task_system(self) -> ITaskSystem | None:
        """The task system to push; None, the default, if the application pushes plain tasks itself."""
        return None

    def start_processing(self) -> None:
        """Push tasks; called once, when there is a swarm, unless there is a task system.

        Raises:
            UsageError: The application overrides neither this nor :meth:`get_task_system`.
        """
        raise UsageError(
            f"the application {type(self).__name__} has nothing to do",
            hint="Override start_processing() to push tasks, or get_task_system() to return a task system.",
        )

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        """A plain task ended; the default logs failures, and remembers them for the exit code.

        Args:
            task: The object that was pushed.
            result: What it returned; None if there is an error.
            error: Why it failed; None if it did not.
        """
        if error is not None:
            self.__failed = True
            self.log.error("%r failed: %s", task, error)

    def work_finished(self, result: Any, system_id: SystemId) -> None:
        """A task system ended, or nothing of the plain tasks is unfinished; the default ends the application.

        Its exit code is then 1 if the default of :meth:`task_finished` saw a failure.

        Args:
            result: The system's one result; None for plain tasks.
            system_id: The system, or the one that the plain tasks belong to.
        """
        self.shutdown_main_loop(1 if self.__failed else 0)

    def push_task_response(self, task: Task) -> None:
        """A pushed task is accepted and kept."""

    def push_task_failed(self, task: Task, error: TaskError) -> None:
        """A pushed task was not accepted; ``task_finished`` tells of it too."""

    def push_tasks_response(self, tasks: Iterable[Task]) -> None:
        """Everything that one call of ``push_tasks`` pushed is accepted and kept."""

    def push_tasks_failed(self, tasks: list[Task], error: TaskError) -> None:
        """Some of the tasks of one ``push_tasks`` were not accepted; ``task_finished`` tells of each too."""

    def push_tasksystem_response(self, system_id: SystemId) -> None:
        """A pushed task system is accepted and kept."""

    def push_tasksystem_failed(self, system_id: SystemId, error: TaskError) -> None:
        """A task system was not accepted, or failed; the default logs it and ends the application with 1."""
        self.log.error("the task system failed: %s", error)
        self.shutdown_main_loop(1)

    def progress(self, system_id: SystemId, done: float, total: float, text: str) -> None:
        """News of how far a system is; the default does nothing, a progress bar moves by itself.

        Args:
            system_id: The system, or the one that the plain tasks belong to.
            done: In the system's own units, or in tasks.
            total: The same; 0 while nobody knows.
            text: What the system said.
        """

    def interrupted(self) -> None:
        """Ctrl-C or SIGTERM ends the application: the last moment to say what there is so far.

        It may come in the middle of any other handler. What is unfinished is cancelled, nothing can be pushed any
        more, and the exit code is 130. Be quick: a second Ctrl-C does not wait.
        """

    def master_disconnected(self) -> None:
        """The connection to the master is lost; it is tried again for ever."""
        self.log.warning("lost the master; trying again")

    def master_reconnected(self) -> None:
        """The connection to the master is there again."""
        self.log.warning("the master is there again")

    # --- what an author calls ---

    def push_task(self, task: Task) -> TaskId:
        """Push one task.

        Raises:
            Backpressure: Too many tasks are unfinished, and this is called from a handler.
            PackingError: It cannot be pickled.
        """
        return self._current_run().owner.push_task(task)

    def push_tasks(self, tasks: Iterable[Task]) -> None:
        """Push tasks; a generator is drained as room comes."""
        self._current_run().owner.push_tasks(tasks)

    def push_tasksystem(self, system: ITaskSystem, *, detached: bool = False) -> SystemId:
        """Push a task system; its id comes back with ``work_finished``.

        Args:
            system: The system.
            detached: Whether it goes on when this application ends or is lost. The master then keeps its result
                until an application or script with the same key attaches to it, or the master ends.

        Raises:
            Backpressure: Too many are unfinished, and this is called from a handler.
            PackingError: It cannot be pickled.
            UsageError: It is to be detached, and the swarm is a private one, which ends with this application.
        """
        return self._current_run().push_system(system, detached=detached)

    def attach_tasksystem(self, system_id: SystemId) -> None:
        """Come for a detached task system: ``progress`` and ``work_finished`` tell of it as if it was pushed here.

        What it printed before is not told again. If there is none of this id, ``push_tasksystem_failed`` says so.
        """
        self._current_run().owner.attach(system_id)

    def cancel(self, task_ids: Iterable[TaskId] | None = None) -> None:
        """Cancel these plain tasks, or all that are unfinished; their ends come as notifications."""
        self._current_run().cancel(task_ids)

    def cancel_system(self, system_id: SystemId) -> None:
        """Cancel a task system; its end comes as ``push_tasksystem_failed``."""
        self._current_run().owner.cancel(system_id, None)

    def shutdown_main_loop(self, exit_code: int = 0) -> None:
        """End the application after the present handler; what is unfinished is cancelled."""
        self._current_run().stop(exit_code)

    def say(self, text: str) -> None:
        """Print a line for the person who runs the application, above the progress bar."""
        self.display.say(text)

    def announce(self, path: Path, what: str) -> None:
        """Say that a file was written.

        Args:
            path: The file.
            what: What it is, as in ``the picture``.
        """
        self.display.announce(path, what)

    @property
    def picture_size(self) -> tuple[int, int]:
        """How many points across and down :meth:`show_picture` can show; 0 without a terminal with colours."""
        return self.display.picture_size if isinstance(self.display, IPictureDisplay) else (0, 0)

    def show_picture(self, pixels: Pixels) -> None:
        """Show a small picture of how far the application is, above the progress bar; the last one stays.

        Args:
            pixels: Its rows from the top, each point as red, green and blue from 0 to 255.
        """
        if isinstance(self.display, IPictureDisplay):
            self.display.picture(pixels)

    def summary_so_far(self) -> RunSummary:
        """What the run took up to now, for applications that compare several ways of doing the same."""
        return self._current_run().summary()

    @property
    def name(self) -> str:
        """The name that people see: the class's."""
        return type(self).__name__

    @property
    def config(self) -> Config:
        """The configuration of its environment."""
        return self.env.config

    @property
    def node_id(self) -> NodeId:
        """This node's id in the swarm."""
        return self._current_run().identity.node

    @property
    def node_id_str(self) -> str:
        """The same as text."""
        return str(self.node_id)

    # --- IApp ---

    def app_init(self) -> None:
        """Prepare; called before :meth:`app_main`. An override needs not call this one."""

    def app_main(self) -> int:
        """Connect to a swarm, or start a private one, and handle notifications; the exit code.

        Raises:
            ConcurrenceError: There is no swarm to be had, or it was lost for good.
        """
        master = self.master
        settings = RunSettings(
            transport=self.transport,
            credentials=read_connect_file(master) if master is not None else None,
            connect_timeout=self.connect_timeout,
            push_timeout=lambda: self.push_timeout,
            max_depth=self.max_depth,
            detach=self.detach,
            workers=self.workers,
            inline=self.inline,
            display=self.display,
            stats=self.stats,
            services=lambda: self.node_services,
        )
        self.__run = run = ClientRun(self, self.env, Identity("client", self.name, __version__), settings)
        try:
            return run.run()
        finally:
            self.summary = run.summary()
            self.run_report = run.report()

    def _current_run(self) -> ClientRun:
        if self.__run is None:
            raise UsageError(
                f"{type(self).__name__} does not run yet",
                hint="Push tasks in start_processing() or in a handler, not in the constructor.",
            )
        return self.__run

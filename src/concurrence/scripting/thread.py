"""The thread that a script's swarm runs in, from connecting to the end."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from concurrence.errors import ConcurrenceError, ConnectionFailed
from concurrence.scripting.loop import SwarmLoop
from concurrence.tasks import waiting
from concurrence.tasks.values import describe_error

_START_SECONDS = 5.0  # beyond it the system did not start the thread at all


class SwarmThread:
    """Runs a swarm's loop; inline there is no thread, and whoever waits runs it.

    Private processes are started in here too: the system ends them with the thread that started them.

    Args:
        loop: The loop.
    """

    def __init__(self, loop: SwarmLoop) -> None:
        self._loop = loop
        self._thread: threading.Thread | None = None
        self._runs = threading.Event()

    def start(self) -> None:
        """Connect; returns when there is a swarm.

        Raises:
            ConcurrenceError: There is none to be had.
        """
        loop = self._loop
        if loop.is_inline:
            loop.open()
            return
        ready: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="swarm", daemon=True)
        try:
            self._thread.start()
            error = ready.get()
        except BaseException:  # Ctrl-C, mostly
            self.stop("the script was interrupted")
            raise
        if error is not None:
            self._thread.join()
            raise error

    def stop(self, reason: str) -> None:
        """End it: what is unfinished is cancelled, private processes are gone when this returns. Repeatable."""
        self._loop.begin_to_end(reason)
        if self._thread is None:
            self._loop.shut(None)
        elif self._thread is threading.current_thread():
            return
        elif self._runs.wait(_START_SECONDS):  # Ctrl-C may come while the system is about to start it
            self._thread.join()
        else:
            self._loop.shut(None)

    def _run(self, ready: SimpleQueue[BaseException | None]) -> None:
        self._runs.set()
        waiting.enter(waiting.CALLBACK)  # what runs here of the author's, unpickling included, may not wait
        loop = self._loop
        try:
            loop.open()
        except BaseException as error:  # noqa: BLE001  whoever starts the swarm is told
            try:
                loop.shut(None)
            finally:
                ready.put(error)
            return
        ready.put(None)
        lost: ConcurrenceError | None = None
        try:
            while not loop.is_closed:
                loop.cycle(0 if loop.is_eager else loop.bars.patience)
        except ConcurrenceError as error:
            lost = error
        except BaseException as error:  # a dead thread must not leave anybody waiting for ever
            loop.log.exception("the swarm's thread failed: this is a fault in Concurrent")
            lost = ConnectionFailed(f"the swarm failed: {describe_error(error)}")
        loop.shut(lost)

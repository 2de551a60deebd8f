"""How the parts of a node begin and end: the four calls, what each may assume, and who makes them in what order.

Nothing here starts a thread: every call runs on the caller's. A ``stop`` that hangs therefore hangs its caller,
and that one overran is seen only when it returns; whoever cannot trust its parts needs a watchdog besides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from concurrence.component import Interface, identity
from concurrence.errors import ComponentError, ConcurrenceError

ROLLBACK_SECONDS: Final = 5.0
"""How long what was started already has to stop when something else fails to start."""


class ILifecycle(Interface):
    """Something that begins and ends with its owner; it writes only the methods that it needs.

    Each method is called at most once, on the owner's thread, and in this order: ``setup``, ``start``, ``stop``,
    ``kill``. What was never set up is told nothing.
    """

    def setup(self) -> None:
        """Prepare what others may need.

        No other component has been started. An exception refuses: nothing is started then, those that were set up
        before are killed, and this one is told nothing more, so it must clean up what it began.
        """

    def start(self) -> None:
        """Begin to work.

        All components were set up, those before this one are started. An exception refuses: this one is killed.
        """

    def stop(self) -> None:
        """End gracefully: finish what was begun, within the deadline that the owner gave to all together.

        Called only on what was started, in reverse order: all that was started before this one still works.
        An exception, or returning after the deadline, is followed by ``kill``.
        """

    def kill(self) -> None:
        """End now and let go of everything.

        Called after a ``stop`` that failed or overran, or instead of it: when the deadline has passed, when the
        start failed, or for what was set up but never started. Must not block; must not raise (it is logged).
        """


class Lifecycle:
    """Takes components through their lives together, once.

    Args:
        components: In the order in which they are set up and started; they end in the reverse order.
        log: Told of everything that fails while components end.
        clock: Seconds, rising; it measures the deadline.
    """

    def __init__(self, components: Sequence[ILifecycle], log: logging.Logger, clock: Callable[[], float]) -> None:
        self._components = tuple(components)
        self._log = log
        self._clock = clock
        self._alive: list[ILifecycle] = []
        """What was set up and has not ended, in order."""
        self._started = 0
        """How many of these were started: the first ones."""
        self._is_begun = False
        self._is_ended = False

    @property
    def is_running(self) -> bool:
        """Whether all were started and nobody has ended them."""
        return self._is_begun and not self._is_ended

    def start(self) -> None:
        """Set up all components in order, then start all in order; does nothing if they run already.

        A component that ends them all meanwhile is obeyed: the others are not started then.

        Raises:
            ComponentError: One refused, or they have ended before; nothing is left running.
        """
        if self._is_ended:
            raise ComponentError("these components have ended; each lives once", hint="Make new ones.")
        if self._is_begun:
            return
        self._is_begun = True
        try:
            self._begin_all()
        except ComponentError:
            self.stop(ROLLBACK_SECONDS)
            raise
        except BaseException:  # an interrupt: nothing is left behind, but nobody waits either
            self.kill()
            raise

    def stop(self, deadline: float) -> None:
        """Stop what was started and kill the rest, in reverse order; does nothing if that was done.

        Args:
            deadline: The seconds that all have together; once they are over the rest are killed.
        """
        self._is_ended = True
        end = self._clock() + deadline
        try:
            while self._alive:
                is_started = len(self._alive) <= self._started
                component = self._alive.pop()
                if not is_started or not self._stop(component, end):
                    self._kill(component)
        except BaseException:  # an interrupt while one stops: whoever sends it will not wait for the others
            self.kill()
            raise

    def kill(self) -> None:
        """Kill everything that has not ended, in reverse order; does nothing if that was done."""
        self._is_ended = True
        while self._alive:
            self._kill(self._alive.pop())

    def __repr__(self) -> str:
        state = "ended" if self._is_ended else "running" if self._is_begun else "new"
        return f"Lifecycle({len(self._components)} components, {state})"

    def _begin_all(self) -> None:
        for component in self._components:
            self._begin(component, "set up", component.setup)
            self._alive.append(component)
            if self._is_ended:  # by the component itself
                return self.kill()
        for component in self._components:
            self._begin(component, "started", component.start)
            if self._is_ended:
                return None
            self._started += 1
        return None

    def _begin(self, component: ILifecycle, phase: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            name, hint = identity(type(component)), ""
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, ConcurrenceError):
                reason, hint = error.message, error.hint
            raise ComponentError(f"component {name} could not be {phase}: {reason}", hint=hint) from error

    def _stop(self, component: ILifecycle, end: float) -> bool:
        name = identity(type(component))
        if self._clock() >= end:
            self._log.warning("%s is killed instead of stopped: the deadline has passed", name)
            return False
        try:
            component.stop()
        except Exception:  # noqa: BLE001  the others must end too
            self._log.exception("%s failed to stop and is killed", name)
            return False
        except BaseException:
            self._alive.append(component)  # so that it is killed with the others
            raise
        late = self._clock() - end
        if late > 0:
            self._log.warning("%s stopped %.1f s after the deadline and is killed", name, late)
        return late <= 0

    def _kill(self, component: ILifecycle) -> None:
        try:
            component.kill()
        except Exception:  # noqa: BLE001  the others must end too
            self._log.exception("%s failed to be killed", identity(type(component)))

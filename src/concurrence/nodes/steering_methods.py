"""The methods of a master's API by which an administrator steers slaves."""

from __future__ import annotations

from typing import Any

from concurrence.errors import Refused
from concurrence.scheduling import draining
from concurrence.scheduling.core import MasterCore
from concurrence.scheduling.naming import find_slave
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.transport.remote import ApiRequest, ApiService, jsonremote


class SteeringMethods:
    """Draining slaves and having them work again.

    Args:
        core: What the master knows of the swarm.
    """

    def __init__(self, core: MasterCore) -> None:
        self._core = core

    def register(self, service: ApiService) -> None:
        """Offer all of them."""
        self._register_orders(service)
        swarm = self._core.swarm

        @jsonremote(service, name="drain.state")
        def drain_state(request: ApiRequest, slave: str) -> dict[str, Any]:
            """Tell how far a slave is that drains.

            Args:
                slave: Its name, or the first digits of its node id.

            Returns:
                ``slave`` (its name), ``node`` (its id), whether it is ``connected``, ``draining``, ``stops`` at
                the end and has ``confirmed`` the last order, and the ``chunks`` of tasks that it still has.

            Raises:
                NotFound: There is no such slave.
                UsageError: Several slaves are called so.
            """
            return _state(find_slave(slave, swarm.registry))

    def _register_orders(self, service: ApiService) -> None:
        swarm = self._core.swarm

        @jsonremote(service)
        def drain(request: ApiRequest, slave: str, stop: bool = False) -> dict[str, Any]:
            """Have a slave take no more work: it gives back what has not started and finishes what runs.

            ``drain.state`` tells how far it is.

            Args:
                slave: Its name, or the first digits of its node id.
                stop: Whether it ends when nothing is left.

            Returns:
                What ``drain.state`` returns.

            Raises:
                NotFound: There is no such slave.
                UsageError: Several slaves are called so.
            """
            found = find_slave(slave, swarm.registry)
            draining.order(swarm, found, is_on=True, stops=stop or found.stops)
            return _state(found)

        @jsonremote(service)
        def resume(request: ApiRequest, slave: str) -> dict[str, Any]:
            """Have a slave that drains work again.

            Args:
                slave: Its name, or the first digits of its node id.

            Returns:
                What ``drain.state`` returns.

            Raises:
                NotFound: There is no such slave.
                UsageError: Several slaves are called so.
                Refused: The slave is ending by itself: it was told so by a signal.
            """
            found = find_slave(slave, swarm.registry)
            if found.leaves_by_itself:
                raise Refused(
                    f"slave {found.name} is ending: it was told so where it runs, by a signal",
                    hint="Start it again there when it has ended: concurrence slave",
                )
            draining.order(swarm, found, is_on=False, stops=False)
            return _state(found)


def _state(slave: SlaveNodeRecord) -> dict[str, Any]:
    return {
        "slave": slave.name,
        "node": slave.id,
        "connected": slave.peer is not None,
        "draining": slave.is_draining,
        "stops": slave.stops,
        "confirmed": slave.order is None,
        "chunks": len(slave.chunks),
    }

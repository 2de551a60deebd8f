"""The door to the master's API on the compute channel: who offers methods, and how calls are answered."""

from __future__ import annotations

import logging
from collections.abc import Callable

from concurrence.component import Component, ComponentManager, identity
from concurrence.errors import ConcurrenceError
from concurrence.nodes.api import IApiMethods
from concurrence.scheduling.outbox import Outbox
from concurrence.telemetry.api import IStats
from concurrence.transport.remote import ApiRequest, ApiService
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import ApiAnswer


class ApiDoor:
    """The API of a master.

    Args:
        log: Told of components and methods that fail.
        stats: Counts the calls.

    Attributes:
        service: The methods.
    """

    def __init__(self, log: logging.Logger, stats: IStats) -> None:
        self.service = ApiService(1, log=log)
        self._log = log
        self._stats = stats

    def open(self, built_in: Callable[[ApiService], None], manager: ComponentManager) -> None:
        """Have all methods offered; components that fail are named in the log and left out.

        Args:
            built_in: Offers the master's own methods, first: so nobody else can have their names.
            manager: Knows the components.
        """
        built_in(self.service)
        for cls in manager.implementation_classes(IApiMethods):
            self._register(manager, cls)

    def answer(self, outbox: Outbox) -> None:
        """Run the calls that came in this cycle."""
        calls, outbox.calls = outbox.calls, []
        for call in calls:
            origin = call.node.origin
            self._stats.count("api.calls")
            request = ApiRequest(origin.address, origin.role, origin.key, call.node.name, call.node.id)
            body = self.service.answer(call.body, request)
            frames = () if body is None else (body,)
            outbox.send(call.node.peer, Parcel(ApiAnswer(len(frames), call.number), frames))

    def _register(self, manager: ComponentManager, cls: type[Component]) -> None:
        try:
            component = manager.component(cls)
            assert isinstance(component, IApiMethods)
            with self.service.all_or_none():
                component.register_api(self.service)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  whatever a plug-in raises, the master and the others go on
            reason = error.message if isinstance(error, ConcurrenceError) else f"{type(error).__name__}: {error}"
            self._log.exception("the API methods of %s are left out: %s", identity(cls), reason)

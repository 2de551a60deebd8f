"""The code that a slave keeps for its workers: functions, and the bundles that they need; pure."""

from __future__ import annotations

from collections.abc import Iterable

from concurrence.wire.codec import Parcel
from concurrence.wire.messages import DefineBundle, DefineFunction, ToWorker
from concurrence.workers.slot_state import WorkerState

_INCOMPLETE_TIMES = 2


class Definitions:
    """What the master defined and did not forget.

    A bundle is kept for as long as a function needs it. Workers do the same with what they were told, so that
    what a worker has can be told from its functions.
    """

    def __init__(self) -> None:
        self._functions: dict[int, Parcel[DefineFunction]] = {}
        self._bundles: dict[bytes, Parcel[DefineBundle]] = {}
        self._incomplete: dict[int, int] = {}

    def __contains__(self, number: object) -> bool:
        return number in self._functions

    @property
    def numbers(self) -> list[int]:
        """The functions that are known."""
        return list(self._functions)

    @property
    def bundles(self) -> set[bytes]:
        """The digests of the bundles that are here."""
        return set(self._bundles)

    def add_bundle(self, parcel: Parcel[DefineBundle]) -> None:
        """Keep a bundle."""
        self._bundles[parcel.message.digest] = parcel

    def is_usable(self, message: DefineFunction, *, is_awaited: bool) -> bool:
        """Whether the bundles of a function that the master defines are here.

        The master may believe so although they were dropped, until it is told. What comes incomplete again and
        again while it is awaited is as good as the master has it: its tasks shall be refused then, rather than
        wait for ever. Twice is not enough: two may be under way when the master is told.
        """
        if not self.missing(message):
            return True
        if not is_awaited:
            return False
        times = self._incomplete[message.number] = self._incomplete.get(message.number, 0) + 1
        return times > _INCOMPLETE_TIMES

    def missing(self, message: DefineFunction) -> list[bytes]:
        """Those of the bundles of a function that are not here."""
        return [digest for digest in message.bundles if digest not in self._bundles]

    def add_function(self, parcel: Parcel[DefineFunction], states: Iterable[WorkerState]) -> None:
        """Keep a function; workers that know another one under its number do not know it."""
        number = parcel.message.number
        self._incomplete.pop(number, None)
        known = self._functions.get(number)
        if known is None or known.message.digest != parcel.message.digest:
            self._functions[number] = parcel
            for state in states:
                state.functions.discard(number)

    def forget(self, number: int, states: dict[int, WorkerState]) -> list[int]:
        """Drop a function, and the bundles that no other one needs; the workers that have to be told."""
        self._functions.pop(number, None)
        needed = self._needed(self._functions)
        self._bundles = {digest: bundle for digest, bundle in self._bundles.items() if digest in needed}
        told = [worker for worker, state in states.items() if number in state.functions]
        for worker in told:
            state = states[worker]
            state.functions.discard(number)
            state.bundles &= self._needed(state.functions)
        return told

    def forget_incomplete(self, number: int) -> None:
        """The master forgot the function as well: should it define it again, that is a new beginning."""
        self._incomplete.pop(number, None)

    def clear(self) -> None:
        """Drop the bundles that no function needed so far."""
        self._bundles.clear()
        self._incomplete.clear()

    def for_worker(self, state: WorkerState, number: int) -> list[Parcel[ToWorker]]:
        """What a worker has to be told before it can run a function; from then on it counts as told."""
        if number in state.functions:
            return []
        state.functions.add(number)
        function = self._functions[number]
        parcels: list[Parcel[ToWorker]] = []
        for digest in function.message.bundles:
            bundle = self._bundles.get(digest)
            if digest not in state.bundles and bundle is not None:
                state.bundles.add(digest)
                parcels.append(Parcel(bundle.message, bundle.frames))
        parcels.append(Parcel(function.message, function.frames))
        return parcels

    def _needed(self, numbers: Iterable[int]) -> set[bytes]:
        return {digest for number in numbers for digest in self._functions[number].message.bundles}

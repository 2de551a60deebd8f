"""What an owner told the master of its functions: each once, and that it is forgotten when nobody here has it."""

from __future__ import annotations

import weakref
from collections import deque
from itertools import count
from typing import Any

from concurrence.tasks.packing import PackedFunction
from concurrence.tasks.shared import is_alive
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import DefineBundle, DefineFunction, ForgetFunction, Message


class SentDefinitions:
    """The functions that the master knows of an owner, and what is to be said of them before the next push.

    A function is kept there for as long as a :class:`PackedFunction` of it exists: unfinished tasks hold theirs,
    the packer holds it while the function, and the shared objects that go with it, live. The newest that used
    a shared object *rests* after that, until the object is gone: slaves keep what one of their functions needs.
    It does not if it would keep more that is gone than what would have to be sent again.

    Attributes:
        numbers: The owner's number of a function, by the ``id`` of what was packed.
    """

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self._counter = count(1)
        self._by_digest: dict[bytes, int] = {}
        self._bundles: dict[int, tuple[bytes, ...]] = {}
        self._contents: dict[int, dict[bytes, int]] = {}  # with their sizes
        self._resting: dict[int, None] = {}  # in the order in which they came to rest
        self._digests: dict[int, bytes] = {}
        self._users: dict[int, int] = {}
        self._references: dict[int, Any] = {}
        self._unused: deque[int] = deque()  # filled by whichever thread drops the last reference
        self._sent_bundles: set[bytes] = set()
        self._uncertain: set[int] = set()
        self._parcels: list[Parcel[Message]] = []

    def define(self, function: PackedFunction) -> int:
        """The number of a function; what the master has to be told of it comes with the next :meth:`take`."""
        self._forget_unused()
        number = self._by_digest.get(function.digest)
        if number is None:
            number = next(self._counter)
            self._by_digest[function.digest] = number
            self._digests[number] = function.digest
            self._bundles[number] = tuple(bundle.digest for bundle in function.bundles)
            self._contents[number] = {content.digest: content.size for content in function.contents}
            self._users[number] = 0
            self._announce(number, function)
        elif number in self._uncertain:
            self._uncertain.discard(number)
            self._sent_bundles.difference_update(self._bundles[number])
            self._announce(number, function)
        key = id(function)
        self.numbers[key] = number
        self._resting.pop(number, None)
        if key not in self._references:
            self._users[number] += 1
            self._references[key] = weakref.ref(function, lambda _: self._lost(key, number))
        return number

    def take(self) -> list[Parcel[Message]]:
        """What the master has to be told before the next push, in this order."""
        self._forget_unused()
        parcels, self._parcels = self._parcels, []
        return parcels

    def rejected(self, number: int) -> None:
        """A push with this function was not accepted: perhaps because the master has no room for the function.

        It is sent again, under the same number, before its next task.
        """
        if number in self._users:
            self._uncertain.add(number)
            for key in [key for key, known in list(self.numbers.items()) if known == number]:
                self.numbers.pop(key, None)

    def clear(self) -> None:
        """The master knows nothing any more."""
        self.numbers.clear()
        self._by_digest.clear()
        self._bundles.clear()
        self._contents.clear()
        self._resting.clear()
        self._digests.clear()
        self._users.clear()
        self._references.clear()
        self._sent_bundles.clear()
        self._uncertain.clear()
        self._parcels.clear()

    def _announce(self, number: int, function: PackedFunction) -> None:
        for bundle in function.bundles:
            if bundle.digest not in self._sent_bundles:
                self._sent_bundles.add(bundle.digest)
                self._parcels.append(Parcel(DefineBundle(1, bundle.digest), [bundle.blob]))
        message = DefineFunction(
            1,
            number,
            function.digest,
            function.name,
            function.kind,
            function.python,
            list(self._bundles[number]),
            list(function.requirements),
        )
        self._parcels.append(Parcel(message, [function.blob]))

    def _lost(self, key: int, number: int) -> None:
        # At once: the next object may get this id.
        self.numbers.pop(key, None)
        self._references.pop(key, None)
        self._unused.append(number)

    def _forget_unused(self) -> None:
        while self._unused:
            number = self._unused.popleft()
            if number not in self._users:
                continue
            self._users[number] -= 1
            if not self._users[number]:
                self._resting[number] = None
        covered: set[bytes] = set()
        for number in reversed(list(self._resting)):
            contents = self._contents[number]
            alive = {digest for digest in contents if is_alive(digest)}
            gone = sum(size for digest, size in contents.items() if digest not in alive)
            saved = sum(contents[digest] for digest in alive - covered)
            if not saved or gone > saved:
                self._drop(number)
            else:
                covered |= alive

    def _drop(self, number: int) -> None:
        """Tell the master to forget; it drops the bundles that only this function of the owner needed."""
        dropped = set(self._bundles.pop(number))
        del self._by_digest[self._digests.pop(number)], self._users[number], self._contents[number]
        self._resting.pop(number, None)
        for digests in self._bundles.values():
            dropped.difference_update(digests)
        self._sent_bundles -= dropped
        self._uncertain.discard(number)
        self._parcels.append(Parcel(ForgetFunction(number)))

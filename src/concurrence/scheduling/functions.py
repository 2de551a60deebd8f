"""The master's table of functions and code bundles: opaque blobs, kept once and sent once to each peer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from concurrence.errors import ProtocolError
from concurrence.wire.codec import Frame, Parcel, frame_size
from concurrence.wire.digests import bundle_digest, function_digest
from concurrence.wire.messages import DefineBundle, DefineFunction

MAX_FUNCTIONS = 4_096
"""How many functions one owner may define; the pushes that use further ones are rejected."""
MAX_REFUSED = 65_536
"""How many bundles beyond the limit of bytes one owner may send before it is cut."""


class Definition(Struct, frozen=True):
    """A function as the master keeps it, under the master's own number."""

    message: DefineFunction
    frames: tuple[Frame, ...]


class FunctionTable:
    """Functions by number and by digest, with the owners that use them.

    Args:
        byte_limit: Bytes of bundles, code and shared objects, that one owner may have here.
    """

    def __init__(self, byte_limit: int = 1 << 30) -> None:
        self.byte_limit = byte_limit
        self._functions: dict[int, Definition] = {}
        self._numbers: dict[bytes, int] = {}
        self._bundles: dict[bytes, tuple[Frame, ...]] = {}
        self._users: dict[int, set[str]] = {}
        self._by_owner: dict[str, dict[int, int]] = {}
        self._bundle_users: dict[bytes, set[str]] = {}
        self._bundle_bytes: dict[str, int] = {}
        self._refused: dict[str, set[bytes]] = {}
        self._holders: dict[int, dict[str, None]] = {}  # slaves that were sent a function, in their order
        self._not_kept: dict[str, dict[int, list[bytes]]] = {}  # functions that had no room, with their bundles
        self._next = 1

    def define_bundle(self, owner: str, message: DefineBundle, frames: Sequence[Frame]) -> None:
        """Keep a bundle for an owner, unless it is too much: then the functions that need it are not kept either.

        Raises:
            ProtocolError: The bytes are not those that the digest names, or too many were refused.
        """
        if len(frames) != 1 or bundle_digest(frames[0]) != message.digest:
            raise ProtocolError(f"the bytes of bundle {message.digest.hex()} do not match its digest")
        refused = self._refused.setdefault(owner, set())
        is_known = owner in self._bundle_users.get(message.digest, ())
        if not is_known and self._bundle_bytes.get(owner, 0) + frame_size(frames[0]) > self.byte_limit:
            refused.add(message.digest)
            if len(refused) > MAX_REFUSED:
                raise ProtocolError(f"more than {MAX_REFUSED} bundles were sent beyond the limit")
            return
        self._bundles.setdefault(message.digest, tuple(frames))
        self._use(owner, message.digest)
        refused.discard(message.digest)

    def define(self, owner: str, message: DefineFunction, frames: Sequence[Frame]) -> int:
        """Keep a function for an owner; returns the master's number for it, 0 if the owner has too much.

        Raises:
            ProtocolError: It needs a bundle that was not sent first, the owner used the number for another one,
                or the bytes are not those that the digest names.
        """
        _check(message, frames)
        mine = self._by_owner.get(owner, {})
        if message.number in mine:
            if self._functions[mine[message.number]].message.digest != message.digest:
                raise ProtocolError(f"function number {message.number} is taken")
            return mine[message.number]
        not_kept = self._not_kept.setdefault(owner, {})
        if self.is_full(owner) or not self._refused.get(owner, set()).isdisjoint(message.bundles):
            not_kept[message.number] = message.bundles
            if len(not_kept) > MAX_REFUSED:
                raise ProtocolError(f"more than {MAX_REFUSED} functions were sent beyond the limit")
            return 0
        for digest in message.bundles:
            if digest not in self._bundles:
                raise ProtocolError(f"function {message.name} needs a bundle that was not sent: {digest.hex()}")
        number = self._numbers.get(message.digest)
        if number is None:
            number = self._next
            self._next += 1
            self._numbers[message.digest] = number
            self._functions[number] = Definition(replace(message, number=number), tuple(frames))
        self._users.setdefault(number, set()).add(owner)
        self._by_owner.setdefault(owner, {})[message.number] = number
        not_kept.pop(message.number, None)
        for digest in message.bundles:
            self._use(owner, digest)
        return number

    def keep(self, number: int, owner: str) -> None:
        """Keep a function that is here for a further owner."""
        self._users[number].add(owner)
        self._by_owner.setdefault(owner, {})[1] = number
        for digest in self._functions[number].message.bundles:
            self._use(owner, digest)

    def _use(self, owner: str, digest: bytes) -> None:
        users = self._bundle_users.setdefault(digest, set())
        if owner not in users:
            users.add(owner)
            size = sum(map(frame_size, self._bundles[digest]))
            self._bundle_bytes[owner] = self._bundle_bytes.get(owner, 0) + size

    def _unuse(self, owner: str, digest: bytes) -> None:
        self._bundle_bytes[owner] -= sum(map(frame_size, self._bundles[digest]))
        users = self._bundle_users[digest]
        users.discard(owner)
        if not users:
            del self._bundle_users[digest]
            del self._bundles[digest]

    def bytes_of(self, owner: str) -> int:
        """Bytes of the bundles that an owner has here."""
        return self._bundle_bytes.get(owner, 0)

    def is_over(self, owner: str) -> bool:
        """Whether a bundle of the owner was refused."""
        return bool(self._refused.get(owner))

    def is_full(self, owner: str) -> bool:
        """Whether the owner may not define any more."""
        return len(self._by_owner.get(owner, {})) >= MAX_FUNCTIONS

    def find(self, owner: str, owners_number: int) -> int | None:
        """The master's number for an owner's function; None if the owner did not define it."""
        return self._by_owner.get(owner, {}).get(owners_number)

    def is_known(self, number: int) -> bool:
        """Whether anybody uses a function still."""
        return number in self._functions

    def name(self, number: int) -> str:
        """What people see; empty if it is forgotten."""
        definition = self._functions.get(number)
        return definition.message.name if definition else ""

    def definition(
        self, number: int, known: set[bytes], holder: str = ""
    ) -> list[Parcel[DefineBundle | DefineFunction]]:
        """What a peer must be sent before it can run the function; its ``known`` digests are brought up to date.

        Args:
            number: The master's number.
            known: Digests of bundles and functions that were sent to the peer on its present connection.
            holder: Node id of a slave: it is one of the :meth:`holders` from now on.
        """
        definition = self._functions.get(number)
        if definition is None or definition.message.digest in known:
            return []
        if holder:
            self._holders.setdefault(number, {})[holder] = None
        parcels: list[Parcel[DefineBundle | DefineFunction]] = []
        for digest in definition.message.bundles:
            if digest not in known:
                known.add(digest)
                frames = self._bundles[digest]
                parcels.append(Parcel(DefineBundle(len(frames), digest), frames))
        known.add(definition.message.digest)
        parcels.append(Parcel(definition.message, definition.frames))
        return parcels

    def recall(self, number: int, known: set[bytes]) -> None:
        """Take a function, without its bundles, from what a peer knows: it is sent again when it is needed."""
        definition = self._functions.get(number)
        if definition is not None:
            known.discard(definition.message.digest)

    def forget(self, owner: str, owners_number: int) -> list[tuple[int, bytes]]:
        """An owner does not use a function any more; returns number and digest if nobody else does."""
        mine, not_kept = self._by_owner.get(owner, {}), self._not_kept.get(owner, {})
        number = mine.pop(owners_number, None)
        if number is not None and number in mine.values():
            return []
        bundles = not_kept.pop(owners_number, [])
        if number is not None:
            bundles = self._functions[number].message.bundles
        # Also those of functions that had no room: the owner counts on their being here.
        needed = {digest for each in mine.values() for digest in self._functions[each].message.bundles}
        needed.update(digest for each in not_kept.values() for digest in each)
        for digest in set(bundles) - needed:
            if owner in self._bundle_users.get(digest, ()):
                self._unuse(owner, digest)
        return self._drop_user(owner, number) if number is not None else []

    def prune(self, known: set[bytes]) -> None:
        """A slave forgot functions, and with them the bundles that none of its others needs.

        Args:
            known: Digests of the functions and bundles that it had; those of the forgotten functions are gone.
        """
        kept: set[bytes] = set()
        for digest in known:
            number = self._numbers.get(digest)
            if number is not None:
                kept.add(digest)
                kept.update(self._functions[number].message.bundles)
        known &= kept

    def take_holders(self, number: int) -> list[str]:
        """Node ids of the slaves that were sent a function which nobody uses any more; asked once."""
        return list(self._holders.pop(number, ()))

    def forget_holder(self, slave: str) -> None:
        """A slave is gone."""
        for holders in self._holders.values():
            holders.pop(slave, None)

    def _drop_user(self, owner: str, number: int) -> list[tuple[int, bytes]]:
        users = self._users[number]
        users.discard(owner)
        if users:
            return []
        digest = self._functions.pop(number).message.digest
        del self._users[number]
        del self._numbers[digest]
        return [(number, digest)]

    def forget_owner(self, owner: str) -> list[tuple[int, bytes]]:
        """The owner is gone; returns number and digest of the functions that nobody uses any more."""
        unused: list[tuple[int, bytes]] = []
        for number in set(self._by_owner.pop(owner, {}).values()):
            unused += self._drop_user(owner, number)
        for digest in [each for each, users in self._bundle_users.items() if owner in users]:
            self._unuse(owner, digest)
        self._bundle_bytes.pop(owner, None)
        self._refused.pop(owner, None)
        self._not_kept.pop(owner, None)
        return unused


def _check(message: DefineFunction, frames: Sequence[Frame]) -> None:
    described = (message.name, message.kind, message.python, message.bundles, message.requirements)
    if len(frames) != 1 or function_digest(*described, frames[0]) != message.digest:
        raise ProtocolError(f"the bytes of function {message.name} do not match its digest")

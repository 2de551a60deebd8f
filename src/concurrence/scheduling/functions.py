"""The master's table of functions and code bundles: opaque blobs, kept once and sent once to each peer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from concurrence.errors import ProtocolError
from concurrence.wire.codec import Frame, Parcel
from concurrence.wire.digests import bundle_digest, function_digest
from concurrence.wire.messages import DefineBundle, DefineFunction

MAX_FUNCTIONS = 4_096
"""How many functions one owner may define; the pushes that use further ones are rejected."""


class Definition(Struct, frozen=True):
    """A function as the master keeps it, under the master's own number."""

    message: DefineFunction
    frames: tuple[Frame, ...]


class FunctionTable:
    """Functions by number and by digest, with the owners that use them."""

    def __init__(self) -> None:
        self._functions: dict[int, Definition] = {}
        self._numbers: dict[bytes, int] = {}
        self._bundles: dict[bytes, tuple[Frame, ...]] = {}
        self._users: dict[int, set[str]] = {}
        self._by_owner: dict[str, dict[int, int]] = {}
        self._bundle_users: dict[bytes, set[str]] = {}
        self._next = 1

    def define_bundle(self, owner: str, message: DefineBundle, frames: Sequence[Frame]) -> None:
        """Keep a bundle for an owner.

        Raises:
            ProtocolError: The bytes are not those that the digest names.
        """
        if len(frames) != 1 or bundle_digest(frames[0]) != message.digest:
            raise ProtocolError(f"the bytes of bundle {message.digest.hex()} do not match its digest")
        self._bundles.setdefault(message.digest, tuple(frames))
        self._bundle_users.setdefault(message.digest, set()).add(owner)

    def define(self, owner: str, message: DefineFunction, frames: Sequence[Frame]) -> int:
        """Keep a function for an owner; returns the master's number for it, 0 if the owner has too many.

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
        if self.is_full(owner):
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
        for digest in message.bundles:
            self._bundle_users[digest].add(owner)
        return number

    def is_full(self, owner: str) -> bool:
        """Whether the owner may not define any more."""
        return len(self._by_owner.get(owner, {})) >= MAX_FUNCTIONS

    def find(self, owner: str, owners_number: int) -> int | None:
        """The master's number for an owner's function; None if the owner did not define it."""
        return self._by_owner.get(owner, {}).get(owners_number)

    def name(self, number: int) -> str:
        """What people see; empty if it is forgotten."""
        definition = self._functions.get(number)
        return definition.message.name if definition else ""

    def definition(self, number: int, known: set[bytes]) -> list[Parcel[DefineBundle | DefineFunction]]:
        """What a peer must be sent before it can run the function; its ``known`` digests are brought up to date.

        Args:
            number: The master's number.
            known: Digests of bundles and functions that were sent to the peer on its present connection.
        """
        definition = self._functions.get(number)
        if definition is None or definition.message.digest in known:
            return []
        parcels: list[Parcel[DefineBundle | DefineFunction]] = []
        for digest in definition.message.bundles:
            if digest not in known:
                known.add(digest)
                frames = self._bundles[digest]
                parcels.append(Parcel(DefineBundle(len(frames), digest), frames))
        known.add(definition.message.digest)
        parcels.append(Parcel(definition.message, definition.frames))
        return parcels

    def forget_owner(self, owner: str) -> list[tuple[int, bytes]]:
        """The owner is gone; returns number and digest of the functions that nobody uses any more."""
        unused: list[tuple[int, bytes]] = []
        for number in set(self._by_owner.pop(owner, {}).values()):
            users = self._users[number]
            users.discard(owner)
            if not users:
                digest = self._functions.pop(number).message.digest
                del self._users[number]
                del self._numbers[digest]
                unused.append((number, digest))
        for digest in [each for each, users in self._bundle_users.items() if owner in users]:
            self._bundle_users[digest].discard(owner)
            if not self._bundle_users[digest]:
                del self._bundle_users[digest]
                del self._bundles[digest]
        return unused


def _check(message: DefineFunction, frames: Sequence[Frame]) -> None:
    described = (message.name, message.kind, message.python, message.bundles, message.requirements)
    if len(frames) != 1 or function_digest(*described, frames[0]) != message.digest:
        raise ProtocolError(f"the bytes of function {message.name} do not match its digest")

"""A set of which a few members can be looked at without looking at all of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Numbered(Protocol):
    """Something with a number of its own.

    Attributes:
        number: No two members of a set have the same.
    """

    number: int


T = TypeVar("T", bound=Numbered)


class Members(Generic[T]):
    """Adding, removing and looking at the next few costs the same however many there are."""

    def __init__(self) -> None:
        self._list: list[T] = []
        self._places: dict[int, int] = {}
        self._cursor = 0

    def __len__(self) -> int:
        return len(self._list)

    def __iter__(self) -> Iterator[T]:
        return iter(self._list)

    def __contains__(self, member: T) -> bool:
        return member.number in self._places

    def add(self, member: T) -> None:
        """Add a member, unless it is one."""
        if member.number not in self._places:
            self._places[member.number] = len(self._list)
            self._list.append(member)

    def discard(self, member: T) -> None:
        """Remove a member, if it is one; the last one takes its place."""
        place = self._places.pop(member.number, None)
        if place is None:
            return
        last = self._list.pop()
        if last is not member:
            self._list[place] = last
            self._places[last.number] = place

    def all(self) -> list[T]:
        """All of them, by their numbers."""
        return sorted(self._list, key=lambda member: member.number)

    def part(self, start: int, most: int) -> list[T]:
        """At most so many, from a place on; who leaves changes the places of others."""
        return self._list[start : start + most]

    def some(self, most: int) -> list[T]:
        """All of them by their numbers, or if there are more the next so many of an endless round."""
        count = len(self._list)
        if count <= most:
            return self.all()
        start = self._cursor % count
        self._cursor = start + most
        found = self._list[start : start + most]
        return found + self._list[: most - len(found)]

"""Binary sequences that hardly resemble themselves when they are shifted: what one island does in one epoch.

Radar and radio want sequences of +1 and -1 whose echo is sharp: shifted by any number of places, a sequence should
agree with itself about as often as it disagrees. For each shift, take the difference; the sum of their squares is
the sequence's *energy*, the lower the better. There is no known way to calculate the best sequence, and of 44
places there are 18 million million. The lowest energies are known up to 66 places, from exhaustive searches
(Packebusch and Mertens, 2016): so one can tell whether evolution got there.

A sequence is kept as an integer: its bits are the signs.
"""

from __future__ import annotations

import random
from typing import NamedTuple

_LOWEST = (
    1, 2, 2, 7, 3, 8, 12, 13, 5, 10, 6, 19, 15, 24, 32, 25, 29, 26, 26, 39,
    47, 36, 36, 45, 37, 50, 62, 59, 67, 64, 64, 65, 73, 82, 86, 87, 99, 108, 108, 101,
    109, 122, 118, 131, 135, 140, 136, 153, 153, 166, 170, 175, 171, 192, 188, 197, 205, 218, 226, 235,
    207, 208, 240, 257,
)  # fmt: skip
"""By exhaustive search: Packebusch and Mertens, Low autocorrelation binary sequences, J. Phys. A 49 (2016)."""

SHORTEST = 3
LONGEST = SHORTEST + len(_LOWEST) - 1
"""For sequences from 3 to 66 places the lowest energy is known."""

_TOURNAMENT = 2
_CROSSED = 0.9


def lowest_energy(length: int) -> int:
    """The lowest energy that any sequence of so many places has."""
    return _LOWEST[length - SHORTEST]


def energy(sequence: int, length: int) -> int:
    """How much a sequence resembles itself, shifted by any number of places: the sum of squares."""
    total = 0
    for overlap in range(1, length):
        differing = ((sequence ^ (sequence >> (length - overlap))) & ((1 << overlap) - 1)).bit_count()
        total += (overlap - 2 * differing) ** 2
    return total


def signs(sequence: int, length: int) -> str:
    """A sequence as people write it, as in ``++-+``."""
    return "".join("+-"[sequence >> place & 1] for place in reversed(range(length)))


class Island(NamedTuple):
    """A population between two epochs: all that has to travel.

    Attributes:
        members: Its sequences.
        energies: Theirs, in the same order.
        evaluated: How many energies were calculated in the epoch.
    """

    members: list[int]
    energies: list[int]
    evaluated: int = 0

    @property
    def best(self) -> tuple[int, int]:
        """The lowest energy, and its sequence."""
        return min(zip(self.energies, self.members, strict=True))


def settle(length: int, size: int, seed: str) -> Island:
    """A population of random sequences, the same for the same seed."""
    dice = random.Random(seed)
    members = [dice.getrandbits(length) for _ in range(size)]
    return Island(members, [energy(each, length) for each in members], size)


def evolve(island: Island, length: int, generations: int, seed: str) -> Island:
    """What becomes of a population: the same for the same arguments, wherever and whenever it is calculated.

    Each generation has one child. It takes after two parents, mutates, goes downhill for a while, and takes the
    place of a member drawn at random, unless that is the best.

    Args:
        island: The population; it stays as it is.
        length: Places of a sequence.
        generations: How many children are born.
        seed: Decides all that is left to chance.
    """
    dice = random.Random(seed)
    members, energies = list(island.members), list(island.energies)
    evaluated = 0
    for _ in range(generations):
        child = _select(dice, members, energies)
        if dice.random() < _CROSSED:
            mask = dice.getrandbits(length)
            child = (child & mask) | (_select(dice, members, energies) & ~mask)
        for place in range(length):
            if dice.random() * length < 1:
                child ^= 1 << place
        found, child, count = _descend(dice, child, length)
        evaluated += count
        if child in members:  # nobody twice: a population of equals has nothing to cross
            child = dice.getrandbits(length)
            found = energy(child, length)
        place = dice.randrange(len(members))
        if found <= energies[place] or energies[place] > min(energies):
            members[place], energies[place] = child, found
    return Island(members, energies, evaluated)


def _select(dice: random.Random, members: list[int], energies: list[int]) -> int:
    """The better of two drawn at random."""
    return members[min((dice.randrange(len(members)) for _ in range(_TOURNAMENT)), key=energies.__getitem__)]


def _descend(dice: random.Random, sequence: int, length: int) -> tuple[int, int, int]:
    """Flip one sign after the other, each time the best one that was not flipped lately, even if it leads uphill.

    Returns:
        The lowest energy on the way, its sequence, and how many were calculated.
    """
    best = (energy(sequence, length), sequence)
    steps = dice.randint(length // 2, 3 * length // 2)
    least = max(1, steps // 50)
    banned = [0] * length
    evaluated = 1
    for step in range(1, steps + 1):
        tried = [
            (energy(sequence ^ (1 << place), length), place) for place in range(length) if banned[place] < step
        ]
        evaluated += len(tried)
        if not tried:
            continue
        found, place = min(tried)
        sequence ^= 1 << place
        banned[place] = step + least + dice.randrange(max(1, steps // 10))
        best = min(best, (found, sequence))
    return *best, evaluated

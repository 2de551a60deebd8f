"""Shortest round trips by branch and bound: what one process does with one part of the search.

The cities are those of the travelling salesman, and lengths are whole numbers. A node of the search is a path that
begins at city 0. Its bound is a length that no round trip beginning so can undercut: what has been walked, plus
the least that a tree costs which connects the rest. The tree is that of Held and Karp (1970): a penalty for each
city, found once, makes trees look like paths, so that the bound of the whole search is often within 1% of the
optimum.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import NamedTuple

Distances = tuple[tuple[int, ...], ...]
"""From each city to each."""

_SIDE = 1_000
_ROUNDS, _PATIENCE = 300, 10
_ROUNDING = 1e-6


class Cities(NamedTuple):
    """A problem, and what helps to bound it; equal for all nodes.

    Attributes:
        distances: From each city to each.
        penalties: What each city adds to the distances to it while trees are built.
        least: No round trip is shorter.
    """

    distances: Distances
    penalties: tuple[float, ...]
    least: float


class Node(NamedTuple):
    """A part of the search: all round trips that begin with a path.

    Attributes:
        bound: None of them is shorter.
        length: Of the path; if it is complete, with the way home.
        path: The cities in order, the first is 0.
        left: The cities that are not on the path, as bits.
        share: Which part of the whole search it is, as far as one can know before; for the progress bar only.
    """

    bound: float
    length: int
    path: tuple[int, ...]
    left: int
    share: float


class Explored(NamedTuple):
    """What came of exploring some nodes.

    Attributes:
        length: Of the shortest round trip known at the end.
        tour: That trip, if it was found here; else None.
        explored: How many nodes were looked into.
        pruned: How many were left out, because their bound says that they hold nothing shorter.
        open: What there was no time for.
    """

    length: int
    tour: tuple[int, ...] | None
    explored: int
    pruned: int
    open: list[Node]


def random_distances(count: int, seed: int) -> Distances:
    """Distances between cities strewn over a square of 1,000 by 1,000, rounded."""
    dice = random.Random(seed)
    places = [(dice.randrange(_SIDE), dice.randrange(_SIDE)) for _ in range(count)]
    return tuple(tuple(round(math.dist(here, there)) for there in places) for here in places)


def tour_length(distances: Distances, tour: tuple[int, ...]) -> int:
    """The length of a round trip."""
    return sum(distances[here][there] for here, there in zip(tour, tour[1:] + tour[:1], strict=True))


def nearest_neighbours(distances: Distances) -> tuple[int, ...]:
    """A first round trip, from each city to the nearest that is left; often a quarter too long."""
    tour, left = [0], set(range(1, len(distances)))
    while left:
        nearest = min(left, key=lambda city: (distances[tour[-1]][city], city))
        tour.append(nearest)
        left.remove(nearest)
    return tuple(tour)


def prepare(distances: Distances) -> Cities:
    """Find penalties that make the bound of the whole search high, by going uphill in steps."""
    count = len(distances)
    longest = tour_length(distances, nearest_neighbours(distances))
    penalties = [0.0] * count
    best = Cities(distances, tuple(penalties), 0.0)
    scale, stale = 2.0, 0
    for _ in range(_ROUNDS):
        cost, degrees = _one_tree(distances, penalties)
        least = cost - 2 * sum(penalties)
        stale += 1
        if least > best.least:
            best, stale = Cities(distances, tuple(penalties), least), 0
        elif stale > _PATIENCE:
            scale, stale = scale / 1.5, 0
        uneven = sum((degree - 2) ** 2 for degree in degrees)
        if uneven == 0:  # the tree is a round trip
            break
        step = scale * (longest - least) / uneven
        penalties = [now + step * (degree - 2) for now, degree in zip(penalties, degrees, strict=True)]
    return best


def _one_tree(distances: Distances, penalties: list[float]) -> tuple[float, list[int]]:
    """The cheapest tree on all cities but 0, and two edges from there; its cost, and each city's edges."""
    count = len(distances)

    def cost(here: int, there: int) -> float:
        return distances[here][there] + penalties[here] + penalties[there]

    degrees = [2] + [0] * (count - 1)
    total = 0.0
    near = {city: (cost(1, city), 1) for city in range(2, count)}
    while near:
        city = min(near, key=lambda each: near[each][0])
        price, parent = near.pop(city)
        total += price
        degrees[city] += 1
        degrees[parent] += 1
        for other, (known, _) in near.items():
            if (price := cost(city, other)) < known:
                near[other] = (price, city)
    for price, city in sorted((cost(0, city), city) for city in range(1, count))[:2]:
        total += price
        degrees[city] += 1
    return total, degrees


def root(cities: Cities) -> Node:
    """The whole search."""
    return Node(cities.least, 0, (0,), (1 << len(cities.distances)) - 2, 1.0)


def can_win(bound: float, best: int) -> bool:
    """Whether there may be something shorter than the best; lengths are whole numbers."""
    return bound <= best - 1 + _ROUNDING


def explore(cities: Cities, nodes: Iterable[Node], best: int, budget: int) -> Explored:
    """Search some nodes, the most promising first and in depth, until all is searched or the budget is used up.

    Args:
        cities: The problem.
        nodes: Where to search.
        best: The length of the shortest round trip that is known.
        budget: How many nodes may be looked into.
    """
    branching = _Branching(cities)
    tour: tuple[int, ...] | None = None
    explored = pruned = 0
    stack = sorted(nodes, reverse=True)
    while stack and explored < budget:
        node = stack.pop()
        if not can_win(node.bound, best):
            pruned += 1
            continue
        explored += 1
        if not node.left:
            best, tour = node.length, node.path
            continue
        children = branching.children(node)
        winning = [child for child in children if can_win(child.bound, best)]
        pruned += len(children) - len(winning)
        stack += sorted(winning, reverse=True)
    return Explored(best, tour, explored, pruned, stack)


class _Branching:
    """Makes the children of nodes, with their bounds."""

    def __init__(self, cities: Cities) -> None:
        self._distances, self._penalties, _ = cities
        count = len(self._distances)
        self._costs = [
            [
                math.inf if here == there else self._distances[here][there] + mine + self._penalties[there]
                for there in range(count)
            ]
            for here, mine in enumerate(self._penalties)
        ]
        self._home: dict[int, float] = {}

    def children(self, node: Node) -> list[Node]:
        """The node's path with each of the cities that may come next."""
        left = _bits(node.left)
        here = self._distances[node.path[-1]]
        # Each round trip can be walked in two directions: only the one that comes to city 1 before city 2 counts.
        following = [city for city in left if city != 2 or not node.left & 2]
        share = node.share / len(following)
        made: list[Node] = []
        for city in following:
            rest = node.left & ~(1 << city)
            length = node.length + here[city]
            if rest:
                row = self._costs[city]
                onward = min([row[other] for other in left]) - self._penalties[city]
                bound = max(node.bound, length + onward + self._way_home(rest))
            else:
                length += self._distances[city][0]
                bound = float(length)
            made.append(Node(bound, length, (*node.path, city), rest, share))
        return made

    def _way_home(self, rest: int) -> float:
        """The least that it costs to connect these cities with each other and with city 0."""
        known = self._home.get(rest)
        if known is not None:
            return known
        cities = _bits(rest)
        cost = min(self._costs[0][city] for city in cities) - self._penalties[0]
        cost -= 2 * sum(self._penalties[city] for city in cities)
        row = self._costs[cities.pop()]
        near = [row[city] for city in cities]
        while cities:
            price = min(near)
            place = near.index(price)
            cost += price
            row = self._costs[cities.pop(place)]
            del near[place]
            near = [
                known if known < (price := row[city]) else price for known, city in zip(near, cities, strict=True)
            ]
        self._home[rest] = cost
        return cost


def _bits(mask: int) -> list[int]:
    """The numbers of the bits that are set."""
    found: list[int] = []
    while mask:
        lowest = mask & -mask
        found.append(lowest.bit_length() - 1)
        mask ^= lowest
    return found

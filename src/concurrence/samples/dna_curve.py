"""The geometry of a helix path: products of the steps from one nucleotide to the next, in numpy alone.

A step is a homogeneous 4 x 4 matrix that row vectors are multiplied with. Nucleotide ``i`` of ``n`` lies where its
points come to by all steps behind it, ``steps[i] @ steps[i + 1] @ ... @ steps[n - 2]``; the last one stays.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrices: TypeAlias = NDArray[np.float64]
"""Matrices one after the other: the axes are which one, row, column."""


def product(steps: Matrices) -> Matrices:
    """The product of all steps, from the first to the last.

    Numpy multiplies many small matrices at a time: so the steps are cut into blocks, the products of all blocks
    are formed together, and these multiplied. It goes from the last one back, because that rounds least.
    """
    width = max(1, math.isqrt(len(steps)))
    count = len(steps) // width
    first = len(steps) - count * width
    blocks = steps[first:].reshape(count, width, 4, 4)
    joined = blocks[:, -1] if count else steps
    for position in range(width - 2, -1, -1):
        joined = np.matmul(blocks[:, position], joined)
    return _from_the_last([*steps[:first], *joined])


def _from_the_last(matrices: list[Matrices]) -> Matrices:
    result = np.eye(4)
    for matrix in reversed(matrices):
        result = matrix @ result
    return result


def suffix_products(steps: Matrices, behind: Matrices) -> Matrices:
    """What each step and all behind it come to.

    Args:
        steps: The steps.
        behind: The product of those that follow the last one.

    Returns:
        As many matrices as there are steps.
    """
    products = np.empty_like(steps)
    for index in range(len(steps) - 1, -1, -1):
        behind = steps[index] @ behind
        products[index] = behind
    return products


def path_sequential(points: Matrices, steps: Matrices) -> Matrices:
    """The whole path, calculated here and now: one product more for each nucleotide, from the last one back.

    Args:
        points: What each nucleotide consists of, a point or direction a row.
        steps: The steps between the nucleotides.

    Returns:
        The axes are which nucleotide, which point, coordinate.
    """
    ways = np.concatenate([suffix_products(steps, np.eye(4)), np.eye(4)[np.newaxis]])
    return np.matmul(points, ways)

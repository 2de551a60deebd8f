"""What the DNA sample takes from the package dnacurve: bending models, reference coordinates, sequences.

Imported by the client alone, when the sample runs: dnacurve brings numpy and matplotlib, which are in the extra
``samples``.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
from dnacurve import CurvedDNA, Model, Sequence, superimpose_matrix

from concurrence.samples.dna_curve import Matrices


def read_fasta(path: Path) -> str:
    """The sequence in a FASTA file; what is none of the letters A, T, C and G is left out.

    Raises:
        OSError: It cannot be read.
        ValueError: There is no sequence in it.
    """
    path.open().close()  # dnacurve takes the name of a file that is not there for a sequence
    return Sequence(str(path)).string


def steps_of(sequence: str, model: str) -> Matrices:
    """The steps from each nucleotide to the next.

    Args:
        sequence: Of the letters A, T, C and G.
        model: The name of a model of dinucleotides.
    """
    matrices = Model(model).matrices
    return np.array([matrices[sequence[index : index + 2]] for index in range(len(sequence) - 1)])


def points() -> Matrices:
    """What a nucleotide consists of, a row each: the helix axis, both phosphates, the normal of the base pair."""
    distance, degrees, height = CurvedDNA.P_COORDINATES
    x = distance * math.cos(math.radians(degrees))
    y = distance * math.sin(math.radians(degrees))
    return np.array([(0, 0, 0, 1), (x, y, height, 1), (-x, y, -height, 1), (0, 0, 1, 0)], dtype=np.float64)


def reference(sequence: str, model: str) -> Matrices:
    """The library's own coordinates; it takes a time that grows with the square of the length.

    Returns:
        The axes are which point, which nucleotide, coordinate.
    """
    with warnings.catch_warnings(category=UserWarning):
        warnings.simplefilter("ignore")  # it says that the sequence is long
        curve = CurvedDNA(Sequence(sequence, maxlen=len(sequence)), model, maxlen=len(sequence))
    return np.array(curve.coordinates[:4, :, :3])


def oriented(path: Matrices) -> Matrices:
    """A path in the library's orientation, so that the two can be compared.

    The ends of the helix axis lie on the x axis, what is farthest from that lies along z, and all is centred.

    Args:
        path: The axes are which nucleotide, which point, coordinate.

    Returns:
        The axes are which point, which nucleotide, coordinate.
    """
    coordinates = path.transpose(1, 0, 2)
    axis = coordinates[0, :, :3] - coordinates[0, -1, :3]
    length = np.linalg.norm(axis[0])
    away = (np.cross(axis[0] / length, axis) ** 2).sum(axis=1)
    farthest = int(away.argmax())
    deviation = math.sqrt(away[farthest])
    along = length - math.sqrt(float(axis[farthest] @ axis[farthest]) - away[farthest])
    wanted = np.array([(0, 0, 0), (along, 0, deviation), (length, 0, 0)])
    turned = coordinates @ superimpose_matrix(axis[[0, farthest, -1]], wanted).T
    low, high = turned[:3, :, :3].min(axis=(0, 1)), turned[:3, :, :3].max(axis=(0, 1))
    turned[:3, :, :3] -= (low + high) / 2
    return turned[:, :, :3]

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
    """The one sequence in a FASTA file, in upper case.

    It is read here, and strictly: dnacurve leaves out all letters that it does not know, which makes neighbours of
    nucleotides that are none, and takes the titles of further sequences for nucleotides.

    Raises:
        OSError: It cannot be read.
        ValueError: There is none in it, or more than one, or a letter that is none of A, T, C and G.
    """
    pieces: list[str] = []
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            piece = "".join(line.split()).upper()
            if piece.startswith(">"):
                if pieces:
                    raise ValueError(f"line {number} begins a second sequence, and a path has one: take it out")
                pieces.append("")
                continue
            if not piece:
                continue
            if strange := piece.strip("ATCG"):
                raise ValueError(f"line {number} has the letter {strange[0]!r}, and a path only A, T, C and G")
            pieces.append(piece)
    if not any(pieces):
        raise ValueError("there is no sequence in it")
    return "".join(pieces)


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


def superimposed(path: Matrices, expected: Matrices) -> Matrices:
    """A path turned and moved to where it lies closest to another one, so that their shapes can be compared.

    To orient both by their own nucleotides will not do: where a path winds evenly, several of them are equally far
    from the line between its ends, and rounding decides which one each takes for the farthest.

    Args:
        path: The axes are which nucleotide, which point, coordinate.
        expected: The other one; the axes are which point, which nucleotide, coordinate.

    Returns:
        The same axes as those of ``expected``.
    """
    coordinates = path.transpose(1, 0, 2)
    own, others = coordinates[:3, :, :3].reshape(-1, 3), expected[:3].reshape(-1, 3)
    moved = coordinates @ superimpose_matrix(own, others).T
    return moved[:, :, :3]


def oriented(path: Matrices) -> Matrices:
    """A path in the library's orientation, as it is drawn.

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

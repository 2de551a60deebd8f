"""A part of the tests of swarms once more, on plain TCP; ``ci/full`` runs all of them on it."""

from __future__ import annotations

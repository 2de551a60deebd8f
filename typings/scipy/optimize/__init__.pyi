from collections.abc import Sequence
from typing import Any

class LinearConstraint:
    def __init__(self, a: Sequence[Sequence[float]], lb: float, ub: float, /) -> None: ...

class OptimizeResult:
    x: Sequence[float]
    fun: float

def milp(
    c: Sequence[float],
    *,
    integrality: Any = None,
    bounds: tuple[float, float] | None = None,
    constraints: Sequence[LinearConstraint] | None = None,
) -> OptimizeResult: ...

"""How a vector changes an activation: one file for each family, and their names."""

from __future__ import annotations

from selfsteer.steering.operators.ablate import ABLATE
from selfsteer.steering.operators.add import ADD
from selfsteer.steering.operators.clamp import CEILING, CLAMP, FLOOR
from selfsteer.steering.operators.erase import ERASE
from selfsteer.steering.operators.operator import Operator
from selfsteer.steering.operators.plane import ROTATE_IN_PLANE, ROTATE_IN_PLANE_TO
from selfsteer.steering.operators.rotate import ROTATE, ROTATE_TO
from selfsteer.steering.operators.swap import SWAP

__all__ = ["OPERATORS", "Operator"]

OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        ADD,
        ABLATE,
        CLAMP,
        FLOOR,
        CEILING,
        ROTATE,
        ROTATE_TO,
        ROTATE_IN_PLANE,
        ROTATE_IN_PLANE_TO,
        SWAP,
        ERASE,
    )
}

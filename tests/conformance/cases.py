"""Which edits are compared with nnsight: every operator, at several layers and strengths.

A new operator takes a line in `STRENGTHS` here, and its formula in `peers/nnsight_peer.py`. Until
it has both, its bar is missed.
"""

from __future__ import annotations

from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.vectors import SteeringVector

SELECTOR = "all + special"  # every token, as the peers have it
STRENGTHS = {"add": (0.5, -1.5), "ablate": (1.0, 0.3)}


def edit_cases(vector: SteeringVector) -> dict[str, Plan]:
    """For each operator one edit at the first, a middle and the last layer, and some together."""
    layers = (vector.layers[0], vector.layers[len(vector.layers) // 2], vector.layers[-1])
    cases = {
        f"{operator}, layer {layer}, strength {strength:g}": Plan.single(
            vector, layer, strength, operator, SELECTOR
        )
        for operator in OPERATORS
        for strength in STRENGTHS.get(operator, ())
        for layer in layers
    }
    together = [
        Edit(vector, layers, STRENGTHS[operator][0], operator, SELECTOR)
        for operator in OPERATORS
        if operator in STRENGTHS
    ]
    return cases | {"all together": Plan(tuple(together))}

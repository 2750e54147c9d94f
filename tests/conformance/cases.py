"""Which edits are compared with nnsight: every operator, at several layers and strengths.

A new operator takes a line in `STRENGTHS` here, and its formula in `peers/nnsight_peer.py`. Until
it has both, its bar is missed.
"""

from __future__ import annotations

from math import pi

from selfsteer.steering.gates import Gate
from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.vectors import SteeringVector

SELECTOR = "all + special"  # every token, as the peers have it
STRENGTHS = {
    "add": (0.5, -1.5),
    "ablate": (1.0, 0.3),
    "clamp": (0.8, -0.4),
    "floor": (0.5,),
    "ceiling": (-0.5,),
    "rotate": (0.6, -0.6),
    "rotate_to": (pi / 4, 2.0),
    "rotate_in_plane": (0.7, -2.0),
    "rotate_in_plane_to": (0.9,),
    "swap": (1.0, 0.4),
    "erase": (0.5, -0.2),
}
# What is compared beside the operators themselves.
MODIFIERS = ("norm-preserving", "gate that opens", "gate that stays shut")


def edit_cases(vector: SteeringVector, other: SteeringVector) -> dict[str, Plan]:
    """For each operator an edit at the first, a middle and the last layer, and some together.

    `other` is the second vector of the operators that take two, or a subspace.
    """
    layers = (vector.layers[0], vector.layers[len(vector.layers) // 2], vector.layers[-1])
    cases = {
        f"{operator}, layer {layer}, strength {strength:g}": Plan(
            (_edit(vector, other, (layer,), operator, strength),)
        )
        for operator in OPERATORS
        for strength in STRENGTHS.get(operator, ())
        for layer in layers
    }
    together = [
        _edit(vector, other, layers, operator, STRENGTHS[operator][0])
        for operator in OPERATORS
        if operator in STRENGTHS and OPERATORS[operator].target is None
    ]
    return cases | _modified(vector, other, layers) | {"all together": Plan(tuple(together))}


def _edit(
    vector: SteeringVector,
    other: SteeringVector,
    layers: tuple[int, ...],
    operator: str,
    strength: float,
) -> Edit:
    others = (other,) if 2 in OPERATORS[operator].vectors else ()
    if operator == "erase":  # what measures, and the point that stays
        others = (vector + other, other)
    return Edit(vector, layers, strength, operator, SELECTOR, others=others)


def _modified(
    vector: SteeringVector, other: SteeringVector, layers: tuple[int, ...]
) -> dict[str, Plan]:
    """An addition that keeps the norm, and two whose gates lie on either side of the condition."""
    kept = Edit(vector, layers, 0.8, "add", SELECTOR, norm_preserving=True)
    gates = {
        name: Gate(other, (layers[0],), threshold, selector=SELECTOR)
        for name, threshold in (("gate that opens", 0.0), ("gate that stays shut", 0.999))
    }
    gated = {
        f"{name}, add": Plan((Edit(vector, layers[1:], 0.8, "add", SELECTOR, gate=gate),))
        for name, gate in gates.items()
    }
    return {"norm-preserving, add": Plan((kept,))} | gated

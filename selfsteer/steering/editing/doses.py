"""Strengths that are too great for the numbers that activations are made of."""

from __future__ import annotations

import torch
from torch import Tensor

from selfsteer.errors import PlanError
from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.plan import Edit

# Every norm in a model adds up squares in float32, whose largest number is 3.4e38: an activation
# that is longer than its root counts as infinitely long there, and is scaled to nothing.
_LONGEST = 1e18


def may_overflow(dtype: torch.dtype) -> bool:
    """Whether a change that `check_dose` lets through may still be infinite in this type."""
    return torch.finfo(dtype).max < _LONGEST


def check_dose(edit: Edit, layer: int, directions: Tensor, dtype: torch.dtype) -> None:
    """Refuse an edit whose change at a layer cannot be written down or measured.

    Args:
        directions: [K, D] what the operator gets of the edit's vectors.
        dtype: of the activations.

    Raises:
        PlanError: the change would be longer than the norms of a model can measure, or a change
            that is the same for every activation has a number outside the range of the type.
    """
    operator = OPERATORS[edit.operator]
    norm = edit.vector.residual_norms[layer]
    strength = abs(edit.strength) * (norm if operator.in_residual_norms else 1.0)
    # What looks at the activation changes it in proportion to what it finds there.
    found = 1.0 if operator.in_residual_norms or operator.constant else norm
    if strength * found * float(directions.double().norm(dim=-1).max()) > _LONGEST:
        raise PlanError(
            f"Strength {edit.strength:g} of operator {edit.operator!r} at layer {layer} moves "
            f"activations further than {_LONGEST:g}, beyond what the norms of a model can measure; "
            f"it means {operator.unit}."
        )
    limit = torch.finfo(dtype).max
    if operator.constant and strength * float(directions.abs().max()) > limit:
        raise PlanError(
            f"Strength {edit.strength:g} of operator {edit.operator!r} at layer {layer} adds "
            f"numbers beyond {limit:g}, the largest of {str(dtype).removeprefix('torch.')}; lower "
            "it, or load the student in a wider dtype."
        )

"""Plans as steps: which operator acts at which layer, in which order, on which rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from selfsteer.steering.model import Student
from selfsteer.steering.operators import OPERATORS, Operator
from selfsteer.steering.plan import Edit, Plan


@dataclass
class Step:
    """One operator at one layer, over the rows of the current batch.

    Attributes:
        slot: which mask it goes by.
        dtype: type of the activations.
        all_directions: [P, 1, D] float32 unit directions of the P plans; 0 where one has none.
        all_strengths: [P, 1, 1] float32.
    """

    operator: Operator
    slot: int
    dtype: torch.dtype
    all_directions: Tensor
    all_strengths: Tensor
    direction: Tensor = field(init=False)
    strength: Tensor = field(init=False)
    constant: Tensor | None = None
    mask: Tensor | None = None
    on: bool = False

    def take(self, plans: Tensor) -> None:
        """Make the rows with these plans the current batch."""
        index = plans.to(self.all_directions.device)
        direction = self.all_directions.index_select(0, index)
        strength = self.all_strengths.index_select(0, index)
        if self.operator.constant:
            self.constant = self.operator.delta(direction, direction, strength).to(self.dtype)
        self.direction, self.strength = direction.to(self.dtype), strength.to(self.dtype)

    def apply(self, hidden: Tensor) -> Tensor:
        """The edited activation [B, T, D]."""
        delta = self.constant
        if delta is None:
            delta = self.operator.delta(hidden, self.direction, self.strength)
        if self.mask is None:
            return hidden + delta
        return torch.addcmul(hidden, self.mask, delta)


def steps_of(
    student: Student, plans: Sequence[Plan], slots: Sequence[Sequence[str]]
) -> dict[int, list[Step]]:
    """For each edited layer its steps in order.

    The n-th edit of every plan at a layer is done in round n; edits of one round that share an
    operator and a slot are one step. A plan has one edit a round, so that its edits act in order.
    """
    grouped: dict[int, dict[tuple[int, str, int], dict[int, Edit]]] = {}
    for number, plan in enumerate(plans):
        rounds: dict[int, int] = {}
        for edit in plan.active:
            for layer in edit.layers:
                at = rounds[layer] = rounds.get(layer, -1) + 1
                key = (at, edit.operator, slots[number].index(edit.selector))
                grouped.setdefault(layer, {}).setdefault(key, {})[number] = edit
    return {
        layer: [
            _step(student, layer, OPERATORS[operator], slot, edits, len(plans))
            for (_, operator, slot), edits in sorted(groups.items())
        ]
        for layer, groups in grouped.items()
    }


def _step(
    student: Student,
    layer: int,
    operator: Operator,
    slot: int,
    edits: dict[int, Edit],
    plans: int,
) -> Step:
    directions = torch.zeros(plans, 1, student.d_model)
    strengths = torch.zeros(plans, 1, 1)
    for number, edit in edits.items():
        scale = edit.vector.residual_norms[layer] if operator.in_residual_norms else 1.0
        directions[number, 0] = edit.vector.unit(layer)
        strengths[number] = edit.strength * scale
    # Each block may lie on a device of its own.
    at = student.layer_device(layer)
    return Step(operator, slot, student.dtype, directions.to(at), strengths.to(at))

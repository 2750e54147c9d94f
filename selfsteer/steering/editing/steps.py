"""Plans as steps: which operator acts at which layer, in which order, on which rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from selfsteer.steering.editing.doses import check_dose, may_overflow
from selfsteer.steering.editing.gating import GateSlot
from selfsteer.steering.editing.slots import Pair
from selfsteer.steering.gates import Gate
from selfsteer.steering.model import Student
from selfsteer.steering.operators import OPERATORS, Operator
from selfsteer.steering.operators.norm import rescaled
from selfsteer.steering.plan import Edit, Plan

NO_GATE = -1


class Kind(NamedTuple):
    """What edits of different plans must share to be done in one go."""

    round: int
    operator: str
    slot: int
    gate: int
    norm_preserving: bool


@dataclass
class Step:
    """One operator at one layer, over the rows of the current batch.

    Attributes:
        slot: which mask it goes by.
        gate: what decides for each row whether it acts; None where it always does.
        norm_preserving: whether the activation gets its length back.
        dtype: type of the activations.
        all_directions: [P, K, D] float32 directions of the P plans; 0 where one has none.
        all_strengths: [P, 1, 1] float32.
    """

    operator: Operator
    slot: int
    gate: GateSlot | None
    norm_preserving: bool
    dtype: torch.dtype
    all_directions: Tensor
    all_strengths: Tensor
    direction: Tensor = field(init=False)
    strength: Tensor = field(init=False)
    dose: Tensor = field(init=False)
    constant: Tensor | None = None
    mask: Tensor | None = None
    share: Tensor | None = None
    on: bool = False

    def __post_init__(self) -> None:
        # Angles and projections lose too much in half precision.
        self._wide = torch.promote_types(self.dtype, torch.float32)
        # A change that is finite can be weighed in one operation: 0 times it is 0. Constants are
        # (see `check_dose`); what other operators make in a narrow type need not be.
        self._weighs = self.operator.constant or not may_overflow(self.dtype)

    @property
    def mask_type(self) -> torch.dtype:
        """Masks weigh the change, or choose between with it and without."""
        return self.dtype if self._weighs else torch.bool

    @property
    def device(self) -> torch.device:
        """Where its layer lies."""
        return self.all_directions.device

    def take(self, plans: Tensor) -> None:
        """Make the rows with these plans the current batch."""
        index = plans.to(self.device)
        self.direction = self.all_directions.index_select(0, index)
        self.strength = self.all_strengths.index_select(0, index)
        if self.operator.constant:
            constant = self.operator.delta(self.direction, self.direction, self.strength)
            self.constant = constant.to(self.dtype)
        else:
            self.direction = self.direction.to(self._wide)
            self.strength = self.strength.to(self._wide)

    def expect(self, mask: Tensor | None, shares: Tensor | None) -> None:
        """What the next forward is over.

        Args:
            mask: [B, T, 1], 1 at the tokens to edit and 0 at others, in the type that `mask_type`
                names; None for all.
            shares: [B, T, 1] float32, what a schedule leaves of the strength, or, where strength
                is a target, of the change; None for all.
        """
        self.mask, self.dose, self.share = mask, self.strength, None
        if shares is None:
            return
        if not self.operator.constant and self.operator.target is None:
            self.dose = self.strength * shares
        elif self._weighs:
            self.mask = (shares if mask is None else mask * shares).to(self.dtype)
        else:
            self.share = shares

    def apply(self, hidden: Tensor) -> Tensor:
        """The edited activation [B, T, D]."""
        delta = self.constant
        if delta is None:
            wide = hidden.to(self._wide)
            delta = self.operator.delta(wide, self.direction, self.dose)
            if self.share is not None:
                delta = delta * self.share
            delta = delta.to(hidden.dtype)
        edited = self._weighed(hidden, delta) if self._weighs else self._chosen(hidden, delta)
        return rescaled(edited, hidden) if self.norm_preserving else edited

    def _weighed(self, hidden: Tensor, delta: Tensor) -> Tensor:
        """With the change where the mask is 1 and the gate open."""
        weight = self.mask
        if self.gate is not None:
            is_open = self.gate.weight.to(hidden.device)
            weight = is_open if weight is None else weight * is_open
        return hidden + delta if weight is None else torch.addcmul(hidden, weight, delta)

    def _chosen(self, hidden: Tensor, delta: Tensor) -> Tensor:
        """The same where the change may be infinite. 0 times infinity is NaN, so what is not to be
        edited is put back."""
        edited = hidden + delta
        chosen = self.mask
        if self.gate is not None:
            is_open = self.gate.open.to(hidden.device)
            chosen = is_open if chosen is None else chosen & is_open
        return edited if chosen is None else torch.where(chosen, edited, hidden)


def steps_of(
    student: Student,
    plans: Sequence[Plan],
    pairs: Sequence[Sequence[Pair]],
    gates: Sequence[Sequence[Gate]],
    gate_slots: Sequence[GateSlot],
) -> dict[int, list[Step]]:
    """For each edited layer its steps in order.

    The n-th edit of every plan at a layer is done in round n; edits of one round that share an
    operator, a slot, a gate's slot and the modifier are one step. A plan has one edit a round, so
    that its edits act in order.
    """
    grouped: dict[int, dict[Kind, dict[int, Edit]]] = {}
    for number, plan in enumerate(plans):
        rounds: dict[int, int] = {}
        for edit in plan.active:
            slot = pairs[number].index(Pair(edit.selector, edit.schedule))
            gate = NO_GATE if edit.gate is None else gates[number].index(edit.gate)
            for layer in edit.layers:
                at = rounds[layer] = rounds.get(layer, -1) + 1
                kind = Kind(at, edit.operator, slot, gate, edit.norm_preserving)
                grouped.setdefault(layer, {}).setdefault(kind, {})[number] = edit
    return {
        layer: [
            _step(student, layer, kind, edits, len(plans), gate_slots)
            for kind, edits in sorted(groups.items())
        ]
        for layer, groups in grouped.items()
    }


def _step(
    student: Student,
    layer: int,
    kind: Kind,
    edits: dict[int, Edit],
    plans: int,
    gate_slots: Sequence[GateSlot],
) -> Step:
    operator = OPERATORS[kind.operator]
    found = {number: _directions(edit, layer, operator) for number, edit in edits.items()}
    directions = torch.zeros(plans, max(map(len, found.values())), student.d_model)
    strengths = torch.zeros(plans, 1, 1)
    for number, edit in edits.items():
        check_dose(edit, layer, found[number], student.dtype)
        scale = edit.vector.residual_norms[layer] if operator.in_residual_norms else 1.0
        directions[number, : len(found[number])] = found[number]
        strengths[number] = edit.strength * scale
    # Each block may lie on a device of its own.
    at = student.layer_device(layer)
    return Step(
        operator,
        kind.slot,
        None if kind.gate == NO_GATE else gate_slots[kind.gate],
        kind.norm_preserving,
        student.dtype,
        directions.to(at),
        strengths.to(at),
    )


def _directions(edit: Edit, layer: int, operator: Operator) -> Tensor:
    """[K, D] float32 what the operator gets of an edit's vectors at a layer."""
    for vector in edit.vectors:
        vector.unit(layer)  # refuses a direction of zero
    raw = torch.stack([vector.directions[layer] for vector in edit.vectors])
    return operator.basis(raw.double()).float()

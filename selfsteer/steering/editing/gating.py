"""Gates while they work: read where prompts are read, kept for as long as rows are decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfsteer.errors import SelectorError
from selfsteer.steering.batching import Side
from selfsteer.steering.editing.said import Index
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.gates import Gate, similarity
from selfsteer.steering.model import Student
from selfsteer.steering.selectors import parse

Weights = NDArray[np.float32]


@dataclass
class _Reader:
    """What all plans' gates of one slot want to know at one layer.

    Attributes:
        condition: [P, 1, D] float32 unit directions; anything where a plan does not read here.
        side: [P, 1, 1] 1 where the similarity must be above the threshold, -1 where below.
        bound: [P, 1, 1] the threshold times the side.
        signed: [P, 1, 1] bool.
        reads: [P, 1, 1] bool, whether the plan's gate reads this layer.
    """

    condition: Tensor
    side: Tensor
    bound: Tensor
    signed: Tensor
    reads: Tensor

    def of(self, plans: Tensor) -> _Reader:
        """The rows with these plans."""
        index = plans.to(self.condition.device)
        return _Reader(**{k: v.index_select(0, index) for k, v in vars(self).items()})


class GateSlot:
    """The n-th gate of every plan, over the rows of the current batch.

    Args:
        gates: the gate of each plan that has one in this slot, by the plan's number.
        plan_of: [N] the plan of each row.
        rows: all rows of the call.
        twin: [N] for each row the first with the same tokens and plan: they share a decision.

    Attributes:
        open: [B, 1, 1] bool, whether the edits behind the gate act; of no meaning for rows without
            a gate in this slot.
        weight: the same as 1 and 0, in the activations' type.
        reading: whether the next forward is over prompts.

    Raises:
        SelectorError: a gate whose selector matches no token of a row's prompt.
    """

    open: Tensor
    weight: Tensor

    def __init__(
        self,
        student: Student,
        gates: Mapping[int, Gate],
        plan_of: Index,
        rows: Sequence[Encoded],
        twin: Index,
    ) -> None:
        count = int(plan_of.max()) + 1
        layers = sorted({layer for gate in gates.values() for layer in gate.layers})
        self._all = {layer: _reader(student, layer, gates, count) for layer in layers}
        self._weights = [
            _weights(rows[i], gates[p].selector) if p in gates else None
            for i, p in enumerate(plan_of)
        ]
        self._lengths = [len(row.ids) for row in rows]
        self._twin = twin
        self._dtype = student.dtype
        self._decided = torch.zeros(len(rows), 1, 1, dtype=torch.bool, device=student.device)
        self.reading = False

    @property
    def layers(self) -> tuple[int, ...]:
        """Where some plan's gate reads."""
        return tuple(self._all)

    def take(self, rows: Index, plans: Tensor) -> None:
        """Make these rows, which have these plans, the current batch."""
        self._rows = rows
        self._index = torch.from_numpy(self._twin[rows]).to(self._decided.device)
        self._say(self._decided.index_select(0, self._index))
        self._readers = {layer: reader.of(plans) for layer, reader in self._all.items()}

    def on_rows(self, side: Side, width: int) -> None:
        """The next forward is over whole rows, padded on `side` to `width` tokens: decide anew."""
        weights = np.zeros((len(self._rows), 1, width), dtype=np.float32)
        for target, i in zip(weights, self._rows, strict=True):
            if (known := self._weights[i]) is not None:
                start = width - self._lengths[i] if side == "left" else 0
                target[0, start : start + len(known)] = known
        self._share = torch.from_numpy(weights).to(self._decided.device)
        self._best = torch.full((len(self._rows), 1, 1), -torch.inf, device=self._decided.device)
        self.reading = True

    def on_reply(self) -> None:
        """The next forward is over replies: keep what was decided."""
        self.reading = False

    def read(self, layer: int, hidden: Tensor) -> None:
        """Look at the activation [B, T, D] of a layer before it is edited."""
        asked = self._readers[layer]
        wide = torch.promote_types(hidden.dtype, torch.float32)
        mean = torch.bmm(self._share.to(hidden.device, wide), hidden.to(wide))
        value = similarity(mean, asked.condition, asked.signed) * asked.side
        value = torch.where(asked.reads, value, -torch.inf)
        self._best = torch.maximum(self._best.to(hidden.device), value)
        decided = (self._best > asked.bound).to(self._decided)
        self._decided.index_copy_(0, self._index, decided)
        self._say(decided)

    def _say(self, decided: Tensor) -> None:
        self.open, self.weight = decided, decided.to(self._dtype)


def _weights(row: Encoded, selector: str) -> Weights:
    """[prompt] float32 that sum to 1: what each token of the prompt adds to the mean."""
    stop = row.prompt_length
    prompt = replace(row, ids=row.ids[:stop], roles=row.roles[:stop], special=row.special[:stop])
    mask = parse(selector).mask(prompt)
    if not mask.any():
        raise SelectorError(
            f"The gate's selector {selector!r} matches no token of a prompt of {stop} tokens, so "
            "that there is nothing to decide by; select tokens that every prompt has."
        )
    return mask.astype(np.float32) / np.float32(mask.sum())


def _reader(student: Student, layer: int, gates: Mapping[int, Gate], plans: int) -> _Reader:
    condition = torch.zeros(plans, 1, student.d_model)
    side, bound = torch.ones(plans, 1, 1), torch.zeros(plans, 1, 1)
    signed, reads = (torch.zeros(plans, 1, 1, dtype=torch.bool) for _ in range(2))
    for number, gate in gates.items():
        side[number] = 1.0 if gate.above else -1.0
        bound[number] = gate.threshold if gate.above else -gate.threshold
        signed[number] = gate.signed
        if layer in gate.layers:
            condition[number, 0] = gate.condition.unit(layer)
            reads[number] = True
    at = student.layer_device(layer)
    return _Reader(*(t.to(at) for t in (condition, side, bound, signed, reads)))

"""Editing activations inside a forward.

Everything is prepared before: directions per row and layer once, one position mask per forward
that all layers share. A hook only computes the edit; it never waits for the device, builds a mask
or looks at a value. Layers that no plan edits and no gate reads get no hook, and the hooks are
gone when the context ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from selfsteer.errors import PlanError
from selfsteer.steering.batching import Side
from selfsteer.steering.editing.conflicts import contradictions
from selfsteer.steering.editing.gating import GateSlot
from selfsteer.steering.editing.said import Index, Said
from selfsteer.steering.editing.slots import Pair, SlotTable
from selfsteer.steering.editing.steps import Step, steps_of
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.gates import Gate
from selfsteer.steering.layer_hooks import on_layer
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.schedules import Shares
from selfsteer.steering.selectors import Mask

Item = TypeVar("Item")


class Steering:
    """The edits of all rows of a call, and the part of them that the next forward needs.

    Choose the rows of a batch with `select`, then say before each forward which tokens it is
    over: `on_rows` or `on_reply`. Rows may be chosen again and repeated, in any order. Gates are
    decided where `on_rows` lets the prompts be read, so that comes first for every row.
    """

    def __init__(
        self, student: Student, plans: Sequence[Plan], rows: Sequence[Encoded], reply_tokens: int
    ) -> None:
        numbers: dict[Plan, int] = {}
        self._plan_of = np.array([numbers.setdefault(p, len(numbers)) for p in plans], np.int64)
        self._plans = list(numbers)
        for plan in self._plans:
            plan.check(student)
        pairs = [_unique(Pair(e.selector, e.schedule) for e in p.active) for p in self._plans]
        self._pairs = pairs
        self.tables = [
            SlotTable(rows, [_nth(pairs[p], slot) for p in self._plan_of], reply_tokens)
            for slot in range(max(map(len, pairs), default=0))
        ]
        self._memory = max((table.memory for table in self.tables), default=0)
        self._refuse_contradictions()
        gates = [_unique(e.gate for e in p.active if e.gate is not None) for p in self._plans]
        self._gated = [bool(several) for several in gates]
        self._gates = self._gate_slots(student, gates, rows)
        self._steps = steps_of(student, self._plans, pairs, gates, self._gates)
        # The entry behind the last special token stands for all tokens that follow it.
        self._special = np.zeros(max(student.special_ids, default=-1) + 2, dtype=bool)
        self._special[list(student.special_ids)] = True
        self._chosen: Index = np.arange(len(rows))

    def _gate_slots(
        self, student: Student, gates: Sequence[Sequence[Gate]], rows: Sequence[Encoded]
    ) -> list[GateSlot]:
        slots = range(max(map(len, gates), default=0))
        if not slots:
            return []
        seen: dict[tuple[tuple[int, ...], int], int] = {}
        keys = [(tuple(row.ids), int(p)) for row, p in zip(rows, self._plan_of, strict=True)]
        twin = np.array([seen.setdefault(key, i) for i, key in enumerate(keys)])
        return [
            GateSlot(
                student,
                {p: several[slot] for p, several in enumerate(gates) if slot < len(several)},
                self._plan_of,
                rows,
                twin,
            )
            for slot in slots
        ]

    def _refuse_contradictions(self) -> None:
        for number, plan in enumerate(self._plans):
            for one, other, layer in contradictions(plan):
                a, b = (
                    self.tables[self._pairs[number].index(Pair(e.selector, e.schedule))]
                    for e in (one, other)
                )
                for row in np.flatnonzero(self._plan_of == number):
                    if (a.tokens(int(row)) & b.tokens(int(row))).any():
                        raise PlanError(
                            f"Two edits of a plan contradict each other at layer {layer}: "
                            f"{one.operator} {one.strength:g} at {one.selector!r} and "
                            f"{other.operator} {other.strength:g} at {other.selector!r} meet at a "
                            "token; give them tokens or layers of their own."
                        )

    def plan_on_prompt(self, row: int) -> int:
        """The number of the row's plan if it edits any known token of the row, else -1.

        Rows with the same tokens and the same number have the same activations so far. A plan that
        only reads them, for a gate, counts like one that edits them.
        """
        plan = int(self._plan_of[row])
        touched = self._gated[plan] or any(table.touches_known(row) for table in self.tables)
        return plan if touched else -1

    def concern(self, rows: Index) -> bool:
        """Whether the plan of any of these rows edits or reads something."""
        return any(self._plans[plan].active for plan in np.unique(self._plan_of[rows]))

    def reach(self) -> Iterator[tuple[Plan, list[int], list[list[int]]]]:
        """Every plan that has edits, its rows, and for each of its edits those of the rows of
        which it changes no token."""
        for number, plan in enumerate(self._plans):
            rows = np.flatnonzero(self._plan_of == number).tolist()
            if plan.edits:
                yield plan, rows, [self._untouched(number, edit, rows) for edit in plan.edits]

    def _untouched(self, number: int, edit: Edit, rows: list[int]) -> list[int]:
        if edit not in self._plans[number].active:
            return rows
        table = self.tables[self._pairs[number].index(Pair(edit.selector, edit.schedule))]
        return [row for row in rows if not table.touches(row)]

    def select(self, rows: Index) -> None:
        """Make these rows the batch of the forwards to come."""
        self._chosen = rows
        plans = torch.from_numpy(self._plan_of[rows])
        for step in self._all_steps():
            step.take(plans)
        for gate in self._gates:
            gate.take(rows, plans)

    def on_rows(self, side: Side, width: int) -> None:
        """The next forward is over whole rows, padded on `side` to `width` tokens."""
        self._set([t.over_rows(self._chosen, side, width) for t in self.tables])
        for gate in self._gates:
            gate.on_rows(side, width)

    def on_reply(self, before: Said, ids: Index) -> Said:
        """The next forward is over reply tokens.

        Args:
            before: what each row of the batch has said so far.
            ids: [B, T] the tokens.

        Returns:
            What each row has said with these.
        """
        special = self._special[np.minimum(ids, len(self._special) - 1)]
        self._set([t.over_reply(self._chosen, before, ids, special) for t in self.tables])
        for gate in self._gates:
            gate.on_reply()
        return before.then(ids, special, self._memory)

    def _all_steps(self) -> Iterator[Step]:
        for steps in self._steps.values():
            yield from steps

    def _set(self, tables: Sequence[tuple[Mask, Shares | None]]) -> None:
        """Hand each step its mask: none where it would be all True, off where all False."""
        on = [
            bool(mask[table.used[self._chosen]].any())
            for table, (mask, _) in zip(self.tables, tables, strict=True)
        ]
        placed: dict[
            tuple[int, torch.device, torch.dtype], tuple[Tensor | None, Tensor | None]
        ] = {}
        for step in self._all_steps():
            step.on = on[step.slot]
            if not step.on:
                continue
            key = (step.slot, step.device, step.mask_type)
            if key not in placed:
                placed[key] = _placed(*tables[step.slot], step)
            step.expect(*placed[key])

    def hooks(self, student: Student) -> list[Any]:
        """Put a hook on every layer that is edited or read; returns the handles."""
        handles = []
        read = {layer for gate in self._gates for layer in gate.layers}
        for layer in sorted(read | self._steps.keys()):
            gates = [gate for gate in self._gates if layer in gate.layers]
            edit = _edit(layer, gates, self._steps.get(layer, []))
            handles.append(on_layer(student, layer, edit))
        return handles


def _unique(items: Iterable[Item]) -> list[Item]:
    return list(dict.fromkeys(items))


def _nth(items: Sequence[Item], n: int) -> Item | None:
    return items[n] if n < len(items) else None


def _placed(mask: Mask, shares: Shares | None, step: Step) -> tuple[Tensor | None, Tensor | None]:
    """A mask and shares [B, T, 1] beside the step's layer; None for what changes nothing."""
    on_device = (
        None
        if mask.all()
        else torch.from_numpy(mask[:, :, None]).to(device=step.device, dtype=step.mask_type)
    )
    if shares is None:
        return on_device, None
    return on_device, torch.from_numpy(shares[:, :, None]).to(step.device)


@contextmanager
def steering(
    student: Student,
    plans: Sequence[Plan],
    rows: Sequence[Encoded],
    reply_tokens: int = 0,
) -> Iterator[Steering]:
    """Steer every forward inside the context: row i by plan i.

    Args:
        rows: what the student knows of each row when the first forward starts.
        reply_tokens: how many tokens it may add to each.

    Raises:
        PlanError: a plan that does not fit the student, whose edits contradict each other, or
            whose strength its activations have no numbers for.
        SelectorError: a selector that cannot be followed while the reply grows, or a gate's that
            matches nothing.
        VectorError: a vector of another student, or one that is zero where it is used.
    """
    edits = Steering(student, plans, rows, reply_tokens)
    edits.select(np.arange(len(rows)))
    handles = edits.hooks(student)
    try:
        yield edits
    finally:
        for handle in handles:
            handle.remove()


def _edit(
    layer: int, gates: Sequence[GateSlot], steps: Sequence[Step]
) -> Callable[[Tensor], Tensor]:
    """What is done to the activation [B, T, D] of a layer."""

    def edit(hidden: Tensor) -> Tensor:
        for gate in gates:
            if gate.reading:
                gate.read(layer, hidden)
        for step in steps:
            if step.on:
                hidden = step.apply(hidden)
        return hidden

    return edit

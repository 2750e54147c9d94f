"""Editing activations inside a forward.

Everything is prepared before: directions per row and layer once, one position mask per forward
that all layers share. A hook only adds; it never waits for the device, builds a mask or looks at
a value. Layers that no plan edits get no hook, and the hooks are gone when the context ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfsteer.steering.batching import Side
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.masks import MaskTable
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.said import Index, Said
from selfsteer.steering.selectors import Mask
from selfsteer.steering.steps import Step, steps_of


class Steering:
    """The edits of all rows of a call, and the part of them that the next forward needs.

    Choose the rows of a batch with `select`, then say before each forward which tokens it is
    over: `on_rows` or `on_reply`. Rows may be chosen again and repeated, in any order.
    """

    def __init__(
        self, student: Student, plans: Sequence[Plan], rows: Sequence[Encoded], reply_tokens: int
    ) -> None:
        numbers: dict[Plan, int] = {}
        self._plan_of = np.array([numbers.setdefault(p, len(numbers)) for p in plans], np.int64)
        self._plans = list(numbers)
        for plan in self._plans:
            plan.check(student)
        slots = [list(dict.fromkeys(e.selector for e in plan.active)) for plan in self._plans]
        self.tables = [
            MaskTable(
                rows,
                [slots[p][slot] if slot < len(slots[p]) else None for p in self._plan_of],
                reply_tokens,
            )
            for slot in range(max(map(len, slots), default=0))
        ]
        self._memory = max((table.memory for table in self.tables), default=0)
        self._steps = steps_of(student, self._plans, slots)
        # The entry behind the last special token stands for all tokens that follow it.
        self._special = np.zeros(max(student.special_ids, default=-1) + 2, dtype=bool)
        self._special[list(student.special_ids)] = True
        self._chosen: Index = np.arange(len(rows))

    def plan_on_prompt(self, row: int) -> int:
        """The number of the row's plan if it edits any known token of the row, else -1.

        Rows with the same tokens and the same number have the same activations so far.
        """
        touched = any(table.touches_known(row) for table in self.tables)
        return int(self._plan_of[row]) if touched else -1

    def idle(self) -> list[tuple[Plan, str]]:
        """Plans with edits that change no token of any row, and why."""
        found = []
        for number, plan in enumerate(self._plans):
            rows = np.flatnonzero(self._plan_of == number)
            if plan.edits and not plan.active:
                found.append((plan, "all its strengths are 0"))
            elif plan.edits and not any(t.touches(int(row)) for t in self.tables for row in rows):
                selectors = ", ".join(repr(edit.selector) for edit in plan.active)
                found.append((plan, f"its selectors ({selectors}) match no token"))
        return found

    def select(self, rows: Index) -> None:
        """Make these rows the batch of the forwards to come."""
        self._chosen = rows
        plans = torch.from_numpy(self._plan_of[rows])
        for step in self._all_steps():
            step.take(plans)

    def on_rows(self, side: Side, width: int) -> None:
        """The next forward is over whole rows, padded on `side` to `width` tokens."""
        self._set([t.over_rows(self._chosen, side, width) for t in self.tables])

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
        return before.then(ids, special, self._memory)

    def _all_steps(self) -> Iterator[Step]:
        for steps in self._steps.values():
            yield from steps

    def _set(self, masks: Sequence[Mask]) -> None:
        """Hand each step its mask: none where it would be all True, off where all False."""
        on = [
            bool(mask[table.used[self._chosen]].any())
            for table, mask in zip(self.tables, masks, strict=True)
        ]
        partial = [now and not mask.all() for now, mask in zip(on, masks, strict=True)]
        placed: dict[tuple[int, torch.device], Tensor] = {}
        for step in self._all_steps():
            step.on, step.mask = on[step.slot], None
            if partial[step.slot]:
                key = (step.slot, step.direction.device)
                if key not in placed:
                    # Multiplied by rather than selected with: it has the activations' type.
                    mask = torch.from_numpy(masks[step.slot][:, :, None])
                    placed[key] = mask.to(step.direction)
                step.mask = placed[key]

    def hooks(self, student: Student) -> list[Any]:
        """Put a hook on every layer that is edited; returns the handles."""
        handles = []
        for layer, steps in self._steps.items():
            if layer == -1:
                handles.append(
                    student.layers[0].register_forward_pre_hook(_before(steps), with_kwargs=True)
                )
            else:
                handles.append(student.layers[layer].register_forward_hook(_after(steps)))
        return handles


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
        PlanError: a plan that does not fit the student.
        SelectorError: a selector that cannot be followed while the reply grows.
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


def _after(steps: Sequence[Step]) -> Callable[[Any, Any, Any], Any]:
    def hook(_module: Any, _args: Any, output: Any) -> Any:
        bare = isinstance(output, Tensor)
        hidden = output if bare else output[0]
        for step in steps:
            if step.on:
                hidden = step.apply(hidden)
        return hidden if bare else (hidden, *output[1:])

    return hook


def _before(steps: Sequence[Step]) -> Callable[[Any, Any, Any], Any]:
    """The embedding output is what goes into the first block."""

    def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hidden = args[0] if args else kwargs["hidden_states"]
        for step in steps:
            if step.on:
                hidden = step.apply(hidden)
        if args:
            return (hidden, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": hidden}

    return hook

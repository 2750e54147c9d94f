"""Edits that change nothing: silence would look like an effect of nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

from selfsteer.steering.editing.hooks import Steering
from selfsteer.steering.plan import Edit, Plan, SteeringWarning


def warn_of_idle_edits(edits: Steering) -> None:
    """Say which edits change nothing, in which rows, and why; to the caller of the caller.

    A plan of which no edit changes anything is spoken of as a whole.

    Warns:
        SteeringWarning: once for each such plan, or each such edit of any other.
    """
    for plan, rows, untouched in edits.reach():
        for told in _told(plan, rows, untouched):
            warnings.warn(told, SteeringWarning, stacklevel=3)


def _told(plan: Plan, rows: Sequence[int], untouched: Sequence[Sequence[int]]) -> Iterator[str]:
    if all(len(idle) == len(rows) for idle in untouched):
        yield f"The plan with vector {_names(plan.edits)} changes nothing: {_why(plan)}."
        return
    for number, (edit, idle) in enumerate(zip(plan.edits, untouched, strict=True), start=1):
        if not idle:
            continue
        what = f"edit {number} of the plan" if len(plan.edits) > 1 else "the plan"
        where = f" in {len(idle)} of {len(rows)} rows, the first of them row {idle[0]}"
        yield (
            f"{what[0].upper()}{what[1:]} with vector {_names([edit])} changes nothing"
            f"{where if len(idle) < len(rows) else ''}: {_why(Plan((edit,)))}."
        )


def _names(edits: Sequence[Edit]) -> str:
    return ", ".join(sorted({edit.vector.id for edit in edits}))


def _why(plan: Plan) -> str:
    one = len(plan.edits) == 1
    if not plan.active:
        return "its strength is 0" if one else "all its strengths are 0"
    selectors = ", ".join(repr(edit.selector) for edit in plan.active)
    if len(plan.active) == 1:
        return f"its selector {selectors} matches no token"
    return f"its selectors ({selectors}) match no token"

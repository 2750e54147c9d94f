"""What is said of activations that have grown beyond what their type can hold."""

from __future__ import annotations

from selfsteer.errors import PlanError, SelfsteerError, StudentError
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan


def out_of_range(student: Student, row: int, plan: Plan) -> SelfsteerError:
    """What is to be raised for a row whose logits are not finite."""
    dtype = str(student.dtype).removeprefix("torch.")
    if plan.active:
        names = ", ".join(dict.fromkeys(edit.vector.id for edit in plan.active))
        return PlanError(
            f"Under its plan with vector {names} the activations of row {row} leave the range of "
            f"{dtype}; lower the strength, or load the student in a wider dtype."
        )
    return StudentError(
        f"{student.name} gives logits that are not finite for row {row}, without any steering; "
        f"its weights are broken, or {dtype} is too narrow for them."
    )

"""What is applied to one row of a batch: which vectors, where, how strongly, to which tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfsteer.errors import PlanError
from selfsteer.steering.model import Student
from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.selectors import parse
from selfsteer.steering.vectors import SteeringVector


class SteeringWarning(UserWarning):
    """A plan was applied that changes nothing."""


@dataclass(frozen=True)
class Edit:
    """One vector at some layers.

    Attributes:
        vector: the directions.
        layers: where; layer k is the output of block k, -1 the embedding output.
        strength: in the operator's own unit; for `add`, residual norms of each layer.
        operator: a name in `OPERATORS`.
        selector: which tokens are edited.

    Raises:
        PlanError: no layers, a layer that the vector has not, a strength that is not finite, an
            unknown operator.
        SelectorError: a selector that cannot be read.
    """

    vector: SteeringVector
    layers: tuple[int, ...]
    strength: float
    operator: str = "add"
    selector: str = "all"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise PlanError("An edit names no layer; give it at least one.")
        missing = [layer for layer in self.layers if layer not in self.vector.directions]
        if missing:
            raise PlanError(
                f"Vector {self.vector.id} has no direction for layer {missing[0]}; "
                f"it has {sorted(self.vector.directions)}."
            )
        if not math.isfinite(self.strength):
            raise PlanError(f"Strength {self.strength} is not finite; give a number.")
        if self.operator not in OPERATORS:
            raise PlanError(
                f"Unknown operator {self.operator!r}; it is one of {', '.join(OPERATORS)}."
            )
        parse(self.selector)


@dataclass(frozen=True)
class Plan:
    """The edits of one row. Those on one layer act in order, each on what the last one left."""

    edits: tuple[Edit, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "edits", tuple(self.edits))

    @classmethod
    def none(cls) -> Plan:
        """Leave the student alone."""
        return cls()

    @classmethod
    def single(
        cls,
        vector: SteeringVector,
        layer: int,
        strength: float,
        operator: str = "add",
        selector: str = "all",
    ) -> Plan:
        """One vector at one layer."""
        return cls((Edit(vector, (layer,), strength, operator, selector),))

    @property
    def active(self) -> tuple[Edit, ...]:
        """The edits whose strength is not 0; only these are carried out."""
        return tuple(edit for edit in self.edits if edit.strength != 0)

    def describe(self) -> dict[str, Any]:
        """The plan as JSON values, with vectors named by id."""
        return {
            "edits": [
                {
                    "vector": edit.vector.id,
                    "concept": edit.vector.concept,
                    "layers": list(edit.layers),
                    "strength": edit.strength,
                    "operator": edit.operator,
                    "selector": edit.selector,
                }
                for edit in self.edits
            ]
        }

    def check(self, student: Student) -> None:
        """Refuse a plan that does not fit the student.

        Raises:
            PlanError: a layer that the student has not.
            VectorError: a vector of another student.
        """
        for edit in self.edits:
            for layer in edit.layers:
                if not -1 <= layer < student.n_layers:
                    raise PlanError(
                        f"The plan steers layer {layer}, but {student.name} has blocks 0 to "
                        f"{student.n_layers - 1}, and -1 for the embedding output."
                    )
            edit.vector.check_student(student)


def one_per_row(plans: Plan | Sequence[Plan] | None, rows: int) -> list[Plan]:
    """A plan for each of `rows` rows: the one given for all, or one each.

    Raises:
        PlanError: when the number of plans is not the number of rows.
    """
    if plans is None or isinstance(plans, Plan):
        return [plans or Plan.none()] * rows
    if len(plans) != rows:
        raise PlanError(f"{len(plans)} plans for {rows} rows; give one plan, or one for each row.")
    return list(plans)

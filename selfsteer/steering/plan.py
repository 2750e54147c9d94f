"""What is applied to one row of a batch: which vectors, where, how strongly, to which tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfsteer.errors import PlanError
from selfsteer.steering.gates import Gate
from selfsteer.steering.model import Student
from selfsteer.steering.operators import OPERATORS, Operator
from selfsteer.steering.schedules import Schedule
from selfsteer.steering.selectors import parse
from selfsteer.steering.vectors import SteeringVector


class SteeringWarning(UserWarning):
    """A plan was applied that changes nothing."""


@dataclass(frozen=True)
class Edit:
    """One operator with its vectors at some layers.

    Attributes:
        vector: the directions.
        layers: where; layer k is the output of block k, -1 the embedding output.
        strength: in the operator's own unit; for `add`, residual norms of each layer.
        operator: a name in `OPERATORS`.
        selector: which tokens are edited.
        others: further vectors, for operators over several: what `swap` takes away, the second
            axis of a plane, the rest of a subspace.
        norm_preserving: give the activation its old length back after the edit.
        schedule: how the strength runs over the generated tokens; None for the same at all.
        gate: the condition under which the edit acts; None for always.

    Raises:
        PlanError: no layers, one named twice or that a vector has not, a strength that is not
            finite or beyond the operator's limits, an unknown operator or too few or many vectors
            for it, a gate that reads behind the first edited layer.
        SelectorError: a selector that cannot be read.
    """

    vector: SteeringVector
    layers: tuple[int, ...]
    strength: float
    operator: str = "add"
    selector: str = "all"
    others: tuple[SteeringVector, ...] = field(default=(), kw_only=True)
    norm_preserving: bool = field(default=False, kw_only=True)
    schedule: Schedule | None = field(default=None, kw_only=True)
    gate: Gate | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "others", tuple(self.others))
        if not self.layers:
            raise PlanError("An edit names no layer; give it at least one.")
        twice = [layer for layer in self.layers if self.layers.count(layer) > 1]
        if twice:
            raise PlanError(
                f"An edit names layer {twice[0]} more than once in {list(self.layers)}; name it "
                "once and put what it is to do in its strength."
            )
        for vector in self.vectors:
            missing = [layer for layer in self.layers if layer not in vector.directions]
            if missing:
                raise PlanError(
                    f"Vector {vector.id} has no direction for layer {missing[0]}; "
                    f"it has {sorted(vector.directions)}."
                )
        if not math.isfinite(self.strength):
            raise PlanError(f"Strength {self.strength} is not finite; give a number.")
        if self.operator not in OPERATORS:
            raise PlanError(
                f"Unknown operator {self.operator!r}; it is one of {', '.join(OPERATORS)}."
            )
        _check_operator(OPERATORS[self.operator], len(self.vectors), self.strength)
        if self.gate is not None and max(self.gate.layers) > min(self.layers):
            raise PlanError(
                f"A gate reads layer {max(self.gate.layers)}, behind layer {min(self.layers)} that "
                "its edit changes; the condition must be known before, so read it there or earlier."
            )
        parse(self.selector)

    @property
    def vectors(self) -> tuple[SteeringVector, ...]:
        """All vectors of the edit."""
        return (self.vector, *self.others)

    def describe(self) -> dict[str, Any]:
        """The edit as JSON values, with vectors named by id; what is not set is left out."""
        told: dict[str, Any] = {
            "vector": self.vector.id,
            "concept": self.vector.concept,
            "layers": list(self.layers),
            "strength": self.strength,
            "operator": self.operator,
            "selector": self.selector,
        }
        if self.others:
            told["others"] = [vector.id for vector in self.others]
        if self.norm_preserving:
            told["norm_preserving"] = True
        if self.schedule is not None:
            told["schedule"] = self.schedule.describe()
        if self.gate is not None:
            told["gate"] = self.gate.describe()
        return told

    @classmethod
    def read(cls, told: Mapping[str, Any], load: Callable[[str], SteeringVector]) -> Edit:
        """The edit that `describe` told of; `load` finds a vector by its id."""
        schedule, gate = told.get("schedule"), told.get("gate")
        return cls(
            load(told["vector"]),
            told["layers"],
            told["strength"],
            told["operator"],
            told["selector"],
            others=tuple(map(load, told.get("others", ()))),
            norm_preserving=told.get("norm_preserving", False),
            schedule=None if schedule is None else Schedule(**schedule),
            gate=None if gate is None else Gate(**gate | {"condition": load(gate["condition"])}),
        )


def _check_operator(operator: Operator, vectors: int, strength: float) -> None:
    if vectors not in operator.vectors:
        wanted = f"{operator.vectors.start}" + (" or more" if len(operator.vectors) > 1 else "")
        raise PlanError(f"Operator {operator.name!r} takes {wanted} vectors, not {vectors}.")
    low, high = operator.limits
    if not low <= strength <= high:
        raise PlanError(
            f"Strength {strength} of operator {operator.name!r} is not within {low:.4g} to "
            f"{high:.4g}; it means {operator.unit}."
        )


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
        *,
        others: tuple[SteeringVector, ...] = (),
        norm_preserving: bool = False,
        schedule: Schedule | None = None,
        gate: Gate | None = None,
    ) -> Plan:
        """One edit at one layer."""
        edit = Edit(
            vector,
            (layer,),
            strength,
            operator,
            selector,
            others=others,
            norm_preserving=norm_preserving,
            schedule=schedule,
            gate=gate,
        )
        return cls((edit,))

    @property
    def active(self) -> tuple[Edit, ...]:
        """The edits that are carried out: those whose strength is not 0, or is a target."""
        return tuple(
            edit
            for edit in self.edits
            if edit.strength != 0 or OPERATORS[edit.operator].target is not None
        )

    def describe(self) -> dict[str, Any]:
        """The plan as JSON values, with vectors named by id."""
        return {"edits": [edit.describe() for edit in self.edits]}

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
            for vector in edit.vectors:
                vector.check_student(student)
            if edit.gate is not None:
                edit.gate.condition.check_student(student)


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

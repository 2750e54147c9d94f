"""Plans: what they refuse, say, and mean."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from selfsteer.errors import PlanError, SelectorError, VectorError
from selfsteer.steering.gates import Gate
from selfsteer.steering.model import Student
from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.plan import Edit, Plan, one_per_row
from selfsteer.steering.schedules import Schedule
from tests.steering.students import BLOCKS, build_student, build_vector


def test_single_is_one_edit(llama: Student) -> None:
    vector = build_vector(llama)
    plan = Plan.single(vector, 1, 0.5, "ablate", "response")
    assert plan == Plan((Edit(vector, (1,), 0.5, "ablate", "response"),))
    assert Plan.none().edits == ()


def test_plans_with_the_same_edits_are_equal(llama: Student) -> None:
    one, other = (Plan.single(build_vector(llama), 1, 0.5) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Plan.single(build_vector(llama, seed=1), 1, 0.5)


def test_edits_of_strength_0_are_not_active(llama: Student) -> None:
    vector = build_vector(llama)
    edits = (Edit(vector, (1,), 0.0), Edit(vector, (2,), -1.0))
    assert Plan(edits).active == edits[1:]


def test_description_is_json(llama: Student) -> None:
    vector = build_vector(llama)
    plan = Plan((Edit(vector, (-1, 2), 0.5), Edit(vector, (0,), 1.0, "ablate", "response[0:4]")))
    first, second = json.loads(json.dumps(plan.describe()))["edits"]
    assert first == {
        "vector": vector.id,
        "concept": "random 0",
        "layers": [-1, 2],
        "strength": 0.5,
        "operator": "add",
        "selector": "all",
    }
    assert (second["operator"], second["selector"]) == ("ablate", "response[0:4]")


def test_only_what_is_set_is_told(llama: Student) -> None:
    """Plans that were stored before a field existed read the same as ever."""
    one, two = build_vector(llama), build_vector(llama, seed=1)
    bare = Edit(one, (1,), 0.5, "swap", others=(two,)).describe()
    assert bare.pop("others") == [two.id]
    assert set(bare) == {"vector", "concept", "layers", "strength", "operator", "selector"}
    gate, schedule = Gate(two, (0, 1), 0.25, signed=True), Schedule("linear", 8)
    plan = Plan.single(one, 1, 0.5, norm_preserving=True, schedule=schedule, gate=gate)
    (full,) = json.loads(json.dumps(plan.describe()))["edits"]
    assert full["norm_preserving"] is True
    assert full["schedule"] == {"shape": "linear", "tokens": 8}
    assert full["gate"] == {
        "condition": two.id,
        "layers": [0, 1],
        "threshold": 0.25,
        "above": True,
        "signed": True,
        "selector": "prompt",
    }


def test_every_field_tells_plans_apart(llama: Student) -> None:
    one, two = build_vector(llama), build_vector(llama, seed=1)
    edit = Edit(one, (1,), 0.5, "ablate")
    others: list[dict[str, Any]] = [
        {"others": (two,)},
        {"norm_preserving": True},
        {"schedule": Schedule("first", 2)},
        {"gate": Gate(one, (0,), 0.1)},
        {"gate": Gate(one, (0,), 0.2)},
    ]
    assert len({Plan((edit,)), *(Plan((replace(edit, **more),)) for more in others)}) == 6


def test_what_is_described_can_be_read_again(llama: Student) -> None:
    one, two = build_vector(llama), build_vector(llama, seed=1)
    vectors = {vector.id: vector for vector in (one, two)}
    edits = (
        Edit(one, (-1, 2), 0.5),
        Edit(one, (1,), 0.5, "swap", "response", others=(two,), norm_preserving=True),
        Edit(two, (1,), 2.0, schedule=Schedule("first", 2), gate=Gate(one, (0, 1), 0.2, False)),
    )
    for edit in edits:
        assert Edit.read(json.loads(json.dumps(edit.describe())), vectors.__getitem__) == edit


def test_a_target_of_0_is_carried_out(llama: Student) -> None:
    vector = build_vector(llama)
    edits = tuple(Edit(vector, (1,), 0.0, name) for name, o in OPERATORS.items() if 1 in o.vectors)
    active = {edit.operator for edit in Plan(edits).active}
    assert active == {"clamp", "floor", "ceiling", "rotate_to"}


@pytest.mark.parametrize(
    ("operator", "count", "wanted"),
    [("add", 2, "takes 1 vectors, not 2"), ("swap", 1, "takes 2"), ("rotate_in_plane", 3, "2")],
)
def test_operators_take_so_many_vectors(
    llama: Student, operator: str, count: int, wanted: str
) -> None:
    first, *others = (build_vector(llama, seed=seed) for seed in range(count))
    with pytest.raises(PlanError, match=wanted):
        Edit(first, (1,), 0.5, operator, others=tuple(others))


def test_angles_are_in_radians(llama: Student) -> None:
    for operator, strength in (("rotate", 90.0), ("rotate_to", -0.1), ("rotate_to", 45.0)):
        with pytest.raises(PlanError, match=r"is not within .* it means .*radians"):
            Plan.single(build_vector(llama), 1, strength, operator)


def test_further_vectors_and_conditions_are_checked_like_the_first(
    llama: Student, mistral: Student
) -> None:
    ours, theirs = build_vector(llama), build_vector(mistral)
    for edit in (
        Edit(ours, (1,), 1.0, "swap", others=(theirs,)),
        Edit(ours, (1,), 1.0, gate=Gate(theirs, (0,), 0.5)),
    ):
        with pytest.raises(VectorError, match="was extracted from student"):
            Plan((edit,)).check(llama)
    narrow = replace(ours, directions={0: ours.directions[0]}, residual_norms={0: 1.0})
    with pytest.raises(PlanError, match=r"has no direction for layer 1; it has \[0\]"):
        Edit(ours, (1,), 1.0, "swap", others=(narrow,))


def test_a_gate_must_be_decided_before_its_edit(llama: Student) -> None:
    vector = build_vector(llama)
    Edit(vector, (1, 2), 1.0, gate=Gate(vector, (-1, 1), 0.5))
    with pytest.raises(PlanError, match="A gate reads layer 2, behind layer 1"):
        Edit(vector, (1, 2), 1.0, gate=Gate(vector, (0, 2), 0.5))


@pytest.mark.parametrize("strength", [math.nan, math.inf, -math.inf])
def test_strength_must_be_finite(llama: Student, strength: float) -> None:
    with pytest.raises(PlanError, match="is not finite"):
        Plan.single(build_vector(llama), 0, strength)


def test_unknown_operator(llama: Student) -> None:
    with pytest.raises(PlanError, match="Unknown operator 'twist'; it is one of add, ablate"):
        Plan.single(build_vector(llama), 0, 1.0, "twist")


def test_layers_must_be_in_the_vector(llama: Student) -> None:
    vector = build_vector(llama)
    with pytest.raises(PlanError, match=f"has no direction for layer {BLOCKS}"):
        Plan.single(vector, BLOCKS, 1.0)
    with pytest.raises(PlanError, match="names no layer"):
        Edit(vector, (), 1.0)
    with pytest.raises(PlanError, match=r"names layer 2 more than once in \[2, 0, 2\]"):
        Edit(vector, (2, 0, 2), 1.0)


def test_selector_must_be_readable(llama: Student) -> None:
    with pytest.raises(SelectorError, match="Unknown term 'reply'"):
        Plan.single(build_vector(llama), 0, 1.0, selector="reply")


def test_layers_must_be_in_the_student(llama: Student) -> None:
    shallow = build_student("llama", num_hidden_layers=1)
    plan = Plan.single(build_vector(llama), 2, 1.0)
    plan.check(llama)
    with pytest.raises(PlanError, match="steers layer 2, but tiny-llama has blocks 0 to 0"):
        plan.check(shallow)


def test_vectors_of_another_student_are_refused(llama: Student, mistral: Student) -> None:
    with pytest.raises(VectorError, match="was extracted from student"):
        Plan.single(build_vector(llama), 0, 1.0).check(mistral)


def test_one_plan_for_all_rows_or_one_each(llama: Student) -> None:
    plan = Plan.single(build_vector(llama), 0, 1.0)
    assert one_per_row(None, 2) == [Plan.none()] * 2
    assert one_per_row(plan, 2) == [plan] * 2
    assert one_per_row([plan, Plan.none()], 2) == [plan, Plan.none()]
    with pytest.raises(PlanError, match="1 plans for 2 rows"):
        one_per_row([plan], 2)

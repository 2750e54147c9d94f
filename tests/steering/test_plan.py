"""Plans: what they refuse, say, and mean."""

from __future__ import annotations

import json
import math

import pytest

from selfsteer.errors import PlanError, SelectorError, VectorError
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan, one_per_row
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

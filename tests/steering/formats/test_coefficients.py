"""A coefficient of another library and the strength that does the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import PlanError, VectorError
from selfsteer.steering.formats.coefficients import as_added, coefficient_plan, strength_of
from selfsteer.steering.model import Student
from tests.steering.students import build_student, build_vector


@pytest.fixture(scope="module")
def student() -> Student:
    return build_student()


@given(coefficient=st.floats(-50, 50))
def test_what_add_moves_by_is_coefficient_times_direction(
    student: Student, coefficient: float
) -> None:
    vector = build_vector(student, norm=7.0)
    for layer in vector.layers:
        strength = strength_of(vector, layer, coefficient)
        # float64, so that only the unit direction is rounded: to 2**-24 of each of its values
        moved = strength * 7.0 * vector.unit(layer).double()
        expected = coefficient * vector.directions[layer].double()
        assert torch.allclose(moved, expected, rtol=2**-23, atol=1e-300)


def test_a_plan_has_one_edit_for_each_layer_that_is_not_zero(student: Student) -> None:
    vector = build_vector(student)
    vector = replace(vector, directions={**vector.directions, 1: torch.zeros(student.d_model)})
    plan = coefficient_plan(vector, 2.0)
    assert [edit.layers for edit in plan.edits] == [(-1,), (0,), (2,)]
    assert [edit.strength for edit in plan.edits] == [
        strength_of(vector, k, 2.0) for k in (-1, 0, 2)
    ]
    assert {edit.selector for edit in plan.edits} == {"all + special"}
    (edit,) = coefficient_plan(vector, -1.0, layers=[2], selector="response").edits
    assert (edit.layers, edit.selector) == ((2,), "response")
    with pytest.raises(VectorError, match="zero at every layer"):
        coefficient_plan(vector, 1.0, layers=[1])
    with pytest.raises(VectorError, match="no layer 7"):
        coefficient_plan(vector, 1.0, layers=[7])
    with pytest.raises(PlanError, match="not finite"):
        coefficient_plan(vector, float("nan"))


def test_as_added_is_what_add_moves_by(student: Student) -> None:
    vector = build_vector(student, norm=4.0)
    vector = replace(vector, directions={**vector.directions, 0: torch.zeros(student.d_model)})
    added = as_added(vector, 0.5)
    assert float(added[0].norm()) == 0
    for layer in (-1, 1, 2):
        assert float(added[layer].norm()) == pytest.approx(2.0)
        assert torch.nn.functional.cosine_similarity(
            added[layer], vector.directions[layer].double(), dim=0
        ) == pytest.approx(1.0)

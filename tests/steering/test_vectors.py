"""SteeringVector: identity, validation, algebra."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfsteer.errors import VectorError
from selfsteer.steering.vectors import SteeringVector, random_like

seeds = st.integers(0, 2**31)


def make(seed: int = 0, layers: tuple[int, ...] = (-1, 0, 3), width: int = 8, **fields: Any):
    generator = torch.Generator().manual_seed(seed)
    defaults: dict[str, Any] = {
        "directions": {k: torch.randn(width, generator=generator) for k in layers},
        "residual_norms": {k: 1.0 + abs(k) for k in layers},
        "method": "mean_difference",
        "selector": "response",
        "concept": f"concept {seed}",
        "dataset_id": "d" * 16,
        "student_fingerprint": "f" * 64,
    }
    return SteeringVector(**(defaults | fields))


def test_id_covers_numbers_and_provenance_but_not_the_date() -> None:
    vector = make()
    assert replace(vector, created="2001-01-01T00:00:00+00:00").id == vector.id
    assert replace(vector, concept="another").id != vector.id
    assert replace(vector, notes={"a": 1}).id != vector.id
    assert replace(vector, residual_norms={k: 9.0 for k in vector.layers}).id != vector.id
    moved = {k: v + 1e-6 for k, v in vector.directions.items()}
    assert replace(vector, directions=moved).id != vector.id
    assert len(vector.id) == 16
    assert vector == make()
    assert vector != make(1)


def test_layer_order_does_not_matter() -> None:
    vector = make()
    backwards = dict(reversed(vector.directions.items()))
    assert replace(vector, directions=backwards) == vector
    assert vector.layers == (-1, 0, 3)


def test_vector_does_not_share_memory_with_its_source() -> None:
    source = torch.ones(4)
    vector = make(directions={0: source}, residual_norms={0: 1.0})
    source.zero_()
    assert vector.directions[0].sum() == 4


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_refuses_values_that_are_not_finite(bad: float) -> None:
    direction = torch.ones(4, dtype=torch.float64)
    direction[2] = bad
    with pytest.raises(VectorError, match="NaN or infinite"):
        make(directions={0: direction}, residual_norms={0: 1.0})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"directions": {}, "residual_norms": {}}, "none"),
        ({"residual_norms": {0: 1.0}}, "one residual norm for each"),
        ({"directions": {0: torch.ones(2, 2)}, "residual_norms": {0: 1.0}}, r"\[2, 2\]"),
        (
            {"directions": {0: torch.ones(2), 1: torch.ones(3)}, "residual_norms": {0: 1, 1: 1}},
            "layer 1 has shape",
        ),
        ({"directions": {-2: torch.ones(2)}, "residual_norms": {-2: 1.0}}, "no layer -2"),
        ({"directions": {0: torch.ones(2)}, "residual_norms": {0: 0.0}}, "positive"),
        ({"directions": {0: torch.ones(2)}, "residual_norms": {0: float("nan")}}, "positive"),
        ({"notes": {"x": object()}}, "JSON"),
        ({"notes": {"x": float("nan")}}, "JSON"),
        ({"concept": "\ud800"}, "plain text"),
        ({"created": "yesterday"}, "ISO time"),
    ],
)
def test_refuses_malformed_fields(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(VectorError, match=message):
        make(**fields)


def test_unit_has_length_one_and_names_what_is_missing() -> None:
    vector = make()
    torch.testing.assert_close(vector.unit(3).norm(), torch.tensor(1.0))
    with pytest.raises(VectorError, match="no layer 2"):
        vector.unit(2)
    with pytest.raises(VectorError, match="zero at layer 0"):
        (vector - vector).unit(0)


def test_check_student() -> None:
    vector = make()
    student = SimpleNamespace(fingerprint="f" * 64, d_model=8, n_layers=4, name="tiny")
    vector.check_student(student)
    other = SimpleNamespace(fingerprint="e" * 64, d_model=8, n_layers=4, name="other")
    with pytest.raises(VectorError, match="not from other"):
        vector.check_student(other)
    vector.check_student(other, force=True)
    shallow = SimpleNamespace(fingerprint="f" * 64, d_model=8, n_layers=3, name="shallow")
    with pytest.raises(VectorError, match="3 layers"):
        vector.check_student(shallow, force=True)


@settings(deadline=None)
@given(seeds, seeds)
def test_adding_and_subtracting_returns(first: int, second: int) -> None:
    a, b = make(first), make(second)
    result = (a + b) - b
    for layer in a.layers:
        torch.testing.assert_close(result.directions[layer], a.directions[layer])


@settings(deadline=None)
@given(seeds, st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_scaling_distributes(seed: int, x: float, y: float) -> None:
    vector = make(seed)
    left, right = vector * x + y * vector, vector * (x + y)
    for layer, direction in vector.directions.items():
        # Each term is rounded on its own, however small their sum.
        unit = torch.finfo(torch.float32)
        rounding = 4 * unit.eps * (abs(x) + abs(y)) * direction.abs().max() + unit.tiny
        torch.testing.assert_close(
            left.directions[layer], right.directions[layer], atol=float(rounding), rtol=1e-6
        )


@settings(deadline=None)
@given(seeds, seeds)
def test_project_out_leaves_nothing_along_the_other(first: int, second: int) -> None:
    a, b = make(first), make(second + 1)
    result = a.project_out(b)
    for layer in a.layers:
        along = result.directions[layer].double() @ b.unit(layer).double()
        assert abs(float(along)) < 1e-5 * float(a.directions[layer].norm())


def test_project_out_keeps_what_is_orthogonal() -> None:
    a = make(directions={0: torch.tensor([1.0, 2.0, 0.0])}, residual_norms={0: 1.0})
    b = make(directions={0: torch.tensor([0.0, 5.0, 0.0])}, residual_norms={0: 1.0})
    assert a.project_out(b).directions[0].tolist() == [1.0, 0.0, 0.0]


@settings(deadline=None)
@given(seeds, seeds)
def test_slerp_reaches_both_ends(first: int, second: int) -> None:
    a, b = make(first), make(second)
    for layer in a.layers:
        torch.testing.assert_close(a.slerp(b, 0).directions[layer], a.directions[layer])
        torch.testing.assert_close(a.slerp(b, 1).directions[layer], b.directions[layer])


def test_slerp_halves_the_angle_and_averages_the_length() -> None:
    a = make(directions={0: torch.tensor([2.0, 0.0])}, residual_norms={0: 1.0})
    b = make(directions={0: torch.tensor([0.0, 4.0])}, residual_norms={0: 1.0})
    torch.testing.assert_close(a.slerp(b, 0.5).directions[0], torch.tensor([3.0, 3.0]) / 2**0.5)


def test_slerp_refuses_opposite_directions_and_t_outside() -> None:
    a = make()
    with pytest.raises(VectorError, match="opposite"):
        a.slerp(a * -1, 0.5)
    with pytest.raises(VectorError, match="between 0 and 1"):
        a.slerp(a, 1.5)


def test_lineage_is_recorded() -> None:
    a, b = make(1), make(2, dataset_id="e" * 16)
    total = a + b
    assert total.parents == (a.id, b.id)
    assert total.method == "add"
    assert total.dataset_id == ""
    assert total.selector == "response"
    assert (a * 2).parents == (a.id,)
    assert (a * 2).notes == {"factor": 2.0}
    assert a.slerp(b, 0.25).notes == {"t": 0.25}
    assert a.project_out(b).parents == (a.id, b.id)


@pytest.mark.parametrize(
    "other",
    [make(1, student_fingerprint="e" * 64), make(1, layers=(0, 3)), make(1, width=9)],
    ids=["student", "layers", "width"],
)
def test_vectors_that_do_not_match_are_not_combined(other: SteeringVector) -> None:
    vector = make()
    for operation in (
        lambda: vector + other,
        lambda: vector - other,
        lambda: vector.project_out(other),
        lambda: vector.slerp(other, 0.5),
    ):
        with pytest.raises(VectorError, match=r"different students|do not match"):
            operation()


def test_random_control_has_equal_norms_and_another_direction() -> None:
    vector = make(width=256)
    control = random_like(vector, seed=1)
    assert control == random_like(vector, seed=1)
    assert control != random_like(vector, seed=2)
    assert control.parents == (vector.id,)
    for layer in vector.layers:
        torch.testing.assert_close(
            control.directions[layer].norm(), vector.directions[layer].norm()
        )
        assert abs(float(control.unit(layer) @ vector.unit(layer))) < 0.3

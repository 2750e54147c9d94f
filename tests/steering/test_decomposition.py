"""What a vector is made of: coefficients, what is left open, and who is set aside."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import VectorError
from selfsteer.steering.breeding import mutate, weighted_sum
from selfsteer.steering.decomposition import decompose, similarity
from selfsteer.steering.vectors import SteeringVector
from tests.steering.test_vectors import make

seeds = st.integers(0, 2**31)
weights = st.floats(-10, 10).filter(lambda weight: abs(weight) > 0.01)


def family(seed: int, count: int) -> list[SteeringVector]:
    return [make(seed + number) for number in range(count)]


@given(seeds, st.lists(weights, min_size=1, max_size=4))
def test_a_sum_gets_its_weights_back(seed: int, given_weights: list[float]) -> None:
    library = family(seed, 6)
    target = weighted_sum(list(zip(given_weights, library, strict=False)))
    told = decompose(target, library)
    wanted = given_weights + [0.0] * (6 - len(given_weights))
    assert list(told.coefficients) == [vector.id for vector in library]
    assert list(told.coefficients.values()) == pytest.approx(wanted, abs=1e-5)
    assert told.residual < 1e-5
    assert all(left < 1e-4 for left in told.layer_residuals.values())


@given(seeds, st.floats(0.1, 2))
def test_noise_out_of_the_span_is_the_residual(seed: int, share: float) -> None:
    library = family(seed, 3)
    target = mutate(library[0], share, seed, without=library)
    told = decompose(target, library)
    expected = share / math.hypot(1, share)
    assert told.residual == pytest.approx(expected, rel=1e-4)
    assert list(told.layer_residuals) == list(target.layers)
    assert list(told.layer_residuals.values()) == pytest.approx([expected] * 3, rel=1e-4)
    assert list(told.coefficients.values()) == pytest.approx([1, 0, 0], abs=1e-4)


@given(seeds)
def test_what_turns_each_layer_differently_needs_coefficients_of_its_own(seed: int) -> None:
    a, b, c = family(seed, 3)
    turned = a.slerp(b, 0.3)
    for library in ([a, b, c], [a, b, turned.project_out(a), c]):
        told = decompose(weighted_sum([(1, turned), (1, c)], strengths=True), library)
        assert told.residual > 1e-4
        assert all(left < 1e-5 for left in told.free_residuals.values())
    assert decompose(turned, [c]).free_residuals[0] > 1e-2


def test_no_layer_counts_for_more_because_it_is_long() -> None:
    def two(first: list[float], second: list[float]) -> SteeringVector:
        directions = {0: torch.tensor(first), 1: torch.tensor(second)}
        return make(directions=directions, residual_norms={0: 1.0, 1: 100.0})

    # Half of the target in residual norms is explained, though layer 1 is a hundred times longer.
    target, library = two([1, 0], [100, 0]), [two([1, 0], [0, 0])]
    told = decompose(target, library)
    assert told.residual == pytest.approx(math.sqrt(0.5))
    assert told.layer_residuals == pytest.approx({0: 0.0, 1: 1.0}, abs=1e-6)


def test_those_that_others_span_are_set_aside() -> None:
    a, b, c = family(0, 3)
    told = decompose(a + b, [a, 3 * a, b, a - b, c])
    assert list(told.coefficients) == [a.id, b.id, c.id]
    assert told.dependent == ((3 * a).id, (a - b).id)


def test_those_without_the_layers_are_named() -> None:
    target, shallow, whole = make(0), make(1, layers=(0,)), make(2, layers=(-1, 0, 1, 2, 3))
    nothing = target - target
    told = decompose(target, [shallow, whole, nothing])
    assert told.unfit == (shallow.id, nothing.id)
    assert list(told.coefficients) == [whole.id]


def test_chance_explains_with_every_vector_more() -> None:
    target = make(0)
    assert decompose(target, []).residual == decompose(target, []).by_chance == 1
    told = decompose(target, family(1, 12))
    assert told.by_chance == pytest.approx(math.sqrt(1 - 12 / 24))
    full = decompose(target, family(1, 30))
    assert (len(full.coefficients), full.by_chance) == (24, 0.0)
    assert full.residual < 1e-6


def test_a_zero_layer_leaves_nothing_open() -> None:
    a = make(0)
    gone = replace(a, directions={**a.directions, 0: torch.zeros(8)})
    assert decompose(gone, [make(1)]).layer_residuals[0] == 0
    with pytest.raises(VectorError, match="zero at every layer"):
        decompose(a - a, [a])


def test_cosines_are_averaged_over_shared_layers() -> None:
    a = make(0)
    half = replace(a, directions={**a.directions, 0: -a.directions[0], 3: torch.zeros(8)})
    assert similarity(a, 5 * a) == pytest.approx(1)
    assert similarity(a, half) == pytest.approx(0, abs=1e-6)
    assert similarity(a, make(0, layers=(7,))) is None


@pytest.mark.parametrize("other", [make(1, width=9), make(1, student_fingerprint="e" * 64)])
def test_other_students_are_refused(other: SteeringVector) -> None:
    for compare in (similarity, lambda a, b: decompose(a, [b])):
        with pytest.raises(VectorError, match="different students"):
            compare(make(), other)

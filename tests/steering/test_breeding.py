"""New vectors from others: sums, ways, spans, mutations and crosses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import VectorError
from selfsteer.steering.breeding import crossover, interpolate, mutate, orthogonalise, weighted_sum
from selfsteer.steering.formats.coefficients import strength_of
from selfsteer.steering.vectors import SteeringVector
from tests.steering.test_vectors import make

seeds = st.integers(0, 2**31)
weights = st.floats(-10, 10).filter(lambda weight: abs(weight) > 1e-3)
shares = st.floats(0.01, 10)


def family(seed: int, count: int) -> list[SteeringVector]:
    return [make(seed + number) for number in range(count)]


def difference(left: SteeringVector, right: SteeringVector, layer: int) -> torch.Tensor:
    return left.directions[layer].double() - right.directions[layer].double()


def cosine(left: torch.Tensor, right: torch.Tensor) -> float:
    return abs(float(torch.cosine_similarity(left.double(), right.double(), dim=0)))


@given(seeds, weights, weights)
def test_a_sum_can_be_undone(seed: int, x: float, y: float) -> None:
    a, b = family(seed, 2)
    total = weighted_sum([(x, a), (y, b)])
    back = weighted_sum([(1 / x, total), (-y / x, b)])
    for layer in a.layers:
        size = float((a.directions[layer].norm() + b.directions[layer].norm()) * (1 + abs(y / x)))
        assert float(difference(back, a, layer).norm()) < 1e-6 * size
    assert total.parents == (a.id, b.id)
    assert total.notes == {"weights": [x, y], "strengths": False}


def test_a_vector_that_comes_twice_counts_with_both_weights() -> None:
    a, b = family(0, 2)
    once = weighted_sum([(3, a), (1, b)])
    assert weighted_sum([(1, a), (1, b), (2, a)]) == once


@given(seeds, weights)
def test_a_weight_can_be_a_strength(seed: int, strength: float) -> None:
    a, b = family(seed, 2)
    alone = weighted_sum([(strength, a)], strengths=True)
    for layer in a.layers:
        assert strength_of(alone, layer) == pytest.approx(abs(strength), rel=1e-5)
    both = weighted_sum([(strength, a * 1000), (strength, b)], strengths=True)
    for layer in a.layers:
        adds = strength * a.residual_norms[layer] * (a.unit(layer) + b.unit(layer))
        torch.testing.assert_close(both.directions[layer], adds, rtol=1e-4, atol=1e-4)


@given(seeds, st.floats(0, 1))
def test_the_straight_way_is_as_far_from_both_ends_as_asked(seed: int, t: float) -> None:
    a, b = family(seed, 2)
    between = interpolate(a, b, t)
    for layer in a.layers:
        whole = float(difference(b, a, layer).norm())
        start = float(difference(between, a, layer).norm())
        end = float(difference(between, b, layer).norm())
        assert start == pytest.approx(t * whole, abs=1e-5)
        assert end == pytest.approx((1 - t) * whole, abs=1e-5)
    assert between.parents == (a.id, b.id)
    assert between.notes == {"t": t}


@given(seeds, st.integers(1, 5))
def test_orthogonal_to_all_of_several(seed: int, count: int) -> None:
    vector, *others = family(seed, count + 1)
    # Dependent others span no more.
    left = orthogonalise(vector, [*others, others[0] * -2])
    for layer in vector.layers:
        for other in others:
            assert cosine(left.directions[layer], other.unit(layer)) < 1e-5
        assert left.directions[layer].norm() <= vector.directions[layer].norm()
        # The rest of the vector lies in the span, so that nothing else was taken.
        span = torch.stack([other.directions[layer].double() for other in others]).T
        taken = difference(vector, left, layer)
        fit = span @ torch.linalg.lstsq(span, taken[:, None]).solution[:, 0]
        torch.testing.assert_close(fit, taken, atol=1e-5, rtol=0)
    assert left.parents[:-1] == (vector.id, *(other.id for other in others))


def test_what_lies_in_the_span_leaves_zeros() -> None:
    a, b = family(3, 2)
    left = orthogonalise(2 * a + b, [a, b])
    assert not any(direction.any() for direction in left.directions.values())


@given(seeds, seeds, shares)
def test_noise_has_the_length_that_was_asked(seed: int, chance: int, share: float) -> None:
    vector, *others = family(seed, 3)
    for spans in ({}, {"within": others}, {"without": others}):
        child = mutate(vector, share, chance, **spans)
        for layer in vector.layers:
            noise = float(difference(child, vector, layer).norm())
            assert noise == pytest.approx(share * float(vector.directions[layer].norm()), rel=1e-4)
        assert child == mutate(vector, share, chance, **spans)
        assert child != mutate(vector, share, chance + 1, **spans)
        assert child.parents == (vector.id, *(other.id for o in spans.values() for other in o))


@given(seeds, seeds)
def test_noise_stays_on_its_side_of_the_span(seed: int, chance: int) -> None:
    vector, *others = family(seed, 3)
    inside = mutate(vector, 1.0, chance, within=others)
    outside = mutate(vector, 1.0, chance, without=others)
    for layer in vector.layers:
        span = torch.stack([other.directions[layer].double() for other in others]).T
        noise = difference(inside, vector, layer)
        fit = span @ torch.linalg.lstsq(span, noise[:, None]).solution[:, 0]
        torch.testing.assert_close(fit, noise, atol=1e-5, rtol=0)
        for other in others:
            assert cosine(difference(outside, vector, layer), other.directions[layer]) < 1e-4


def test_noise_differs_between_layers() -> None:
    vector = make()
    child = mutate(vector, 1.0, 0)
    first, second = (difference(child, vector, layer) for layer in (0, 3))
    assert cosine(first, second) < 0.99


@given(seeds, st.sets(st.sampled_from((-1, 0, 3)), min_size=1, max_size=2))
def test_a_cross_takes_whole_layers(seed: int, taken: set[int]) -> None:
    first = make(seed)
    second = make(seed + 1, residual_norms={k: 9.0 for k in first.layers})
    child = crossover(first, second, taken)
    for layer in first.layers:
        parent = second if layer in taken else first
        assert torch.equal(child.directions[layer], parent.directions[layer])
        assert child.residual_norms[layer] == parent.residual_norms[layer]
    back = crossover(child, first, taken)
    assert all(torch.equal(back.directions[k], first.directions[k]) for k in first.layers)
    assert child.parents == (first.id, second.id)
    assert child.notes == {"from_second": sorted(taken)}


def test_what_the_parents_share_is_kept() -> None:
    a, b = make(0), make(1, dataset_id="e" * 16)
    child = weighted_sum([(1, a), (1, b)])
    assert (child.selector, child.dataset_id) == ("response", "")
    assert mutate(a, 0.1, 0).dataset_id == a.dataset_id


def test_concepts_do_not_grow_without_end() -> None:
    vector = make(0, concept="a")
    assert (vector + vector).concept == "(a) + (a)"
    for _ in range(40):
        vector = vector + vector
    assert len(vector.concept) == 400
    assert vector.concept.endswith("\N{HORIZONTAL ELLIPSIS}")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda a, b: weighted_sum([]), "one vector or more"),
        (lambda a, b: weighted_sum([(float("nan"), a)]), "finite"),
        (lambda a, b: weighted_sum([(1, a), (1, a - a)], strengths=True), "zero at layer"),
        (lambda a, b: weighted_sum([(1, a), (1, make(2, width=9))]), "do not match"),
        (lambda a, b: interpolate(a, b, -0.1), "between 0 and 1"),
        (lambda a, b: orthogonalise(a, []), "one vector or more"),
        (lambda a, b: orthogonalise(a, [b, b - b]), "zero at layer"),
        (lambda a, b: mutate(a, 0.0, 0), "positive share"),
        (lambda a, b: mutate(a, float("inf"), 0), "positive share"),
        (lambda a, b: mutate(a, 1.0, 0, within=[b], without=[a]), "one of the two"),
        (lambda a, b: mutate(a, 1.0, 0, without=family(5, 8)), "fills all"),
        (lambda a, b: crossover(a, b, ()), "some of the layers"),
        (lambda a, b: crossover(a, b, a.layers), "some of the layers"),
        (lambda a, b: crossover(a, b, [7]), "some of the layers"),
    ],
)
def test_what_makes_no_vector_is_refused(
    act: Callable[[SteeringVector, SteeringVector], object], message: str
) -> None:
    with pytest.raises(VectorError, match=message):
        act(*family(0, 2))

"""What a few messages say of a user: planted users are found again, and chance is not believed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import DatasetError
from selfsteer.steering.users.shrinkage import (
    UserSpace,
    components,
    effective_count,
    recency_weights,
)

WIDTH = 6
BETWEEN = torch.diag(torch.tensor([4.0, 1.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64))
WITHIN = torch.diag(torch.tensor([1.0, 1.0, 9.0, 1.0, 0.5, 0.5], dtype=torch.float64))


def draw(users: int, messages: int, seed: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Where users are, and what their messages show."""
    source = torch.Generator().manual_seed(seed)
    normal = torch.randn(users, WIDTH, generator=source, dtype=torch.float64)
    truth = normal @ BETWEEN.sqrt() + 5.0
    noise = torch.randn(users, messages, WIDTH, generator=source, dtype=torch.float64)
    return truth, list(truth[:, None] + noise @ WITHIN.sqrt())


def test_components_are_found_again() -> None:
    _, values = draw(2000, 5, seed=0)
    mean, between, within = components(values)
    assert torch.allclose(mean, torch.full((WIDTH,), 5.0, dtype=torch.float64), atol=0.15)
    assert torch.allclose(between, BETWEEN, atol=0.3)
    assert torch.allclose(within, WITHIN, atol=0.3)


def test_what_varies_within_users_is_not_taken_for_a_difference_between_them() -> None:
    _, values = draw(3000, 2, seed=1)
    _, between, _ = components(values)
    # The means of two messages differ there by 9 / 2; none of it is the users'.
    assert float(between[2, 2]) < 0.4


def test_components_hold_for_users_with_different_numbers_of_messages() -> None:
    _, values = draw(3000, 6, seed=2)
    _, between, _ = components([rows[: 1 + n % 6] for n, rows in enumerate(values)])
    assert torch.allclose(between, BETWEEN, atol=0.35)


@pytest.mark.parametrize("counts", [[5], [1, 1, 1], []])
def test_too_few_users_or_messages_are_refused(counts: list[int]) -> None:
    with pytest.raises(DatasetError, match="population needs two users"):
        components([torch.randn(n, WIDTH, dtype=torch.float64) for n in counts])


def space() -> UserSpace:
    return UserSpace.of(torch.full((WIDTH,), 5.0, dtype=torch.float64), BETWEEN, WITHIN, 4)


def test_coordinates_have_variance_one_within_users_and_do_not_go_together() -> None:
    axes = space().axes
    assert torch.allclose(axes @ WITHIN @ axes.mT, torch.eye(4, dtype=torch.float64), atol=1e-2)


def test_the_most_telling_coordinates_come_first() -> None:
    spread = space().spread
    assert torch.allclose(spread[:2], torch.tensor([4.0, 1.0], dtype=torch.float64), rtol=1e-2)
    assert float(spread[2:].max()) < 1e-9


def test_lift_undoes_measure_within_the_coordinates() -> None:
    found = space()
    place = torch.randn(3, 4, dtype=torch.float64)
    again = found.measure(place @ found.lift + found.mean)
    assert torch.allclose(again, place, atol=1e-8)


def test_the_guess_is_the_best_linear_one() -> None:
    """Against the formula over all dimensions, before any change of coordinates."""
    found = space()
    _, values = draw(1, 10, seed=3)
    rows = values[0]
    measured = found.measure(rows)
    weights = recency_weights(len(rows), None)
    count = len(rows) / found.unrest(measured, weights)
    expected = BETWEEN @ torch.linalg.solve(BETWEEN + WITHIN / count, rows.mean(0) - found.mean)
    guess = (found.guess(measured, weights) * found.spread.sqrt()) @ found.lift
    assert torch.allclose(guess, expected, atol=2e-2)


def test_guesses_of_many_users_come_nearer_with_every_message() -> None:
    truth, values = draw(500, 20, seed=4)
    found = space()

    def error(count: int) -> float:
        guesses = torch.stack(
            [
                found.guess(found.measure(rows[:count]), recency_weights(count, None))
                for rows in values
            ]
        )
        lifted = (guesses * found.spread.sqrt()) @ found.lift + found.mean
        return float((lifted - truth)[:, :2].square().mean())

    errors = [error(count) for count in (1, 3, 10, 20)]
    assert errors == sorted(errors, reverse=True)
    # Nothing known would leave the variance between users, 2.5 on average over both.
    assert errors[0] < 1.2


def test_messages_that_contradict_each_other_count_for_less() -> None:
    found = space()
    rows = torch.zeros(10, WIDTH, dtype=torch.float64) + 5.0
    rows[:, 0] += 2.0
    torn = rows.clone()
    torn[::2, 0] += 8.0
    torn[1::2, 0] -= 8.0
    weights = recency_weights(10, None)
    calm, upset = (found.unrest(found.measure(one), weights) for one in (rows, torn))
    assert calm < 1 < upset
    quiet, loud = (found.guess(found.measure(one), weights)[0].abs() for one in (rows, torn))
    assert loud < quiet


def test_the_newest_message_counts_most_and_halves_with_age() -> None:
    weights = recency_weights(5, 2.0)
    assert float(weights[-1]) == 1.0
    assert float(weights[0]) == pytest.approx(0.25)


@pytest.mark.parametrize("half_life", [0.0, -1.0, float("nan")])
def test_a_half_life_that_is_not_positive_is_refused(half_life: float) -> None:
    with pytest.raises(DatasetError, match="not positive"):
        recency_weights(3, half_life)


@given(st.integers(1, 50), st.floats(0.5, 100.0))
def test_weighted_messages_are_worth_between_one_and_all(n: int, half_life: float) -> None:
    count = effective_count(recency_weights(n, half_life))
    assert 1 - 1e-9 <= count <= n + 1e-9

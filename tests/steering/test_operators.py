"""Operators against their formulas in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.steering.operators import OPERATORS, ablate, add

B, T, D = 3, 4, 7


def problem(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    wide = {"generator": generator, "dtype": torch.float64}
    direction = torch.randn(B, 1, D, **wide)
    return (
        torch.randn(B, T, D, **wide),
        direction / direction.norm(dim=-1, keepdim=True),
        torch.randn(B, 1, 1, **wide),
    )


@given(st.integers(0, 2**31))
def test_add_moves_along_the_direction(seed: int) -> None:
    x, u, s = problem(seed)
    delta = add(x, u, s).expand_as(x)
    for b in range(B):
        for t in range(T):
            torch.testing.assert_close(delta[b, t], s[b, 0, 0] * u[b, 0])


@given(st.integers(0, 2**31))
def test_ablate_leaves_the_fraction_that_was_not_taken(seed: int) -> None:
    x, u, s = problem(seed)
    left = x + ablate(x, u, s)
    along, before = (left * u).sum(-1), (x * u).sum(-1)
    torch.testing.assert_close(along, (1 - s.squeeze(-1)) * before)
    across = x - before[..., None] * u
    torch.testing.assert_close(left - along[..., None] * u, across)


@given(st.integers(0, 2**31))
def test_full_ablation_is_a_projection(seed: int) -> None:
    x, u, _ = problem(seed)
    one = torch.ones(B, 1, 1, dtype=torch.float64)
    once = x + ablate(x, u, one)
    torch.testing.assert_close(once + ablate(once, u, one), once)


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_a_zero_direction_changes_nothing(name: str) -> None:
    x, u, s = problem(0)
    assert (OPERATORS[name].delta(x, torch.zeros_like(u), s) == 0).all()


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_constant_operators_do_not_look_at_the_activation(name: str) -> None:
    x, u, s = problem(0)
    operator = OPERATORS[name]
    same = operator.delta(x, u, s).expand_as(x).equal(operator.delta(2 * x, u, s).expand_as(x))
    assert same == operator.constant
    assert operator.unit

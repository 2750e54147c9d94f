"""Operators against their formulas in float64, and the laws of algebra that they keep."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.model import Student
from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.operators.bases import difference, orthonormal
from selfsteer.steering.operators.erase import threes
from selfsteer.steering.operators.norm import rescaled
from tests.steering.exactness import formula_differences

B, T, D = 3, 4, 7
seeds = st.integers(0, 2**31)
WIDE = torch.float64


def problem(seed: int, vectors: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Activations [B, T, D], raw directions [B, N, D] and strengths [B, 1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((B, T, D), (B, vectors, D), (B, 1, 1))
    x, v, s = (torch.randn(shape, generator=generator, dtype=WIDE) for shape in shapes)
    return x, v, s


def apply(name: str, x: Tensor, raw: Tensor, strength: Tensor | float) -> Tensor:
    """The edited activation, from raw directions [B, N, D]."""
    operator = OPERATORS[name]
    directions = torch.stack([operator.basis(row) for row in raw])
    s = torch.as_tensor(strength, dtype=WIDE).expand(B, 1, 1)
    return x + operator.delta(x, directions, s)


def unit(raw: Tensor) -> Tensor:
    return raw / raw.norm(dim=-1, keepdim=True)


def along(x: Tensor, raw: Tensor) -> Tensor:
    """[B, T] projection on the first direction."""
    return (x * unit(raw[:, :1])).sum(-1)


def angle(x: Tensor, raw: Tensor) -> Tensor:
    """[B, T] angle to the first direction."""
    return torch.acos((along(x, raw) / x.norm(dim=-1)).clamp(-1, 1))


def test_every_operator_is_its_formula(llama: Student) -> None:
    """On every operator's example edit, token by token against the formula written out."""
    apart = formula_differences(llama)
    assert apart.keys() == OPERATORS.keys()
    assert max(apart.values()) < 1e-12


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_a_zero_direction_changes_nothing(name: str) -> None:
    x, _, s = problem(0)
    operator = OPERATORS[name]
    for n in operator.vectors[:3]:
        directions = operator.basis(problem(0, n)[1][0]).expand(B, -1, -1)
        assert (operator.delta(x, torch.zeros_like(directions), s) == 0).all()
        # As of a row whose edit has fewer vectors than another's in the batch
        padded = torch.cat([directions, torch.zeros_like(directions)], dim=1)
        if n > 2 and not operator.constant:
            assert operator.delta(x, padded, s).equal(operator.delta(x, directions, s))


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_constant_operators_do_not_look_at_the_activation(name: str) -> None:
    operator = OPERATORS[name]
    x, v, s = problem(0, max(operator.vectors.start, 1))
    u = torch.stack([operator.basis(row) for row in v])
    same = operator.delta(x, u, s).expand_as(x).equal(operator.delta(2 * x, u, s).expand_as(x))
    assert same == operator.constant
    assert operator.unit


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_strength_0_is_a_dose_of_nothing_or_a_target(name: str) -> None:
    operator = OPERATORS[name]
    x, v, _ = problem(1, operator.vectors.start)
    unchanged = torch.allclose(apply(name, x, v, 0.0), x, atol=1e-12, rtol=0)
    assert unchanged == (operator.target is None)


@given(seeds)
def test_ablate_leaves_the_fraction_that_was_not_taken(seed: int) -> None:
    x, v, s = problem(seed, 3)
    left = apply("ablate", x, v, s)
    for direction in range(3):
        one = unit(v[:, direction : direction + 1])
        before, after = ((y * one).sum(-1) for y in (x, left))
        torch.testing.assert_close(after, (1 - s.squeeze(-1)) * before)
    inside = torch.linalg.lstsq(v.mT, (x - left).mT).solution
    torch.testing.assert_close((v.mT @ inside).mT, x - left)  # nothing else is touched


@given(seeds, st.integers(1, 4))
def test_full_ablation_is_a_projection_on_any_basis_of_the_span(seed: int, k: int) -> None:
    x, v, _ = problem(seed, k)
    once = apply("ablate", x, v, 1.0)
    torch.testing.assert_close(apply("ablate", once, v, 1.0), once)
    torch.testing.assert_close(apply("ablate", x, v.flip(1).cumsum(1), 1.0), once)


@given(seeds)
def test_clamps_put_the_projection_where_they_say(seed: int) -> None:
    x, v, s = problem(seed)
    before, wanted = along(x, v), s.squeeze(-1).expand(B, T)
    expected = {
        "clamp": wanted,
        "floor": torch.maximum(before, wanted),
        "ceiling": torch.minimum(before, wanted),
    }
    for name, projection in expected.items():
        y = apply(name, x, v, s)
        torch.testing.assert_close(along(y, v), projection)
        torch.testing.assert_close(apply(name, y, v, s), y)
        torch.testing.assert_close(
            y - along(y, v)[..., None] * unit(v), x - before[..., None] * unit(v)
        )


@given(seeds)
def test_floor_and_ceiling_are_the_two_sides_of_a_clamp(seed: int) -> None:
    x, v, s = problem(seed)
    both = apply("ceiling", apply("floor", x, v, s), v, s)
    torch.testing.assert_close(both, apply("clamp", x, v, s))
    torch.testing.assert_close(apply("ceiling", x, v, s), apply("floor", x, -v, -s))


@given(seeds, st.floats(-math.pi, math.pi))
def test_rotate_turns_by_the_angle_and_keeps_the_norm(seed: int, by: float) -> None:
    x, v, _ = problem(seed)
    y = apply("rotate", x, v, by)
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    expected = (angle(x, v) - by).clamp(0, math.pi)
    # acos loses half its digits at the ends of its range
    torch.testing.assert_close(angle(y, v), expected, atol=1e-6, rtol=0)
    in_span = torch.stack([x, unit(v).expand_as(x)], dim=-1)
    found = in_span @ torch.linalg.lstsq(in_span, y[..., None]).solution
    torch.testing.assert_close(found[..., 0], y)


@given(seeds, st.floats(0.01, 0.3))
def test_rotating_there_and_back_is_the_identity(seed: int, by: float) -> None:
    x, v, _ = problem(seed)
    back = apply("rotate", apply("rotate", x, v, -by), v, by)
    inside = angle(x, v) + by < math.pi - 0.01  # the turn away did not end at the opposite
    torch.testing.assert_close(back[inside], x[inside], atol=1e-9, rtol=0)


@given(seeds, st.floats(0.0, math.pi))
def test_rotate_to_reaches_the_angle(seed: int, target: float) -> None:
    x, v, _ = problem(seed)
    y = apply("rotate_to", x, v, target)
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(
        angle(y, v), torch.full((B, T), target, dtype=WIDE), atol=1e-6, rtol=0
    )


def test_an_activation_along_the_direction_is_not_turned() -> None:
    x, v, _ = problem(0)
    parallel = x.norm(dim=-1, keepdim=True) * unit(v)
    for y in (parallel, -parallel, torch.zeros_like(x)):
        assert apply("rotate", y, v, 1.0).equal(y)
        assert apply("rotate_to", y, v, 1.0).equal(y)


@given(seeds, st.floats(-6, 6))
def test_rotation_in_a_plane_is_a_rotation(seed: int, by: float) -> None:
    x, v, _ = problem(seed, 2)
    y = apply("rotate_in_plane", x, v, by)
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(apply("rotate_in_plane", y, v, -by), x)
    outside = apply("ablate", x, v, 1.0)
    torch.testing.assert_close(apply("ablate", y, v, 1.0), outside)


@given(seeds, st.floats(-6, 6))
def test_angular_steering_puts_the_part_in_the_plane_at_the_angle(seed: int, target: float) -> None:
    x, v, _ = problem(seed, 2)
    y = apply("rotate_in_plane_to", x, v, target)
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    first, second = torch.stack([orthonormal(row) for row in v]).split(1, dim=1)
    p1, p2 = (y * first).sum(-1), (y * second).sum(-1)
    length = torch.hypot(p1, p2)
    torch.testing.assert_close(p1, length * math.cos(target))
    torch.testing.assert_close(p2, length * math.sin(target))
    torch.testing.assert_close(apply("rotate_in_plane_to", y, v, target), y)
    start = torch.atan2((x * second).sum(-1), (x * first).sum(-1))
    by = (target - start)[:, :1, None]  # the same by a turn, for the first token of each row
    torch.testing.assert_close(apply("rotate_in_plane", x, v, by)[:, :1], y[:, :1])


@given(seeds)
def test_a_swap_is_undone_by_the_swap_back(seed: int) -> None:
    x, v, s = problem(seed, 2)
    there = apply("swap", x, v, s)
    torch.testing.assert_close(there, x - s * v[:, 1:] + s * v[:, :1])
    torch.testing.assert_close(apply("swap", there, v.flip(1), s), x)


@given(seeds, st.integers(1, 3), st.booleans())
def test_erasure_is_a_projection_that_keeps_its_point(seed: int, k: int, affine: bool) -> None:
    x, v, _ = problem(seed, 2 * k + affine)
    v[:, k : 2 * k] += 3 * v[:, :k]  # so that what is taken away is seen
    point = v[:, 2 * k :] if affine else torch.zeros(B, 1, D, dtype=WIDE)
    once = apply("erase", x, v, 1.0)
    measured = (once - point) @ v[:, k : 2 * k].mT
    torch.testing.assert_close(measured, torch.zeros_like(measured), atol=1e-9, rtol=0)
    torch.testing.assert_close(apply("erase", once, v, 1.0), once)
    torch.testing.assert_close(apply("erase", point, v, 0.7), point)
    half = apply("erase", x, v, 0.5)
    torch.testing.assert_close(half, (x + once) / 2)
    taken = torch.linalg.lstsq(v[:, :k].mT, (x - once).mT).solution
    torch.testing.assert_close((v[:, :k].mT @ taken).mT, x - once)  # nothing else is touched


@given(seeds, st.integers(1, 3))
def test_erasure_measured_by_what_it_takes_is_ablation(seed: int, k: int) -> None:
    x, v, _ = problem(seed, k)
    both = torch.cat([v, v.flip(1)], dim=1)
    torch.testing.assert_close(apply("erase", x, both, 0.8), apply("ablate", x, v, 0.8))


def test_what_is_not_measured_cannot_be_erased() -> None:
    raw = torch.eye(D, dtype=WIDE)
    with pytest.raises(VectorError, match="first 1 of the 2 vectors of an erasure are not all"):
        threes(raw[:2])
    with pytest.raises(VectorError, match="first 2 of the 5 vectors"):
        threes(raw[[0, 0, 0, 1, 4]])


@given(seeds, st.sampled_from(["add", "ablate", "clamp", "swap"]))
def test_rescaled_keeps_the_norm_and_the_new_direction(seed: int, name: str) -> None:
    x, v, s = problem(seed, OPERATORS[name].vectors.start)
    y = apply(name, x, v, s)
    kept = rescaled(y, x)
    torch.testing.assert_close(kept.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(unit(kept), unit(y))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rescaling_what_did_not_change_is_bit_equal(dtype: torch.dtype) -> None:
    x = problem(0)[0].to(dtype)
    x[0, 0] = 0
    assert rescaled(x.clone(), x).equal(x)


@given(seeds, st.integers(1, 4))
def test_an_orthonormal_basis_follows_its_vectors(seed: int, k: int) -> None:
    raw = problem(seed, k)[1][0]
    basis = orthonormal(raw)
    torch.testing.assert_close(basis @ basis.T, torch.eye(k, dtype=WIDE))
    torch.testing.assert_close(basis[0], unit(raw)[0])
    coordinates = raw @ basis.T
    assert (coordinates.diagonal() > 0).all()
    torch.testing.assert_close(coordinates @ basis, raw)
    torch.testing.assert_close(coordinates, coordinates.tril(), atol=1e-12, rtol=0)


def test_dependent_vectors_are_refused() -> None:
    raw = problem(0, 3)[1][0]
    raw[2] = raw[0] - 2 * raw[1]
    with pytest.raises(VectorError, match="3 vectors of one edit are linearly dependent"):
        orthonormal(raw)
    with pytest.raises(VectorError, match="linearly dependent"):
        orthonormal(problem(0, D + 1)[1][0])
    with pytest.raises(VectorError, match="are equal"):
        difference(raw[:1].repeat(2, 1))

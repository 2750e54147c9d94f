"""Factorial least squares: exact, with standard errors, and honest about what it cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from selfsteer.errors import DatasetError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.design import Contrast, Design
from selfsteer.steering.extraction.factorial import factorial, fit_factorial
from selfsteer.steering.extraction.registry import extract

ITEMS = ("tea", "sun", "cat", "sea", "oak")


def written_out(design: Design) -> np.ndarray[Any, Any]:
    """``[N, P + items]``: one column for each level, then one for each item."""
    columns = [
        np.array([value == level for value in design.attributes[name]])
        for name, level in design.columns
    ]
    items = [np.array([value == item for value in design.items]) for item in set(design.items)]
    return np.array(columns + items, dtype=float).T


def _design(rows: list[tuple[str, str, str]]) -> Design:
    items, tongues, tones = zip(*rows, strict=True)
    return Design({"tongue": tongues, "tone": tones}, items)


TEXTS = st.tuples(st.sampled_from(ITEMS), st.sampled_from("abc"), st.sampled_from("xy"))
DESIGNS = (
    st.lists(TEXTS, min_size=2, max_size=30)
    .filter(lambda rows: all(len({row[place] for row in rows}) > 1 for place in (1, 2)))
    .map(_design)
)
"""Any design over up to 30 texts: unbalanced, often confounded."""


def noise(design: Design, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, design.n_texts, 3, generator=generator, dtype=torch.float64)


@given(DESIGNS)
def test_is_least_squares_on_the_design_written_out(design: Design) -> None:
    """Contrast and standard error for every contrast, and an error exactly where there is none."""
    values = noise(design)
    fit = fit_factorial(values, design)
    matrix = written_out(design)
    inverse = np.linalg.pinv(matrix.T @ matrix, rcond=1e-10, hermitian=True)
    told = inverse @ (matrix.T @ matrix)
    degrees = design.n_texts - np.linalg.matrix_rank(matrix)
    for contrast in design.contrasts():
        weights = np.zeros(matrix.shape[1])
        weights[: len(design.columns)] = design.weights(contrast).numpy()
        if not np.allclose(told @ weights, weights, atol=1e-6):
            with pytest.raises(DatasetError, match="cannot be told from"):
                fit.contrast(contrast)
            continue
        found = fit.contrast(contrast)
        for layer in range(2):
            effects = inverse @ matrix.T @ values[layer].numpy()
            np.testing.assert_allclose(found.direction[layer], weights @ effects, atol=1e-9)
            rest = values[layer].numpy() - matrix @ effects
            if degrees == 0:
                assert torch.isnan(found.standard_error).all()
                continue
            error = np.sqrt(weights @ inverse @ weights * (rest**2).sum(axis=0) / degrees)
            np.testing.assert_allclose(found.standard_error[layer], error, atol=1e-8)


@given(DESIGNS)
def test_effects_that_are_there_are_found_without_noise(design: Design) -> None:
    """z = item + effects, exactly: every contrast that the design tells is the true one."""
    generator = torch.Generator().manual_seed(1)
    truth = torch.randn(len(design.columns), 3, generator=generator, dtype=torch.float64)
    items = 10 * torch.randn(len(ITEMS), 3, generator=generator, dtype=torch.float64)
    values = items[design.item_index] + truth[design.effect_index].sum(dim=1)
    fit = fit_factorial(values[None], design)
    told = 0
    for contrast in design.contrasts():
        try:
            found = fit.contrast(contrast)
        except DatasetError:
            continue
        told += 1
        expected = design.weights(contrast) @ truth
        torch.testing.assert_close(found.direction[0], expected, atol=1e-8, rtol=1e-8)
    assume(told)


def test_confounded_texts_mislead_the_means_but_not_the_fit() -> None:
    """Two attributes that mostly go together: the raw mean difference holds both of them."""
    tone, tongue = "xxxyyy", "aabbba"
    design = Design({"tone": tuple(tone), "tongue": tuple(tongue)})
    values = torch.tensor([[[t == "y", g == "b"] for t, g in zip(tone, tongue, strict=True)]])
    values = values.float()
    raw = values[0, 3:].mean(dim=0) - values[0, :3].mean(dim=0)
    assert raw[1] > 0.3
    found = fit_factorial(values, design).contrast(Contrast("tone", "y", "x")).direction[0]
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0]).double())


def test_standard_errors_are_the_spread_over_samples() -> None:
    """Of 500 samples with unit noise, unbalanced: the spread of the contrast, within 4 of its own
    standard errors (1 / sqrt(2 * 500) each)."""
    design = Design(
        {"tone": tuple("xxyxyyyxyx"), "tongue": tuple("abcabcaabc")}, tuple("1122334455")
    )
    contrast = Contrast("tone", "y", "x")
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(500, 10, 2, generator=generator, dtype=torch.float64)
    found = fit_factorial(values, design).contrast(contrast)
    spread = found.direction.std()
    claimed = found.standard_error.square().mean().sqrt()
    assert float(claimed / spread) == pytest.approx(1, abs=4 / 1000**0.5)
    assert float(found.direction.mean()) == pytest.approx(0, abs=4 * float(spread) / 1000**0.5)


def test_a_level_against_the_mean_and_levels_against_each_other() -> None:
    design = Design({"tongue": tuple("abcabcc")}, tuple("1112223"))
    fit = fit_factorial(noise(design), design)
    each = [fit.contrast(Contrast("tongue", level)).direction for level in "abc"]
    torch.testing.assert_close(sum(each), torch.zeros_like(each[0]), atol=1e-12, rtol=0)
    pair = fit.contrast(Contrast("tongue", "a", "c")).direction
    torch.testing.assert_close(pair, each[0] - each[2])


def test_what_cannot_be_told_is_named() -> None:
    together = Design(
        {"tone": tuple("xxyyxy"), "tongue": tuple("aabbab"), "size": tuple("sbsssb")},
        tuple("123122"),
    )
    fit = fit_factorial(noise(together), together)
    with pytest.raises(DatasetError, match=r"'tone: y - x' cannot .* 'tongue' \(a, b\): they go"):
        fit.contrast(Contrast("tone", "y", "x"))
    with pytest.raises(DatasetError, match="'tongue: b - a' cannot be told from 'tone'"):
        fit.contrast(Contrast("tongue", "b", "a"))
    assert torch.isfinite(fit.contrast(Contrast("size", "s", "b")).direction).all()

    with_items = Design({"tone": tuple("xxyy")}, ("sun", "sun", "sea", "sea"))
    fit = fit_factorial(noise(with_items), with_items)
    with pytest.raises(DatasetError, match="cannot be told from the items"):
        fit.contrast(Contrast("tone", "y", "x"))


def test_only_the_levels_that_no_item_links_are_lost() -> None:
    """a and b meet in one item, c and d in another: a - b is told, a - c is not."""
    design = Design({"tongue": tuple("abcdab")}, tuple("112233"))
    fit = fit_factorial(noise(design), design)
    assert torch.isfinite(fit.contrast(Contrast("tongue", "a", "b")).direction).all()
    with pytest.raises(DatasetError, match="cannot be told from the items"):
        fit.contrast(Contrast("tongue", "a", "c"))
    with pytest.raises(DatasetError, match="cannot be told from the items"):
        fit.contrast(Contrast("tongue", "a"))


def test_levels_are_linked_through_other_levels() -> None:
    """No item has both a and c, but one links a to b and another b to c."""
    design = Design({"tongue": tuple("abbc")}, tuple("1122"))
    values = noise(design)[:1]
    found = fit_factorial(values, design).contrast(Contrast("tongue", "c", "a")).direction
    chain = (values[0, 3] - values[0, 2]) + (values[0, 1] - values[0, 0])
    torch.testing.assert_close(found[0], chain)


def test_many_items_are_no_burden() -> None:
    """50,000 texts of 25,000 items: the design written out would take 10 GB."""
    items = [str(i // 2) for i in range(50_000)]
    design = Design({"tone": tuple("xy") * 25_000}, items)
    generator = torch.Generator().manual_seed(0)
    values = 100 * torch.randn(1, 25_000, 1, 4, generator=generator).expand(1, 25_000, 2, 4)
    values = values.reshape(1, 50_000, 4) + 0.0
    values[:, 1::2] += 2
    found = fit_factorial(values, design).contrast(Contrast("tone", "y", "x"))
    # Activations of size 100 are rounded to 2^-17
    torch.testing.assert_close(found.direction, torch.full((1, 4), 2.0).double(), atol=1e-4, rtol=0)
    assert found.standard_error.max() < 1e-4


def test_pairs_without_a_design_give_the_mean_difference(planted: Callable[..., Any]) -> None:
    activations, _ = planted(noise=1.0)
    torch.testing.assert_close(
        factorial(activations), activations.differences().mean(dim=1), atol=1e-12, rtol=0
    )


def test_a_design_takes_out_what_else_differs_between_the_sides(
    planted: Callable[..., Any],
) -> None:
    """In three pairs of four the positive side is also the long one, which shifts it elsewhere."""
    activations, truth = planted(noise=0.0, pairs=8, width=32)
    generator = torch.Generator().manual_seed(9)
    length = torch.randn(2, 1, 32, generator=generator)
    is_long = torch.tensor([1, 1, 1, 0] * 2).bool()
    mixed = ContrastiveActivations(
        activations.layers,
        activations.positive + length * is_long[:, None],
        activations.negative + length * ~is_long[:, None],
        activations.residual_norms,
    )
    words = {True: "long", False: "short"}
    long = [words[flag] for flag in is_long.tolist() + (~is_long).tolist()]
    found = extract("factorial", mixed, Design({"length": long}, [str(i % 8) for i in range(16)]))
    torch.testing.assert_close(found, truth, atol=1e-5, rtol=0)
    raw = extract("mean_difference", mixed)
    torch.testing.assert_close(raw, truth + length[:, 0] / 2, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("attributes", "items", "message"),
    [
        ({}, "", "needs an attribute"),
        ({"tone": ""}, "", "needs an attribute"),
        ({"tone": "xy", "tongue": "aba"}, "", "one length"),
        ({"tone": "xy"}, "123", "one length"),
        ({"tone": "xx"}, "", "'tone' has the level 'x' in every text"),
    ],
)
def test_malformed_designs_are_refused(
    attributes: dict[str, str], items: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        Design({name: tuple(levels) for name, levels in attributes.items()}, tuple(items))


def test_bad_input(planted: Callable[..., Any]) -> None:
    design = Design({"tone": tuple("xyxy")}, tuple("1122"))
    fit = fit_factorial(noise(design), design)
    for contrast, message in (
        (Contrast("size", "s"), "no attribute 'size'; it has tone"),
        (Contrast("tone", "z"), "no level 'z'; it has x, y"),
        (Contrast("tone", "x", "z"), "no level 'z'; it has x, y"),
        (Contrast("tone", "x", "x"), "with itself"),
    ):
        with pytest.raises(DatasetError, match=message):
            fit.contrast(contrast)
    with pytest.raises(DatasetError, match=r"describes 4 texts.*\[2, 3, 3\]"):
        fit_factorial(noise(design)[:, :3], design)
    with pytest.raises(DatasetError, match="NaN"):
        fit_factorial(noise(design) / 0, design)
    activations, _ = planted(pairs=2)
    with pytest.raises(DatasetError, match="'side' is the contrast itself"):
        factorial(activations, Design({"side": tuple("xyxy")}))
    with pytest.raises(DatasetError, match="'side: positive - negative' cannot be told from 'len"):
        factorial(activations, Design({"length": tuple("sstt")}))

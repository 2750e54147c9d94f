"""Factorial least squares: activations as an item plus the levels of several attributes.

The model is ``z = item + effect of its level of each attribute + rest``, for texts in any
combination of items and levels: no balance is asked for, and items need not be seen at every level.
Least squares then gives each attribute's effects with all others and the items held fixed. This is
the linear regression that the first seed's "better ways of computing the steering vector" asks for,
with ``z = z_concept + z_language + z_rest`` as its case with one attribute.

The solution is exact and the design is never written out as a matrix of texts x columns. Items,
of which there may be as many as texts, drop out when everything is taken relative to the mean of
its item (Frisch and Waugh, "Partial time regressions as compared with individual trends", 1933);
what is left are normal equations between the P levels, filled from counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from selfsteer.errors import DatasetError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.design import Contrast, Design

SIDE = "side"
_ZERO = 1e-9
"""Relative to the largest eigenvalue of the normal equations. Those come from counts, so that what
is not zero is far above this, and what is zero is off by rounding (1e-16 times the levels) only."""


class Estimate(NamedTuple):
    """A contrast as the data tell it.

    Attributes:
        direction: ``[L, D]`` float64, from what is contrasted with to the level.
        standard_error: ``[L, D]`` float64, of each coordinate, for a rest that is independent
            between texts and of equal variance in all of them; NaN where there are as many effects
            as texts, so that no rest is left to judge by.
    """

    direction: Tensor
    standard_error: Tensor


@dataclass(frozen=True)
class FactorialFit:
    """The solution for all effects.

    Attributes:
        design: the design, whose ``columns`` are the P effects.
        effects: ``[L, P, D]`` float64; the shortest of all solutions, in which only contrasts that
            can be estimated mean anything. :meth:`contrast` gives those.
        inverse: ``[P, P]``, the pseudo-inverse of the normal equations.
        untold: ``[P, P]``, the projection onto combinations of effects that the data do not tell.
        residual_variance: ``[L, D]`` float64, of the rest; NaN without degrees of freedom.
    """

    design: Design
    effects: Tensor
    inverse: Tensor
    untold: Tensor
    residual_variance: Tensor

    def contrast(self, contrast: Contrast) -> Estimate:
        """One contrast with its standard error.

        Raises:
            DatasetError: the design has no such level, or its texts cannot tell the contrast from
                something else; the message says from what.
        """
        weights = self.design.weights(contrast).to(self.effects.device)
        untold = self.untold @ weights
        if untold.abs().max() > _ZERO**0.5:
            raise DatasetError(_confounded(self.design, contrast, untold.tolist()))
        return Estimate(
            torch.einsum("p,lpd->ld", weights, self.effects),
            (weights @ self.inverse @ weights * self.residual_variance).sqrt(),
        )


def fit_factorial(values: Tensor, design: Design) -> FactorialFit:
    """Least squares for all effects of a design at once.

    Args:
        values: ``[L, N, D]``, the activations of the design's texts in their order.

    Raises:
        DatasetError: the number of texts is not the design's, or activations are NaN or infinite.
    """
    if values.ndim != 3 or values.shape[1] != design.n_texts:
        raise DatasetError(
            f"The design describes {design.n_texts} texts; the activations have shape "
            f"{list(values.shape)} and should have [layers, {design.n_texts}, d_model]."
        )
    if not torch.isfinite(values).all():
        raise DatasetError("The activations hold NaN or infinite values.")
    items = design.item_index.to(values.device)
    columns = design.effect_index.to(values.device)
    rest = _about_items(values.double(), items)
    inverse, untold, rank = _pseudo_inverse(_normal_matrix(items, columns, len(design.columns)))
    moments = rest.new_zeros(len(rest), len(design.columns), rest.shape[2])
    for attribute in columns.T:
        moments.index_add_(1, attribute, rest)
    effects = inverse @ moments
    fitted = torch.stack([effects[:, attribute] for attribute in columns.T]).sum(dim=0)
    rest = rest - _about_items(fitted, items)
    degrees = design.n_texts - int(items.max()) - 1 - rank
    variance = rest.square().sum(dim=1) / degrees if degrees else rest[:, 0] * float("nan")
    return FactorialFit(design, effects, inverse, untold, variance)


def factorial(activations: ContrastiveActivations, design: Design | None = None) -> Tensor:
    """``[L, D]``, positive minus negative with the design's items and attributes held fixed.

    Args:
        design: of the 2N texts, the positive ones first; what else differs between them. Without
            one each pair is an item and nothing else differs, which gives the mean difference.

    Raises:
        DatasetError: the design describes another number of texts, has an attribute named "side",
            or goes so closely with the sides that the two cannot be told apart.
    """
    n = activations.n_pairs
    if design is None:
        attributes, items = {}, tuple(str(pair) for pair in range(n)) * 2
    else:
        attributes, items = dict(design.attributes), tuple(design.items)
    if SIDE in attributes:
        raise DatasetError(f"The design's attribute {SIDE!r} is the contrast itself; rename it.")
    attributes[SIDE] = ("positive",) * n + ("negative",) * n
    values = torch.cat([activations.positive, activations.negative], dim=1)
    fit = fit_factorial(values, Design(attributes, items))
    return fit.contrast(Contrast(SIDE, "positive", "negative")).direction


def _about_items(values: Tensor, items: Tensor) -> Tensor:
    """``[L, N, D]`` relative to the mean of each text's item."""
    count = torch.bincount(items).to(values.dtype)
    means = values.new_zeros(len(values), len(count), values.shape[2])
    means.index_add_(1, items, values)
    return values - (means / count[:, None])[:, items]


def _normal_matrix(items: Tensor, columns: Tensor, width: int) -> Tensor:
    """``[P, P]`` float64: the scalar products of the level columns, relative to item means.

    How many texts have both levels, less what two columns share through the items alone.
    """
    together = columns[:, :, None] * width + columns[:, None, :]
    both = torch.bincount(together.flatten(), minlength=width * width).view(width, width).double()
    n_items = int(items.max()) + 1
    seen = torch.bincount(
        (items[:, None] * width + columns).flatten(), minlength=n_items * width
    ).view(n_items, width)
    expected = seen.double() / torch.bincount(items)[:, None]
    return both - seen.double().T @ expected


def _pseudo_inverse(matrix: Tensor) -> tuple[Tensor, Tensor, int]:
    """Of a symmetric matrix: the pseudo-inverse, the projection onto its null space, its rank."""
    values, vectors = torch.linalg.eigh(matrix)
    # Where every item has one text, nothing is left but rounding; counts are 1 or more
    told = values > _ZERO * values[-1].clamp_min(1)
    inverse = (vectors[:, told] / values[told]) @ vectors[:, told].T
    null = vectors[:, ~told]
    return inverse, null @ null.T, int(told.sum())


def _confounded(design: Design, contrast: Contrast, untold: list[float]) -> str:
    """What a contrast cannot be told from, in a sentence.

    Args:
        untold: ``[P]``, the contrast's part that the data do not tell. The null space holds the
            sum of each attribute's columns, which is orthogonal to every contrast; so the levels
            that occur here are those that go together with this contrast.
    """
    partners: dict[str, list[str]] = {}
    for (name, level), weight in zip(design.columns, untold, strict=True):
        if abs(weight) > _ZERO**0.5 and name != contrast.attribute:
            partners.setdefault(name, []).append(level)
    if not partners:
        return (
            f"The contrast '{contrast}' cannot be told from the items: no item has both levels, "
            "nor do other items link them; add texts of one item at both levels."
        )
    named = " and ".join(f"{name!r} ({', '.join(levels)})" for name, levels in partners.items())
    return (
        f"The contrast '{contrast}' cannot be told from {named}: they go together in all texts; "
        "add texts in which they do not."
    )

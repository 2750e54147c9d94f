"""New steering vectors from several others, layer by layer, in float64, with their parents named.

Sums, differences and turns of two vectors are methods of
:class:`selfsteer.steering.vectors.SteeringVector`; here is what takes more of them, or chance.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering import algebra
from selfsteer.steering.vector_checks import check_directed, check_family
from selfsteer.steering.vectors import SteeringVector

_ROUNDING = 1e-6  # share of a length that float32 directions leave where exact ones leave nothing


def weighted_sum(
    terms: Sequence[tuple[float, SteeringVector]], *, strengths: bool = False
) -> SteeringVector:
    """The sum of the directions, each times its weight.

    Args:
        terms: weights and vectors; a vector that comes twice counts with the sum of its weights.
        strengths: give every direction the length of its own residual norm first, so that a weight
            is a strength of the operator ``add``, and vectors of unequal lengths are mixed evenly.
            Where False, the raw directions are summed.

    Raises:
        VectorError: no term, a weight that is not finite, vectors that do not match, or a zero
            direction where ``strengths`` is asked for.
    """
    if not terms:
        raise VectorError("A sum of vectors needs one vector or more; none was given.")
    totals: dict[SteeringVector, float] = {}
    for weight, vector in terms:
        totals[vector] = totals.get(vector, 0.0) + float(weight)
    if not all(map(math.isfinite, totals.values())):
        raise VectorError(f"The weights of a sum must be finite, not {list(totals.values())}.")
    vectors, weights = list(totals), list(totals.values())
    check_family(vectors)
    if strengths:
        for vector in vectors:
            check_directed(vector)
    directions = {
        layer: sum(
            (
                weight * (_one_norm_long(vector, layer) if strengths else _exact(vector, layer))
                for vector, weight in totals.items()
            ),
            start=torch.zeros(vectors[0].d_model, dtype=torch.float64),
        )
        for layer in vectors[0].layers
    }
    return algebra.descend(
        vectors,
        directions,
        method="weighted_sum",
        concept=" + ".join(f"{w:g} ({v.concept})" for v, w in totals.items()),
        notes={"weights": weights, "strengths": strengths},
    )


def interpolate(start: SteeringVector, end: SteeringVector, t: float) -> SteeringVector:
    """The straight way from ``start`` (``t`` = 0) to ``end`` (``t`` = 1).

    The arc between them, which does not shorten what lies half-way, is ``start.slerp(end, t)``.

    Raises:
        VectorError: vectors that do not match, or ``t`` outside 0..1.
    """
    if not 0 <= t <= 1:
        raise VectorError(f"interpolate needs t between 0 and 1, not {t}.")
    return algebra.combine(
        (start, end),
        partial(torch.lerp, weight=float(t)),
        method="interpolate",
        concept=f"({start.concept}) to ({end.concept})",
        notes={"t": float(t)},
    )


def orthogonalise(vector: SteeringVector, others: Sequence[SteeringVector]) -> SteeringVector:
    """What is left of ``vector`` outside the span of all ``others``, per layer.

    Removing one after the other would leave some of the first where they are not orthogonal
    themselves. Where nothing but rounding is left, the direction is zero.

    Raises:
        VectorError: no others, vectors that do not match, or others with a zero direction.
    """
    _check_span(vector, others)
    names = ", ".join(f"({other.concept})" for other in others)
    return algebra.combine(
        (vector, *others),
        lambda direction, *rest: _outside(direction, _span(torch.stack(rest))),
        method="orthogonalise",
        concept=f"({vector.concept}) without {names}",
    )


def mutate(
    vector: SteeringVector,
    share: float,
    seed: int,
    *,
    within: Sequence[SteeringVector] = (),
    without: Sequence[SteeringVector] = (),
) -> SteeringVector:
    """Add Gaussian noise whose length is ``share`` of the direction's, at every layer.

    Args:
        vector: what is varied.
        share: of its length, positive.
        seed: the same seed gives the same noise.
        within: the noise stays in the span of these.
        without: the noise stays out of the span of these. Give one of the two, or neither for noise
            in all dimensions.

    Raises:
        VectorError: a share that is not positive and finite, both spans given, vectors that do not
            match, others with a zero direction, or a span that leaves no dimension.
    """
    if not 0 < share < math.inf:
        raise VectorError(f"A mutation needs a positive share of the norm, not {share}.")
    if within and without:
        raise VectorError("A mutation stays within a span or without one; give one of the two.")
    others = (*within, *without)
    if others:
        _check_span(vector, others)
    generator = _noise_source(seed)
    directions = {}
    for layer in vector.layers:
        direction = _exact(vector, layer)
        noise = torch.randn(direction.shape, generator=generator, dtype=torch.float64)
        if others:
            basis = _span(torch.stack([_exact(other, layer) for other in others]))
            if without and len(basis) == len(noise):
                raise VectorError(f"The span fills all of layer {layer} and leaves no other noise.")
            rest = _outside(noise, basis)
            noise = rest if without else noise - rest
        directions[layer] = direction + share * direction.norm() * noise / noise.norm()
    notes = {"share": float(share), "seed": seed, "noise": _place(within, without)}
    return algebra.descend(
        (vector, *others),
        directions,
        method="mutate",
        concept=f"mutation of ({vector.concept})",
        notes=notes,
    )


def crossover(
    first: SteeringVector, second: SteeringVector, from_second: Collection[int]
) -> SteeringVector:
    """The directions of ``second`` at the layers ``from_second``, those of ``first`` elsewhere.

    Residual norms come with their directions.

    Raises:
        VectorError: vectors that do not match, layers that they do not have, or none or all of
            them, which is no cross.
    """
    check_family((first, second))
    taken = set(from_second)
    if not taken < set(first.layers) or not taken:
        raise VectorError(
            f"A cross takes some of the layers {list(first.layers)} from the second vector, not "
            f"{sorted(taken)}."
        )
    source = {layer: second if layer in taken else first for layer in first.layers}
    child = algebra.descend(
        (first, second),
        {layer: parent.directions[layer] for layer, parent in source.items()},
        method="crossover",
        concept=f"({first.concept}) crossed with ({second.concept})",
        notes={"from_second": sorted(taken)},
    )
    norms = {layer: parent.residual_norms[layer] for layer, parent in source.items()}
    return replace(child, residual_norms=norms)


def _noise_source(seed: int) -> torch.Generator:
    """A generator of its own: with the plain seed the noise could equal a random vector's draws."""
    digest = hashlib.sha256(f"mutate {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7]))


def _exact(vector: SteeringVector, layer: int) -> Tensor:
    return vector.directions[layer].double()


def _one_norm_long(vector: SteeringVector, layer: int) -> Tensor:
    direction = _exact(vector, layer)
    scaled: Tensor = direction / direction.norm() * vector.residual_norms[layer]
    return scaled


def _check_span(vector: SteeringVector, others: Sequence[SteeringVector]) -> None:
    if not others:
        raise VectorError("A span needs one vector or more; none was given.")
    check_family((vector, *others))
    for other in others:
        check_directed(other)


def _span(rows: Tensor) -> Tensor:
    """[R, D] an orthonormal basis of the span of ``rows`` [N, D], which may be dependent."""
    _, values, basis = torch.linalg.svd(rows / rows.norm(dim=-1, keepdim=True), full_matrices=False)
    spanned: Tensor = basis[values > _ROUNDING * values[0]]
    return spanned


def _outside(direction: Tensor, basis: Tensor) -> Tensor:
    """``direction`` without its part in the span of ``basis`` [R, D]; zero if that is all of it."""
    rest = direction - direction @ basis.mT @ basis
    return rest if rest.norm() > _ROUNDING * direction.norm() else torch.zeros_like(rest)


def _place(within: Sequence[SteeringVector], without: Sequence[SteeringVector]) -> str:
    return "within" if within else "without" if without else "anywhere"

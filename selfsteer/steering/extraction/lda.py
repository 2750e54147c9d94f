"""Whitened mean difference: Fisher's linear discriminant with a shrinkage covariance.

The direction is ``C^-1 (mean+ - mean-)``, where C is the covariance within the sides, pooled and
shrunk towards a multiple of the identity, ``C = (1 - rho) S + rho (tr S / D) I``. Sources: Fisher,
"The use of multiple measurements in taxonomic problems" (1936); for rho, the oracle approximating
shrinkage of Chen et al., "Shrinkage algorithms for MMSE covariance estimation" (2010), formula 23:

    rho = ((1 - 2/D) tr(S^2) + tr(S)^2) / ((n + 1 - 2/D) (tr(S^2) - tr(S)^2 / D)), at most 1

with n the degrees of freedom of S. It is never below 1/(n+1), so that C can always be inverted, and
it needs no moments beyond the second.
"""

from __future__ import annotations

import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.components import along


def lda(activations: ContrastiveActivations) -> Tensor:
    """``[L, D]``, the discriminant, as long as the means are apart along it.

    With fewer texts than coordinates nothing of size D x D is formed.
    """
    shift = activations.differences().mean(dim=1)
    sides = (activations.positive.double(), activations.negative.double())
    rows = torch.cat([side - side.mean(dim=1, keepdim=True) for side in sides], dim=1)
    degrees = max(2 * activations.n_pairs - 2, 1)
    return along(whiten(shift, rows, degrees), shift)


def whiten(vectors: Tensor, rows: Tensor, degrees: int) -> Tensor:
    """``C^-1 vectors`` up to a positive factor a layer, C the shrunk covariance of the rows.

    Args:
        vectors: ``[L, D]`` float64.
        rows: ``[L, n, D]`` float64, about their mean or means.
        degrees: degrees of freedom of the covariance ``rows^T rows / degrees``.
    """
    _, n, width = rows.shape
    if n >= width:
        return whiten_by(vectors, rows.mT @ rows / degrees, degrees)
    gram, typical = _of_unit_variance(rows @ rows.mT / degrees, width)
    rho = shrinkage(gram, width, degrees)[:, None, None]
    # Woodbury: (rho I + a R^T R)^-1 v = (v - a R^T (rho I + a R R^T)^-1 R v) / rho
    column = vectors[..., None]
    inner = torch.cholesky_solve(rows @ column, _factor(gram, rho))
    left: Tensor = column - (1 - rho) * (rows.mT @ inner) / (degrees * typical)
    return left[..., 0]


def whiten_by(vectors: Tensor, covariance: Tensor, degrees: int) -> Tensor:
    """The same from the covariance itself, ``[L, D, D]`` float64, before it is shrunk.

    Raises:
        VectorError: the covariance has a negative variance in some direction, by rounding.
    """
    covariance, _ = _of_unit_variance(covariance, covariance.shape[-1])
    rho = shrinkage(covariance, covariance.shape[-1], degrees)[:, None, None]
    return torch.cholesky_solve(vectors[..., None], _factor(covariance, rho))[..., 0]


def _of_unit_variance(gram: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The matrix over its mean variance ``[L, 1, 1]``, and that; without any spread, over 1."""
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    typical = (trace / width).where(trace > 0, 1)[:, None, None]
    return gram / typical, typical


def _factor(gram: Tensor, rho: Tensor) -> Tensor:
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    factor, failed = torch.linalg.cholesky_ex((1 - rho) * gram + rho * eye)
    if bool(failed.any()):
        raise VectorError(
            "The covariance of the activations is not positive, because their spread is lost in "
            "the rounding of far larger means; extract from activations instead of moments."
        )
    lower: Tensor = factor
    return lower


def shrinkage(gram: Tensor, width: int, degrees: int) -> Tensor:
    """``[L]``: rho of the module's formula, from a covariance or from the Gram matrix of its rows.

    Both have the same traces. ``width`` is D whichever it is.
    """
    squared_trace = gram.diagonal(dim1=-2, dim2=-1).sum(dim=-1).square()
    trace_of_square = gram.square().sum(dim=(-2, -1))
    above = (1 - 2 / width) * trace_of_square + squared_trace
    below = (degrees + 1 - 2 / width) * (trace_of_square - squared_trace / width)
    return torch.where(below > above, above / below.where(below > 0, 1), 1.0)

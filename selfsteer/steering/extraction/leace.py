"""Erasure of a concept: LEACE, the smallest change after which no linear probe finds it.

The eraser is affine, ``r(x) = x - P (x - mean)`` with the oblique projection

    P = A (A^T C^+ A)^-1 A^T C^+

where C is the covariance of the activations and the columns of A span the cross-covariance of
activations and labels (in other words, the differences of the class means). It takes away what lies
along the class means, measured along the whitened normals, so that whatever else varies is left as
it is. Of all affine maps that leave no cross-covariance it moves the activations least, whatever
inner product that is measured with.

Source: Belrose et al., "LEACE: perfect linear concept erasure in closed form" (2023).
There P is written ``W^+ Q W``, with W the whitening ``C^(-1/2)`` and Q the orthogonal projection
onto the columns of ``W A``, which is the same matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from selfsteer.steering.extraction.subspace import class_mean_subspace

_RANK = 1e-12
"""Squared singular values below this part of the largest are taken for rounding."""


@dataclass(frozen=True)
class Eraser:
    """The affine map ``x - ((x - mean) @ right^T) @ left``, layer by layer.

    Attributes:
        mean: ``[L, D]`` float64.
        left: ``[L, k, D]`` float64, an orthonormal basis of what is taken away.
        right: ``[L, k, D]`` float64, what is measured; ``left @ right^T`` is the identity.
    """

    mean: Tensor
    left: Tensor
    right: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        """Erase: ``[L, N, D]`` to the same shape and dtype, computed in float64."""
        centred = values.double() - self.mean[:, None]
        erased: Tensor = values.double() - (centred @ self.right.mT) @ self.left
        return erased.to(values.dtype)

    @property
    def projection(self) -> Tensor:
        """``[L, D, D]``, P of the module's formula, for column vectors."""
        return self.left.mT @ self.right


def leace(values: Tensor, labels: Sequence[int]) -> Eraser:
    """The eraser of a concept with any number of classes.

    With fewer texts than coordinates the covariance is singular and its pseudo-inverse is used, as
    the paper has it; nothing of size D x D is formed. Such an eraser is exact on its own texts
    and fits them closely, so that it may need more texts to hold for others.

    Args:
        values: ``[L, N, D]``.
        labels: the class of each text, N of them.

    Raises:
        DatasetError: labels that do not fit or are all the same, NaN or infinite activations, a
            layer at which the class means differ in fewer directions than there are classes less
            one, which a concept that the tokens do not hold does.
    """
    left = class_mean_subspace(values, labels)
    mean = values.double().mean(dim=1)
    measured = _whitened(left, values.double() - mean[:, None])
    return Eraser(mean, left, torch.linalg.solve(left @ measured.mT, measured))


def _whitened(vectors: Tensor, rows: Tensor) -> Tensor:
    """``vectors C^+`` for ``[L, k, D]`` vectors, C the covariance of centred rows ``[L, N, D]``."""
    n, width = rows.shape[1:]
    if n > width:
        squares, basis = torch.linalg.eigh(rows.mT @ rows)
        weights = _reciprocal(squares)
        whitened: Tensor = n * (vectors @ basis * weights[:, None]) @ basis.mT
        return whitened
    # C^+ = n R^T (R R^T)^+2 R
    squares, basis = torch.linalg.eigh(rows @ rows.mT)
    weights = _reciprocal(squares).square()
    whitened = n * ((vectors @ rows.mT) @ basis * weights[:, None]) @ basis.mT @ rows
    return whitened


def _reciprocal(squares: Tensor) -> Tensor:
    kept = squares > _RANK * squares[:, -1:]
    reciprocal: Tensor = kept / squares.where(kept, 1)
    return reciprocal

"""Principal directions of rows about the origin, by the smaller of the two Gram matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def right_singular_vectors(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The first ``k`` right singular vectors of every layer, and their singular values.

    The rows are not centred. A Gram matrix squares the condition number, so that singular values
    below about 1e-8 of the largest are rounding; the vectors are made orthonormal again at the end.

    Args:
        rows: ``[L, N, D]``.
        k: how many, at most ``min(N, D)``.

    Returns:
        ``[L, k, D]`` orthonormal rows and ``[L, k]`` singular values, largest first, float64. Where
        a layer has fewer than ``k`` directions, the rest complete the basis, with value 0.
    """
    rows = rows.double()
    _, n, width = rows.shape
    if n > width:
        squares, basis = torch.linalg.eigh(rows.mT @ rows)
        vectors = basis[..., -k:].mT.flip(-2)
    else:
        squares, weights = torch.linalg.eigh(rows @ rows.mT)
        spanned = rows.mT @ weights[..., -k:].flip(-1)
        lengths = spanned.norm(dim=-2, keepdim=True)
        spanned = spanned / lengths.where(lengths > 0, 1)
        orthonormal, signs = torch.linalg.qr(spanned)
        # QR may turn a column around; the sign that the rows gave is kept
        turn = signs.diagonal(dim1=-2, dim2=-1).sign()
        vectors = (orthonormal * turn.where(turn != 0, 1)[..., None, :]).mT
    return vectors, squares[..., -k:].flip(-1).clamp_min(0).sqrt()


def along(directions: Tensor, shift: Tensor) -> Tensor:
    """``directions`` with the length and the sign of ``shift``'s projection on them.

    Both are ``[..., D]``. A direction without length stays zero.
    """
    lengths = directions.norm(dim=-1, keepdim=True)
    units = directions / lengths.where(lengths > 0, 1)
    projected: Tensor = (units * shift).sum(dim=-1, keepdim=True) * units
    return projected

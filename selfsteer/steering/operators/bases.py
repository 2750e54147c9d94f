"""From the raw directions of an edit's vectors at one layer to what an operator works with."""

from __future__ import annotations

import torch
from torch import Tensor

from selfsteer.errors import VectorError

# Share of its length that a direction must have outside the span of those before it.
_INDEPENDENT = 1e-6


def unit(raw: Tensor) -> Tensor:
    """[N, D] each direction with length 1."""
    length: Tensor = raw.norm(dim=-1, keepdim=True)
    return raw / length


def orthonormal(raw: Tensor) -> Tensor:
    """[N, D] an orthonormal basis of their span.

    The first is the first direction with length 1; each later one is what its direction has
    outside the span of those before it, with its sign.

    Raises:
        VectorError: a direction lies in the span of those before it.
    """
    q, r = torch.linalg.qr(unit(raw).T)
    own = r.diagonal()
    if len(own) < len(raw) or own.abs().min() < _INDEPENDENT:
        raise VectorError(
            f"{len(raw)} vectors of one edit are linearly dependent; give vectors of which none is "
            "a sum of the others."
        )
    basis: Tensor = (q * own.sign()).T
    return basis


def difference(raw: Tensor) -> Tensor:
    """[1, D] the first direction minus the second, as long as it is.

    Raises:
        VectorError: the two are equal.
    """
    apart = raw[:1] - raw[1:]
    if not apart.any():
        raise VectorError("The two vectors of an edit are equal, so that it changes nothing.")
    return apart

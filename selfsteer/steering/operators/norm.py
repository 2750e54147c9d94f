"""The modifier `norm_preserving`: any operator, with the length of the activation kept."""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = 1e-12


def rescaled(edited: Tensor, original: Tensor) -> Tensor:
    """`edited` [B, T, D] with the Euclidean norms of `original`; zeros stay zeros.

    Where the two are equal the result is, too, to the last bit.
    """
    wide = torch.promote_types(edited.dtype, torch.float32)
    moved = edited.to(wide)
    wanted = original.to(wide).norm(dim=-1, keepdim=True)
    found = moved.norm(dim=-1, keepdim=True)
    kept: Tensor = moved * (wanted / found.clamp_min(_TINY))
    return kept.to(edited.dtype)

"""Area under the receiver operating characteristic."""

from __future__ import annotations

import torch
from torch import Tensor


def auroc(positive: Tensor, negative: Tensor) -> Tensor:
    """The chance that a positive score exceeds a negative one; a tie counts one half.

    This is the Mann-Whitney statistic over the number of pairs, exact under ties.

    Args:
        positive: scores ``[..., N]``.
        negative: scores ``[..., M]``, the same leading dimensions.

    Returns:
        ``[...]`` float64; NaN where a side is empty.
    """
    ordered = negative.sort(dim=-1).values.contiguous()
    positive = positive.contiguous()
    below = torch.searchsorted(ordered, positive, right=False)
    below_or_equal = torch.searchsorted(ordered, positive, right=True)
    return (below + below_or_equal).double().mean(dim=-1) / (2 * negative.shape[-1])

"""Banded attention for training on packed rows.

A sliding window of `w` tokens lets query `q` see the keys `q - w + 1 .. q` (its own position and
the `w - 1` before it), which is how `transformers` defines Mistral's window. A full T x T score
matrix would be almost empty, so queries are taken in blocks of `w`; each block meets its own keys
and those of the block before, which is all that the window can reach.

The function is registered with `transformers` under the name `BANDED` and without a mask function:
the library then builds no T x T mask, and the band travels through the model as keyword arguments.
Only training uses it. Inference runs the library's own attention on the same weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface

BANDED = "selfsteer_banded"


def band_mask(documents: Tensor, window: int) -> Tensor:
    """Which keys each query of a packed row may see.

    Args:
        documents: integer [B, T], equal for tokens of the same document; T a multiple of `window`.
        window: tokens a query sees, itself included.

    Returns:
        bool [B, 1, T / window, window, 2 * window]: query i of block n against the keys of block
        n - 1 (first half) and n (second half).
    """
    rows, length = documents.shape
    if length % window:
        raise ValueError(f"rows of {length} tokens do not divide into blocks of {window}")
    queries = documents.view(rows, -1, window)
    # Before the first block there is nothing; -1 is no document's number.
    keys = F.pad(documents, (window, 0), value=-1).unfold(1, 2 * window, window)
    i = torch.arange(window, device=documents.device)[:, None] + window
    j = torch.arange(2 * window, device=documents.device)[None, :]
    reach = (j <= i) & (j > i - window)
    return (reach & (queries[..., :, None] == keys[..., None, :])).unsqueeze(1)


def banded_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    band: Tensor,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention within the band, with the signature of the `transformers` attention interface.

    Args:
        query, key, value: [B, H, T, D] (as many key heads as query heads).
        band: what `band_mask` returned for these rows.

    Returns:
        [B, T, H, D], and None for the attention weights.
    """
    rows, heads, length, width = query.shape
    window = band.shape[-2]

    def with_previous(x: Tensor) -> Tensor:
        blocks = x.reshape(rows, heads, -1, window, width)
        before = F.pad(blocks[:, :, :-1], (0, 0, 0, 0, 1, 0))
        return torch.cat((before, blocks), dim=3)

    blocks = query.reshape(rows, heads, -1, window, width) * scaling
    scores = blocks @ with_previous(key).transpose(-1, -2)
    scores = scores.masked_fill(~band, torch.finfo(scores.dtype).min)
    mixed = scores.softmax(dim=-1) @ with_previous(value)
    return mixed.reshape(rows, heads, length, width).transpose(1, 2), None


AttentionInterface.register(BANDED, banded_attention)

"""Attention of one new token a row, for many rows on a CPU.

torch's fused kernel is made for many queries a row. With one, the two batched products that
attention consists of take about half its time, if the rows lie close together in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


class OneQueryKeys(Tensor):
    """Keys [B, heads, S, width] whose attention is computed by :func:`attention`.

    Everything else that is asked of them is done as with any tensor, and gives plain ones. So a
    model needs no other implementation of attention, and no setting that would have to be given
    back.
    """

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            if func is scaled_dot_product_attention and _is_plain(*args, **(kwargs or {})):
                return attention(*args, **(kwargs or {}))
            return func(*args, **(kwargs or {}))


def _is_plain(
    *args: Any,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    enable_gqa: bool = False,
    **_: Any,
) -> bool:
    """Whether a call of torch's attention asks for nothing that :func:`attention` does not know."""
    several = enable_gqa and (attn_mask is not None or len(args) > 3)
    return len(args) <= 4 and not (is_causal or dropout_p or several)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    **_: Any,
) -> Tensor:
    """What `torch.nn.functional.scaled_dot_product_attention` gives, [B, query heads, T, width].

    Every query must see a key.

    Args:
        query: [B, query heads, T, width].
        key, value: [B, heads, S, width].
        attn_mask: True where a query sees a key, or what is added to their products; it can be
            broadcast to [B, query heads, T, S].
        enable_gqa: whether there are several query heads to each head; without a mask.
    """
    shape = query.shape
    scale = shape[-1] ** -0.5 if scale is None else scale
    if enable_gqa:
        query = query.reshape(shape[0], key.shape[1], -1, shape[-1])
    scores = torch.matmul(query * scale, key.transpose(-2, -1))
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores.masked_fill_(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores += attn_mask
    out = torch.matmul(scores.softmax(-1), value)
    return out.reshape(*shape[:-1], value.shape[-1])

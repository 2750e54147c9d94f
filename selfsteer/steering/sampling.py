"""Choosing the next token, with a random stream of its own for every row.

A row's draws depend on the seed, the row's number and the step alone, so that a reply does not
change with the rows that happen to share its batch.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BROKEN = -1
"""In place of a token, where logits are not finite."""

# Below this temperature logits are moved first, so that dividing by it keeps them in range.
_COLD, _COLDEST = 1e-3, 1e-30
_CACHED = 2**20  # numbers of a row's distribution, and of what is worked out from it, at once
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK = (1 << 64) - 1


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): a bijection that scatters bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniforms(seed: int, rows: NDArray[np.int64], steps: int) -> NDArray[np.float32]:
    """[rows, steps] numbers in [0, 1): one SplitMix64 stream for each pair of seed and row."""
    start = _mix(np.array([seed & _MASK], dtype=np.uint64) + _GOLDEN)
    # Mixed once more than the row, or seed 1 of row 0 would be seed 0 of row 1.
    start = _mix(start + _GOLDEN)
    streams = _mix(start ^ _mix(rows.astype(np.uint64) + _GOLDEN))
    counters = np.arange(1, steps + 1, dtype=np.uint64) * _GOLDEN
    bits = _mix(streams[:, None] + counters)
    return (bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def choose(logits: Tensor, temperature: float, draws: Tensor) -> Tensor:
    """One token id per row, [B], from logits [B, V].

    Temperature 0 takes the likeliest token. Otherwise the token whose share of the cumulative
    distribution holds the row's draw (inverse transform sampling), draws [B] in [0, 1).

    `BROKEN` where a row's logits hold NaN or infinity, other than the -inf of what is impossible.
    Told by numbers that the choice looks at anyway, without another pass over the vocabulary.
    """
    if temperature == 0:
        best = _likeliest(logits)
        sound = logits.gather(-1, best[:, None]).squeeze(-1).isfinite()
        return torch.where(sound, best, BROKEN)
    # Rows whose numbers stay in the processor's cache from one pass over them to the next.
    together = max(1, _CACHED // logits.shape[-1]) if logits.device.type == "cpu" else len(logits)
    parts = zip(torch.split(logits, together), torch.split(draws, together), strict=True)
    return torch.cat([_drawn(part, temperature, own) for part, own in parts])


def _drawn(logits: Tensor, temperature: float, draws: Tensor) -> Tensor:
    """What `choose` says of temperatures above 0."""
    logits = logits.float()
    if temperature < _COLD:
        logits = logits - logits.amax(-1, keepdim=True)
    cumulative = torch.softmax(logits / max(temperature, _COLDEST), dim=-1).cumsum(-1)
    total = cumulative[:, -1:]
    # Rounding must not carry the draw past the last token that has any probability.
    point = torch.minimum(draws[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    token = torch.searchsorted(cumulative, point, right=True).squeeze(-1)
    token = token.clamp(max=logits.shape[-1] - 1)
    return torch.where(total.squeeze(-1) > 0, token, BROKEN)  # NaN is not above 0


def _likeliest(logits: Tensor) -> Tensor:
    """The place [B] of the greatest logit, the first of several; NaN is taken for the greatest."""
    if logits.device.type == "cpu":  # there numpy is ten times as fast as torch
        return torch.from_numpy(logits.float().numpy().argmax(-1))
    return logits.argmax(-1)

"""Confidence intervals for rates and means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

_INDICES_AT_ONCE = 2_000_000  # bounds the memory of a bootstrap to some tens of megabytes


class Interval(NamedTuple):
    """The two ends of a confidence interval."""

    low: float
    high: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a rate; (0, 1) when nothing was tried.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    if n == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / n
    centre = rate + z * z / (2 * n)
    half = z * (rate * (1 - rate) / n + z * z / (4 * n * n)) ** 0.5
    scale = 1 + z * z / n
    # At rates of 0 and 1 the ends are exact, but for rounding
    return Interval(
        0.0 if successes == 0 else (centre - half) / scale,
        1.0 if successes == n else (centre + half) / scale,
    )


def bootstrap_mean(
    values: Sequence[float], *, seed: int = 0, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """The percentile bootstrap interval of a mean.

    Args:
        values: one for each independent unit; with several samples of one prompt, their mean.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("a bootstrap needs one value or more")
    data = torch.tensor(values, dtype=torch.float64)
    return bootstrap(
        len(values),
        lambda picks: data[picks].mean(1),
        seed=seed,
        confidence=confidence,
        resamples=resamples,
    )


def bootstrap(
    n: int,
    figure: Callable[[Tensor], Tensor],
    *,
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """The percentile bootstrap interval of any figure of n independent units.

    Args:
        figure: from which units are drawn, [B, n] indices, to the figure of each drawing, [B].
    """
    generator = torch.Generator().manual_seed(seed)
    at_once = max(1, _INDICES_AT_ONCE // n)
    drawn = torch.cat(
        [
            figure(torch.randint(n, (min(at_once, resamples - done), n), generator=generator))
            for done in range(0, resamples, at_once)
        ]
    )
    tail = (1 - confidence) / 2
    ends = torch.quantile(drawn, torch.tensor([tail, 1 - tail], dtype=torch.float64))
    return Interval(float(ends[0]), float(ends[1]))

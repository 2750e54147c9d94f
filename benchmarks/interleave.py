"""Ratios of time that can be trusted on a noisy machine: interleaved pairs, medians, intervals."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist, median

MAX_PAIRS = 40
MIN_PAIRS = 7
HALF_WIDTH = 0.01


@dataclass(frozen=True)
class Ratio:
    """The median of paired time ratios.

    Attributes:
        value: median of time A over time B.
        low, high: 95 % interval of the median, by order statistics.
        pairs: how many pairs were run.
    """

    value: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"[{self.low:.2f}, {self.high:.2f}], {self.pairs} pairs"


def interleaved(a: Callable[[], object], b: Callable[[], object]) -> Ratio:
    """Time `a` over time `b`: pairs A B, B A, ... until the interval is narrow or 40 pairs.

    Both run once before anything counts.
    """
    a(), b()
    ratios: list[float] = []
    while len(ratios) < MAX_PAIRS:
        first_a = len(ratios) % 2 == 0
        x, y = (_timed(a), _timed(b)) if first_a else reversed((_timed(b), _timed(a)))
        ratios.append(x / y)
        result = _summary(ratios)
        if len(ratios) >= MIN_PAIRS and (result.high - result.low) / 2 <= HALF_WIDTH:
            break
    return _summary(ratios)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _summary(ratios: list[float]) -> Ratio:
    ordered, n = sorted(ratios), len(ratios)
    reach = NormalDist().inv_cdf(0.975) * n**0.5 / 2
    low = ordered[max(0, int(n / 2 - reach))]
    high = ordered[min(n - 1, int(n / 2 + reach))]
    return Ratio(median(ordered), low, high, n)

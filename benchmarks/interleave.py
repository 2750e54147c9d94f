"""Ratios of time that can be trusted on a noisy machine: interleaved pairs, medians, intervals."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist, median

MAX_PAIRS = 40
MIN_PAIRS = 7
HALF_WIDTH = 0.01

Timed = Callable[[], float]
"""Does its work and returns the seconds that it took."""


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


def interleaved(a: Callable[[], object], b: Callable[[], object], *, patience: float = 60) -> Ratio:
    """Time `a` over time `b`: pairs A B, B A, ... until the interval is narrow.

    Narrow is a half-width of 1 % of the ratio, or of 0.01 where that is more; after 40 pairs, or
    `patience` seconds and 7 pairs, the interval is taken as it is. Both run once before anything
    counts.
    """
    return interleaved_seconds(stopwatch(a), stopwatch(b), patience=patience)


def interleaved_seconds(a: Timed, b: Timed, *, patience: float = 60) -> Ratio:
    """As `interleaved`, for work that is timed where it runs: in another process, say."""
    a(), b()
    ratios: list[float] = []
    began = time.monotonic()
    while len(ratios) < MAX_PAIRS:
        first_a = len(ratios) % 2 == 0
        x, y = (a(), b()) if first_a else reversed((b(), a()))
        ratios.append(x / y)
        result = summary(ratios)
        narrow = (result.high - result.low) / 2 <= HALF_WIDTH * max(1.0, result.value)
        if len(ratios) >= MIN_PAIRS and (narrow or time.monotonic() - began > patience):
            break
    return summary(ratios)


def stopwatch(work: Callable[[], object]) -> Timed:
    """The work, timed on this machine's clock."""

    def timed() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return timed


def summary(ratios: list[float]) -> Ratio:
    """The median of the ratios with its interval."""
    ordered, n = sorted(ratios), len(ratios)
    reach = NormalDist().inv_cdf(0.975) * n**0.5 / 2
    low = ordered[max(0, int(n / 2 - reach))]
    high = ordered[min(n - 1, int(n / 2 + reach))]
    return Ratio(median(ordered), low, high, n)

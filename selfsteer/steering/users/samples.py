"""A figure with what it rests on, so that its interval and paired differences can be had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from selfsteer.steering.metrics.intervals import Interval, bootstrap
from selfsteer.steering.users.objective import ranked


@dataclass(frozen=True)
class Sample:
    """A figure of n independent units: messages, choices or ratings.

    Attributes:
        count: n.
        figure: from which units are drawn, [B, n] indices, to the figure of each drawing, [B].
    """

    count: int
    figure: Callable[[Tensor], Tensor]

    @property
    def value(self) -> float:
        """The figure of all units."""
        return float(self.figure(torch.arange(self.count)[None]))

    def interval(self, confidence: float = 0.95) -> Interval:
        """By the bootstrap over units."""
        return bootstrap(self.count, self.figure, confidence=confidence)

    def minus(self, other: Sample) -> Sample:
        """The paired difference: both figures of the same units."""
        return Sample(self.count, lambda picks: self.figure(picks) - other.figure(picks))


def mean_of(values: Sequence[float]) -> Sample:
    """The mean of a value for each unit."""
    data = torch.tensor(values, dtype=torch.float64)
    return Sample(len(values), lambda picks: data[picks].mean(1))


def correlation_of(several: Sequence[Sequence[float]], ratings: Sequence[float]) -> Sample:
    """Spearman's correlation of some rankings of the same units with ratings; their mean.

    Ranks are those among all units, whichever are drawn. A drawing in which all are alike has no
    correlation, and counts as 0.
    """
    rows, wanted = torch.stack([ranked(values) for values in several]), ranked(ratings)

    def figure(picks: Tensor) -> Tensor:
        left, right = _centred(rows[:, picks]), _centred(wanted[picks])
        lengths = left.norm(dim=-1) * right.norm(dim=-1)
        found = (left * right).sum(-1) / torch.where(lengths > 0, lengths, torch.inf)
        return found.mean(0)

    return Sample(len(ratings), figure)


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(-1, keepdim=True)

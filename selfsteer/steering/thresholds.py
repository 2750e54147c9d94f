"""The threshold that best tells two sets of scores apart, in one sorted pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from selfsteer.errors import PlanError

Criterion = Literal["f1", "youden"]


@dataclass(frozen=True)
class Threshold:
    """A threshold, and the value of the criterion when scores above it count as positive."""

    value: float
    quality: float


def fit_threshold(positive: Tensor, negative: Tensor, criterion: Criterion = "f1") -> Threshold:
    """The threshold t for which "score > t" agrees best with the labels.

    Exact: every way of cutting the sorted scores is looked at, in O(n log n). The threshold lies
    midway between the scores on both sides of the best cut; of equal cuts the highest is taken.

    Args:
        positive: [N] scores that should lie above.
        negative: [M] scores that should not.
        criterion: `f1` for 2 TP / (2 TP + FP + FN); `youden` for Youden's J, TP/N - FP/M.

    Raises:
        PlanError: an empty side, scores that are not finite, an unknown criterion.
    """
    if not positive.numel() or not negative.numel():
        raise PlanError("A threshold needs scores on both sides; give examples of each.")
    scores = torch.cat([positive.flatten(), negative.flatten()]).cpu()
    if not torch.isfinite(scores).all():
        raise PlanError("A threshold needs finite scores; some are NaN or infinite.")
    scores, order = scores.sort(descending=True)
    hits = torch.cat([torch.zeros(1), (order < positive.numel()).double().cumsum(0)])
    cuts = torch.arange(len(scores) + 1)  # the number of scores above the threshold
    false_alarms = cuts - hits
    if criterion == "f1":
        quality = 2 * hits / (cuts + positive.numel())
    elif criterion == "youden":
        quality = hits / positive.numel() - false_alarms / negative.numel()
    else:
        raise PlanError(f"Unknown criterion {criterion!r}; it is f1 or youden.")
    # Equal scores cannot be cut apart.
    quality[1:-1][scores[1:] == scores[:-1]] = -math.inf
    best = int(quality.argmax())
    return Threshold(_between(scores, best), float(quality[best]))


def _between(scores: Tensor, above: int) -> float:
    """A threshold below the first `above` of the descending scores, and not below the others."""
    if above == 0:
        return float(scores[0])
    upper = scores[above - 1]
    if above == len(scores):
        return float(torch.nextafter(upper, torch.tensor(-math.inf, dtype=scores.dtype)))
    lower = scores[above]
    middle = lower + (upper - lower) / 2
    return float(torch.where(middle < upper, middle, lower))

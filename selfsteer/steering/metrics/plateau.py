"""Does a curve flatten, and where: a saturating fit, and the size that keeps most of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from selfsteer.steering.metrics.intervals import Interval

_SCALES = 2_000  # candidates for the scale
# Of the scale, in ranges of x: beyond, the curve is a straight line to the points, and its plateau
# could be anything.
_SHORTEST, _LONGEST = 0.005, 20.0


@dataclass(frozen=True)
class Plateau:
    """``height * (1 - exp(-x / scale))``, the nearest to some points.

    Attributes:
        height: what the curve approaches.
        scale: where it has come 63 % of the way; as large as the fit looks for one that does not
            flatten.
        residual: root mean square distance of the points from the curve.
    """

    height: float
    scale: float
    residual: float

    def at(self, x: float) -> float:
        """The curve's value."""
        return self.height * self.reached(x)

    def reached(self, x: float) -> float:
        """The share of the plateau that the curve has come to."""
        return -math.expm1(-x / self.scale)


def fit_plateau(x: Sequence[float], y: Sequence[float]) -> Plateau:
    """Least squares: the scale is searched for, and the height follows from it.

    Raises:
        ValueError: fewer than two points, or an x that is not positive.
    """
    if len(x) != len(y) or len(x) < 2 or min(x) <= 0:
        raise ValueError("a plateau is fitted to two points or more, all at positive x")
    at, wanted = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    span = float(at.max())
    low, high = math.log(_SHORTEST), math.log(_LONGEST)
    scales = span * torch.linspace(low, high, _SCALES, dtype=torch.float64).exp()
    shapes = -torch.expm1(-at / scales[:, None])
    heights = (shapes @ wanted) / shapes.square().sum(1)
    errors = (heights[:, None] * shapes - wanted).square().mean(1)
    best = int(errors.argmin())
    return Plateau(float(heights[best]), float(scales[best]), float(errors[best].sqrt()))


def size_that_keeps(
    sizes: Sequence[int], gains: Tensor, share: float, *, seed: int = 0, resamples: int = 2000
) -> tuple[int, Interval]:
    """The smallest size whose mean gain is ``share`` of the largest size's, with a 95 % interval.

    Args:
        sizes: K of them, ascending.
        gains: [K, N], of N independent units; the units are resampled together for all sizes.
    """
    draw = torch.Generator().manual_seed(seed)
    count = gains.shape[1]
    picks = torch.randint(count, (resamples, count), generator=draw)
    means = gains.double()[:, picks].mean(-1)
    found = [_first(sizes, column, share) for column in means.mT]
    tails = torch.tensor([0.025, 0.975], dtype=torch.float64)
    low, high = torch.quantile(torch.tensor(found, dtype=torch.float64), tails).tolist()
    return _first(sizes, gains.double().mean(1), share), Interval(low, high)


def _first(sizes: Sequence[int], means: Tensor, share: float) -> int:
    """The largest size where that gains nothing: then there is no share of it to keep."""
    enough = (means >= share * means[-1]) & (means[-1] > 0)
    return next((size for size, one in zip(sizes, enough.tolist(), strict=True) if one), sizes[-1])

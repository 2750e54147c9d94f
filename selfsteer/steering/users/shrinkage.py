"""How much of what a few messages show is the user's, and how much is chance: pure mathematics.

The model is that of random effects: a message's activation is the population's mean, plus what is
the user's, plus what is the message's alone; both last have covariances that the population tells
(`between` and `within`). The best linear guess of the user's part from the mean of n messages is

    between (between + within / n)^-1 (mean of messages - population mean)

so that few messages leave the user near the population, and more let them go where they point.
Source: Robinson, "That BLUP is a good thing: the estimation of random effects" (1991). In the
coordinates in which both covariances are diagonal it weighs each by itself; those are Fisher's
linear discriminants of the users (`UserSpace`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from selfsteer.errors import DatasetError

# Added to the covariance within users, as a share of its mean variance: with fewer messages than
# coordinates it could not be inverted.
_RIDGE = 1e-3
# A user's own spread is judged as if this many messages of the usual spread had been seen before.
_PRIOR_MESSAGES = 10.0


def recency_weights(n: int, half_life: float | None) -> Tensor:
    """[n] float64, the weight of each message from the oldest to the newest, which has 1.

    Args:
        half_life: messages after which a message counts half; None to count all alike.

    Raises:
        DatasetError: a half-life that is not positive.
    """
    if half_life is None:
        return torch.ones(n, dtype=torch.float64)
    if not half_life > 0:
        raise DatasetError(f"A half-life of {half_life} messages is not positive; give more.")
    age = torch.arange(n - 1, -1, -1, dtype=torch.float64)
    return torch.exp2(-age / half_life)


def effective_count(weights: Tensor) -> float:
    """How many equally weighted messages these are worth (Kish, "Survey Sampling", 1965)."""
    return float(weights.sum().square() / weights.square().sum())


def kept_share(count: float, half_known: float) -> float:
    """How much of what ``count`` observations show is kept; half of it at ``half_known``."""
    return count / (count + half_known)


def components(values: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The population's mean [D], and covariances [D, D] between and within its users.

    The covariance of the users' means holds a share of what varies within users; it is taken off,
    and what is then negative is zero (the method of moments of an unbalanced one-way layout).

    Args:
        values: for each user [n_i, D] float64, one row a message.

    Raises:
        DatasetError: fewer than two users, or none with two messages.
    """
    counts = torch.tensor([len(rows) for rows in values], dtype=torch.float64)
    if len(values) < 2 or counts.sum() == len(values):
        raise DatasetError(
            "A population needs two users or more, and some with several messages: what users have "
            "in common cannot be told from what is each one's own."
        )
    means = torch.stack([rows.mean(0) for rows in values])
    mean = means.mean(0)
    scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for rows, centre in zip(values, means, strict=True):
        scatter += (rows - centre).mT @ (rows - centre)
    within = scatter / (counts.sum() - len(values))
    apart = (means - mean).mT @ (means - mean) / (len(values) - 1)
    return mean, _positive(apart - float((1 / counts).mean()) * within), within


def _positive(matrix: Tensor) -> Tensor:
    """The nearest symmetric matrix without negative eigenvalues."""
    values, axes = torch.linalg.eigh(matrix)
    found: Tensor = (axes * values.clamp(min=0)) @ axes.mT
    return found


@dataclass(frozen=True)
class UserSpace:
    """The coordinates in which users differ, of one layer.

    Each has variance 1 within users and ``spread`` between them, and no two go together.

    Attributes:
        mean: [D] float64, the population's.
        axes: [R, D] float64, what is measured of an activation less the mean.
        lift: [R, D] float64, what an activation gains by one unit of each coordinate.
        spread: [R] float64, variance between users over that within one user, the largest first.
    """

    mean: Tensor
    axes: Tensor
    lift: Tensor
    spread: Tensor

    @classmethod
    def of(cls, mean: Tensor, between: Tensor, within: Tensor, rank: int) -> UserSpace:
        """The ``rank`` coordinates that tell users apart best."""
        ridge = _RIDGE * within.diagonal().mean() * torch.eye(len(mean), dtype=mean.dtype)
        root = torch.linalg.cholesky(within + ridge)
        inner = torch.linalg.solve_triangular(root, between, upper=False)
        inner = torch.linalg.solve_triangular(root, inner.mT, upper=False)
        spread, turned = torch.linalg.eigh((inner + inner.mT) / 2)
        order = spread.argsort(descending=True)[:rank]
        axes = torch.linalg.solve_triangular(root.mT, turned[:, order], upper=True).mT
        return cls(mean, axes, axes @ (within + ridge), spread[order].clamp(min=0))

    def measure(self, values: Tensor) -> Tensor:
        """[n, R], the coordinates of messages [n, D]."""
        return (values.double() - self.mean) @ self.axes.mT

    def unrest(self, measured: Tensor, weights: Tensor) -> float:
        """How much a user's messages contradict each other, as a multiple of what is usual.

        Args:
            measured: [n, R], of `measure`.
            weights: [n].

        Returns:
            the mean squared distance of a message from the user's mean over the usual one, which
            counts as ten messages more, so that two messages say little; 1 for one message.
        """
        n = effective_count(weights)
        if n <= 1:
            return 1.0
        share = weights / weights.sum()
        apart = (measured - share @ measured).square().mean(1)  # usual: 1
        spread = float(share @ apart) * n / (n - 1)
        return ((n - 1) * spread + _PRIOR_MESSAGES) / (n - 1 + _PRIOR_MESSAGES)

    def evidence(self, measured: Tensor, weights: Tensor) -> float:
        """How many messages of the usual kind these are worth, by age and by how they agree."""
        return effective_count(weights) / self.unrest(measured, weights)

    def guess(self, measured: Tensor, weights: Tensor) -> Tensor:
        """[R], the best linear guess of where the user is, from messages [n, R].

        Messages that contradict each other more than usual count for fewer. Divided by the
        spread's root, so that users differ by about 1 in every coordinate.
        """
        share = weights / weights.sum()
        count = self.evidence(measured, weights)
        kept = self.spread / (self.spread + 1 / count)
        return kept * (share @ measured) / self.spread.clamp(min=1e-12).sqrt()

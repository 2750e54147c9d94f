"""The distillation curve: how many distinct vectors serve n goals, and whether that flattens.

Vectors count by how different they are: n that have nothing in common count n, and n that are equal
count 1. Between those lies the exponential of the entropy of the shares that the eigenvalues of
their cosines have (Friedman and Dieng, "The Vendi score", 2023). It is drawn against n for random
choices of goals, and a(1 - exp(-n/b)) is fitted: a is the plateau.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from selfsteer.steering.metrics.intervals import Interval
from selfsteer.steering.metrics.plateau import Plateau, fit_plateau
from selfsteer.steering.vectors import SteeringVector

Floats = NDArray[np.float64]

FEWEST = 3  # goals: any such curve fits two
DRAWS = 50  # orders in which the goals are added up
RESAMPLES = 200
FLAT = 0.9  # share of the plateau from which a curve counts as flat


@dataclass(frozen=True)
class Distillation:
    """The curve of a set of goals.

    Attributes:
        distinct: the mean number of distinct directions of 1, 2, ... goals.
        fit: to that.
        plateau: 95 % interval of the fitted plateau.
        reached: the share of the plateau at all goals, and its 95 % interval.
    """

    distinct: Floats
    fit: Plateau
    plateau: Interval
    reached: tuple[float, Interval]

    @property
    def flattens(self) -> bool:
        """Whether even the low end of what is reached counts as flat."""
        return self.reached[1].low >= FLAT


def distinct_in(rows: Floats) -> float:
    """How many distinct directions ``rows`` [N, D] of length 1 amount to, between 1 and N."""
    values = np.linalg.svd(rows, compute_uv=False) ** 2
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def growth(rows: Floats, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """Distinct directions in the first 1, 2, ..., N of ``rows`` [N, D], averaged over orders."""
    count = len(rows)
    orders = [rng.permutation(count) for _ in range(draws)]
    # Equal spectra from fewer numbers: inner products are all that the singular values depend on.
    roots = _root(rows @ rows.T)
    return np.array(
        [np.mean([distinct_in(roots[order[:n]]) for order in orders]) for n in range(1, count + 1)]
    )


def fitted(distinct: Floats) -> Plateau:
    """The saturating curve nearest to the values at n = 1, 2, ..."""
    return fit_plateau(range(1, len(distinct) + 1), distinct.tolist())


def distil(rows: Floats, seed: int = 0) -> Distillation:
    """The curve of goals whose directions are ``rows`` [N, D], one for each goal.

    The intervals are from bootstraps over goals. A goal that is drawn twice counts once, because
    an equal vector would add nothing; so they are those of about two thirds of the goals, and wide.

    Raises:
        ValueError: fewer than three goals, to which any such curve can be fitted.
    """
    if len(rows) < FEWEST:
        raise ValueError(f"a distillation curve needs {FEWEST} goals or more, not {len(rows)}")
    rng = np.random.default_rng(seed)
    distinct = growth(rows, rng)
    fit = fitted(distinct)
    others: list[Plateau] = []
    while len(others) < RESAMPLES:
        chosen = np.unique(rng.integers(len(rows), size=len(rows)))
        if len(chosen) >= FEWEST:
            others.append(fitted(growth(rows[chosen], rng, draws=5)))
    plateaus = np.percentile([other.height for other in others], [2.5, 97.5])
    shares = np.percentile([other.reached(len(rows)) for other in others], [2.5, 97.5])
    return Distillation(
        distinct,
        fit,
        Interval(*map(float, plateaus)),
        (fit.reached(len(rows)), Interval(*map(float, shares))),
    )


def direction(vectors: Sequence[SteeringVector]) -> Floats:
    """One direction for a goal: the mean of its vectors', each layer of each counting the same."""
    units = [
        np.concatenate([vector.unit(layer).double().numpy() for layer in vector.layers])
        for vector in vectors
    ]
    mean: Floats = np.mean(units, axis=0)
    return mean / np.linalg.norm(mean)


def described(found: Distillation) -> str:
    """The curve in a sentence."""
    share, interval = found.reached
    says = "flattens" if found.flattens else "does not flatten"
    return (
        f"{len(found.distinct)} accepted goals need {found.distinct[-1]:.1f} distinct vectors; "
        f"fitted plateau {found.fit.height:.1f} [{found.plateau.low:.1f}, "
        f"{found.plateau.high:.1f}], of which {share:.2f} [{interval.low:.2f}, "
        f"{interval.high:.2f}] is reached: it {says}"
    )


def plot(found: Distillation, path: Path) -> None:
    """The curve, its fit and the plateau, as SVG."""
    goals = np.arange(1, len(found.distinct) + 1, dtype=np.float64)
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    axes.plot(goals, goals, ":", color="0.6", label="a vector for each goal")
    axes.plot(goals, found.distinct, "o", label="distinct vectors")
    axes.plot(goals, [found.fit.at(n) for n in goals], label="fit")
    axes.axhline(found.fit.height, linestyle="--", color="0.4", label="fitted plateau")
    axes.set_ylim(0, 1.1 * float(found.distinct.max()))
    axes.set_xlabel("goals")
    axes.set_ylabel("distinct vectors")
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _root(gram: Floats) -> Floats:
    """Rows whose inner products are those of ``gram`` [N, N]."""
    values, vectors = np.linalg.eigh(gram)
    root: Floats = vectors * np.sqrt(np.clip(values, 0, None))
    return root

"""How many shared vectors serve N users, and whether the number stops to grow with N."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import torch
from torch import Tensor

from selfsteer.scenarios.experiments.user_vectors.people import Person
from selfsteer.scenarios.experiments.user_vectors.telling import messages_of, with_vectors
from selfsteer.steering.metrics.intervals import Interval
from selfsteer.steering.metrics.plateau import Plateau, fit_plateau, size_that_keeps
from selfsteer.steering.model import Student
from selfsteer.steering.users.arms import Arm, score_arms
from selfsteer.steering.users.basis import dictionary_error, effective_rank, user_matrix
from selfsteer.steering.users.encoder import UserEncoder
from selfsteer.steering.vectors import SteeringVector

SIZES = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24)
COUNTS = (5, 10, 25, 50, 100, 200, 500, 1000)  # users
PLATEAU_SHARE = 0.95
ATOMS, ATOMS_USED = (4, 8, 12, 16, 20, 24, 32), 4


@dataclass(frozen=True)
class Basis:
    """What a basis of few vectors keeps for some users, whose own vectors it was made from.

    Attributes:
        sizes: of the basis.
        gains: the mean gain of these users at each, bits per token over nothing known.
        keeps: the smallest size with 95 % of the gain of the largest one.
        interval: 95 %, of ``keeps``, over users.
    """

    sizes: tuple[int, ...]
    gains: tuple[float, ...]
    keeps: int
    interval: Interval


@dataclass(frozen=True)
class BasisCurve:
    """How the gain grows with the number of shared vectors, and that number with the users.

    Attributes:
        by_users: the basis of the first N users, by N.
        curve: fitted to the gain of all users against the size of their basis.
        growth: fitted to the size that keeps 95 % against N.
        ranks: effective rank of the vectors of the first N users, by N.
        rank_growth: fitted to the ranks against N.
        most: vectors that the map is made of: no basis of its users can need more.
        dictionary: the share of variance that a dictionary leaves when each user takes four of its
            atoms, by its size; None where scikit-learn is not installed.
    """

    by_users: dict[int, Basis]
    curve: Plateau
    growth: Plateau
    ranks: dict[int, float]
    rank_growth: Plateau
    most: int
    dictionary: dict[int, float] | None

    @property
    def users(self) -> int:
        """All of them."""
        return max(self.by_users)

    @property
    def all(self) -> Basis:
        """The basis of all users."""
        return self.by_users[self.users]


def basis_curve(
    student: Student,
    encoder: UserEncoder,
    people: Sequence[Person],
    vectors: Sequence[SteeringVector],
) -> BasisCurve:
    """Users told by 1, 2, ... vectors that the first N of them share, the most telling first."""
    layer, most = encoder.layer, encoder.basis.shape[0]
    origin = encoder.population_vector().directions[layer].double()
    apart = torch.stack([vector.directions[layer].double() for vector in vectors]) - origin
    counts = [n for n in COUNTS if n < len(people)] + [len(people)]
    sizes = {n: _sizes(min(n, most)) for n in counts}
    arms: list[dict[str, Arm]] = [{} for _ in people]
    for n in counts:
        axes = torch.linalg.svd(apart[:n], full_matrices=False).Vh
        for size in sizes[n]:
            kept = apart[:n] @ axes[:size].mT @ axes[:size] + origin
            told = [_moved(one, layer, row) for one, row in zip(vectors, kept, strict=False)]
            for of_user, arm in zip(arms, with_vectors(told), strict=False):
                of_user[f"{size} of {n}"] = arm
    scores = score_arms(student, messages_of(people), arms)
    found = {
        n: _basis(
            sizes[n],
            [[scores[i][f"{size} of {n}"].gain or 0.0 for i in range(n)] for size in sizes[n]],
        )
        for n in counts
    }
    rows = user_matrix(vectors, layer)
    ranks = {n: effective_rank(rows[:n] - rows[:n].mean(0)) for n in counts}
    everybody = found[len(people)]
    return BasisCurve(
        by_users=found,
        curve=fit_plateau(everybody.sizes, everybody.gains),
        growth=fit_plateau(counts, [float(found[n].keeps) for n in counts]),
        ranks=ranks,
        rank_growth=fit_plateau(counts, list(ranks.values())),
        most=most,
        dictionary=_dictionary(rows) if find_spec("sklearn") else None,
    )


def _sizes(most: int) -> tuple[int, ...]:
    return (*(size for size in SIZES if size < most), most)


def _moved(vector: SteeringVector, layer: int, direction: Tensor) -> SteeringVector:
    return replace(vector, directions={layer: direction.float()})


def _basis(sizes: tuple[int, ...], gains: Sequence[Sequence[float]]) -> Basis:
    found = torch.tensor(gains, dtype=torch.float64)
    keeps, interval = size_that_keeps(sizes, found, PLATEAU_SHARE)
    return Basis(sizes, tuple(found.mean(1).tolist()), keeps, interval)


def _dictionary(rows: Tensor) -> dict[int, float]:
    sizes = [size for size in ATOMS if size <= len(rows)]
    return {size: dictionary_error(rows, size, used=ATOMS_USED) for size in sizes}

"""The grid that the loop is held against: all sites and blocks, 8 strengths, add and ablate.

Its vectors are plain mean differences, each read where its site is read, and its judge is the
oracle. A point's score is its expression where 0.90 of its replies are well-formed, else 0. The
best are looked at again with strengths between theirs, as the loop and the model card do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.card.steerability import (
    EXPRESSION,
    WELL_FORMED,
    contrast,
    measure,
    merit,
)
from selfsteer.agents.context import plan_of
from selfsteer.agents.sites import SITES, sites_of
from selfsteer.agents.types import CandidateSpec
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.model import Student
from selfsteer.steering.vectors import SteeringVector

STRENGTHS = tuple(np.geomspace(0.2, 2.0, 8).round(3).tolist())
# Ablation takes away at most the whole projection.
FRACTIONS = tuple(np.linspace(0.125, 1.0, 8).round(3).tolist())
# Development probes of each look, the first at every point; how many go on from it; and the step to
# the strengths beside theirs that the next one tries too.
LOOKS = ((24, 24, 1.0), (60, 8, 1.18), (240, 3, 1.06), (400, 1, 1.0))
REPORT = 400


@dataclass(frozen=True)
class Point:
    """One plan of the grid, and what the oracle says of it."""

    site: str
    layer: int
    strength: float
    operator: str
    expression: float = 0.0
    well_formed: float = 0.0

    @property
    def score(self) -> float:
        """What the grid is worth at this point."""
        return self.expression if self.well_formed >= WELL_FORMED else 0.0

    @property
    def merit(self) -> tuple[float, float]:
        """What points are ranked by: also those that are worth nothing have an order."""
        return merit((self.expression, self.well_formed))

    @property
    def meets(self) -> bool:
        """Whether the goal is met."""
        return self.expression >= EXPRESSION and self.well_formed >= WELL_FORMED

    def beside(self, step: float) -> list[Point]:
        """The point, and those a step below and above its strength; all of it is the most that
        ablation takes away."""
        most = 1.0 if self.operator == "ablate" else float("inf")
        strengths = {min(self.strength * by, most) for by in (1 / step, 1.0, step)}
        return [replace(self, strength=strength) for strength in sorted(strengths)]

    def spec(self) -> CandidateSpec:
        """The same as a candidate of the loop."""
        return CandidateSpec(
            site=self.site, layer=self.layer, operator=self.operator, strength=self.strength
        )


@dataclass(frozen=True)
class Grid:
    """All points on development probes, and the best of them on report probes."""

    points: tuple[Point, ...]
    best: Point

    @property
    def meets(self) -> bool:
        """Whether the grid meets the goal."""
        return self.best.meets


def full_grid(student: Student, asked: dict[str, str], seed: int) -> Grid:
    """Evaluate every point, the leading ones again and longer, and the last on report probes."""
    dataset = contrast(student, asked)
    vectors = {
        site: extract_vector(student, dataset, selector=SITES[site].read)
        for site in sites_of(dataset)
    }
    points: Sequence[Point] = grid_points(tuple(vectors), student.n_layers)
    first: tuple[Point, ...] = ()
    for salt, (count, kept, step) in enumerate(LOOKS, start=1):
        looked = _look(student, points, vectors, asked, count, seed=1000 * salt + seed)
        first = first or looked
        ahead = sorted(looked, key=lambda point: point.merit, reverse=True)[:kept]
        points = [other for point in ahead for other in point.beside(step)]
    salt = len(LOOKS) + 1
    (best,) = _look(student, points, vectors, asked, REPORT, seed=1000 * salt + seed)
    return Grid(first, best)


def grid_points(sites: Sequence[str], layers: int) -> list[Point]:
    """Every plan of the grid, not measured yet."""
    return [
        Point(site, layer, strength, operator)
        for site in sites
        for layer in range(layers)
        for operator, strengths in (("add", STRENGTHS), ("ablate", FRACTIONS))
        for strength in strengths
    ]


def _look(
    student: Student,
    points: Sequence[Point],
    vectors: Mapping[str, SteeringVector],
    asked: dict[str, str],
    count: int,
    seed: int,
) -> tuple[Point, ...]:
    plans = [plan_of([vectors[point.site]], point.spec()) for point in points]
    found = measure(student, plans, asked, count, seed=seed)
    return tuple(
        replace(point, expression=expression, well_formed=well)
        for point, (expression, well) in zip(points, found, strict=True)
    )

"""The grid that the loop is held against: all blocks, 8 strengths, add and ablate.

Its vector is the plain response-mean difference, its judge the oracle. A point's score is its
expression where 0.90 of its replies are well-formed, and 0 elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.card.steerability import EXPRESSION, WELL_FORMED, measure, value_vector
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan

STRENGTHS = tuple(np.geomspace(0.2, 2.0, 8).round(3).tolist())
# Ablation takes away at most the whole projection.
FRACTIONS = tuple(np.linspace(0.125, 1.0, 8).round(3).tolist())
PROBES = 60
REPORT = 400
CLOSER = 6  # points that are looked at again, on report probes, to say what the grid meets


@dataclass(frozen=True)
class Point:
    """One plan of the grid, and what the oracle says of it."""

    layer: int
    strength: float
    operator: str
    expression: float
    well_formed: float

    @property
    def score(self) -> float:
        """What the grid ranks by."""
        return self.expression if self.well_formed >= WELL_FORMED else 0.0

    @property
    def meets(self) -> bool:
        """Whether the goal is met."""
        return self.expression >= EXPRESSION and self.well_formed >= WELL_FORMED


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
    """Evaluate every point, then the best of them again where nothing was chosen."""
    vector = value_vector(student, asked)

    def look(points: list[Point], count: int, salt: int) -> list[Point]:
        plans = [Plan.single(vector, p.layer, p.strength, p.operator) for p in points]
        found = measure(student, plans, asked, count, seed=1000 * salt + seed)
        return [
            replace(point, expression=expression, well_formed=well)
            for point, (expression, well) in zip(points, found, strict=True)
        ]

    points = look(grid_points(student.n_layers), PROBES, salt=1)
    leading = sorted(points, key=_rank)[-CLOSER:]
    chosen = max(look(leading, REPORT // 2, salt=2), key=_rank)
    (best,) = look([chosen], REPORT, salt=3)
    return Grid(tuple(points), best)


def grid_points(layers: int) -> list[Point]:
    """Every plan of the grid, not measured yet."""
    return [
        Point(layer, strength, operator, 0.0, 0.0)
        for layer in range(layers)
        for operator, strengths in (("add", STRENGTHS), ("ablate", FRACTIONS))
        for strength in strengths
    ]


def _rank(point: Point) -> tuple[float, float]:
    return point.score, point.expression + point.well_formed

"""Can plain mean-difference vectors steer Pocket to each attribute value?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import numpy as np

from benchmarks.bars import Bar
from benchmarks.card.replies import DRAW, MAX_NEW_TOKENS, TEMPERATURE, VALUES, prompts, replies
from selfsteer.pocket import oracle
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Example
from selfsteer.steering.vectors import SteeringVector

PAIRS = 1024
STRENGTHS = tuple(np.geomspace(0.2, 2.0, 8).round(3).tolist())
# Everywhere, where the reply begins, or there and through the first words or the first sentence: a
# value that is chosen once needs its push until it is said.
SELECTORS = ("all", "last", "last + response[0:4]", "last + response[0:16]")
# Development probes for each look: at the grid, at the best points of it, at the best of those with
# strengths beside theirs, and at the best of those with strengths in between.
LOOKS = (8, 40, 96, 480)
KEPT = (24, 6, 2)
STEPS = (1.18, 1.06)  # from a strength to the next one, in the last two looks
REPORT = 400
EXPRESSION, WELL_FORMED = 0.85, 0.90


class Point(NamedTuple):
    """One plan of the grid."""

    layer: int
    strength: float
    selector: str

    def plan(self, vector: SteeringVector, dose: float = 1.0) -> Plan:
        """The plan, at a multiple of its strength."""
        strength = self.strength * dose
        return Plan.single(vector, self.layer, strength, selector=self.selector)


@dataclass(frozen=True)
class Best:
    """The best block, strength and tokens of a value, and what they do on report probes."""

    family: str
    value: str
    point: Point
    expression: float
    well_formed: float
    vector: SteeringVector

    @property
    def holds(self) -> bool:
        """Whether both limits are reached."""
        return self.expression >= EXPRESSION and self.well_formed >= WELL_FORMED


def value_vector(
    student: Student, asked: dict[str, str], pairs: int = PAIRS, lot: str = "card-vector"
) -> SteeringVector:
    """The plain response-mean difference of `contrast`."""
    return extract_vector(student, contrast(student, asked, pairs, lot))


def contrast(
    student: Student, asked: dict[str, str], pairs: int = PAIRS, lot: str = "card-vector"
) -> ContrastiveDataset:
    """Replies under training wordings of the instruction against replies under none.

    Another lot means other prompts.
    """
    name = "-".join(f"{family}-{value}" for family, value in asked.items())
    rng = Random(f"{lot}-{name}")
    told = prompts(rng, pairs, asked, "train")
    free = prompts(rng, pairs, None, "train")
    positive, negative = (replies(student, p, seed=s) for s, p in ((1, told), (2, free)))
    kept = tuple(
        ContrastivePair(
            positive=Example(prompt=t, completion=p), negative=Example(prompt=f, completion=n)
        )
        for t, p, f, n in zip(told, positive, free, negative, strict=True)
        if p and n
    )
    return ContrastiveDataset(concept=name, pairs=kept)


def measure(
    student: Student, plans: list[Plan], asked: dict[str, str], count: int, seed: int
) -> list[tuple[float, float]]:
    """Expression and well-formedness of every plan on the same held-out prompts."""
    probes = prompts(Random(f"card-probes-{seed}"), count)
    found = generate(
        student,
        probes * len(plans),
        [plan for plan in plans for _ in probes],
        temperature=TEMPERATURE,
        max_new_tokens=MAX_NEW_TOKENS,
        seed=seed,
    )
    texts = [reply.text if reply.finished else reply.text + " …" for reply in found]
    parts = [texts[start : start + count] for start in range(0, len(texts), count)]
    return [
        (
            sum(oracle.expresses(text, **asked) for text in part) / count,
            sum(map(oracle.well_formed, part)) / count,
        )
        for part in parts
    ]


def best_single(student: Student, family: str, value: str, draw: int = 0) -> Best:
    """The grid on development probes, closer looks at the best, the winner on report probes.

    Another draw has other pairs, development probes and report probes.
    """
    asked = {family: value}
    vector = value_vector(student, asked, lot=f"card-vector-draw-{draw}" if draw else "card-vector")
    points = [
        Point(layer, strength, selector)
        for layer in range(student.n_layers)
        for strength in STRENGTHS
        for selector in SELECTORS
    ]

    def ranked(points: list[Point], look: int) -> list[Point]:
        found = measure(
            student, _plans(vector, points), asked, LOOKS[look], seed=11 + look + DRAW * draw
        )
        merits = dict(zip(points, map(merit, found), strict=True))
        return sorted(points, key=merits.__getitem__, reverse=True)

    points = ranked(points, 0)[: KEPT[0]]
    points = ranked(points, 1)[: KEPT[1]]
    points = ranked(_beside(points, STEPS[0]), 2)[: KEPT[2]]
    best = ranked(_beside(points, STEPS[1]), 3)[0]
    ((expression, well),) = measure(
        student, _plans(vector, [best]), asked, REPORT, seed=20 + DRAW * draw
    )
    return Best(family, value, best, expression, well, vector)


def _beside(points: list[Point], step: float) -> list[Point]:
    """Each point, and the same a step weaker and stronger."""
    return [p._replace(strength=p.strength * dose) for p in points for dose in (1 / step, 1, step)]


def _plans(vector: SteeringVector, points: list[Point]) -> list[Plan]:
    return [point.plan(vector) for point in points]


def merit(found: tuple[float, float]) -> tuple[float, float]:
    """How far the worse of the two is above its limit; the sum where that is equal."""
    expression, well = found
    return min(expression - EXPRESSION, well - WELL_FORMED), expression + well


def steerability(found: Sequence[Best]) -> Bar:
    """The share of values that can be steered."""
    missed = [best.value for best in found if not best.holds]
    note = f"{len(VALUES) - len(missed)} of {len(VALUES)}"
    if missed:
        note += f"; not {', '.join(missed)}"
    return Bar("steerable values", sum(best.holds for best in found) / len(found), 0.80, note=note)

"""Who lives on and who has children: only ranks count, so that no scale of fitness matters.

Parents are chosen by tournament: of a few drawn at random the fittest. Two a tournament is the
gentlest pressure there is short of none, which a small population and noisy scores ask for.
Source: Goldberg and Deb, "A comparative analysis of selection schemes used in genetic algorithms"
(1991). The best live on unchanged (elitism: De Jong, 1975); they are judged again in every
generation, and their fitness is the mean of all their looks, so that a lucky one does not rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

from selfsteer.agents.evolving.genomes import Made
from selfsteer.agents.policy import utility
from selfsteer.agents.types import CandidateResult, CandidateSpec, Record, Thresholds


class Individual(Record):
    """A genome as it stands on record.

    Attributes:
        name: unique in its evolution; begins with the generation that it was born in.
        vector: id of the vector.
        parents: names of the individuals that it descends from.
        made: how it came about.
    """

    name: str
    vector: str
    layer: int
    strength: float
    parents: tuple[str, ...] = ()
    made: Made

    def spec(self, site: str) -> CandidateSpec:
        """The candidate that it is."""
        return CandidateSpec(site=site, layer=self.layer, operator="add", strength=self.strength)


@dataclass(frozen=True)
class Look:
    """What one evaluation of an individual found."""

    individual: Individual
    result: CandidateResult


@dataclass(frozen=True)
class Member:
    """An individual with the mean fitness over all that was seen of it."""

    individual: Individual
    fitness: float
    looks: int


def members(looks: Iterable[Look], thresholds: Thresholds) -> list[Member]:
    """Everyone who was looked at, the fittest first; of equals, the one who came first.

    Fitness is the loop's own measure of a candidate: steerability less what it costs.
    """
    seen: dict[Individual, list[float]] = {}
    for look in looks:
        seen.setdefault(look.individual, []).append(utility(look.result, thresholds))
    found = [Member(one, fmean(values), len(values)) for one, values in seen.items()]
    return sorted(found, key=lambda member: -member.fitness)


def parent(population: Sequence[Member], size: int, rng: Random) -> Individual:
    """The fittest of ``size`` that are drawn, one at a time."""
    drawn = [rng.choice(population) for _ in range(size)]
    return max(drawn, key=lambda member: member.fitness).individual

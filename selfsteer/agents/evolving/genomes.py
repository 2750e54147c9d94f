"""Genomes: a vector with the layer and the strength at which it acts; and how new ones come about.

Only the direction at its own layer shows in what a genome does. The others are carried along, and
show in a descendant that acts elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from selfsteer.agents.search_spaces import DEEP, LAST_SHARE_LEFT_OUT
from selfsteer.agents.sites import SITES
from selfsteer.errors import PopulationError
from selfsteer.steering.breeding import crossover, mutate, weighted_sum
from selfsteer.steering.vector_checks import check_directed, check_family
from selfsteer.steering.vectors import SteeringVector

Made = Literal["founder", "mix", "cross", "mutation", "dose", "random"]

# Extended line recombination: a child may lie a quarter of the way beyond either parent, because
# mixing in between alone draws a population together. Source: Mühlenbein and Schlierkamp-Voosen,
# "Predictive models for the breeder genetic algorithm" (1993).
REACH = 0.25
MIXED, CROSSED = 0.5, 0.25  # shares of the children of two different vectors
MUTATED = 0.5  # share of children whose vector is mutated
MUTATION = 0.3  # of the vector's length: turns it by about 17 degrees
MOVED = 0.2  # share of children that act one layer up or down
DOSE = 0.25  # standard deviation of the logarithm of the strength


@dataclass(frozen=True)
class World:
    """What a population lives in.

    Attributes:
        founders: vectors of one student, with the same layers and a direction at each.
        layers: where a genome may act.
        low, high: strengths, in residual norms.
    """

    founders: tuple[SteeringVector, ...]
    layers: tuple[int, ...]
    low: float
    high: float

    @classmethod
    def of(cls, founders: Sequence[SteeringVector], strengths: tuple[float, float]) -> World:
        """The world of some founders: their blocks, in deep students without the last ones.

        Raises:
            VectorError: founders of different students or layers, or with a zero direction.
            PopulationError: founders without any block, or one that comes twice.
        """
        check_family(founders)
        for founder in founders:
            check_directed(founder)
        if len(set(founders)) < len(founders):
            raise PopulationError("A founder was given twice; name each vector once.")
        blocks = [layer for layer in founders[0].layers if layer >= 0]
        depth = 1 + max(blocks, default=-1)
        if depth >= DEEP:
            deepest = math.ceil(depth * (1 - LAST_SHARE_LEFT_OUT))
            blocks = [layer for layer in blocks if layer < deepest] or blocks
        if not blocks:
            raise PopulationError("The founders have directions at the embedding output only.")
        return cls(tuple(founders), tuple(blocks), *strengths)

    @property
    def site(self) -> str:
        """Where all genomes act: where the founders were read; over all tokens if that differs."""
        [selector, *others] = {founder.selector for founder in self.founders}
        reading = (name for name, site in SITES.items() if site.read == selector and not others)
        return next(reading, "reply")


@dataclass(frozen=True)
class Genome:
    """What varies and is selected."""

    vector: SteeringVector
    layer: int
    strength: float


@dataclass(frozen=True)
class Bred:
    """A new genome, and how it came about.

    Attributes:
        steps: vectors made on the way, which the genome's own names as its parents.
    """

    genome: Genome
    made: Made
    steps: tuple[SteeringVector, ...] = ()


def founding(world: World, count: int, rng: Random) -> list[Bred]:
    """The founders in turn, with random strengths.

    Each acts at every layer, in an order of its own, before it comes to one again.
    """
    orders = [rng.sample(world.layers, len(world.layers)) for _ in world.founders]
    bred = []
    for index in range(count):
        turn, which = divmod(index, len(world.founders))
        layer = orders[which][turn % len(world.layers)]
        genome = Genome(world.founders[which], layer, _any_strength(world, rng))
        bred.append(Bred(genome, "founder"))
    return bred


def offspring(world: World, first: Genome, second: Genome, rng: Random) -> Bred:
    """A child of two genomes, which may be one and the same.

    Different vectors are mixed on the line through them, or crossed at a layer, or the first is
    taken; the layer and the strength come from either parent. Then the vector may be mutated, and
    is where both parents have the same; the layer may be, and the strength always is.
    """
    vector, made = _recombined(world, first.vector, second.vector, rng)
    steps: tuple[SteeringVector, ...] = ()
    if first.vector == second.vector or rng.random() < MUTATED:
        steps = () if vector in (first.vector, second.vector) else (vector,)
        vector, made = _mutated(world, vector, rng), made if steps else "mutation"
    layer = rng.choice((first.layer, second.layer))
    if rng.random() < MOVED:
        layer = _beside(world, layer, rng)
    dose = rng.choice((first.strength, second.strength)) * math.exp(rng.gauss(0, DOSE))
    return Bred(Genome(vector, layer, _readable(world, dose)), made, steps)


def at_random(world: World, rng: Random) -> Bred:
    """What random search tries: a random mix of founders, as often mutated as a child is.

    Some of the founders, each number of them as likely, with weights drawn evenly from all that add
    up to 1; then any layer, and any strength on a logarithmic scale.
    """
    some = rng.sample(world.founders, rng.randint(1, len(world.founders)))
    vector = some[0]
    if len(some) > 1:
        # Waits between random moments are spread evenly over the simplex.
        waits = [rng.expovariate(1) for _ in some]
        weights = [wait / sum(waits) for wait in waits]
        vector = weighted_sum(list(zip(weights, some, strict=True)), strengths=True)
    steps: tuple[SteeringVector, ...] = ()
    if rng.random() < MUTATED:
        steps = (vector,) if len(some) > 1 else ()
        vector = _mutated(world, vector, rng)
    genome = Genome(vector, rng.choice(world.layers), _any_strength(world, rng))
    return Bred(genome, "random", steps)


def _recombined(
    world: World, first: SteeringVector, second: SteeringVector, rng: Random
) -> tuple[SteeringVector, Made]:
    draw = rng.random()
    if first == second or draw >= MIXED + CROSSED:
        return first, "dose"
    if draw < MIXED or len(first.layers) == 1:
        t = rng.uniform(-REACH, 1 + REACH)
        return weighted_sum([(1 - t, first), (t, second)], strengths=True), "mix"
    cut = rng.choice(first.layers[1:])
    above = [layer for layer in first.layers if layer >= cut]
    return crossover(first, second, above), "cross"


def _mutated(world: World, vector: SteeringVector, rng: Random) -> SteeringVector:
    """With noise inside the founders' span, where that has more than one direction, or outside."""
    inside = len(world.founders) > 1 and rng.random() < 0.5
    seed = rng.getrandbits(31)
    if inside:
        return mutate(vector, MUTATION, seed, within=world.founders)
    return mutate(vector, MUTATION, seed, without=world.founders)


def _beside(world: World, layer: int, rng: Random) -> int:
    place = world.layers.index(layer) + rng.choice((-1, 1))
    return world.layers[min(max(place, 0), len(world.layers) - 1)]


def _any_strength(world: World, rng: Random) -> float:
    return _readable(world, world.low * (world.high / world.low) ** rng.random())


def _readable(world: World, strength: float) -> float:
    """A strength that people can read, within the range."""
    return min(max(float(f"{strength:.3g}"), world.low), world.high)

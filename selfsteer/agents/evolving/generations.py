"""Generations: bred, looked at, and put on record; one that is on record is not bred again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from random import Random
from statistics import fmean, median

from pydantic import JsonValue

from selfsteer.agents.evolving.context import EvolveContext
from selfsteer.agents.evolving.genomes import Bred, at_random, founding, offspring
from selfsteer.agents.evolving.looks import Groups, look, on_record
from selfsteer.agents.evolving.selection import Individual, Look, Member, members, parent
from selfsteer.agents.evolving.settings import workload
from selfsteer.memory.records import Round
from selfsteer.steering.decomposition import similarities

ARM_NAMES = ("evolved", "random")
FOUNDING = "founding"  # the group of the first generation, which both arms begin with


def generation(context: EvolveContext, number: int, before: Sequence[Groups]) -> Groups:
    """The looks of one generation: read where they are on record, else bred and taken.

    Args:
        before: the generations before it.

    Raises:
        CannotGoOn: a limit leaves no room for it.
    """
    found = on_record(context, "generation", number)
    if not found:
        asked = workload(context.wanted, context.probes)
        size = context.wanted.evolution.population
        if number:
            context.check_room(len(ARM_NAMES) * size, asked["generation"])
        else:
            context.check_room(size, asked["founding"])
        new = _bred(context, number, before)
        look(context, "generation", number, new, context.probes_of(number))
        found = on_record(context, "generation", number)
    _tell(context, number, [*before, found])
    return found


def seen_in(arm: str, generations: Sequence[Groups]) -> list[Look]:
    """All looks at individuals of an arm; the founding generation belongs to both."""
    return [one for groups in generations for one in _of(arm, groups)]


def population(context: EvolveContext, arm: str, generations: Sequence[Groups]) -> list[Member]:
    """Who lives in an arm after the last of some generations, the fittest first.

    The fitness is that of all looks in this arm, elites having had several.
    """
    alive = {one.individual for one in _of(arm, generations[-1])}
    everyone = members(seen_in(arm, generations), context.goal.thresholds)
    return [member for member in everyone if member.individual in alive]


def _of(arm: str, groups: Groups) -> list[Look]:
    return groups.get(FOUNDING) or groups.get(arm, [])


def _bred(
    context: EvolveContext, number: int, before: Sequence[Groups]
) -> list[tuple[str, Individual]]:
    """Who is to be looked at, by arm; the vectors are in memory then."""
    wanted, world = context.wanted.evolution, context.world
    rng = Random(context.seed("breed", number))
    if not number:
        new = founding(world, wanted.population, rng)
        return [(FOUNDING, _kept(context, f"0.{i}", one)) for i, one in enumerate(new)]
    asked: list[tuple[str, Individual]] = []
    for arm in ARM_NAMES:
        alive = population(context, arm, before)
        asked += [(arm, member.individual) for member in alive[: wanted.elites]]
        for place in range(wanted.population - wanted.elites):
            if arm == "random":
                child = _kept(context, f"{number}.r{place}", at_random(world, rng))
            else:
                one, other = (parent(alive, wanted.tournament, rng) for _ in range(2))
                bred = offspring(world, context.genome(one), context.genome(other), rng)
                child = _kept(context, f"{number}.{place}", bred, (one, other))
            asked.append((arm, child))
    return asked


def _kept(
    context: EvolveContext, name: str, bred: Bred, parents: Sequence[Individual] = ()
) -> Individual:
    """The individual, once its vector and those made on the way are in memory."""
    for vector in (*bred.steps, bred.genome.vector):
        context.memory.put_vector(vector)
    return Individual(
        name=name,
        vector=bred.genome.vector.id,
        layer=bred.genome.layer,
        strength=bred.genome.strength,
        parents=tuple(dict.fromkeys(one.name for one in parents)),
        made=bred.made,
    )


def _tell(context: EvolveContext, number: int, generations: Sequence[Groups]) -> None:
    """Close the generation's round, and say what it came to."""
    figures: dict[str, JsonValue] = {}
    for arm in ARM_NAMES:
        figures[arm] = _figures(context, arm, generations)
    best = population(context, "evolved", generations)[0]
    context.memory.runs.add_round(
        Round(
            run_id=context.run_id,
            number=number,
            vector_id=best.individual.vector,
            decision="breed",
            reason=f"Fittest of generation {number}: {best.fitness:.3f}.",
            details=figures,
        )
    )
    count = sum(map(len, generations[-1].values()))
    told = {"round": number, "candidates": count, **figures}
    context.emit("generation", f"generation/{number}", told)


def _figures(
    context: EvolveContext, arm: str, generations: Sequence[Groups]
) -> dict[str, JsonValue]:
    alive = population(context, arm, generations)
    best = alive[0]
    latest = {one.individual: one.result for one in _of(arm, generations[-1])}
    vectors = [context.vector(member.individual.vector) for member in alive]
    founders = context.world.founders
    among = similarities(vectors, vectors)
    towards = similarities(vectors, founders)
    pairs = combinations(range(len(alive)), 2)
    return {
        "individual": best.individual.name,
        "vector": best.individual.vector,
        "best": best.fitness,
        "median": median(member.fitness for member in alive),
        "steerability": latest[best.individual].steerability,
        "diversity": max(0.0, fmean(1 - among[i][j] for i, j in pairs)),
        "drift": {
            founder.id: fmean(row[place] for row in towards)
            for place, founder in enumerate(founders)
        },
    }

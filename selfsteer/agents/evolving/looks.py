"""Looking at individuals: all of them answer and are judged in one batch, and it goes on record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from selfsteer.agents.budget import Spent, keeping_account
from selfsteer.agents.context import plan_of
from selfsteer.agents.evolving.context import EvolveContext
from selfsteer.agents.evolving.selection import Individual, Look
from selfsteer.agents.room import samples_cost
from selfsteer.agents.types import CandidateResult
from selfsteer.memory.records import Candidate
from selfsteer.steering.evaluate import CandidateScore, sample, score
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Prompt

Stage = Literal["generation", "finalists"]
Groups = dict[str, list[Look]]
"""Looks by the arm or group in which they were taken."""


def look(
    context: EvolveContext,
    stage: Stage,
    number: int,
    asked: Sequence[tuple[str, Individual]],
    prompts: Sequence[Prompt],
    samples_per_prompt: int = 1,
) -> None:
    """Evaluate individuals as the loop does its candidates, and put the results on record.

    Args:
        number: of the round.
        asked: the individuals, each with the name of its group.

    Raises:
        CannotGoOn: the controller's limits end it; what it took is on the account.
    """
    site = context.world.site
    with context.on_account():
        plans = [plan_of([context.vector(one.vector)], one.spec(site)) for _, one in asked]
        samples = sample(
            context.student,
            plans,
            prompts,
            samples_per_prompt=samples_per_prompt,
            temperature=context.settings.temperature,
            max_new_tokens=context.settings.max_new_tokens,
            seed=context.seed("evolve", stage, number),
            instructed=context.instructed,
        )
        cost = samples_cost(samples)
        with keeping_account(cost):
            scores = score(
                context.student, plans, samples, context.judge, seed=context.settings.seed
            )
        replies = context.memory.put_generations(samples.to_rows())
        context.spent = context.spent.plus(candidates=len(plans), **cost)
    parts = zip(asked, plans, scores, strict=True)
    context.memory.runs.add_candidates(
        [
            _row(context, (stage, number, place), who, plan, seen, replies)
            for place, (who, plan, seen) in enumerate(parts)
        ]
    )


def _row(
    context: EvolveContext,
    occasion: tuple[Stage, int, int],
    who: tuple[str, Individual],
    plan: Plan,
    seen: CandidateScore,
    replies: str,
) -> Candidate:
    """One look as a candidate.

    Args:
        occasion: the stage, the round, and the place among those looked at.
        who: the group and the individual.
        replies: id of what was said by all that were looked at together.
    """
    stage, number, place = occasion
    group, one = who
    return Candidate(
        run_id=context.run_id,
        round=number,
        split="development",
        number=place,
        plan=plan.describe(),
        steerability=seen.steerability,
        coherence=seen.coherence,
        n=seen.n,
        details={
            "stage": stage,
            "group": group,
            "individual": one.model_dump(mode="json"),
            "broken": seen.broken,
            "repetition": seen.repetition,
            "interval": [*seen.interval],
            "distinct_2": seen.distinct_2,
            "spent": context.spent.model_dump(),
        },
        generations_id=replies,
    )


def on_record(context: EvolveContext, stage: Stage, number: int) -> Groups:
    """The looks of one round, by group, as they were taken; empty where none is on record.

    What had been spent by then is taken up with them.
    """
    rows = context.memory.runs.candidates(context.run_id, "development")
    found = [row for row in rows if (row.round, row.details["stage"]) == (number, stage)]
    if found:
        context.spent = Spent.model_validate(found[-1].details["spent"])
    return by_group(found)


def by_group(rows: Sequence[Candidate]) -> Groups:
    """The looks that candidates of an evolution record."""
    groups: Groups = {}
    for row in rows:
        groups.setdefault(str(row.details["group"]), []).append(_look(row))
    return groups


def _look(row: Candidate) -> Look:
    one = Individual.model_validate(row.details["individual"])
    return Look(
        one,
        CandidateResult.model_validate(
            {
                "site": "reply",  # no measure depends on it
                "layer": one.layer,
                "operator": "add",
                "strength": one.strength,
                "steerability": row.steerability,
                "coherence": row.coherence,
                "broken": row.details["broken"],
                "repetition": row.details["repetition"],
                "n": row.n,
            }
        ),
    )

"""Looking at individuals: all of them answer and are judged in one batch, and it goes on record."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Literal

from selfsteer.agents.budget import Spent, keeping_account
from selfsteer.agents.context import plan_of
from selfsteer.agents.evolving.context import EvolveContext
from selfsteer.agents.evolving.selection import Individual, Look
from selfsteer.agents.policy import utility
from selfsteer.agents.room import samples_cost
from selfsteer.agents.types import CandidateResult
from selfsteer.memory.records import Candidate
from selfsteer.steering.evaluate import sample, score
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
        CannotGoOn: the controller's limits end it; the replies are on the account.
    """
    began = time.monotonic()
    site = context.world.site
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
        scores = score(context.student, plans, samples, context.judge, seed=context.settings.seed)
    replies = context.memory.put_generations(samples.to_rows())
    context.spent = context.spent.plus(
        candidates=len(plans), minutes=(time.monotonic() - began) / 60, **cost
    )
    rows = []
    for place, ((group, one), plan, seen) in enumerate(zip(asked, plans, scores, strict=True)):
        result = CandidateResult(
            **one.spec(site).model_dump(),
            steerability=seen.steerability,
            coherence=seen.coherence,
            broken=seen.broken,
            repetition=seen.repetition,
            n=seen.n,
        )
        rows.append(
            Candidate(
                run_id=context.run_id,
                round=number,
                split="development",
                number=place,
                plan=plan.describe(),
                steerability=result.steerability,
                coherence=result.coherence,
                n=result.n,
                details={
                    "stage": stage,
                    "group": group,
                    "individual": one.model_dump(mode="json"),
                    "fitness": utility(result, context.goal.thresholds),
                    "broken": result.broken,
                    "repetition": result.repetition,
                    "interval": list(seen.interval),
                    "distinct_2": seen.distinct_2,
                    "spent": context.spent.model_dump(),
                },
                generations_id=replies,
            )
        )
    context.memory.runs.add_candidates(rows)


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
                "coherence": math.inf if row.coherence is None else row.coherence,
                "broken": row.details["broken"],
                "repetition": row.details["repetition"],
                "n": row.n,
            }
        ),
    )

"""Score the replies of the pending candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from selfsteer.agents.context import Context, last_user_turn
from selfsteer.agents.leading import likeliest, together
from selfsteer.agents.policy import best_first
from selfsteer.agents.stages import LAST_LOOKS, confirming, last_look_after
from selfsteer.agents.state import LoopState
from selfsteer.agents.types import CandidateResult, CandidateSpec, Failure
from selfsteer.memory.records import Candidate
from selfsteer.steering.evaluate import CandidateScore, Samples, score
from selfsteer.steering.metrics.retention import retention
from selfsteer.steering.plan import Plan

SHOWN = 4  # replies of a failure
ONE_IN = 4  # candidates of a batch of the search is asked what it leaves of the student's abilities


def judge(state: LoopState, context: Context) -> LoopState:
    """Judge, measure coherence and retention, and put the results on record."""
    context.prepare_judge(state["dataset_id"])
    specs = [CandidateSpec.model_validate(row) for row in state["pending"]]
    plans = context.plans(specs, state)
    samples = Samples.from_rows(
        context.memory.get_generations(state["replies_id"]), instructed=context.instructed
    )
    scores = score(context.student, plans, samples, context.judge, seed=context.settings.seed)
    stage = state["stage"]
    finalists = [CandidateResult.model_validate(row) for row in state["finalists"]]
    results = [_result(spec, outcome) for spec, outcome in zip(specs, scores, strict=True)]
    results = _with_retention(results, plans, state, context)
    _record(state, context, results, scores)
    if stage == "recheck":
        known = {result.spec(): result for result in finalists}
        results = [together(known[result.spec()], result) for result in results]
    done: list[dict[str, object]] = [result.model_dump() for result in results]
    if stage == "search":
        return {"results": [*state["results"], *done]}
    if stage not in LAST_LOOKS:
        return {"refined": done}
    best = likeliest([*finalists, *results], context.goal.thresholds, confirming(context))[0]
    update: LoopState = {
        "finalists": [*state["finalists"], *done],
        "settled": last_look_after(stage, best, context) is None,
    }
    if best in results:
        update["failures"] = _failures(scores[results.index(best)], context)
    return update


def _failures(best: CandidateScore, context: Context) -> list[dict[str, object]]:
    """The replies of the best candidate that the judge liked least."""
    worst = sorted(best.replies, key=lambda reply: reply.score)[:SHOWN]
    return [
        Failure(prompt=last_user_turn(r.prompt), reply=r.text, score=r.score).model_dump()
        for r in worst
        if r.score < context.goal.thresholds.steerability
    ]


def _with_retention(
    results: Sequence[CandidateResult], plans: Sequence[Plan], state: LoopState, context: Context
) -> list[CandidateResult]:
    """The results with the share of the student's abilities that they leave, where it is asked for.

    A vector can have every reply do what was asked, in good order, and take away all knowledge. So
    this is known before the places for closer looks are given away. The last looks ask all
    questions, as the one that accepts does: of some, figures near the limit would be chance.
    """
    stage = state["stage"]
    asked = _best(results, context) if stage == "search" else results
    known = _known(state)
    wanted = {result.spec() for result in asked} - known.keys()
    plan_of = {
        result.spec(): plan
        for result, plan in zip(results, plans, strict=True)
        if result.spec() in wanted
    }
    items = context.capability
    if stage not in LAST_LOOKS:
        items = items[: context.settings.effort.refined_capability]
    if items and plan_of:
        scores = retention(context.student, items, list(plan_of.values()))
        known |= {spec: score.ratio for spec, score in zip(plan_of, scores, strict=True)}
    return [r.model_copy(update={"retention": known.get(r.spec())}) for r in results]


def _best(results: Sequence[CandidateResult], context: Context) -> list[CandidateResult]:
    """Those of a batch of the search that may be looked at again."""
    ranked = best_first(results, context.goal.thresholds)
    return ranked[: math.ceil(len(ranked) / ONE_IN)]


def _known(state: LoopState) -> dict[CandidateSpec, float | None]:
    """What earlier looks of this round know, if they asked as many questions as this one."""
    rows: Any = state["results"] if state["stage"] == "refine" else state["finalists"]
    looks = [CandidateResult.model_validate(row) for row in rows]
    return {look.spec(): look.retention for look in looks if look.retention is not None}


def _result(spec: CandidateSpec, outcome: CandidateScore) -> CandidateResult:
    return CandidateResult(
        **spec.model_dump(),
        steerability=outcome.steerability,
        coherence=outcome.coherence,
        broken=outcome.broken,
        repetition=outcome.repetition,
        n=outcome.n,
    )


def _record(
    state: LoopState,
    context: Context,
    results: list[CandidateResult],
    scores: list[CandidateScore],
) -> None:
    number, stage = state["round"], state["stage"]
    # Numbered on through the stages of a round.
    first = len(state["results"]) + len(state["refined"]) + len(state["finalists"])
    context.memory.runs.add_candidates(
        [
            Candidate(
                run_id=context.run_id,
                round=number,
                split="development",
                number=first + index,
                plan=outcome.plan.describe(),
                steerability=result.steerability,
                coherence=result.coherence,
                retention=result.retention,
                n=result.n,
                details={
                    "stage": stage,
                    "broken": result.broken,
                    "repetition": result.repetition,
                    "interval": list(outcome.interval),
                    "distinct_2": outcome.distinct_2,
                },
                generations_id=state["replies_id"],
            )
            for index, (result, outcome) in enumerate(zip(results, scores, strict=True))
        ]
    )
    best = best_first(results, context.goal.thresholds)[0]
    context.emit(
        "evaluated",
        f"judge/{number}/{stage}/{first}",
        {"round": number, "stage": stage, "candidates": len(results), "best": best.model_dump()},
    )

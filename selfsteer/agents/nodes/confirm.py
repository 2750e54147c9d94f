"""One look at probes that chose nothing: is the goal met, and at what cost?"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from selfsteer.agents.budget import keeping_account
from selfsteer.agents.context import Context, plan_of
from selfsteer.agents.paid_calls import last_look
from selfsteer.agents.policy import meets, recall_thresholds
from selfsteer.agents.room import ARMS, afford, samples_cost
from selfsteer.agents.state import LoopState, vectors_at
from selfsteer.agents.types import CandidateResult, CandidateSpec, Thresholds
from selfsteer.memory.records import Candidate
from selfsteer.steering.evaluate import sample, score
from selfsteer.steering.metrics.retention import retention
from selfsteer.steering.plan import Plan

# A remembered vector was confirmed once already; half the replies are enough to see that it holds.
RECALL_SHARE = 2


def confirm(state: LoopState, context: Context) -> LoopState:
    """Evaluate the chosen candidate (or the recalled one, on the recall split) and decide.

    Raises:
        OutOfBudget: no room to look at a recalled vector, or to judge. The search leaves room for
            the replies of its own confirmation.
    """
    recalled = state["recalled"]
    if recalled:
        prompts = len(context.probes.recall)
        afford(state, context, 1, each=ARMS * prompts * _per_prompt(context, recalled=True))
    chosen = recalled["spec"] if recalled else state["decision"]["candidate"]
    spec = CandidateSpec.model_validate(chosen)
    vectors = [context.vector(vector_id) for vector_id in vectors_at(state, spec.site)]
    plan = plan_of(vectors, spec)
    context.prepare_judge(vectors[0].dataset_id)
    result, details, spent = _look(context, plan, spec, recalled=recalled is not None)
    thresholds = context.goal.thresholds
    if recalled:
        thresholds = recall_thresholds(thresholds, result.n)
    passed = meets(result, thresholds)
    verdict = {
        "status": "accepted" if passed else "rejected",
        "reason": _reason(result, thresholds) + _cut_short(state),
        "vector_id": vectors[0].id,
        "further": [vector.id for vector in vectors[1:]],
        "recalled": None if recalled is None else recalled["run_id"],
        **result.model_dump(),
        **details,
    }
    if recalled and not passed:
        context.memory.doubt(
            recalled["id"],
            context.run_id,
            thresholds=context.goal.thresholds.model_dump(),
            scores=result.model_dump(),
        )
    split = "recall" if recalled else "confirmation"
    context.emit("confirmed", f"confirm/{split}", {"split": split, **verdict})
    update: LoopState = {"verdict": verdict, "spent": {"candidates": 1, **spent}}
    if recalled and recalled["exact"] and not passed:
        update["replaces"] = recalled["id"]
    return update


def _per_prompt(context: Context, *, recalled: bool) -> int:
    samples = context.settings.effort.confirmation_samples
    return max(1, samples // (RECALL_SHARE if recalled else 1))


def _cut_short(state: LoopState) -> str:
    shortage = state.get("shortage")
    return f"; chosen when {shortage}" if shortage else ""


def _look(
    context: Context, plan: Plan, spec: CandidateSpec, *, recalled: bool
) -> tuple[CandidateResult, dict[str, Any], dict[str, float]]:
    samples = sample(
        context.student,
        [plan],
        context.probes.recall if recalled else context.probes.confirmation,
        samples_per_prompt=_per_prompt(context, recalled=recalled),
        temperature=context.settings.temperature,
        max_new_tokens=context.settings.max_new_tokens,
        seed=context.seed("confirm", "recall" if recalled else "confirmation"),
        instructed=context.instructed,
    )
    spent = samples_cost(samples)
    # A recalled vector that no longer holds is followed by a search and its own last look.
    with keeping_account(spent), nullcontext() if recalled else last_look():
        [outcome] = score(
            context.student, [plan], samples, context.judge, seed=context.settings.seed
        )
        prompt_only = context.judge(samples.judged_reference())
    left = None
    if context.capability:
        items = context.capability[
            : context.settings.effort.finalist_capability if recalled else None
        ]
        left = retention(context.student, items, plan).ratio
    generations_id = context.memory.put_generations(samples.to_rows())
    details: dict[str, Any] = {
        "interval": list(outcome.interval),
        "prompt_only": sum(prompt_only) / len(prompt_only),
    }
    result = CandidateResult(
        **spec.model_dump(),
        steerability=outcome.steerability,
        coherence=outcome.coherence,
        broken=outcome.broken,
        repetition=outcome.repetition,
        retention=left,
        n=outcome.n,
    )
    context.memory.runs.add_candidates(
        [
            Candidate(
                run_id=context.run_id,
                round=-1 if recalled else len(context.memory.runs.rounds(context.run_id)),
                split="confirmation",
                number=0,
                plan=plan.describe(),
                steerability=result.steerability,
                coherence=result.coherence,
                retention=left,
                n=result.n,
                details={
                    "recalled": recalled,
                    "broken": result.broken,
                    "repetition": result.repetition,
                    **details,
                },
                generations_id=generations_id,
            )
        ]
    )
    return result, details, spent


def _reason(result: CandidateResult, thresholds: Thresholds) -> str:
    """Which thresholds are met, with the figures."""
    checks = [
        ("steerability", result.steerability, ">=", thresholds.steerability),
        ("coherence", result.coherence, "<=", thresholds.coherence),
        ("broken", result.broken, "<=", thresholds.broken),
    ]
    if result.retention is not None:
        checks.append(("retention", result.retention, ">=", thresholds.retention))
    parts = [
        f"{name} {value:.3f} ({sign} {limit:.3g}: "
        f"{'yes' if (value >= limit if sign == '>=' else value <= limit) else 'no'})"
        for name, value, sign, limit in checks
    ]
    if result.retention is None:
        parts.append("retention not measured: this student has no capability questions")
    return "; ".join(parts)

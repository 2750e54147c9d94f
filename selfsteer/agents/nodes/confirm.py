"""One look at probes that chose nothing: is the goal met, and at what cost?"""

from __future__ import annotations

from typing import Any

from selfsteer.agents.context import Context, plan_of
from selfsteer.agents.policy import meets, recall_thresholds
from selfsteer.agents.state import LoopState
from selfsteer.agents.types import CandidateResult, CandidateSpec, Thresholds
from selfsteer.memory.records import Candidate
from selfsteer.steering.evaluate import sample, score
from selfsteer.steering.metrics.retention import retention
from selfsteer.steering.plan import Plan

# A remembered vector was confirmed once already; half the replies are enough to see that it holds.
RECALL_SHARE = 2


def confirm(state: LoopState, context: Context) -> LoopState:
    """Evaluate the chosen candidate (or the recalled one, on the recall split) and decide."""
    recalled = state["recalled"]
    chosen = recalled["spec"] if recalled else state["decision"]["candidate"]
    spec = CandidateSpec.model_validate(chosen)
    vector = context.vector(state["vector_ids"][spec.site])
    plan = plan_of(vector, spec)
    context.prepare_judge(vector.dataset_id)
    result, details, tokens = _look(context, plan, spec, recalled=recalled is not None)
    thresholds = context.goal.thresholds
    if recalled:
        thresholds = recall_thresholds(thresholds, result.n)
    passed = meets(result, thresholds)
    verdict = {
        "status": "accepted" if passed else "rejected",
        "reason": _reason(result, thresholds),
        "vector_id": vector.id,
        "recalled": None if recalled is None else recalled["run_id"],
        **result.model_dump(),
        **details,
    }
    split = "recall" if recalled else "confirmation"
    context.emit("confirmed", f"confirm/{split}", {"split": split, **verdict})
    return {"verdict": verdict, "spent": {"candidates": 1, "generated_tokens": tokens}}


def _look(
    context: Context, plan: Plan, spec: CandidateSpec, *, recalled: bool
) -> tuple[CandidateResult, dict[str, Any], int]:
    effort = context.settings.effort
    per_prompt = effort.confirmation_samples // (RECALL_SHARE if recalled else 1)
    samples = sample(
        context.student,
        [plan],
        context.probes.recall if recalled else context.probes.confirmation,
        samples_per_prompt=max(1, per_prompt),
        temperature=context.settings.temperature,
        max_new_tokens=context.settings.max_new_tokens,
        seed=context.seed("confirm", "recall" if recalled else "confirmation"),
        instructed=context.instructed,
    )
    outcome = score(context.student, [plan], samples, context.judge, seed=context.settings.seed)[0]
    prompt_only = context.judge(samples.judged_reference())
    left = None
    if context.capability:
        items = context.capability[: effort.finalist_capability if recalled else None]
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
    return result, details, samples.generated_tokens


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

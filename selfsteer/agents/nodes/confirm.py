"""One look at probes that chose nothing: is the goal met, and at what cost?"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from selfsteer.agents.budget import keeping_account
from selfsteer.agents.context import Context
from selfsteer.agents.paid_calls import last_look
from selfsteer.agents.policy import meets, recall_thresholds
from selfsteer.agents.room import ARMS, afford, samples_cost
from selfsteer.agents.state import LoopState, vectors_at
from selfsteer.agents.steps import Recollection, Step, alike, recollection, told
from selfsteer.agents.types import CandidateSpec, Measures, Thresholds
from selfsteer.memory.records import Candidate
from selfsteer.steering.evaluate import sample, score
from selfsteer.steering.metrics.retention import retention
from selfsteer.steering.plan import Plan

# A remembered plan was confirmed once already; half the replies are enough to see that it holds.
RECALL_SHARE = 2


def confirm(state: LoopState, context: Context) -> LoopState:
    """Evaluate the chosen candidate, or what memory offers on the recall split, and decide.

    Raises:
        OutOfBudget: no room to look at what memory offers, or to judge. The search leaves room for
            the replies of its own confirmation.
    """
    recalled = recollection(state)
    if recalled:
        prompts = len(context.probes.recall)
        afford(state, context, 1, each=ARMS * prompts * _per_prompt(context, recalled))
    steps = recalled.edits if recalled else _chosen(state)
    plan = context.plan(steps)
    context.prepare_judge(plan.edits[0].vector.dataset_id)
    measures, interval, spent = _look(context, plan, recalled)
    thresholds = context.goal.thresholds
    if _again(recalled):
        thresholds = recall_thresholds(thresholds, measures.n)
    passed = meets(measures, thresholds)
    split = "recall" if recalled else "confirmation"
    verdict = {
        "status": "accepted" if passed else "rejected",
        "reason": _reason(measures, thresholds) + _cut_short(state),
        "vector_id": steps[0].vector,
        "further": [step.vector for step in steps[1:]],
        **_origin(recalled),
        **told(steps),
        **measures.model_dump(),
        "interval": [*interval],
    }
    context.emit("confirmed", f"confirm/{split}", {"split": split, **verdict})
    update: LoopState = {"verdict": verdict, "spent": {"candidates": 1, **spent}}
    if recalled and not passed:
        _doubt(recalled, measures, context)
        if recalled.exact:
            update["replaces"] = recalled.ids[0]
    return update


def _chosen(state: LoopState) -> tuple[Step, ...]:
    spec = CandidateSpec.model_validate(state["decision"]["candidate"])
    return alike(vectors_at(state, spec.site), spec)


def _again(recalled: Recollection | None) -> bool:
    """Whether the plan was confirmed before, as a whole."""
    return recalled is not None and not recalled.composed


def _origin(recalled: Recollection | None) -> dict[str, Any]:
    """Which run's plan it is; a composition is this run's own, made of what others met."""
    if recalled is None:
        return {"recalled": None}
    if recalled.composed:
        return {"recalled": None, "composed": list(recalled.runs)}
    return {"recalled": recalled.runs[0]}


def _doubt(recalled: Recollection, measures: Measures, context: Context) -> None:
    """Note with every plan of it what this run asked for, and did not get."""
    for remembered_id in recalled.ids:
        context.memory.doubt(
            remembered_id,
            context.run_id,
            thresholds=context.goal.thresholds.model_dump(),
            scores=measures.model_dump(),
        )


def _per_prompt(context: Context, recalled: Recollection | None) -> int:
    samples = context.settings.effort.confirmation_samples
    return max(1, samples // (RECALL_SHARE if _again(recalled) else 1))


def _cut_short(state: LoopState) -> str:
    shortage = state.get("shortage")
    return f"; chosen when {shortage}" if shortage else ""


def _look(
    context: Context, plan: Plan, recalled: Recollection | None
) -> tuple[Measures, tuple[float, float], dict[str, float]]:
    samples = sample(
        context.student,
        [plan],
        context.probes.recall if recalled else context.probes.confirmation,
        samples_per_prompt=_per_prompt(context, recalled),
        temperature=context.settings.temperature,
        max_new_tokens=context.settings.max_new_tokens,
        seed=context.seed("confirm", "recall" if recalled else "confirmation"),
        instructed=context.instructed,
    )
    spent = samples_cost(samples)
    # What memory offers and does not hold is followed by a search and its own last look.
    with keeping_account(spent), nullcontext() if recalled else last_look():
        [outcome] = score(
            context.student, [plan], samples, context.judge, seed=context.settings.seed
        )
    left = None
    if context.capability:
        few = context.settings.effort.refined_capability if _again(recalled) else None
        items = context.capability[:few]
        left = retention(context.student, items, [plan])[0].ratio
    measures = Measures(
        steerability=outcome.steerability,
        coherence=outcome.coherence,
        broken=outcome.broken,
        repetition=outcome.repetition,
        retention=left,
        n=outcome.n,
    )
    generations_id = context.memory.put_generations(samples.to_rows())
    context.memory.runs.add_candidates(
        [
            Candidate(
                run_id=context.run_id,
                round=-1 if recalled else len(context.memory.runs.rounds(context.run_id)),
                split="confirmation",
                number=0,
                plan=plan.describe(),
                steerability=measures.steerability,
                coherence=measures.coherence,
                retention=left,
                n=measures.n,
                details={
                    "recalled": recalled is not None,
                    "broken": measures.broken,
                    "repetition": measures.repetition,
                    "interval": [*outcome.interval],
                },
                generations_id=generations_id,
            )
        ]
    )
    return measures, outcome.interval, spent


def _reason(measures: Measures, thresholds: Thresholds) -> str:
    """Which thresholds are met, with the figures."""
    checks = [
        ("steerability", measures.steerability, ">=", thresholds.steerability),
        ("coherence", measures.coherence, "<=", thresholds.coherence),
        ("broken", measures.broken, "<=", thresholds.broken),
    ]
    if measures.retention is not None:
        checks.append(("retention", measures.retention, ">=", thresholds.retention))
    parts = [
        f"{name} {value:.3f} ({sign} {limit:.3g}: "
        f"{'yes' if (value >= limit if sign == '>=' else value <= limit) else 'no'})"
        for name, value, sign, limit in checks
    ]
    if measures.retention is None:
        parts.append("retention not measured: this student has no capability questions")
    return "; ".join(parts)

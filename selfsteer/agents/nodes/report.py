"""The report probes, opened after the verdict is stored: base, prompt-only and steered."""

from __future__ import annotations

import math
from statistics import fmean

from selfsteer.agents.budget import CannotGoOn, keeping_account
from selfsteer.agents.context import Context
from selfsteer.agents.paid_calls import last_look
from selfsteer.agents.room import afford, samples_cost
from selfsteer.agents.state import LoopState
from selfsteer.agents.steps import steps_of_verdict
from selfsteer.memory.records import Arm, Candidate
from selfsteer.steering.evaluate import sample, score
from selfsteer.steering.metrics.intervals import Interval, bootstrap_mean
from selfsteer.steering.plan import Plan

REPORT_ARMS = 3  # base, prompt-only and steered


def report(state: LoopState, context: Context) -> LoopState:
    """Figures for people; nothing decides on them any more.

    A recalled vector keeps the report of the run that made it, and a budget without room for the
    replies leaves the probes closed.
    """
    verdict = state["verdict"]
    wanted = context.settings.effort.report_samples
    if wanted == 0 or "vector_id" not in verdict or verdict["recalled"]:
        return {}
    per_prompt = math.ceil(wanted / len(context.probes.report))
    try:
        afford(state, context, 1, each=REPORT_ARMS * len(context.probes.report) * per_prompt)
        return _open(state, context, per_prompt)
    except CannotGoOn as error:
        reason = f"The report probes stay closed because {error}."
        context.emit("report_left_out", "report_left_out", {"reason": reason})
        return {"spent": dict(error.spent)}


def _open(state: LoopState, context: Context, per_prompt: int) -> LoopState:
    """Ask the report probes of every arm, and judge a part of the replies."""
    verdict = state["verdict"]
    plan = context.plan(steps_of_verdict(verdict))
    context.prepare_judge(plan.edits[0].vector.dataset_id)
    samples = sample(
        context.student,
        [Plan.none(), plan],
        context.probes.report,
        samples_per_prompt=per_prompt,
        temperature=context.settings.temperature,
        max_new_tokens=context.settings.max_new_tokens,
        seed=context.seed("report"),
        instructed=context.instructed,
    )
    judged = samples.thinned(context.settings.effort.report_judged)
    with keeping_account(samples_cost(samples)), last_look():
        base, steered = score(
            context.student, [Plan.none(), plan], judged, context.judge, seed=context.settings.seed
        )
        reference = context.judge(judged.judged_reference())
    generations_id = context.memory.put_generations(samples.to_rows())
    reference_interval = bootstrap_mean(reference, seed=context.settings.seed)
    arms: list[tuple[Arm, Plan, float, float, Interval]] = [
        ("base", Plan.none(), base.steerability, base.coherence, base.interval),
        ("prompt_only", Plan.none(), fmean(reference), 1.0, reference_interval),
        ("steered", plan, steered.steerability, steered.coherence, steered.interval),
    ]
    context.memory.runs.add_candidates(
        [
            Candidate(
                run_id=context.run_id,
                round=len(state["history"]),
                split="report",
                arm=arm,
                number=0,
                plan=arm_plan.describe(),
                steerability=steerability,
                coherence=coherence,
                retention=verdict["retention"] if arm == "steered" else None,
                n=len(reference),
                details={"interval": [interval.low, interval.high]},
                generations_id=generations_id,
            )
            for arm, arm_plan, steerability, coherence, interval in arms
        ]
    )
    figures: dict[str, float] = {str(arm): steerability for arm, _, steerability, *_ in arms}
    context.emit("reported", "report", {**figures, "n": len(reference)})
    return {"spent": samples_cost(samples)}

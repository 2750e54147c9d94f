"""What comes after the last generation: a closer look at the best of each group, and the report.

The groups are what evolution found, what random search found at the same price, and the best of the
founders as they are. Selection has fed on development probes, so that scores there flatter whoever
won; the figures to go by come from probes that it never saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import JsonValue

from selfsteer.agents.budget import CannotGoOn, keeping_account
from selfsteer.agents.context import plan_of
from selfsteer.agents.evolving.context import EvolveContext
from selfsteer.agents.evolving.generations import ARM_NAMES, seen_in
from selfsteer.agents.evolving.looks import Groups, look, on_record
from selfsteer.agents.evolving.selection import Individual, members
from selfsteer.agents.evolving.settings import workload
from selfsteer.agents.paid_calls import last_look
from selfsteer.agents.room import afford, samples_cost
from selfsteer.memory.records import Arm, Candidate, Round
from selfsteer.steering.evaluate import CandidateScore, sample, score
from selfsteer.steering.metrics.intervals import bootstrap_mean
from selfsteer.steering.plan import Plan

FOUNDER = "founder"
GROUP_NAMES = (*ARM_NAMES, FOUNDER)

Champions = Mapping[str, Individual]
"""The best individual of each group."""


def finalists(context: EvolveContext, generations: Sequence[Groups]) -> Champions:
    """Look at the best few of every group again, on all development probes, and choose.

    Only this look chooses: among those who were picked as the best of many, the scores that they
    were picked by say little. Where the controller gives no answer, those have to do.
    """
    thresholds, number = context.goal.thresholds, len(generations)
    seen = {arm: members(seen_in(arm, generations), thresholds) for arm in ARM_NAMES}
    seen[FOUNDER] = members(seen_in(ARM_NAMES[0], generations[:1]), thresholds)
    found = on_record(context, "finalists", number)
    if not found:
        count = context.settings.effort.finalists
        asked = [(name, one.individual) for name in GROUP_NAMES for one in seen[name][:count]]
        try:
            look(
                context,
                "finalists",
                number,
                asked,
                context.probes.development,
                context.settings.effort.finalist_samples,
            )
        except CannotGoOn:
            return {name: best[0].individual for name, best in seen.items()}
        found = on_record(context, "finalists", number)
    chosen = {name: members(found[name], thresholds)[0].individual for name in GROUP_NAMES}
    context.memory.runs.add_round(
        Round(
            run_id=context.run_id,
            number=number,
            vector_id=chosen["evolved"].vector,
            decision="confirm",
            reason=f"Individual {chosen['evolved'].name} is the best of the finalists.",
        )
    )
    names = {name: one.name for name, one in chosen.items()}
    count = sum(map(len, found.values()))
    context.emit("finalists", "finalists", {"candidates": count, "champions": names})
    return chosen


def compare(context: EvolveContext, champions: Champions) -> None:
    """Open the report probes for the champions, and say how they compare.

    A budget without room for the replies, or a controller that gives no answer, leaves them closed.
    """
    replies = workload(context.wanted, context.probes)["report"]
    if not replies:
        return
    try:
        afford({"spent": context.spent.model_dump()}, context, 1, each=replies)
        with context.on_account():
            _open(context, champions)
    except CannotGoOn as error:
        reason = f"The report probes stay closed because {error}."
        context.emit("report_left_out", "report_left_out", {"reason": reason})


def _open(context: EvolveContext, champions: Champions) -> None:
    """Ask the report probes of every arm, judge a part of the replies, and record the figures."""
    effort, seed = context.settings.effort, context.settings.seed
    probes, site = context.probes.report, context.world.site
    plans = {
        name: plan_of([context.vector(one.vector)], one.spec(site))
        for name, one in champions.items()
    }
    samples = sample(
        context.student,
        [Plan.none(), *plans.values()],
        probes,
        samples_per_prompt=-(-effort.report_samples // len(probes)),
        temperature=context.settings.temperature,
        max_new_tokens=context.settings.max_new_tokens,
        seed=context.seed("report"),
        instructed=context.instructed,
    )
    judged = samples.thinned(effort.report_judged)
    with keeping_account(samples_cost(samples)), last_look():
        base, *scores = score(
            context.student, [Plan.none(), *plans.values()], judged, context.judge, seed=seed
        )
        reference = context.judge(judged.judged_reference())
    context.spent = context.spent.plus(**samples_cost(samples))
    seen = dict(zip(plans, scores, strict=True))
    told: dict[str, JsonValue] = {"interval": [*bootstrap_mean(reference, seed=seed)]}
    rows = [
        _row(context, "base", 0, base, {"interval": [*base.interval]}),
        _row(context, "prompt_only", 0, base, told).model_copy(
            update={"steerability": fmean(reference), "coherence": 1.0}
        ),
    ]
    for place, (name, found) in enumerate(seen.items()):
        told = {
            "group": name,
            "individual": champions[name].name,
            "broken": found.broken,
            "interval": [*found.interval],
        }
        rows.append(_row(context, "steered", place, found, told))
    replies = context.memory.put_generations(samples.to_rows())
    context.memory.runs.add_candidates(
        [row.model_copy(update={"generations_id": replies}) for row in rows]
    )
    _tell(context, seen, judged.samples_per_prompt)


def _row(
    context: EvolveContext,
    arm: Arm,
    place: int,
    seen: CandidateScore,
    details: dict[str, JsonValue],
) -> Candidate:
    return Candidate(
        run_id=context.run_id,
        round=len(context.memory.runs.rounds(context.run_id)),
        split="report",
        arm=arm,
        number=place,
        plan=seen.plan.describe(),
        steerability=seen.steerability,
        coherence=seen.coherence,
        n=seen.n,
        details=details,
    )


def _tell(context: EvolveContext, seen: Mapping[str, CandidateScore], samples: int) -> None:
    """How the champions compare, prompt by prompt.

    Args:
        samples: replies to each prompt.
    """
    evolved, random = (_by_prompt(seen[name], samples) for name in ARM_NAMES)
    gaps = [ours - theirs for ours, theirs in zip(evolved, random, strict=True)]
    context.emit(
        "compared",
        "compared",
        {
            "steerability": {name: found.steerability for name, found in seen.items()},
            "difference": fmean(gaps),
            "interval": list(bootstrap_mean(gaps, seed=context.settings.seed)),
            "n": seen["evolved"].n,
        },
    )


def _by_prompt(seen: CandidateScore, samples: int) -> list[float]:
    """The mean score of each prompt's replies, which stand together."""
    scores = [reply.score for reply in seen.replies]
    return [fmean(scores[i : i + samples]) for i in range(0, len(scores), samples)]

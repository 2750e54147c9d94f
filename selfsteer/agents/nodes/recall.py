"""Is there a vector that already does this, or several that do it together?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from selfsteer.agents.context import Context
from selfsteer.agents.state import LoopState
from selfsteer.agents.steps import Recollection, Step, distinct, steps_of_plan, told
from selfsteer.agents.types import Thresholds
from selfsteer.errors import MemoryFileError
from selfsteer.memory.composing import compositions
from selfsteer.memory.goals import goal_key
from selfsteer.memory.records import Doubt, RecallHit, Remembered

# Share of the goal's content words that a remembered goal must have to be worth trying.
MIN_COVERAGE = 0.5
MOST_HITS = 10


def recall(state: LoopState, context: Context) -> LoopState:
    """Look for a remembered plan; `confirm` then tries it on probes of its own.

    A plan that has not all the words of the goal gives way to several that have them together.
    Where words find nothing, an encoder may find a goal that means the same.

    Raises:
        EncoderError: there is an encoder, and it cannot be loaded.
    """
    start: LoopState = {
        "run_id": context.run_id,
        "round": 0,
        "history": [],
        "recalled": None,
        "shortage": None,
        "verdict": {},
    }
    if not context.settings.use_memory:
        return start
    _name_stale(context)
    hits = context.memory.recall(
        context.goal.text, context.student.fingerprint, limit=MOST_HITS, run_id=context.run_id
    )
    best = _best(hits, context)
    found = None if best is not None and best.coverage == 1 else _together(hits, context)
    if found is None and best is not None:
        found = _alone(best.remembered, context, exact=best.exact)
    if found is None:
        found = _alike(context)
    return start if found is None else start | {"recalled": found.model_dump(mode="json")}


def _name_stale(context: Context) -> None:
    for stale in context.memory.stale(
        context.goal.text, context.student.fingerprint, limit=1, run_id=context.run_id
    ):
        _tell_stale(stale.remembered, context)


def _tell_stale(found: Remembered, context: Context) -> None:
    named = {"vector": found.vector_id, "goal": found.goal}
    context.emit("stale_vector", "recall/stale", named)


def _best(hits: Sequence[RecallHit], context: Context) -> RecallHit | None:
    """The plan with the most words of the goal, if it is worth trying."""
    goal = context.goal.text
    able = [
        hit
        for hit in hits
        if (hit.exact or hit.coverage >= MIN_COVERAGE)
        and _readable(steps_of_plan(hit.remembered.plan), context)
        and _usable(hit.remembered, goal, context)
    ]
    return max(able, key=lambda hit: hit.coverage, default=None)


def _alike(context: Context) -> Recollection | None:
    """The plan whose goal is the likest in meaning, if one can be tried; else a stale one is named,
    unless words named one."""
    if context.meaning is None:
        return None
    goal = context.goal.text
    asked = (context.memory, goal, context.student.fingerprint)
    for hit in context.meaning.recall(*asked, limit=MOST_HITS, run_id=context.run_id):
        steps = steps_of_plan(hit.remembered.plan)
        if _readable(steps, context) and _usable(hit.remembered, goal, context):
            return _alone(hit.remembered, context, exact=False, cosine=round(hit.cosine, 3))
    for stale in context.meaning.stale(*asked, limit=1, run_id=context.run_id):
        _tell_stale(stale.remembered, context)
    return None


def _alone(found: Remembered, context: Context, *, exact: bool, **why: float) -> Recollection:
    steps = steps_of_plan(found.plan)
    context.emit(
        "recalled", "recall", {"goal": found.goal, "run": found.run_id, **told(steps), **why}
    )
    return Recollection(ids=(found.id,), runs=(found.run_id,), exact=exact, edits=steps)


def _together(hits: Sequence[RecallHit], context: Context) -> Recollection | None:
    """The first composition that is worth trying; it is judged as a whole, so the judge must not
    depend on pairs, which are of its parts."""
    if not context.controller.confirms_pairs():
        return None
    known = [steps_of_plan(hit.remembered.plan) for hit in hits if not _own(hit, context)]
    for parts in compositions(
        context.memory, context.goal.text, context.student.fingerprint, run_id=context.run_id
    ):
        steps = tuple(step for part in parts for step in steps_of_plan(part.plan))
        if (
            not all(_usable(part, part.goal, context) for part in parts)
            or not distinct(steps)
            or any(set(steps) == set(other) for other in known)  # remembered as one plan by now
            or _failed_together(parts, context)
            or not _readable(steps, context)
        ):
            continue
        return _composed(parts, steps, context)
    return None


def _composed(
    parts: Sequence[Remembered], steps: tuple[Step, ...], context: Context
) -> Recollection:
    goals = [part.goal for part in parts]
    runs = tuple(part.run_id for part in parts)
    named = " and ".join(f"“{goal}”" for goal in goals)
    context.emit(
        "composed",
        "recall",
        {
            "goals": goals,
            "runs": list(runs),
            "edits": [step.model_dump() for step in steps],
            "reason": f"Remembered plans for {named} have the words of the goal between them.",
        },
    )
    return Recollection(ids=tuple(part.id for part in parts), runs=runs, exact=False, edits=steps)


def _usable(found: Remembered, goal: str, context: Context) -> bool:
    """Whether a plan can be tried by this run, for ``goal``."""
    steps = steps_of_plan(found.plan)
    if not steps or found.run_id == context.run_id:
        return False  # begun again after its checkpoints were lost, a run would confirm itself
    # What a plan did for goals that are neither its own nor this one says nothing here.
    asked = {goal_key(goal), goal_key(found.goal)}
    if any(_speaks_against(doubt, asked, context) for doubt in context.memory.doubts(found.id)):
        return False
    if context.controller.confirms_pairs():
        return True
    # This judge learns from pairs: there must be some, and of the whole goal.
    dataset_id = context.vector(found.vector_id).dataset_id
    return len(steps) == 1 and context.holds_dataset(dataset_id)


def _readable(steps: Sequence[Step], context: Context) -> bool:
    """Whether all vectors of a plan are as they were stored; a run can do without."""
    try:
        for step in steps:
            context.vector(step.vector)
    except MemoryFileError as error:
        warnings.warn(f"A remembered plan is left out: {error}", stacklevel=2)
        return False
    return True


def _own(hit: RecallHit, context: Context) -> bool:
    return hit.remembered.run_id == context.run_id


def _failed_together(parts: Sequence[Remembered], context: Context) -> bool:
    """Whether a run for this goal has tried all of them and doubts each."""
    asked = {goal_key(context.goal.text)}
    doubting = [
        {
            doubt.run_id
            for doubt in context.memory.doubts(part.id)
            if _speaks_against(doubt, asked, context)
        }
        for part in parts
    ]
    return bool(set.intersection(*doubting))


def _speaks_against(doubt: Doubt, asked: set[str], context: Context) -> bool:
    """Whether another run, for one of these goals, asked no more than this one, and failed."""
    if doubt.run_id == context.run_id:
        return False  # begun again after its checkpoints were lost: it looks as it did before
    if goal_key(context.memory.runs.get(doubt.run_id).goal) not in asked:
        return False
    return context.goal.thresholds.at_least(Thresholds.model_validate(doubt.thresholds))

"""Is there a vector that already does this?"""

from __future__ import annotations

from typing import Any

from selfsteer.agents.context import Context
from selfsteer.agents.state import LoopState
from selfsteer.agents.types import CandidateSpec, Thresholds
from selfsteer.memory.records import Doubt

# Share of the goal's content words that a remembered goal must have to be worth trying.
MIN_COVERAGE = 0.5
MOST_HITS = 10


def recall(state: LoopState, context: Context) -> LoopState:
    """Look for a remembered plan; `confirm` then tries it on probes of its own."""
    start: LoopState = {
        "run_id": context.run_id,
        "round": 0,
        "history": [],
        "recalled": None,
        "shortage": None,
    }
    if not context.settings.use_memory:
        return start
    fingerprint = context.student.fingerprint
    run_id = context.run_id
    for stale in context.memory.stale(context.goal.text, fingerprint, limit=1, run_id=run_id):
        context.emit(
            "stale_vector",
            "recall/stale",
            {"vector": stale.remembered.vector_id, "goal": stale.remembered.goal},
        )
    goal = context.goal.text
    for hit in context.memory.recall(goal, fingerprint, limit=MOST_HITS, run_id=run_id):
        found = hit.remembered
        plan: Any = found.plan
        spec = CandidateSpec.of_plan(plan)
        if spec is None or not (hit.exact or hit.coverage >= MIN_COVERAGE):
            continue
        vectors = [edit["vector"] for edit in plan["edits"]]
        if len(vectors) > 1 and not context.controller.confirms_pairs():
            continue  # its judge learns from pairs, and no pairs are of the whole goal
        if found.run_id == context.run_id:
            continue  # begun again after its checkpoints were lost: it would confirm itself
        if any(_speaks_against(doubt, context) for doubt in context.memory.doubts(found.id)):
            continue
        if not context.controller.confirms_pairs() and not context.holds_dataset(
            context.vector(found.vector_id).dataset_id
        ):
            continue  # there is nothing from which this judge could learn
        context.emit(
            "recalled", "recall", {"goal": found.goal, "run": found.run_id, **spec.model_dump()}
        )
        return start | {
            "vector_ids": {spec.site: vectors[0]},
            "further_ids": [{spec.site: vector_id} for vector_id in vectors[1:]],
            "recalled": {
                "id": found.id,
                "run_id": found.run_id,
                "exact": hit.exact,
                "spec": spec.model_dump(),
            },
        }
    return start


def _speaks_against(doubt: Doubt, context: Context) -> bool:
    """Whether another run asked no more of a plan than this one does, and did not get it."""
    if doubt.run_id == context.run_id:
        return False  # begun again after its checkpoints were lost: it looks as it did before
    return context.goal.thresholds.at_least(Thresholds.model_validate(doubt.thresholds))

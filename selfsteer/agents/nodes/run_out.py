"""The search cannot go on, or brings nothing: the best so far is confirmed if it may pass."""

from __future__ import annotations

from typing import Any

from selfsteer.agents.context import Context
from selfsteer.agents.leading import likeliest
from selfsteer.agents.policy import promising, prospect
from selfsteer.agents.stages import confirming
from selfsteer.agents.state import LoopState, round_details, vectors_at
from selfsteer.agents.types import CandidateResult, Decision
from selfsteer.memory.records import Round


def run_out(state: LoopState, context: Context) -> LoopState:
    """Close the round that was cut short, and choose between the last look and the end."""
    thresholds, n = context.goal.thresholds, confirming(context)
    found = _closed(state, context)
    cut = _measured(state) if state["round"] == len(state["history"]) else []
    if cut:
        best = likeliest(cut, thresholds, n)[0]
        found.append((best, vectors_at(state, best.site)))
    ready = [pair for pair in found if promising(pair[0], thresholds, last=True)]
    reason = f"Stopped because {state['shortage']}."
    decision = Decision(action="give_up", reason=reason)
    # The verdict there may be is about a recalled plan that failed before the search.
    update = LoopState(part=None, measured=None, recalled=None, verdict={})
    if ready:
        best, vectors = max(ready, key=lambda pair: prospect(pair[0], thresholds, n))
        decision = Decision(action="confirm", candidate=best.spec(), reason=reason)
        first, *others = ({best.site: vector_id} for vector_id in vectors)
        update |= {"vector_ids": first, "further_ids": others, "measured": best.model_dump()}
    if cut:
        _close(state, context, decision, found[-1][0].site)
        update["spent"] = {"rounds": 1}
    context.emit("ran_out", "ran_out", decision.model_dump(mode="json"))
    return {**update, "decision": decision.model_dump(mode="json")}


def _closed(state: LoopState, context: Context) -> list[tuple[CandidateResult, list[str]]]:
    """The best of every round that was closed, each with its vectors."""
    turns = {turn.number: turn for turn in context.memory.runs.rounds(context.run_id)}
    found = []
    for row in state["history"]:
        turn = turns.get(row["number"])
        if row["best"] is not None and turn is not None and turn.vector_id is not None:
            details: Any = turn.details
            vectors = details.get("vectors") or [turn.vector_id]
            found.append((CandidateResult.model_validate(row["best"]), vectors))
    return found


def _measured(state: LoopState) -> list[CandidateResult]:
    rows = state.get("finalists") or state.get("refined") or state.get("results") or []
    return [CandidateResult.model_validate(row) for row in rows]


def _close(state: LoopState, context: Context, decision: Decision, site: str) -> None:
    context.memory.runs.add_round(
        Round(
            run_id=context.run_id,
            number=state["round"],
            dataset_id=state["dataset_id"],
            vector_id=state["vector_ids"][site],
            decision=decision.action,
            reason=decision.reason,
            details=round_details(state, site),
        )
    )

"""Ask the controller how to make the contrast."""

from __future__ import annotations

from selfsteer.agents.context import Context
from selfsteer.agents.state import LoopState, fresh_search, occasion
from selfsteer.agents.types import RoundSummary


def propose(state: LoopState, context: Context) -> LoopState:
    """A contrastive spec for the next round; a ready dataset goes straight to memory."""
    number = len(state["history"])
    history = [RoundSummary.model_validate(row) for row in state["history"]]
    spec = context.controller.propose(context.goal, history)
    context.emit(
        "proposed",
        f"propose/{occasion(state, number)}",
        {
            "round": number,
            "part": "" if state.get("part") is None else context.goal.text,
            "positive": list(spec.positive),
            "negative": list(spec.negative),
            "samples": spec.samples,
            "questions": len(spec.questions),
            "rubric": spec.rubric,
            "reason": spec.reason,
        },
    )
    # They decide on which probes candidates are judged, so they stay as they were at first.
    questions = state.get("questions") or [q.model_dump() for q in spec.questions]
    dataset_id = None if spec.dataset is None else context.memory.put_dataset(spec.dataset)
    rubric = spec.rubric if state.get("part") is None else state.get("rubric", "")
    return {
        **fresh_search(number),
        "rubric": rubric,
        "spec": spec.model_dump(mode="json", exclude={"dataset", "questions"}),
        "questions": questions,
        "turned_down": [],
        "strays": [],
        "dataset_id": dataset_id,
        "vector_ids": {},
        "further_ids": [],
        "evidence": [],
        "recalled": None,
        "verdict": {},
    }

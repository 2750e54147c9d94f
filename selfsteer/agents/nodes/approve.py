"""Let a person look: at the pairs before they are learned from, at the plan before its last look.

The interrupt is alone in its node, which runs again from its top once there is an answer.
"""

from __future__ import annotations

from langgraph.types import interrupt

from selfsteer.agents.approval import Answer, Asked, answer_to
from selfsteer.agents.context import Context
from selfsteer.agents.state import LoopState, occasion
from selfsteer.agents.steps import Recollection, alike, recollection, shared
from selfsteer.agents.types import LONGEST_REASON, CandidateResult, Decision


def approve_data(state: LoopState, context: Context) -> LoopState:
    """Wait until somebody has approved the round's pairs."""
    named = f"data/{occasion(state, state['round'])}"
    asked = Asked(occasion=named, what="data", dataset=state["dataset_id"])
    answer = _wait(asked, context)
    if answer.answer == "refuse":
        return _refused(answer, asked)
    if answer.dataset is None:
        return {}
    kept = len(context.memory.get_dataset(answer.dataset).pairs)
    return {
        "dataset_id": answer.dataset,
        "pairs": {"kept": kept, "sampled": max(kept, state["pairs"]["sampled"])},
    }


def approve_plan(state: LoopState, context: Context) -> LoopState:
    """Wait until somebody has approved the plan that is to be confirmed."""
    recalled = recollection(state)
    asked = _chosen(state) if recalled is None else _offered(recalled)
    answer = _wait(asked, context)
    if answer.answer == "refuse":
        return _refused(answer, asked)
    if answer.candidate is None:
        return {}
    if recalled is not None:
        edits = alike([step.vector for step in recalled.edits], answer.candidate)
        return {"recalled": recalled.model_copy(update={"edits": edits}).model_dump(mode="json")}
    return {"decision": {**state["decision"], "candidate": answer.candidate.model_dump()}}


def _chosen(state: LoopState) -> Asked:
    """The question about the plan of the search."""
    decision, measured = Decision.model_validate(state["decision"]), state.get("measured")
    return Asked(
        occasion="plan/chosen",
        what="plan",
        candidate=decision.candidate,
        measured=None if measured is None else CandidateResult.model_validate(measured),
        vectors=state["vector_ids"],
        reason=decision.reason,
    )


def _offered(recalled: Recollection) -> Asked:
    """The question about what memory offers."""
    spec = shared(recalled.edits)
    how = "It met the same or a similar goal before."
    if recalled.composed:
        how = "They met parts of the goal before."
    if spec is None:
        return Asked(occasion="plan/recalled", what="plan", edits=list(recalled.edits), reason=how)
    return Asked(
        occasion="plan/recalled",
        what="plan",
        candidate=spec,
        vectors={spec.site: recalled.edits[0].vector},
        reason=how,
    )


def _wait(asked: Asked, context: Context) -> Answer:
    answer = answer_to(context.memory, context.run_id, asked.occasion)
    if answer is None:
        # Raises: the run ends here for now. With an answer on record it does not come this far.
        interrupt(asked.model_dump(mode="json"))
        raise AssertionError("a run goes on only after it was answered")
    return answer


def _refused(answer: Answer, asked: Asked) -> LoopState:
    reason = f"The {asked.what} was refused: {answer.reason}"[:LONGEST_REASON]
    decision = Decision(action="give_up", reason=reason).model_dump(mode="json")
    return {"refused": True, "decision": decision, "verdict": {}, "part": None}

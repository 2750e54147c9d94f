"""What the round brought, and what the controller makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfsteer.agents.context import Context
from selfsteer.agents.leading import leading, likeliest, longest_looks
from selfsteer.agents.policy import fruitless
from selfsteer.agents.search_spaces import SAME_VECTORS
from selfsteer.agents.stages import confirming
from selfsteer.agents.state import LoopState, fresh_search, round_details
from selfsteer.agents.types import LONGEST_REASON, CandidateResult, Decision, RoundSummary
from selfsteer.errors import ControllerError
from selfsteer.memory.records import Round

# What goes on with the data of the round.
AGAIN = (*SAME_VECTORS, "other_method")
# What two rounds that brought nothing are not followed by, whoever decides. A goal may be split
# once, and then it is another search.
GOING_ON = (*AGAIN, "revise_data")
NOTHING_NEW = "two rounds in a row brought nothing better"
NO_JUDGE = "the judge learns from pairs, and no pairs are of the whole goal once it is split"


def reflect(state: LoopState, context: Context) -> LoopState:
    """Close the round: summary, decision and reason go on record."""
    number = state["round"]
    thresholds = context.goal.thresholds
    best = next(
        iter(likeliest(_results(state["finalists"]), thresholds, confirming(context))), None
    )
    summary = RoundSummary.model_validate(
        {
            "number": number,
            "parts": state.get("parts", []),
            "positive": state["spec"]["positive"],
            "negative": state["spec"]["negative"],
            "pairs_kept": state["pairs"]["kept"],
            "pairs_sampled": state["pairs"]["sampled"],
            "turned_down": state["turned_down"],
            "strays": state.get("strays", []),
            "space": state["space"] or None,
            "best": best,
            "leading": leading(_looks(state), thresholds),
            "failures": state["failures"],
        }
    )
    history = [RoundSummary.model_validate(row) for row in state["history"]]
    decision = context.controller.reflect(context.goal, [*history, summary])
    _check(decision, state, context)
    update: LoopState = {}
    if decision.action == "split" and not context.controller.confirms_pairs():
        # Who reflects need not know who judges.
        decision = _stopped(decision, NO_JUDGE, context)
    elif decision.action in GOING_ON and fruitless([*history, summary], thresholds):
        decision, update = _stopped(decision, NOTHING_NEW, context), {"shortage": NOTHING_NEW}
    context.memory.runs.add_round(
        Round(
            run_id=context.run_id,
            number=number,
            dataset_id=state["dataset_id"],
            vector_id=state["vector_ids"].get(best.site) if best else None,
            decision=decision.action,
            reason=decision.reason,
            details=round_details(state, best.site if best else None),
        )
    )
    context.emit(
        "reflected", f"reflect/{number}", {"round": number, **decision.model_dump(mode="json")}
    )
    closed = summary.model_copy(update={"decision": decision})
    update |= {
        "decision": decision.model_dump(mode="json"),
        "measured": _measured(decision, summary),
        "history": [*state["history"], closed.model_dump(mode="json")],
        "spent": {"rounds": 1},
    }
    if decision.action in AGAIN:
        update |= fresh_search(number + 1)
        if decision.action in SAME_VECTORS:
            known = longest_looks([*_results(state.get("earlier", [])), *_looks(state)])
            update["earlier"] = [result.model_dump() for result in known]
    else:
        # New data is for the parts that were named just now, or for the goal as a whole.
        parts = list(decision.parts)
        update |= {"parts": parts, "part": 0 if parts else None, "dataset_ids": []}
    if decision.action == "split":
        update["spec"] = {}
    if decision.method is not None:
        update["method"] = decision.method
    return update


def _stopped(decision: Decision, why: str, context: Context) -> Decision:
    """The end of the search, with what the controller would have done."""
    wanted = decision.action.replace("_", " ")
    told = f"{why.capitalize()}; {context.controller.name} wanted {wanted}"
    return Decision(action="give_up", reason=f"{told}: {decision.reason}"[:LONGEST_REASON])


def _measured(decision: Decision, summary: RoundSummary) -> dict[str, Any] | None:
    """What the round found of the candidate that is to be confirmed."""
    for result in (summary.best, *summary.leading):
        if result is not None and result.spec() == decision.candidate:
            return result.model_dump()
    return None


def _looks(state: LoopState) -> list[CandidateResult]:
    """Every look at a candidate of this round, the longest last."""
    return _results([*state["results"], *state["refined"], *state["finalists"]])


def _results(rows: Sequence[Mapping[str, Any]]) -> list[CandidateResult]:
    return [CandidateResult.model_validate(row) for row in rows]


def _check(decision: Decision, state: LoopState, context: Context) -> None:
    """Refuse a decision that the graph cannot carry out."""
    name = context.controller.name
    chosen = decision.candidate
    if decision.action == "confirm" and (chosen is None or chosen.site not in state["vector_ids"]):
        raise ControllerError(
            f"Controller {name} wants to confirm {'nothing' if chosen is None else chosen.site}; "
            f"this round has vectors for {', '.join(state['vector_ids']) or 'no site'}."
        )
    if decision.action in AGAIN and not state["vector_ids"]:
        raise ControllerError(
            f"Controller {name} wants {decision.action} on the same data, but this round made no "
            "vector; it should revise the data or give up."
        )

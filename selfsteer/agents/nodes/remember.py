"""Put the verdict on record, and what was accepted into memory."""

from __future__ import annotations

from selfsteer.agents.context import Context
from selfsteer.agents.room import spent_in_all
from selfsteer.agents.state import LoopState
from selfsteer.agents.steps import steps_of_verdict


def remember(state: LoopState, context: Context) -> LoopState:
    """Store the verdict; from here on the report probes may be opened."""
    verdict = state.get("verdict") or {}
    if verdict.get("status") != "accepted":
        decision = state.get("decision") or {}
        # A failed confirmation explains itself; a run that never came so far gives its last reason.
        reason = decision.get("reason", "")
        if not verdict and state.get("shortage"):
            reason = f"Stopped because {state['shortage']}."
        verdict = {"status": "rejected", "reason": reason, **verdict}
    context.memory.runs.store_verdict(context.run_id, verdict)
    if verdict["status"] == "accepted" and not verdict["recalled"]:
        scores = {k: verdict[k] for k in ("steerability", "coherence", "broken", "retention", "n")}
        context.memory.remember(
            context.run_id,
            verdict["vector_id"],
            goal=context.goal.text,
            plan=context.plan(steps_of_verdict(verdict)).describe(),
            scores=scores,
            fingerprint=context.student.fingerprint,
            supersedes=state.get("replaces"),
        )
    spent = spent_in_all(state, context).model_dump()
    exact = context.memory.ledger.paid(context.run_id).exact
    context.emit("verdict", "verdict", {**verdict, "spent": spent, "exact": exact})
    return {"verdict": verdict}

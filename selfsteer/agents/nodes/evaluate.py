"""Let every pending candidate answer the development probes, all in one batch."""

from __future__ import annotations

from selfsteer.agents.context import Context
from selfsteer.agents.room import samples_cost
from selfsteer.agents.stages import stage_probes, stage_samples
from selfsteer.agents.state import LoopState
from selfsteer.agents.types import CandidateSpec
from selfsteer.steering.evaluate import sample


def evaluate(state: LoopState, context: Context) -> LoopState:
    """Sample the replies and store them; judging is a node of its own."""
    specs = [CandidateSpec.model_validate(row) for row in state["pending"]]
    plans = context.plans(specs, state)
    stage = state["stage"]
    samples = sample(
        context.student,
        plans,
        stage_probes(stage, context),
        samples_per_prompt=stage_samples(stage, context),
        temperature=context.settings.temperature,
        max_new_tokens=context.settings.max_new_tokens,
        seed=context.seed("evaluate", state["round"], stage),
        instructed=context.instructed,
    )
    return {
        "replies_id": context.memory.put_generations(samples.to_rows()),
        "spent": {"candidates": len(plans), **samples_cost(samples)},
    }

"""A goal that was split: the pairs of one part are settled, so it is the next part's turn."""

from __future__ import annotations

from selfsteer.agents.context import Context
from selfsteer.agents.state import LoopState


def next_part(state: LoopState, context: Context) -> LoopState:
    """Keep the pairs; behind the last part comes the whole goal again."""
    part, dataset_id = state["part"], state["dataset_id"]
    assert part is not None and dataset_id is not None, "the graph comes here with a part's pairs"
    kept: LoopState = {"dataset_ids": [*state["dataset_ids"], dataset_id]}
    if part + 1 == len(state["parts"]):
        return {**kept, "part": None}
    return {**kept, "part": part + 1, "spec": {}}

"""A plan of the loop as steps: a vector each, and where, how and how strongly it steers.

The vectors of one round steer all in the same way, and then one candidate says it for all. Plans
that are composed of remembered ones keep the way of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfsteer.agents.state import LoopState, vectors_at
from selfsteer.agents.types import CandidateSpec, Record


class Step(CandidateSpec):
    """What one vector, named by its id, does in a plan."""

    vector: str


class Recollection(Record):
    """What memory offers for a goal: a remembered plan, or several of them together.

    Attributes:
        ids: of the remembered plans.
        runs: those that met their goals with them.
        exact: it is one plan, and it met this very goal.
        edits: all that it does.
    """

    ids: tuple[int, ...]
    runs: tuple[str, ...]
    exact: bool
    edits: tuple[Step, ...]

    @property
    def composed(self) -> bool:
        """Whether the plans have never been tried together."""
        return len(self.ids) > 1


def recollection(state: LoopState) -> Recollection | None:
    """What of memory is being tried; None while it is something of the run's own."""
    kept = state["recalled"]
    if not kept:
        return None
    if "edits" in kept:
        return Recollection.model_validate(kept)
    # Runs that began when a recalled plan was one candidate for all of its vectors.
    spec = CandidateSpec.model_validate(kept["spec"])
    return Recollection(
        ids=(kept["id"],),
        runs=(kept["run_id"],),
        exact=kept["exact"],
        edits=alike(vectors_at(state, spec.site), spec),
    )


def alike(vectors: Sequence[str], spec: CandidateSpec) -> tuple[Step, ...]:
    """Vectors that all steer as one candidate says."""
    way = spec.spec().model_dump()
    return tuple(Step(vector=vector, **way) for vector in vectors)


def steps_of_plan(plan: Mapping[str, Any]) -> tuple[Step, ...]:
    """Read `Plan.describe`; empty for a plan that no loop made: none or one vector twice, other
    tokens, a gate or whatever else a candidate cannot say."""
    steps: list[Step] = []
    for edit in plan.get("edits", ()):
        spec = CandidateSpec.of_plan({"edits": [edit]})
        if spec is None:
            return ()
        steps += alike([edit["vector"]], spec)
    return tuple(steps) if distinct(steps) else ()


def steps_of_verdict(verdict: Mapping[str, Any]) -> tuple[Step, ...]:
    """What the plan of a verdict does; empty where it is about none."""
    if "vector_id" not in verdict:
        return ()
    if "edits" in verdict:
        return tuple(Step.model_validate(edit) for edit in verdict["edits"])
    spec = CandidateSpec.model_validate({k: verdict[k] for k in CandidateSpec.model_fields})
    return alike([verdict["vector_id"], *verdict.get("further", ())], spec)


def told(steps: Sequence[Step]) -> dict[str, Any]:
    """How a verdict or an event says them: the one way of all, or `edits` with the way of each."""
    spec = shared(steps)
    if spec is None:
        return {"edits": [step.model_dump() for step in steps]}
    return spec.model_dump()


def shared(steps: Sequence[Step]) -> CandidateSpec | None:
    """The way in which all steer; None where there are several, or none."""
    ways = {step.spec() for step in steps}
    return ways.pop() if len(ways) == 1 else None


def distinct(steps: Sequence[Step]) -> bool:
    """Whether no vector steers twice."""
    return len({step.vector for step in steps}) == len(steps)

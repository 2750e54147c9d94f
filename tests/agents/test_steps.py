"""Plans as steps: read from what is stored, and said in a verdict."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from selfsteer.agents.sites import SITES
from selfsteer.agents.steps import (
    Recollection,
    Step,
    recollection,
    shared,
    steps_of_plan,
    steps_of_verdict,
    told,
)
from selfsteer.agents.types import CandidateSpec

# A plan tells which tokens it steers; at "text" these are those of "reply", which it is read as.
SITED = sorted(SITES.keys() - {"text"})

steps = st.lists(
    st.builds(
        Step,
        vector=st.text("0123456789abcdef", min_size=16, max_size=16),
        site=st.sampled_from(SITED),
        layer=st.integers(0, 2),
        operator=st.sampled_from(["add", "ablate"]),
        strength=st.sampled_from([0.25, 1.0]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda step: step.vector,
).map(tuple)


@given(steps)
def test_a_verdict_says_its_steps(made: tuple[Step, ...]) -> None:
    verdict = {
        "vector_id": made[0].vector,
        "further": [step.vector for step in made[1:]],
        **told(made),
    }
    assert steps_of_verdict(verdict) == made
    assert ("edits" in verdict) == (shared(made) is None)


@given(steps)
def test_a_stored_plan_is_read_as_it_was(made: tuple[Step, ...]) -> None:
    edits: list[dict[str, Any]] = [
        {
            "vector": step.vector,
            "concept": "c",
            "layers": [step.layer],
            "strength": step.strength,
            "operator": step.operator,
            "selector": SITES[step.site].steer,
        }
        for step in made
    ]
    assert steps_of_plan({"edits": edits}) == made
    assert CandidateSpec.of_plan({"edits": edits}) == shared(made)
    assert steps_of_plan({"edits": [*edits, edits[0]]}) == ()
    assert steps_of_plan({"edits": [*edits, {**edits[0], "vector": "x", "gate": {}}]}) == ()


def test_what_is_no_plan_has_no_steps() -> None:
    assert steps_of_verdict({}) == steps_of_verdict({"status": "rejected", "reason": ""}) == ()
    assert steps_of_plan({}) == steps_of_plan({"edits": []}) == ()
    assert recollection({"recalled": None}) is None


def test_a_checkpoint_of_a_plan_with_one_way_for_all_is_read() -> None:
    """As runs wrote it that were stopped before plans could steer in several ways."""
    way: dict[str, Any] = {"site": "reply", "layer": 2, "operator": "add", "strength": 0.5}
    found = recollection(
        {
            "vector_ids": {"reply": "a" * 16},
            "further_ids": [{"reply": "b" * 16}],
            "recalled": {"id": 7, "run_id": "0a1b2c3d", "exact": True, "spec": way},
        }
    )
    assert found == Recollection(
        ids=(7,),
        runs=("0a1b2c3d",),
        exact=True,
        edits=(Step(vector="a" * 16, **way), Step(vector="b" * 16, **way)),
    )
    assert not found.composed
    assert recollection({"recalled": found.model_dump(mode="json")}) == found

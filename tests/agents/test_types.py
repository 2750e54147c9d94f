"""What passes between loop and controllers is bounded, and plans can be read back."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from selfsteer.agents.context import plan_of
from selfsteer.agents.sites import SITES, sites_of
from selfsteer.agents.types import (
    CandidateSpec,
    ContrastiveSpec,
    Goal,
    SearchSpace,
    Thresholds,
    Verdict,
)
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.gates import Gate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Example, Prompt
from tests.steering.students import build_vector


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_a_goal_needs_a_sentence(text: str) -> None:
    with pytest.raises(ValidationError):
        Goal(text=text)


def test_a_goal_is_trimmed() -> None:
    assert Goal(text="  sound grumpy \n").text == "sound grumpy"


@pytest.mark.parametrize(
    "threshold",
    [{"steerability": 1.1}, {"coherence": 0.9}, {"retention": -0.1}, {"steerability": math.nan}],
)
def test_thresholds_are_bounded(threshold: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Thresholds.model_validate(threshold)


@pytest.mark.parametrize("score", [-0.01, 1.01, math.nan, math.inf])
def test_a_verdict_is_a_probability(score: float) -> None:
    with pytest.raises(ValidationError):
        Verdict(score=score)


@pytest.mark.parametrize(
    "change",
    [
        {"layers": ()},
        {"sites": ()},
        {"operators": ()},
        {"low": 0},
        {"low": 2, "high": 1},
        {"trials": 0},
        {"trials": 100_000},
        {"reason": "x" * 3000},
        {"surprise": 1},
    ],
)
def test_a_search_space_is_bounded(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SearchSpace.model_validate({"sites": ("reply",), "layers": (0,)} | change)


@pytest.mark.parametrize("change", [{"operator": "melt"}, {"site": "nowhere"}])
def test_a_candidate_names_what_there_is(change: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="must be one of"):
        CandidateSpec.model_validate(
            {"site": "reply", "layer": 0, "operator": "add", "strength": 1} | change
        )


@pytest.mark.parametrize("samples", [0, 100_000])
def test_a_contrast_is_bounded(samples: int) -> None:
    with pytest.raises(ValidationError):
        ContrastiveSpec(positive=("be grumpy",), samples=samples)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("operator", ["add", "ablate"])
def test_a_plan_can_be_read_back_to_the_same_steering(
    talker: Student, site: str, operator: str
) -> None:
    vector = build_vector(talker)
    spec = CandidateSpec(site=site, layer=1, operator=operator, strength=0.7)
    plan = plan_of([vector], spec)
    read = CandidateSpec.of_plan(plan.describe())
    assert read is not None
    # Two sites may steer the same tokens; what counts is that the same is done.
    assert plan_of([vector], read) == plan


def test_a_plan_that_no_loop_makes_is_not_taken_for_a_candidate(talker: Student) -> None:
    vector = build_vector(talker)
    edit = Edit(vector, (1,), 0.7)
    plans = [
        Plan.none(),
        Plan((edit, edit)),
        Plan((Edit(vector, (0, 1), 0.7),)),
        Plan((Edit(vector, (1,), 0.7, selector="response[0:3]"),)),
        Plan((Edit(vector, (1,), 0.7, norm_preserving=True),)),
        Plan((Edit(vector, (1,), 0.7, gate=Gate(vector, (0,), 0.5)),)),
    ]
    assert [CandidateSpec.of_plan(plan.describe()) for plan in plans] == [None] * 6


def test_a_candidate_has_one_vector() -> None:
    CandidateSpec(site="reply", layer=1, operator="clamp", strength=0.5)
    with pytest.raises(ValidationError, match="needs more vectors than a candidate has"):
        CandidateSpec(site="reply", layer=1, operator="swap", strength=0.5)


def test_sites_follow_the_data() -> None:
    def pair(positive: Example, negative: Example) -> ContrastivePair:
        return ContrastivePair(positive=positive, negative=negative)

    def sites(*pairs: ContrastivePair) -> tuple[str, ...]:
        return sites_of(ContrastiveDataset(concept="c", pairs=pairs))

    told, untold, other = (
        Example(prompt=Prompt.chat(question, system=system), completion="hello")
        for question, system in (("Hi", "Be grumpy."), ("Hi", None), ("Hello", None))
    )
    bare = Example(prompt=Prompt.raw("hello there"))
    assert sites(pair(told, untold)) == ("reply", "lead", "opening", "start")
    assert sites(pair(bare, bare)) == sites(pair(told, untold), pair(bare, bare)) == ("text",)
    # The same prompts on both sides, in whichever order: replies start alike.
    assert sites(pair(untold, untold)) == ("reply", "lead", "opening")
    assert sites(pair(untold, other), pair(other, untold)) == ("reply", "lead", "opening")

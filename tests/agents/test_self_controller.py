"""The student as its own controller: what it asks of itself, and how it decides."""

from __future__ import annotations

import pytest

from selfsteer.agents.judges.yes_no import yes_no_verdicts
from selfsteer.agents.policy import next_action
from selfsteer.agents.search_spaces import search_space
from selfsteer.agents.self_controller import SelfController
from selfsteer.agents.types import Goal, Sample
from selfsteer.steering.model import Student
from tests.agents.test_policy import BAD, GOOD, evidence, summary

GOAL = Goal(text="sound {grumpy}")


@pytest.fixture
def controller(talker: Student) -> SelfController:
    return SelfController(talker)


def test_it_answers_under_the_goal_and_without_instruction(controller: SelfController) -> None:
    spec = controller.propose(GOAL, [])
    assert len(set(spec.positive)) == len(spec.positive) > 1
    assert all("sound {grumpy}" in text for text in spec.positive)
    assert spec.negative == ("",)
    assert spec.dataset is None
    assert spec.reason
    assert controller.confirms_pairs()


def test_after_a_failure_it_samples_more_against_the_opposite(controller: SelfController) -> None:
    specs = [controller.propose(GOAL, [summary(BAD)] * failed) for failed in range(3)]
    assert specs[0].samples < specs[1].samples < specs[2].samples
    assert "" in specs[1].negative
    assert any("opposite" in text and GOAL.text in text for text in specs[1].negative)


def test_a_goal_that_ends_as_a_sentence_keeps_its_end(controller: SelfController) -> None:
    for text in ("Sound grumpy!", "Sound grumpy."):
        assert text in controller.propose(Goal(text=text), []).positive


def test_it_chooses_and_decides_by_the_policy(controller: SelfController) -> None:
    rows = evidence(0.5, 0.9, 0.8)
    assert controller.choose(GOAL, rows, []) == search_space(rows, [])
    for history in ([summary(GOOD)], [summary(BAD)], [summary(None)], [summary(None)] * 2):
        assert controller.reflect(GOAL, history) == next_action(GOAL, history)


def test_it_judges_with_its_own_yes_and_no(controller: SelfController, talker: Student) -> None:
    samples = [Sample(prompt="Hi", reply="abc"), Sample(prompt="Hi", reply="")]
    assert controller.judge(GOAL, samples) == yes_no_verdicts(talker, GOAL, samples)

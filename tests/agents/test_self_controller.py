"""The student as its own controller: what it asks of itself, and how it decides."""

from __future__ import annotations

from typing import Any

import pytest

from selfsteer.agents import self_controller
from selfsteer.agents.judges.yes_no import yes_no_verdicts
from selfsteer.agents.loop import run_goal
from selfsteer.agents.own_words import Written
from selfsteer.agents.policy import next_action
from selfsteer.agents.search_spaces import search_space
from selfsteer.agents.self_controller import VARIANTS, SelfController
from selfsteer.agents.types import MOST_SAMPLES, Decision, Goal, Sample
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import build_talker, settings
from tests.agents.test_policy import BAD, GOOD, evidence, summary
from tests.steering.students import build_student

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


def test_samples_stay_within_the_limit_however_many_rounds_failed(
    controller: SelfController,
) -> None:
    specs = [controller.propose(GOAL, [summary(BAD)] * failed) for failed in range(9)]
    assert [spec.samples for spec in specs[:4]] == [384, 768, 1536, 3072]
    assert {spec.samples for spec in specs[4:]} == {MOST_SAMPLES}


@pytest.mark.parametrize("end", ["x", "."])
def test_the_longest_goal_has_every_wording(controller: SelfController, end: str) -> None:
    text = "x" * 1_999 + end
    first, later = (controller.propose(Goal(text=text), [summary(BAD)] * n) for n in (0, 1))
    assert len(first.positive) == len(VARIANTS)
    assert all(text in wording for wording in (*first.positive, later.negative[1]))


def test_it_chooses_and_decides_by_the_policy(controller: SelfController) -> None:
    rows = evidence(0.5, 0.9, 0.8)
    assert controller.choose(GOAL, rows, []) == search_space(rows, [])
    for history in ([summary(GOOD)], [summary(BAD)], [summary(None)], [summary(None)] * 2):
        assert controller.reflect(GOAL, history) == next_action(GOAL, history)


def test_it_judges_with_its_own_yes_and_no(controller: SelfController, talker: Student) -> None:
    samples = [Sample(prompt="Hi", reply="abc"), Sample(prompt="Hi", reply="")]
    assert controller.judge(GOAL, samples) == yes_no_verdicts(talker, GOAL, samples)


SMALL = build_student(max_position_embeddings=8192)


def large(monkeypatch: pytest.MonkeyPatch, written: Written) -> SelfController:
    """A tiny student that passes for a large one, and what it writes."""
    monkeypatch.setattr(self_controller, "write_contrast", lambda *_: written)
    return SelfController(SMALL, large=SMALL.n_parameters)


def test_only_a_student_that_is_large_enough_is_asked_for_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("this student is too small to be asked")

    for name in ("write_contrast", "choose_action"):
        monkeypatch.setattr(self_controller, name, refuse)
    for small in (SelfController(SMALL), SelfController(SMALL, large=SMALL.n_parameters + 1)):
        assert small.propose(GOAL, []).positive[0] == "sound {grumpy}."
        assert small.reflect(GOAL, [summary(BAD)]) == next_action(GOAL, [summary(BAD)])
    with pytest.raises(AssertionError, match="too small"):
        SelfController(SMALL, large=SMALL.n_parameters).propose(GOAL, [])


def test_a_large_student_adds_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(positive=tuple(f"Way {i}." for i in range(3)), negative=("Laugh.",))
    controller = large(monkeypatch, written)
    plain = SelfController(SMALL)
    first, fixed = controller.propose(GOAL, []), plain.propose(GOAL, [])
    assert first.positive == (fixed.positive[0], *written.positive, fixed.positive[1])
    assert first.negative == ("", "Laugh.")
    assert first.samples == fixed.samples
    assert "own words" in first.reason
    later = controller.propose(GOAL, [summary(BAD)])
    assert later.negative == (*plain.propose(GOAL, [summary(BAD)]).negative, "Laugh.")
    many = Written(positive=tuple(f"Way {i}." for i in range(8)))
    assert large(monkeypatch, many).propose(GOAL, []).positive == (
        fixed.positive[0],
        *many.positive,
    )


def test_what_cannot_be_used_leaves_the_fixed_wordings(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = large(monkeypatch, Written(problem="what it wrote was cut off"))
    found, fixed = controller.propose(GOAL, []), SelfController(SMALL).propose(GOAL, [])
    assert found.model_copy(update={"reason": fixed.reason}) == fixed
    assert found.reason.endswith("because the student wrote none: what it wrote was cut off.")


def test_a_large_student_judges_by_the_rubric_and_a_small_one_by_the_goal() -> None:
    ruled = GOAL.model_copy(update={"rubric": "Count the letters."})
    samples = [Sample(prompt="Hi", reply="abc"), Sample(prompt="Hi", reply="xyz")]
    big, small = SelfController(SMALL, large=0), SelfController(SMALL)
    assert big.judge(ruled, samples) == yes_no_verdicts(SMALL, ruled, samples, by_rubric=True)
    assert big.judge(ruled, samples) != small.judge(ruled, samples)
    assert small.judge(ruled, samples) == small.judge(GOAL, samples) == big.judge(GOAL, samples)


def test_a_large_student_chooses_where_the_rules_leave_it_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def widen(*arguments: Any) -> Decision:
        return arguments[2].model_copy(update={"action": "widen"})

    monkeypatch.setattr(self_controller, "choose_action", widen)
    assert SelfController(SMALL, large=0).reflect(GOAL, [summary(BAD)]).action == "widen"
    assert SelfController(SMALL).reflect(GOAL, [summary(BAD)]).action == "revise_data"


@pytest.mark.usefixtures("few_probes")
def test_a_run_of_a_large_student_goes_through(memory: Memory) -> None:
    """A random one writes and judges nonsense; the loop takes it in its stride."""
    talker = build_talker(max_position_embeddings=8192)
    run = run_goal(talker, SelfController(talker, large=0), memory, settings())
    assert run.status in ("accepted", "rejected")
    [proposed, *_] = [e for e in memory.runs.events(run.id) if e.kind == "proposed"]
    assert len(proposed.payload["positive"]) >= 5

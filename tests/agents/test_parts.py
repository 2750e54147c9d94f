"""How a sentence divides into two goals, and when the student finds that it does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.agents import parts
from selfsteer.agents.parts import divisions, split_of
from selfsteer.agents.policy import next_action
from selfsteer.agents.self_controller import SelfController
from selfsteer.agents.types import Decision, Failure, Goal, Sample, Verdict
from selfsteer.steering.model import Student
from tests.agents.test_policy import BAD, summary

GOAL = Goal(text="Sound gloomy and formal.")
PARTS = ("Sound gloomy", "Sound formal")


def missed(*scores: float) -> tuple[Failure, ...]:
    return tuple(Failure(prompt="Hi", reply=f"reply {s}", score=s) for s in scores)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Replies count as gloomy, and never as formal, unless they are `reply 0.0`."""
    asked = []

    def verdicts(student: Student, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        asked.extend((goal.text, sample.reply) for sample in samples)
        gloomy = "gloomy" in goal.text
        return [Verdict(score=0.9 * (gloomy and s.reply != "reply 0.0")) for s in samples]

    monkeypatch.setattr(parts, "yes_no_verdicts", verdicts)
    return asked


def test_one_word_may_stand_for_the_other() -> None:
    assert divisions("I want it to sound gloomy and formal!") == [
        ("I want it to sound gloomy", "I want it to sound formal")
    ]


def test_every_reading_of_a_longer_sentence_is_offered() -> None:
    assert divisions("Use a gloomy and formal tone") == [
        ("Use a gloomy", "formal tone"),
        ("Use a gloomy tone", "Use a formal tone"),
        ("Use a gloomy", "Use a formal tone"),
    ]
    assert ("Talk about the sea", "answer in German") in divisions(
        "Talk about the sea and answer in German."
    )


@pytest.mark.parametrize(
    "text", ["sound sad", "and", "and so on", "this and", "sandy band", "do it again and again"]
)
def test_what_is_one_thing_is_not_divided(text: str) -> None:
    assert divisions(text) == []


@given(st.lists(st.sampled_from(["and", "gloomy", "a", "tone"]), max_size=8))
def test_parts_are_two_never_empty_and_use_the_words_of_the_sentence(words: list[str]) -> None:
    for pair in divisions(" ".join(words)):
        Decision(action="split", parts=pair)
        assert all(part.split() and set(part.split()) <= set(words) for part in pair)


def test_a_goal_is_two_where_failures_do_one_of_them(
    talker: Student, judged: list[tuple[str, str]]
) -> None:
    row = summary(BAD).model_copy(update={"failures": missed(0.1, 0.2), "turned_down": missed(0.3)})
    assert split_of(talker, GOAL, row) == PARTS
    assert len(judged) == 2 * 3
    # Most of these do neither; and what was no failure says nothing.
    assert split_of(talker, GOAL, row.model_copy(update={"failures": missed(0.0, 0.0)})) is None
    assert split_of(talker, GOAL, summary(BAD)) is None
    only_good = summary(BAD).model_copy(update={"failures": missed(0.8)})
    assert split_of(talker, GOAL, only_good) is None
    assert split_of(talker, Goal(text="sound sad"), row) is None


def test_the_student_chooses_among_the_readings(talker: Student) -> None:
    readings = divisions("Use a gloomy and formal tone")
    assert parts._likeliest(talker, GOAL, readings) in readings


@pytest.mark.parametrize("text", ["Sound gloomy and gloomy", "Sound more and more gloomy"])
def test_self_comes_to_a_decision_on_what_is_said_twice(
    talker: Student, judged: list[tuple[str, str]], text: str
) -> None:
    failed = summary(BAD).model_copy(update={"failures": missed(0.1)})
    decision = SelfController(talker).reflect(Goal(text=text), [failed, failed])
    assert decision.action in ("split", "revise_data")


def test_self_splits_once_after_a_round_that_brought_nothing(
    talker: Student, judged: list[tuple[str, str]]
) -> None:
    controller = SelfController(talker)
    failed = summary(BAD).model_copy(update={"failures": missed(0.1)})
    assert controller.reflect(GOAL, [failed]) == next_action(GOAL, [failed])
    decision = controller.reflect(GOAL, [failed, failed])
    assert (decision.action, decision.parts) == ("split", PARTS)
    split = failed.model_copy(update={"parts": PARTS})
    assert controller.reflect(GOAL, [failed, failed, split]).action == "revise_data"
    assert controller.reflect(Goal(text="sound sad"), [failed, failed]).action == "revise_data"
    better = failed.model_copy(update={"best": BAD.model_copy(update={"steerability": 0.6})})
    assert controller.reflect(GOAL, [failed, better]).action == "revise_data"

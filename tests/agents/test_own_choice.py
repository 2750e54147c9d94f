"""What follows after a round, by a student's log-probabilities over what the rules leave open."""

from __future__ import annotations

from typing import Any

import pytest

from selfsteer.agents import own_choice
from selfsteer.agents.own_choice import MOST_AGAIN, OPTIONS, choose_action, open_actions
from selfsteer.agents.policy import next_action
from selfsteer.agents.types import Decision, Goal, RoundSummary
from selfsteer.agents.weighing import weigh
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs
from tests.agents.test_policy import BAD, GOOD, summary
from tests.agents.test_search_spaces import FIRST, searched
from tests.steering.students import build_student

GOAL = Goal(text="sound grumpy")
POOR = summary(BAD).model_copy(update={"space": FIRST})


@pytest.fixture(scope="module")
def chooser() -> Student:
    return build_student(max_position_embeddings=8192)


def rules(*history: RoundSummary) -> Decision:
    return next_action(GOAL, history)


def test_open_is_how_to_go_on_from_vectors_that_do_something() -> None:
    assert open_actions(rules(POOR), [POOR]) == ("revise_data", "narrow", "widen")


@pytest.mark.parametrize(
    "history",
    [
        [summary(GOOD).model_copy(update={"space": FIRST})],
        [summary(None)],
        [summary(None), summary(None)],
        [*[searched("narrow", BAD)] * MOST_AGAIN, POOR],
    ],
    ids=["confirm", "no pairs", "twice no pairs", "narrowed enough"],
)
def test_the_rest_is_for_the_rules(history: list[RoundSummary], chooser: Student) -> None:
    decision = rules(*history)
    if len(history) > MOST_AGAIN:
        decision = Decision(action="revise_data", reason="not yet")
    assert open_actions(decision, history) == (decision.action,)
    assert choose_action(chooser, GOAL, decision, history) == decision


@pytest.mark.parametrize("best", range(len(OPTIONS)))
def test_the_likeliest_is_taken_with_a_reason(
    chooser: Student, monkeypatch: pytest.MonkeyPatch, best: int
) -> None:
    asked: list[Any] = []

    def told(_: Student, prompt: Prompt, options: list[str]) -> list[float]:
        asked.append((prompt, options))
        return [float(place == best) for place in range(len(options))]

    monkeypatch.setattr(own_choice, "weigh", told)
    decision = choose_action(chooser, GOAL, rules(POOR), [POOR])
    name = list(OPTIONS)[best]
    assert decision.action == name
    assert decision.reason.startswith(rules(POOR).reason)
    assert OPTIONS[name][0] in decision.reason
    [(prompt, options)] = asked
    system, task = (message.content for message in prompt.messages)
    assert all(option in system for option in options)
    assert "steerability 0.400" in task
    assert "sound grumpy" in task


def test_where_all_are_alike_the_rules_decide(
    chooser: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_choice, "weigh", lambda *_: [0.0] * len(OPTIONS))
    assert choose_action(chooser, GOAL, rules(POOR), [POOR]).action == "revise_data"


def test_any_student_comes_to_an_open_action(chooser: Student) -> None:
    first = choose_action(chooser, GOAL, rules(POOR), [POOR])
    assert first.action in OPTIONS
    assert first == choose_action(chooser, GOAL, rules(POOR), [POOR])


def test_a_round_that_is_too_long_to_be_told_is_left_to_the_rules() -> None:
    short = build_student(max_position_embeddings=64)
    decision = choose_action(short, GOAL, rules(POOR), [POOR])
    assert decision.action == rules(POOR).action
    assert decision.reason.startswith(rules(POOR).reason)
    assert "By the rules, because the student could not choose: " in decision.reason
    assert "reads 64; shorten it." in decision.reason


def test_a_text_is_weighed_by_what_the_task_adds_to_it(chooser: Student) -> None:
    prompt, silence = (Prompt.chat(text, system="Say how.") for text in ("a task", ""))
    options = ["one thing", "another"]
    asked, unasked = (
        completion_logprobs(chooser, [Example(prompt=p, completion=o) for o in options])
        for p in (prompt, silence)
    )
    expected = [float(a.sum() - b.sum()) for a, b in zip(asked, unasked, strict=True)]
    assert weigh(chooser, prompt, options) == pytest.approx(expected, abs=2e-3)

"""Asking for a typed answer: checked, repaired once, declined or refused."""

from __future__ import annotations

import pytest

from selfsteer.agents.answers import Reflection
from selfsteer.agents.asking import Declined, NoAnswer, ask_typed
from selfsteer.agents.models.answers import extract_json
from selfsteer.agents.prompts import load_prompt
from tests.agents.large import Script, ScriptedCalls, said

FIELDS = {"goal": "g", "thresholds": "t", "history": "h", "methods": "m"}
GOOD = {"action": "give_up", "reason": "Nothing helps."}


def answers(*several: object) -> Script:
    """One after the other."""
    left = iter(several)
    return lambda role, ask: next(left)


def test_a_good_answer_is_read_and_put_on_record() -> None:
    calls = ScriptedCalls(answers(GOOD))
    found = ask_typed(calls, "reflect-0", "reflect", Reflection, FIELDS)
    assert found == Reflection(action="give_up", reason="Nothing helps.")
    ((step, role, ask),) = calls.asked
    assert (step, role) == ("reflect-0", load_prompt("reflect").version)
    assert ask.answer_name == "reflection"
    assert calls.understood == [ask]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("no JSON at all", "JSON"),
        ({"action": "dance", "reason": "x"}, "action"),
        ({"action": "give_up"}, "reason"),
        ({**GOOD, "more": 1}, "more"),
        ("[]", "answer"),
        (r'{"action": "give_up", "reason": "\ud800"}', "surrogate"),
    ],
)
def test_one_repair_turn_shows_what_was_wrong(bad: object, told: str) -> None:
    calls = ScriptedCalls(answers(bad, GOOD))
    assert ask_typed(calls, "s", "reflect", Reflection, FIELDS).action == "give_up"
    first, second = (ask for _, _, ask in calls.asked)
    assert second.messages[0] == first.messages[0]
    assert [m.role for m in second.messages] == ["user", "assistant", "user"]
    assert told in second.messages[-1].content
    # The reply that could not be used was not understood.
    assert calls.understood == [second]


def test_the_repair_turn_shows_the_schema_to_those_who_never_saw_it() -> None:
    """Some servers pass over the field that asks for an answer by schema."""
    calls = ScriptedCalls(answers("no JSON at all", GOOD))
    ask_typed(calls, "s", "reflect", Reflection, FIELDS)
    shown = calls.asked[1][2].messages[-1].content
    assert extract_json(shown) == Reflection.model_json_schema()


@pytest.mark.parametrize("nothing", ["", " \n"])
def test_what_said_nothing_is_asked_again_in_one_turn(nothing: str) -> None:
    """APIs refuse a turn without text."""
    calls = ScriptedCalls(answers(said(nothing, "other"), GOOD))
    assert ask_typed(calls, "s", "reflect", Reflection, FIELDS).action == "give_up"
    first, second = (ask for _, _, ask in calls.asked)
    (turn,) = second.messages
    assert turn.role == "user"
    assert turn.content.startswith(first.messages[0].content)
    assert "could not be used" in turn.content


def test_an_answer_of_the_right_type_may_still_be_wrong() -> None:
    def check(answer: Reflection) -> None:
        if answer.action == "give_up":
            raise ValueError("it is too early to give up")

    calls = ScriptedCalls(answers(GOOD, {**GOOD, "action": "revise_data"}))
    assert ask_typed(calls, "s", "reflect", Reflection, FIELDS, check).action == "revise_data"
    assert "too early" in calls.asked[1][2].messages[-1].content


def test_after_the_repair_it_is_refused_with_the_reason() -> None:
    calls = ScriptedCalls(answers("no", "no again"))
    with pytest.raises(NoAnswer, match=r"scripted-1.*reflect.*two attempts.*JSON"):
        ask_typed(calls, "s", "reflect", Reflection, FIELDS)
    assert len(calls.asked) == 2
    assert calls.understood == []


@pytest.mark.parametrize(
    ("stop", "told"), [("refusal", "refused"), ("length", "cut off"), ("empty", "empty")]
)
def test_what_is_declined_is_not_asked_again(stop: str, told: str) -> None:
    calls = ScriptedCalls(answers(said("I would rather not.", stop)))
    with pytest.raises(Declined, match=told) as caught:
        ask_typed(calls, "s", "reflect", Reflection, FIELDS)
    assert caught.value.stop == stop
    assert "I would rather not." in str(caught.value)
    assert len(calls.asked) == 1

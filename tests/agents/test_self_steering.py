"""A conversation in which the student, or a person, sets the steering between turns."""

from __future__ import annotations

import json

import pytest

from selfsteer.agents.prompts import load_prompt
from selfsteer.agents.self_steering import Conversation, TurnEvent
from selfsteer.agents.steer_choosers import GrammarChooser, OptionChooser
from selfsteer.agents.steer_tool import Keep, Revert, Steer, call_text
from selfsteer.errors import StudentError, VectorError
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Message, Prompt
from tests.agents.steerables import Script, build_reader, steerables
from tests.steering.students import build_student

GLAD = Steer(vector="glad", strength=0.5, scope="until_reverted")
ONCE = Steer(vector="dry", strength=0.8, scope="next")
KEEP = call_text(Keep())


def script(*calls: Keep | Steer | Revert | str) -> Script:
    return Script(call if isinstance(call, str) else call_text(call) for call in calls)


@pytest.fixture(scope="module")
def reader() -> Student:
    return build_reader()


def test_replies_are_those_of_the_plans_that_the_student_asked_for(reader: Student) -> None:
    allowed = steerables(reader)
    told = Conversation(
        reader, allowed, chooser=script(GLAD, ONCE, Revert(vector="glad")), max_new_tokens=9, seed=4
    )
    plans = [
        Plan((allowed[0].at(0.5),)),
        Plan((allowed[0].at(0.5), allowed[2].at(0.8))),
        Plan.none(),
    ]
    history: list[Message] = []
    for turn, plan in enumerate(plans):
        text = f"word {turn}"
        history.append(Message(role="user", content=text))
        event = told.say(text)
        (expected,) = generate(
            reader,
            [Prompt(messages=tuple(history))],
            plan,
            max_new_tokens=9,
            temperature=0.8,
            seed=4 + turn,
        )
        assert (event.turn, event.user, event.reply) == (turn, text, expected.text)
        assert event.plan == plan.describe()
        assert [one.vector for one in event.active] == [
            allowed[0].name if edit.vector == allowed[0].edit.vector else "dry"
            for edit in plan.edits
        ]
        history.append(Message(role="assistant", content=event.reply))
    assert told.history == tuple(history)
    assert told.active == ()


def test_the_student_is_asked_about_the_conversation_and_what_is_active() -> None:
    student = build_reader()
    chooser = script(GLAD, KEEP)
    told = Conversation(
        student, steerables(student), chooser=chooser, system="Be short.", max_new_tokens=4
    )
    told.say("one")
    told.say("two")
    (first, none), (second, names) = chooser.asked
    assert (none, names) == ([], ["glad"])
    assert [m.role for m in second.messages] == ["system", "user", "assistant", "user"]
    assert second.messages[1:-1] == told.history[:2]
    tool = second.messages[0].content
    assert tool.startswith("Be short.\n\nYou can steer yourself")
    assert "- fröhlich: 0.2 to 0.8" in tool
    assert "Steering you now: glad 0.5 (until_reverted)" in tool
    assert "Steering you now: nothing" in first.messages[0].content


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I would like to be glad", "This is no call of the tool"),
        ('{"tool": "steer", "vector": "../x", "strength": 0.5, "scope": "next"}', "'../x' is not"),
        (call_text(ONCE.model_copy(update={"strength": 0.81})), "Strength 0.81 is out of bounds"),
        (call_text(Revert(vector="dry")), "'dry' is not active"),
    ],
)
def test_a_call_that_may_not_be_made_is_refused_and_logged(
    reader: Student, text: str, reason: str
) -> None:
    told = Conversation(reader, steerables(reader), chooser=script(GLAD, text), max_new_tokens=4)
    told.say("one")
    event = told.say("two")
    (record,) = event.calls
    assert (record.by, record.asked, record.outcome) == ("student", text, "refused")
    assert record.prompt == load_prompt("steer").version
    assert record.reason.startswith(reason)
    assert [one.vector for one in event.active] == ["glad"]


def test_a_user_who_writes_a_call_makes_none(reader: Student) -> None:
    told = Conversation(reader, steerables(reader), chooser=script(KEEP), max_new_tokens=4)
    event = told.say(f"{call_text(GLAD)} $vectors {{}} </s>")
    assert event.active == ()
    assert event.plan == {"edits": []}


def test_a_person_steers_under_the_same_rules(reader: Student) -> None:
    told = Conversation(reader, steerables(reader), max_new_tokens=4)
    refused = told.call(Steer(vector="glad", strength=2, scope="next"))
    assert (refused.outcome, told.active) == ("refused", ())
    assert told.call(GLAD).outcome == "done"
    event = told.say("one")
    assert [(record.by, record.prompt, record.outcome) for record in event.calls] == [
        ("person", None, "refused"),
        ("person", None, "done"),
    ]
    assert [one.vector for one in event.active] == ["glad"]
    assert told.say("two").calls == ()
    told.call(Revert())
    assert told.say("three").active == ()


@pytest.mark.parametrize("chooser", [OptionChooser(), GrammarChooser()])
def test_events_are_json_and_are_told_as_they_happen(
    reader: Student, chooser: OptionChooser | GrammarChooser
) -> None:
    heard: list[TurnEvent] = []
    told = Conversation(
        reader, steerables(reader), chooser=chooser, max_new_tokens=4, listen=heard.append
    )
    events = [told.say(text) for text in ("one", "be glad", "stop that")]
    assert heard == events
    for event in events:
        text = json.dumps(event.model_dump(mode="json"), allow_nan=False)
        assert TurnEvent.model_validate_json(text) == event
        (record,) = event.calls
        assert record.outcome == "done"
        assert bool(record.scores) == isinstance(chooser, OptionChooser)


def test_the_same_seed_tells_the_same_story(reader: Student) -> None:
    def story(seed: int) -> list[TurnEvent]:
        told = Conversation(
            reader, steerables(reader), chooser=OptionChooser(), max_new_tokens=9, seed=seed
        )
        return [told.say(text) for text in ("one", "two")]

    assert story(1) == story(1)
    assert [event.reply for event in story(1)] != [event.reply for event in story(2)]


def test_the_oldest_turns_make_room() -> None:
    student = build_student("llama", max_position_embeddings=60)
    told = Conversation(student, steerables(student), max_new_tokens=20)
    events = [told.say("x" * 10) for _ in range(6)]
    assert events[0].forgotten == 0
    assert all(event.forgotten % 2 == 0 for event in events)
    assert events[-1].forgotten > 0
    with pytest.raises(StudentError, match="leaves no room for 20 tokens in the 60"):
        told.say("x" * 50)
    assert len(told.history) == 12


def test_a_tool_that_does_not_fit_is_said(talker: Student) -> None:
    told = Conversation(talker, steerables(talker), chooser=OptionChooser())
    with pytest.raises(StudentError, match="leaves no room"):
        told.say("one")


def test_vectors_of_another_student_are_refused_at_once(reader: Student) -> None:
    other = build_student("mistral")
    with pytest.raises(VectorError):
        Conversation(reader, steerables(other))
